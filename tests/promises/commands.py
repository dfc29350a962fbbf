"""The command line and its files as a user has them: words in; exit code, lines and files out.

Nothing else of the tests of promises knows where the command line's code is.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import polars as pl

from euds.cli.app import main

SECONDS = 120  # the most a process of the command line may take


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All that was said, on one line: where a line ends is no promise."""
        return " ".join((self.stdout + self.stderr).split())


@dataclass(frozen=True)
class Place:
    """A folder to give commands in, with a cache that belongs to it."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def environment(self) -> dict[str, str]:
        """Return what a command sees: no colours, no store elsewhere, lines of one width."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("EUDS_STORE", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS")
        }
        cache = {"EUDS_CACHE": str(self.folder / "cache")}
        return {**kept, **cache, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "160"}

    def euds(self, *words: object, check: int | None = 0) -> Ran:
        """Give a command in this process, and check its exit code."""
        out, beside = io.StringIO(), io.StringIO()
        with (
            self.entered(),
            mock.patch.object(sys, "argv", ["euds", *map(str, words)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(beside),
        ):
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = ended.code or 0
        ran = Ran(code, out.getvalue(), beside.getvalue())
        assert check in (None, ran.exit_code), (
            f"exit code {ran.exit_code}\n{ran.stdout}{ran.stderr}"
        )
        return ran

    def process(self, *words: object, stdin: bytes = b"", check: int | None = 0) -> Ran:
        """Give a command as a process of its own, where the process is what is looked at."""
        ended = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        ran = Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
        assert "Traceback" not in ran.stderr, ran.stderr
        assert check in (None, ran.exit_code), (
            f"exit code {ran.exit_code}\n{ran.stdout}{ran.stderr}"
        )
        return ran

    def command(self, *words: object) -> list[str]:
        """Return the words that a process of the command line begins with."""
        return [sys.executable, "-m", "euds", *map(str, words)]

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Work in the folder, and with its cache."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            with mock.patch.dict(os.environ, self.environment(), clear=True):
                yield
        finally:
            os.chdir(before)

    def selection(self, run: str = "run") -> pl.DataFrame:
        """Return what a run decided of every row."""
        return pl.read_parquet(self.folder / run / "selection.parquet")

    def kept(self, run: str = "run") -> set[str]:
        """Return the ids of the rows that a run kept."""
        return set(self.selection(run).filter("kept")["id"])

    def bytes_of(self, run: str = "run") -> dict[str, bytes]:
        """Return every file of a run folder, to tell whether any has changed."""
        paths = sorted((self.folder / run).rglob("*"))
        root = self.folder / run
        return {str(one.relative_to(root)): one.read_bytes() for one in paths if one.is_file()}
