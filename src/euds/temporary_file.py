"""A temporary file without a name: nobody else can open it, and it is gone with the process."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import weakref
from typing import IO

from euds.errors import StoreError

__all__ = ["TemporaryFile", "not_read_back"]


class TemporaryFile:
    """A temporary file without a name, for what does not fit into memory.

    Raises
    ------
    StoreError
        If there is no room for it, or it cannot be read back.
    """

    def __init__(self) -> None:
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed at its end
        except OSError as error:
            raise _no_room(error) from error
        weakref.finalize(self, _close, self._file)
        self._lock = threading.Lock()  # a file has one place where it is read

    def add(self, content: bytes | memoryview) -> tuple[int, int]:
        """Add bytes; return where they are: what `read` wants."""
        try:
            with self._lock:
                start = self._file.seek(0, os.SEEK_END)
                self._file.write(content)
                self._file.flush()
        except OSError as error:
            raise _no_room(error) from error
        return start, len(content)

    def read(self, start: int, size: int) -> bytes:
        """Return bytes that were added."""
        try:
            with self._lock:
                self._file.seek(start)
                content = self._file.read(size)
        except OSError as error:
            raise not_read_back(str(error)) from error
        if len(content) != size:
            raise not_read_back("it ends too early")
        return content


def _close(file: IO[bytes]) -> None:
    # What could not be written when the disk was full cannot be now; nobody will read it.
    with contextlib.suppress(OSError):
        file.close()


def _no_room(error: OSError) -> StoreError:
    return StoreError(
        "the rows of a large pool cannot be set aside in a temporary file",
        where=tempfile.gettempdir(),
        got=error.strerror or str(error),
        next_step="free some space, or name another folder: TMPDIR=/a/folder/with/room",
    )


def not_read_back(got: str) -> StoreError:
    """Return the error of rows that are not what was written."""
    return StoreError(
        "the rows of a large pool cannot be read back from their temporary file",
        where=tempfile.gettempdir(),
        got=got,
        next_step="run the same command again",
    )
