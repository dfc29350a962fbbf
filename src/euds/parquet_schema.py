"""How deeply the columns of a Parquet file are nested, told before anything is made of them.

Readers of Parquet files take a step of their stack for each level. A file of a few kilobytes can
have a thousand levels, and a stack that is used up ends the process without an exception.

The end of the file is described at https://parquet.apache.org/docs/file-format/metadata, and how it
is written at https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

__all__ = ["ImpossibleMetadataError", "schema_depth"]

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_SCHEMA, _CHILDREN = 2, 5  # the fields' numbers
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_VARINTS = (4, 5, 6)
_SIZES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}
_SKIMMED_BYTES = 1 << 20  # beyond this only the columns are looked at: it would take too long
_DEEPEST_STRUCT = 16  # of the metadata itself, which has four levels


class ImpossibleMetadataError(Exception):
    """The metadata are not what the format allows."""


def schema_depth(stream: IO[bytes]) -> int:
    """Return the levels of the deepest column; 0 where the file does not end as Parquet files do.

    Whoever reads the file will say what is wrong with that. The stream is left where it was found.

    Raises
    ------
    ImpossibleMetadataError
        If the metadata cannot be read. A list that is said to be longer than what is left of them,
        for one, would make a reader ask for room for it, and end the process if there is none.
    """
    start = stream.tell()
    try:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read(_TAIL_BYTES)
        length = int.from_bytes(tail[:4], "little")
        if not tail.endswith(_MAGIC) or length > size - _TAIL_BYTES:
            return 0
        stream.seek(size - _TAIL_BYTES - length)
        return _depth(_Metadata(stream.read(length)).children())
    except IndexError as error:
        raise ImpossibleMetadataError("its metadata are cut short") from error
    finally:
        stream.seek(start)


def _depth(children: Iterator[int]) -> int:
    """Return the depth of a tree, told by each node's number of children, parents first."""
    deepest = 0
    open_: list[int] = []  # children still to come, of each node on the way down
    for number in children:
        deepest = max(deepest, len(open_))
        if open_:
            open_[-1] -= 1
        if number > 0:
            open_.append(number)
        while open_ and open_[-1] == 0:
            open_.pop()
    return deepest


class _Metadata:
    """Reads as much of the metadata as tells the tree of the columns."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def children(self) -> Iterator[int]:
        """Yield the number of children of each element of the schema."""
        for field, kind in self._fields():
            if field == _SCHEMA and kind == _LIST:
                number, of = self._list()
                for _ in range(number if of == _STRUCT else 0):
                    yield self._element()
                if len(self._data) > _SKIMMED_BYTES:
                    return
            else:
                self._skip(kind)

    def _element(self) -> int:
        children = 0
        for field, kind in self._fields():
            if field == _CHILDREN and kind in _VARINTS:
                children = _signed(self._varint())
            else:
                self._skip(kind)
        return children

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a struct; the caller takes its value."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else _signed(self._varint())
            yield field, head & 15

    def _skip(self, kind: int, level: int = 0) -> None:
        if level > _DEEPEST_STRUCT:
            raise ImpossibleMetadataError("no metadata is so deep")
        if kind in (_LIST, _SET):
            number, of = self._list()
            for _ in range(number):
                # In a list a truth value takes a byte.
                self._skip(_BYTE if of in (_TRUE, _FALSE) else of, level + 1)
        elif kind == _STRUCT:
            for _, inner in self._fields():
                self._skip(inner, level + 1)
        elif kind in _VARINTS:
            self._varint()
        elif kind == _BINARY:
            size = self._varint()
            self._place += size
        elif kind in _SIZES:
            self._place += _SIZES[kind]
        else:
            raise ImpossibleMetadataError("no part of this metadata has such a type")

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        number = self._varint() if head >> 4 == 15 else head >> 4
        if number > len(self._data) - self._place:
            raise ImpossibleMetadataError("a list in its metadata is longer than the file")
        return number, head & 15

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ImpossibleMetadataError("no number is so long")

    def _byte(self) -> int:
        byte = self._data[self._place]
        self._place += 1
        return byte


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
