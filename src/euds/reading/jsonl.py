"""JSONL: one JSON object a line."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from euds.pool.pool import Source
from euds.reading.inputs import Input
from euds.reading.lines import Line, TextStyle, agree, read_lines
from euds.reading.rows import RAW_CHARACTERS, BadRow, Row, kind_of

__all__ = ["JsonlReader"]

_HEAD_ROWS, _HEAD_BYTES = 10_000, 32 << 20
_JSON_SPACE = " \t\r\n"
_DEEPEST = 500
_TOO_DEEP = f"the JSON is nested too deeply: more than {_DEEPEST} objects or arrays in each other"


class JsonlReader:
    """Reads JSONL files; the columns are the keys that the objects have."""

    columns_complete = False

    def __init__(self, inputs: Sequence[Input], encoding: str | None) -> None:
        self._inputs = inputs
        self._encoding = encoding
        self._styles: list[TextStyle] = []
        self._names: dict[str, None] = {}  # a set that keeps the order
        self._rows = self._parse_all()
        self._head: deque[Row | BadRow] = deque()
        size = 0
        for row in itertools.islice(self._rows, _HEAD_ROWS):
            self._head.append(row)
            size += len(row.record) if isinstance(row, Row) else 0
            if size > _HEAD_BYTES:
                break

    def columns(self) -> list[str]:
        """Return the keys seen so far; before `rows`, those of the first 10,000 rows at most."""
        return list(self._names)

    def rows(self, wanted: list[str]) -> Iterator[Row | BadRow]:
        """Yield all rows in order, once."""
        while self._head:
            yield self._head.popleft()
        yield from self._rows

    def records(self, records: list[Any]) -> pl.DataFrame:
        """Return the lines as a table."""
        return pl.DataFrame({"record": records}, schema={"record": pl.String})

    def size_of(self, record: Any) -> int:
        """Return about how much memory a record takes, in bytes."""
        return len(record)

    def fields_of(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the object of a line."""
        fields: dict[str, Any] = json.loads(record["record"])
        return fields

    def source(self) -> Source:
        """Return how the first file was written."""
        style = self._styles[0]
        return Source(
            "jsonl",
            self._inputs[0].suffix,
            encoding=style.encoding,
            bom=style.bom,
            newline=style.newline,
            columns=tuple(self._names),
        )

    def _parse_all(self) -> Iterator[Row | BadRow]:
        for source in self._inputs:
            style, lines = read_lines(source, self._encoding)
            self._styles.append(style)
            agree(self._styles[0], style, names=(self._inputs[0].name, source.name))
            for line in lines:
                if isinstance(line, BadRow):
                    yield line
                elif line.text.strip(_JSON_SPACE):
                    yield self._parse(source.name, line)

    def _parse(self, file: str, line: Line) -> Row | BadRow:
        try:
            value = json.loads(line.text)
        except (ValueError, RecursionError) as error:
            reason = _reason(error)
        else:
            if _too_deep(line.text, value):
                reason = _TOO_DEEP
            elif isinstance(value, dict):
                if not value.keys() <= self._names.keys():
                    self._names.update(dict.fromkeys(value))
                return Row(file, line.number, line.text, value)
            else:
                reason = f"the line is {kind_of(value)}, not a JSON object"
        return BadRow(file, line.number, reason, line.text[:RAW_CHARACTERS])


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if isinstance(error, json.JSONDecodeError):
        return f"broken JSON: {error.msg} at character {error.colno}"
    return "a whole number has too many digits"


def _too_deep(text: str, value: object) -> bool:
    """Return whether objects and arrays are nested beyond the limit.

    The limit of Python itself depends on who calls: a line could be read here and not there.
    """
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return any(isinstance(inner, dict | list) for inner in level)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
