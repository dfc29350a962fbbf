"""CSV as RFC 4180 has it, and TSV as IANA's text/tab-separated-values has it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl

from euds.errors import InputError
from euds.pool.pool import Source
from euds.reading.inputs import Input
from euds.reading.lines import Line, TextStyle, agree, read_lines
from euds.reading.rows import (
    RAW_CHARACTERS,
    RECORD_BYTES,
    BadRow,
    Cause,
    Row,
    Unusable,
    shown_names,
)

__all__ = ["DelimitedReader", "split_csv", "split_tsv"]

_HEADER_REMEDIES: dict[Cause, str] = {
    "encoding": "name the encoding, for instance --encoding cp1252",
    "zero bytes": "the file may be UTF-16: try --encoding utf-16",
    "content": "correct the first line",
}


class _Record(NamedTuple):
    """A record: its first line's number, its text with inner line ends, its fields, its end."""

    number: int
    text: str
    fields: list[str]
    end: str


class DelimitedReader:
    """Reads CSV or TSV files that have the same header."""

    columns_complete = True

    def __init__(
        self,
        inputs: Sequence[Input],
        encoding: str | None,
        *,
        format: Literal["csv", "tsv"],  # noqa: A002
    ) -> None:
        self._inputs = inputs
        self._encoding = encoding
        self._format: Literal["csv", "tsv"] = format
        self._split = split_csv if format == "csv" else split_tsv
        self._first = self._open(inputs[0])
        self._style, self._header, _ = self._first

    def columns(self) -> list[str]:
        """Return the names in the header."""
        return self._header.fields

    def rows(self, wanted: list[str]) -> Iterator[Row | BadRow]:
        """Yield all rows in order."""
        for source in self._inputs:
            opened = self._first if source is self._inputs[0] else self._open(source)
            style, header, records = opened
            names = (self._inputs[0].name, source.name)
            agree(self._style, style, names=names)
            _check_same_header(self._header, header, names=names)
            for record in records:
                yield record if isinstance(record, BadRow) else self._row(source.name, record)

    def records(self, records: list[Any]) -> pl.DataFrame:
        """Return the records as a table."""
        return pl.DataFrame({"record": records}, schema={"record": pl.String})

    def size_of(self, record: Any) -> int:
        """Return about how much memory a record takes, in bytes."""
        return len(record)

    def fields_of(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the fields of a record by column."""
        return dict(zip(self._header.fields, self._split(record["record"]), strict=True))

    def source(self) -> Source:
        """Return how the first file was written."""
        return Source(
            self._format,
            self._inputs[0].suffix,
            encoding=self._style.encoding,
            bom=self._style.bom,
            newline=self._style.newline,
            header=self._header.text + (self._header.end or self._style.newline),
            columns=tuple(self._header.fields),
        )

    def _open(self, source: Input) -> tuple[TextStyle, _Record, Iterator[_Record | BadRow]]:
        """Return a file's style, its header, and the records after it."""
        style, lines = read_lines(source, self._encoding)
        is_csv = self._format == "csv"
        records = _csv_records(source.name, lines) if is_csv else _tsv_records(lines)
        header = next(records, None)
        if header is None:
            raise InputError(
                "the file is empty", where=source.name, expected="a header with column names"
            )
        if isinstance(header, BadRow):
            raise InputError(
                "the header cannot be read",
                where=f"{source.name}:{header.line}",
                got=header.reason,
                expected="a first line with column names",
                next_step=_HEADER_REMEDIES[header.cause],
            )
        _check_distinct(header, source.name)
        return style, header, records

    def _row(self, file: str, record: _Record) -> Row | BadRow:
        names = self._header.fields
        if len(record.fields) == len(names):
            # An empty field is how these formats write a missing value.
            fields = {name: field or None for name, field in zip(names, record.fields, strict=True)}
            return Row(file, record.number, record.text, fields)
        reason = f"the row has {len(record.fields)} fields, the header has {len(names)}"
        if record.text.count("\n"):
            reason += f" (it runs over {record.text.count(chr(10)) + 1} lines)"
        return BadRow(file, record.number, reason, record.text[:RAW_CHARACTERS])


def split_tsv(record: str) -> list[str]:
    r"""Return the fields of a TSV record: there is no quoting.

    >>> split_tsv('a\t"b"')
    ['a', '"b"']
    """
    return record.split("\t")


def split_csv(record: str) -> list[str]:
    """Return the fields of a CSV record.

    A quote counts only at the start of a field; a field with a quote inside must be quoted itself.

    Raises
    ------
    Unusable
        If the quotes are not as RFC 4180 demands.

    >>> split_csv('a,"b, ""c"" d",')
    ['a', 'b, "c" d', '']
    """
    if '"' not in record:
        return record.split(",")
    fields = []
    start = 0
    while True:
        take = _quoted if record.startswith('"', start) else _unquoted
        field, end = take(record, start)
        fields.append(field)
        if end == len(record):
            return fields
        start = end + 1  # past the comma


def _quoted(record: str, start: int) -> tuple[str, int]:
    """Return the quoted field that starts here, and where it ends."""
    quote = record.find('"', start + 1)
    while record.startswith('"', quote + 1):  # doubled: a quote in the text
        quote = record.find('"', quote + 2)
        if quote < 0:
            break
    if quote < 0:
        raise Unusable("a quoted field has no closing quote")
    if quote + 1 < len(record) and record[quote + 1] != ",":
        raise Unusable("text follows the closing quote of a field (a quote inside must be doubled)")
    return record[start + 1 : quote].replace('""', '"'), quote + 1


def _unquoted(record: str, start: int) -> tuple[str, int]:
    comma = record.find(",", start)
    end = len(record) if comma < 0 else comma
    field = record[start:end]
    if '"' in field:
        raise Unusable("a field with a quote inside is not quoted itself")
    return field, end


def _tsv_records(lines: Iterator[Line | BadRow]) -> Iterator[_Record | BadRow]:
    for line in lines:
        if isinstance(line, BadRow):
            yield line
        elif line.text:
            yield _Record(line.number, line.text, split_tsv(line.text), line.end)


def _csv_records(file: str, lines: Iterator[Line | BadRow]) -> Iterator[_Record | BadRow]:
    """Join the lines of each record.

    Where a record turns out to be broken, only its first line is given up and reading goes on at
    the next one: an unclosed quote must not swallow the good rows after it.
    """
    queue = _Queue(lines)
    while (first := queue.take()) is not None:
        if isinstance(first, BadRow):
            yield first
        elif first.text:
            record = _join(first, queue)
            if isinstance(record, str):
                yield BadRow(file, first.number, record, first.text[:RAW_CHARACTERS])
            else:
                yield record


class _Queue:
    """Lines, some of which may be given back to be read again."""

    def __init__(self, lines: Iterator[Line | BadRow]) -> None:
        self._lines = lines
        self._returned: deque[Line | BadRow] = deque()

    def take(self) -> Line | BadRow | None:
        """Return the next line; None after the last."""
        return self._returned.popleft() if self._returned else next(self._lines, None)

    def give_back(self, lines: Sequence[Line | BadRow]) -> None:
        """Put lines before those that are to come."""
        self._returned.extendleft(reversed(lines))


def _join(first: Line, queue: _Queue) -> _Record | str:
    """Return the record that begins with a line, or why there is none; then nothing is used up."""
    parts, reason = [first], "a quoted field has no closing quote"
    quotes, size = first.text.count('"'), len(first.text)
    while quotes % 2:  # the record ends where every quote has its partner
        line = queue.take()
        if isinstance(line, BadRow):
            queue.give_back([line])
            reason = f"a quoted field runs into line {line.line}: {line.reason}"
            break
        if line is None:
            break
        parts.append(line)
        quotes += line.text.count('"')
        size += len(line.text)
        if size > RECORD_BYTES:
            reason = f"a quoted field does not end within {RECORD_BYTES:,} characters"
            break
    else:
        end = parts[-1].end
        text = "".join([part.text + part.end for part in parts])
        text = text[: len(text) - len(end)]
        try:
            return _Record(first.number, text, split_csv(text), end)
        except Unusable as unusable:
            reason = str(unusable)
    queue.give_back(parts[1:])
    return reason


def _check_distinct(header: _Record, file: str) -> None:
    names = header.fields
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise InputError(
            "the header names a column twice",
            where=f"{file}:{header.number}",
            got=shown_names(repeated),
            expected="distinct column names",
            next_step="rename one of them in the file",
        )


def _check_same_header(first: _Record, other: _Record, *, names: tuple[str, str]) -> None:
    if first.fields != other.fields:
        raise InputError(
            "the inputs have different columns",
            got=f"{names[0]} has {shown_names(first.fields)}; "
            f"{names[1]} has {shown_names(other.fields)}",
            expected="the same columns in the same order",
            next_step="read them in separate calls, or convert one of them",
        )
