"""What is said of runs that are there already: whether they are sound, whether they can be had again."""

import json
from pathlib import Path

import typer

from euds.cli_output import print_line

__all__ = ["verify_and_show"]


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
