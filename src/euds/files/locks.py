"""Locks between processes that use one folder of the cache at the same time.

Many may read and add; one alone may take away. The system lets go of a lock when its process ends,
however it ends, so that no lock outlives a kill. Where there is no such lock (Windows, some network
drives, a folder that cannot be written to) nothing is locked, and nothing fails for that.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

fcntl: Any = None
with contextlib.suppress(ModuleNotFoundError):  # only POSIX systems have it
    fcntl = importlib.import_module("fcntl")

__all__ = ["LOCK_NAME", "locked"]

LOCK_NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path, *, alone: bool, make: bool = False) -> Iterator[None]:
    """Wait until a folder is free, and hold it: alone, or together with others that are not.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; one that is not there is not locked.
    alone : bool
        Whether nobody else may hold the folder meanwhile. Who holds a folder must not ask for it
        once more: it would wait for itself.
    make : bool
        Whether the folder is made if it is not there, or while waiting is taken away.
    """
    descriptor = _take(folder / LOCK_NAME, alone=alone, make=make)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _take(path: Path, *, alone: bool, make: bool) -> int | None:
    """Return the open file that the lock is on, None where nothing can be locked."""
    if fcntl is None:
        return None
    while True:
        if make:
            with contextlib.suppress(OSError):  # who writes there will tell
                path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open(path)
        if descriptor is None:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if _is_still(path, descriptor):
                return descriptor
        except OSError:  # this file system has no locks
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        # Who held the folder took it away, and perhaps another made it again.
        os.close(descriptor)


def _open(path: Path) -> int | None:
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with contextlib.suppress(OSError):
            return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    return None


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
