"""Coverage-centric selection (CCS): a budget spread over the whole range of a difficulty.

Zheng et al. 2022, "Coverage-centric Coreset Selection for High Pruning Rates" (arXiv 2210.15809,
algorithm 1): the hardest rows are left out, since wrong labels and noise gather there; the range
of the others is cut into 50 strata of equal width; and the budget goes to the strata evenly, the
smallest first, so that sparse regions are kept whole and dense ones thinned. Inside a stratum rows
are drawn.

The share left out is a setting in the paper, tuned for each data set and pruning rate. Here nothing
is tuned: it is the straight line through the two rates that the authors' instructions give for
ImageNet, 0.2 at 80 % pruned and 0.3 at 90 %, which reaches 0 at 60 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from euds.selection.coverage import needs_rows
from euds.selection.labelled import difficulty_of
from euds.selection.preference import (
    Candidates,
    Preference,
    no_preference,
    places_by_lot,
    reasons_of,
)

__all__ = ["STRATA", "ccs", "ccs_el2n", "hardest_share", "smallest_first"]

STRATA = 50
_PRUNED_WITHOUT_CUT = 0.6

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


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
