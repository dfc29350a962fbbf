"""What a budget pays for, after the rows that must stay."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.request import Budget

__all__ = ["rows_left", "within_budget"]

Numbers = NDArray[np.int64]


def rows_left(rows: pl.DataFrame, budget: Budget | None, *, pool_rows: int) -> int | None:
    """Return how many rows can be chosen; None where the budget is in tokens, or pays for all.

    Raises
    ------
    OptionError
        If the rows that must stay are more than the budget.
    """
    if budget is None or budget.unit == "tokens":
        return None
    forced = int(rows["must"].sum())
    left = budget.rows(pool_rows) - forced
    _check_forced(left, forced, "rows")
    return left


def within_budget(
    rows: pl.DataFrame, order: Numbers, budget: Budget | None, *, pool_rows: int
) -> Numbers:
    """Return the front of the order that the budget pays for, after the rows that must stay.

    Parameters
    ----------
    rows : polars.DataFrame
        The candidates, see `euds.selection.rows`.
    order : ndarray of int
        Numbers of the rows that can be chosen, the most preferred first.
    budget : Budget or None
        None pays for all.
    pool_rows : int
        The rows that were read; a share is a share of them.

    Raises
    ------
    OptionError
        If the budget cannot be met, or the rows that must stay are more than it.
    """
    if budget is not None and budget.unit == "tokens":
        return _within_tokens(rows, order, budget.amount)
    left = rows_left(rows, budget, pool_rows=pool_rows)
    if budget is not None and left is not None and left > len(order):
        most = len(order) + int(rows["must"].sum())
        raise OptionError(
            f"the budget cannot be met: it asks for {budget.rows(pool_rows):,} rows",
            got=f"{most:,} rows that can be kept, of {pool_rows:,} in the pool "
            f"({_left_out(rows, most, pool_rows=pool_rows)})",
            next_step=f"--keep {most}" if most else "widen the interval",
        )
    return order[:left]


def _left_out(rows: pl.DataFrame, most: int, *, pool_rows: int) -> str:
    """Say how many rows cannot be kept, and why."""
    lacking = rows.filter(~pl.col("complete") & ~pl.col("must"))["lacks"]
    unlabelled = int((lacking == "no label").sum())
    unscored = int(lacking.str.starts_with("unscored").sum())
    taken_out = len(lacking) - unlabelled - unscored
    parts = [
        f"{pool_rows - rows.height:,} duplicates",
        f"{unscored:,} unscored",
        *([f"{taken_out:,} near-duplicates of other texts"] if taken_out else []),
        *([f"{unlabelled:,} without a label"] if unlabelled else []),
        f"{rows.height - len(lacking) - most:,} outside the interval",
    ]
    return ", ".join(parts)


def _within_tokens(rows: pl.DataFrame, order: Numbers, amount: float) -> Numbers:
    tokens = _tokens(rows)
    forced = int(tokens[rows["must"].to_numpy()].sum())
    left = amount - forced
    _check_forced(left, forced, "tokens")
    total = int(tokens[order].sum())
    if total < left:
        raise OptionError(
            f"the budget cannot be met: it asks for {amount:,.0f} tokens",
            got=f"{total + forced:,} tokens in the rows that can be kept",
            next_step=f"--keep-tokens {total + forced}",
        )
    within: Numbers = order[np.cumsum(tokens[order]) <= left]
    return within


def _check_forced(left: float, forced: int, unit: str) -> None:
    if left < 0:
        raise OptionError(
            "the rows that must stay are more than the budget",
            got=f"{forced:,} {unit}",
            expected=f"at most {int(forced + left):,} {unit}",
        )


def _tokens(rows: pl.DataFrame) -> Numbers:
    for column in ("ge_tokens", "words"):
        if column in rows.columns:
            return rows[column].fill_null(0).cast(pl.Int64).to_numpy()
    raise OptionError(
        "a budget in tokens needs the texts' lengths",
        next_step="score the pool with ie (words) or ge (the model's tokens) first",
    )
