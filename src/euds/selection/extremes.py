"""Rules that keep one end of a score, in raw values: what the middle is compared with."""

from __future__ import annotations

import numpy as np

from euds.selection.preference import Candidates, Preference

__all__ = ["highest_first", "instruction_difficulty", "lowest_first"]


def highest_first(name: str, candidates: Candidates) -> Preference:
    """Prefer the highest values of a score."""
    ranks = candidates.ranks[name]
    return Preference(-ranks, np.full(candidates.rows, f"below {name}"), {name: ranks})


def lowest_first(name: str, candidates: Candidates) -> Preference:
    """Prefer the lowest values of a score."""
    ranks = candidates.ranks[name]
    return Preference(ranks, np.full(candidates.rows, f"above {name}"), {name: ranks})


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
        np.where(follows, f"below {name}", f"above {name}"),
        {name: candidates.ranks[name]},
    )
