"""Rules that prefer the middle of scores, of one or of several together; and those of one end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from euds.selection.rules.preference import Candidates, Preference, Ranks, reasons_of, same_reason
from euds.selection.rules.ranks import mid_ranks

__all__ = [
    "highest_first",
    "igse_and",
    "igse_dist",
    "igse_ranks",
    "igse_sum",
    "instruction_difficulty",
    "lowest_first",
    "middle_of",
    "nearest_to_the_bulk",
]

Floats = NDArray[np.float64]


def middle_of(name: str, ranks: Floats) -> Preference:
    """Prefer the middle ranks of one score."""
    return Preference(
        priority=np.abs(ranks - 0.5),
        reason=reasons_of(ranks < 0.5, f"above {name}", f"below {name}"),
        judged={name: ranks},
    )


def igse_sum(ranks: Ranks) -> Preference:
    """Prefer the middle of the combined entropy; see `igse_ranks`."""
    return middle_of("igse", igse_ranks(ranks))


def igse_ranks(ranks: Ranks) -> Floats:
    """Return the ranks of the combined entropy: the re-ranked mean of normal scores of the ranks.

    A rank u becomes its normal score, the inverse normal distribution function at u, so that each
    entropy weighs the same whatever its distribution; the mean of these is ranked again.
    """
    mean = np.asarray(np.mean([ndtri(one) for one in ranks.values()], axis=0))
    return mid_ranks(np.round(mean, 12))


def igse_and(ranks: Ranks) -> Preference:
    """Prefer rows that lie in the middle of every entropy at once."""
    distance, reason = _distance_from_middle(ranks, lambda table: table.max(axis=0))
    return Preference(distance, reason, ranks)


def igse_dist(ranks: Ranks) -> Preference:
    """Prefer rows close to the middle of all entropies together, by Euclidean distance."""
    distance, reason = _distance_from_middle(ranks, lambda table: np.sqrt((table**2).mean(axis=0)))
    return Preference(distance, reason, {"igse_dist": mid_ranks(distance)})


def nearest_to_the_bulk(candidates: Candidates) -> Preference:
    """Prefer the smallest robust distance; as `igse_dist` where no bulk was found."""
    if candidates.distance is None:
        return igse_dist(candidates.ranks)
    distance = np.nan_to_num(np.round(candidates.distance, 9), nan=np.inf)
    return Preference(
        distance,
        same_reason("edge of the bulk", candidates.rows),
        {"igse_joint": mid_ranks(np.where(np.isfinite(distance), distance, np.nan))},
    )


def _distance_from_middle(
    ranks: Ranks, combine: Callable[[Floats], Floats]
) -> tuple[Floats, pl.Series]:
    """Return each row's distance from 1/2, and on which side of which score it lies furthest."""
    table = np.stack(list(ranks.values()))
    distances = np.abs(table - 0.5)
    worst = distances.argmax(axis=0)
    below = table[worst, np.arange(table.shape[1])] < 0.5
    sides = [f"{side} {name}" for name in ranks for side in ("above", "below")]
    # Rounded, so that rows at equal distances on either side are tied and not sorted by noise.
    return np.round(combine(distances), 12), reasons_of(2 * worst + below, *sides)


# Rules that keep one end of a score, in raw values: what the middle is compared with.


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
