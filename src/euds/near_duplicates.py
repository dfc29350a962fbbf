"""Texts that are almost the same: copies, edits, another version of the same passage.

Two texts are compared by their word 3-shingles (Broder 1997, doi:10.1109/SEQUEN.1997.666900): the
Jaccard similarity is the share of the shingles that they have in common. Comparing all pairs would
take too long, so an index of each text's rarest shingles proposes pairs and the exact similarity
decides (the prefix filter: Bayardo, Ma and Srikant 2007, doi:10.1145/1242572.1242591; the bound by
positions: Xiao et al. 2011, doi:10.1145/2000824.2000825). No pair is missed and none is wrong, so
whether two texts make a pair depends on these two texts alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from euds.errors import OptionError
from euds.pool import Texts

__all__ = [
    "DEFAULT_THRESHOLD",
    "Groups",
    "near_duplicate_groups",
    "near_duplicates_of",
    "stand_ins",
]

DEFAULT_THRESHOLD = 0.7
LOWEST_THRESHOLD = 0.5

_WORDS_PER_SHINGLE = 3
_TEXTS_PER_CHUNK = 20_000
_PAIRS_PER_CHUNK = 1_000_000
_SHARED_PER_CHUNK = 2_000_000

# Chinese and Japanese put no space between words: there each character counts as one.
_SPACELESS = r"\u{3040}-\u{30ff}\u{3400}-\u{4dbf}\u{4e00}-\u{9fff}"
_WORD = rf"[{_SPACELESS}]|[[\p{{L}}\p{{N}}_]--[{_SPACELESS}]]+"
# Odd, so that no information is lost; different, so that the order of the words matters.
_MULTIPLIERS = tuple(
    enumerate(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)))
)
_NO_WORD = np.uint64(0x27D4EB2F165667C5)

Integers = NDArray[np.int64]


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
    _check_threshold(threshold)
    shingles = _Shingles.of(texts.texts + others.texts, texts.contexts + others.contexts)
    set_of, other_set_of = np.split(shingles.set_of, [len(texts)])
    pairs = _verified(
        shingles,
        _proposed_between(shingles, np.unique(set_of), np.unique(other_set_of), threshold),
        threshold=threshold,
    )
    found = _with_keys(
        pairs,
        pl.DataFrame({"key": texts.frame["key"], "set": set_of}),
        pl.DataFrame({"other": others.frame["key"], "other_set": other_set_of}),
    )
    return found.sort("key", "jaccard", "other", descending=[False, True, False])


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
    _check_threshold(threshold)
    if largest_group is not None and largest_group < 1:
        raise OptionError(
            "the size of the largest group is out of range",
            where="largest_group",
            got=str(largest_group),
            expected="a number of texts, 1 or more",
        )
    cap = largest_group if largest_group is not None else max(50, len(texts) // 100)
    shingles = _Shingles.of(texts.texts, texts.contexts)
    pairs = _verified(shingles, _proposed_within(shingles, threshold), threshold=threshold)
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
    refused = _with_keys(
        pairs.take(is_refused),
        pl.DataFrame({"key": key, "set": shingles.set_of}),
        pl.DataFrame({"other": key, "other_set": shingles.set_of}),
    )
    return Groups(
        frame=pl.DataFrame([key, groups]),
        cap=cap,
        pairs=len(pairs.jaccard),
        refused=refused.sort("jaccard", "key", "other", descending=[True, False, False]),
    )


def stand_ins(
    texts: Sequence[str] | pl.Series,
    contexts: Sequence[str | None] | pl.Series,
    *,
    threshold: float = DEFAULT_THRESHOLD,
) -> Integers:
    """Let each text stand for its near-duplicates behind it, unless another stands for it.

    So each text that is left out is a near-duplicate of one that is not, and of those no two are
    near-duplicates. Chains, which make groups of texts that have little in common, do not arise.

    Parameters
    ----------
    texts, contexts : sequence of str
        What is compared; the first are those that would rather stand.
    threshold : float
        The least Jaccard similarity, 0.5 to 1.

    Returns
    -------
    ndarray of int, shape (texts,)
        The place of the text that stands for each; its own if it stands for itself.

    Raises
    ------
    OptionError
        If the threshold is out of range.

    Examples
    --------
    >>> stand_ins(["the cat sat", "a dog", "The cat sat!"], [None, None, None]).tolist()
    [0, 1, 0]
    """
    _check_threshold(threshold)
    shingles = _Shingles.of(texts, contexts)
    stand_in = np.arange(len(shingles.first_of))
    for left, right in _proposed_within(shingles, threshold):
        # Who is left out already stands for nobody, and need not be compared.
        open_ = (stand_in[left] == left) & (stand_in[right] == right)
        pairs = _similar(shingles, left[open_], right[open_], threshold=threshold)
        for one, other in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
            if stand_in[one] == one and stand_in[other] == other:
                stand_in[other] = one
    places: Integers = np.take(shingles.first_of, stand_in[shingles.set_of])
    return places


def _check_threshold(threshold: float) -> None:
    if not LOWEST_THRESHOLD <= threshold <= 1:
        raise OptionError(
            "the similarity from which texts are near-duplicates is out of range",
            where="threshold",
            got=str(threshold),
            expected=f"{LOWEST_THRESHOLD} to 1; texts that share less are no copies",
        )


def _says(context: str | None) -> bool:
    return context is not None and bool(context.strip())


@dataclass(frozen=True)
class _Shingles:
    """The distinct sets of shingles of some texts.

    Parameters
    ----------
    matrix : sparse array of int32, shape (sets, distinct shingles)
        1 where a set has a shingle. Shingles are numbered from the rarest to the most frequent, and
        those of a set are sorted.
    set_of : ndarray of int, shape (texts,)
        The set of each text; sets are numbered in the order of their first texts.
    first_of : ndarray of int, shape (sets,)
        The first text of each set.
    """

    matrix: sparse.csr_array
    set_of: Integers
    first_of: Integers

    @classmethod
    def of(
        cls, texts: Sequence[str] | pl.Series, contexts: Sequence[str | None] | pl.Series
    ) -> _Shingles:
        hashes, lengths = _shingle_hashes(
            pl.DataFrame({"text": texts, "context": contexts}, schema=_TEXT_SCHEMA)
        )
        distinct, columns, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        rarity = np.empty(len(distinct), dtype=np.int64)
        rarity[np.argsort(counts, kind="stable")] = np.arange(len(distinct))
        matrix = sparse.csr_array(
            (
                np.ones(len(columns), dtype=np.int32),
                rarity[columns],
                np.concatenate([[0], np.cumsum(lengths)]),
            ),
            shape=(len(lengths), len(distinct)),
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1

        # A set is known by the sum of its shingles' hashes, which does not depend on their order.
        # They are hashed once more, because sums of sums of words would not tell their order.
        by_rarity = np.empty(len(distinct), dtype=np.uint64)
        by_rarity[rarity] = pl.Series(distinct).hash().to_numpy()
        members = by_rarity[matrix.indices]
        totals = np.add.reduceat(members, matrix.indptr[:-1]) if len(members) else members
        _, first_of, places = np.unique(totals, return_index=True, return_inverse=True)
        in_order = np.argsort(first_of)
        number_of = np.empty(len(in_order), dtype=np.int64)
        number_of[in_order] = np.arange(len(in_order))
        first_of = first_of[in_order]
        return cls(matrix[first_of], number_of[places], first_of)

    @property
    def sizes(self) -> Integers:
        """The number of shingles of each set."""
        sizes: Integers = np.diff(self.matrix.indptr)
        return sizes


_TEXT_SCHEMA = {"text": pl.String, "context": pl.String}


def _shingle_hashes(texts: pl.DataFrame) -> tuple[NDArray[np.uint64], Integers]:
    """Return the hashes of all shingles, text after text, and how many each text has."""
    hashes: list[NDArray[np.uint64]] = [np.zeros(0, dtype=np.uint64)]
    lengths: list[Integers] = [np.zeros(0, dtype=np.int64)]
    for chunk in texts.iter_slices(_TEXTS_PER_CHUNK):
        words, counts = _word_hashes(chunk)
        last = np.cumsum(counts)
        is_start = np.ones(len(words), dtype=bool)
        is_start[np.concatenate([last - 1, last - 2])] = False  # too few words follow in the text
        starts = np.flatnonzero(is_start)
        hashes.append(
            sum(
                (words[starts + place] * multiplier for place, multiplier in _MULTIPLIERS),
                start=np.zeros(len(starts), dtype=np.uint64),
            )
        )
        lengths.append(counts - (_WORDS_PER_SHINGLE - 1))
    return np.concatenate(hashes), np.concatenate(lengths)


def _word_hashes(texts: pl.DataFrame) -> tuple[NDArray[np.uint64], Integers]:
    """Return a hash of each word, text after text, and each text's number of words.

    A text of too few words is filled up to one shingle. What has no word at all, such as a row of
    emoji, counts as one word as it stands. Pairs are verified by the same hashes, so only the rare
    accident that two words share a 64-bit hash could make them depend on the hash function.
    """
    together = pl.format("{}\n{}", "text", pl.col("context").fill_null(""))
    together = together.str.normalize("NFKC").str.to_lowercase()
    as_it_stands = together.str.replace_all(r"\s+", " ").str.strip_chars()
    words = texts.select(words=together.str.extract_all(_WORD), whole=as_it_stands).select(
        pl.when(pl.col("words").list.len() == 0)
        .then(pl.concat_list("whole"))
        .otherwise("words")
        .alias("words")
    )["words"]
    found = words.list.len().to_numpy().astype(np.int64)
    counts = np.maximum(found, _WORDS_PER_SHINGLE)
    starts = np.cumsum(counts) - counts
    hashes = np.full(int(counts.sum()), _NO_WORD, dtype=np.uint64)
    within = np.arange(int(found.sum())) - np.repeat(np.cumsum(found) - found, found)
    hashes[np.repeat(starts, found) + within] = words.explode().hash().to_numpy()
    return hashes, counts


@dataclass(frozen=True)
class _Pairs:
    """Pairs of sets, by their numbers, and how similar they are."""

    left: Integers
    right: Integers
    jaccard: NDArray[np.float64]

    def take(self, mask: NDArray[np.bool_]) -> _Pairs:
        return _Pairs(self.left[mask], self.right[mask], self.jaccard[mask])


Proposed: TypeAlias = Iterator[tuple[Integers, Integers]]


@dataclass(frozen=True)
class _Prefixes:
    """The rarest shingles of each set: two sets that are similar enough share one of them.

    Sets of Jaccard similarity t share at least t of the shingles of either. So of n shingles all
    but ceil(t n) - 1 are enough to look by.

    Parameters
    ----------
    sets, shingles, places : ndarray of int, shape (entries,)
        A set, one of its rarest shingles, and which of them it is, the rarest being 0; sorted by
        set.
    """

    sets: Integers
    shingles: Integers
    places: Integers

    @classmethod
    def of(cls, shingles: _Shingles, threshold: float) -> _Prefixes:
        sizes = shingles.sizes
        lengths = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
        sets = np.repeat(np.arange(len(sizes)), lengths)
        places = np.arange(len(sets)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        members = shingles.matrix.indices[shingles.matrix.indptr[sets] + places]
        return cls(sets, members.astype(np.int64), places)

    def take(self, chosen: NDArray[np.bool_] | Integers) -> _Prefixes:
        return _Prefixes(self.sets[chosen], self.shingles[chosen], self.places[chosen])


def _proposed_within(shingles: _Shingles, threshold: float) -> Proposed:
    """Yield pairs of sets that may be similar, the lower number first; sorted, no pair twice."""
    prefixes = _Prefixes.of(shingles, threshold)
    prefixes = prefixes.take(np.bincount(prefixes.shingles)[prefixes.shingles] > 1)
    by_shingle = np.argsort(prefixes.shingles, kind="stable")
    place = np.empty(len(by_shingle), dtype=np.int64)
    place[by_shingle] = np.arange(len(by_shingle))
    listed = prefixes.take(by_shingle)
    ends = np.searchsorted(listed.shingles, prefixes.shingles, side="right")
    yield from _sharing(shingles, prefixes, listed, place + 1, ends, threshold)


def _proposed_between(
    shingles: _Shingles, sets: Integers, others: Integers, threshold: float
) -> Proposed:
    """Yield pairs of one of ``sets`` and one of ``others`` that may be similar."""
    prefixes = _Prefixes.of(shingles, threshold)
    mine = prefixes.take(np.isin(prefixes.sets, sets))
    listed = prefixes.take(np.isin(prefixes.sets, others))
    listed = listed.take(np.argsort(listed.shingles, kind="stable"))
    starts = np.searchsorted(listed.shingles, mine.shingles, side="left")
    ends = np.searchsorted(listed.shingles, mine.shingles, side="right")
    yield from _sharing(shingles, mine, listed, starts, ends, threshold)


def _sharing(
    shingles: _Shingles,
    mine: _Prefixes,
    listed: _Prefixes,
    starts: Integers,
    ends: Integers,
    threshold: float,
) -> Proposed:
    """Yield each set of ``mine`` with those listed from ``starts`` to ``ends`` of its shingles.

    What two sets can share at most, given the places of a shingle that they do share, rules most
    of the pairs out before they are compared.
    """
    sizes = shingles.sizes
    counts = ends - starts
    for first, last in _cuts(mine.sets, counts):
        repeats = counts[first:last]
        one = np.repeat(np.arange(first, last), repeats)
        offset = np.arange(len(one)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        other = np.repeat(starts[first:last], repeats) + offset
        left, right = mine.sets[one], listed.sets[other]
        most = np.minimum(sizes[left] - mine.places[one], sizes[right] - listed.places[other])
        needed = threshold / (1 + threshold) * (sizes[left] + sizes[right])
        possible = most >= needed - 1e-9
        pairs = np.unique(left[possible] * len(sizes) + right[possible])
        yield pairs // len(sizes), pairs % len(sizes)


def _cuts(sets: Integers, counts: Integers) -> Iterator[tuple[int, int]]:
    """Yield where to cut the entries: some pairs a piece, and no set in two pieces."""
    totals = np.cumsum(counts)
    borders = np.flatnonzero(np.diff(sets, prepend=-1))
    borders = np.append(borders, len(sets))
    first = done = 0
    while first < len(sets):
        wanted = int(np.searchsorted(totals, done + _PAIRS_PER_CHUNK))
        last = int(borders[int(np.searchsorted(borders, max(wanted, first + 1)))])
        yield first, last
        first, done = last, int(totals[last - 1])


def _verified(shingles: _Shingles, proposed: Proposed, *, threshold: float) -> _Pairs:
    """Return those of the proposed pairs that are as similar as the threshold asks for."""
    none = np.zeros(0, dtype=np.int64)
    found = [_Pairs(none, none, np.zeros(0))]
    found += [_similar(shingles, left, right, threshold=threshold) for left, right in proposed]
    return _Pairs(
        np.concatenate([pairs.left for pairs in found]),
        np.concatenate([pairs.right for pairs in found]),
        np.concatenate([pairs.jaccard for pairs in found]),
    )


def _similar(shingles: _Shingles, left: Integers, right: Integers, *, threshold: float) -> _Pairs:
    """Compare pairs exactly; return those that are similar enough, in their order."""
    sizes = shingles.sizes
    shared = np.zeros(len(left), dtype=np.int64)
    # As many pairs at a time as fit into memory with all their shingles.
    parts = (np.cumsum(sizes[left] + sizes[right]) // _SHARED_PER_CHUNK) if len(left) else left
    for part in np.split(np.arange(len(left)), np.flatnonzero(np.diff(parts)) + 1):
        both = shingles.matrix[left[part]].multiply(shingles.matrix[right[part]])
        shared[part] = both.sum(axis=1)
    jaccard = shared / (sizes[left] + sizes[right] - shared)
    return _Pairs(left, right, jaccard).take(jaccard >= threshold)


def _with_keys(pairs: _Pairs, keys: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return pairs of sets as pairs of keys: each text of the one set with each of the other.

    Parameters
    ----------
    keys, others : polars.DataFrame
        ``key`` and ``set``; ``other`` and ``other_set``.
    """
    sets = pl.DataFrame({"set": pairs.left, "other_set": pairs.right, "jaccard": pairs.jaccard})
    return sets.join(keys, on="set").join(others, on="other_set").select("key", "other", "jaccard")


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
    forest: _Forest, shingles: _Shingles, pairs: _Pairs, *, cap: int
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
