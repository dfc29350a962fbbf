"""The rule that needs no interval from the user: it looks for one, and knows when not to.

Windows of several widths and positions over each entropy and over IGSE are compared by what draws
from them are worth (`euds.selection.criteria`), by successive halving: all are judged once, the
better third again, and so on (Jamieson and Talwalkar 2016, arXiv 1502.07943). The best of many is
partly the luckiest, so it is judged anew, against the widest window, on draws (without labels) or
rows (with labels) that played no part in finding it. Only if it is better there is it used.
Otherwise rows are drawn from everything but the ends of IGSE.

Inside the window rows are drawn alike from all clusters of the vectors. So the fallback is no
worse than random rows but for luck, of which it has less. Without vectors there is no search: the
fallback is taken, and its rows are drawn from the whole of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euds.selection.criteria import (
    AGREEMENT,
    Coverage,
    Criterion,
    Draws,
    ProbeAccuracy,
    reduced,
)
from euds.selection.middle import igse_ranks
from euds.selection.preference import Candidates, Preference, Ranks, no_preference
from euds.selection.ranks import mid_ranks
from euds.selection.representing import interleaved, strata_of
from euds.selection.ridge import Ridge, agreement
from euds.selection.windows import Window, windows_over

__all__ = ["Search", "Trial", "automatic", "automatic_with_labels"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_FEWEST_ROWS, _FEWEST_KEPT = 60, 8  # fewer tell nothing about windows
_MOST_ROWS = 8_000  # more tell nothing new about them
_DEFAULT_KEEP = 0.16  # where the budget is no number of rows
_MOST_CLASSES = 100
_SURVIVORS = 3  # one in so many goes on to the next round of judging
_FEWEST_SURVIVORS = 4
# A gain counts if it is so many standard errors above zero, on what played no part in the search.
_ERRORS = {"coverage": 2.0, "probe": 1.645}
# Coverage is a means and not the end: less than so many per cent of the noise is no gain.
_LEAST_GAIN = {"coverage": 2.0, "probe": 0.0}


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
    """What was looked at, and what was chosen.

    Parameters
    ----------
    criterion : {"coverage", "probe"}
        What windows were compared by.
    trials : tuple of Trial
        Every window, in the order of `windows_over`.
    best : Window
        The one that won the search.
    gain, error : float
        Its gain over the widest window where it had not been looked at yet, and the standard error.
    chosen : Window
        The best one, or the widest if the gain is too small to count.
    """

    criterion: str
    trials: tuple[Trial, ...]
    best: Window
    gain: float
    error: float
    chosen: Window

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for manifest and report."""
        return {
            "sentence": self._sentence(),
            "criterion": self.criterion,
            "best": str(self.best),
            "gain": self.gain,
            "error": self.error,
            "chosen": _plain(self.chosen),
            "profile": [
                {
                    **_plain(one.window),
                    "gain": one.gain if np.isfinite(one.gain) else None,
                    "error": one.error if np.isfinite(one.error) else None,
                    "rounds": one.rounds,
                }
                for one in self.trials
            ],
        }

    def _sentence(self) -> str:
        """Return the outcome as a sentence for the user."""
        unit, where = {
            "coverage": ("% of the noise", "in the variance of a linear model, on other draws"),
            "probe": ("points", "of a probe, on rows not looked at before"),
        }[self.criterion]
        gain = f"{self.gain:+.1f} {unit} {where} (standard error {self.error:.1f})"
        if self.chosen == self.best:
            return f"of {len(self.trials):,} windows {self.best} is used: {gain}"
        return (
            f"of {len(self.trials):,} windows none is clearly better than all but the ends, so "
            f"rows are drawn from everywhere; the best was {self.best}: {gain}"
        )


def _plain(window: Window) -> dict[str, Any]:
    return {"score": window.score, "low": window.low, "high": window.high}


def automatic(candidates: Candidates) -> Preference:
    """Prefer rows of the window that covers the pool best, drawn alike from all clusters."""
    return _automatic(candidates, classes=None)


def automatic_with_labels(candidates: Candidates) -> Preference:
    """Prefer rows of the window that a probe learns most from, drawn alike from all clusters.

    Where the labels are no classes (a hundred names or more, or one) the window is chosen without.
    """
    if candidates.labels is None:
        raise ValueError("this rule needs labels")
    names, classes = np.unique(np.array(candidates.labels, dtype=np.str_), return_inverse=True)
    usable = 2 <= len(names) <= _MOST_CLASSES
    return _automatic(candidates, classes=classes.astype(np.int64) if usable else None)


