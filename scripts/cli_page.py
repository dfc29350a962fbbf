"""Write docs/cli.md from the commands' own help, or check with --check that it is up to date."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from euds.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
INTRODUCTION = """\
# The command line

Written by `make docs` from the commands' own help. The result goes to stdout and the progress to
stderr. Exit codes: 0 done, 1 failed, 2 a mistake in what was asked, 130 interrupted.
"""


def page() -> str:
    """Return the page: the help of each command."""
    parts = [INTRODUCTION, f"```\n{help_of()}\n```\n"]
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.callback.__name__
        parts.append(f"## euds {name}\n\n```\n{help_of(name)}\n```\n")
    return "\n".join(parts)


def help_of(*arguments: str) -> str:
    """Return a command's help as a terminal of 100 columns without colours shows it."""
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "LANG": "C.UTF-8"}
    plain.pop("FORCE_COLOR", None)
    plain.pop("GITHUB_ACTIONS", None)  # typer forces a terminal there
    command = [sys.executable, "-m", "euds", *arguments, "--help"]
    shown = subprocess.run(command, env=plain, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in shown.stdout.strip("\n").splitlines())


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is out of date")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/cli.md is out of date: run 'make docs'")


if __name__ == "__main__":
    main()
