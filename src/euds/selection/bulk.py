"""The bulk of a pool: where most of its rows lie in all entropies at once, and what lies outside.

Text that nobody can train on (markup, notices, letter salad, other languages, shuffled words) is
seldom odd in one entropy alone, but nearly always in several taken together and raw. So location
and scatter of the scores are estimated robustly, by the half of the rows that lies tightest (the
minimum covariance determinant; Rousseeuw and Van Driessen 1999, Technometrics 41(3)), and a row is
judged by its Mahalanobis distance from there. Labels have no part in it.

The distances of the bulk follow a chi-squared law up to a scale, which rows that do not belong
would inflate. It is taken from the inner half of the bulk: what lies beyond the law's 99.9 % point
is counted as *background*, the scale is corrected for it, and so on until nothing changes.

Where there is background, some of it lies inside as well, and the less the farther inwards. So of a
background of a share b the outer b of the bulk is given up too: (1 - b)^2 of the rows are used. A
pool without background loses nothing.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2, norm

__all__ = ["FEWEST_ROWS", "OUTSIDE", "SCORES", "Bulk", "bulk_of"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

SCORES = ("ie", "ie_norm", "ie_char", "ge", "ge_nll")
"""The scores that the distance is of, as far as there are any; ``ge_gap`` would say nothing more,
since it is the difference of two of them."""

FEWEST_ROWS = 60
"""Fewer distinct rows have no bulk that could be told."""

OUTSIDE, EDGE = "unusable", "edge of the bulk"

_MOST_FITTED = 20_000  # more rows tell nothing new about location and scatter
_FARTHEST = 12.0  # in robust standard deviations: farther tells no more, and would rule the scatter
_LAW = 0.999  # of the law of the bulk lies within
_LARGE_BACKGROUND = 0.075
_LIMIT = float(norm.ppf(_LAW))
_ROUNDS = 50


@dataclass(frozen=True)
class Bulk:
    """Where the bulk lies, and how far each row is from its middle.

    Parameters
    ----------
    scores : tuple of str
        The scores that the distance is of.
    left_out : mapping of str to str
        The scores that are not, and why.
    distance : ndarray of float, shape (n,)
        How far each row is, as the standard normal quantile of the law of the bulk, so that rows
        with fewer scores compare with others; NaN for a row without any.
    far : ndarray of bool, shape (n,)
        The rows beyond the 99.9 % point of the law.
    inside : ndarray of bool, shape (n,)
        The rows that are used first; those that no score judges are among them.
    background : float
        The estimated share of rows that do not belong to the bulk.
    reason : polars.Series, n of them
        What is odd about a row outside: ``unusable: ie high``, or ``unusable: ie with ge``.
    ranges : mapping of str to tuple of float
        Of each score, the 1st and 99th percentile of the bulk.
    """

    scores: tuple[str, ...]
    left_out: Mapping[str, str]
    distance: Floats
    far: Bools
    inside: Bools
    background: float
    reason: pl.Series
    ranges: Mapping[str, tuple[float, float]]

    @property
    def is_dirty(self) -> bool:
        """Whether there is more background than the tails of clean pools make."""
        return self.background >= _LARGE_BACKGROUND


def bulk_of(values: Mapping[str, Floats], fitted: Bools, lots: NDArray[np.uint64]) -> Bulk | None:
    """Return the bulk of some rows; None where they are too few, or no score tells them apart.

    Parameters
    ----------
    values : mapping of str to ndarray of float, shape (n,)
        The raw scores, NaN where a row has none; rows in an order that means nothing.
    fitted : ndarray of bool, shape (n,)
        The rows that location and scatter come from: distinct and without near-duplicates, so that
        a text that is there a thousand times is no bulk.
    lots : ndarray of uint64, shape (n,)
        Of many rows those with the lowest lots are fitted on.
    """
    names, left_out = _of_use(values, fitted) if fitted.sum() >= FEWEST_ROWS else ((), {})
    if not names:
        return None
    table = np.column_stack([values[name] for name in names])
    there = np.isfinite(table)
    whole = there.all(axis=1)
    if (fitted & whole).sum() < FEWEST_ROWS:
        return None
    shape = _shape_of(table, fitted & whole, lots)
    distance, width = np.full(len(table), np.nan), np.full(len(table), -np.inf)
    reason = np.full(len(table), EDGE, dtype=object)
    background = 0.0
    for pattern in np.unique(there[there.any(axis=1)], axis=0):
        rows = (there == pattern).all(axis=1)
        # Rows that lack the same score, such as those of a few words, may have a bulk of their own.
        own = fitted & rows
        has_own = (
            own.sum() >= FEWEST_ROWS
            and not _of_use(
                {name: values[name] for name in np.array(names)[pattern].tolist()}, own
            )[1]
        )
        found = shape.of(pattern)
        if has_own and not pattern.all():
            found = _shape_of(table[:, pattern], own, lots)
        offsets = found.offsets(table[np.ix_(rows, pattern)])
        distance[rows], width[rows] = found.distance(offsets), found.width
        reason[rows] = _reasons(np.array(names)[pattern], offsets, found.scatter)
        background += found.background * own.sum() / fitted.sum()
    far = distance > _LIMIT
    reason[~far] = EDGE
    bulk = table[fitted & whole & ~far]
    return Bulk(
        scores=names,
        left_out=left_out,
        distance=distance,
        far=far,
        inside=(distance <= np.minimum(width, _LIMIT)) | np.isnan(distance),
        background=float(background),
        reason=pl.Series(reason, dtype=pl.String),
        ranges={
            name: (float(low), float(high))
            for name, low, high in zip(names, *np.quantile(bulk, [0.01, 0.99], axis=0), strict=True)
        },
    )


_MAD = float(1 / norm.ppf(0.75))  # times the median absolute deviation: a standard deviation


@dataclass(frozen=True)
class _Shape:
    """Location and scatter of a bulk, in robust units, and how far it reaches.

    Parameters
    ----------
    middle, spread : ndarray of float, shape (scores,)
        The units: median, and standard deviation by the median absolute deviation.
    centre : ndarray of float, shape (scores,)
        The location.
    scatter : ndarray of float, shape (scores, scores)
        The scatter, in the scale of the law.
    background : float
        The share of rows beyond the law.
    width : float
        The distance up to which rows are used.
    """

    middle: Floats
    spread: Floats
    centre: Floats
    scatter: Floats
    background: float
    width: float

    def offsets(self, table: Floats) -> Floats:
        """Return how far rows are from the centre by each score."""
        scaled = (table - self.middle) / self.spread
        return np.asarray(np.clip(scaled, -_FARTHEST, _FARTHEST) - self.centre)

    def distance(self, offsets: Floats) -> Floats:
        """Return robust distances as standard normal quantiles (Wilson and Hilferty 1931)."""
        squared = _squared(offsets, self.scatter)
        part = 2 / (9 * len(self.centre))
        return np.asarray((np.cbrt(squared / len(self.centre)) - (1 - part)) / np.sqrt(part))

    def of(self, pattern: Bools) -> _Shape:
        """Return the shape by some of the scores."""
        return replace(
            self,
            middle=self.middle[pattern],
            spread=self.spread[pattern],
            centre=self.centre[pattern],
            scatter=self.scatter[np.ix_(pattern, pattern)],
        )


def _shape_of(table: Floats, fitted: Bools, lots: NDArray[np.uint64]) -> _Shape:
    chosen = np.flatnonzero(fitted)
    chosen = np.sort(chosen[np.argsort(lots[chosen])[:_MOST_FITTED]])
    rows = table[chosen]
    middle = np.median(rows, axis=0)
    spread = np.median(np.abs(rows - middle), axis=0) * _MAD
    scaled = np.clip((rows - middle) / spread, -_FARTHEST, _FARTHEST)
    centre, scatter = _robust(scaled.tobytes(), scaled.shape[1])
    shape = _Shape(middle, spread, centre, scatter, 0.0, np.inf)
    offsets = shape.offsets(rows)
    scale, background = _calibrated(_squared(offsets, scatter), len(centre))
    shape = replace(shape, scatter=scatter * scale, background=background)
    width = float(np.quantile(shape.distance(offsets), (1 - background) ** 2))
    return replace(shape, width=width)


def _of_use(values: Mapping[str, Floats], fitted: Bools) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the scores that tell rows apart, and of the others why not."""
    names, left_out = [], {}
    for name, one in values.items():
        there = one[fitted & np.isfinite(one)]
        if len(there) < FEWEST_ROWS:
            left_out[name] = f"{len(there)} rows have it"
        elif np.median(np.abs(there - np.median(there))) == 0:
            left_out[name] = "half of the rows or more have the same value"
        else:
            names.append(name)
    return tuple(names), left_out


