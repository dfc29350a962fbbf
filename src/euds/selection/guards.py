"""Guards without labels: whether what is kept leans to a language or to an answer of the model.

A rule knows nothing of languages or classes, yet its score may: then one of them fills the subset
and another vanishes. Shares of languages, and of the answers that the model itself finds likeliest,
show it without a label.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool.pool import Pool
from euds.selection.groups import LANGUAGE, OPTION
from euds.selection.languages import UNKNOWN, languages_of
from euds.selection.rows import drawn_lots

__all__ = ["LEAST_LEANING", "MOST_DETECTED", "Shares", "language_shares", "option_shares"]

LEAST_LEANING = 0.10
"""The least total variation distance between pool and subset that a guard acts on."""

MOST_DETECTED = 50_000
"""In larger pools the guard of languages only warns: telling all would take too long."""

_SAMPLE = 1_000
_RARE = 0.01
_REST = "other"


@dataclass(frozen=True)
class Shares:
    """How often each value occurs in the pool and among the rows kept.

    Parameters
    ----------
    column : str
        ``language`` or ``se_option``.
    by_value : mapping of str to mapping of str to float
        For each value its share of the ``pool`` and of the rows ``kept``.
    pool_texts, kept_texts : int
        The numbers of texts that the shares are of.
    """

    column: str
    by_value: Mapping[str, Mapping[str, float]]
    pool_texts: int
    kept_texts: int

    @property
    def distance(self) -> float:
        """The total variation distance between pool and subset, 0 to 1."""
        return sum(abs(one["kept"] - one["pool"]) for one in self.by_value.values()) / 2

    @property
    def is_leaning(self) -> bool:
        """Whether the distance is large, and twice what chance would make it.

        The mean distance of samples is the sum of sqrt(p (1 - p) / (2 pi) (1 / n + 1 / m)): half of
        a normal variable's mean absolute deviation for each share p.
        """
        if not self.by_value or not self.kept_texts:
            return False
        spread = 1 / self.pool_texts + 1 / self.kept_texts
        shares = [one["pool"] for one in self.by_value.values()]
        by_chance = sum(math.sqrt(p * (1 - p) / (2 * math.pi) * spread) for p in shares)
        return self.distance > max(LEAST_LEANING, 2 * by_chance)

    def told(self) -> str:
        """Return the shares in words."""
        return ", ".join(
            f"{value} {one['pool']:.0%} -> {one['kept']:.0%}"
            for value, one in self.by_value.items()
        )


def option_shares(rows: pl.DataFrame, kept: NDArray[np.bool_]) -> Shares:
    """Return the shares of the options that the model finds likeliest; none if it was not asked."""
    if OPTION not in rows.columns:
        return Shares(OPTION, {}, 0, 0)
    options = rows[OPTION]
    there, chosen = options.drop_nulls(), options.filter(pl.Series(kept)).drop_nulls()
    return _shares(OPTION, there.to_list(), chosen.to_list())


def language_shares(rows: pl.DataFrame, kept: NDArray[np.bool_], pool: Pool) -> Shares:
    """Return the shares of languages, among texts whose language can be told.

    Up to 1,000 texts of the pool and of the kept rows each are looked at, those with the lowest
    hashes; languages of less than 1 % of both are put together.
    """
    lots = drawn_lots(rows, 0)
    found = []
    for members in (np.flatnonzero(rows["complete"].to_numpy() | kept), np.flatnonzero(kept)):
        sample = members
        if len(members) > _SAMPLE:
            sample = members[np.argpartition(lots[members], _SAMPLE)[:_SAMPLE]]
        texts = pool.wording.take(rows["at"].gather(sample), columns=["text"])["text"].to_list()
        found.append([language for language in languages_of(texts) if language != UNKNOWN])
    return _shares(LANGUAGE, *found)


def _shares(column: str, pool: Sequence[str], kept: Sequence[str]) -> Shares:
    counts, kept_counts = Counter(pool), Counter(kept)
    shares = {
        value: {
            "pool": counts[value] / max(len(pool), 1),
            "kept": kept_counts[value] / max(len(kept), 1),
        }
        for value in sorted(counts.keys() | kept_counts.keys())
    }
    if column == LANGUAGE:
        rare = [value for value, one in shares.items() if max(one.values()) < _RARE]
        if rare:
            shares[_REST] = {
                where: sum(shares[value][where] for value in rare) for where in ("pool", "kept")
            }
        shares = {value: one for value, one in shares.items() if value not in rare}
    return Shares(column, shares, len(pool), len(kept))
