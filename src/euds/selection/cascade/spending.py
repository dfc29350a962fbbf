"""What a cascade may cost: a share of all questions to models, or seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from euds.errors import OptionError

__all__ = ["Allowance", "check_share", "parse_seconds"]

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def parse_seconds(text: str, *, option: str = "--time") -> float:
    """Read a duration: ``90``, ``90s``, ``30m``, ``1.5h``.

    Raises
    ------
    OptionError
        If it is none, or not above 0.

    >>> parse_seconds("30m"), parse_seconds("1.5h")
    (1800.0, 5400.0)
    """
    match = re.fullmatch(r"\s*([0-9.]+)\s*(s|m|min|h|)\s*", text)
    try:
        seconds = float(match[1]) * _UNITS[match[2]] if match else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise OptionError(
            "a time cannot be read",
            where=option,
            got=repr(text),
            expected="seconds, minutes or hours such as 90s, 30m or 2h",
        )
    return seconds


def check_share(share: float) -> None:
    """Check the share of the questions that may be asked.

    Raises
    ------
    OptionError
        If it is none.
    """
    if not 0 < share <= 1:
        raise OptionError(
            "that is no share of the questions to a model",
            where="cascade-share",
            got=f"{share:g}",
            expected="above 0, at most 1, such as 0.25",
        )


@dataclass(frozen=True)
class Allowance:
    """What may be spent, and what one text costs.

    Parameters
    ----------
    total : float
        What may be spent in all.
    spent : float
        What was.
    costs : mapping of str to float
        What each entropy of one text costs, in the same unit: questions, or seconds.
    """

    total: float
    spent: float
    costs: Mapping[str, float]

    @property
    def left(self) -> float:
        """What is left, not below 0."""
        return max(0.0, self.total - self.spent)

    @property
    def suffices(self) -> bool:
        """Whether it is enough for one more question."""
        return bool(self.costs) and self.left >= min(self.costs.values())
