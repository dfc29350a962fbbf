"""Windows: ranges of ranks that rows may be drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euds.selection.rules.preference import Ranks

__all__ = ["EDGE", "Window", "windows_over"]

EDGE = 0.02
"""The share at either end of a score that no window reaches into, unless all of it is asked for:
what lies there is broken, repeated or foreign more often than it is informative."""

_POSITIONS = 7
_NARROWEST = 1.25  # of the budget, so that there is a choice inside
_TRIMMED = 0.8

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """The rows whose rank by a score lies in ``low <= rank < high``.

    Parameters
    ----------
    score : str
        The name of the score.
    low, high : float
        The bounds, between 0 and 1.
    equal : bool
        Whether as many rows are drawn of each class of labels, where there are classes.
    """

    score: str
    low: float
    high: float
    equal: bool = False

    def holds(self, ranks: Ranks) -> Bools:
        """Return which rows lie inside, shape ``(n,)``."""
        return (ranks[self.score] >= self.low) & (ranks[self.score] < self.high)

    def distance(self, ranks: Ranks) -> Floats:
        """Return how far outside each row lies, 0 for those inside, shape ``(n,)``."""
        one = ranks[self.score]
        return np.asarray(np.maximum(np.maximum(self.low - one, one - self.high), 0.0))

    def __str__(self) -> str:
        classes = ", all classes alike" if self.equal else ""
        return f"{self.score} {self.low:.2f}:{self.high:.2f}{classes}"


def windows_over(scores: Iterable[str], keep: float) -> list[Window]:
    """Return windows of several widths at several positions over each score.

    Parameters
    ----------
    scores : iterable of str
        The scores.
    keep : float
        The share of the rows that will be kept, which every window has room for.

    Returns
    -------
    list of Window
        For each score the widest one first.

    Examples
    --------
    >>> [str(window) for window in windows_over(["ge"], 0.9)]
    ['ge 0.00:1.00']
    """
    widest = 1 - 2 * EDGE
    narrowest = _NARROWEST * keep
    if narrowest >= widest:
        return [Window(score, 0.0, 1.0) for score in scores]
    middle = float(np.sqrt(narrowest * widest))
    widths = sorted({w for w in (_TRIMMED, middle, narrowest) if narrowest <= w}, reverse=True)
    found = []
    for score in scores:
        found.append(Window(score, EDGE, 1 - EDGE))
        for width in widths:
            room = 1 - EDGE - width
            starts = np.linspace(EDGE, room, _POSITIONS) if room > EDGE else [EDGE]
            found += [Window(score, float(low), float(low) + width) for low in starts]
    return found
