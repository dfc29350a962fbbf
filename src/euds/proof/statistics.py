"""What the seeds and the test rows say about a mean: its interval, its p-values, its power.

Scores are a matrix, one row a seed and one column a test row. Both are drawn from something
larger, and every seed answers the same rows, so they are crossed random effects::

    score[s, i] = mean + seed[s] + item[i] + residual[s, i]

The same holds for the difference of two arms whose seeds are paired and whose rows are the same,
so one `Estimate` serves the mean of an arm and the difference of two.

How far the interval reaches comes from the mean squares of the two-way table (Searle, Casella and
McCulloch 1992, *Variance Components*, chapter 4), each with the t quantile of its own degrees of
freedom, as Banerjee (1960, *Sankhya* 22:357) adds up variances that are not known equally well::

    reach**2 = (t[seeds - 1]**2 * MS_seed + t[items - 1]**2 * max(MS_item - MS_res, 0)) / numbers

where ``numbers`` is seeds times items. It is never less than rows alone or the residual alone would
give, ``t[items - 1]**2 * max(MS_item, MS_res) / numbers``. With one seed, or equal answers under
all seeds, it is the t interval over the rows; with rows that do not differ, the paired t interval
over the seeds; and it shrinks with every seed and every row.

It was chosen from five by simulation (``benchmarks/coverage.py``, figures in
``docs/statistics.md``). t over the means of the seeds forgets that the test rows are a sample; t
over the rows forgets the seeds; the bootstrap of both is too narrow where a few seeds have to show
how much seeds differ. Satterthwaite's approximation of the same variance comes closer to 95 % on
average but falls below 93 % where three seeds dominate, and a claim should err as seldom as it says
everywhere. The price is an interval that is too wide where few seeds do not differ.

A variance of zero is a sample that was too small to see any, not certainty. So a standard error is
at least sqrt(2) / (items + 2): that of a paired difference of proportions without any discordant
row, after one is added on either side (Bonett and Price 2012, *J. Educ. Behav. Stat.* 37:479).
It is seldom the larger one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from euds.errors import InputError, MissingExtraError

__all__ = ["Estimate", "MeanSquares", "Variance", "difference_of", "holm", "mcnemar", "mean_of"]

Floats = NDArray[np.float64]

MOST_SEEDS = 10_000
MOST_ROWS = 10_000_000
"""Where the search for what is needed stops: beyond, nobody would."""

_LEAST_P = 1e-12


@dataclass(frozen=True)
class Variance:
    """The components of the variance of one score, in squared scores.

    Parameters
    ----------
    seed, item, residual : float
        Of the seeds, of the test rows, and of what is left in a single score. With one seed the
        first and last cannot be told from ``item``, which then holds all three, and are NaN; with
        one test row so are ``item`` and ``residual``.
    """

    seed: float
    item: float
    residual: float


@dataclass(frozen=True)
class MeanSquares:
    """The mean squares of a table of seeds and test rows; arrays for several tables at once.

    Parameters
    ----------
    seed, item, residual : float or ndarray
        0 where there are no degrees of freedom.
    seeds, items : int or ndarray
        Numbers of seeds and test rows.
    """

    seed: Any
    item: Any
    residual: Any
    seeds: Any
    items: Any

    @property
    def seed_error(self) -> Any:
        """The squared standard error that the seeds give, with seeds - 1 degrees of freedom."""
        return self.seed / (self.seeds * self.items)

    @property
    def item_error(self) -> Any:
        """The one that the rows add to it, with items - 1 degrees of freedom."""
        return np.maximum(self.item - self.residual, 0) / (self.seeds * self.items)

    @property
    def least_error(self) -> Any:
        """What the sum may not be less than, with items - 1 degrees of freedom."""
        alone = np.maximum(self.item, self.residual) / (self.seeds * self.items)
        return np.maximum(alone, 2 / (self.items + 2.0) ** 2)

    def reach(self, level: float) -> Any:
        """Return the distance from the mean that is left on one side with this probability."""
        of_seeds = stdtrit(np.maximum(self.seeds - 1, 1), level) ** 2
        of_items = stdtrit(np.maximum(self.items - 1, 1), level) ** 2
        both = of_seeds * self.seed_error + of_items * self.item_error
        return np.sqrt(np.maximum(both, of_items * self.least_error))


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test rows with its uncertainty, in scores (1 is 100 points).

    Parameters
    ----------
    mean : float
        The mean of all scores or differences.
    mean_squares : MeanSquares
        Where its uncertainty comes from.
    lowest : float
        The least that the mean can be: 0 of one arm, -1 of a difference. The highest is 1.
    """

    mean: float
    mean_squares: MeanSquares
    lowest: float

    @property
    def seeds(self) -> int:
        """The number of seeds; one less are the degrees of freedom of what they give."""
        return int(self.mean_squares.seeds)

    @property
    def items(self) -> int:
        """The number of test rows; one less are the degrees of freedom of what they give."""
        return int(self.mean_squares.items)

    @property
    def includes_seeds(self) -> bool:
        """Whether the interval speaks of other seeds too; with a single one it cannot."""
        return self.seeds > 1

    @property
    def standard_error(self) -> float:
        """The standard error of the mean, above zero."""
        parts = self.mean_squares
        return math.sqrt(max(parts.seed_error + parts.item_error, parts.least_error))

    @property
    def variance(self) -> Variance:
        """The components of the variance; a negative estimate is 0."""
        parts = self.mean_squares
        has_seeds, has_items = self.seeds > 1, self.items > 1
        of_seed = max(parts.seed - parts.residual, 0.0) / self.items
        of_item = max(parts.item - parts.residual, 0.0) / self.seeds
        return Variance(
            seed=of_seed if has_seeds else math.nan,
            item=of_item if has_items else math.nan,
            residual=parts.residual if has_seeds and has_items else math.nan,
        )

    def half_width(self, confidence: float = 0.95) -> float:
        """Return how far the interval reaches to either side of the mean."""
        return float(self.mean_squares.reach((1 - confidence) / 2))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval of the mean, cut to what a mean can be."""
        half = self.half_width(confidence)
        return max(self.mean - half, self.lowest), min(self.mean + half, 1.0)

    def p_greater(self, value: float) -> float:
        """Return the one-sided p of a true mean of ``value`` or less; small: it is greater.

        It is the level at which the interval ends at ``value``, and at least 1e-12.
        """
        p = _level(self.mean_squares, abs(self.mean - value))
        return p if self.mean > value else 1 - p

    def p_less(self, value: float) -> float:
        """Return the one-sided p of a true mean of ``value`` or more; small: it is less."""
        return 1 - self.p_greater(value)

    def smallest_detectable(self, confidence: float = 0.95, *, power: float = 0.8) -> float:
        """Return the true mean that the two-sided test would tell from 0 with this power.

        The reach of the test and that of the power, added. Exact for normal scores of known
        variance; where seeds are all that differs, 1 % too small with five of them, 5 % with three.
        """
        return self.half_width(confidence) + float(self.mean_squares.reach(1 - power))

    def needed_seeds(self, half_width: float, *, confidence: float = 0.95) -> int | None:
        """Return the seeds that would give this half width on the same number of test rows.

        Returns
        -------
        int or None
            The smallest number, not below the present one. None if `MOST_SEEDS` are too few: the
            rows alone are too uncertain, or there is one seed and nothing is known of others.
        """
        if not self.includes_seeds:
            return None
        return _smallest(
            lambda seeds: self._expected_half_width(seeds, self.items, confidence) <= half_width,
            self.seeds,
            MOST_SEEDS,
        )

    def needed_rows(self, half_width: float, *, confidence: float = 0.95) -> int | None:
        """Return the test rows that would give this half width with the same number of seeds.

        Returns
        -------
        int or None
            The smallest number, not below the present one. None if `MOST_ROWS` are too few: the
            seeds alone are too uncertain, or there is one test row.
        """
        if self.items < 2:
            return None
        return _smallest(
            lambda items: self._expected_half_width(self.seeds, items, confidence) <= half_width,
            self.items,
            MOST_ROWS,
        )

    def _expected_half_width(self, seeds: Any, items: Any, confidence: float) -> Any:
        """Return the half width at other sizes, from the mean squares to be expected there."""
        one = self.variance
        seed, item, residual = np.nan_to_num((one.seed, one.item, one.residual))
        expected = MeanSquares(
            seed=items * seed + residual,
            item=seeds * item + residual,
            residual=residual,
            seeds=seeds,
            items=items,
        )
        return expected.reach((1 - confidence) / 2)


def mean_of(scores: ArrayLike) -> Estimate:
    """Return the mean score of one arm.

    Parameters
    ----------
    scores : array_like, shape (seeds, items)
        Scores in [0, 1].

    Raises
    ------
    InputError
        If the scores are not such a matrix.
    """
    return _estimate(_checked(scores), lowest=0.0)


def difference_of(scores: ArrayLike, reference: ArrayLike) -> Estimate:
    """Return the mean of ``scores`` minus ``reference``.

    Parameters
    ----------
    scores, reference : array_like, shape (seeds, items)
        Scores in [0, 1] of two arms: equal rows are paired seeds, equal columns one test row.

    Raises
    ------
    InputError
        If they are not two such matrices of one shape.
    """
    return _estimate(np.subtract(*_checked_pair(scores, reference)), lowest=-1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values of one family after Holm's correction.

    Holm 1979, *Scand. J. Statist.* 6:65. Comparing each with a level keeps the probability of any
    false claim in the family below that level, however they depend. (statsmodels has it too, but
    collects garbage at every call, which takes a third of a second beside a loaded model.)
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return [float(p) for p in np.minimum(corrected, 1)]


def mcnemar(right: ArrayLike, reference: ArrayLike) -> float:
    """Return the p of the exact McNemar test on the majority votes over the seeds.

    An arm's vote on a test row is whether more than half of its seeds were right. Rows where the
    seeds of either arm are divided equally are left out, for they vote for nobody. This speaks of
    two ensembles on these test rows: seeds that would have voted otherwise are not in it.

    Parameters
    ----------
    right, reference : array_like, shape (seeds, items)
        1 where an arm was right, 0 where it was wrong.

    Returns
    -------
    float
        Two-sided; 1 if no vote differs.

    Raises
    ------
    InputError
        If they are not two such matrices of one shape.
    MissingExtraError
        If statsmodels is not installed.
    """
    pair = _checked_pair(right, reference)
    if any(np.any((matrix != 0) & (matrix != 1)) for matrix in pair):
        raise InputError(
            "a vote needs answers that are right or wrong", got="a score between", expected="0 or 1"
        )
    try:
        from statsmodels.stats.contingency_tables import mcnemar as test
    except ModuleNotFoundError as error:
        raise MissingExtraError("statsmodels", extra="train", purpose="a verdict") from error
    one, other = (matrix.mean(axis=0) for matrix in pair)
    decided = (one != 0.5) & (other != 0.5)
    one, other = one[decided] > 0.5, other[decided] > 0.5
    table = [[int(np.sum((one == x) & (other == y))) for y in (True, False)] for x in (True, False)]
    return float(test(table, exact=True).pvalue)


def _checked(scores: ArrayLike) -> Floats:
    matrix = np.asarray(scores, np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(
            "scores are not a matrix",
            got=f"shape {matrix.shape}",
            expected="one row a seed, one column a test row, at least one of each",
        )
    if not (matrix.min() >= 0 and matrix.max() <= 1):  # a NaN fails too
        raise InputError(
            "a score is out of range",
            got=f"{matrix.min():g} to {matrix.max():g}",
            expected="0 to 1",
        )
    return matrix


def _checked_pair(scores: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    one, other = _checked(scores), _checked(reference)
    if one.shape != other.shape:
        raise InputError(
            "two arms are not paired",
            got=f"{one.shape} and {other.shape}",
            expected="the same seeds and the same test rows",
        )
    return one, other


def _estimate(values: Floats, *, lowest: float) -> Estimate:
    seeds, items = values.shape
    mean = values.mean()
    by_seed = values.mean(axis=1) - mean
    by_item = values.mean(axis=0) - mean
    left = values - mean - by_seed[:, None] - by_item
    mean_squares = MeanSquares(
        seed=items * float(by_seed @ by_seed) / max(seeds - 1, 1),
        item=seeds * float(by_item @ by_item) / max(items - 1, 1),
        residual=float(np.vdot(left, left)) / max((seeds - 1) * (items - 1), 1),
        seeds=seeds,
        items=items,
    )
    return Estimate(float(mean), mean_squares, lowest)


def _level(mean_squares: MeanSquares, distance: float) -> float:
    """Return the level, at most 1/2, at which an interval reaches so far."""
    if mean_squares.reach(_LEAST_P) <= distance * (1 + 1e-9):
        return _LEAST_P
    if distance == 0:
        return 0.5
    # Searched among t quantiles of the rows, in which the reach is nearly linear.
    degrees = max(mean_squares.items - 1, 1)
    quantile = brentq(
        lambda t: mean_squares.reach(stdtr(degrees, t)) - distance,
        stdtrit(degrees, _LEAST_P),
        0,
        xtol=1e-10,
    )
    return float(stdtr(degrees, quantile))


def _smallest(is_enough: Callable[[int], bool], start: int, most: int) -> int | None:
    """Return the smallest number from ``start`` to ``most`` that is enough, or None."""
    if not is_enough(most):
        return None
    below, enough = start - 1, most
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if is_enough(middle) else (middle, enough)
    return enough
