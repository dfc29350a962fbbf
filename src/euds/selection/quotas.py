"""Quotas: a budget divided among groups of rows, each group's best first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError

__all__ = ["Quota", "divided", "in_shares", "parse_quota"]

Kind = Literal["proportional", "equal", "sqrt"]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Quota:
    """How the budget is divided.

    Parameters
    ----------
    column : str
        What the groups are: rows with the same value in it.
    kind : {"proportional", "equal", "sqrt"}
        What a group's share goes by: its size, nothing, or the square root of its size.
    """

    column: str
    kind: Kind


def parse_quota(text: str) -> Quota:
    """Read a quota: a column, and what shares go by.

    >>> parse_quota("topic=sqrt")
    Quota(column='topic', kind='sqrt')
    """
    column, _, kind = text.rpartition("=")
    for known in get_args(Kind):
        if column and kind == known:
            return Quota(column, known)
    raise OptionError(
        "a quota cannot be read",
        got=repr(text),
        expected="a column and proportional, equal or sqrt, such as topic=proportional",
    )


def in_shares(
    order: Numbers, groups: Numbers, *, kind: Kind, keep: int | None, lots: NDArray[np.uint64]
) -> Numbers:
    """Reorder rows so that the front of the order holds to the groups' shares.

    Parameters
    ----------
    order : ndarray of int, shape (m,)
        The numbers of the rows to choose from, the most preferred first.
    groups : ndarray of int, shape (n,)
        The group of each row, numbered from 0.
    kind : {"proportional", "equal", "sqrt"}
        What shares go by.
    keep : int or None
        How many rows are taken, at most m: they stand in front. With None the shares are kept at
        every point: the i-th row of a group of weight w has its place at (i - 1/2) / w.
    lots : ndarray of uint64, shape (n,)
        Of equal remainders the group whose next row has the lowest lot is rounded up, so that over
        many seeds no group gains by its name.

    Returns
    -------
    ndarray of int, shape (m,)
    """
    labels = groups[order]
    sizes = np.bincount(labels, minlength=1)
    starts = np.cumsum(sizes) - sizes
    by_group = np.argsort(labels, kind="stable")
    # Which of its group's rows a row is, from 0.
    places = np.empty(len(order), dtype=np.int64)
    places[by_group] = np.arange(len(order)) - starts[labels[by_group]]
    if keep is None:
        due = (places + 0.5) / _weights(sizes, kind)[labels]
        return order[np.lexsort((lots[order], due))]
    whole, remainders = divided(sizes, keep, kind=kind)
    unsettled = np.flatnonzero(remainders)  # a group without one has all that is due to it
    next_lots = lots[order[by_group[starts[unsettled] + whole[unsettled]]]]
    first = unsettled[np.lexsort((next_lots, -remainders[unsettled]))]
    whole[first[: keep - whole.sum()]] += 1
    taken = places < whole[labels]
    return np.concatenate([order[taken], order[~taken]])


def divided(sizes: Numbers, total: int, *, kind: Kind) -> tuple[Numbers, NDArray[np.float64]]:
    """Divide a number of rows among groups; no group gets more than it has.

    What a group cannot use is divided again among the others.

    Parameters
    ----------
    sizes : ndarray of int, shape (groups,)
        The rows that each group has.
    total : int
        The rows to divide, at most all.
    kind : {"proportional", "equal", "sqrt"}
        What shares go by.

    Returns
    -------
    whole : ndarray of int, shape (groups,)
        The whole rows that are due to each group.
    remainders : ndarray of float, shape (groups,)
        The parts of a row that are due to it beside; they add up to the rows that are left.

    >>> divided(np.array([60, 30, 2]), 30, kind="equal")[0].tolist()
    [14, 14, 2]
    """
    weights = _weights(sizes, kind)
    due = np.zeros(len(sizes))
    is_open = sizes > 0
    left = total
    while is_open.any():
        due[is_open] = left * weights[is_open] / weights[is_open].sum()
        full = is_open & (due >= sizes)
        if not full.any():
            break
        due[full] = sizes[full]
        is_open &= ~full
        left -= int(sizes[full].sum())
    due = np.round(due, 9)  # equal remainders must stay equal
    whole = np.floor(due).astype(np.int64)
    return whole, np.round(due - whole, 9)


def _weights(sizes: Numbers, kind: Kind) -> NDArray[np.float64]:
    exponent = {"proportional": 1.0, "equal": 0.0, "sqrt": 0.5}[kind]
    return np.asarray(sizes.astype(np.float64) ** exponent)
