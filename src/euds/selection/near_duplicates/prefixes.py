"""Pairs of similar sets: proposed by the rarest shingles of each, and verified exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.near_duplicates.shingles import Integers, Shingles

__all__ = [
    "DEFAULT_THRESHOLD",
    "Pairs",
    "Prefixes",
    "Proposed",
    "Search",
    "check_threshold",
    "cuts",
    "proposed_between",
    "proposed_within",
    "similar",
    "verified",
]


# How similar pairs of sets are, exactly; and the threshold from which they are a pair.

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


PAIRS_PER_CHUNK = 1_000_000
_SLACK = 1e-9  # of bounds that rounding might miss

Small = NDArray[np.int32]


@dataclass(frozen=True)
class Prefixes:
    """The rarest shingles of each set: two sets that are similar enough share one of them.

    Sets of Jaccard similarity t share at least t of the shingles of either. So of n shingles all
    but ceil(t n) - 1 are enough to look by. Lone shingles are the rarest and lead to no other set,
    so a set with enough of them has no entries here at all.

    Parameters
    ----------
    sets, shingles, places : ndarray of int32, shape (entries,)
        A set, one of its rarest shingles, and which of them it is, the rarest being 0; sorted by
        set.
    """

    sets: Small
    shingles: Small
    places: Small

    @classmethod
    def of(cls, shingles: Shingles, threshold: float) -> Prefixes:
        """Return the prefixes of all sets, without the lone shingles."""
        sizes = shingles.sizes
        lengths = sizes - np.ceil(threshold * sizes - _SLACK).astype(np.int64) + 1
        lengths = np.maximum(lengths - shingles.lone, 0)
        sets = np.repeat(np.arange(len(sizes), dtype=np.int32), lengths)
        within = np.arange(len(sets)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        members = shingles.matrix.indices[shingles.matrix.indptr[sets] + within]
        places = shingles.lone[sets] + within
        return cls(sets, members.astype(np.int32), places.astype(np.int32))

    def take(self, chosen: NDArray[np.bool_] | Integers) -> Prefixes:
        """Return some of the entries."""
        return Prefixes(self.sets[chosen], self.shingles[chosen], self.places[chosen])

    def shared(self) -> Prefixes:
        """Return the entries whose shingle another entry has too."""
        return self.take(np.bincount(self.shingles)[self.shingles] > 1)


@dataclass(frozen=True)
class Search:
    """Some entries, and where in a list of entries those are that each may make a pair with.

    Two sets of n and m shingles that share at least t of those of either have t n <= m <= n / t.
    If the first shingle that they share has place i in the one, they share n - i at most, which
    must be at least t / (1 + t) (n + m). So the sizes of the others are a range, which may be
    empty: very many texts that share a little too little with each other are never put together.

    Parameters
    ----------
    mine : Prefixes
        Sorted by set.
    listed : Prefixes
        Sorted by shingle, then by the size of the set.
    starts, ends : ndarray of int, shape (entries of mine,)
        The range of the list that belongs to each entry.
    """

    mine: Prefixes
    listed: Prefixes
    starts: Integers
    ends: Integers

    @classmethod
    def of(cls, mine: Prefixes, others: Prefixes, shingles: Shingles, threshold: float) -> Search:
        """Return the search for some sets among others."""
        sizes = shingles.sizes_of(others.sets)
        order = np.lexsort((sizes, others.shingles))
        listed = others.take(order)
        own = shingles.sizes_of(mine.sets)
        largest = int(max(sizes.max(initial=0), own.max(initial=0))) + 1
        least = np.ceil(threshold * own - _SLACK)
        most = np.minimum(own / threshold, (own - mine.places) * (1 + threshold) / threshold - own)
        most = np.clip(np.floor(most + _SLACK), least - 1, largest)
        # Shingle and size as one number; no size is as large as the factor.
        factor = largest + 1
        listed_at = listed.shingles.astype(np.int64) * factor + sizes[order]
        begin = mine.shingles.astype(np.int64) * factor
        starts = np.searchsorted(listed_at, begin + least.astype(np.int64), side="left")
        ends = np.searchsorted(listed_at, begin + most.astype(np.int64), side="right")
        return cls(mine, listed, starts, ends)

    @property
    def counts(self) -> Integers:
        """The number of pairs that each entry proposes."""
        return self.ends - self.starts

    def pairs(
        self, entries: Integers, shingles: Shingles, threshold: float, *, behind: bool
    ) -> tuple[Integers, Integers]:
        """Return the pairs that some entries propose; sorted, no pair twice.

        Parameters
        ----------
        behind : bool
            Whether only others of higher numbers are wanted.
        """
        repeats = self.ends[entries] - self.starts[entries]
        one = np.repeat(entries, repeats)
        offset = np.arange(len(one)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        other = np.repeat(self.starts[entries], repeats) + offset
        if behind:
            is_behind = self.listed.sets[other] > self.mine.sets[one]
            one, other = one[is_behind], other[is_behind]
        left = self.mine.sets[one].astype(np.int64)
        right = self.listed.sets[other].astype(np.int64)
        sizes = shingles.sizes_of(left), shingles.sizes_of(right)
        most = np.minimum(sizes[0] - self.mine.places[one], sizes[1] - self.listed.places[other])
        needed = threshold / (1 + threshold) * (sizes[0] + sizes[1])
        possible = most >= needed - _SLACK
        sets = len(shingles.lone)
        pairs = np.unique(left[possible] * sets + right[possible])
        return pairs // sets, pairs % sets


def proposed_within(shingles: Shingles, threshold: float) -> Proposed:
    """Yield pairs of sets that may be similar, the lower number first; sorted, no pair twice."""
    prefixes = Prefixes.of(shingles, threshold).shared()
    search = Search.of(prefixes, prefixes, shingles, threshold)
    yield from _all_pairs(search, shingles, threshold, behind=True)


def proposed_between(
    shingles: Shingles, sets: Integers, others: Integers, threshold: float
) -> Proposed:
    """Yield pairs of one of ``sets`` and one of ``others`` that may be similar, no pair twice."""
    both = np.intersect1d(sets, others)
    yield both, both  # such a set may have no shingle that leads to it
    prefixes = Prefixes.of(shingles, threshold)
    mine = prefixes.take(np.isin(prefixes.sets, sets))
    listed = prefixes.take(np.isin(prefixes.sets, others))
    search = Search.of(mine, listed, shingles, threshold)
    for left, right in _all_pairs(search, shingles, threshold, behind=False):
        is_other = left != right
        yield left[is_other], right[is_other]


def _all_pairs(search: Search, shingles: Shingles, threshold: float, *, behind: bool) -> Proposed:
    for first, last in cuts(search.mine.sets, search.counts):
        yield search.pairs(np.arange(first, last), shingles, threshold, behind=behind)


def cuts(sets: Small, counts: Integers) -> Iterator[tuple[int, int]]:
    """Yield where to cut the entries: some pairs a piece, and no set in two pieces."""
    totals = np.cumsum(counts)
    borders = np.flatnonzero(np.diff(sets, prepend=-1))
    borders = np.append(borders, len(sets))
    first = done = 0
    while first < len(sets):
        wanted = int(np.searchsorted(totals, done + PAIRS_PER_CHUNK))
        last = int(borders[int(np.searchsorted(borders, max(wanted, first + 1)))])
        yield first, last
        first, done = last, int(totals[last - 1])
