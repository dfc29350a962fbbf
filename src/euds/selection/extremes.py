"""Rules that keep one end of a score, in raw values: what the middle is compared with."""

from __future__ import annotations

import numpy as np

from euds.selection.preference import Candidates, Preference, reasons_of, same_reason

__all__ = ["highest_first", "instruction_difficulty", "lowest_first"]


def highest_first(name: str, candidates: Candidates) -> Preference:
    """Prefer the highest values of a score."""
    ranks = candidates.ranks[name]
    return Preference(-ranks, same_reason(f"below {name}", candidates.rows), {name: ranks})


def lowest_first(name: str, candidates: Candidates) -> Preference:
    """Prefer the lowest values of a score."""
    ranks = candidates.ranks[name]
    return Preference(ranks, same_reason(f"above {name}", candidates.rows), {name: ranks})


def instruction_difficulty(candidates: Candidates) -> Preference:
    """Prefer the highest IFD below 1; from 1 on, where the context does not help, keep rows last.

    Li et al. 2023 (arXiv 2308.12032) read a ratio of 1 or more as a text that does not follow from
    its context, and leave it out. If the budget is larger than what is left, the least of those
    are taken.
    """
    name = "ge_ifd"
    values = candidates.values[name]
    follows = values < 1
    return Preference(
        np.where(follows, -values, values),
        reasons_of(follows, f"above {name}", f"below {name}"),
        {name: candidates.ranks[name]},
    )
