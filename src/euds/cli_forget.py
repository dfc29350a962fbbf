"""What `euds forget` does."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from euds.addresses import on_record
from euds.cli_options import ReadingOptions
from euds.cli_output import print_line, tell
from euds.errors import OptionError

if TYPE_CHECKING:
    from euds.forgetting import Forgotten
    from euds.pool import Pool

__all__ = ["forget_and_show"]


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
    from euds.forgetting import forget, forget_all

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


def _read(inputs: Sequence[str], reading: ReadingOptions) -> "Pool":
    """Read the pool: as it is read for scoring, or from the folder of a run."""
    from euds.reading import read
    from euds.runs import RunFolder

    run = Path(inputs[0])
    if len(inputs) == 1 and (run / "pool.parquet").is_file():
        if (run / "held_out.parquet").exists():
            tell(f"the rows that {run} held out are not among its pool: name its input as well")
        return RunFolder(run).load_pool()
    return read(*inputs, **asdict(reading))


def _show(found: "Forgotten", *, everything: bool) -> None:
    from euds.locations import cache_dir, store_address

    if found.is_nothing:
        whose = "anybody's" if everything else "these"
        address = store_address()
        places = [f"in the cache {cache_dir()}"]
        places += [] if address is None else [f"at {on_record(address)}"]
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


def _parts(found: "Forgotten") -> list[str]:
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
