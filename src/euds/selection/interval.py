"""Intervals of ranks or raw values, and budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.scores import canonical_score

__all__ = ["Budget", "Interval", "parse_budget", "parse_interval"]


@dataclass(frozen=True)
class Interval:
    """A half-open range ``low <= x < high`` of ranks, or of the raw values of one column.

    Parameters
    ----------
    low, high : float
        The bounds; infinite where open.
    column : str or None
        The score whose raw values are meant; None for ranks of the rule's own score.
    """

    low: float
    high: float
    column: str | None = None

    def side(self, values: NDArray[np.float64]) -> NDArray[np.int8]:
        """Return -1 below the interval, 0 inside, 1 above; NaN counts as inside."""
        return np.where(values < self.low, -1, np.where(values >= self.high, 1, 0)).astype(np.int8)


def parse_interval(text: str) -> Interval | None:
    """Read an interval: ``middle`` (None), ``0.3:0.7`` in ranks, ``ie_plugin=2.5:4.0`` in nats.

    >>> parse_interval("0.3:0.7")
    Interval(low=0.3, high=0.7, column=None)
    >>> parse_interval("ie=2.5:").high
    inf
    """
    if text == "middle":
        return None
    column, separator, bounds = text.rpartition("=")
    low_text, colon, high_text = bounds.partition(":")
    try:
        low = float(low_text) if low_text else -math.inf
        high = float(high_text) if high_text else math.inf
    except ValueError:
        low = high = math.nan
    wrong = not colon or not low < high or (separator and not column)
    if not separator and not wrong:
        wrong = (low_text and not 0 <= low <= 1) or (high_text and not 0 <= high <= 1)
    if wrong:
        raise OptionError(
            "an interval cannot be read",
            got=repr(text),
            expected="middle, two ranks such as 0.3:0.7, or raw values such as ie_plugin=2.5:4.0",
        )
    return Interval(low, high, canonical_score(column) if separator else None)


@dataclass(frozen=True)
class Budget:
    """How much to keep.

    Parameters
    ----------
    amount : float
        How many.
    unit : {"share", "rows", "tokens"}
        Of what.
    """

    amount: float
    unit: Literal["share", "rows", "tokens"]

    def rows(self, pool_rows: int) -> int:
        """Return the number of rows, of a pool of ``pool_rows``; a share is rounded to the nearest.

        >>> Budget(0.16, "share").rows(2225)
        356
        """
        if self.unit == "tokens":
            raise ValueError("a budget in tokens is no number of rows")
        if self.unit == "rows":
            return int(self.amount)
        return math.floor(self.amount * pool_rows + 0.5)


def parse_budget(keep: float | str) -> Budget:
    """Read a budget: ``0.16`` or ``16%`` is a share, ``500`` is a number of rows, ``1.0`` is all.

    A number with a decimal point, up to 1, is a share; a whole number is a number of rows.

    >>> parse_budget("0.16"), parse_budget("1.0").unit, parse_budget(1).unit
    (Budget(amount=0.16, unit='share'), 'share', 'rows')
    """
    text = str(keep).strip()
    try:
        if text.endswith("%"):
            amount, whole = float(text[:-1]) / 100, False
        else:
            amount, whole = float(text), text.lstrip("+").isdigit()
    except ValueError:
        amount, whole = math.nan, False
    if whole and amount >= 1:
        return Budget(amount, "rows")
    if not whole and 0 < amount <= 1:
        return Budget(amount, "share")
    raise OptionError(
        "a budget cannot be read",
        got=repr(keep),
        expected="a share such as 0.16 or 16%, or a whole number of rows such as 500",
        next_step="'euds run --keep auto' finds one, with labels" if text == "auto" else None,
    )
