"""Rules that use the labels of the pool: baselines that know more than a rule without labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.quotas import in_shares
from euds.selection.rules.coverage import needs_rows, vectors_shown
from euds.selection.rules.middle import middle_of
from euds.selection.rules.preference import (
    Candidates,
    Preference,
    no_preference,
    places_by_lot,
    reasons_of,
    same_reason,
)
from euds.selection.rules.ranks import mid_ranks
from euds.selection.rules.ridge import ridge_weights

__all__ = [
    "STRATA",
    "SUSPECT_SHARE",
    "best_window",
    "ccs",
    "ccs_el2n",
    "difficulty_of",
    "el2n",
    "hardest_first",
    "hardest_share",
    "labels_shown",
    "moderate",
    "random_stratified",
    "smallest_first",
]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


# EL2N: how wrong a model still is about a row, early in training. It looks at labels.
#
# Paul, Ganguli and Dziugaite 2021, "Deep Learning on a Data Diet" (arXiv 2107.07075, definition
# 2.3) score a row by the expected length of its error vector, softmax minus one-hot label, after a
# few epochs of training on all rows. Rows that are hard, or labelled wrongly, score high.
#
# What differs from the paper: they train a whole network from random weights, at the learning rate
# of the final training, and average ten runs. Here only a linear softmax head on frozen sentence
# vectors is trained, so that a score costs no more than the vectors. A linear head has no symmetry
# to break and begins at zero: the runs differ in the order of the rows alone, and three of them are
# enough.


def el2n(
    vectors: NDArray[np.float32],
    labels: Sequence[str],
    *,
    seed: int,
    runs: int = 3,
    epochs: int = 10,
    batch_rows: int = 32,
    learning_rate: float = 1.0,
) -> Floats:
    """Return the mean length of each row's error vector after a few epochs of training.

    Parameters
    ----------
    vectors : ndarray of float32, shape (rows, dimensions)
        Sentence vectors of length 1, from `euds.scoring.vectors.vectors_of`.
    labels : sequence of str
        The class of each row.
    seed : int
        Of the orders in which the rows are gone through.
    runs : int
        Heads trained, whose scores are averaged.
    epochs : int
        How often each head goes through all rows.
    batch_rows : int
        Rows a step of stochastic gradient descent.
    learning_rate : float
        Its step length; with vectors of length 1 and a bias gradient descent is stable below 2.

    Returns
    -------
    ndarray of float64, shape (rows,)
        Between 0, sure and right, and the square root of 2, sure and wrong.

    Raises
    ------
    OptionError
        If there is not one label a row, or a number is too small.
    """
    if len(labels) != len(vectors):
        raise OptionError(
            "EL2N needs one label a row", got=f"{len(labels):,} labels, {len(vectors):,} rows"
        )
    for name, number in (("runs", runs), ("epochs", epochs), ("batch rows", batch_rows)):
        if number < 1:
            raise OptionError(f"the number of {name} is too small", got=str(number))
    if not len(vectors):
        return np.zeros(0)
    inputs = np.column_stack([vectors.astype(np.float64), np.ones(len(vectors))])  # 1: the bias
    names = {label: index for index, label in enumerate(sorted(set(labels)))}
    one_hot = np.eye(len(names))[[names[label] for label in labels]]
    total = np.zeros(len(inputs))
    for run in range(runs):
        order = np.random.default_rng([seed, run])
        head = np.zeros((inputs.shape[1], len(names)))
        for _ in range(epochs):
            shuffled = order.permutation(len(inputs))
            for start in range(0, len(inputs), batch_rows):
                batch = shuffled[start : start + batch_rows]
                errors = _softmax(inputs[batch] @ head) - one_hot[batch]
                head -= learning_rate / len(batch) * inputs[batch].T @ errors
        total += np.linalg.norm(_softmax(inputs @ head) - one_hot, axis=1)
    return total / runs


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


SUSPECT_SHARE = 0.05
"""The hardest rows that are left out of EL2N: there label errors gather (cf. arXiv 2211.05610)."""


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


# Coverage-centric selection (CCS): a budget spread over the whole range of a difficulty.
#
# Zheng et al. 2022, "Coverage-centric Coreset Selection for High Pruning Rates" (arXiv 2210.15809,
# algorithm 1): the hardest rows are left out, since wrong labels and noise gather there; the range
# of the others is cut into 50 strata of equal width; and the budget goes to the strata evenly, the
# smallest first, so that sparse regions are kept whole and dense ones thinned. Inside a stratum
# rows are drawn.
#
# The share left out is a setting in the paper, tuned for each data set and pruning rate. Here
# nothing is tuned: it is the straight line through the two rates that the authors' instructions
# give for ImageNet, 0.2 at 80 % pruned and 0.3 at 90 %, which reaches 0 at 60 %.

STRATA = 50
_PRUNED_WITHOUT_CUT = 0.6


def ccs(candidates: Candidates) -> Preference:
    """Spread the budget over the range of generative entropy."""
    return _spread(candidates, candidates.values["ge"], name="ge", rule="ccs")


def ccs_el2n(candidates: Candidates) -> Preference:
    """Spread the budget over the range of EL2N."""
    return _spread(candidates, difficulty_of(candidates), name="el2n", rule="ccs-el2n")


def hardest_share(pruned: float) -> float:
    """Return the share of the rows to leave out as too hard, for a share of the rows pruned.

    >>> [round(hardest_share(pruned), 2) for pruned in (0.5, 0.7, 0.8, 0.84, 0.9)]
    [0.0, 0.1, 0.2, 0.24, 0.3]
    """
    return max(0.0, pruned - _PRUNED_WITHOUT_CUT)


def smallest_first(sizes: Numbers, total: int) -> Numbers:
    """Divide ``total`` rows among strata: evenly, the smallest first; what one lacks others get.

    >>> smallest_first(np.array([10, 0, 2, 9]), 12).tolist()
    [5, 0, 2, 5]
    """
    quotas = np.zeros(len(sizes), dtype=np.int64)
    rest = total
    for done, stratum in enumerate(np.argsort(sizes, kind="stable")):
        quotas[stratum] = min(sizes[stratum], rest // (len(sizes) - done))
        rest -= quotas[stratum]
    return quotas


def _spread(candidates: Candidates, difficulty: Floats, *, name: str, rule: str) -> Preference:
    if candidates.keep is None:
        raise needs_rows(rule)
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    numbers = np.flatnonzero(candidates.open)
    by_hardness = numbers[np.lexsort((candidates.lots[numbers], -difficulty[numbers]))]
    too_hard = int(hardest_share(1 - candidates.keep / len(numbers)) * len(numbers))
    left = by_hardness[too_hard:]
    strata = np.full(candidates.rows, STRATA)  # one more, for the rows that are too hard
    strata[left] = _strata_of(difficulty[left])
    quotas = smallest_first(np.bincount(strata[left], minlength=STRATA), candidates.keep)
    priority = np.full(candidates.rows, 2.0)
    priority[left] = places_by_lot(strata[left], candidates.lots[left]) >= quotas[strata[left]]
    hardest = np.zeros(candidates.rows, dtype=np.bool_)
    hardest[by_hardness[:too_hard]] = True
    reason = reasons_of(hardest, "over budget", f"above {name}")
    return Preference(priority, reason, drawn_from=strata)


def _strata_of(values: Floats) -> Numbers:
    """Return which of the strata of equal width each value is in; the last one is closed."""
    width = np.ptp(values) / STRATA
    if width == 0:
        return np.zeros(len(values), dtype=np.int64)
    places: Floats = np.minimum((values - values.min()) / width, STRATA - 1)
    return places.astype(np.int64)


# Best window selection (BWS): the window of a difficulty whose rows teach a simple model most.
#
# Choi, Ki and Chung 2024, "BWS: Best Window Selection Based on Sample Scores for Data Pruning
# across Broad Ranges" (arXiv 2406.03057): rows are sorted by difficulty; for windows of the
# budget's size at several starts a ridge regression is fitted to the window's features, in closed
# form, and the window is taken whose regression answers the whole training set best. It uses the
# labels of all rows.
#
# What differs from the paper: the features are frozen sentence vectors, and the difficulty is EL2N
# of a linear head on them, where the paper takes both from a network trained on the data.

_STARTS = 21  # from the easiest rows to the hardest, in steps of 5 % of the way
_PENALTY = 1.0


def best_window(candidates: Candidates) -> Preference:
    """Prefer the window of EL2N whose ridge regression is most accurate on all rows.

    Rows that stay are learnt from with every window. Of windows that are equally good the easiest
    is taken.
    """
    keep = candidates.keep
    if keep is None:
        raise needs_rows("bws")
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    difficulty = difficulty_of(candidates)
    numbers = np.flatnonzero(candidates.open)
    order = numbers[np.lexsort((candidates.lots[numbers], difficulty[numbers]))]
    starts = np.unique(np.linspace(0, len(order) - keep, _STARTS).round().astype(np.int64))
    vectors = vectors_shown(candidates).astype(np.float64)
    inputs = np.column_stack([vectors, np.ones(candidates.rows)])  # 1: the bias
    labels = labels_shown(candidates)
    always = np.flatnonzero(candidates.stays)
    right = [
        _right_answers(inputs, labels, np.concatenate([always, order[start : start + keep]]))
        for start in starts
    ]
    start = starts[int(np.argmax(right))]

    places = np.arange(len(order))
    priority = np.zeros(candidates.rows)
    priority[order] = np.maximum(start - places, places - (start + keep - 1)).clip(0)
    below = np.zeros(candidates.rows, dtype=np.bool_)
    below[order[:start]] = True
    return Preference(priority, reasons_of(below, "above el2n", "below el2n"))


def _right_answers(inputs: Floats, labels: Numbers, learnt: Numbers) -> int:
    """Return how many rows are answered rightly after learning from some of them."""
    one_hot = np.eye(labels.max() + 1)[labels[learnt]]
    scores = inputs @ ridge_weights(inputs[learnt], one_hot, penalty=_PENALTY)
    # Rounded, since sums by several threads differ in the last digits: ties must stay ties.
    return int((np.round(scores, 9).argmax(axis=1) == labels).sum())
