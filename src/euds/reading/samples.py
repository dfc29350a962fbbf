"""Rows into a pool: fields of the samples, ids, and the count of what was refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from euds.errors import InputError
from euds.pool.pool import (
    POOL_SCHEMA,
    REJECTED_SCHEMA,
    ROW_SCHEMA,
    WORDING_SCHEMA,
    shared,
    text_key,
)
from euds.pool.records import Records, RecordsAside
from euds.reading.layout import Layout
from euds.reading.rows import (
    RAW_CHARACTERS,
    BadRow,
    Reader,
    Row,
    Unusable,
    is_unicode,
    kind_of,
    text_of,
)

__all__ = ["Samples", "check_rejected", "number_repeats"]

_CHUNK_ROWS, _CHUNK_BYTES = 50_000, 32 << 20
_ID_DIGITS = 16
_EXAMPLES = 3


class Samples:
    """Gathers samples; columns are built in chunks, so that few Python objects live at a time.

    Parameters
    ----------
    reader : Reader
        Where the rows come from.
    layout : Layout
        Where the fields are in a row.
    ids_required : bool
        Whether every row must have a valid id of its own; else ids are used only if all have one.
    """

    def __init__(self, reader: Reader, layout: Layout, *, ids_required: bool) -> None:
        self.rejected: list[BadRow] = []
        self._reader = reader
        self._layout = layout
        self._ids_required = ids_required
        self._rows: list[tuple[str | None, str, str, str | None, str | None, str, int]] = []
        self._records: list[Any] = []
        self._bytes = 0
        self._chunks: list[pl.DataFrame] = []
        self._wording = RecordsAside(pl.Schema(WORDING_SCHEMA))
        self._set_aside = RecordsAside(reader.records([]).schema)

    def add(self, row: Row | BadRow) -> None:
        """Take a row, or refuse it."""
        if isinstance(row, BadRow):
            self.rejected.append(row)
            return
        try:
            self._take(row)
        except Unusable as unusable:
            self.rejected.append(BadRow(row.file, row.line, str(unusable), self._raw(row)))
        if len(self._rows) == _CHUNK_ROWS or self._bytes > _CHUNK_BYTES:
            self._flush()

    def finish(self) -> tuple[pl.DataFrame, Records, Records]:
        """Return the samples, with the user's ids (null where there is none), texts and records."""
        self._flush()
        rows, self._chunks = pl.concat(self._chunks), []
        # A column of one value for all rows takes no memory.
        empty = [one.name for one in rows if one.null_count() == len(one)]
        nothing = [pl.lit(None, dtype=POOL_SCHEMA[name]).alias(name) for name in empty]
        rows = rows.with_columns(nothing)
        wording, records = self._wording.finish(), self._set_aside.finish()
        if not self._ids_required or (is_first := rows["id"].is_first_distinct()).all():
            return rows, wording, records
        # Looked for at the end: ids of millions of rows would else be held twice.
        self._refuse_repeats(rows, records, ~is_first)
        return rows.filter(is_first), wording.keep(is_first), records.keep(is_first)

    def _refuse_repeats(self, rows: pl.DataFrame, records: Records, repeats: pl.Series) -> None:
        places = rows.select("id", "file", "line")
        repeated = places.filter(repeats)
        firsts = places.filter(~repeats).filter(pl.col("id").is_in(repeated["id"].implode()))
        told = repeated.join(firsts, on="id", how="left", maintain_order="left")
        raw = (record for part in records.parts(repeats) for record in part.iter_rows(named=True))
        for (id_, file, line, first_file, first_line), record in zip(
            told.iter_rows(), raw, strict=True
        ):
            shown = {name: record[name] for name in self._layout.columns if name in record}
            row = Row(file, line, record.get("record") if len(record) == 1 else None, shown)
            reason = f"repeats the id {id_!r} of {first_file}:{first_line}"
            self.rejected.append(BadRow(file, line, reason, self._raw(row)))

    def _take(self, row: Row) -> None:
        text, context = self._layout.take(row.fields)
        if not text or text.isspace():
            raise Unusable("the text is empty" if not text else "the text is only white space")
        try:
            key = text_key(text, context)
        except UnicodeEncodeError:
            raise Unusable(
                "the text or context holds half of a surrogate pair, which is no character"
            ) from None
        label = self._label(row.fields)
        self._rows.append((self._id(row), key, text, context, label, row.file, row.line))
        self._records.append(row.record)
        self._bytes += len(text) + len(context or "") + self._reader.size_of(row.record)

    def _label(self, fields: Mapping[str, Any]) -> str | None:
        value = fields.get(self._layout.label)
        # NaN is how numeric tables write a missing value.
        if value is None or value != value:
            return None
        return text_of(value, name="the label")

    def _id(self, row: Row) -> str | None:
        value = row.fields.get(self._layout.id) if self._layout.id is not None else None
        valid = isinstance(value, str | int) and not isinstance(value, bool) and value != ""
        id_ = str(value) if valid and is_unicode(str(value)) else None
        if not self._ids_required:
            return id_
        if id_ is None:
            raise Unusable(f"the id, field {self._layout.id!r}, is {_id_kind(value)}")
        return id_

    def _raw(self, row: Row) -> str:
        if isinstance(row.record, str):
            return row.record[:RAW_CHARACTERS]
        shown = repr(dict(row.fields))[:RAW_CHARACTERS]
        return shown.encode("utf-8", "backslashreplace").decode()

    def _flush(self) -> None:
        frame = pl.DataFrame(self._rows, schema=POOL_SCHEMA, orient="row")
        self._chunks.append(frame.select(list(ROW_SCHEMA)).with_columns(shared(frame["file"])))
        self._wording.add(frame.select(list(WORDING_SCHEMA)))
        self._set_aside.add(self._reader.records(self._records))
        self._rows, self._records, self._bytes = [], [], 0


