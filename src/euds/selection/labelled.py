"""Rules that use the labels of the pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.selection.el2n import el2n
from euds.selection.preference import Candidates, Preference
from euds.selection.ranks import mid_ranks

__all__ = ["SUSPECT_SHARE", "hardest_first", "random_stratified"]

SUSPECT_SHARE = 0.05
"""The hardest rows that are left out of EL2N: there label errors gather (cf. arXiv 2211.05610)."""

Numbers = NDArray[np.int64]


def random_stratified(candidates: Candidates) -> Preference:
    """Prefer nothing, but keep the shares that the labels have among the open rows.

    A number of rows is divided among the labels by largest remainders, so that each gets its share
    of the budget, rounded up or down. A budget in tokens takes rows in an order that keeps the
    shares at every point: the i-th of n rows of a label has its place at (i - 1/2) / n.
    """
    if candidates.labels is None:
        raise ValueError("this rule needs labels")
    labels = np.unique(np.array(candidates.labels, dtype=np.str_), return_inverse=True)[1]
    numbers = np.flatnonzero(candidates.open)
    by_lot = numbers[np.lexsort((candidates.lots[numbers], labels[numbers]))]
    sizes = np.bincount(labels[numbers], minlength=labels.max(initial=0) + 1)
    starts = np.cumsum(sizes) - sizes
    # Which of its label's rows a row is, in the order of their lots, from 0.
    places = np.arange(len(by_lot)) - starts[labels[by_lot]]

    priority = np.zeros(candidates.rows)
    if candidates.keep is None:
        priority[by_lot] = (places + 0.5) / sizes[labels[by_lot]]
    elif candidates.leaves_a_choice:
        quotas = _largest_remainders(
            sizes, candidates.keep, lots=candidates.lots, by_lot=by_lot, starts=starts
        )
        priority[by_lot] = places >= quotas[labels[by_lot]]
    return Preference(priority, np.full(candidates.rows, "over budget"), drawn_from=labels)


def _largest_remainders(
    sizes: Numbers, total: int, *, lots: NDArray[np.uint64], by_lot: Numbers, starts: Numbers
) -> Numbers:
    """Divide ``total`` rows among labels in proportion to their sizes.

    Of equal remainders the label whose next row has the lowest lot is rounded up, so that over many
    seeds no label gains by its name.
    """
    quotas, remainders = np.divmod(sizes * total, sizes.sum())
    unsettled = np.flatnonzero(remainders)  # a label without one has all that is due to it
    next_lots = lots[by_lot[(starts + quotas)[unsettled]]]
    first = unsettled[np.lexsort((next_lots, -remainders[unsettled]))]
    quotas[first[: total - quotas.sum()]] += 1
    return quotas


def hardest_first(candidates: Candidates) -> Preference:
    """Prefer the rows with the highest EL2N, but the hardest 5 % last of all.

    EL2N (Paul et al. 2021, arXiv 2107.07075) is how wrong a model is about a row early in training.
    Its top is full of wrong labels, so that it is kept only when nothing else is left, the least
    suspect first.
    """
    if candidates.vectors is None or candidates.labels is None:
        raise ValueError("this rule needs vectors and labels")
    hardness = el2n(candidates.vectors, candidates.labels, seed=candidates.seed)
    ranks = mid_ranks(hardness)
    order = np.lexsort((candidates.lots, -hardness))
    suspects = int(SUSPECT_SHARE * len(order))
    priority = np.empty(candidates.rows)
    priority[np.concatenate([order[suspects:], order[:suspects][::-1]])] = np.arange(len(order))
    reason = np.full(candidates.rows, "below el2n")
    reason[order[:suspects]] = "above el2n"
    return Preference(priority, reason, {"el2n": ranks})
