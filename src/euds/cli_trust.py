"""What is told of a run that is there already: whether it is sound, whether it can be repeated."""

import json
import tempfile
from pathlib import Path

import typer

from euds.cli_jobs import progress_for
from euds.cli_output import print_line
from euds.errors import OptionError

__all__ = ["replay_and_show", "verify_and_show"]


def verify_and_show(run: Path, *, quiet: bool, as_json: bool) -> None:
    """Verify a run folder and show what was found; the exit code is 1 if anything is wrong."""
    from euds.verifying.verify import verify

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
    from euds.replaying.replay import REPLAY, replay

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
