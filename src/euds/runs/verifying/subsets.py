"""The subset's rows against those that the selection keeps.

What is expected comes from the records of the pool, one after the other, and not from the code that
writes subsets.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import zstandard
from numpy.typing import NDArray

from euds.files.damage import read_parquet
from euds.files.plain import open_plain
from euds.pool.pool import Pool
from euds.runs.verifying.problems import Told

__all__ = ["check_subset"]

_WEIGHT = "euds_weight"
_NUMBER = re.compile(r"[0-9.e+-]+")
_WEIGHT_PRECISION = 1e-5  # six digits are written
_ROOM_FOR_WEIGHT = 64
_MARK = "\ufeff"


def check_subset(
    path: Path, name: str, pool: Pool, selection: pl.DataFrame, *, weights: bool, told: Told
) -> None:
    """Check that a subset holds the kept rows, each as it was read, in the pool's order.

    Parameters
    ----------
    path : pathlib.Path
        The subset; a folder for a pool from a folder.
    name : str
        What it is called in the run.
    pool : Pool
        The pool.
    selection : polars.DataFrame
        ``id``, ``kept``, ``inclusion`` in the pool's order.
    weights : bool
        Whether the rows have weights.
    told : Told
        Gets the problems.
    """
    records = pool.raw.read(selection["kept"])
    expected = _weights(selection) if weights else None
    with told.reading(name):
        if pool.source.format == "folder":
            found = _of_folder(path, records)
        elif pool.source.format == "parquet":
            found = _of_parquet(path, records, expected)
        else:
            found = _of_text(path, pool, records["record"].to_list(), expected)
        if found is not None:
            got, wanted = found
            told.problem(
                "content",
                "the subset's rows are not those that the selection keeps",
                name,
                got=got,
                expected=wanted,
            )


_Difference = tuple[str, str] | None


def _weights(selection: pl.DataFrame) -> NDArray[np.float64]:
    inverse = 1 / selection.filter("kept")["inclusion"].to_numpy()
    scaled: NDArray[np.float64] = inverse / inverse.mean()
    return scaled


def _of_folder(path: Path, records: pl.DataFrame) -> _Difference:
    expected = dict(records.select("path", "bytes").iter_rows())
    found = {file.relative_to(path).as_posix(): file for file in _plain(path)}
    if found.keys() != expected.keys():
        return f"{len(found):,} files", f"{len(expected):,} files, those of the kept rows"
    for name, content in expected.items():
        with open_plain(found[name]) as stream:
            if stream.read(len(content) + 1) != content:
                return f"another content of {name}", "the file as it was read"
    return None


def _plain(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where) / name for name in names)


def _of_parquet(
    path: Path, records: pl.DataFrame, weights: NDArray[np.float64] | None
) -> _Difference:
    with open_plain(path) as stream:
        rows = read_parquet(stream)
    if weights is not None:
        difference = _weigh(rows[_WEIGHT].to_list(), weights)
        if difference is not None:
            return difference
        rows = rows.drop(_WEIGHT)
    if rows.schema != records.schema:
        return "other columns", "the columns of the input"
    if rows.height != records.height:
        return f"{rows.height:,} rows", f"{records.height:,} rows"
    if not rows.equals(records):
        return "rows with another content", "the rows as they were read"
    return None


def _of_text(
    path: Path, pool: Pool, records: list[str], weights: NDArray[np.float64] | None
) -> _Difference:
    source = pool.source
    header = (_MARK if source.bom else "") + (source.header or "")
    written = header + "".join(f"{record}{source.newline}" for record in records)
    room = (1 + len(records)) * _ROOM_FOR_WEIGHT if weights is not None else 0
    most = len(written.encode(source.encoding)) + 4 * room
    content = _content(path, most + 1)
    if len(content) > most:
        return "a longer file", f"{len(records):,} rows"
    text = content.decode(source.encoding)
    if weights is not None and source.header is not None:
        ending = header[len(header.rstrip("\r\n")) :]
        between = "\t" if source.format == "tsv" else ","
        header = f"{header.rstrip()}{between}{_WEIGHT}{ending}"
    if not text.startswith(header):
        return "another beginning of the file", "the header of the input"
    at, numbers = len(header), []
    for number, record in enumerate(records, start=1):
        if weights is None:
            end = at + len(record) if text.startswith(record, at) else -1
        else:
            end, weight = _with_weight(text, at, record, source.format)
            numbers.append(weight)
        if end < 0 or not text.startswith(source.newline, end):
            return f"another row {number:,}", "the record of the kept row as it was read"
        at = end + len(source.newline)
    if at != len(text):
        return f"more after {len(records):,} rows", f"{len(records):,} rows"
    return None if weights is None else _weigh(numbers, weights)


def _with_weight(text: str, at: int, record: str, format_: str) -> tuple[int, float]:
    """Return where a record with its weight ends, -1 if it is another, and the weight."""
    if format_ == "jsonl":
        # The weight comes before the last bracket of the object.
        body = record.rstrip().removesuffix("}").rstrip()
        before, after = f", {json.dumps(_WEIGHT)}: ", "}"
    else:
        body, before, after = record, "\t" if format_ == "tsv" else ",", ""
    start = at + len(body) + len(before)
    number = _NUMBER.match(text, start)
    if not text.startswith(body + before, at) or number is None:
        return -1, float("nan")
    if not text.startswith(after, number.end()):
        return -1, float("nan")
    return number.end() + len(after), float(number.group())


def _weigh(found: list[float], expected: NDArray[np.float64]) -> _Difference:
    got = np.array(found, dtype=np.float64)
    if got.shape != expected.shape:
        return f"{len(got):,} weights", f"{len(expected):,} weights"
    if not np.allclose(got, expected, rtol=_WEIGHT_PRECISION, atol=0):
        return "other weights", "1 / inclusion, with a mean of 1"
    return None


def _content(path: Path, most: int) -> bytes:
    """Return at most so many bytes of what a file holds when it is decompressed."""
    with open_plain(path) as stream:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=stream) as inner:
                return inner.read(most)
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(stream) as inner:
                return bytes(inner.read(most))
        return stream.read(most)
