"""Ranks that are free of length.

Most entropies of a text depend on how long it is: a plug-in entropy grows with it, a mean over
tokens varies less. An interval on such a score is in good part a length filter. So the dependence
on length is taken out before ranking: location and spread of the score are fitted as piecewise
linear functions of the logarithm of the length, and what is ranked is the standardised residual.
Taking out the spread too matters: otherwise the middle of the ranks would be full of long texts.

Within groups (of one answer that the model itself finds likeliest) fit and ranks are made per
group, so that they are free of the group too.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = [
    "epsilon_squared",
    "length_free_ranks",
    "mid_ranks",
    "spearman",
    "spearman_with",
    "tied_share",
]

_KNOTS = 6
_ROWS_PER_KNOT = 30
_SMALLEST_GROUP = 30

Floats = NDArray[np.float64]


def mid_ranks(values: Floats) -> Floats:
    """Return each value's quantile in (0, 1): (rank - 1/2) / n, ties sharing their mean rank.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        NaN marks a missing value; its rank is NaN, and it does not count in n.

    Returns
    -------
    ndarray of float, shape (n,)

    >>> mid_ranks(np.array([3.0, 1.0, np.nan, 2.0])).round(3).tolist()
    [0.833, 0.167, nan, 0.5]
    """
    ranks = np.full(values.shape, np.nan)
    there = np.isfinite(values)
    if there.any():
        ranks[there] = (_average_ranks(values[there]) - 0.5) / there.sum()
    return ranks


def _average_ranks(values: Floats) -> Floats:
    """Return ranks from 1, ties sharing their mean; scipy.stats has this too but loads slowly."""
    return pl.Series(values).rank("average").to_numpy()


def length_free_ranks(
    values: Floats, lengths: Floats, *, groups: NDArray[np.int64] | None = None
) -> Floats:
    """Return ranks of the values with their dependence on length taken out.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Scores; NaN where missing.
    lengths : ndarray of float, shape (n,)
        Lengths in tokens or words, not negative.
    groups : ndarray of int, shape (n,), optional
        Groups to rank within. Groups of fewer than 30 rows are ranked together.

    Returns
    -------
    ndarray of float, shape (n,)
        Quantiles in (0, 1) among the rows (of the same group) that have a value.
    """
    ranks = np.full(values.shape, np.nan)
    there = np.isfinite(values)
    labels = np.zeros(len(values), np.int64) if groups is None else _merge_small(groups, there)
    for label in np.unique(labels[there]):
        members = there & (labels == label)
        ranks[members] = mid_ranks(_standardised(values[members], lengths[members]))
    return ranks


def _merge_small(groups: NDArray[np.int64], there: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels, counts = np.unique(groups[there], return_counts=True)
    small = labels[counts < _SMALLEST_GROUP]
    return np.where(np.isin(groups, small), -1, groups)


def _standardised(values: Floats, lengths: Floats) -> Floats:
    """Return the residuals of a fit of location on length, over a fit of their spread."""
    distinct, places, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    basis = _hat_basis(np.log1p(distinct), counts)

    def fitted(targets: Floats) -> Floats:
        # Rows of one length have one place in the fit: their mean, weighted by their number, gives
        # the same least squares as all of them.
        weights = np.sqrt(counts)
        means = np.bincount(places, weights=targets) / counts
        coefficients, *_ = np.linalg.lstsq(basis * weights[:, None], means * weights, rcond=None)
        return np.asarray((basis @ coefficients)[places], dtype=np.float64)

    residuals = values - fitted(values)
    spread = fitted(np.abs(residuals))
    if np.abs(residuals).max() <= 1e-9 * np.abs(values).max():
        return np.zeros(len(values))  # nothing but rounding is left: all rows are tied
    # Where all values of one length are equal the spread is zero and there is nothing to scale.
    floor = 0.05 * np.abs(residuals).mean()
    scaled = residuals / np.maximum(spread, floor) if floor > 0 else residuals
    # Sums in another order differ in the last digits: values that were equal must stay tied.
    return np.round(scaled, 9)


def _hat_basis(positions: Floats, counts: NDArray[np.int64]) -> Floats:
    """Return piecewise linear functions at distinct positions, shape ``(positions, knots)``.

    The knots are at quantiles of the rows, of which each position has ``counts``.
    """
    count = int(np.clip(counts.sum() // _ROWS_PER_KNOT, 1, _KNOTS))
    quantiles = np.quantile(np.repeat(positions, counts), np.linspace(0, 1, count))
    knots = np.unique(quantiles)
    if len(knots) < 2:
        return np.ones((len(positions), 1))
    return np.column_stack([np.interp(positions, knots, unit) for unit in np.eye(len(knots))])


def spearman(first: Floats, second: Floats) -> float | None:
    """Return Spearman's rank correlation over rows that have both; None if it is not defined."""
    return spearman_with(second, first)[0]


def spearman_with(one: Floats, *others: Floats) -> list[float | None]:
    """Return Spearman's correlations of one column with others, over rows that have all of them.

    >>> spearman_with(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 8.0]), np.array([1.0, 0, 0]))
    [1.0, -0.8660254037844387]
    """
    there = np.isfinite(one)
    for other in others:
        there &= np.isfinite(other)
    if there.sum() < 3:
        return [None for _ in others]
    ranks = _average_ranks(one[there])
    return [_correlation(ranks, _average_ranks(other[there])) for other in others]


def _correlation(x: Floats, y: Floats) -> float | None:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def epsilon_squared(values: Floats, groups: NDArray[np.int64]) -> float | None:
    """Return how much of the values' ranks the groups explain, 0 to 1; None if it is not defined.

    This is the effect size of the Kruskal-Wallis test, H / (n - 1): the share of the variance of
    the ranks that lies between groups (Tomczak and Tomczak 2014, Trends in Sport Sciences 1(21)).

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Finite values.
    groups : ndarray of int, shape (n,)
        The group of each, not negative.

    >>> epsilon_squared(np.array([1.0, 2.0, 8.0, 9.0]), np.array([0, 0, 1, 1]))
    0.8
    """
    if len(values) < 3 or np.ptp(values) == 0:
        return None
    ranks = _average_ranks(values)
    ranks = ranks - ranks.mean()
    counts = np.bincount(groups)
    sums = np.bincount(groups, weights=ranks)[counts > 0]
    return float((sums**2 / counts[counts > 0]).sum() / (ranks**2).sum())


def tied_share(values: Floats) -> float:
    """Return the share of rows whose value some other row has too.

    >>> tied_share(np.array([1.0, 1.0, 2.0, np.nan]))
    0.6666666666666666
    """
    there = values[np.isfinite(values)]
    if not len(there):
        return 0.0
    _, counts = np.unique(there, return_counts=True)
    return float(counts[counts > 1].sum() / len(there))
