"""Samples back into files: the subset as the input was written, and the rows that were refused."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import zstandard

from euds.errors import InputError, OptionError
from euds.files.atomic import atomic_write
from euds.pool.pool import Pool, Source
from euds.pool.records import write_parquet_in_parts
from euds.reading.inputs import format_of

__all__ = ["WEIGHT_COLUMN", "check_weights", "write_rejected", "write_subset"]

WEIGHT_COLUMN = "euds_weight"


def write_subset(
    pool: Pool,
    kept_ids: Sequence[str] | pl.Series,
    path: Path,
    *,
    weights: pl.Series | None = None,
) -> Path:
    """Write the kept rows as the input was written: its format, encoding, order and very text.

    Parameters
    ----------
    pool : Pool
        The pool that the rows are of.
    kept_ids : sequence of str or polars.Series
        The ids of the rows to write, in any order.
    path : pathlib.Path
        Where to write. Its suffix must be one of the input's format; ``.gz`` or ``.zst`` after it
        compresses. For a pool from a folder it is a folder.
    weights : polars.Series, optional
        The weight of each kept row, in the pool's order, for a last column ``euds_weight``.

    Returns
    -------
    pathlib.Path
        ``path``.

    Raises
    ------
    InputError
        If the suffix tells another format, an id is not in the pool, or an input, or a folder with
        files of other origin, would be overwritten.
    OptionError
        If there are weights and no place for them: a folder, or a column of that name.
    StoreError
        If the file cannot be written.
    """
    path = Path(path)
    suffix = _check_format(pool, path)
    _check_not_an_input(pool, path)
    mask = _mask(pool, kept_ids)
    parts = pool.raw.parts(mask)
    source = pool.source
    if weights is not None:
        check_weights(pool)
        if len(weights) != mask.sum():
            raise pl.exceptions.ShapeError(f"{len(weights)} weights for {mask.sum()} rows")
        source, parts = _with_header(source), _with_weights(source, parts, weights)
    if source.format == "folder":
        _check_replaceable(pool, path)
        with atomic_write(path) as temporary:
            _write_folder(parts, temporary)
    elif source.format == "parquet":
        schema = dict(pool.raw.schema)
        if weights is not None:
            schema[WEIGHT_COLUMN] = pl.Float64()
        with atomic_write(path) as temporary:
            write_parquet_in_parts(
                parts,
                temporary,
                schema=pl.Schema(schema),
                rows_per_group=pool.raw.rows_per_part,
            )
    else:
        with atomic_write(path) as temporary, _open(temporary, suffix) as write:
            _write_records(source, parts, write)
    return path


def write_rejected(pool: Pool, path: Path) -> Path:
    """Write the refused rows as JSONL with ``file``, ``line``, ``reason`` and ``raw``.

    Returns
    -------
    pathlib.Path
        ``path``.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        for row in pool.rejected.iter_rows(named=True):
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return path


def check_weights(pool: Pool) -> None:
    """Check that the subset has a place for weights.

    Raises
    ------
    OptionError
        If it is a folder, or has a column of that name.
    """
    source = pool.source
    if source.format == "folder" or WEIGHT_COLUMN in source.columns:
        raise OptionError(
            "the subset has no place for weights",
            got="a folder of text files"
            if source.format == "folder"
            else f"an input that has a column {WEIGHT_COLUMN!r}",
            next_step="leave out --weights; selection.parquet has the inclusion of each row",
        )


def _with_weights(
    source: Source, parts: Iterable[pl.DataFrame], weights: pl.Series
) -> Iterator[pl.DataFrame]:
    """Add weights behind what is there, which stays exactly as it was."""
    row = 0
    for part in parts:
        some = weights.slice(row, part.height)
        row += part.height
        if source.format == "parquet":
            yield part.with_columns(some.alias(WEIGHT_COLUMN))
            continue
        lines = zip(part["record"], (f"{weight:.6g}" for weight in some), strict=True)
        if source.format == "jsonl":
            field = json.dumps(WEIGHT_COLUMN)
            weighted = [
                f"{line.rstrip()[:-1].rstrip()}, {field}: {number}}}" for line, number in lines
            ]
        else:
            weighted = [line + _between(source) + number for line, number in lines]
        yield pl.DataFrame({"record": weighted})