def _automatic(candidates: Candidates, *, classes: Numbers | None) -> Preference:
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    numbers = np.flatnonzero(candidates.open)
    keep = candidates.keep or round(_DEFAULT_KEEP * len(numbers))
    # An interval in raw values may have closed rows: a window is a part of those that are left.
    ranks = {
        name: mid_ranks(np.where(candidates.open, one, np.nan))
        for name, one in with_combinations(candidates.ranks).items()
    }
    if candidates.vectors is None:
        # Nothing to tell rows apart by: all but the ends, as where the search finds nothing.
        widest = windows_over(ranks, keep / len(numbers))[0]
        return _drawn_from(widest, candidates, ranks, np.zeros(candidates.rows, dtype=np.int64))
    strata = strata_of(
        candidates.vectors[numbers], keep, lots=candidates.lots[numbers], seed=candidates.seed
    )
    spread = np.zeros(candidates.rows, dtype=np.int64)
    spread[numbers] = strata

    sample = np.sort(numbers[np.argsort(candidates.lots[numbers])[:_MOST_ROWS]])
    found = None
    if ranks and len(sample) >= _FEWEST_ROWS and keep >= _FEWEST_KEPT:
        draws = Draws(
            {name: one[sample] for name, one in ranks.items()},
            spread[sample],
            keep / len(numbers),
            candidates.seed,
        )
        features = reduced(candidates.vectors[sample])
        if classes is None:
            options = None if candidates.options is None else candidates.options[sample]
            found = search("coverage", Coverage(draws, features, options), draws)
        else:
            probe = ProbeAccuracy(draws, features, classes[sample])
            found = search("probe", probe, draws, also=(AGREEMENT,))
            if found.chosen.score == AGREEMENT:
                ridge = Ridge(reduced(candidates.vectors[numbers]), classes[numbers], probe.penalty)
                whole = np.full(candidates.rows, np.nan)
                order = np.arange(len(numbers))
                whole[numbers] = mid_ranks(agreement(ridge, order, seed=candidates.seed))
                ranks[AGREEMENT] = whole
    if found is None:
        return _drawn_from(None, candidates, ranks, spread)
    preference = _drawn_from(found.chosen, candidates, ranks, spread)
    return replace(preference, notes={"search": found.as_dict()})


def with_combinations(ranks: Ranks) -> dict[str, Floats]:
    """Return the ranks of IGSE, where there are several entropies, and those given.

    IGSE is the re-ranked mean of the normal scores of the ranks; see `euds.selection.middle`.
    """
    if len(ranks) < 2:
        return dict(ranks)
    return {"igse": igse_ranks(ranks), **ranks}


def search(name: str, criterion: Criterion, draws: Draws, *, also: Sequence[str] = ()) -> Search:
    """Find the window that a criterion likes best, and judge it where it was not looked at yet.

    Parameters
    ----------
    name : {"coverage", "probe"}
        Which criterion it is.
    criterion : Criterion
        Judges windows.
    draws : Draws
        Its draws; windows over its ranks are tried, those of the first score as the fallback.
    also : sequence of str
        Scores beside these that the criterion knows.
    """
    windows = windows_over([*draws.ranks, *also], draws.keep)
    widest = windows[0]
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
    trials = tuple(
        _trial(window, np.array(one), np.array(worths[0]))
        for window, one in zip(windows, worths, strict=True)
    )
    best = windows[best_first[0]]
    differences = criterion.fresh(best) - criterion.fresh(widest)
    gain = float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    counts = np.isfinite(gain) and gain > max(_ERRORS[name] * error, _LEAST_GAIN[name])
    return Search(name, trials, best, gain, error, best if counts else widest)


def _trial(window: Window, worths: Floats, widest: Floats) -> Trial:
    gains = worths - widest[: len(worths)]
    if len(gains) < 2 or not np.isfinite(gains).all():
        return Trial(window, float(gains.mean()), float("nan"), len(gains))
    return Trial(
        window, float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains))), len(gains)
    )


def _drawn_from(
    window: Window | None, candidates: Candidates, ranks: Ranks, strata: Numbers
) -> Preference:
    """Prefer the rows of a window, alike from each stratum, then those nearest to it."""
    if window is None:
        distance, below = np.zeros(candidates.rows), np.zeros(candidates.rows, dtype=np.bool_)
    else:
        distance = window.distance(ranks)
        below = ranks[window.score] < window.low
    inside = candidates.open & (distance == 0)
    places = np.flatnonzero(inside)
    priority = 1 + distance
    priority[places] = interleaved(strata[places], candidates.lots[places], seed=candidates.seed)
    score = "" if window is None else window.score
    reason = np.where(below, f"below {score}", f"above {score}")
    return Preference(
        priority=priority,
        reason=np.where(distance == 0, "over budget", reason),
        judged={} if window is None else {score: ranks[score]},
        drawn_from=np.where(inside, strata, strata.max(initial=0) + 1),
    )