def number_repeats(
    samples: pl.DataFrame,
    records: Records,
    fields_of: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    label: str | None,
) -> pl.Series:
    """Return ids made of the keys; equal samples get ``-2``, ``-3``, ... after the first.

    Which of the equal ones is the first is told by the other fields of their records, then by the
    label, and last by position, so that neither the order of the input nor the labels move an id
    from one row to another that differs from it.
    """
    start = samples["key"].str.slice(0, _ID_DIGITS)
    repeated = start.is_duplicated()
    if not repeated.any():
        return start.alias("id")
    ids = start.filter(repeated).to_list()
    rows = (row for part in records.parts(repeated) for row in part.iter_rows(named=True))
    labels = samples["label"].filter(repeated).to_list()
    order = sorted(
        (id_, _rest_hash(fields_of(row), label), name or "", place)
        for place, (id_, row, name) in enumerate(zip(ids, rows, labels, strict=True))
    )
    occurrence = 0
    previous = None
    for id_, _, _, place in order:
        occurrence = occurrence + 1 if id_ == previous else 1
        previous = id_
        if occurrence > 1:
            ids[place] = f"{id_}-{occurrence}"
    return start.scatter(repeated.arg_true(), ids).alias("id")


def check_rejected(
    rejected: list[BadRow], usable: int, *, max_rejected: float, encoding: str | None
) -> None:
    """Refuse the input if too many of its rows, or all of them, cannot be used.

    Raises
    ------
    InputError
        With the first reasons, and with the remedy that fits most of them.
    """
    total = usable + len(rejected)
    if usable and len(rejected) <= max_rejected * total:
        return
    shown = "".join(f"\n    {bad.file}:{bad.line}: {bad.reason}" for bad in rejected[:_EXAMPLES])
    raise InputError(
        f"{len(rejected):,} of {total:,} rows cannot be used",
        got=f"first{shown}",
        expected=f"at most {max_rejected:.4g} of the rows, and one that can be used",
        next_step=_remedy(rejected, encoding, usable=usable),
    )


def rejected_frame(rejected: list[BadRow]) -> pl.DataFrame:
    """Return the refused rows as the pool keeps them."""
    rows = [
        # JSON can escape halves of surrogate pairs, which no file can hold.
        (bad.file, bad.line, _writable(bad.reason), _writable(bad.raw))
        for bad in rejected
    ]
    return pl.DataFrame(rows, schema=REJECTED_SCHEMA, orient="row")


def _writable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _remedy(rejected: list[BadRow], encoding: str | None, *, usable: int) -> str:
    causes = [bad.cause for bad in rejected]
    if 2 * causes.count("encoding") >= len(causes):
        if encoding is None:
            return "name the encoding: --encoding cp1252, for files from Western Windows programs"
        return f"the files are hardly {encoding}: try another --encoding"
    if 2 * causes.count("zero bytes") >= len(causes):
        return "the files may be UTF-16: try --encoding utf-16"
    if not usable:
        return "check that the file is what its name says, and that --text names the right column"
    percent = 100 * len(rejected) // (usable + len(rejected)) + 1
    return f"correct the rows, or allow more with --max-rejected {percent / 100:g}"


def _id_kind(value: object) -> str:
    if value is None:
        return "missing"
    return "empty" if value == "" else f"{kind_of(value)}, not a string or a whole number"


def _rest_hash(fields: Mapping[str, Any], label: str | None) -> str:
    rest = {name: value for name, value in fields.items() if name != label}
    try:
        canonical = json.dumps(rest, sort_keys=True, ensure_ascii=True, default=repr)
    except RecursionError:  # what could just be read may be too deep to be written
        canonical = ""
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
