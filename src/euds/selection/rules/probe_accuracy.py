"""What a subset is worth by its labels: how well a linear model that was trained on it answers.

Every class counts the same, however many rows it has (balanced accuracy, also called macro recall):
in a pool where nine rows of ten are of one class, a model that knows only that class is no good.
Plain accuracy, where every row counts the same, is there for data that will come in the shares of
the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from euds.selection.rules.criteria import Draws, best_of_draws
from euds.selection.rules.ranks import mid_ranks
from euds.selection.rules.ridge import Ridge, agreement
from euds.selection.rules.windows import Window

__all__ = ["AGREEMENT", "ProbeAccuracy", "agreement_ranks"]

AGREEMENT = "agreement"
"""The score that only labels give: how much a probe trained on other rows prefers a row's label."""

_FOLDS = 4
_FRESH_SHARE = 0.2
_BASELINE_DRAWS = 8
_DRAWS = 20  # of each window that is left
_PENALTIES = (0.1, 1.0, 10.0)
_SMALLEST_CLASS = 5  # rows; smaller ones would count so much that luck with them decided

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class ProbeAccuracy:
    """Judges windows by a ridge probe on rows that it was not trained on; a `Criterion`.

    Four folds are for searching; a fifth part of the rows is kept for judging what was found. All
    accuracies are in per cent.

    Parameters
    ----------
    draws : Draws
        How subsets are drawn, with classes; its ranks are added to by `AGREEMENT`, fold by fold.
    features : ndarray of float64, shape (n, k)
        The rows.
    balanced : bool
        Whether every class counts the same, and not every row.
    """

    name = "probe"
    finalists = 4

    def __init__(self, draws: Draws, features: Floats, *, balanced: bool = True) -> None:
        assert draws.classes is not None, "a probe needs classes"
        order = np.random.default_rng([draws.seed, 4]).permutation(len(features))
        fresh = round(_FRESH_SHARE * len(order))
        self._fresh, self._search = np.sort(order[:fresh]), np.sort(order[fresh:])
        self._folds = np.random.default_rng([draws.seed, 5]).permutation(len(self._search)) % _FOLDS
        self._weights = np.ones(len(features))
        if balanced:
            sizes = np.bincount(draws.classes)
            self._weights = 1 / np.maximum(sizes, _SMALLEST_CLASS)[draws.classes]
        self._draws = draws
        penalty = self._best_penalty(features, draws.classes)
        self._ridge = Ridge(features, draws.classes, penalty)
        parts = [self._search[self._folds != fold] for fold in range(_FOLDS)]
        self._fits = [(part, self._with_agreement(part)) for part in [*parts, self._search]]

    @property
    def windows(self) -> list[Window]:
        """Every window over the ranks and agreement, as the rows fall and with equal classes."""
        plain = self._draws.windows(also=(AGREEMENT,))
        return [*plain, *(replace(one, equal=True) for one in plain)]

    @property
    def rounds(self) -> int:
        """Twice each fold."""
        return 2 * _FOLDS

    @property
    def penalty(self) -> float:
        """The penalty that suits draws of this size."""
        return self._ridge.penalty

    def worth(self, window: Window, round_: int) -> float:
        """Return the accuracy on one of the folds."""
        fit, draws = self._fits[round_ % _FOLDS]
        rows = draws.draw(window, fit, round_)
        if not len(rows):  # a narrow window, and none of its rows is in these folds
            return 0.0
        asked = self._search[self._folds == round_ % _FOLDS]
        return self._accuracy(self._ridge.right(rows, asked), asked)

    def gains(self, finalists: Sequence[Window], widest: Window) -> Floats:
        """Return what each fresh row gains by the best draw, over draws from the widest window.

        Its mean is the gain in accuracy, in points.
        """
        fit, draws = self._fits[_FOLDS]
        window, number = self._best(finalists, fit, draws)
        ours = self._ridge.right(draws.draw(window, fit, number), self._fresh)
        plain = [
            self._ridge.right(draws.draw(widest, fit, one), self._fresh)
            for one in range(_BASELINE_DRAWS)
        ]
        weights = self._weights[self._fresh]
        return np.asarray(100 * (ours - np.mean(plain, axis=0)) * weights / weights.mean())

    def counts(self, gain: float, error: float) -> bool:
        """Return whether the best draw is to be used.

        It costs as much as any other, so what is likelier to be better is taken.
        """
        return gain > 0

    def best_draw(self, windows: Sequence[Window]) -> tuple[Window, int]:
        """Return the window and the number of the draw that teaches most about all rows."""
        everything = np.arange(len(self._weights))
        return self._best(windows, everything, self._with_agreement(everything))

    def _best(self, windows: Sequence[Window], among: Numbers, draws: Draws) -> tuple[Window, int]:
        def worth(window: Window, number: int) -> float:
            rows = draws.draw(window, among, number)
            return self._accuracy(self._ridge.right_left_out(rows, among), among)

        return best_of_draws(windows, _DRAWS, worth)

    def _accuracy(self, right: NDArray[np.bool_], rows: Numbers) -> float:
        return 100 * float(np.average(right, weights=self._weights[rows]))

    def _with_agreement(self, rows: Numbers) -> Draws:
        ranks = np.full(len(self._weights), np.nan)
        ranks[rows] = agreement_ranks(self._ridge, rows, seed=self._draws.seed)
        return replace(self._draws, ranks={**self._draws.ranks, AGREEMENT: ranks})

    def _best_penalty(self, features: Floats, classes: Numbers) -> float:
        """Return the penalty that is best for draws from everything."""
        anything = Window(next(iter(self._draws.ranks)), 0.0, 1.0 + 1e-9)
        found = []
        for penalty in _PENALTIES:
            ridge = Ridge(features, classes, penalty)
            accuracies = []
            for fold in range(_FOLDS):
                asked = self._search[self._folds == fold]
                rows = self._draws.draw(anything, self._search[self._folds != fold], fold)
                accuracies.append(self._accuracy(ridge.right(rows, asked), asked))
            found.append(float(np.mean(accuracies)))
        return _PENALTIES[int(np.argmax(found))]


def agreement_ranks(ridge: Ridge, rows: Numbers, *, seed: int) -> Floats:
    """Return the ranks, in (0, 1), of how far other rows' labels speak for each row's own."""
    return mid_ranks(agreement(ridge, rows, seed=seed))
