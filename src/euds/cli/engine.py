"""Which engine a command measures with."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, TextIO

from euds.cli.options import EngineOptions, OutputOptions
from euds.errors import OptionError, did_you_mean

if TYPE_CHECKING:
    from euds.scoring.engines.base import Engine

__all__ = ["engine_of"]

_ENGINES = ("local", "ray")
_STDERR = 2


@contextlib.contextmanager
def engine_of(options: EngineOptions, output: OutputOptions) -> "Iterator[Engine]":
    """Give the engine that was asked for.

    Raises
    ------
    OptionError
        If there is none of that name, or an option is of another one.
    MissingExtraError
        If its package is not installed.
    """
    if options.engine not in _ENGINES:
        raise OptionError(
            f"there is no engine {options.engine!r}",
            where="--engine",
            expected=", ".join(_ENGINES),
            next_step=did_you_mean(options.engine, _ENGINES),
        )
    if options.engine == "local":
        _check_no_ray(options)
        from euds.scoring.engines.local import LocalEngine

        yield LocalEngine()
        return
    from euds.progress import SilentProgress, TerminalProgress
    from euds.scoring.engines.ray import RayEngine

    with (
        _compiled_code_silent(),
        RayEngine(
            address=options.ray_address,
            workers=options.ray_workers,
            threads_per_worker=options.threads_per_worker or 1,
            gpus_per_worker=options.gpus_per_worker,
            progress=SilentProgress() if output.quiet else TerminalProgress(),
        ) as engine,
    ):
        yield engine


def _check_no_ray(options: EngineOptions) -> None:
    for one in fields(options):
        if one.name != "engine" and getattr(options, one.name) is not None:
            raise OptionError(
                "that option is for the engine ray",
                where=f"--{one.name.replace('_', '-')}",
                next_step="add --engine ray",
            )


@contextlib.contextmanager
def _compiled_code_silent() -> Iterator[None]:
    """Let only Python write to stderr.

    Ray's compiled part writes to the process's own stderr and cannot be told to leave that; it
    writes the same to its log files.
    """
    before = sys.stderr
    if not _is_own(before):
        yield
        return
    before.flush()
    kept = os.dup(_STDERR)
    with os.fdopen(kept, "w", buffering=1, encoding=before.encoding, errors=before.errors) as ours:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        sys.stderr = ours
        try:
            yield
        finally:
            ours.flush()
            sys.stderr = before
            os.dup2(kept, _STDERR)


def _is_own(stream: TextIO) -> bool:
    """Return whether a stream is the process's own stderr, and not what a caller put there."""
    try:
        return stream.fileno() == _STDERR
    except OSError:
        return False
