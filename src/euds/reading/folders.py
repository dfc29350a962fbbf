"""Folders of text files: one sample a file, the sub-folder's name as its label."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from euds.errors import InputError
from euds.files.damage import first_line
from euds.pool.pool import Source
from euds.reading.inputs import Input
from euds.reading.lines import TextStyle, cut, decode, sniff
from euds.reading.remote import RemotePath
from euds.reading.rows import RECORD_BYTES, BadRow, Row, is_unicode
from euds.reading.streams import read_whole

__all__ = ["FolderReader"]

_SUFFIX = ".txt"


class FolderReader:
    """Reads folders of ``.txt`` files; their columns are ``text``, ``label`` and ``path``."""

    columns_complete = True

    def __init__(self, inputs: Sequence[Input], encoding: str | None) -> None:
        self._encoding = encoding
        self._files = [found for source in inputs for found in _files(source)]
        _check_distinct(self._files)

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return ["text", "label", "path"]

    def rows(self, wanted: list[str]) -> Iterator[Row | BadRow]:
        """Yield one row a file, sorted by path within each folder."""
        for root, relative in self._files:
            yield self._row(root, relative)

    def records(self, records: list[Any]) -> pl.DataFrame:
        """Return paths and contents as a table."""
        schema = {"path": pl.String, "bytes": pl.Binary}
        return pl.DataFrame(records, schema=schema, orient="row")

    def size_of(self, record: Any) -> int:
        """Return about how much memory a record takes, in bytes."""
        return len(record[1])

    def fields_of(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the file's name: the rest of its path is its label."""
        return {"path": record["path"].rpartition("/")[2]}

    def source(self) -> Source:
        """Return how the folder was written; each record has its own bytes."""
        return Source("folder", "", columns=tuple(self.columns()))

    def _row(self, root: Input, relative: str) -> Row | BadRow:
        assert root.path is not None
        file = _name_of(root, relative)
        if not is_unicode(relative):
            return BadRow(file, 1, "the file's name is not valid UTF-8", "", "encoding")
        try:
            if isinstance(root.path, RemotePath):
                raw = read_whole(root.path.inside(relative), limit=RECORD_BYTES)
            elif refusal := _refusal(root.path / relative, root.path):
                return BadRow(file, 1, refusal, "")
            else:
                raw = read_whole(root.path / relative, limit=RECORD_BYTES)
        except OSError as error:
            return BadRow(file, 1, f"the file cannot be read: {first_line(error)}", "")
        style = sniff(raw, self._encoding)
        if len(raw) > RECORD_BYTES:
            reason = f"the file is longer than {RECORD_BYTES:,} bytes"
            return BadRow(file, 1, reason, cut(raw, style.encoding))
        text = _text(raw, style)
        if isinstance(text, BadRow):
            return text._replace(file=file)
        label = relative.split("/")[0] if "/" in relative else None
        fields = {"text": text, "label": label, "path": relative}
        return Row(file, 1, (relative, raw), fields)


def _name_of(root: Input, relative: str) -> str:
    """Return the name that a file of a folder is told by."""
    if isinstance(root.path, RemotePath):
        return root.path.inside(relative).name.encode("utf-8", "backslashreplace").decode()
    shown = os.fsencode(relative).decode("utf-8", "backslashreplace")
    return f"{root.name.rstrip('/')}/{shown}"


def _refusal(path: Path, root: Path) -> str | None:
    """Return why a file of a folder must not be opened, if so.

    A folder from elsewhere may hold a link to a file that was never meant to be in a pool.
    """
    real = Path(os.path.realpath(path, strict=True))
    if not real.is_relative_to(os.path.realpath(root)):
        return "the file is a link that leads out of the folder"
    return None if real.is_file() else "this is no regular file: a pipe, a socket or a device"


def _text(raw: bytes, style: TextStyle) -> str | BadRow:
    mark = "\ufeff".encode(style.encoding) if style.bom else b""
    content = raw[len(mark) :]
    text = decode(content, style.encoding)
    if isinstance(text, str):
        return text
    reason, cause = text
    return BadRow(
        "", 1, reason.replace("the line", "the file"), cut(content, style.encoding), cause
    )


def _files(source: Input) -> list[tuple[Input, str]]:
    """Return the text files of a folder by their relative paths, sorted."""
    assert source.path is not None
    try:
        below = source.path.below() if isinstance(source.path, RemotePath) else _below(source.path)
    except OSError as error:
        raise InputError(
            "the folder cannot be read", where=source.name, got=first_line(error)
        ) from error
    found = [relative for relative in below if relative.lower().endswith(_SUFFIX)]
    if not found:
        raise InputError(
            "the folder holds no text files",
            where=source.name,
            expected=f"files whose names end in {_SUFFIX}, also in sub-folders",
            next_step=f"for other formats name the files, for instance {source.name}/*.jsonl",
        )
    return [(source, relative) for relative in sorted(found)]


def _below(root: Path) -> list[str]:
    """Return the relative paths of all that is in a folder and its sub-folders, but folders."""

    def stop(error: OSError) -> None:
        raise error

    return [
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root, onerror=stop)
        for name in names
    ]


def _check_distinct(files: list[tuple[Input, str]]) -> None:
    seen: dict[str, Input] = {}
    for source, relative in files:
        if relative in seen:
            raise InputError(
                "two folders hold a file of the same relative path",
                got=f"{relative} in {seen[relative].name} and in {source.name}",
                expected="distinct paths, so that the subset can be written into one folder",
                next_step="read the folders in separate calls, or read the folder above them",
            )
        seen[relative] = source
