"""From an order of preference to a decision about every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.bulk import Bulk
from euds.selection.quotas import Kind, in_shares
from euds.selection.request import Budget, Interval
from euds.selection.rows import numbers_of
from euds.selection.rules.preference import Candidates, Preference, no_preference, same_reason
from euds.selection.rules.ranks import mid_ranks
from euds.selection.soft import inclusion_probabilities, systematic_draw
from euds.selection.spending import rows_left, within_budget

__all__ = ["NEAR_DUPLICATE", "NOT_DRAWN", "Case", "Decision", "decide"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.int64]

NEAR_DUPLICATE = "near-duplicate"
NOT_DRAWN = "not drawn"


@dataclass(frozen=True)
class Case:
    """All that is decided upon.

    Parameters
    ----------
    rows : polars.DataFrame
        One row a distinct text, see `euds.selection.rows`.
    candidates : Candidates
        The complete ones of them.
    preference : Preference
        The rule's.
    stand_in : ndarray of int, shape (candidates,)
        The candidate that stands for each as its near-duplicate; itself where none does.
    intervals : sequence of Interval
        Those that the user gave.
    budget : Budget or None
        None pays for all.
    pool_rows : int
        The rows that were read.
    soft : bool
        Whether rows are drawn, the likelier the better they stand.
    bulk : Bulk or None
        The bulk, if the rows outside are kept last.
    """

    rows: pl.DataFrame
    candidates: Candidates
    preference: Preference
    stand_in: Numbers
    intervals: Sequence[Interval]
    budget: Budget | None
    pool_rows: int
    soft: bool
    bulk: Bulk | None = None

    @property
    def outside(self) -> Bools:
        """The candidates that are kept only if the budget asks for more than the bulk holds."""
        if self.bulk is None:
            return np.zeros(self.candidates.rows, dtype=bool)
        return ~self.bulk.inside & ~self.candidates.stays

    @property
    def repeats(self) -> Bools:
        """The candidates that another stands for."""
        return np.asarray(self.stand_in != np.arange(self.candidates.rows))


@dataclass(frozen=True)
class Decision:
    """For each row: whether it is kept, why not, and with what probability it was to be."""

    kept: Bools
    reason: pl.Series
    inclusion: Floats


def decide(case: Case, groups: Numbers | None = None, kind: Kind = "proportional") -> Decision:
    """Spend the budget on the rows that stand best, in each group if there are groups.

    Rows outside the bulk come after those inside, the nearest first, and near-duplicates after all
    others: they are kept only if the budget asks for more rows than there are without them.

    Parameters
    ----------
    case : Case
        What is decided upon.
    groups : ndarray of int, shape (candidates,), optional
        The group of each candidate, of which each gets its share.
    kind : {"proportional", "equal", "sqrt"}
        What the shares go by.
    """
    candidates, preference = case.candidates, case.preference
    numbers = np.flatnonzero(case.rows["complete"].to_numpy())  # of the candidates among the rows
    outside = _outside(case.rows, preference, case.intervals)
    if case.intervals and preference.judged:
        # Inside an interval that the user gave every row is as good as another.
        preference = replace(no_preference(candidates.rows), judged=preference.judged)
    eligible = ~candidates.stays & outside.is_null().to_numpy()
    front, back = _in_order(case, preference, eligible)
    left = rows_left(case.rows, case.budget, pool_rows=case.pool_rows)
    leaves_a_choice = case.budget is not None and (left is None or left < len(front))

    chances = None
    if case.soft and leaves_a_choice and left:
        front, chances = _drawn(front, case, groups, kind, left)
    elif groups is not None and leaves_a_choice:
        front = in_shares(front, groups, kind=kind, keep=left, lots=candidates.lots)

    kept = case.rows["must"].to_numpy().copy()
    # Without a budget there is no need to fill up.
    order = front if case.budget is None else np.concatenate([front, back])
    kept[within_budget(case.rows, numbers[order], case.budget, pool_rows=case.pool_rows)] = True
    inclusion = kept.astype(np.float64)
    if chances is not None:
        inclusion[numbers[front]] = chances
    elif preference.drawn_from is not None:
        drawn_from = preference.drawn_from
        if groups is not None:
            drawn_from = drawn_from * (groups.max(initial=0) + 1) + groups
        for part in (front, back):
            inclusion[numbers[part]] = _share_kept(kept[numbers[part]], drawn_from[part])

    why = preference.reason if chances is None else same_reason(NOT_DRAWN, candidates.rows)
    reasons = outside.zip_with(outside.is_not_null(), why.cast(pl.String))
    if case.bulk is not None:
        reasons = reasons.zip_with(pl.Series(~case.outside | ~eligible), case.bulk.reason)
    reasons = reasons.set(pl.Series(case.repeats & eligible), NEAR_DUPLICATE)
    if len(reasons) < case.rows.height:
        reasons = case.rows["lacks"].scatter(numbers, reasons)
    return Decision(kept, reasons.set(pl.Series(kept), None), inclusion)


def _in_order(case: Case, preference: Preference, eligible: Bools) -> tuple[Numbers, Numbers]:
    """Return the eligible rows that come first, and those that the budget falls back on."""
    standing = pl.DataFrame({"priority": preference.priority, "lot": case.candidates.lots})
    by_standing = pl.arg_sort_by("priority", "lot", maintain_order=True)
    order = standing.select(by_standing).to_series().to_numpy().astype(np.int64)
    order = order[eligible[order]]
    outside, repeats = case.outside[order], case.repeats[order]
    if case.bulk is not None:  # of those outside, and of repeats, the nearest first
        distance = np.where(case.outside, np.round(case.bulk.distance, 9), -np.inf)[order]
        by_distance = np.argsort(distance, kind="stable")
        order, outside, repeats = order[by_distance], outside[by_distance], repeats[by_distance]
    last = np.concatenate([order[~repeats & outside], order[repeats]])
    return order[~repeats & ~outside], last


def _drawn(
    front: Numbers, case: Case, groups: Numbers | None, kind: Kind, rows: int
) -> tuple[Numbers, Floats]:
    """Draw rows, the likelier the better they stand; return all, those drawn first, with chances.

    They are drawn along the rule's ranks, group after group, so that neighbours in the ranks are
    kept apart and each group gets its number of rows.
    """
    preference, lots = case.preference, case.candidates.lots
    if groups is None:
        group, shares = np.zeros(len(front), dtype=np.int64), np.array([rows])
    else:
        group = groups[front]
        first = in_shares(front, groups, kind=kind, keep=rows, lots=lots)[:rows]
        shares = np.bincount(groups[first])
    chances, standing = np.zeros((2, len(front)))
    for number in np.flatnonzero(shares):
        members = group == number
        standing[members] = mid_ranks(preference.priority[front[members]])
        chances[members] = inclusion_probabilities(standing[members] / 2, int(shares[number]))
    ranks = list(preference.judged.values())
    along = ranks[0][front] if len(ranks) == 1 else standing
    line = np.lexsort((lots[front], along, group))
    start = np.random.default_rng(case.candidates.seed).random()
    drawn = np.empty(len(front), dtype=bool)
    drawn[line] = systematic_draw(chances[line], start)
    placed = np.argsort(~drawn, kind="stable")
    return front[placed], chances[placed]


def _share_kept(kept: Bools, groups: NDArray[np.int64]) -> Floats:
    """Return for each row the share of its group that is kept.

    >>> _share_kept(np.array([True, False, True]), np.array([3, 3, 5])).tolist()
    [0.5, 0.5, 1.0]
    """
    names, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(places, weights=kept, minlength=len(names))[places] / counts[places]


def _outside(
    rows: pl.DataFrame, preference: Preference, intervals: Sequence[Interval]
) -> pl.Series:
    """Return for each candidate which interval it falls out of, null where it is inside all."""
    complete = rows["complete"]
    reasons = pl.repeat(None, int(complete.sum()), dtype=pl.String, eager=True)
    for interval in reversed(intervals):  # the first interval speaks last
        if interval.column is not None:
            judged = {interval.column: numbers_of(rows, interval.column)[complete.to_numpy()]}
        elif preference.judged:
            judged = dict(preference.judged)
        else:
            raise OptionError(
                "this rule has no ranks for an interval to speak of",
                next_step="leave out the interval, or give one in raw values: ie=2.5:4.0",
            )
        for name, values in judged.items():
            sides = interval.side(values)
            reasons = reasons.set(pl.Series(sides < 0), f"below {name}")
            reasons = reasons.set(pl.Series(sides > 0), f"above {name}")
    return reasons
