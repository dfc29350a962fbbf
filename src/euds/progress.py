"""How a long stage reports where it is, and the ledger of where the seconds went.

Stages report to a `Progress`. `TerminalProgress` shows it on stderr, `SilentProgress` ignores it;
the library itself prints nothing.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
)
from rich.progress import Progress as Bars

from euds.errors import harmless

__all__ = [
    "Ledger",
    "Progress",
    "SilentProgress",
    "TerminalProgress",
    "TimeLeft",
    "default_progress",
    "format_seconds",
    "verbatim",
]


def verbatim(text: str) -> str:
    r"""Return a text as markup of rich that shows it as it is, control characters spelled out.

    >>> verbatim("[red]\x1b")
    '\\[red]\\x1b'
    """
    return escape(harmless(text))


class Progress(Protocol):
    """Is told what a long stage does."""

    def begin(self, stage: str, *, rows: int, held: int, unit: str = "texts") -> None:
        """Begin a stage of ``rows`` texts (or what ``unit`` says), ``held`` of which are done."""

    def advance(self, stage: str, *, rows: int, seconds: float, left: float | None = None) -> None:
        """Report ``rows`` more texts done in ``seconds``, and the seconds left, if known."""

    def end(self, stage: str) -> None:
        """End the stage."""

    def note(self, message: str) -> None:
        """Say something that a user should read now."""

    def close(self) -> None:
        """Take away whatever is shown; called whatever happened."""


class SilentProgress:
    """Ignores everything."""

    def begin(self, stage: str, *, rows: int, held: int, unit: str = "texts") -> None:
        """Ignore the beginning of a stage."""

    def advance(self, stage: str, *, rows: int, seconds: float, left: float | None = None) -> None:
        """Ignore an advance."""

    def end(self, stage: str) -> None:
        """Ignore the end of a stage."""

    def note(self, message: str) -> None:
        """Ignore a message."""

    def close(self) -> None:
        """Have nothing to take away."""


class TimeLeft:
    """How long a stage will still take, told by work: tokens, say, and not texts.

    Texts would mislead: a shard holds texts of like length, and several workers end their first
    shards at the same moment.

    Parameters
    ----------
    work : float
        All of it, in any unit.
    """

    def __init__(self, work: float) -> None:
        self._work = work
        self._done = 0.0
        self._seconds = 0.0

    def after(self, work: float, *, seconds: float, begun: float = 0.0) -> float | None:
        """Count work that was done, and return the seconds left.

        Parameters
        ----------
        work : float
            What was done since the last call.
        seconds : float
            What it took; loading a model is no part of it.
        begun : float
            Work that was handed out and is not done yet.

        Returns
        -------
        float or None
            None before it means something: in the first twentieth, and while more is begun than
            done (unless a fifth is done: a cluster is handed everything at once).
        """
        self._done += work
        self._seconds += seconds
        if self._done < _FIRST * self._work:
            return None
        if begun <= self._done:
            # Each worker is on average half through its shard, and one more shard waits.
            done = self._done + begun / 3
        elif self._done >= _MUCH * self._work:
            done = self._done
        else:
            return None
        return max(self._work - done, 0.0) * self._seconds / done


# Progress for a person: bars on a terminal, lines elsewhere, always on stderr.

_FIRST = 1 / 20
_MUCH = 1 / 5

_WORTH_AN_ESTIMATE_SECONDS = 20
_WORTH_A_LINE_SECONDS = 60


def default_progress() -> Progress:
    """Return bars where a person watches, else silence."""
    return TerminalProgress() if sys.stderr.isatty() else SilentProgress()


def format_seconds(seconds: float) -> str:
    """Return a duration for people.

    >>> format_seconds(0.3), format_seconds(75), format_seconds(7300)
    ('0.3 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class TerminalProgress:
    """Shows stages on stderr: bars on a terminal, else a line at the beginning and the end."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._left = 0
        self._done = 0
        self._is_announced = False
        self._seconds = 0.0
        self._told_seconds = 0.0
        self._unit = "texts"

    def begin(self, stage: str, *, rows: int, held: int, unit: str = "texts") -> None:
        """Say what is to be done, and start a bar."""
        self._left, self._done, self._is_announced = rows - held, 0, False
        self._seconds, self._told_seconds, self._unit = 0.0, 0.0, unit
        already = f", {held:,} of them in the store already" if unit == "texts" else ""
        self.note(f"{stage}: {rows:,} {unit}{already}")
        if self._console.is_terminal:
            self._bars = Bars(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
                console=self._console,
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(stage, total=self._left, left="")

    def advance(self, stage: str, *, rows: int, seconds: float, left: float | None = None) -> None:
        """Move the bar; as soon as it is known say how long the rest will take."""
        self._done += rows
        self._seconds += seconds
        if left is not None and not self._is_announced:
            self._is_announced = True
            if left > _WORTH_AN_ESTIMATE_SECONDS and self._unit == "texts":
                self._told_seconds = self._seconds
                self.note(
                    f"  about {format_seconds(left)} to go; cheaper: a smaller --max-tokens or "
                    f"--model"
                )
        to_go = "" if left is None else f", about {format_seconds(left)} to go"
        if self._bars is None and self._seconds - self._told_seconds > _WORTH_A_LINE_SECONDS:
            self._told_seconds = self._seconds
            self.note(f"  {self._done:,} done{to_go}")
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=rows, left=to_go.removeprefix(", "))

    def end(self, stage: str) -> None:
        """Take the bar away and say how long it took."""
        self._stop_bars()
        self.note(f"  {stage}: {self._done:,} {self._unit} in {format_seconds(self._seconds)}")

    def close(self) -> None:
        """Leave the terminal as it was, whatever happened."""
        self._stop_bars()

    def note(self, message: str) -> None:
        """Print a message."""
        self._console.print(verbatim(message), highlight=False)

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._task = None


# The ledger: where the seconds of a run went.


@dataclass
class Ledger:
    """Seconds by stage, in the order in which the stages were first entered.

    >>> ledger = Ledger()
    >>> with ledger.stage("reading"):
    ...     pass
    >>> list(ledger.seconds)
    ['reading']
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent in the body to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to a stage."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
