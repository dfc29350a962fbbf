"""The store: what was measured once is never measured again.

::

    <cache>/store/v1/<measurement>-<hash of the recipe>/
        recipe.json                 what made the numbers, in full; for readers, nothing needs it
        <hash of the file>.parquet  rows ``key`` + the measurement's columns
        .lock                       held together to read and add, alone to take files away

A file is named by the hash of its bytes, is written aside and renamed, and is never changed. So a
kill loses at most the shard in work; a truncated or altered file no longer matches its name, is set
aside with a warning, and its rows are measured again; two processes may add at once (the same
rows twice do no harm). Another parameter or model is another recipe, hence another folder: an old
number is never met by accident.

Rows are taken out by writing a file without them and then taking the old one away, so that a kill
in between leaves rows that are still to go, and loses none that stay.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from euds.errors import StoreError
from euds.files.addresses import local_name
from euds.files.atomic import sync_folder, write_bytes_atomically
from euds.files.environment import cache_dir, store_place
from euds.files.locks import LOCK_NAME, locked
from euds.scoring.scorers.base import recipe_id
from euds.scoring.store.contents import (
    MERGE_ABOVE_FILES,
    RECIPE,
    MeasurementStore,
    Taken,
    described,
    is_whole,
    packed_rows,
    rows_in,
    rows_of_all,
    rows_without,
)
from euds.scoring.store.remote import RemoteStore

__all__ = ["Store", "removing", "stores_of_user"]

_LOG = logging.getLogger(__name__)


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
    def default(cls) -> MeasurementStore:
        """Return the user's store.

        It is at ``EUDS_STORE``, a folder or an address, if that is set, else in ``EUDS_CACHE``,
        else in the platform's cache folder.
        """
        return _elsewhere() or cls.on_disk()

    @classmethod
    def on_disk(cls) -> Store:
        """Return the user's store on this machine, which is not used where there is another."""
        return cls(cache_dir() / "store" / "v1")

    def folder(self, recipe: dict[str, Any]) -> Path:
        """Return the folder of a recipe."""
        return self.root / recipe_id(recipe)

    def folders(self) -> list[Path]:
        """Return the folders of all recipes, sorted; symbolic links are not among them."""
        try:
            return sorted(
                entry for entry in self.root.iterdir() if entry.is_dir() and not entry.is_symlink()
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(
                "the store cannot be read",
                where=str(self.root),
                got=error.strerror or str(error),
                next_step="mend its permissions, or set EUDS_CACHE to another folder",
            ) from error

    def rows(self, recipe: dict[str, Any]) -> pl.DataFrame | None:
        """Return all rows held for a recipe, each key once, sorted by key; None if there are none.

        Raises
        ------
        StoreError
            If a file is there but cannot be opened.
        """
        folder = self.folder(recipe)
        spared: set[Path] = set()  # damaged, but they cannot be moved
        while True:
            with locked(folder, alone=False):
                found = _read(folder)
            if found is None:
                continue
            whole, damaged = found
            if not damaged - spared:
                break
            spared |= {path for path in damaged - spared if not _set_aside(path)}
        if not whole:
            return None
        return rows_of_all(whole.values(), where=str(folder))

    def add(self, recipe: dict[str, Any], rows: pl.DataFrame) -> Path:
        """Add rows (``key`` and columns) under a recipe, atomically; return the file.

        Raises
        ------
        StoreError
            If it cannot be written. What was added before stays.
        """
        folder = self.folder(recipe)
        with locked(folder, alone=False, make=True):
            _describe(folder / RECIPE, recipe)
            return _add(folder, rows)

    def merge(self, recipe: dict[str, Any]) -> None:
        """Put a recipe's many small files into one, if there are many and there is room for it."""
        folder = self.folder(recipe)
        if len(list(folder.glob("*.parquet"))) <= MERGE_ABOVE_FILES:
            return
        with locked(folder, alone=True):
            found = _read(folder)
            if found is None or len(found[0]) <= MERGE_ABOVE_FILES:
                return  # another process merged them
            whole, _ = found
            rows = rows_of_all(whole.values(), where=str(folder))
            try:
                merged = _add(folder, rows)
            except StoreError as error:
                _LOG.warning("the files of the store stay as many as they are: %s", error)
                return
            for path in whole:
                if path != merged:
                    with contextlib.suppress(OSError):  # its rows are there twice, which is no harm
                        path.unlink()

    def held(self, folder: Path) -> Iterator[pl.DataFrame]:
        """Give the rows of each file of a recipe's folder that is whole; keys may repeat."""
        with locked(folder, alone=False):
            found = _read(folder)
        for data in (found or ({}, set()))[0].values():
            yield rows_in(data)

    def take_out(self, folder: Path, keys: Sequence[str], *, dry_run: bool = False) -> Taken:
        """Take rows out of a recipe's folder, and files that nobody can tell the rows of.

        A folder that would be left without rows goes as a whole, with its recipe. What is not the
        store's own, and symbolic links, stay as they are.

        Parameters
        ----------
        folder : pathlib.Path
            One of `folders`.
        keys : sequence of str
            The keys whose rows go.
        dry_run : bool
            Whether to count only.

        Raises
        ------
        StoreError
            If a file cannot be read, written or taken away. The same call again goes on.
        """
        with locked(folder, alone=True):  # so nobody is writing an unfinished file
            rows, unreadable, unfinished, left = 0, 0, 0, 0
            for path in _own_files(folder):
                stays = None
                if path.name.endswith(".partial"):
                    unfinished += 1
                elif path.suffix == ".damaged" or not is_whole(data := _bytes_of(path), path):
                    unreadable += 1
                else:
                    stays, taken = rows_without(data, keys)
                    rows, left = rows + taken, left + stays.height
                    if not taken:
                        continue
                if dry_run:
                    continue
                if stays is not None and stays.height:
                    _add(folder, stays)  # before the old one goes: a kill here loses no row
                with removing(path):
                    path.unlink(missing_ok=True)
            if not dry_run:
                sync_folder(folder)
                if not left:
                    _take_away(folder)
            return Taken(rows, unreadable, unfinished)


def stores_of_user() -> list[Store | RemoteStore]:
    """Return all places that the user's measurements may be in: the cache, and ``EUDS_STORE``."""
    elsewhere = _elsewhere()
    return [Store.on_disk()] if elsewhere is None else [Store.on_disk(), elsewhere]


def _elsewhere() -> Store | RemoteStore | None:
    """Return the store in the folder or at the address that ``EUDS_STORE`` names."""
    place = store_place()
    if place is None:
        return None
    local = local_name(place)
    if local is None:
        return RemoteStore.at(f"{place.rstrip('/')}/v1")
    return Store(Path(local).expanduser().absolute() / "v1")


@contextlib.contextmanager
def removing(path: Path) -> Iterator[None]:
    """Let nothing but a `StoreError` come out of taking away a file.

    Raises
    ------
    StoreError
        If it cannot be taken away.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            "a file of the cache cannot be removed",
            where=str(path),
            got=error.strerror or str(error),
            next_step="mend its folder's permissions and give the same command again",
        ) from error


def _read(folder: Path) -> tuple[dict[Path, bytes], set[Path]] | None:
    """Return the contents of the files that are whole, and the files that are not.

    None if a file went away meanwhile, which is only where nothing can be locked.
    """
    whole, damaged = {}, set()
    for path in sorted(folder.glob("*.parquet")):
        try:
            data = _bytes_of(path)
        except FileNotFoundError:
            return None
        if is_whole(data, path):
            whole[path] = data
        else:
            damaged.add(path)
    return whole, damaged


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            "a file of the store cannot be read",
            where=str(path),
            got=str(error),
            next_step="mend its permissions, or remove it to have its rows measured again",
        ) from error


def _describe(path: Path, recipe: dict[str, Any]) -> None:
    """Write down what makes the numbers, unless it stands there."""
    content = described(recipe)
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    write_bytes_atomically(path, content)


def _add(folder: Path, rows: pl.DataFrame) -> Path:
    name, data = packed_rows(rows)
    write_bytes_atomically(folder / name, data)
    return folder / name


def _set_aside(path: Path) -> bool:
    """Take a damaged file out of the store, keeping its bytes for whoever wants to look.

    Another process may have done so, or have written the file anew. Returns whether it is out of
    the way now.
    """
    aside = path.with_suffix(".damaged")
    with locked(path.parent, alone=True):
        try:
            if is_whole(path.read_bytes(), path):
                return True
            path.replace(aside)
        except FileNotFoundError:
            return True
        except OSError as error:
            _LOG.warning(
                "%s is damaged and cannot be set aside (%s); its rows are measured again",
                *(path, error.strerror or error),
            )
            return False
    _LOG.warning(
        "a damaged file of the store was set aside as %s; its rows are measured again", aside
    )
    return True


def _own_files(folder: Path) -> list[Path]:
    """Return the files that rows may be in, sorted."""
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix in (".parquet", ".damaged", ".partial")
        and entry.is_file()
        and not entry.is_symlink()
    )


def _take_away(folder: Path) -> None:
    """Take away a recipe's folder that holds no row; one with something foreign in it stays."""
    for name in (RECIPE, LOCK_NAME):
        with removing(folder / name):
            (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
