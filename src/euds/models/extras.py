"""Turning a missing optional package, and a loader's own complaints, into one clear sentence."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from euds.errors import EudsError, MissingExtraError, ModelError

__all__ = ["lm_extra", "quiet_transformers", "readable_load_errors"]


@contextlib.contextmanager
def lm_extra(purpose: str) -> Iterator[None]:
    """Import packages of the extra ``lm`` inside; a missing one becomes a `MissingExtraError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or "torch"
        if package.partition(".")[0] == "euds":  # a mistake of ours, not of the installation
            raise
        raise MissingExtraError(package, extra="lm", purpose=purpose) from error


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars, log lines and warnings inside, and nowhere else."""
    # Imported by name because its functions carry no types.
    logging: Any = importlib.import_module("transformers.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def readable_load_errors(where: str) -> Iterator[None]:
    """Turn what transformers raises for a model that it cannot load into a `ModelError`."""
    try:
        yield
    except EudsError:
        raise
    except BaseException as error:
        # A damaged file makes it fail in any way, a panic of the tokenizers' Rust included.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if "trust_remote_code" in str(error):
            raise ModelError(
                "the model needs code of its own, which euds never runs",
                where=where,
                expected="a model whose architecture transformers knows",
            ) from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError("the model cannot be loaded", where=where, got=lines[0]) from error
