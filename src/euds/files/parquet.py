"""What a Parquet file says of itself, read from its Thrift and checked before it is believed.

Readers of Parquet files believe it. They take a step of their stack for each level of a column, and
ask for room for as many values as a page is said to have: either can end the process without an
exception, and a file of a few kilobytes is enough.

The format is described at https://parquet.apache.org/docs/file-format, and field by field at
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

__all__ = [
    "LIST",
    "NUMBERS",
    "STRUCT",
    "CompactReader",
    "ImpossibleMetadataError",
    "Metadata",
    "Steps",
    "ThriftError",
    "check_counts",
    "metadata_of",
]


# Thrift's compact protocol, read field by field, in bounded time.
#
# It is described at https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.

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


_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_MOST_STEPS = 10_000_000  # some ten seconds; a file of a gigabyte takes some ten thousand
_HEADER_BYTES, _LONGEST_HEADER = 512, 32 << 20

_VALUES_A_BYTE, _VALUES_ANYWAY = 2_000, 1_000_000
"""The most values a file can have: some for each byte, since equal values take next to none."""

# The fields' numbers.
_SCHEMA, _ROW_GROUPS = 2, 4
_CHILDREN = 5
_COLUMNS, _ROWS = 1, 3
_COLUMN_METADATA = 3
_VALUES, _COMPRESSED, _DATA_PAGE, _DICTIONARY_PAGE = 5, 7, 9, 11
_PAGE_BYTES, _PAGE_COMPRESSED = 2, 3
_INT32 = 2**31 - 1  # what is beyond it readers take for something else
_PAGE_KINDS = (5, 7, 8)  # data page, dictionary, data page of version 2
_COUNTS = (1, 2, 3)  # of a page's values, nulls and rows
_LEVEL_BYTES = (5, 6)


class ImpossibleMetadataError(Exception):
    """The metadata are not what the format allows, or what no reader could live up to."""


@dataclass(frozen=True)
class Chunk:
    """Where a column of some rows lies.

    Parameters
    ----------
    start, size : int
        Its bytes in the file.
    values : int
        How many values it is said to have.
    """

    start: int
    size: int
    values: int


@dataclass(frozen=True)
class Metadata:
    """What the end of a file says.

    Parameters
    ----------
    depth : int
        The levels of the deepest column.
    rows : tuple of int
        The rows of each group.
    chunks : tuple of Chunk
        The columns of each group.
    """

    depth: int
    rows: tuple[int, ...]
    chunks: tuple[Chunk, ...]


def metadata_of(stream: IO[bytes]) -> Metadata | None:
    """Return what the end of a file says; None where it does not end as Parquet files do.

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
            return None
        stream.seek(size - _TAIL_BYTES - length)
        return _read(CompactReader(stream.read(length), Steps(_MOST_STEPS)))
    except IndexError as error:
        raise ImpossibleMetadataError("its metadata are cut short") from error
    except ThriftError as error:
        raise ImpossibleMetadataError(f"its metadata cannot be read: {error}") from error
    finally:
        stream.seek(start)


def check_counts(stream: IO[bytes], metadata: Metadata) -> None:
    """Check that a file's groups, columns and pages can have as many values as they say.

    The stream is left where it was found.

    Raises
    ------
    ImpossibleMetadataError
        If not, or if the pages cannot be walked through.
    """
    start = stream.tell()
    try:
        size = stream.seek(0, 2)
        most = _VALUES_ANYWAY + _VALUES_A_BYTE * size
        if any(rows < 0 for rows in metadata.rows) or sum(metadata.rows) > most:
            raise ImpossibleMetadataError("it is said to have more rows than it has room for")
        steps = Steps(_MOST_STEPS)
        for chunk in metadata.chunks:
            if not 0 <= chunk.values <= most:
                raise ImpossibleMetadataError("a column is said to have more values than fit in")
            _check_pages(stream, chunk, most, steps)
    except ThriftError as error:
        raise ImpossibleMetadataError(f"its pages cannot be read: {error}") from error
    finally:
        stream.seek(start)


