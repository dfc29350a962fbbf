"""The bytes of a file, in pieces, decompressed; damage is an error, never a short read."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import zstandard

from euds.errors import InputError
from euds.reading.inputs import Input
from euds.reading.remote import RemotePath

__all__ = ["DAMAGE", "damage_error", "read_chunks", "read_whole"]

DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What a file that cannot be read, or not to its end, raises."""

_CHUNK_BYTES = 1 << 20
# One input byte can expand to 32 KiB of output: a small piece keeps what it expands to small.
_ZSTD_CHUNK_BYTES = 1 << 9


def read_chunks(source: Input) -> Iterator[bytes]:
    """Yield the bytes of a file, or of standard input, piece by piece.

    Raises
    ------
    OSError, EOFError, zlib.error, zstandard.ZstdError
        See `DAMAGE`; everything before the damage has been yielded then.
    """
    if source.path is None:
        yield from _plain(sys.stdin.buffer)
    elif source.suffix.endswith(".gz"):
        with source.path.open("rb") as stream:
            yield from _gzip(stream)
    elif source.suffix.endswith(".zst"):
        with source.path.open("rb") as stream:
            yield from _zstandard(stream)
    elif isinstance(source.path, RemotePath):
        with source.path.open("rb") as stream:
            # As with gzip, `read` would lose what came before a connection was cut.
            while chunk := stream.read1(_CHUNK_BYTES):
                yield chunk
    else:
        with source.path.open("rb") as stream:
            yield from _plain(stream)


def read_whole(path: Path | RemotePath, *, limit: int) -> bytes:
    """Return at most ``limit`` + 1 bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(limit + 1)


def damage_error(source: Input, error: BaseException, *, complete_lines: int) -> InputError:
    """Return the error for a file that broke after a number of complete lines."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if source.suffix.endswith((".gz", ".zst")):
        return InputError(
            "the compressed file is damaged or cut short",
            where=source.name,
            got=f"{reason}, after {complete_lines:,} complete lines",
            expected=f"a complete {Path(source.suffix).suffix} file",
            next_step="copy or download it again; no part of it was used",
        )
    elsewhere = isinstance(source.path, RemotePath)
    return InputError(
        "the file cannot be read",
        where=source.name,
        got=f"{reason}, after {complete_lines:,} complete lines",
        next_step="check that you may read it, and the connection; then give the command again"
        if elsewhere
        else "check the file's permissions and the disk",
    )


def _plain(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _gzip(packed: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=packed, mode="rb") as stream:
        # `read` would lose what it has gathered when the file breaks off.
        while chunk := stream.read1(_CHUNK_BYTES):
            yield chunk


def _zstandard(packed: IO[bytes]) -> Iterator[bytes]:
    # The library's stream reader takes a truncated file for a complete one; this one can tell.
    frame = None
    while data := packed.read(_ZSTD_CHUNK_BYTES):
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            if chunk := frame.decompress(data):
                yield chunk
            data = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the last frame has no end")
