"""Tables that are read part by part: the texts of a pool, and what its rows were read as.

Of a small pool they are in memory. Those of a large one lie in a file: in a temporary one that has
no name, so that nobody else can open it and it is gone when the process ends, however it ends; or
in the pool's own file, where a run has written them.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from euds.errors import MAKE_AGAIN, StoreError
from euds.files.damage import UNREADABLE, first_line, parquet_groups, read_parquet_group

__all__ = [
    "MOST_IN_MEMORY",
    "HeldRecords",
    "ParquetRecords",
    "Records",
    "RecordsAside",
    "StoredRecords",
    "TemporaryFile",
    "not_read_back",
    "side_by_side",
    "write_parquet_in_parts",
]


# A temporary file without a name: nobody else can open it, and it is gone with the process.


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


Mask: TypeAlias = pl.Series | NDArray[np.bool_]

MOST_IN_MEMORY = 64 << 20
"""Bytes of a table that are kept in memory."""

_ROWS_PER_PART, _BYTES_PER_PART = 50_000, 16 << 20


class Records(ABC):
    """A table that is read part by part, in its order; immutable.

    Parameters
    ----------
    schema : polars.Schema
        The columns.
    lengths : sequence of int
        The rows of each part.
    """

    def __init__(self, schema: pl.Schema, lengths: Sequence[int] = ()) -> None:
        self.schema = schema
        self._lengths = list(lengths)

    @property
    def height(self) -> int:
        """The number of rows."""
        return sum(self._lengths)

    @property
    def rows_per_part(self) -> int:
        """How many rows a part may have, wherever the longest ones stand."""
        return max([1, *self._lengths])

    def parts(
        self, mask: Mask | None = None, *, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows where ``mask`` is true, or all; parts without such rows are not read."""
        mask = None if mask is None else pl.Series(mask)
        if mask is not None and len(mask) != self.height:
            raise pl.exceptions.ShapeError(f"a mask of {len(mask)} for {self.height} rows")
        names = list(self.schema) if columns is None else list(columns)
        row = 0
        for number, rows in enumerate(self._lengths):
            wanted = None if mask is None else mask.slice(row, rows)
            row += rows
            if not rows:
                continue
            if wanted is None:
                yield self._part(number, names)
            elif wanted.any():
                yield self._some(self._part(number, names), wanted)

    def read(
        self, mask: Mask | None = None, *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return the rows where ``mask`` is true, or all, in memory."""
        names = list(self.schema) if columns is None else list(columns)
        nothing = pl.DataFrame(schema={name: self.schema[name] for name in names})
        return pl.concat([nothing, *self.parts(mask, columns=names)])

    def take(
        self, rows: pl.Series | NDArray[np.integer], *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return the rows with the given numbers, in the order of these."""
        names = list(self.schema) if columns is None else list(columns)
        nothing = pl.DataFrame(schema={name: self.schema[name] for name in names})
        numbers, found = self._taken(rows, names)
        return pl.concat([nothing, *found])[numbers]

    def values(
        self,
        rows: pl.Series | NDArray[np.integer],
        of: Callable[[pl.DataFrame], pl.Series],
        *,
        columns: Sequence[str] | None = None,
    ) -> pl.Series:
        """Return what ``of`` makes of the rows with the given numbers, part by part."""
        names = list(self.schema) if columns is None else list(columns)
        numbers, found = self._taken(rows, names)
        made = [of(part) for part in found]
        return pl.concat(made)[numbers] if made else pl.Series([], dtype=pl.String)

    def _taken(
        self, rows: pl.Series | NDArray[np.integer], columns: list[str]
    ) -> tuple[NDArray[np.int64], Iterator[pl.DataFrame]]:
        """Return the rows in their own order, and the place of each that was asked for."""
        numbers = np.asarray(rows, dtype=np.int64)
        wanted = np.zeros(self.height, dtype=np.bool_)
        wanted[numbers] = True
        place = np.cumsum(wanted) - 1
        return place[numbers], self.parts(wanted, columns=columns)

    def arrange(self, rows: pl.Series) -> Records:
        """Return the rows with the given numbers, each once, as a table of their own."""
        numbers = rows.cast(pl.Int64).to_numpy()
        if not (np.diff(numbers) > 0).all():
            return HeldRecords(self.take(rows))
        mask = np.zeros(self.height, dtype=np.bool_)
        mask[numbers] = True
        return self.keep(pl.Series(mask))

    def keep(self, mask: Mask) -> Records:
        """Return the rows where ``mask`` is true as a table of their own."""
        aside = RecordsAside(self.schema)
        for part in self.parts(mask):
            aside.add(part)
        return aside.finish()

    def _some(self, part: pl.DataFrame, wanted: pl.Series) -> pl.DataFrame:
        """Return some rows of a part. Polars would keep the texts of all for the sake of a few."""
        if wanted.all():
            return part
        packed = io.BytesIO()
        part.filter(wanted).write_ipc(packed)
        return pl.read_ipc(packed.getvalue())

    @abstractmethod
    def _part(self, number: int, columns: list[str]) -> pl.DataFrame:
        """Return some columns of a part."""


class HeldRecords(Records):
    """A table in memory."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        step = _rows_per_part(frame)
        starts = range(0, frame.height, step)
        super().__init__(frame.schema, [min(step, frame.height - start) for start in starts])
        self._step = step

    @property
    def rows_per_part(self) -> int:
        """How many rows a part may have."""
        return self._step

    def read(
        self, mask: Mask | None = None, *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return the rows where ``mask`` is true, or all; without a copy where it can be."""
        frame = self._frame if columns is None else self._frame[list(columns)]
        return frame if mask is None else frame.filter(mask)

    def _some(self, part: pl.DataFrame, wanted: pl.Series) -> pl.DataFrame:
        return part.filter(wanted)

    def _part(self, number: int, columns: list[str]) -> pl.DataFrame:
        return self._frame[columns].slice(number * self._step, self._lengths[number])


class StoredRecords(Records):
    """A table in a temporary file, part after part; `add` is for `RecordsAside`."""

    def __init__(self, schema: pl.Schema) -> None:
        super().__init__(schema)
        self._file = TemporaryFile()
        self._places: list[tuple[int, int]] = []
        self._rows_per_part = _ROWS_PER_PART

    @property
    def rows_per_part(self) -> int:
        """How many rows a part may have, wherever the longest ones stand."""
        return self._rows_per_part

    def add(self, frame: pl.DataFrame) -> None:
        """Add rows behind those that are there.

        Raises
        ------
        StoreError
            If there is no room for them.
        """
        rows = _rows_per_part(frame)
        self._rows_per_part = min(rows, self._rows_per_part)
        for part in frame.iter_slices(rows):
            packed = io.BytesIO()
            part.write_ipc(packed, compression="lz4")
            self._places.append(self._file.add(packed.getbuffer()))
            self._lengths.append(part.height)

    def _part(self, number: int, columns: list[str]) -> pl.DataFrame:
        content = self._file.read(*self._places[number])
        try:
            return pl.read_ipc(content)[columns]
        except pl.exceptions.PolarsError as error:
            raise not_read_back(str(error)) from error


class ParquetRecords(Records):
    """Columns of a Parquet file, a row group at a time.

    The file stays open: one that is put in its place later is not seen.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    names : mapping of str to str
        The columns, and what they are called in the file.
    check : callable
        Gets each part that is read, and raises `DamagedFileError` if it cannot be used.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedFileError
        If the file is damaged; see `euds.files.damage.FILE_DAMAGE`.
    """

    def __init__(
        self, path: Path, names: dict[str, str], check: Callable[[pl.DataFrame], None]
    ) -> None:
        self._path, self._names, self._check = path, names, check
        self._stream = path.open("rb")
        weakref.finalize(self, self._stream.close)
        schema, self._groups = parquet_groups(self._stream)
        named = {name: schema[there] for name, there in names.items()}
        super().__init__(pl.Schema(named), [len(rows) for rows in self._groups])

    def held_if_small(self) -> Records:
        """Return the table in memory if it fits there, else itself.

        Raises
        ------
        OSError, polars.exceptions.PolarsError, DamagedFileError
            If the file is damaged where it was read.
        """
        held, size = [pl.DataFrame(schema=self.schema)], 0.0
        for number in range(len(self._groups)):
            held.append(self._group(number, list(self.schema)))
            size += held[-1].estimated_size()
            if size > MOST_IN_MEMORY:
                return self
        return HeldRecords(pl.concat(held))

    def _part(self, number: int, columns: list[str]) -> pl.DataFrame:
        try:
            return self._group(number, columns)
        except UNREADABLE as error:
            raise StoreError(
                "a file of the run cannot be read",
                where=str(self._path),
                got=first_line(error),
                next_step=MAKE_AGAIN,
            ) from error

    def _group(self, number: int, columns: list[str]) -> pl.DataFrame:
        there = [self._names[name] for name in columns]
        part = read_parquet_group(self._stream, there, self._groups[number])
        part.columns = columns
        self._check(part)
        return part


class RecordsAside:
    """Gathers rows in memory and, once they are many, in a file.

    Parameters
    ----------
    schema : polars.Schema
        The columns.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema
        self._bytes = 0.0
        self._in_memory = [pl.DataFrame(schema=schema)]
        self._stored: StoredRecords | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows behind those that are there.

        Raises
        ------
        StoreError
            If they are to go into a file, and there is no room.
        """
        if self._stored is not None:
            self._stored.add(rows)
            return
        self._in_memory.append(rows)
        self._bytes += rows.estimated_size()
        if self._bytes > MOST_IN_MEMORY:
            self._stored = StoredRecords(self._schema)
            for one in self._in_memory:
                self._stored.add(one)
            self._in_memory = []

    def finish(self) -> Records:
        """Return all rows."""
        return self._stored or HeldRecords(pl.concat(self._in_memory))


def side_by_side(*tables: Records, mask: Mask | None = None) -> Iterator[tuple[pl.DataFrame, ...]]:
    """Yield the same rows of several tables of one height, some at a time."""
    waiting = [table.parts(mask) for table in tables]
    held = [pl.DataFrame() for _ in tables]
    while True:
        held = [
            one if one.height else next(parts, one)
            for one, parts in zip(held, waiting, strict=True)
        ]
        rows = min(one.height for one in held)
        if not rows:
            return
        yield tuple(one.head(rows) for one in held)
        held = [one.slice(rows) for one in held]


def write_parquet_in_parts(
    parts: Iterator[pl.DataFrame],
    path: Path,
    *,
    schema: pl.Schema,
    rows_per_group: int,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a table to a Parquet file with few of its rows in memory; equal ones in equal bytes."""
    failed: list[BaseException] = []

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, most: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        try:
            for part in parts:
                yield part if columns is None else part[columns]
        except BaseException as error:
            failed.append(error)
            raise

    plan = register_io_source(source, schema=schema)
    try:
        plan.sink_parquet(path, row_group_size=rows_per_group, metadata=metadata or {})
    except pl.exceptions.PolarsError:
        if failed:  # Polars 1 tells of it in words of its own
            raise failed[0] from None
        raise


def _rows_per_part(frame: pl.DataFrame) -> int:
    bytes_per_row = max(frame.estimated_size() / max(frame.height, 1), 1)
    return int(np.clip(_BYTES_PER_PART / bytes_per_row, 1, _ROWS_PER_PART))
