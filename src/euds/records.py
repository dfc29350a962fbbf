"""Records that wait in a file until they are written back.

What a row was read as is needed again when the subset is written, and takes as much memory as its
text. So the records of a large pool lie in a temporary file that has no name: nobody else can open
it, and it is gone when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import weakref
from typing import IO, TypeAlias

import polars as pl

from euds.errors import StoreError

__all__ = ["MOST_IN_MEMORY", "Records", "RecordsAside", "StoredRecords"]

MOST_IN_MEMORY = 128 << 20
"""Bytes of records that are kept in memory."""

_ROWS_PER_PART = 50_000


class StoredRecords:
    """A table of records in a temporary file, part after part.

    Parameters
    ----------
    schema : polars.Schema
        The columns.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema
        self.height = 0
        self._file = _temporary_file()
        weakref.finalize(self, _close, self._file)
        self._parts: list[tuple[int, int, int]] = []  # offset, bytes, rows

    def add(self, records: pl.DataFrame) -> None:
        """Add rows behind those that are there.

        Raises
        ------
        StoreError
            If there is no room for them.
        """
        for part in records.iter_slices(_ROWS_PER_PART):
            packed = io.BytesIO()
            part.write_ipc(packed, compression="lz4")
            try:
                offset = self._file.seek(0, os.SEEK_END)
                self._file.write(packed.getbuffer())
                self._file.flush()
            except OSError as error:
                raise _no_room(error) from error
            self._parts.append((offset, packed.tell(), part.height))
            self.height += part.height

    def read(self) -> pl.DataFrame:
        """Return all rows."""
        return self.filter(None)

    def filter(self, mask: pl.Series | None) -> pl.DataFrame:
        """Return the rows where ``mask`` is true, in their order; only these are in memory."""
        if mask is not None and len(mask) != self.height:
            raise pl.exceptions.ShapeError(f"a mask of {len(mask)} for {self.height} rows")
        found = [pl.DataFrame(schema=self.schema)]
        row = 0
        for offset, size, rows in self._parts:
            wanted = None if mask is None else mask.slice(row, rows)
            row += rows
            if wanted is None or wanted.any():
                part = self._part(offset, size)
                found.append(part if wanted is None else part.filter(wanted))
        return pl.concat(found)

    def _part(self, offset: int, size: int) -> pl.DataFrame:
        try:
            self._file.seek(offset)
            return pl.read_ipc(self._file.read(size))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StoreError(
                "the records cannot be read back from their temporary file",
                where=tempfile.gettempdir(),
                got=str(error),
                next_step="run the same command again",
            ) from error


Records: TypeAlias = pl.DataFrame | StoredRecords
"""A table of records, in memory or in a file."""


class RecordsAside:
    """Gathers records in memory and, once they are many, in a file.

    Parameters
    ----------
    most_bytes : int, optional
        How many bytes of them stay in memory, by default `MOST_IN_MEMORY`.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = MOST_IN_MEMORY if most_bytes is None else most_bytes
        self._bytes = 0
        self._in_memory: list[pl.DataFrame] = []
        self._stored: StoredRecords | None = None

    def add(self, records: pl.DataFrame) -> None:
        """Add rows behind those that are there.

        Raises
        ------
        StoreError
            If they are to go into a file, and there is no room.
        """
        if self._stored is not None:
            self._stored.add(records)
            return
        self._in_memory.append(records)
        self._bytes += int(records.estimated_size())
        if self._bytes > self._most_bytes:
            self._stored = StoredRecords(records.schema)
            for one in self._in_memory:
                self._stored.add(one)
            self._in_memory = []

    def finish(self) -> Records:
        """Return all rows."""
        return pl.concat(self._in_memory) if self._stored is None else self._stored


def _temporary_file() -> IO[bytes]:
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the records
    except OSError as error:
        raise _no_room(error) from error
    return file


def _close(file: IO[bytes]) -> None:
    # What could not be written when the disk was full cannot be now; nobody will read it.
    with contextlib.suppress(OSError):
        file.close()


def _no_room(error: OSError) -> StoreError:
    return StoreError(
        "the records of a large pool cannot be set aside in a temporary file",
        where=tempfile.gettempdir(),
        got=error.strerror or str(error),
        next_step="free some space, or name another folder: TMPDIR=/a/folder/with/room",
    )
