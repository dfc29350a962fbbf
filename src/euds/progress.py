"""How a long stage tells where it is; the library itself prints nothing.

A `Progress` is told what happens. `euds.progress_bars` shows it on stderr;
`SilentProgress` ignores it; tests count with it.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """Is told what a long stage does."""

    def begin(self, stage: str, *, rows: int, held: int, unit: str = "texts") -> None:
        """Begin a stage of ``rows`` texts (or what ``unit`` says), ``held`` of which are done."""

    def advance(self, stage: str, *, rows: int, seconds: float) -> None:
        """Report ``rows`` more texts done, which took ``seconds``."""

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

    def advance(self, stage: str, *, rows: int, seconds: float) -> None:
        """Ignore an advance."""

    def end(self, stage: str) -> None:
        """Ignore the end of a stage."""

    def note(self, message: str) -> None:
        """Ignore a message."""

    def close(self) -> None:
        """Have nothing to take away."""
