"""The store on a file system that is not this machine's: an object store, above all.

Files are what they are on a disk (`euds.scoring.store.contents`), and lie in the same folders.
There are no locks, and none are needed to read and to add: a file is named by the hash of its
bytes, is put there as a whole and is never changed, so nobody can be in the way of anybody else.
What is half written, where a file system can be seen to write, does not match its name, is passed
over with a warning, and its rows are measured again.

Files go away in two cases. Merging takes away only files whose rows were put elsewhere before, and
who was reading them meanwhile looks again. Taking rows out for good cannot be made safe without a
lock: another process that is merging at the same time may have read them before. So nobody else
should use the store while something is forgotten.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from euds.errors import OptionError, StoreError
from euds.files.addresses import on_record
from euds.files.damage import first_line
from euds.files.file_systems import as_os_error, file_system_of
from euds.scoring.scorers.base import recipe_id
from euds.scoring.store.contents import (
    MERGE_ABOVE_FILES,
    RECIPE,
    Taken,
    described,
    is_whole,
    packed_rows,
    rows_in,
    rows_of_all,
    rows_without,
)

__all__ = ["RemoteStore"]

_LOG = logging.getLogger(__name__)
_LOOKS = 10  # at a folder whose files go away while they are read
_ROWS = ".parquet"


@dataclass(frozen=True)
class RemoteStore:
    """Measurements on a file system that fsspec knows, by recipe and key.

    Parameters
    ----------
    filesystem : fsspec.AbstractFileSystem
        The file system.
    root : str
        The folder there; made when something is first added.
    name : str
        Its address as it is told, without secrets.
    """

    filesystem: Any
    root: str
    name: str
    _told_recipes: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def at(cls, address: str) -> RemoteStore:
        """Return the store at an address such as ``s3://bucket/euds``.

        Raises
        ------
        MissingExtraError, InputError
            If the address leads to no file system.
        OptionError
            If it is a pattern, or leads into an archive or through a cache.
        """
        if "::" in address or any(character in address for character in "*?["):
            raise OptionError(
                "a store cannot lie in an archive, behind a cache, or in several places",
                where=on_record(address),
                expected="one address, such as s3://bucket/euds",
            )
        filesystem, path = file_system_of(address, purpose="a store at")
        return cls(filesystem, path.rstrip("/"), on_record(address).rstrip("/"))

    def folder(self, recipe: dict[str, Any]) -> PurePosixPath:
        """Return the folder of a recipe, as the file system names it."""
        return PurePosixPath(self.root, recipe_id(recipe))

    def folders(self) -> list[PurePosixPath]:
        """Return the folders of all recipes, sorted."""
        listed = self._listed(self.root)
        found = {PurePosixPath(one["name"]) for one in listed if one["type"] == "directory"}
        return sorted(found - {PurePosixPath(self.root)})  # some stores list a folder in itself

    def rows(self, recipe: dict[str, Any]) -> pl.DataFrame | None:
        """Return all rows held for a recipe, each key once, sorted by key; None if there are none.

        Raises
        ------
        StoreError
            If a file is there but cannot be read.
        """
        whole = self._whole(self.folder(recipe))
        if not whole:
            return None
        return rows_of_all(whole.values(), where=self._told(self.folder(recipe)))

    def add(self, recipe: dict[str, Any], rows: pl.DataFrame) -> PurePosixPath:
        """Add rows (``key`` and columns) under a recipe; return the file.

        Raises
        ------
        StoreError
            If it cannot be written. What was added before stays.
        """
        folder = self.folder(recipe)
        if folder.name not in self._told_recipes:
            self._put(folder / RECIPE, described(recipe))
            self._told_recipes.add(folder.name)
        return self._add(folder, rows)

    def merge(self, recipe: dict[str, Any]) -> None:
        """Put a recipe's many small files into one, if there are many.

        Raises
        ------
        StoreError
            If it cannot be read, or a file cannot be removed. No row is lost.
        """
        folder = self.folder(recipe)
        if len(self._names(folder, _ROWS)) <= MERGE_ABOVE_FILES:
            return
        whole = self._whole(folder)
        if len(whole) <= MERGE_ABOVE_FILES:
            return
        rows = rows_of_all(whole.values(), where=self._told(folder))
        try:
            merged = self._add(folder, rows)
        except StoreError as error:
            _LOG.warning("the files of the store stay as many as they are: %s", error)
            return
        for path in whole:
            if path != merged:  # its rows are in the other by now
                self._remove(path)

    def held(self, folder: PurePosixPath) -> Iterator[pl.DataFrame]:
        """Give the rows of each file of a recipe's folder that is whole; keys may repeat."""
        for data in self._whole(folder).values():
            yield rows_in(data)

    def take_out(
        self, folder: PurePosixPath, keys: Sequence[str], *, dry_run: bool = False
    ) -> Taken:
        """Take rows out of a recipe's folder, and files that nobody can tell the rows of.

        A folder that would be left without rows goes as a whole, with its recipe.

        Parameters
        ----------
        folder : pathlib.PurePosixPath
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
        rows, unreadable, left = 0, 0, 0
        for path, data in self._contents(folder).items():
            stays = None
            if not is_whole(data, path):
                unreadable += 1
            else:
                stays, taken = rows_without(data, keys)
                rows, left = rows + taken, left + stays.height
                if not taken:
                    continue
            if dry_run:
                continue
            if stays is not None and stays.height:
                self._add(folder, stays)  # before the old one goes: a kill here loses no row
            self._remove(path)
        if not dry_run and not left and not self._names(folder, _ROWS):
            self._remove(folder / RECIPE)
        return Taken(rows, unreadable)

    def take_all_out(self, *, dry_run: bool = False) -> list[Taken]:
        """Take out whatever is in the store; return what it was, one a folder."""
        found = []
        for folder in self.folders():
            rows, unreadable = 0, 0
            for path, data in self._contents(folder).items():
                whole = is_whole(data, path)
                rows += rows_in(data).height if whole else 0
                unreadable += not whole
                if not dry_run:
                    self._remove(path)
            if not dry_run:
                self._remove(folder / RECIPE)
            found.append(Taken(rows, unreadable))
        return found

    def _add(self, folder: PurePosixPath, rows: pl.DataFrame) -> PurePosixPath:
        name, data = packed_rows(rows)
        self._put(folder / name, data)
        return folder / name

    def _whole(self, folder: PurePosixPath) -> dict[PurePosixPath, bytes]:
        """Return the contents of the files of rows that are what their names say."""
        found = self._contents(folder)
        damaged = {path for path, data in found.items() if not is_whole(data, path)}
        for path in sorted(damaged):
            _LOG.warning(
                "%s is damaged, or not yet written; its rows are measured again", self._told(path)
            )
        return {path: data for path, data in found.items() if path not in damaged}

    def _contents(self, folder: PurePosixPath) -> dict[PurePosixPath, bytes]:
        """Return the contents of all files of rows; one that goes away meanwhile was merged."""
        for _ in range(_LOOKS):
            paths = self._names(folder, _ROWS)
            if not paths:
                return {}
            try:
                with as_os_error():
                    found = self.filesystem.cat([str(path) for path in paths])  # all at once
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._error("the store cannot be read", folder, error) from error
            return {PurePosixPath(path): data for path, data in found.items()}
        raise StoreError(
            "the files of a folder of the store go away while they are read",
            where=self._told(folder),
            next_step="let the other process end, and give the same command again",
        )

    def _names(self, folder: PurePosixPath, suffix: str) -> list[PurePosixPath]:
        found = (PurePosixPath(one["name"]) for one in self._listed(str(folder)))
        return sorted(path for path in found if path.suffix == suffix)

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        """Return what is in a folder now; nothing if it is not there."""
        try:
            with as_os_error():
                self.filesystem.invalidate_cache()  # another process may have added files
                found: list[dict[str, Any]] = self.filesystem.ls(folder, detail=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error("the store cannot be read", folder, error) from error
        return found

    def _put(self, path: PurePosixPath, data: bytes) -> None:
        try:
            with as_os_error():
                try:
                    self.filesystem.pipe_file(str(path), data)
                except FileNotFoundError:
                    self._make_folder(path.parent)
                    self.filesystem.pipe_file(str(path), data)
        except OSError as error:
            raise self._error("the store cannot be written to", path, error) from error

    def _make_folder(self, folder: PurePosixPath) -> None:
        """Make a recipe's folder where a file system has folders; never a bucket."""
        root = PurePosixPath(self.root)
        for place in (root.parent, root, folder):
            if len(place.parts) > 1:
                with contextlib.suppress(FileExistsError):
                    self.filesystem.mkdir(str(place), create_parents=False)

    def _remove(self, path: PurePosixPath) -> None:
        try:
            with as_os_error():
                self.filesystem.rm_file(str(path))
        except FileNotFoundError:
            pass  # another process was first
        except OSError as error:
            raise self._error("a file of the store cannot be removed", path, error) from error

    def _told(self, path: PurePosixPath | str) -> str:
        """Return the address of something in the store."""
        return self.name + str(path).removeprefix(self.root)

    def _error(self, what: str, path: PurePosixPath | str, error: OSError) -> StoreError:
        return StoreError(
            what,
            where=self._told(path),
            got=first_line(error),
            next_step="check the address in EUDS_STORE, the connection, and that you may read and "
            "write there; what was stored stays",
        )
