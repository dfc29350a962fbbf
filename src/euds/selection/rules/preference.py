"""What a rule is given, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = [
    "Candidates",
    "Preference",
    "Ranks",
    "first_of_all",
    "no_preference",
    "places_by_lot",
    "reasons_of",
    "same_reason",
]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ranks = Mapping[str, Floats]


@dataclass(frozen=True)
class Candidates:
    """The rows that a rule puts in order: distinct texts, sorted by key, with all that it needs.

    Parameters
    ----------
    open : ndarray of bool, shape (n,)
        The rows that the budget is spent on. The others stay anyway, or lie outside an interval of
        raw values; they are here because a rank is a place among all of them.
    stays : ndarray of bool, shape (n,)
        The rows that stay whatever the rule says.
    keep : int or None
        How many of the open rows the budget pays for, perhaps more than there are; None where it is
        in tokens, or pays for all.
    lots : ndarray of uint64, shape (n,)
        A seeded hash of each row's key; of rows that are equal the lowest lot goes first.
    seed : int
        For what is drawn in another way.
    ranks : mapping of str to ndarray of float, shape (n,)
        The ranks of the scores that the rule asked for, in (0, 1), by name.
    vectors : ndarray of float32, shape (n, dimensions), or None
        Sentence vectors of length 1; None for a rule that does not need them.
    labels : tuple of str, n of them, or None
        The labels; None for a rule that does not say it uses them.
    values : mapping of str to ndarray of float, shape (n,)
        The scores themselves, by name; empty for a rule that works on ranks.
    texts : tuple of str, n of them, or None
        Each text with its context after it; None for a rule that does not need them.
    target : tuple of str or None
        Texts like those that matter to the user; None for a rule that does not need them.
    distinct : ndarray of bool, shape (n,), or None
        The rows that would be open were it not for the bulk; None where these are the open ones.
    distance : ndarray of float, shape (n,), or None
        How far each row is from the middle of the bulk, see `euds.selection.bulk`; None where no
        bulk was found.
    """

    open: Bools
    stays: Bools
    keep: int | None
    lots: NDArray[np.uint64]
    seed: int
    ranks: Ranks = field(default_factory=dict)
    vectors: NDArray[np.float32] | None = None
    labels: tuple[str, ...] | None = None
    values: Ranks = field(default_factory=dict)
    texts: tuple[str, ...] | None = None
    target: tuple[str, ...] | None = None
    distinct: Bools | None = None
    distance: Floats | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.open)

    @property
    def leaves_a_choice(self) -> bool:
        """Whether the budget may pay for some of the open rows, but not for all."""
        there = int(self.open.sum())
        return there > 0 if self.keep is None else 0 < self.keep < there


@dataclass(frozen=True)
class Preference:
    """Whom to keep first.

    Parameters
    ----------
    priority : ndarray of float, shape (n,)
        Lower is kept first; equal priorities are decided by the rows' lots.
    reason : polars.Series, n of them
        Why each row is dropped, if it is; see `reasons_of`.
    judged : mapping of str to ndarray of float, shape (n,)
        The ranks that an interval given by the user is about, in (0, 1), by name.
    drawn_from : ndarray of int, shape (n,), or None
        The number of the group that each row is drawn from, where within a group every row is as
        good as another; None where rows are chosen, not drawn.
    notes : mapping of str to plain values
        What the rule found out on the way, for the diagnosis of the selection.
    """

    priority: Floats
    reason: pl.Series
    judged: Ranks = field(default_factory=dict)
    drawn_from: NDArray[np.int64] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def no_preference(rows: int) -> Preference:
    """Prefer nothing: each row's lot decides."""
    return Preference(
        priority=np.zeros(rows),
        reason=same_reason("over budget", rows),
        drawn_from=np.zeros(rows, dtype=np.int64),
    )


def first_of_all(order: NDArray[np.int64], rows: int, *, reason: str) -> Preference:
    """Prefer the rows with the given numbers in their order, and all others after them.

    >>> first_of_all(np.array([2, 0]), 4, reason="covered").priority.tolist()
    [1.0, 2.0, 0.0, 2.0]
    """
    priority = np.full(rows, float(len(order)))
    priority[order] = np.arange(len(order))
    return Preference(priority, same_reason(reason, rows))


def reasons_of(numbers: NDArray[np.integer[Any]] | Bools, *reasons: str) -> pl.Series:
    """Return for each row the reason that its number names; a row takes a byte.

    >>> reasons_of(np.array([1, 0, 1]), "below ie", "above ie").to_list()
    ['above ie', 'below ie', 'above ie']
    """
    named = pl.Series(reasons, dtype=pl.Enum(reasons))
    return named.gather(pl.Series(numbers.astype(np.uint32)))


def same_reason(reason: str, rows: int) -> pl.Series:
    """Return one reason for all rows."""
    return reasons_of(np.zeros(rows, dtype=np.uint8), reason)


def places_by_lot(groups: NDArray[np.int64], lots: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return which of its group's rows each row is, from 0, in the order of their lots.

    >>> lots = np.array([7, 5, 9, 1], dtype=np.uint64)
    >>> places_by_lot(np.array([2, 0, 2, 2]), lots).tolist()
    [1, 0, 2, 0]
    """
    by_lot = np.lexsort((lots, groups))
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    places = np.empty(len(groups), dtype=np.int64)
    places[by_lot] = np.arange(len(groups)) - starts[groups[by_lot]]
    return places
