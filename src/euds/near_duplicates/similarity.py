"""How similar pairs of sets are, exactly; and the threshold from which they are a pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.near_duplicates.shingles import Shingles
from euds.near_duplicates.words import Integers

__all__ = ["DEFAULT_THRESHOLD", "Pairs", "Proposed", "check_threshold", "similar", "verified"]

DEFAULT_THRESHOLD = 0.7
LOWEST_THRESHOLD = 0.5

SHARED_PER_CHUNK = 2_000_000

Proposed: TypeAlias = Iterator[tuple[Integers, Integers]]


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that is out of range."""
    if not LOWEST_THRESHOLD <= threshold <= 1:
        raise OptionError(
            "the similarity from which texts are near-duplicates is out of range",
            where="threshold",
            got=str(threshold),
            expected=f"{LOWEST_THRESHOLD} to 1; texts that share less are no copies",
        )


@dataclass(frozen=True)
class Pairs:
    """Pairs of sets, by their numbers, and how similar they are."""

    left: Integers
    right: Integers
    jaccard: NDArray[np.float64]

    def take(self, mask: NDArray[np.bool_]) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.left[mask], self.right[mask], self.jaccard[mask])

    def with_keys(self, keys: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
        """Return pairs of sets as pairs of keys: each text of the one with each of the other.

        Parameters
        ----------
        keys, others : polars.DataFrame
            ``key`` and ``set``; ``other`` and ``other_set``.
        """
        sets = pl.DataFrame({"set": self.left, "other_set": self.right, "jaccard": self.jaccard})
        joined = sets.join(keys, on="set").join(others, on="other_set")
        return joined.select("key", "other", "jaccard")


def verified(shingles: Shingles, proposed: Proposed, *, threshold: float) -> Pairs:
    """Return those of the proposed pairs that are as similar as the threshold asks for."""
    none = np.zeros(0, dtype=np.int64)
    found = [Pairs(none, none, np.zeros(0))]
    found += [similar(shingles, left, right, threshold=threshold) for left, right in proposed]
    return Pairs(
        np.concatenate([pairs.left for pairs in found]),
        np.concatenate([pairs.right for pairs in found]),
        np.concatenate([pairs.jaccard for pairs in found]),
    )


def similar(shingles: Shingles, left: Integers, right: Integers, *, threshold: float) -> Pairs:
    """Compare pairs exactly; return those that are similar enough, in their order."""
    sizes = shingles.sizes_of(left), shingles.sizes_of(right)
    shared = np.where(left == right, shingles.lone[left], 0)  # lone shingles are no other set's
    # As many pairs at a time as fit into memory with all their shingles.
    parts = (np.cumsum(sizes[0] + sizes[1]) // SHARED_PER_CHUNK) if len(left) else left
    for part in np.split(np.arange(len(left)), np.flatnonzero(np.diff(parts)) + 1):
        both = shingles.matrix[left[part]].multiply(shingles.matrix[right[part]])
        shared[part] += both.sum(axis=1)
    jaccard = shared / (sizes[0] + sizes[1] - shared)
    return Pairs(left, right, jaccard).take(jaccard >= threshold)