def _read(reader: CompactReader) -> Metadata:
    depth = 0
    rows: list[int] = []
    chunks: list[Chunk] = []
    for field, kind in reader.fields():
        if field == _SCHEMA and kind == LIST:
            depth = _depth(_one_of_each(reader, _CHILDREN))
        elif field == _ROW_GROUPS and kind == LIST:
            rows += [_row_group(reader, chunks) for _ in _structs(reader)]
        else:
            reader.skip(kind)
    return Metadata(depth, tuple(rows), tuple(chunks))


def _row_group(reader: CompactReader, chunks: list[Chunk]) -> int:
    rows = 0
    for field, kind in reader.fields():
        if field == _COLUMNS and kind == LIST:
            for _ in _structs(reader):
                for inner, kind_inside in reader.fields():
                    if inner == _COLUMN_METADATA and kind_inside == STRUCT:
                        chunks.append(_chunk(reader))
                    else:
                        reader.skip(kind_inside)
        elif field == _ROWS and kind in NUMBERS:
            rows = reader.number()
        else:
            reader.skip(kind)
    return rows


def _chunk(reader: CompactReader) -> Chunk:
    told = _numbers(reader)
    start = told.get(_DICTIONARY_PAGE, told.get(_DATA_PAGE, 0))
    return Chunk(start, told.get(_COMPRESSED, 0), told.get(_VALUES, 0))


def _structs(reader: CompactReader) -> Iterator[int]:
    """Yield once for each struct of a list, whose fields the caller takes."""
    number, of = reader.list_()
    if of != STRUCT and number:
        raise ThriftError("a list holds other things than it should")
    yield from range(number)


def _one_of_each(reader: CompactReader, field: int) -> Iterator[int]:
    """Yield a number of each struct of a list, 0 where it has none."""
    for _ in _structs(reader):
        yield _numbers(reader).get(field, 0)


def _numbers(reader: CompactReader) -> dict[int, int]:
    """Return the numbers of a struct by their fields."""
    told = {}
    for field, kind in reader.fields():
        if kind in NUMBERS:
            told[field] = reader.number()
        else:
            reader.skip(kind)
    return told


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


def _check_pages(stream: IO[bytes], chunk: Chunk, most: int, steps: Steps) -> None:
    place, end = chunk.start, chunk.start + chunk.size
    if place < 0 or chunk.size < 0:
        raise ImpossibleMetadataError("a column is said to lie outside the file")
    while place < end:
        header = _page_header(stream, place, end, steps)
        if not all(0 <= count <= min(most, _INT32) for count in header.counts):
            raise ImpossibleMetadataError("a page is said to have more values than fit into it")
        if not all(0 <= size <= _INT32 for size in header.sizes):
            raise ImpossibleMetadataError("a page is said to have an impossible size")
        place += header.length


@dataclass(frozen=True)
class _PageHeader:
    """What stands before a page; ``length`` is that of both."""

    length: int
    counts: tuple[int, ...]
    sizes: tuple[int, ...]


def _page_header(stream: IO[bytes], place: int, end: int, steps: Steps) -> _PageHeader:
    room = _HEADER_BYTES
    while True:
        stream.seek(place)
        reader = CompactReader(stream.read(min(room, end - place)), steps)
        try:
            return _parsed(reader)
        except (IndexError, ThriftError) as error:
            # It may have been cut off: the smallest and largest values stand in it.
            if room >= min(_LONGEST_HEADER, end - place):
                raise ImpossibleMetadataError(f"a page has no header: {error}") from error
            room *= 16


def _parsed(reader: CompactReader) -> _PageHeader:
    told: dict[int, int] = {}
    inside: dict[int, int] = {}
    for field, kind in reader.fields():
        if kind in NUMBERS:
            told[field] = reader.number()
        elif field in _PAGE_KINDS and kind == STRUCT:
            inside |= _numbers(reader)
        else:
            reader.skip(kind)
    if not {_PAGE_BYTES, _PAGE_COMPRESSED} <= told.keys():
        raise ThriftError("a page has no size")
    compressed = told[_PAGE_COMPRESSED]
    return _PageHeader(
        length=reader.place + compressed,
        counts=tuple(inside.get(one, 0) for one in _COUNTS),
        sizes=(compressed, told[_PAGE_BYTES], *(inside.get(one, 0) for one in _LEVEL_BYTES)),
    )
