"""Files that may be damaged: whatever is wrong with one is an exception of a known kind."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import polars as pl
import polars.selectors as cs
import zstandard

from euds.files.parquet import ImpossibleMetadataError, Metadata, check_counts, metadata_of

__all__ = [
    "FILE_DAMAGE",
    "UNREADABLE",
    "DamagedFileError",
    "first_line",
    "parquet_groups",
    "parse_json",
    "read_parquet",
    "read_parquet_columns",
    "read_parquet_group",
    "read_parquet_metadata",
]


_ROWS_TOGETHER, _BYTES_TOGETHER = 50_000, 4 << 20
_DEEPEST = 200  # levels of columns; a list takes two


class DamagedFileError(ValueError):
    """What is in a file is not what can have been written there; never leaves the package."""


FILE_DAMAGE = (OSError, pl.exceptions.PolarsError, DamagedFileError)
"""What a file that cannot be read raises, through the functions here."""

UNREADABLE = (
    *FILE_DAMAGE,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    zlib.error,
    zstandard.ZstdError,
    pl.exceptions.PanicException,  # no Exception: damaged Parquet makes Polars panic
)
"""What reading files raises whose whole content may be made up, down to the last value."""


def read_parquet(source: Path | IO[bytes], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the table in a Parquet file, or some of its columns.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedFileError
        See `FILE_DAMAGE`.
    """
    _check_metadata(source, counts=True)
    some = None if columns is None else list(columns)
    with _panics_as_damage():
        return pl.read_parquet(source, columns=some, glob=False)  # a name may hold a star


def parquet_groups(stream: IO[bytes]) -> tuple[pl.Schema, list[range]]:
    """Return the columns of a Parquet file, and the rows of its row groups, small ones together.

    Whoever reads a group has the file's metadata read once more: of a file of many small groups
    that would take much longer than the rows.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedFileError
        See `FILE_DAMAGE`.
    """
    metadata = _check_metadata(stream, counts=True)
    with _panics_as_damage():
        schema = pl.read_parquet_schema(stream)
    return pl.Schema(schema), [] if metadata is None else _together(metadata)


def _together(metadata: Metadata) -> list[range]:
    columns = len(metadata.chunks) // max(len(metadata.rows), 1)
    found: list[range] = []
    start = held = 0
    for number, rows in enumerate(metadata.rows):
        chunks = metadata.chunks[number * columns : (number + 1) * columns]
        size = sum(chunk.size for chunk in chunks)
        if found and len(found[-1]) + rows <= _ROWS_TOGETHER and held + size <= _BYTES_TOGETHER:
            found[-1] = range(found[-1].start, start + rows)
            held += size
        else:
            found.append(range(start, start + rows))
            held = size
        start += rows
    return found


def read_parquet_group(stream: IO[bytes], columns: Sequence[str], rows: range) -> pl.DataFrame:
    """Return columns of some rows, best those of a group; see `parquet_groups`.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedFileError
        See `FILE_DAMAGE`.
    """
    with _panics_as_damage():
        names = cs.by_name(*columns)  # a name may be a pattern
        part = pl.scan_parquet(stream).select(names).slice(rows.start, len(rows)).collect()
    if part.height != len(rows):
        raise DamagedFileError("it has fewer rows than it says")
    return part[list(columns)]


def read_parquet_columns(path: Path) -> list[str]:
    """Return the names of the columns in a Parquet file.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedFileError
        See `FILE_DAMAGE`.
    """
    _check_metadata(path)
    # By its name, a star in it would be a pattern.
    with path.open("rb") as stream, _panics_as_damage():
        return list(pl.read_parquet_schema(stream))


def read_parquet_metadata(path: Path) -> dict[str, str]:
    """Return the texts that were written into a Parquet file beside its table.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedFileError
        See `FILE_DAMAGE`.
    """
    _check_metadata(path)
    with _panics_as_damage():
        return pl.read_parquet_metadata(path)


@contextmanager
def _panics_as_damage() -> Iterator[None]:
    try:
        yield
    except pl.exceptions.PanicException as panic:  # the reader met what it did not foresee
        raise DamagedFileError(first_line(panic)) from panic


def _check_metadata(source: Path | IO[bytes], *, counts: bool = False) -> Metadata | None:
    """Check what would end the process without an exception; see `euds.files.parquet`."""
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as stream:
        try:
            metadata = metadata_of(stream)
            if metadata is not None and counts:
                check_counts(stream, metadata)
        except ImpossibleMetadataError as error:
            raise DamagedFileError(str(error)) from error
    if metadata is not None and metadata.depth > _DEEPEST:
        raise DamagedFileError(f"its columns are nested too deeply: {metadata.depth:,} levels")
    return metadata


def parse_json(content: str | bytes) -> Any:
    """Return the value in a JSON document.

    Raises
    ------
    DamagedFileError
        If it is none, or nested too deeply.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"no JSON: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return what an error says, without what follows in further lines."""
    text = getattr(error, "strerror", None) or str(error)
    return (text.splitlines() or [type(error).__name__])[0]
