"""What a subset is worth, without and with labels: the two criteria that windows are compared by.

Without labels: how well rows of the pool could be predicted by a linear model of the vectors that
was trained on the subset, before any label is known. In Bayesian linear regression the variance of
the prediction at x, in units of the noise, is ``x' (X'X + lambda I)^-1 x``; its mean over the pool
is what I-optimal designs make small (Yu, Bi and Tresp 2006, "Active learning via transductive
experimental design"). A subset that leaves out a direction of the pool pays for it.

With labels: the accuracy of such a model on rows that it was not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from euds.selection.preference import Ranks
from euds.selection.ranks import mid_ranks
from euds.selection.representing import interleaved
from euds.selection.ridge import Ridge, agreement
from euds.selection.windows import Window

__all__ = [
    "AGREEMENT",
    "Coverage",
    "Criterion",
    "Draws",
    "ProbeAccuracy",
    "mean_variance",
    "reduced",
]

AGREEMENT = "agreement"
"""The score that only labels give: how much a probe trained on other rows prefers a row's label."""

MOST_LEANING = 0.20
"""The largest total variation between the model's own answers in pool and subset."""

FOLDS = 4
_FRESH_SHARE = 0.2
_FRESH_DRAWS = 8
_DIMENSIONS = 128  # the first principal components: the rest are near the noise of a small subset
_PENALTIES = (0.1, 1.0, 10.0)

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Criterion(Protocol):
    """Judges windows by draws from them; the same draw of rows for every window."""

    @property
    def rounds(self) -> int:
        """How often a window can be judged before `fresh`."""

    def worth(self, window: Window, round_: int) -> float:
        """Return what a draw is worth: higher is better, minus infinity is out of the question."""

    def fresh(self, window: Window) -> Floats:
        """Return what draws are worth that played no part in `worth`, paired between windows."""


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
    """

    ranks: Ranks
    strata: Numbers
    keep: float
    seed: int

    def draw(self, window: Window, among: Numbers, number: int) -> Numbers:
        """Return the rows of one draw, shape ``(m,)``; its number decides all luck in it."""
        lots = np.random.default_rng([self.seed, 2, number]).permutation(len(self.strata))
        inside = among[window.holds(self.ranks)[among]]
        size = max(1, round(self.keep * len(among)))
        places = interleaved(
            self.strata[inside], lots[inside].astype(np.uint64), seed=self.seed + number
        )
        return inside[np.lexsort((lots[inside], places))[:size]]


@dataclass(frozen=True)
class Coverage:
    """Label-free: minus the mean variance of a linear model over the pool; see this module.

    Parameters
    ----------
    draws : Draws
        How subsets are drawn.
    features : ndarray of float64, shape (n, k)
        The rows.
    options : ndarray of int, shape (n,), or None
        The answer that the language model finds likeliest for each row, as a number.
    rounds : int
        How often a window is judged at most.
    """

    draws: Draws
    features: Floats
    options: Numbers | None
    rounds: int = 8

    def worth(self, window: Window, round_: int) -> float:
        """Return the coverage of one draw: minus the mean variance, in per cent of the noise's."""
        return self._of(self.draws.draw(window, np.arange(len(self.features)), round_))

    def fresh(self, window: Window) -> Floats:
        """Return the coverage of draws that `worth` did not make, shape ``(rounds,)``."""
        everything = np.arange(len(self.features))
        later = range(self.rounds, 2 * self.rounds)
        return np.array([self._of(self.draws.draw(window, everything, one)) for one in later])

    def _of(self, rows: Numbers) -> float:
        if not len(rows):
            return -np.inf
        if self.options is not None and _distance(self.options, rows) > MOST_LEANING:
            return -np.inf
        return -100 * mean_variance(self.features, rows)


def _distance(options: Numbers, rows: Numbers) -> float:
    """Return the total variation distance between the shares of options in pool and subset."""
    count = int(options.max()) + 1
    pool = np.bincount(options, minlength=count) / len(options)
    kept = np.bincount(options[rows], minlength=count) / len(rows)
    return float(np.abs(pool - kept).sum() / 2)


