"""What the caller named, as a list of inputs of one format."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from euds.errors import InputError, did_you_mean
from euds.files.addresses import local_name
from euds.pool.pool import Format
from euds.reading.remote import RemotePath, find_remote

__all__ = ["FORMATS", "STDIN", "Input", "find_inputs", "format_of"]

STDIN = "-"
FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
}
COMPRESSIONS = (".gz", ".zst")
_NAME_CHARACTERS = 200
_EXPECTED = f"{', '.join(FORMATS)}, each also with .gz or .zst (not Parquet), or a folder of .txt"


@dataclass(frozen=True)
class Input:
    """One input: a file, a folder, standard input, or a table in memory.

    Parameters
    ----------
    name : str
        As the user wrote it, an address without its secrets; goes into the pool's column ``file``
        and into messages.
    format : {"jsonl", "csv", "tsv", "parquet", "folder"}
        Its format.
    suffix : str
        The suffix that says so, with the compression's; empty for a folder.
    path : pathlib.Path, RemotePath or None
        Where it is; None for standard input and for a table in memory.
    frame : polars.DataFrame or None
        The table in memory.
    """

    name: str
    format: Format
    suffix: str
    path: Path | RemotePath | None = None
    frame: pl.DataFrame | None = None


def find_inputs(inputs: Sequence[str | Path | pl.DataFrame]) -> list[Input]:
    """Return what was named, with patterns expanded, in the order given.

    Raises
    ------
    InputError
        If something is missing, of no known format, named twice, or of another format than the
        first.
    """
    found = [one for item in inputs for one in _find(item)]
    if not found:
        raise InputError(
            "no input was given", expected=f"one or more files: {_EXPECTED}; or - for JSONL"
        )
    _check_same_format(found)
    _check_no_repeats(found)
    return found


def format_of(path: Path) -> tuple[Format, str] | None:
    """Return the format and the full suffix that a file's name tells, or None.

    >>> format_of(Path("reviews.CSV.gz"))
    ('csv', '.csv.gz')
    """
    name = path.name.lower()
    compression = next((end for end in COMPRESSIONS if name.endswith(end)), "")
    suffix = Path(name.removesuffix(compression)).suffix
    return (FORMATS[suffix], suffix + compression) if suffix in FORMATS else None


def _find(item: str | Path | pl.DataFrame) -> list[Input]:
    if isinstance(item, pl.DataFrame):
        return [Input("<DataFrame>", "parquet", ".parquet", frame=item)]
    if not isinstance(item, str | Path):
        raise InputError(
            "the input is neither a path nor a table",
            got=type(item).__name__,
            expected="str, pathlib.Path or polars.DataFrame",
            next_step="polars.from_pandas, polars.from_arrow and .collect() make a DataFrame",
        )
    if str(item) == STDIN:
        return [Input("<stdin>", "jsonl", ".jsonl")]
    if not str(item):
        raise InputError(
            "the name of the input is empty",
            expected="a file, a folder, a pattern such as data/*.jsonl, or - for standard input",
        )
    name = local_name(item) if isinstance(item, str) else item
    if name is None:
        return [_remote(found) for found in find_remote(str(item))]
    try:
        return [_file_or_folder(path) for path in _expand(Path(name).expanduser())]
    except (OSError, ValueError, RuntimeError) as error:
        # Too long, a NUL, characters that no file system has, a user that there is not.
        raise InputError(
            "there can be no file or folder of this name",
            where=ascii(str(item))[:_NAME_CHARACTERS],
            got=getattr(error, "strerror", None) or str(error),
        ) from error


def _expand(path: Path) -> list[Path]:
    """Return the paths that a pattern stands for; a path that exists is no pattern."""
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    matches = sorted(_matches(str(path)))
    if not matches:
        raise InputError(
            "no file matches the pattern",
            where=_shown(path),
            next_step="check the folder and the pattern; quote it so that the shell leaves it",
        )
    return [Path(match) for match in matches]


def _matches(pattern: str) -> set[str]:
    """Return what a pattern matches; ``**`` stands for sub-folders, but not for links to folders.

    Two links that point to folders above them would else make more paths than anyone can walk.
    """
    head, deep, tail = pattern.partition(f"**{os.sep}")
    if not deep or not (head == "" or head.endswith(os.sep)):
        # Path.glob has no pattern that starts at the root, and other rules for hidden files.
        return set(glob.glob(pattern))  # noqa: PTH207
    while tail.startswith(f"**{os.sep}"):
        tail = tail[len(deep) :]
    found: set[str] = set()
    for start in glob.glob(head) if head else [""]:  # noqa: PTH207
        for folder, below, _ in os.walk(start or "."):
            below[:] = [name for name in below if not name.startswith(".")]
            place = os.path.join(folder, "") if start else os.path.join(folder, "")[2:]  # noqa: PTH118
            found |= _matches(glob.escape(place) + tail)
    return found


def _file_or_folder(path: Path) -> Input:
    known = format_of(path)
    if path.is_dir():
        return _folder(path, known)
    if not path.exists():
        raise _missing(path)
    if known is None:
        raise _unknown_format(path)
    if not path.is_file():
        raise InputError(
            "this is no regular file",
            where=_shown(path),
            got="a pipe, a socket or a device",
            expected="a file",
            next_step="a pipe of JSONL can be read as standard input: euds run - < PIPE",
        )
    _check_compression(*known, name=_shown(path))
    return Input(_shown(path), *known, path)


def _remote(found: RemotePath) -> Input:
    known = format_of(Path(found.file_name))
    if found.kind == "folder":
        return _folder(found, known)
    if known is None:
        raise _unknown_format(found)
    if found.kind != "file":
        raise InputError("this is no regular file", where=found.name, expected="a file")
    _check_compression(*known, name=found.name)
    return Input(found.name, *known, found)


def _check_compression(format_: Format, suffix: str, *, name: str) -> None:
    if format_ == "parquet" and suffix != ".parquet":
        raise InputError(
            "a compressed Parquet file cannot be read",
            where=name,
            expected="a .parquet file; Parquet compresses its own columns",
            next_step=f"decompress {name.rpartition('/')[2]} first",
        )


def _folder(path: Path | RemotePath, known: tuple[Format, str] | None) -> Input:
    if known is not None:
        raise InputError(
            f"this is a folder, though its name ends in {known[1]}",
            where=_shown(path),
            expected="a file, or a folder of .txt files with another name",
            next_step=f"to read the files inside, give the pattern {_shown(path)}/*{known[1]}",
        )
    return Input(_shown(path), "folder", "", path)


def _missing(path: Path) -> InputError:
    try:
        neighbours = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        neighbours = []
    return InputError(
        "there is no such file or folder",
        where=_shown(path),
        expected="a file, a folder, a pattern such as data/*.jsonl, or - for standard input",
        next_step=did_you_mean(path.name, neighbours),
    )


def _unknown_format(path: Path | RemotePath) -> InputError:
    named = path if isinstance(path, Path) else Path(path.file_name)
    next_step = "rename the file if it has one of these formats, or convert it"
    if named.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(".json"):
        next_step = (
            "a .json file holds one JSON value; write one object a line instead, for instance "
            f"with `jq -c '.[]' {named.name} > {named.stem}.jsonl`; "
            "rename the file if it is so already"
        )
    return InputError(
        "the name of the file tells no format that can be read",
        where=_shown(path),
        got=f"the suffix {named.suffix!r}" if named.suffix else "no suffix",
        expected=_EXPECTED,
        next_step=next_step,
    )


def _check_same_format(found: list[Input]) -> None:
    first = found[0]
    for other in found[1:]:
        if other.format != first.format:
            raise InputError(
                "the inputs have different formats",
                got=f"{first.name} is {first.format}, {other.name} is {other.format}",
                expected="one format, so that the subset can be written in it",
                next_step="read them in separate calls, or convert one of them",
            )


def _check_no_repeats(found: list[Input]) -> None:
    seen: set[object] = set()
    for one in found:
        if one.frame is not None:
            continue
        place = _place(one.path)
        if place in seen:
            raise InputError(
                "the same input is named twice",
                where=one.name,
                next_step="name it once; a pattern may match it as well",
            )
        seen.add(place)


def _place(path: Path | RemotePath | None) -> object:
    """Return what two names of one file have in common."""
    if isinstance(path, RemotePath):
        return path.filesystem, path.path
    return STDIN if path is None else os.path.realpath(path)


def _shown(path: Path | RemotePath) -> str:
    """Return a path as text that can be stored: file names need not be valid Unicode."""
    if isinstance(path, RemotePath):
        return path.name
    return os.fsencode(path).decode("utf-8", "backslashreplace")
