"""Whether the header of a GGUF file fits into the file, told before its own reader opens it.

That reader believes what a file says of the lengths of its lists, also of lists that end long after
the file does, and then reads nothing for hours. The layout is that of the specification:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from euds.errors import ModelError

__all__ = ["check_gguf_header"]

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes, by type
_LEAST = {_STRING: 8, _ARRAY: 12}  # bytes of an empty one
_DEEPEST = 4  # lists in lists; real files have none
_LEAST_PAIR, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8


class _UnlikelyError(Exception):
    """The header cannot be what it says."""


def check_gguf_header(path: Path) -> None:
    """Check that strings, lists and tables of a header end before the file does.

    Raises
    ------
    ModelError
        If they do not. A file that is no GGUF at all is left to whoever opens it.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            return
        try:
            _Header(stream, size, _byte_order(stream)).walk()
        except (_UnlikelyError, struct.error) as error:
            raise ModelError(
                "the header of the GGUF file does not fit into the file",
                where=str(path),
                got=str(error),
                expected=f"{size:,} bytes",
                next_step="copy or download the model again",
            ) from error


def _byte_order(stream: BinaryIO) -> str:
    """Read the version, which is small: a file of the other byte order has it in the other half."""
    (version,) = struct.unpack("<I", stream.read(4))
    return ">" if version & 0xFFFF == 0 else "<"


@dataclass
class _Header:
    stream: BinaryIO
    size: int
    order: str

    def walk(self) -> None:
        """Go through all pairs of the header."""
        tensors, pairs = self._number("Q"), self._number("Q")
        self._must_fit(pairs, _LEAST_PAIR, "settings")
        for _ in range(pairs):
            self._string()
            self._value(self._number("I"), depth=0)
        self._must_fit(tensors, _LEAST_TENSOR, "tensors")

    def _value(self, kind: int, *, depth: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            self._list(depth)
        else:
            self._skip(self._width(kind))

    def _list(self, depth: int) -> None:
        if depth == _DEEPEST:
            raise _UnlikelyError(f"lists in lists, {depth + 1} deep")
        kind, count = self._number("I"), self._number("Q")
        least = _LEAST.get(kind) or self._width(kind)
        self._must_fit(count, least, "values of a list")
        if kind not in _LEAST:
            self._skip(count * least)
            return
        for _ in range(count):
            self._value(kind, depth=depth + 1)

    def _string(self) -> None:
        self._skip(self._number("Q"))

    def _number(self, code: str) -> int:
        number: int
        (number,) = struct.unpack(self.order + code, self.stream.read(struct.calcsize(code)))
        return number

    def _width(self, kind: int) -> int:
        if kind not in _WIDTHS:
            raise _UnlikelyError(f"a value of the type {kind:,}")
        return _WIDTHS[kind]

    def _skip(self, width: int) -> None:
        self._must_fit(width, 1, "bytes of a value")
        self.stream.seek(width, 1)

    def _must_fit(self, count: int, width: int, what: str) -> None:
        left = self.size - self.stream.tell()
        if count * width > left:
            raise _UnlikelyError(f"{count:,} {what}, and {left:,} bytes left for them")
