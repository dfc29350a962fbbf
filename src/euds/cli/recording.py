"""What a command was asked, as the manifest records it."""

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euds.cli.options import OutputOptions, SelectingOptions
from euds.errors import without_secrets

if TYPE_CHECKING:
    from euds.pool.pool import Pool, Texts
    from euds.runs.folder import RunFolder
    from euds.scoring.scores import ScoreTable

__all__ = ["command_line", "given_in", "request_recorded", "selecting_asked"]


def selecting_asked(
    selecting: SelectingOptions,
    request: Mapping[str, Any],
    output: OutputOptions,
    *,
    columns: Mapping[str, str | None],
    pool: "Pool",
    target: "Texts | None",
    vectors: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what `select` was asked, files with what they held.

    Parameters
    ----------
    selecting, output
        The options.
    request : mapping of str
        What `select` was asked; ``against`` are pools.
    columns : mapping of str
        The columns that the files of ``--against`` were read from.
    pool : Pool
        The pool, from whose columns the target was read.
    target : Texts or None
        The target.
    vectors : mapping or None
        The sentence vectors, as recorded.
    """
    from euds.runs.replaying.recording import other_recorded, selecting_recorded

    others: Sequence[Pool] = request["against"]
    files = zip(selecting.against or (), others, strict=True)
    return selecting_recorded(
        request,
        seed=output.seed,
        against=[other_recorded(file, columns, other.texts) for file, other in files],
        target=target_recorded(selecting.target, pool, target),
        vectors=vectors,
        weights=selecting.weights,
    )


def target_recorded(
    file: str | None, pool: "Pool", target: "Texts | None"
) -> dict[str, Any] | None:
    """Return the target's file with what it held; None if there is none."""
    from euds.runs.replaying.recording import other_recorded

    if file is None or target is None:
        return None
    source = pool.source
    return other_recorded(file, {"text": source.text, "context": source.context}, target)


def request_recorded(
    folder: "RunFolder", table: "ScoreTable", asked: Mapping[str, Any] | None, base: Path | None
) -> dict[str, Any]:
    """Return the manifest's request.

    Parameters
    ----------
    folder : RunFolder
        The run.
    table : ScoreTable
        The scores, which know how they were asked for.
    asked : mapping or None
        What `select` was asked.
    base : pathlib.Path or None
        Where the names of the inputs start from; None if nobody knows any more.
    """
    from euds.runs.replaying.recording import seen_from

    here = seen_from(folder.path, Path.cwd())
    return {
        "command": command_line(),
        "from": None if base is None else seen_from(folder.path, base),
        **table.provenance.get("request", {}),
        "selecting": None if asked is None else {"from": here, **asked},
    }


def given_in(folder: "RunFolder") -> Path | None:
    """Return where the names of an earlier run's inputs start from, None if it does not tell."""
    from euds.errors import StoreError

    found = None
    with contextlib.suppress(StoreError):  # as after a kill
        found = folder.manifest.get("request", {}).get("from")
    return Path(os.path.realpath(folder.path / found)) if isinstance(found, str) else None


def command_line() -> str:
    """Return the command as it was given, addresses without their secrets."""
    return shlex.join(["euds", *map(without_secrets, sys.argv[1:])])
