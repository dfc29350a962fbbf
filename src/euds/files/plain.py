"""Files that may be anything: opened only if they are plain files, so that nothing hangs or leaks.

A folder that came from elsewhere may hold a pipe, a device, or a link out of it under the name of a
file. Opening a pipe waits for ever, opening a device may do things, and a link shows a file that is
none of the folder's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from euds.errors import StoreError

__all__ = ["digest_of", "kind_of_file", "open_plain", "read_plain"]

_CHUNK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
)


def kind_of_file(path: Path) -> str | None:
    """Return what is there, in words and without following a link; None if nothing is."""
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):  # a name with a zero byte in it is none
        return None
    return _KINDS.get(stat.S_IFMT(mode), "something that is no file")


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file for reading; anything else is left alone.

    Raises
    ------
    StoreError
        If it is not there, or not a plain file.
    OSError
        If it cannot be opened or read.
    """
    kind = kind_of_file(path)
    if kind != "a file":
        raise _not_plain(path, kind)
    # What was looked at may have been exchanged meanwhile.
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _not_plain(path, kind_of_file(path))
        yield stream


def read_plain(path: Path, *, limit: int) -> bytes:
    """Return the content of a plain file of at most ``limit`` bytes.

    Raises
    ------
    StoreError
        If it is longer, not there, not a plain file, or cannot be read.
    """
    try:
        with open_plain(path) as stream:
            is_long = os.fstat(stream.fileno()).st_size > limit
            content = b"" if is_long else stream.read(limit + 1)
    except OSError as error:
        raise StoreError(
            "the file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error
    if is_long or len(content) > limit:
        raise StoreError(
            "the file is too long", where=str(path), expected=f"at most {limit:,} bytes"
        )
    return content


def digest_of(path: Path) -> str:
    """Return the BLAKE2b hash of a plain file's content: 32 hexadecimal digits.

    Raises
    ------
    StoreError, OSError
        As `open_plain` does.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open_plain(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _not_plain(path: Path, kind: str | None) -> StoreError:
    return StoreError(
        "there is no such file" if kind is None else f"this is {kind}, not a file", where=str(path)
    )
