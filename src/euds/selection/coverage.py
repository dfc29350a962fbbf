"""Rules that cover the pool: rows that between them lie close to every other, by their vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.clustering import MOST_AT_ONCE, clustered, some_rows
from euds.selection.levels import SAME, farthest_by_levels
from euds.selection.preference import Candidates, Preference, first_of_all, no_preference

__all__ = ["farthest_first", "k_center", "k_means", "needs_rows", "vectors_shown"]

Vectors = NDArray[np.float32]
Lots = NDArray[np.uint64]
Numbers = NDArray[np.int64]


def k_center(candidates: Candidates) -> Preference:
    """Prefer the row farthest from all rows before it: greedy k-center.

    The largest distance from a row to the nearest kept one is at most twice the smallest that any
    set of that size has (Gonzalez 1985); of more than 100,000 rows 2.11 times, see
    `euds.selection.levels`. As a rule for training data: Sener and Savarese 2018, arXiv 1708.00489.
    Rows that stay count as kept before the first; without any, the row nearest to the mean is the
    first.
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
    (`euds.selection.levels`), which is quicker.
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
    MissingExtraError
        If scikit-learn is not installed.
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
