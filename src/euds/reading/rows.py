"""What every reader yields: rows, rows that cannot be used, and single values as text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl

from euds.pool.pool import Source

__all__ = [
    "RAW_CHARACTERS",
    "RECORD_BYTES",
    "BadRow",
    "Cause",
    "Reader",
    "Row",
    "Unusable",
    "is_unicode",
    "kind_of",
    "shown_names",
    "text_of",
]


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


# What single values are called in messages, and how plain ones become text.

_NAMES_SHOWN = 20
_NAME_CHARACTERS = 100

_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    bytes: "bytes",
    type(None): "null",
}


class Unusable(Exception):  # noqa: N818 - not an error: a row goes to the rejected ones
    """Why a row cannot be used; never leaves this package."""


def kind_of(value: object) -> str:
    """Return what a value is, in the words of JSON.

    >>> kind_of([1]), kind_of(None), kind_of(1.5)
    ('an array', 'null', 'a number')
    """
    return _KINDS.get(type(value), f"a value of type {type(value).__name__}")


def text_of(value: Any, *, name: str) -> str:
    """Return a string as it is, and a number or a boolean as JSON writes it.

    >>> text_of(True, name="label"), text_of(4, name="label"), text_of("x", name="label")
    ('true', '4', 'x')
    """
    if isinstance(value, str):
        if not is_unicode(value):
            raise Unusable(f"{name} holds half of a surrogate pair, which is no character")
        return value
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    if isinstance(value, float):
        raise Unusable(f"{name} is {value}, not a finite number")
    raise Unusable(f"{name} is {kind_of(value)}, not a string")


def is_unicode(text: str) -> bool:
    """Return whether a string can be written: JSON can escape halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_names(names: Sequence[str]) -> str:
    """Return the names of columns for a message: the first twenty, each cut, and how many more.

    >>> shown_names(["text", "label"])
    "'text', 'label'"
    """
    shown = ", ".join(repr(name[:_NAME_CHARACTERS]) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return (shown or "none") + (f" and {more:,} more" if more > 0 else "")
