"""Files of text into a `Pool`: JSONL, CSV, TSV, Parquet, folders of text files, tables in memory.

Bad rows never stop the reading and never vanish: they are in ``Pool.rejected`` with file, line and
reason. Inputs that are damaged as a whole, or of which too much is bad, are an `InputError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from euds.errors import InputError, OptionError
from euds.pool.pool import Pool, Source
from euds.reading.delimited import DelimitedReader
from euds.reading.folders import FolderReader
from euds.reading.inputs import Input, find_inputs
from euds.reading.jsonl import JsonlReader
from euds.reading.layout import Layout, Wishes, decide, missing_column
from euds.reading.rows import Reader
from euds.reading.samples import Samples, check_rejected, number_repeats, rejected_frame
from euds.reading.tables import TableReader

__all__ = ["read"]


def read(
    *inputs: str | Path | pl.DataFrame,
    text: str | None = None,
    context: str | None = None,
    label: str | None = None,
    id: str | None = None,  # noqa: A002
    encoding: str | None = None,
    max_rejected: float = 0.01,
) -> Pool:
    """Read files of text into a pool.

    Parameters
    ----------
    *inputs : str, pathlib.Path or polars.DataFrame
        Files (``.jsonl``, ``.csv``, ``.tsv``, ``.parquet``; the text formats also with ``.gz`` or
        ``.zst``), patterns such as ``data/*.jsonl``, folders of ``.txt`` files, addresses of any of
        these that fsspec knows (``s3://bucket/data/*.jsonl``), ``-`` for JSONL on standard input,
        or tables in memory; all of one format.
    text : str, optional
        The column of the text, or a template such as ``"{title} {body}"``. Without it, in turn:
        ``text``; ``response`` (after ``prompt``); ``output`` (after ``instruction`` and
        ``input``); the assistant's last turn in ``messages`` or ``conversations``.
    context : str, optional
        The column, or a template, of what the text is conditioned on. Without it: ``context`` if
        the text is the column ``text`` by default, the prompt, or the earlier turns.
    label : str, optional
        The column of the label; without it ``label``, if there is one.
    id : str, optional
        The column of the ids, which must be distinct strings or whole numbers. Without it, a
        column ``id`` is used if all rows have such ids; else ids are made from the texts.
    encoding : str, optional
        The encoding of text files; without it UTF-8, or what a byte order mark says.
    max_rejected : float
        The share of rows, 0 to 1, that may be unusable.

    Returns
    -------
    Pool
        The samples in the order of the input, and the rows that were refused.

    Raises
    ------
    InputError
        If an input is missing, damaged or empty, a column is missing, or too many rows are bad.
    MissingExtraError
        If an address is named, and fsspec is not installed.
    OptionError
        If ``encoding`` or ``max_rejected`` make no sense.

    Examples
    --------
    >>> import polars as pl
    >>> pool = read(pl.DataFrame({"text": ["good", "bad"], "label": [1, 0]}))
    >>> len(pool), pool.label_names
    (2, ('0', '1'))
    """
    if not 0 <= max_rejected <= 1:
        raise OptionError(
            "the share of rows that may be refused is out of range",
            where="max_rejected",
            got=str(max_rejected),
            expected="a number from 0 to 1; 0.01 is one row in a hundred",
        )
    found = find_inputs(inputs)
    reader = _reader(found, encoding)
    wishes = Wishes(text, context, label, id)
    layout, samples = _gather(reader, wishes, chat=found[0].format in ("jsonl", "parquet"))
    rows, wording, records = samples.finish()
    if not rows.height and not samples.rejected:
        raise InputError(
            "there are no rows",
            where=", ".join(one.name for one in found[:3]),
            expected="at least one sample",
        )
    check_rejected(samples.rejected, rows.height, max_rejected=max_rejected, encoding=encoding)
    source = _source(reader, layout, wishes, rows)
    if source.id is None:
        ids = number_repeats(rows, records, reader.fields_of, label=source.label)
        rows = rows.with_columns(ids)
    return Pool(rows, wording, records, source, rejected_frame(samples.rejected))


def _reader(found: Sequence[Input], encoding: str | None) -> Reader:
    format_ = found[0].format
    if format_ == "jsonl":
        return JsonlReader(found, encoding)
    if format_ == "csv" or format_ == "tsv":
        return DelimitedReader(found, encoding, format=format_)
    if format_ == "folder":
        return FolderReader(found, encoding)
    return TableReader(found)


def _gather(reader: Reader, wishes: Wishes, *, chat: bool) -> tuple[Layout, Samples]:
    """Read all rows, and check that the columns named by the user were there."""
    columns = reader.columns()
    if not columns and not reader.columns_complete:
        # No row so far is good; that is a better message than one about columns.
        wishes = replace(wishes, text=wishes.text or "text")
    layout = decide(columns, wishes, chat=chat)
    if columns:
        _check_columns(columns, layout, wishes, complete=reader.columns_complete)
    samples = Samples(reader, layout, ids_required=wishes.id is not None)
    for row in reader.rows(list(layout.columns)):
        samples.add(row)
    if columns:
        _check_columns(reader.columns(), layout, wishes, complete=True)
    return layout, samples


def _check_columns(
    columns: Sequence[str], layout: Layout, wishes: Wishes, *, complete: bool
) -> None:
    looked_for = [(name, "id" if name == wishes.id else "text") for name in layout.required]
    if complete:
        looked_for += [(name, "context") for name in layout.optional]
        looked_for += [(wishes.label, "label")] if wishes.label is not None else []
    for name, option in looked_for:
        if name not in columns:
            raise missing_column(name, columns, option=option)


def _source(reader: Reader, layout: Layout, wishes: Wishes, rows: pl.DataFrame) -> Source:
    """Return how the input was written, and which columns the fields came from."""
    source = reader.source()
    ids = rows["id"]
    has_ids = wishes.id is not None or not (ids.has_nulls() or ids.is_duplicated().any())
    return replace(
        source,
        text=layout.text,
        context=layout.context,
        label=layout.label if layout.label in source.columns else None,
        id=layout.id if has_ids else None,
    )
