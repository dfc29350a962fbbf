"""Lines on stdout, the result, and on stderr, everything else."""

import sys
from typing import Any

from euds.errors import harmless

__all__ = ["print_line", "stdout_console", "tell"]


def stdout_console() -> Any:
    """Return rich's console on stdout."""
    from rich.console import Console

    # Off a terminal nothing is cut or wrapped, so that a pipe gets whole lines.
    return Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)


def print_line(text: str) -> None:
    """Print a line of the result; control characters as JSON spells them, wherever they are."""
    sys.stdout.write(harmless(text, spelled="\\u{:04x}") + "\n")


def tell(text: str) -> None:
    """Say something beside the result."""
    sys.stderr.write(harmless(text) + "\n")
