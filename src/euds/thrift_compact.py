"""Thrift's compact protocol, read field by field, in bounded time.

It is described at https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LIST", "NUMBERS", "STRUCT", "CompactReader", "Steps", "ThriftError"]

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, LIST, _SET, STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
NUMBERS = (4, 5, 6)
"""The types of whole numbers of more than a byte."""

_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}
_DEEPEST = 16  # structs and lists within another that are skipped


class ThriftError(Exception):
    """The bytes are not what the protocol allows."""


class Steps:
    """How many more values may be looked at.

    Parameters
    ----------
    left : int
        A million take about a second.
    """

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self) -> None:
        """Count a value.

        Raises
        ------
        ThriftError
            If there are too many.
        """
        self._left -= 1
        if self._left < 0:
            raise ThriftError("it has too many parts")


class CompactReader:
    """Reads structs out of bytes.

    Parameters
    ----------
    data : bytes
        The bytes.
    steps : Steps
        How many values may be looked at, together with other readers.

    Raises
    ------
    ThriftError
        By each method, if the bytes cannot be read; `IndexError` where they end too early.
    """

    def __init__(self, data: bytes, steps: Steps) -> None:
        self._data = data
        self._steps = steps
        self.place = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a struct; the caller takes its value."""
        self._steps.take()  # also of a struct that is empty: a list may hold millions of them
        field = 0
        while head := self._byte():
            self._steps.take()
            field = field + (head >> 4) if head >> 4 else _signed(self._varint())
            yield field, head & 15

    def number(self) -> int:
        """Take a whole number."""
        return _signed(self._varint())

    def list_(self) -> tuple[int, int]:
        """Take the head of a list: how many elements follow, and their type."""
        head = self._byte()
        number = self._varint() if head >> 4 == 15 else head >> 4
        if number > len(self._data) - self.place:
            raise ThriftError("a list is longer than what holds it")
        return number, head & 15

    def skip(self, kind: int, level: int = 0) -> None:
        """Take a value of any type, and forget it."""
        self._steps.take()
        if level > _DEEPEST:
            raise ThriftError("nothing is so deep")
        if kind in (LIST, _SET):
            number, of = self.list_()
            for _ in range(number):
                # In a list a truth value takes a byte.
                self.skip(_BYTE if of in (_TRUE, _FALSE) else of, level + 1)
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, level + 1)
        elif kind in NUMBERS:
            self._varint()
        elif kind == _BINARY:
            size = self._varint()
            self.place += size
        elif kind in _SIZES:
            self.place += _SIZES[kind]
        else:
            raise ThriftError("no value has such a type")

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ThriftError("no number is so long")

    def _byte(self) -> int:
        byte = self._data[self.place]
        self.place += 1
        return byte


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
