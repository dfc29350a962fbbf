"""The search for a window: many are compared, and the best is judged anew.

Windows are compared by successive halving: all are judged once, the better third again, and so on
(Jamieson and Talwalkar 2016, arXiv 1502.07943). The best of many is partly the luckiest, so what is
left is judged where the search has not looked, against the widest window, and used only if it is
better there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euds.selection.criteria import Criterion
from euds.selection.windows import Window

__all__ = ["Search", "Trial", "search"]

_SURVIVORS = 3  # one in so many goes on to the next round of judging
_FEWEST_SURVIVORS = 4

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """How one window was judged.

    Parameters
    ----------
    window : Window
        The window.
    gain : float
        What draws from it are worth above draws from the widest window.
    error : float
        The standard error of the gain over rounds; NaN after one round.
    rounds : int
        How often it was judged.
    """

    window: Window
    gain: float
    error: float
    rounds: int


@dataclass(frozen=True)
class Search:
    """What was looked at, and what was found.

    Parameters
    ----------
    criterion : {"coverage", "probe"}
        What windows were compared by.
    trials : tuple of Trial
        Every window, in the order of the criterion's.
    finalists : tuple of Window
        Those that won the search, the best first; only the widest if they are not better.
    best : Window
        The one that won the search.
    gain, error : float
        What the finalists gain over the widest where it had not been looked at yet, and its
        standard error.
    """

    criterion: str
    trials: tuple[Trial, ...]
    finalists: tuple[Window, ...]
    best: Window
    gain: float
    error: float

    @property
    def widest(self) -> Window:
        """The fallback."""
        return self.trials[0].window

    def as_dict(self, chosen: Window) -> dict[str, Any]:
        """Return it as plain values, for manifest and report.

        Parameters
        ----------
        chosen : Window
            The window that the best draw came from.
        """
        return {
            "sentence": self._sentence(chosen),
            "criterion": self.criterion,
            "best": str(self.best),
            "gain": self.gain,
            "error": self.error,
            "chosen": asdict(chosen),
            "profile": [
                {
                    **asdict(one.window),
                    "gain": one.gain,
                    "error": one.error if np.isfinite(one.error) else None,
                    "rounds": one.rounds,
                }
                for one in self.trials
            ],
        }

    def _sentence(self, chosen: Window) -> str:
        """Return the outcome as a sentence for the user."""
        unit, where = {
            "coverage": ("% of the noise", "in the variance of a linear model, on other draws"),
            "probe": ("points", "of a probe on rows set apart"),
        }[self.criterion]
        shown = round(self.gain, 1) + 0.0  # no -0.0
        gain = f"{shown:+.1f} {unit} {where} (standard error {self.error:.1f})"
        if self.finalists != (self.widest,):
            return f"of {len(self.trials):,} windows {chosen} is used: {gain}"
        return (
            f"of {len(self.trials):,} windows none is clearly better than all but the ends, so "
            f"rows are drawn from everywhere; the best was {self.best}: {gain}"
        )


def search(criterion: Criterion) -> Search:
    """Find the windows that a criterion likes best, and judge them where it has not looked yet."""
    windows = criterion.windows
    worths: list[list[float]] = [[] for _ in windows]
    alive = list(range(len(windows)))
    judged = 0
    while judged < criterion.rounds:
        # 1, 1, 2, 4 ... rounds: the fewer windows are left, the more each is worth judging.
        upto = min(criterion.rounds, max(1, 2 * judged))
        for index in alive:
            worths[index] += [criterion.worth(windows[index], one) for one in range(judged, upto)]
        judged = upto
        best_first = sorted(alive, key=lambda index: (-float(np.mean(worths[index])), index))
        left = max(_FEWEST_SURVIVORS, -(-len(alive) // _SURVIVORS))
        # The widest goes through all rounds: it is what the others are compared with.
        alive = sorted({0, *best_first[:left]})
    finalists = [windows[index] for index in best_first[: criterion.finalists]]
    gains = criterion.gains(finalists, windows[0])
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    counts = criterion.counts(gain, error)
    return Search(
        criterion=criterion.name,
        trials=_trials(windows, worths),
        finalists=tuple(finalists) if counts else (windows[0],),
        best=finalists[0],
        gain=gain,
        error=error,
    )


def _trials(windows: Sequence[Window], worths: Sequence[Sequence[float]]) -> tuple[Trial, ...]:
    widest = np.array(worths[0])
    trials = []
    for window, own in zip(windows, worths, strict=True):
        gains = np.array(own) - widest[: len(own)]
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
        trials.append(Trial(window, float(gains.mean()), float(error), len(gains)))
    return tuple(trials)
