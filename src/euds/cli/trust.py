"""What `euds verify`, `euds replay` and `euds forget` do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from euds.cli.jobs import progress_for
from euds.cli.options import ReadingOptions
from euds.cli.output import print_line, tell
from euds.errors import OptionError
from euds.files.addresses import on_record

if TYPE_CHECKING:
    from euds.pool.pool import Pool
    from euds.runs.forgetting import Forgotten

__all__ = ["forget_and_show", "replay_and_show", "verify_and_show"]


def verify_and_show(run: Path, *, quiet: bool, as_json: bool) -> None:
    """Verify a run folder and show what was found; the exit code is 1 if anything is wrong."""
    from euds.runs.verifying.verify import verify

    found = verify(run)
    if as_json:
        print_line(json.dumps(found.to_dict(), ensure_ascii=False))
    elif found.problems or not quiet:
        print_line("\n".join(map(str, found.problems)) if quiet else str(found))
    if found.problems:
        raise typer.Exit(1)


def replay_and_show(
    run: Path, *, out: Path | None, pool: str | None, use_store: bool, quiet: bool, as_json: bool
) -> None:
    """Repeat a run and show what came out; the exit code is 1 if it is not what it was."""
    from euds.runs.replaying.replay import REPLAY, replay

    if out is not None and (out / REPLAY).resolve().is_relative_to(run.resolve()):
        raise OptionError(
            "a run folder holds nothing but its run",
            where="--out",
            got=str(out),
            expected="another folder",
        )
    found = replay(run, pool=pool, use_store=use_store, progress=progress_for(quiet=quiet))
    path = found.write(out or Path(tempfile.mkdtemp(prefix="euds-replay-")))
    if as_json:
        print_line(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        print_line(f"{found}\nWritten    {path}")
    if not found.is_replayed:
        raise typer.Exit(1)


# What `euds forget` does.


def forget_and_show(
    inputs: Sequence[str],
    reading: ReadingOptions,
    *,
    everything: bool,
    untold: bool,
    dry_run: bool,
    as_json: bool,
) -> bool:
    """Remove from the cache, and show what was removed; return whether nothing had to be left."""
    if everything == bool(inputs):
        raise OptionError(
            "it is not clear what is to be forgotten",
            got="--all beside an input" if everything else "no input",
            expected="inputs, or --all",
            next_step="euds forget INPUT, or euds forget --all",
        )
    from euds.runs.forgetting import forget, forget_all

    if everything:
        found = forget_all(dry_run=dry_run)
    else:
        pool = _read(inputs, reading)
        found = forget(pool, untold=untold, dry_run=dry_run)
    if as_json:
        print_line(json.dumps(asdict(found), ensure_ascii=False))
    else:
        _show(found, everything=everything)
    tell("run folders, subsets and reports are not in the cache: they are yours to remove")
    return not found.links


def _read(inputs: Sequence[str], reading: ReadingOptions) -> Pool:
    """Read the pool: as it is read for scoring, or from the folder of a run."""
    from euds.reading import read
    from euds.runs.folder import RunFolder

    run = Path(inputs[0])
    if len(inputs) == 1 and (run / "pool.parquet").is_file():
        if (run / "held_out.parquet").exists():
            tell(f"the rows that {run} held out are not among its pool: name its input as well")
        return RunFolder(run).load_pool()
    return read(*inputs, **asdict(reading))


def _show(found: Forgotten, *, everything: bool) -> None:
    from euds.files.environment import cache_dir, store_place

    if found.is_nothing:
        whose = "anybody's" if everything else "these"
        elsewhere = store_place()
        places = [f"in the cache {cache_dir()}"]
        places += [] if elsewhere is None else [f"at {on_record(elsewhere)}"]
        print_line(f"nothing of {whose} texts is {' or '.join(places)}")
    else:
        verb = "would be forgotten" if found.dry_run else "forgotten"
        print_line(f"{verb}: {', '.join(_parts(found))}")
    if found.untold:
        print_line(
            f"left: {_count(found.untold, 'outcome')} of trainings with an earlier version, which "
            f"do not tell their rows; --trainings removes them"
        )
    for link in found.links:
        print_line(f"not followed: {link}, a symbolic link; remove what it leads to yourself")


def _parts(found: Forgotten) -> list[str]:
    parts = []
    if found.rows:
        folders = _count(found.folders, "folder")
        parts.append(f"{_count(found.rows, 'row')} in {folders} of the store")
    if found.outcomes:
        parts.append(f"{_count(found.outcomes, 'outcome')} of trainings")
    if found.unreadable:
        parts.append(f"{_count(found.unreadable, 'damaged file')}, whoever's rows were in it")
    if found.unfinished:
        parts.append(f"{_count(found.unfinished, 'file')} of killed processes")
    return parts


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
