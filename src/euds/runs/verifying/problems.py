"""What is wrong with a run folder, one line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from euds.errors import MAKE_AGAIN, EudsError
from euds.files.damage import UNREADABLE
from euds.runs.summary import shorten

__all__ = ["Kind", "Problem", "Told"]

Kind = Literal["manifest", "file", "stranger", "content", "replay"]

_MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Problem:
    """Something that is not as a run leaves it.

    Parameters
    ----------
    kind : {"manifest", "file", "stranger", "content", "replay"}
        What it is about: the manifest; a file that is missing or another; something that no run
        wrote; what a file says; what came out otherwise when the run was repeated.
    what : str
        What is wrong, without a full stop.
    where : str
        The file, or the field of the manifest.
    got, expected, next_step : str or None
        What was found, what would have been right, and what to do.
    """

    kind: Kind
    what: str
    where: str
    got: str | None = None
    expected: str | None = None
    next_step: str | None = None

    def __str__(self) -> str:
        """Return everything on one line, whatever characters a file's name holds."""
        parts = [f"{self.where}: {self.what}"]
        for name, value in (
            ("got", self.got),
            ("expected", self.expected),
            ("next", self.next_step),
        ):
            if value is not None:
                parts.append(f"{name}: {shorten(value, _MOST_CHARACTERS)}")
        return shorten("; ".join(parts), 4 * _MOST_CHARACTERS)


@dataclass
class Told:
    """Gathers problems and notes."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(
        self,
        kind: Kind,
        what: str,
        where: str,
        *,
        got: object = None,
        expected: object = None,
        next_step: str | None = MAKE_AGAIN,
    ) -> None:
        """Add a problem."""
        self.problems.append(
            Problem(
                kind,
                what,
                where,
                got=None if got is None else str(got),
                expected=None if expected is None else str(expected),
                next_step=next_step,
            )
        )

    def differ(self, what: str, where: str, *, got: object, expected: object) -> bool:
        """Add a problem with a content if the two are not equal; return whether they are not."""
        if got == expected:
            return False
        self.problem("content", what, where, got=got, expected=expected)
        return True

    def reading(self, where: str, *, kind: Kind = "content") -> Reading:
        """Return a context that tells of what cannot be read instead of raising it."""
        return Reading(self, where, kind)


@dataclass(frozen=True)
class Reading:
    """A context in which what cannot be read becomes a problem; see `Told.reading`."""

    told: Told
    where: str
    kind: Kind

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """Tell of an error, unless it is a mistake of our own or an interrupt."""
        if isinstance(error, EudsError):
            self.told.problem(
                self.kind,
                error.what,
                self.where,
                got=error.got,
                expected=error.expected,
                next_step=error.next_step or MAKE_AGAIN,
            )
            return True
        if isinstance(error, UNREADABLE):
            lines = str(error).splitlines() or [type(error).__name__]
            self.told.problem(self.kind, "the file cannot be read", self.where, got=lines[0])
            return True
        return False
