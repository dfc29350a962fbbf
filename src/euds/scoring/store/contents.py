"""What the store is made of, wherever it lies: files of rows, named by the hash of their bytes."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

import polars as pl

from euds.errors import StoreError
from euds.files.damage import FILE_DAMAGE, first_line, read_parquet

__all__ = [
    "MERGE_ABOVE_FILES",
    "RECIPE",
    "MeasurementStore",
    "Taken",
    "described",
    "digest_of_bytes",
    "is_whole",
    "packed_rows",
    "rows_in",
    "rows_of_all",
    "rows_without",
]

RECIPE = "recipe.json"
"""The file in a recipe's folder that tells what made the numbers."""


MERGE_ABOVE_FILES = 64
"""More files of one recipe are put into one."""


@dataclass(frozen=True)
class Taken:
    """What was taken out of a folder of the store, or would be.

    Parameters
    ----------
    rows : int
        Rows of the keys.
    unreadable : int
        Files that could not be read, so that nobody can tell whose rows are in them.
    unfinished : int
        Files that a process was writing when it was killed.
    """

    rows: int = 0
    unreadable: int = 0
    unfinished: int = 0


class MeasurementStore(Protocol):
    """Measurements by recipe and key, kept somewhere; folders are what `folders` gives."""

    def folder(self, recipe: dict[str, Any]) -> Any:
        """Return the folder of a recipe."""

    def folders(self) -> Sequence[Any]:
        """Return the folders of all recipes, sorted; each has a ``name``."""

    def rows(self, recipe: dict[str, Any]) -> pl.DataFrame | None:
        """Return all rows held for a recipe, each key once, sorted by key; None without any."""

    def add(self, recipe: dict[str, Any], rows: pl.DataFrame) -> Any:
        """Add rows (``key`` and columns) under a recipe: all of them, or none."""

    def merge(self, recipe: dict[str, Any]) -> None:
        """Put a recipe's many small files into one, if there are many."""

    def held(self, folder: Any) -> Iterator[pl.DataFrame]:
        """Give the rows of each file of a recipe's folder that is whole; keys may repeat."""

    def take_out(self, folder: Any, keys: Sequence[str], *, dry_run: bool = False) -> Taken:
        """Take rows out of a recipe's folder, and files that nobody can tell the rows of."""


def digest_of_bytes(data: bytes) -> str:
    """Return the hash that a file of the store is named by."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_whole(data: bytes, name: PurePath) -> bool:
    """Return whether a content is that of the file of this name, whatever its suffix."""
    return digest_of_bytes(data) == name.stem


def packed_rows(rows: pl.DataFrame) -> tuple[str, bytes]:
    """Return the name of the file that rows go into, and its content."""
    buffer = io.BytesIO()
    rows.sort("key").write_parquet(buffer, compression="zstd")
    data = buffer.getvalue()
    return f"{digest_of_bytes(data)}.parquet", data


def rows_in(data: bytes) -> pl.DataFrame:
    """Return the rows in the content of a file."""
    return read_parquet(io.BytesIO(data))


def rows_without(data: bytes, keys: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Return the rows in the content of a file that have none of the keys, and how many have."""
    rows = rows_in(data)
    stay = rows.filter(~pl.col("key").is_in(pl.Series(keys, dtype=pl.String).implode()))
    return stay, rows.height - stay.height


def rows_of_all(contents: Iterable[bytes], *, where: str) -> pl.DataFrame:
    """Return the rows of several files, each key once, sorted by key.

    Raises
    ------
    StoreError
        If they do not belong together.
    """
    try:
        # Files of an older version may lack a column; its values are then null.
        rows = pl.concat([rows_in(data) for data in contents], how="diagonal")
        return rows.unique("key", keep="first", maintain_order=True).sort("key")
    except FILE_DAMAGE as error:  # it is what its name says, but not what we wrote
        raise StoreError(
            "the files of a recipe do not belong together",
            where=where,
            got=first_line(error),
            next_step="remove the folder to have its rows measured again",
        ) from error


def described(recipe: dict[str, Any]) -> bytes:
    """Return what stands in the file `RECIPE`."""
    return (json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
