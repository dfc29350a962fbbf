"""Rules that cover the pool: rows that between them lie close to every other, by their vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.rules.clustering import MOST_AT_ONCE, clustered, some_rows
from euds.selection.rules.preference import Candidates, Preference, first_of_all, no_preference

__all__ = [
    "SAME",
    "STEP",
    "farthest_by_levels",
    "farthest_first",
    "k_center",
    "k_means",
    "needs_rows",
    "vectors_shown",
]

Lots = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]


# Rows far from each other, of very many: greedy k-center that takes any row far enough.
#
# Greedy k-center takes the row farthest from those before it, so that each choice is a pass over
# all rows. Here a row need only be at least as far as a level, and levels fall by a twentieth: the
# thresholds of Hochbaum and Shmoys 1985 (doi:10.1287/moor.10.2.180) in a falling order. Hundreds of
# rows are then chosen at once and compared with the others in one matrix product; and what is
# closer to a chosen row than the level need not be compared with the rows chosen at that level at
# all.
#
# At every point of the order the largest distance from a row to the nearest chosen one is at most
# 2 / 0.95 = 2.11 times the smallest that any set of that size has. For let r be the level at which
# the last row was chosen. All chosen rows are r or more from each other, and no row is farther from
# them than the level before, r / 0.95. If some row is r or more from all of them, there are k + 1
# rows of which no two are closer than r; of any k centres one is nearest to two of these, so that
# one of the two is r / 2 or more from it. If the farthest row is closer than r, at d, the same
# holds with d for r, and the distance is at most twice the smallest.
#
# Shards of rows that choose for themselves, and a choice among theirs (Malkomes et al. 2015, "Fast
# distributed k-center clustering with outliers on massive data"), guarantee a factor of 4. They
# spread the work over machines, and on one machine there is none the less of it.

SAME = 1e-6
"""Squared distances closer than this are equal: float32 cannot tell such vectors apart."""

STEP = 0.95
"""A level as a share of the one before it."""

_CHOSEN_AMONG = 2_048  # rows that are compared with each other to choose some
_ROWS_PER_BLOCK = 4_096
_CENTRES_PER_BLOCK = 1_024


def farthest_by_levels(vectors: Vectors, *, count: int, lots: Lots, covered_by: Vectors) -> Numbers:
    """Return the numbers of ``count`` rows, each nearly the farthest from those before it.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)
        The rows.
    count : int
        How many, at most n.
    lots : ndarray of uint64, shape (n,)
        Among rows that are far enough those of the lowest lots are looked at first.
    covered_by : ndarray of float32, shape (c, dimensions)
        Vectors to stay away from as well; if there are none, the row nearest to the mean is first.

    Returns
    -------
    ndarray of int, shape (count,)

    Notes
    -----
    Memory grows with n, and time at most with n x count x dimensions, nearly all of it in matrix
    products.
    """
    search = _Search(vectors, count, lots, covered_by)
    if count and not len(covered_by):
        search.choose(np.array([_nearest_to_the_mean(vectors, lots)]))
    search.compare(np.arange(len(vectors)), level=-1.0)
    level = np.inf
    while search.chosen < count:
        level = min(level, float(search.nearest.max())) * STEP**2
        if level <= SAME:
            break
        _take_level(search, level, count)
    left = np.flatnonzero(search.nearest >= 0)
    repeats = left[np.argsort(lots[left])]  # rows that differ from no chosen one
    return np.concatenate([search.order[: search.chosen], repeats])[:count]


def _take_level(search: _Search, level: float, count: int) -> None:
    """Choose rows until none is as far as the level, or there are enough."""
    rows = np.flatnonzero(search.nearest >= level)
    rows = rows[np.argsort(search.lots[rows])]
    while search.chosen < count:
        search.compare(rows, level=level)
        rows = rows[search.nearest[rows] >= level]
        if not len(rows):
            break
        some = rows[:_CHOSEN_AMONG]
        search.choose(some[search.far_apart(some, level, count - search.chosen)])
        rows = rows[search.nearest[rows] >= 0]


def _nearest_to_the_mean(vectors: Vectors, lots: Lots) -> int:
    distances = _squared_distances(vectors, vectors.mean(axis=0, keepdims=True))[:, 0]
    nearest = np.flatnonzero(distances <= distances.min() + SAME)
    return int(nearest[lots[nearest].argmin()])


def _squared_distances(rows: Vectors, centres: Vectors) -> Vectors:
    """Return the squared distance of each row from each centre."""
    distances = rows @ centres.T
    distances *= -2
    distances += np.einsum("ij,ij->i", rows, rows)[:, None]
    distances += np.einsum("ij,ij->i", centres, centres)
    return np.asarray(np.maximum(distances, 0, out=distances))


class _Search:
    """What is known of each row on the way.

    Parameters
    ----------
    vectors, count, lots, covered_by
        As `farthest_by_levels` has them.
    """

    def __init__(self, vectors: Vectors, count: int, lots: Lots, covered_by: Vectors) -> None:
        self.vectors = vectors
        self.lots = lots
        self.covered_by = covered_by
        self.order = np.empty(count, dtype=np.int64)
        self.chosen = 0
        self.nearest = np.full(len(vectors), np.inf, dtype=np.float32)
        """The squared distance to the nearest centre that a row was compared with; -1 if chosen."""
        self._seen = np.zeros(len(vectors), dtype=np.int64)
        """How many centres a row was compared with: first those that cover, then those chosen."""

    def choose(self, rows: Numbers) -> None:
        """Add rows to those chosen."""
        self.order[self.chosen : self.chosen + len(rows)] = rows
        self.chosen += len(rows)
        self.nearest[rows] = -1

    def far_apart(self, rows: Numbers, level: float, most: int) -> Numbers:
        """Return places of rows that are as far as the level from each other; greedily chosen."""
        between = _squared_distances(self.vectors[rows], self.vectors[rows])
        nearest = self.nearest[rows]
        places: list[int] = []
        while len(places) < most and (farthest := nearest.max()) >= level:
            place = int(np.argmax(nearest >= farthest - SAME))  # the rows are in the order of lots
            places.append(place)
            np.minimum(nearest, between[place], out=nearest)
            nearest[place] = -1
        return np.array(places, dtype=np.int64)

    def compare(self, rows: Numbers, *, level: float) -> None:
        """Compare rows with all centres that they were not compared with yet.

        A row that turns out to be closer than the level is compared no further.
        """
        # Rows that have seen alike share a block; to see a centre again does no harm.
        rows = rows[np.argsort(self._seen[rows], kind="stable")]
        for start in range(0, len(rows), _ROWS_PER_BLOCK):
            self._compare_block(rows[start : start + _ROWS_PER_BLOCK], level)

    def _compare_block(self, rows: Numbers, level: float) -> None:
        made = len(self.covered_by) + self.chosen
        for first in range(int(self._seen[rows].min()), made, _CENTRES_PER_BLOCK):
            last = min(first + _CENTRES_PER_BLOCK, made)
            distances = _squared_distances(self.vectors[rows], self._centres(first, last))
            self.nearest[rows] = np.minimum(self.nearest[rows], distances.min(axis=1))
            self._seen[rows] = last
            rows = rows[self.nearest[rows] >= level]
            if not len(rows):
                break

    def _centres(self, first: int, last: int) -> Vectors:
        covering = len(self.covered_by)
        chosen = self.order[max(first - covering, 0) : max(last - covering, 0)]
        return np.concatenate([self.covered_by[first:last], self.vectors[chosen]])


def k_center(candidates: Candidates) -> Preference:
    """Prefer the row farthest from all rows before it: greedy k-center.

    The largest distance from a row to the nearest kept one is at most twice the smallest that any
    set of that size has (Gonzalez 1985); of more than 100,000 rows 2.11 times, see
    `euds.selection.rules.coverage`. As a rule for training data: Sener and Savarese 2018, arXiv
    1708.00489. Rows that stay count as kept before the first; without any, the row nearest to the
    mean is the first.
    """
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    vectors = vectors_shown(candidates)
    numbers = np.flatnonzero(candidates.open)
    order = farthest_first(
        some_rows(vectors, numbers),
        count=len(numbers) if candidates.keep is None else candidates.keep,
        lots=candidates.lots[numbers],
        covered_by=vectors[candidates.stays],
    )
    return first_of_all(numbers[order], candidates.rows, reason="covered")


def farthest_first(vectors: Vectors, *, count: int, lots: Lots, covered_by: Vectors) -> Numbers:
    """Return the numbers of ``count`` rows, each the farthest from those before it.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)
        The rows.
    count : int
        How many, at most n.
    lots : ndarray of uint64, shape (n,)
        Of rows equally far the lowest lot goes first.
    covered_by : ndarray of float32, shape (c, dimensions)
        Vectors to stay away from as well; if there are none, the row nearest to the mean is first.

    Returns
    -------
    ndarray of int, shape (count,)

    Notes
    -----
    One distance a row is kept, to the nearest row chosen so far: memory grows with n, time with
    n x count x dimensions. Of more than 100,000 rows each is only nearly the farthest
    (`euds.selection.rules.coverage`), which is quicker.
    """
    if len(vectors) > MOST_AT_ONCE:
        return farthest_by_levels(vectors, count=count, lots=lots, covered_by=covered_by)
    lengths = np.einsum("ij,ij->i", vectors, vectors)

    def squared_distances(point: Vectors) -> Vectors:
        distances = lengths - 2 * (vectors @ point) + point @ point
        return np.asarray(np.maximum(distances, 0), dtype=np.float32)

    nearest = np.full(len(vectors), np.inf, dtype=np.float32)
    for point in covered_by:
        np.minimum(nearest, squared_distances(point), out=nearest)
    # While all are infinitely far, the row nearest to the mean goes first.
    farness = nearest if len(covered_by) else -squared_distances(vectors.mean(axis=0))
    order = np.empty(count, dtype=np.int64)
    for place in range(count):
        farthest = np.flatnonzero(farness >= farness.max() - SAME)
        chosen = farthest[lots[farthest].argmin()]
        np.minimum(nearest, squared_distances(vectors[chosen]), out=nearest)
        nearest[chosen] = -1  # never again the farthest
        order[place] = chosen
        farness = nearest
    return order


def k_means(candidates: Candidates) -> Preference:
    """Prefer the rows nearest to the centres of as many clusters as the budget pays for.

    Raises
    ------
    OptionError
        If the budget is no number of rows: there would be no number of clusters.
    """
    if candidates.keep is None:
        raise needs_rows("k-means")
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    numbers = np.flatnonzero(candidates.open)
    lots = candidates.lots[numbers]
    clusters, distances = clustered(
        some_rows(vectors_shown(candidates), numbers),
        candidates.keep,
        lots=lots,
        seed=candidates.seed,
    )
    by_distance = np.lexsort((lots, distances, clusters))
    nearest = by_distance[np.unique(clusters[by_distance], return_index=True)[1]]
    # Where vectors repeat clusters are empty, and the lots of the other rows decide who fills up.
    return first_of_all(numbers[nearest], candidates.rows, reason="not nearest to a centre")


def needs_rows(rule: str) -> OptionError:
    """Return the error for a budget that the rule cannot turn into a number of rows."""
    return OptionError(
        f"the rule {rule} needs to know how many rows to keep",
        got="a budget in tokens, or none beside the interval",
        expected="a share or a number of rows",
        next_step="--keep 16%, or the rule k-center, which takes any budget",
    )


def vectors_shown(candidates: Candidates) -> Vectors:
    """Return the vectors, which the rule must have asked for."""
    if candidates.vectors is None:
        raise ValueError("this rule needs vectors")
    return candidates.vectors
