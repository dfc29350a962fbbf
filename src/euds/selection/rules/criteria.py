"""The search for the best window by what draws from it are worth.

What a draw is worth by its labels is told by `euds.selection.rules.probe_accuracy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from euds.selection.quotas import in_shares
from euds.selection.rules.clustering import interleaved
from euds.selection.rules.preference import Ranks
from euds.selection.rules.windows import Window, windows_over

__all__ = [
    "Criterion",
    "Draws",
    "Search",
    "Trial",
    "best_of_draws",
    "reduced",
    "search",
]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


_DIMENSIONS = 128  # the first principal components: the rest are near the noise of a small subset


class Criterion(Protocol):
    """Judges windows by draws from them; the same draw of rows for every window."""

    @property
    def name(self) -> str:
        """What it is called in manifest and report."""

    @property
    def windows(self) -> list[Window]:
        """The windows to compare; the first is the widest, which is the fallback."""

    @property
    def rounds(self) -> int:
        """How often a window can be judged in the search."""

    @property
    def finalists(self) -> int:
        """Among how many windows the best draw is looked for."""

    def worth(self, window: Window, round_: int) -> float:
        """Return what a draw is worth, a finite number: higher is better."""

    def gains(self, finalists: Sequence[Window], widest: Window) -> Floats:
        """Return what is gained over the widest window, where `worth` has not looked."""

    def counts(self, gain: float, error: float) -> bool:
        """Return whether a gain with this standard error is one."""

    def best_draw(self, windows: Sequence[Window]) -> tuple[Window, int]:
        """Return the window, and the number of the draw from it, that are worth most."""


def best_of_draws(
    windows: Sequence[Window], draws: int, worth: Callable[[Window, int], float]
) -> tuple[Window, int]:
    """Return the window, and the number of the draw from it, that are worth most; ties go first.

    Parameters
    ----------
    windows : sequence of Window
        The windows that are drawn from.
    draws : int
        How many draws of each.
    worth : callable
        Takes a window and the number of a draw.
    """
    tried = [(window, number) for window in windows for number in range(draws)]
    # Rounded, since sums by several threads differ in the last digits: ties must stay ties.
    return tried[int(np.round([worth(*one) for one in tried], 9).argmax())]


def reduced(vectors: NDArray[np.float32]) -> Floats:
    """Return the coordinates of the rows along the first principal axes, not centred.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)

    Returns
    -------
    ndarray of float64, shape (n, at most 128)
    """
    rows = vectors.astype(np.float64)
    _, axes = np.linalg.eigh(rows.T @ rows)
    return np.asarray(rows @ axes[:, ::-1][:, :_DIMENSIONS], dtype=np.float64)


@dataclass(frozen=True)
class Draws:
    """Draws from windows, alike in every stratum.

    Parameters
    ----------
    ranks : mapping of str to ndarray of float, shape (n,)
        The ranks that windows speak of.
    strata : ndarray of int, shape (n,)
        The groups that a draw represents in proportion.
    keep : float
        The share of rows drawn.
    seed : int
        Of the draws.
    classes : ndarray of int, shape (n,), or None
        The classes that a window with equal classes speaks of.
    """

    ranks: Ranks
    strata: Numbers
    keep: float
    seed: int
    classes: Numbers | None = None

    def windows(self, *, also: Sequence[str] = ()) -> list[Window]:
        """Return the windows over its scores, and over others."""
        return windows_over([*self.ranks, *also], self.keep)

    def among(self, rows: Numbers) -> Draws:
        """Return draws from some of the rows, which are numbered from 0."""
        return Draws(
            {name: one[rows] for name, one in self.ranks.items()},
            self.strata[rows],
            self.keep,
            self.seed,
            None if self.classes is None else self.classes[rows],
        )

    def draw(self, window: Window, among: Numbers, number: int) -> Numbers:
        """Return the rows of one draw, shape ``(m,)``; its number decides all luck in it."""
        return self.order(window, among, number)[: self._size(among)]

    def order(self, window: Window, among: Numbers, number: int) -> Numbers:
        """Return all rows in the window, those of the draw first, and alike at any point."""
        lots = np.random.default_rng([self.seed, 2, number]).permutation(len(self.strata))
        inside = among[window.holds(self.ranks)[among]]
        own = lots[inside].astype(np.uint64)
        places = interleaved(self.strata[inside], own, seed=self.seed + number)
        order = np.lexsort((own, places))
        if window.equal and self.classes is not None:
            size = min(self._size(among), len(order))
            order = in_shares(order, self.classes[inside], kind="equal", keep=size, lots=own)
        return inside[order]

    def _size(self, among: Numbers) -> int:
        return max(1, round(self.keep * len(among)))


# The search for a window: many are compared, and the best is judged anew.
#
# Windows are compared by successive halving: all are judged once, the better third again, and so on
# (Jamieson and Talwalkar 2016, arXiv 1502.07943). The best of many is partly the luckiest, so what
# is left is judged where the search has not looked, against the widest window, and used only if it
# is better there.

_SURVIVORS = 3  # one in so many goes on to the next round of judging
_FEWEST_SURVIVORS = 4


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
    criterion : str
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
        shown = round(self.gain, 1) + 0.0  # no -0.0
        gain = f"{shown:+.1f} points of a probe on rows set apart (standard error {self.error:.1f})"
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
