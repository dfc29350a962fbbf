"""Files and folders that are either there as a whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from euds.errors import EudsError, StoreError

__all__ = ["atomic_write", "is_full", "sync_folder", "write_bytes_atomically"]

_LONGEST_STEM = 100  # file systems allow 255 bytes; the rest is for our own marks
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_MORE = "transport error"
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there takes its place at the end.

    Parameters
    ----------
    path : pathlib.Path
        Where the file or folder is to be. Missing parent folders are made. What is there already
        is replaced.

    Yields
    ------
    pathlib.Path
        A path in the same folder that does not exist yet. Write a file there, or make a folder.

    Raises
    ------
    StoreError
        If something cannot be written. An error in the body, of whatever kind, leaves ``path``
        as it was.

    Notes
    -----
    A file takes its place in one step. A folder that replaces another needs two renames; a kill
    between them leaves the old one beside it, under a name that ends in ``.partial``.
    """
    target = Path(os.path.realpath(path))  # write through a link rather than over it
    temporary = _beside(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync_tree(temporary)
        _put_in_place(temporary, target)
        _sync(target.parent)
    except Exception as error:
        system_error = _system_error(error)
        if system_error is None:
            raise
        raise StoreError(
            "the file cannot be written",
            where=str(path),
            got=system_error.strerror or str(system_error),
            next_step=_remedy(system_error),
        ) from error
    finally:
        _remove(temporary)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` as a whole, or leave ``path`` as it was."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def sync_folder(path: Path) -> None:
    """Make sure that files taken out of a folder stay out, also after a power cut."""
    with contextlib.suppress(OSError):  # they are out all the same
        _sync(path)


def is_full(error: OSError) -> bool:
    """Return whether there is no room left for what was to be written."""
    return error.errno in _FULL


def _system_error(error: Exception) -> OSError | None:
    """Return what the system said, None if it said nothing."""
    if isinstance(error, OSError):
        return error
    if isinstance(error, EudsError):
        return None
    # Polars hands on what the system said as text, in an exception of its own; from the end of a
    # Parquet file it hands on only that something went wrong.
    if told := _OS_ERROR.search(str(error)):
        return OSError(int(told[1]), os.strerror(int(told[1])))
    if _NO_MORE in str(error):
        return OSError(errno.EIO, str(error).splitlines()[0])
    return None


def _remedy(error: OSError) -> str:
    if is_full(error):
        return "free some space and give the same command again: what is done stays"
    return "check the folder's permissions and the space left on the disk"


def _beside(target: Path) -> Path:
    return target.parent / f".{target.name[:_LONGEST_STEM]}.{uuid.uuid4().hex[:12]}.partial"


def _put_in_place(temporary: Path, target: Path) -> None:
    if not (temporary.is_dir() and target.is_dir()):
        temporary.replace(target)
        return
    # No rename puts one folder in the place of another that holds files.
    old = _beside(target)
    target.rename(old)
    temporary.rename(target)
    _remove(old)


def _sync_tree(path: Path) -> None:
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            _sync_tree(entry)
    _sync(path)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return  # only POSIX systems open folders
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
