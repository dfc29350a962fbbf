"""Semantic de-duplication (SemDeDup): rows that mean the same as another are dropped first.

Abbas et al. 2023, "SemDeDup: Data-efficient learning at web-scale through semantic deduplication"
(arXiv 2303.09540): vectors are clustered by k-means; the rows of a cluster are sorted by their
distance from its centre, the farthest first; a row is dropped if its cosine to any row before it
exceeds a threshold. So of a group of duplicates the one farthest from the centre stays.

The largest cosine to a row before it is one number a row, and a higher threshold keeps all that a
lower one keeps. The threshold that meets a budget exactly is therefore had by sorting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.selection.rules.clustering import clustered, some_rows
from euds.selection.rules.coverage import vectors_shown
from euds.selection.rules.preference import Candidates, Preference, no_preference, same_reason

__all__ = ["largest_cosine_before", "semdedup"]

_BLOCK = 1024

Vectors = NDArray[np.float32]


def semdedup(candidates: Candidates) -> Preference:
    """Prefer rows that are unlike the rows of their cluster that go before them.

    Rows that stay go before all others. The square root of the number of rows is the number of
    clusters: clustering, and comparing the rows of each cluster, then both take time that grows
    with rows x square root of rows, and no two rows of different clusters are ever compared.
    """
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    numbers = np.flatnonzero(candidates.open | candidates.stays)
    vectors, lots = some_rows(vectors_shown(candidates), numbers), candidates.lots[numbers]
    clusters, distances = clustered(
        vectors, round(len(numbers) ** 0.5), lots=lots, seed=candidates.seed
    )
    order = np.lexsort((lots, -distances, ~candidates.stays[numbers], clusters))
    cosines = np.empty(len(numbers))
    for members in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
        cosines[members] = largest_cosine_before(vectors[members])
    priority = np.zeros(candidates.rows)
    priority[numbers] = np.round(cosines, 6)  # float32 tells no more
    return Preference(priority, same_reason("like another", candidates.rows))


def largest_cosine_before(vectors: Vectors) -> NDArray[np.float64]:
    """Return each row's largest cosine to a row before it; -1 for the first.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions)
        Rows of length 1, in their order.

    Notes
    -----
    Rows are compared in blocks: memory grows with n, not with its square.
    """
    largest = np.full(len(vectors), -1.0)
    for start in range(0, len(vectors), _BLOCK):
        stop = min(start + _BLOCK, len(vectors))
        cosines = vectors[start:stop] @ vectors[:stop].T
        cosines[:, start:][np.triu_indices(stop - start)] = -1  # itself, and rows after it
        largest[start:stop] = cosines.max(axis=1)
    return largest
