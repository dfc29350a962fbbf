"""Parquet files, and tables in memory, which behave like them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from euds.damage import FILE_DAMAGE, first_line, read_parquet
from euds.errors import InputError
from euds.pool import Source
from euds.reading.inputs import Input
from euds.reading.remote import RemotePath
from euds.reading.rows import BadRow, Row
from euds.reading.values import shown_names

__all__ = ["TableReader"]


class TableReader:
    """Reads Parquet files that have the same columns of the same types."""

    columns_complete = True

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self._frames = [_load(source) for source in inputs]
        self._all = self._frames[0]
        for source, frame in zip(inputs[1:], self._frames[1:], strict=True):
            _check_same_schema(self._all, frame, names=(inputs[0].name, source.name))
        if len(inputs) > 1:
            self._all = pl.concat(self._frames)

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return self._all.columns

    def rows(self, wanted: list[str]) -> Iterator[Row | BadRow]:
        """Yield all rows in order; the record of a row is its position among all rows."""
        names = [name for name in wanted if name in self._all.columns]
        position = 0
        for source, frame in zip(self._inputs, self._frames, strict=True):
            for number, fields in enumerate(frame.select(names).iter_rows(named=True), start=1):
                yield Row(source.name, number, position, fields)
                position += 1

    def records(self, records: list[Any]) -> pl.DataFrame:
        """Return the rows at the given positions, with all their columns."""
        return self._all[pl.Series(records, dtype=pl.UInt32)]

    def fields_of(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the row itself."""
        return record

    def source(self) -> Source:
        """Return how the tables were written."""
        return Source("parquet", ".parquet", columns=tuple(self._all.columns))


def _load(source: Input) -> pl.DataFrame:
    if source.frame is not None:
        _check_storable(source.frame, source.name)
        return source.frame
    assert source.path is not None
    try:
        with source.path.open("rb") as stream:
            # What is written last has to be read first; that is no question to put to a network.
            is_remote = isinstance(source.path, RemotePath)
            return read_parquet(io.BytesIO(stream.read()) if is_remote else stream)
    except FILE_DAMAGE as error:
        raise InputError(
            "the Parquet file is damaged, cut short, or cannot be read",
            where=source.name,
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


def _shown(frame: pl.DataFrame) -> str:
    return shown_names([f"{name}: {dtype}" for name, dtype in frame.schema.items()])


def _check_same_schema(first: pl.DataFrame, other: pl.DataFrame, *, names: tuple[str, str]) -> None:
    if first.schema != other.schema:
        raise InputError(
            "the inputs have different columns",
            got=f"{names[0]} has {_shown(first)}; {names[1]} has {_shown(other)}",
            expected="the same columns, of the same types, in the same order",
            next_step="read them in separate calls, or convert one of them",
        )