def _with_header(source: Source) -> Source:
    """Add the name of the weights to the header of a CSV or TSV file."""
    if source.header is None:
        return source
    names = source.header.rstrip("\r\n")
    end = source.header[len(names) :]
    return replace(source, header=f"{names}{_between(source)}{WEIGHT_COLUMN}{end}")


def _between(source: Source) -> str:
    return "," if source.format == "csv" else "\t"


def _mask(pool: Pool, kept_ids: Sequence[str] | pl.Series) -> pl.Series:
    kept = pl.Series(kept_ids, dtype=pl.String).unique()
    mask = pool.rows["id"].is_in(kept)
    if mask.sum() != len(kept):
        unknown = sorted(set(kept) - set(pool.rows["id"]))
        raise InputError(
            f"{len(unknown):,} ids are not in the pool",
            got=", ".join(map(repr, unknown[:3])),
            expected="ids of the pool that the selection was made from",
        )
    return mask


def _check_format(pool: Pool, path: Path) -> str:
    """Return the suffix of a path that names a file in the pool's format."""
    found = format_of(path)
    expected = pool.source.format
    if expected == "folder":
        if found is None and not path.is_file():
            return ""
        raise InputError(
            "the subset of a folder of text files is a folder",
            where=str(path),
            got="the name of a file",
            expected="the path of a folder",
            next_step=f"choose a name such as {path.with_suffix('').name}",
        )
    if found is None or found[0] != expected or (expected == "parquet" and path.suffix != found[1]):
        raise InputError(
            f"the input is {expected}, and the subset is written in the same format",
            where=str(path),
            got=f"the suffix {''.join(path.suffixes[-2:])!r}",
            expected=f"the suffix {pool.source.suffix!r}",
            next_step="convert the input first if you need another format",
        )
    return found[1]


def _check_not_an_input(pool: Pool, path: Path) -> None:
    if not path.exists():
        return
    names = pool.rows["file"].unique().to_list()
    if pool.source.format == "folder":
        pairs = zip(pool.rows["file"], _paths(pool), strict=True)
        names = list({file.removesuffix(relative) for file, relative in pairs})
    target = os.path.realpath(path)
    if target in {os.path.realpath(name) for name in names}:
        raise InputError(
            "the subset would overwrite its own input",
            where=str(path),
            next_step="choose another name for the subset",
        )


def _check_replaceable(pool: Pool, path: Path) -> None:
    """Let an earlier subset be replaced, and nothing else."""
    if not path.is_dir():
        return
    ours = set(_paths(pool))
    others = [found.relative_to(path).as_posix() for found in path.rglob("*") if not found.is_dir()]
    foreign = sorted(set(others) - ours)
    if foreign:
        raise InputError(
            "the folder holds files that are not of this pool",
            where=str(path),
            got=", ".join(foreign[:3]),
            expected="no folder, an empty one, or an earlier subset of the same pool",
            next_step="choose another name for the subset",
        )


def _paths(pool: Pool) -> pl.Series:
    return pool.raw.read(columns=["path"])["path"]


def _write_folder(parts: Iterable[pl.DataFrame], folder: Path) -> None:
    folder.mkdir()
    for relative, content in (row for part in parts for row in part.iter_rows()):
        file = folder / relative
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InputError("a path of the pool leads out of the subset's folder", where=relative)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _write_records(
    source: Source, parts: Iterable[pl.DataFrame], write: Callable[[bytes], object]
) -> None:
    write((("\ufeff" if source.bom else "") + (source.header or "")).encode(source.encoding))
    for part in parts:
        text = "".join([record + source.newline for record in part["record"]])
        write(text.encode(source.encoding))


@contextlib.contextmanager
def _open(path: Path, suffix: str) -> Iterator[Callable[[bytes], object]]:
    """Give the function that writes to a new file; the same content always gives the same bytes."""
    with path.open("wb") as stream:
        if suffix.endswith(".gz"):
            # No name and no time, which gzip would store.
            with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as compressed:
                yield compressed.write
        elif suffix.endswith(".zst"):
            compressor = zstandard.ZstdCompressor(write_checksum=True)
            with compressor.stream_writer(stream, closefd=False) as compressed:
                yield compressed.write
        else:
            yield stream.write
