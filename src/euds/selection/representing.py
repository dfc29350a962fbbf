"""Groups of like rows, and an order in which every group keeps its share.

Rows drawn from each group in proportion to its size represent the pool better than as many rows
drawn from all of it: what varies between groups is taken out of the draw's luck, and nothing is put
in its place (stratified sampling; Cochran 1977, chapter 5). So it costs no assumption on which rows
are worth more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.selection.clustering import clustered, nearest_centres
from euds.selection.preference import places_by_lot

__all__ = ["MOST_STRATA", "interleaved", "strata_of"]

MOST_STRATA = 1_000
"""More clusters than this take long to find."""

_FITTED_ON = 20_000  # rows that the centres are found on; all others go to the nearest centre

Vectors = NDArray[np.float32]
Lots = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


def strata_of(vectors: Vectors, keep: int, *, lots: Lots, seed: int) -> Numbers:
    """Return the stratum of each row: its cluster among at most 1,000, never more than rows kept.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)
        Sentence vectors.
    keep : int
        How many rows will be kept, at least 1.
    lots : ndarray of uint64, shape (n,)
        Where the clusters begin.
    seed : int
        Of the clustering.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    fitted = np.sort(np.argsort(lots)[:_FITTED_ON])
    count = min(MOST_STRATA, keep, len(fitted))
    if count < 2:
        return np.zeros(len(vectors), dtype=np.int64)
    labels, _ = clustered(vectors[fitted], count, lots=lots[fitted], seed=seed)
    used = np.unique(labels)
    centres = np.stack([vectors[fitted][labels == label].mean(axis=0) for label in used])
    return nearest_centres(vectors, centres)


def interleaved(groups: Numbers, lots: Lots, *, seed: int) -> Floats:
    """Return a place in (0, 1) for each row, so that any beginning holds the groups' shares.

    The i-th of a group's n rows, by lot and from 0, has its place at ``(i + u) / n`` with one
    uniform u a group: systematic sampling, in which every row of every group, however small, is
    equally likely to be among the first.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        The group of each row, from 0.
    lots : ndarray of uint64, shape (n,)
        The order inside a group.
    seed : int
        Of the uniforms.

    Returns
    -------
    ndarray of float, shape (n,)
    """
    sizes = np.bincount(groups)
    begins = np.random.default_rng([seed, 1]).random(len(sizes))
    return np.asarray((places_by_lot(groups, lots) + begins[groups]) / sizes[groups])
