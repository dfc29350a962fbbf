"""Parquet files that may be damaged: whatever is wrong with one is an exception of a known kind."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import polars as pl

__all__ = ["PARQUET_DAMAGE", "DamagedParquetError", "first_line", "read_metadata", "read_parquet"]


class DamagedParquetError(ValueError):
    """The reader of Parquet files met something that it did not foresee."""


PARQUET_DAMAGE = (OSError, pl.exceptions.PolarsError, DamagedParquetError)
"""What a Parquet file that cannot be read raises."""


def read_parquet(source: Path | IO[bytes]) -> pl.DataFrame:
    """Return the table in a Parquet file.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedParquetError
        See `PARQUET_DAMAGE`.
    """
    try:
        return pl.read_parquet(source)
    except pl.exceptions.PanicException as panic:
        raise DamagedParquetError(first_line(panic)) from panic


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts that were written into a Parquet file beside its table.

    Raises
    ------
    OSError, polars.exceptions.PolarsError, DamagedParquetError
        See `PARQUET_DAMAGE`.
    """
    try:
        return pl.read_parquet_metadata(path)
    except pl.exceptions.PanicException as panic:
        raise DamagedParquetError(first_line(panic)) from panic


def first_line(error: BaseException) -> str:
    """Return what an error says, without what follows in further lines."""
    text = getattr(error, "strerror", None) or str(error)
    return (text.splitlines() or [type(error).__name__])[0]