# A proof selects from the same rows many times.
@functools.lru_cache(maxsize=4)
def _robust(data: bytes, columns: int) -> tuple[Floats, Floats]:
    """Return location and scatter of the tightest half of some rows."""
    from sklearn import config_context
    from sklearn.covariance import MinCovDet
    from threadpoolctl import threadpool_limits

    rows = np.frombuffer(data).reshape(-1, columns)
    if columns == 1:  # the tightest half of numbers is found by sorting
        ordered = np.sort(rows[:, 0])
        half = len(ordered) // 2 + 1
        start = int(np.argmin(ordered[half - 1 :] - ordered[: len(ordered) - half + 1]))
        inner = ordered[start : start + half]
        return np.array([inner.mean()]), np.array([[max(inner.var(), 1e-12)]])
    quickly = config_context(assume_finite=True, skip_parameter_validation=True)
    with threadpool_limits(limits=1), quickly, warnings.catch_warnings():
        # Of a few subsets that the search begins with the covariance is singular.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        fitted = MinCovDet(support_fraction=0.5, random_state=0).fit(rows)
    return fitted.location_, fitted.covariance_


def _squared(offsets: Floats, scatter: Floats) -> Floats:
    """Return squared Mahalanobis distances; along what does not vary there is none."""
    precision = np.linalg.pinv(scatter, hermitian=True)
    return np.asarray(np.einsum("ij,jk,ik->i", offsets, precision, offsets))


