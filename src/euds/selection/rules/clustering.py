"""Clusters of vectors by k-means, and an order in which every cluster keeps its share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from euds.selection.quotas import divided
from euds.selection.rules.preference import places_by_lot

__all__ = [
    "MOST_AT_ONCE",
    "MOST_STRATA",
    "clustered",
    "interleaved",
    "nearest_centres",
    "some_rows",
    "strata_of",
]

Floats = NDArray[np.float64]
Lots = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]


MOST_AT_ONCE = 100_000
"""Rows that are put into clusters, and covered, as one; with more other ways are gone."""

_ITERATIONS = 20
_MOST_CENTRES = 1_000  # of many rows: more are looked for in shards
_FITTED_ON = 20_000  # rows drawn to learn so many centres
_ROWS_PER_SHARD = 5_000
_BLOCK = 65_536
_DIGITS = 6  # float32 tells no more of a distance


def clustered(
    vectors: Vectors, clusters: int, *, lots: Lots, seed: int
) -> tuple[NDArray[np.int32], Floats]:
    """Return each row's cluster by k-means, and its distance from the cluster's centre.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)
        The rows.
    clusters : int
        How many, at most n.
    lots : ndarray of uint64, shape (n,)
        The rows of the lowest lots are where the centres begin.
    seed : int
        Of what k-means draws where a cluster becomes empty.

    Returns
    -------
    labels : ndarray of int, shape (n,)
    distances : ndarray of float, shape (n,)
        Rounded to six digits: float32 tells no more.

    Notes
    -----
    The centres begin at rows drawn by lot, so that they lie where the rows lie. Begun at the rows
    farthest from each other they would stay with the outliers, which are poor rows to train on.

    Time grows with rows x clusters. Of more than 100,000 rows up to 1,000 centres are learnt on
    20,000 rows drawn by lot, and every row goes to the nearest. More clusters are looked for in
    shards: the rows are first put into clusters of some 5,000, those that came out larger than
    10,000 are cut by lot, and each shard is given its share of the clusters, one at least.
    Time then grows with the rows alone.
    """
    if len(vectors) <= MOST_AT_ONCE:
        labels, centres = _fitted(vectors, clusters, lots=lots, seed=seed)
        return labels, _distances(vectors, centres, labels)
    if clusters <= _MOST_CENTRES:
        drawn = np.sort(np.argsort(lots)[:_FITTED_ON])
        _, centres = _fitted(vectors[drawn], clusters, lots=lots[drawn], seed=seed)
        labels = nearest_centres(vectors, centres).astype(np.int32)
        return labels, _distances(vectors, centres, labels)
    return _in_shards(vectors, clusters, lots=lots, seed=seed)


def nearest_centres(vectors: Vectors, centres: Vectors) -> Numbers:
    """Return the number of the nearest centre of each row, of equally near ones the first.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)
        The rows.
    centres : ndarray of float32, shape (c, dimensions)
        The centres.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    lengths = np.einsum("ij,ij->i", centres, centres)
    nearest = np.empty(len(vectors), dtype=np.int64)
    for block in _blocks(len(vectors)):
        distances = vectors[block] @ centres.T
        distances *= -2
        distances += lengths
        nearest[block] = distances.argmin(axis=1)
    return nearest


def some_rows(vectors: Vectors, numbers: Numbers) -> Vectors:
    """Return some rows, numbered in rising order; where they are all, no copy is made."""
    return vectors if len(numbers) == len(vectors) else vectors[numbers]


def _fitted(
    vectors: Vectors, clusters: int, *, lots: Lots, seed: int
) -> tuple[NDArray[np.int32], Vectors]:
    """Return the cluster of each row, and the centres; by all rows."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    start = np.argsort(lots)[:clusters]
    model = KMeans(clusters, init=vectors[start], n_init=1, max_iter=_ITERATIONS, random_state=seed)
    # Several threads add up in any order, and the last digits would differ from run to run.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        model.fit(vectors)
    return model.labels_, model.cluster_centers_


def _distances(vectors: Vectors, centres: Vectors, labels: NDArray[np.int32]) -> Floats:
    distances = np.empty(len(vectors), dtype=np.float64)
    for block in _blocks(len(vectors)):
        offsets = vectors[block] - centres[labels[block]]
        distances[block] = np.linalg.norm(offsets, axis=1)
    return np.round(distances, _DIGITS)


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK):
        yield slice(start, min(start + _BLOCK, rows))


def _in_shards(
    vectors: Vectors, clusters: int, *, lots: Lots, seed: int
) -> tuple[NDArray[np.int32], Floats]:
    """Return the cluster of each row, and its distance from the centre; shard by shard."""
    shards = _shards(vectors, clusters, lots=lots, seed=seed)
    labels = np.empty(len(vectors), dtype=np.int32)
    distances = np.empty(len(vectors))
    done = 0
    for members, share in zip(shards, _shares([len(one) for one in shards], clusters), strict=True):
        own = vectors[members]
        numbers, centres = _fitted(own, share, lots=lots[members], seed=seed)
        labels[members] = done + numbers
        distances[members] = _distances(own, centres, numbers)
        done += share
    return labels, distances


def _shards(vectors: Vectors, clusters: int, *, lots: Lots, seed: int) -> list[Numbers]:
    """Return the numbers of the rows of each shard, sorted; there are fewer shards than clusters.

    A quarter as many before they are cut, and cutting adds one for each two clusters at most.
    """
    count = min(_MOST_CENTRES, -(-len(vectors) // _ROWS_PER_SHARD), clusters // 4)
    largest = max(2 * _ROWS_PER_SHARD, -(-2 * len(vectors) // clusters))
    of_row, _ = clustered(vectors, count, lots=lots, seed=seed)
    by_shard = np.lexsort((lots, of_row))
    found = []
    for members in np.split(by_shard, np.flatnonzero(np.diff(of_row[by_shard])) + 1):
        # By lot, so that each part is spread as the whole is.
        parts = -(-len(members) // largest)
        found += [np.sort(members[part::parts]) for part in range(parts)]
    return found


def _shares(sizes: list[int], total: int) -> list[int]:
    """Return how many of the clusters each shard gets: one, and of the others by its size."""
    more = np.array(sizes) - 1
    whole, remainders = divided(more, total - len(sizes), kind="proportional")
    first = np.argsort(-remainders, kind="stable")
    whole[first[: total - len(sizes) - whole.sum()]] += 1
    return (1 + whole).tolist()  # type: ignore[no-any-return]


# Groups of like rows, and an order in which every group keeps its share.
#
# Rows drawn from each group in proportion to its size represent the pool better than as many rows
# drawn from all of it: what varies between groups is taken out of the draw's luck, and nothing is
# put in its place (stratified sampling; Cochran 1977, chapter 5). So it costs no assumption on
# which rows are worth more.

MOST_STRATA = 1_000
"""More clusters than this take long to find."""


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