def mean_variance(features: Floats, rows: Numbers, *, penalty: float = 1.0) -> float:
    """Return the mean variance of a linear model's predictions, in units of the noise.

    ``mean over x of x' (X'X + penalty I)^-1 x`` with X the chosen rows and x each row of the pool.

    Parameters
    ----------
    features : ndarray of float64, shape (n, k)
        The pool.
    rows : ndarray of int
        The chosen rows.
    penalty : float
        The variance of the noise over that of the weights.
    """
    chosen = features[rows]
    information = chosen.T @ chosen + penalty * np.eye(features.shape[1])
    pool = features.T @ features / len(features)
    return float(np.trace(np.linalg.solve(information, pool)))


class ProbeAccuracy:
    """With labels: the accuracy of a ridge probe on rows that it was not trained on, in per cent.

    Four folds are for searching; a fifth part of the rows is kept for judging what was found.

    Parameters
    ----------
    draws : Draws
        How subsets are drawn; its ranks are added to by `AGREEMENT`, fold by fold.
    features : ndarray of float64, shape (n, k)
        The rows.
    classes : ndarray of int, shape (n,)
        Their classes, from 0.
    """

    def __init__(self, draws: Draws, features: Floats, classes: Numbers) -> None:
        order = np.random.default_rng([draws.seed, 4]).permutation(len(classes))
        fresh = round(_FRESH_SHARE * len(order))
        self._fresh, self._search = np.sort(order[:fresh]), np.sort(order[fresh:])
        self._folds = np.random.default_rng([draws.seed, 5]).permutation(len(self._search)) % FOLDS
        self._draws = draws
        self._ridge = Ridge(features, classes, self._best_penalty(draws, features, classes))
        parts = [self._search[self._folds != fold] for fold in range(FOLDS)]
        self._fits = [(part, self._with_agreement(part)) for part in [*parts, self._search]]

    @property
    def rounds(self) -> int:
        """Twice each fold."""
        return 2 * FOLDS

    @property
    def penalty(self) -> float:
        """The penalty that suits draws of this size."""
        return self._ridge.penalty

    def worth(self, window: Window, round_: int) -> float:
        """Return the accuracy on one of the folds."""
        fit, draws = self._fits[round_ % FOLDS]
        rows = draws.draw(window, fit, round_)
        if not len(rows):  # a narrow window, and none of its rows is in these folds
            return -np.inf
        asked = self._search[self._folds == round_ % FOLDS]
        return 100 * float(self._ridge.right(rows, asked).mean())

    def fresh(self, window: Window) -> Floats:
        """Return for each fresh row how often it is answered rightly, in per cent."""
        fit, draws = self._fits[FOLDS]
        numbers = range(self.rounds, self.rounds + _FRESH_DRAWS)
        right = [self._ridge.right(draws.draw(window, fit, one), self._fresh) for one in numbers]
        return np.asarray(100 * np.mean(right, axis=0))

    def _with_agreement(self, rows: Numbers) -> Draws:
        ranks = np.full(len(self._draws.strata), np.nan)
        ranks[rows] = mid_ranks(agreement(self._ridge, rows, seed=self._draws.seed))
        return replace(self._draws, ranks={**self._draws.ranks, AGREEMENT: ranks})

    def _best_penalty(self, draws: Draws, features: Floats, classes: Numbers) -> float:
        """Return the penalty that is best for draws from everything."""
        anything = Window(next(iter(draws.ranks)), 0.0, 1.0 + 1e-9)
        found = []
        for penalty in _PENALTIES:
            ridge = Ridge(features, classes, penalty)
            right = [
                ridge.right(
                    draws.draw(anything, self._search[self._folds != fold], fold),
                    self._search[self._folds == fold],
                ).mean()
                for fold in range(FOLDS)
            ]
            found.append(float(np.mean(right)))
        return _PENALTIES[int(np.argmax(found))]