def _calibrated(squared: Floats, scores: int) -> tuple[float, float]:
    """Return the scale of the law that the inner half of the bulk follows, and the background."""
    background = 0.0
    for _ in range(_ROUNDS):
        inner = float(np.quantile(squared, (1 - background) / 2))
        scale = inner / float(chi2.ppf(0.5, scores))
        beyond = float((squared > scale * chi2.ppf(_LAW, scores)).mean())
        found = max(0.0, beyond - (1 - _LAW) * (1 - background))
        if abs(found - background) < 1 / len(squared):
            break
        background = found
    return scale, found


def _reasons(names: NDArray[np.str_], offsets: Floats, scatter: Floats) -> NDArray[np.str_]:
    """Return of each row which score is odd, or which pair where none is by itself."""
    share = offsets * (
        offsets @ np.linalg.pinv(scatter, hermitian=True)
    )  # they add up to the squared distance
    alone = offsets / np.sqrt(np.diag(scatter))
    largest = np.argsort(-share, axis=1, kind="stable")
    first = largest[:, 0]
    odd = np.take_along_axis(alone, first[:, None], axis=1)[:, 0]
    other = largest[:, min(1, len(names) - 1)]
    low, high = np.minimum(first, other), np.maximum(first, other)
    said = np.where(
        np.abs(odd) > norm.ppf(0.99),
        np.char.add(names[first].astype(str), np.where(odd > 0, " high", " low")),
        np.char.add(np.char.add(names[low].astype(str), " with "), names[high].astype(str)),
    )
    return np.char.add(f"{OUTSIDE}: ", said)
