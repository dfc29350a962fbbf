"""The files of a run folder against the checksums in its manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from euds.files.plain import digest_of, kind_of_file
from euds.runs.folder import MANIFEST, POOL, REJECTED, SCORES, SELECTION, is_of_a_run
from euds.runs.manifest import CHECKSUM
from euds.runs.verifying.problems import Told

__all__ = ["sound_files"]

_LEFTOVER = re.compile(r"\..*\.[0-9a-f]{12}\.partial", re.DOTALL)
_MOST_NAMED = 20
_OLD_FOLDERS = ("subset", "figures")
_SUMMARY_FILES = ("subset", "results", "certificate", "report", "rejected")


def sound_files(root: Path, manifest: Mapping[str, Any], told: Told) -> dict[str, str]:
    """Return the files that are as the run wrote them, with their digests; tell of all others.

    A link is no file of a run, wherever it leads; pipes, devices and what lies outside the folder
    are not opened.

    Parameters
    ----------
    root : pathlib.Path
        The run folder.
    manifest : mapping
        Its manifest; the types of its fields have been checked.
    told : Told
        Gets the problems.
    """
    checksums = _named_here(manifest["checksums"], told)
    for name in _needed(manifest):
        if name not in manifest["checksums"]:
            told.problem("manifest", "there is no checksum of a file of the run", name)
    # Before there was a checksum of the manifest, files in sub-folders had none either.
    old = _OLD_FOLDERS if CHECKSUM not in manifest else ()
    there = dict(_entries(root, checksums, old, told))
    sound = {}
    for name, expected in checksums.items():
        kind = there.pop(name, None)
        if kind is None:
            told.problem("file", "the file is missing", name, expected=expected)
        elif kind != "a file":
            told.problem("file", f"{kind} is in the place of a file", name, expected="a file")
        else:
            with told.reading(name, kind="file"):
                got = digest_of(root / name)
                if got == expected:
                    sound[name] = got
                else:
                    told.problem(
                        "file",
                        "the file is not the one that the run wrote",
                        name,
                        got=got,
                        expected=expected,
                    )
    _strangers(there, told)
    return sound


def _named_here(checksums: Mapping[str, str], told: Told) -> dict[str, str]:
    """Return the checksums of files that a run may write; no other name is looked at."""
    found = {}
    for name, digest in checksums.items():
        if _leads_out(name):
            told.problem(
                "manifest",
                "a name among the checksums leads out of the folder",
                "checksums",
                got=repr(name),
                expected="a path inside the run folder",
            )
        elif name == MANIFEST or not is_of_a_run(name.partition("/")[0]):
            told.problem(
                "manifest",
                "a name among the checksums is none of a run's files",
                "checksums",
                got=repr(name),
            )
        else:
            found[name] = digest
    return found


def _leads_out(name: str) -> bool:
    parts = name.split("/")
    return (
        any(part in ("", ".", "..") for part in parts)
        or "\0" in name
        or (os.name == "nt" and "\\" in name)
        or PurePosixPath(name).is_absolute()
        or bool(PureWindowsPath(name).drive)
    )


def _needed(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the files that the run must have."""
    yield from (POOL, SCORES, REJECTED)
    summary = manifest["summary"]
    if "settings" in summary:
        yield SELECTION
    files = summary.get("files")
    for part in _SUMMARY_FILES if isinstance(files, dict) else ():
        name = PureWindowsPath(str(files.get(part, ""))).name  # knows both kinds of slashes
        if name and not (part == "subset" and "." not in name):  # a folder has no checksum
            yield name


def _entries(
    root: Path, checksums: Mapping[str, str], old: tuple[str, ...], told: Told
) -> Iterator[tuple[str, str]]:
    """Yield the paths inside the folder that are no folders of the run's files, and their kinds."""
    folders = {
        parent.as_posix() for name in checksums for parent in PurePosixPath(name).parents
    } - {"."}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with told.reading(folder or str(root), kind="file"):
            for entry in sorted(os.listdir(root / folder)):  # noqa: PTH208  (names, not paths)
                name = f"{folder}/{entry}" if folder else entry
                kind = kind_of_file(root / name)
                if (
                    kind == "a folder"
                    and name not in checksums
                    and (name in folders or name in old)
                ):
                    waiting.append(name)
                    if name in old:
                        told.notes.append(
                            f"{name}/: an older euds made this run, and wrote no checksums of the "
                            f"files in it"
                        )
                elif name != MANIFEST and folder.partition("/")[0] not in old and kind is not None:
                    yield name, kind


def _strangers(there: Mapping[str, str], told: Told) -> None:
    """Tell of what no run wrote."""
    strangers = []
    for name, kind in there.items():
        if kind == "a file" and _LEFTOVER.fullmatch(name):
            told.notes.append(f"{name}: left by a run that was killed; the next run removes it")
        else:
            strangers.append((name, kind))
    for name, kind in strangers[:_MOST_NAMED]:
        told.problem(
            "stranger",
            f"{kind} that this run did not write",
            name,
            next_step="move it out of the run folder",
        )
    if len(strangers) > _MOST_NAMED:
        told.problem(
            "stranger",
            "more that this run did not write",
            ".",
            got=f"{len(strangers) - _MOST_NAMED:,} more",
            next_step="move it out of the run folder",
        )
