"""Rules that use the labels of the pool: baselines that know more than a rule without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.selection.coverage import vectors_shown
from euds.selection.el2n import el2n
from euds.selection.middle import middle_of
from euds.selection.preference import Candidates, Preference, reasons_of, same_reason
from euds.selection.quotas import in_shares
from euds.selection.ranks import mid_ranks

__all__ = [
    "SUSPECT_SHARE",
    "difficulty_of",
    "hardest_first",
    "labels_shown",
    "moderate",
    "random_stratified",
]

SUSPECT_SHARE = 0.05
"""The hardest rows that are left out of EL2N: there label errors gather (cf. arXiv 2211.05610)."""

Numbers = NDArray[np.int64]


def random_stratified(candidates: Candidates) -> Preference:
    """Prefer nothing, but keep the shares that the labels have among the open rows.

    A number of rows is divided among the labels by largest remainders, so that each gets its share
    of the budget, rounded up or down. A budget in tokens takes rows in an order that keeps the
    shares at every point: the i-th of n rows of a label has its place at (i - 1/2) / n.
    """
    labels = labels_shown(candidates)
    priority = np.zeros(candidates.rows)
    if candidates.keep is None or candidates.leaves_a_choice:
        numbers = np.flatnonzero(candidates.open)
        order = in_shares(
            numbers[np.argsort(candidates.lots[numbers])],
            labels,
            kind="proportional",
            keep=candidates.keep,
            lots=candidates.lots,
        )
        priority[order] = np.arange(len(order))
    return Preference(priority, same_reason("over budget", candidates.rows), drawn_from=labels)


def hardest_first(candidates: Candidates) -> Preference:
    """Prefer the rows with the highest EL2N, but the hardest 5 % last of all.

    EL2N (Paul et al. 2021, arXiv 2107.07075) is how wrong a model is about a row early in training.
    Its top is full of wrong labels, so that it is kept only when nothing else is left, the least
    suspect first.
    """
    hardness = difficulty_of(candidates)
    ranks = mid_ranks(hardness)
    order = np.lexsort((candidates.lots, -hardness))
    suspects = int(SUSPECT_SHARE * len(order))
    priority = np.empty(candidates.rows)
    priority[np.concatenate([order[suspects:], order[:suspects][::-1]])] = np.arange(len(order))
    suspect = np.zeros(candidates.rows, dtype=np.bool_)
    suspect[order[:suspects]] = True
    reason = reasons_of(suspect, "below el2n", "above el2n")
    return Preference(priority, reason, {"el2n": ranks})


def moderate(candidates: Candidates) -> Preference:
    """Prefer rows that are neither near to nor far from the middle of their class.

    A row's distance is that of its vector to the median vector of its class; the rows around the
    median distance of the pool are kept, as many above it as below (Xia et al. 2023, "Moderate
    Coreset", ICLR).
    """
    labels, vectors = labels_shown(candidates), vectors_shown(candidates)
    distances = np.zeros(candidates.rows)
    for label in np.unique(labels):
        own = vectors[labels == label].astype(np.float64)
        distances[labels == label] = np.linalg.norm(own - np.median(own, axis=0), axis=1)
    return middle_of("moderate", mid_ranks(np.round(distances, 9)))


def difficulty_of(candidates: Candidates) -> NDArray[np.float64]:
    """Return the EL2N of each row, as a head trained on all of them finds it."""
    if candidates.labels is None:
        raise ValueError("this rule needs labels")
    return el2n(vectors_shown(candidates), candidates.labels, seed=candidates.seed)


def labels_shown(candidates: Candidates) -> Numbers:
    """Return a number for each row's label, from 0 in the order of their names."""
    if candidates.labels is None:
        raise ValueError("this rule needs labels")
    return np.unique(np.array(candidates.labels, dtype=np.str_), return_inverse=True)[1]
