"""File systems that are not this machine's, as ``fsspec`` knows them.

Nothing here reads or writes: a file system is found by its address, and what goes wrong with one is
made an exception of one kind.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
from collections.abc import Iterator
from typing import Any

from euds.errors import InputError, MissingExtraError, did_you_mean, without_secrets
from euds.files.addresses import on_record, schemes
from euds.files.damage import first_line

__all__ = ["as_input_error", "as_os_error", "file_system_of"]

# Its files say where bytes are taken from, and may hold templates: they could lead anywhere.
_REFUSED = ("reference",)


def file_system_of(address: str, *, purpose: str) -> tuple[Any, str]:
    """Return the file system that an address names, and the path there.

    Raises
    ------
    MissingExtraError
        If fsspec is not installed.
    InputError
        If the scheme is unknown, its package is not installed, or the server refuses.
    """
    told = on_record(address)
    fsspec = _fsspec(f"{purpose} {told}")
    known = {*fsspec.available_protocols(), *fsspec.registry} - {*_REFUSED}
    for scheme in schemes(address):
        if scheme not in known:
            raise InputError(
                "there is no kind of address that begins so, or it is not read here",
                where=told,
                got=f"{scheme}://",
                expected=f"one that fsspec knows: {', '.join(sorted(known))}",
                next_step=did_you_mean(scheme, known)
                or f"if it is a folder of this name: ./{scheme}:/",
            )
    try:
        with as_input_error(address):
            filesystem, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise InputError(
            "a package that is needed for this kind of address is not installed",
            where=told,
            got=first_line(error),
            next_step=_how_to_install(schemes(address)),
        ) from error
    return filesystem, str(path)


@contextlib.contextmanager
def as_input_error(address: str) -> Iterator[None]:
    """Let nothing but an `InputError` come out of looking for something."""
    told = on_record(address)
    try:
        with as_os_error():
            yield
    except FileNotFoundError as error:
        reason = _reason(error, told)
        if reason is None:
            raise InputError(
                "there is no such file or folder",
                where=told,
                next_step="check the address; an object store has a folder if files are in it",
            ) from error
        raise InputError(
            "nothing can be found at this address",
            where=told,
            got=reason,
            next_step="check the address, the connection, and that you may read there",
        ) from error
    except OSError as error:
        raise InputError(
            "it cannot be found out what is at this address",
            where=told,
            got=_reason(error, told),
            next_step="check the address, the connection, and that you may read there; what "
            f"{'::'.join(schemes(address))} takes as credentials is told by its own package",
        ) from error


def _reason(error: OSError, told: str) -> str | None:
    """Return what an error says beside the address; to some, all that fails is a missing file."""
    reason, cause = first_line(error), error.__cause__
    if without_secrets(reason).strip("/'\"") not in told:
        return reason
    if cause is None or isinstance(cause, FileNotFoundError):
        return None
    return f"{type(cause).__name__}: {first_line(cause)}"


@contextlib.contextmanager
def as_os_error() -> Iterator[None]:
    """Let nothing but an ``OSError`` come out of a file system, apart from a package's absence.

    Each of them raises the exceptions of what it is made of.
    """
    try:
        yield
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {first_line(error)}") from error


def _fsspec(purpose: str) -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise MissingExtraError(error.name or "fsspec", extra="remote", purpose=purpose) from error


def _how_to_install(of: list[str]) -> str:
    """Return how to get the package of a scheme: fsspec has most of them as extras."""
    extras = importlib.metadata.metadata("fsspec").get_all("Provides-Extra") or []
    named = {"https": "http", "gcs": "gs", "s3a": "s3", "ssh": "sftp", "az": "abfs"}
    found = [named.get(scheme, scheme) for scheme in of]
    wanted = [extra for extra in found if extra in extras]
    if wanted:
        return f'pip install "fsspec[{",".join(wanted)}]"'
    return "install the package that it names"
