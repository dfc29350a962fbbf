"""Parquet files, and tables in memory, which behave like them."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl

from euds.errors import InputError
from euds.files.damage import FILE_DAMAGE, first_line, parquet_groups, read_parquet_group
from euds.pool.pool import Source
from euds.reading.inputs import Input
from euds.reading.remote import RemotePath
from euds.reading.rows import BadRow, Row, shown_names

__all__ = ["TableReader"]


class TableReader:
    """Reads Parquet files that have the same columns of the same types."""

    columns_complete = True

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._tables = [_Table(source) for source in inputs]
        self._schema = self._tables[0].schema
        self._sized = (pl.DataFrame(), 0)
        for table in self._tables[1:]:
            _check_same_schema(self._tables[0], table)

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self._schema)

    def rows(self, wanted: list[str]) -> Iterator[Row | BadRow]:
        """Yield all rows in order; the record of a row is where it is: a table, and a number."""
        names = [name for name in wanted if name in self._schema]
        for table in self._tables:
            line = 1
            for part in table.parts():
                for number, fields in enumerate(part[names].iter_rows(named=True)):
                    yield Row(table.name, line + number, (part, number), fields)
                line += part.height

    def records(self, records: list[Any]) -> pl.DataFrame:
        """Return the rows at the given places, with all their columns."""
        found = [pl.DataFrame(schema=self._schema)]
        for _, places in itertools.groupby(records, key=lambda record: id(record[0])):
            tables, numbers = zip(*places, strict=True)
            found.append(tables[0][list(numbers)])
        return pl.concat(found)

    def size_of(self, record: Any) -> int:
        """Return about how many bytes a record takes, as the rows beside it do on average."""
        table: pl.DataFrame = record[0]
        if table is not self._sized[0]:
            self._sized = (table, int(table.estimated_size() / table.height))
        return self._sized[1]

    def fields_of(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the row itself."""
        return record

    def source(self) -> Source:
        """Return how the tables were written."""
        return Source("parquet", ".parquet", columns=tuple(self._schema))


class _Table:
    """An input: a table in memory, or a file that is read a row group at a time."""

    def __init__(self, source: Input) -> None:
        self.name = source.name
        self._source = source
        self._content: bytes | None = None
        if source.frame is not None:
            _check_storable(source.frame, source.name)
            self.schema = source.frame.schema
            return
        if isinstance(source.path, RemotePath):
            # What is written last has to be read first; that is no question to put to a network.
            with _told_as_input(self.name), source.path.open("rb") as stream:
                self._content = stream.read()
        with self._opened() as stream:
            self.schema = parquet_groups(stream)[0]

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, those of one group of a file together in memory."""
        if self._source.frame is not None:
            yield self._source.frame
            return
        with self._opened() as stream:
            schema, groups = parquet_groups(stream)
            for rows in groups:
                yield read_parquet_group(stream, list(schema), rows)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with _told_as_input(self.name):
            if self._content is not None:
                yield io.BytesIO(self._content)
                return
            assert isinstance(self._source.path, Path)
            with self._source.path.open("rb") as stream:
                yield stream


@contextlib.contextmanager
def _told_as_input(name: str) -> Iterator[None]:
    try:
        yield
    except FILE_DAMAGE as error:
        raise InputError(
            "the Parquet file is damaged, cut short, or cannot be read",
            where=name,
            got=first_line(error),
            expected="a complete Parquet file",
            next_step="check its permissions, and copy or write it again",
        ) from error


def _check_storable(frame: pl.DataFrame, name: str) -> None:
    objects = [column for column, dtype in frame.schema.items() if dtype == pl.Object]
    if objects:
        raise InputError(
            "the table has columns of Python objects, which no file can hold",
            where=name,
            got=shown_names(objects),
            next_step="drop them, or turn them into a type of Polars",
        )


def _shown(schema: pl.Schema) -> str:
    return shown_names([f"{name}: {dtype}" for name, dtype in schema.items()])


def _check_same_schema(first: _Table, other: _Table) -> None:
    if first.schema != other.schema:
        raise InputError(
            "the inputs have different columns",
            got=f"{first.name} has {_shown(first.schema)}; {other.name} has {_shown(other.schema)}",
            expected="the same columns, of the same types, in the same order",
            next_step="read them in separate calls, or convert one of them",
        )
