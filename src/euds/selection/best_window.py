"""Best window selection (BWS): the window of a difficulty whose rows teach a simple model most.

Choi, Ki and Chung 2024, "BWS: Best Window Selection Based on Sample Scores for Data Pruning across
Broad Ranges" (arXiv 2406.03057): rows are sorted by difficulty; for windows of the budget's size at
several starts a ridge regression is fitted to the window's features, in closed form, and the window
is taken whose regression answers the whole training set best. It uses the labels of all rows.

What differs from the paper: the features are frozen sentence vectors, and the difficulty is EL2N of
a linear head on them, where the paper takes both from a network trained on the data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.selection.coverage import needs_rows, vectors_shown
from euds.selection.labelled import difficulty_of, labels_shown
from euds.selection.preference import Candidates, Preference, no_preference, reasons_of
from euds.selection.ridge import ridge_weights

__all__ = ["best_window"]

_STARTS = 21  # from the easiest rows to the hardest, in steps of 5 % of the way
_PENALTY = 1.0

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


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
