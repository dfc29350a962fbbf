"""Texts put together with their near-duplicates, and near-duplicates across two sets."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool.pool import Texts
from euds.selection.near_duplicates.prefixes import (
    DEFAULT_THRESHOLD,
    Pairs,
    check_threshold,
    proposed_between,
    proposed_within,
    verified,
)
from euds.selection.near_duplicates.shingles import Shingles

__all__ = ["Groups", "near_duplicate_groups", "near_duplicates_of"]


@dataclass(frozen=True)
class Groups:
    """Texts put together with their near-duplicates.

    Parameters
    ----------
    frame : polars.DataFrame
        ``key`` and ``group``, sorted by key; groups are numbered from 0 in the order of their
        smallest keys.
    cap : int
        The number of texts that near-duplicates may make a group of.
    pairs : int
        Near-duplicate pairs found; texts with the same shingles count once.
    refused : polars.DataFrame
        ``key``, ``other``, ``jaccard``: the near-duplicates that are in different groups, because
        their group would have grown beyond the cap. The most similar come first.
    """

    frame: pl.DataFrame
    cap: int
    pairs: int
    refused: pl.DataFrame

    @property
    def count(self) -> int:
        """The number of groups."""
        return self.frame["group"].n_unique()

    @property
    def largest(self) -> int:
        """The number of texts in the largest group."""
        sizes = self.frame["group"].value_counts()["count"]
        return int(sizes.max()) if len(sizes) else 0  # type: ignore[arg-type]


def near_duplicate_groups(
    texts: Texts,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    largest_group: int | None = None,
    by_context: bool = False,
) -> Groups:
    """Put each text together with its near-duplicates.

    Pairs are joined in the order of their similarity, ties in the order of their keys. Chains of
    pairs could make one group of texts that have nothing in common any more, so a join that would
    make a group larger than ``largest_group`` is refused and reported. Texts with the same shingles
    (equal but for case, punctuation and white space) are together whatever the cap.

    Parameters
    ----------
    texts : Texts
        What to group.
    threshold : float
        The least Jaccard similarity, 0.5 to 1.
    largest_group : int, optional
        The cap; without it 1 % of the texts, and 50 at least.
    by_context : bool
        Whether texts with one and the same context are together too, whatever the cap.

    Raises
    ------
    OptionError
        If the threshold or the cap is out of range.
    """
    check_threshold(threshold)
    if largest_group is not None and largest_group < 1:
        raise OptionError(
            "the size of the largest group is out of range",
            where="largest_group",
            got=str(largest_group),
            expected="a number of texts, 1 or more",
        )
    cap = largest_group if largest_group is not None else max(50, len(texts) // 100)
    shingles = Shingles.of(texts.texts, texts.contexts)
    pairs = verified(shingles, proposed_within(shingles, threshold), threshold=threshold)
    forest = _Forest(len(texts))
    forest.join_equal(shingles.set_of.tolist())
    if by_context:
        forest.join_equal([context if _says(context) else None for context in texts.contexts])
    is_refused = _join_by_similarity(forest, shingles, pairs, cap=cap)

    roots = [forest.root(place) for place in range(len(texts))]
    # Keys are sorted, and a root is the first of its group: so the numbers follow smallest keys.
    numbers = {root: number for number, root in enumerate(sorted(set(roots)))}
    groups = pl.Series("group", [numbers[root] for root in roots], dtype=pl.UInt32)
    key = texts.frame["key"]
    refused = pairs.take(is_refused).with_keys(
        pl.DataFrame({"key": key, "set": shingles.set_of}),
        pl.DataFrame({"other": key, "other_set": shingles.set_of}),
    )
    return Groups(
        frame=pl.DataFrame([key, groups]),
        cap=cap,
        pairs=len(pairs.jaccard),
        refused=refused.sort("jaccard", "key", "other", descending=[True, False, False]),
    )


def _says(context: str | None) -> bool:
    return context is not None and bool(context.strip())


class _Forest:
    """Groups of places as trees of which the root is the smallest place (union-find)."""

    def __init__(self, places: int) -> None:
        self._parent = list(range(places))
        self.size = [1] * places
        """The size of a group, at its root."""

    def root(self, place: int) -> int:
        while (parent := self._parent[place]) != place:
            self._parent[place] = self._parent[parent]  # halves the way for the next time
            place = parent
        return place

    def join(self, one: int, other: int) -> None:
        """Make one group of two, given by their roots."""
        if one != other:
            root, child = min(one, other), max(one, other)
            self._parent[child] = root
            self.size[root] += self.size[child]

    def join_equal(self, values: Sequence[Hashable]) -> None:
        """Join all places that have the same value; None is no value."""
        first: dict[Hashable, int] = {}
        for place, value in enumerate(values):
            if value is not None:
                self.join(self.root(first.setdefault(value, place)), self.root(place))


def _join_by_similarity(
    forest: _Forest, shingles: Shingles, pairs: Pairs, *, cap: int
) -> NDArray[np.bool_]:
    """Join pairs, the most similar first; return which were refused for the size of the group.

    A group only grows, so a pair that was refused stays in two groups.
    """
    # Places are in the order of the keys, whatever the numbers of the sets.
    places = np.sort(
        np.stack([shingles.first_of[pairs.left], shingles.first_of[pairs.right]]), axis=0
    )
    is_refused = np.zeros(len(pairs.jaccard), dtype=bool)
    for index in np.lexsort((places[1], places[0], -pairs.jaccard)).tolist():
        one, other = forest.root(int(places[0, index])), forest.root(int(places[1, index]))
        if one != other and forest.size[one] + forest.size[other] > cap:
            is_refused[index] = True
        else:
            forest.join(one, other)
    return is_refused


# Near-duplicates of some texts among others.


def near_duplicates_of(
    texts: Texts, others: Texts, *, threshold: float = DEFAULT_THRESHOLD
) -> pl.DataFrame:
    """Find the texts that are nearly the same as one of the others.

    Parameters
    ----------
    texts, others : Texts
        What is compared with what; a text and its context are taken together. Pairs inside
        ``texts`` or inside ``others`` are not looked for.
    threshold : float
        The least Jaccard similarity, 0.5 to 1.

    Returns
    -------
    polars.DataFrame
        ``key`` (of ``texts``), ``other`` (of ``others``) and ``jaccard``; sorted by key, the most
        similar first.

    Raises
    ------
    OptionError
        If the threshold is out of range.

    Examples
    --------
    >>> pool = Texts.of(["The cat sat on the mat.", "Something else altogether."])
    >>> near_duplicates_of(pool, Texts.of(["the cat sat on the mat"]))["jaccard"].to_list()
    [1.0]
    """
    check_threshold(threshold)
    shingles = Shingles.of(texts.texts + others.texts, texts.contexts + others.contexts)
    set_of, other_set_of = np.split(shingles.set_of, [len(texts)])
    pairs = verified(
        shingles,
        proposed_between(shingles, np.unique(set_of), np.unique(other_set_of), threshold),
        threshold=threshold,
    )
    found = pairs.with_keys(
        pl.DataFrame({"key": texts.frame["key"], "set": set_of}),
        pl.DataFrame({"other": others.frame["key"], "other_set": other_set_of}),
    )
    return found.sort("key", "jaccard", "other", descending=[False, True, False])
