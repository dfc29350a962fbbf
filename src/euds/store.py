"""The store: what was measured once is never measured again.

::

    <cache>/store/v1/<measurement>-<hash of the recipe>/
        recipe.json                 what made the numbers, in full
        <hash of the file>.parquet  rows ``key`` + the measurement's columns

A file is named by the hash of its bytes, is written aside and renamed, and is never changed. So a
kill loses at most the shard in work; a truncated or altered file no longer matches its name, is set
aside with a warning, and its rows are measured again; two processes may add at once (the same
rows twice do no harm). Another parameter or model is another recipe, hence another folder: an old
number is never met by accident.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from euds.atomic import write_bytes_atomically
from euds.damage import FILE_DAMAGE, first_line, read_parquet
from euds.errors import StoreError
from euds.locations import cache_dir
from euds.scorers.base import recipe_id

__all__ = ["Store"]

_LOG = logging.getLogger(__name__)
_MERGE_ABOVE_FILES = 64


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Store:
    """Measurements on disk, by recipe and key.

    Parameters
    ----------
    root : pathlib.Path
        The folder; made when something is first added.
    """

    root: Path

    @classmethod
    def default(cls) -> Store:
        """Return the user's store: in ``EUDS_CACHE``, else in the platform's cache folder."""
        return cls(cache_dir() / "store" / "v1")

    def folder(self, recipe: dict[str, Any]) -> Path:
        """Return the folder of a recipe."""
        return self.root / recipe_id(recipe)

    def rows(self, recipe: dict[str, Any]) -> pl.DataFrame | None:
        """Return all rows held for a recipe, each key once, sorted by key; None if there are none.

        Raises
        ------
        StoreError
            If a file is there but cannot be opened.
        """
        files = self._read(recipe)
        while files is None:
            files = self._read(recipe)
        if not files:
            return None
        try:
            frames = [read_parquet(io.BytesIO(data)) for data in files]
            # Files of an older version may lack a column; its values are then null.
            rows = pl.concat(frames, how="diagonal")
            return rows.unique("key", keep="first", maintain_order=True).sort("key")
        except FILE_DAMAGE as error:  # it is what its name says, but not what we wrote
            raise StoreError(
                "the files of a recipe do not belong together",
                where=str(self.folder(recipe)),
                got=first_line(error),
                next_step="remove the folder to have its rows measured again",
            ) from error

    def _read(self, recipe: dict[str, Any]) -> list[bytes] | None:
        """Return the contents of a recipe's files; None if one went away, merged by a process."""
        found = []
        for path in sorted(self.folder(recipe).glob("*.parquet")):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
            except OSError as error:
                raise StoreError(
                    "a file of the store cannot be read",
                    where=str(path),
                    got=str(error),
                    next_step="mend its permissions, or remove it to have its rows measured again",
                ) from error
            if _digest(data) != path.stem:
                _set_aside(path)
                continue
            found.append(data)
        return found

    def add(self, recipe: dict[str, Any], rows: pl.DataFrame) -> Path:
        """Add rows (``key`` and columns) under a recipe, atomically; return the file."""
        folder = self.folder(recipe)
        description = folder / "recipe.json"
        if not description.exists():
            text = json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
            write_bytes_atomically(description, text.encode())
        buffer = io.BytesIO()
        rows.sort("key").write_parquet(buffer, compression="zstd")
        data = buffer.getvalue()
        path = folder / f"{_digest(data)}.parquet"
        write_bytes_atomically(path, data)
        return path

    def merge(self, recipe: dict[str, Any]) -> None:
        """Put a recipe's many small files into one, if there are many."""
        paths = sorted(self.folder(recipe).glob("*.parquet"))
        if len(paths) <= _MERGE_ABOVE_FILES:
            return
        rows = self.rows(recipe)
        if rows is None:
            return
        merged = self.add(recipe, rows)
        for path in paths:
            if path != merged:
                path.unlink(missing_ok=True)


def _set_aside(path: Path) -> None:
    """Take a damaged file out of the store, keeping its bytes for whoever wants to look."""
    aside = path.with_suffix(".damaged")
    try:
        path.replace(aside)
    except FileNotFoundError:
        return  # another process was quicker
    except OSError as error:
        raise StoreError(
            "a damaged file of the store cannot be set aside",
            where=str(path),
            got=first_line(error),
            next_step="remove it to have its rows measured again",
        ) from error
    _LOG.warning(
        "a damaged file of the store was set aside as %s; its rows are measured again", aside
    )
