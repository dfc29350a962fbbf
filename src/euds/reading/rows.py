"""What every reader yields: rows, and rows that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl

from euds.pool import Source

__all__ = ["RAW_CHARACTERS", "RECORD_BYTES", "BadRow", "Cause", "Reader", "Row"]

RECORD_BYTES = 16 << 20
"""The largest record that is read; a larger one is refused without being held in memory."""

RAW_CHARACTERS = 1_000
"""How much of a bad row is kept."""

Cause = Literal["encoding", "zero bytes", "content"]


class Row(NamedTuple):
    """A row that could be parsed.

    ``record`` is what is written back, in the reader's own terms; ``fields`` are its values by
    column.
    """

    file: str
    line: int
    record: Any
    fields: Mapping[str, Any]


class BadRow(NamedTuple):
    """A row that cannot be used, and why."""

    file: str
    line: int
    reason: str
    raw: str
    cause: Cause = "content"


class Reader(Protocol):
    """A format: how rows are found in its files, and how they are kept to be written back."""

    columns_complete: bool
    """Whether `columns` gives all columns, or only those in the first rows."""

    def columns(self) -> list[str]:
        """Return the names of the columns."""

    def rows(self, wanted: list[str]) -> Iterator[Row | BadRow]:
        """Yield all rows in order; ``fields`` has at least the wanted columns that there are."""

    def records(self, records: list[Any]) -> pl.DataFrame:
        """Return a table of records, as the pool keeps them."""

    def size_of(self, record: Any) -> int:
        """Return about how much memory a record takes, in bytes."""

    def fields_of(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return all fields of one row of the table that `records` made."""

    def source(self) -> Source:
        """Return how the input was written; complete only after the last row."""
