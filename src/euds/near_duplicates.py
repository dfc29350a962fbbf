"""Texts that are almost the same: copies, edits, another version of the same passage.

Two texts are compared by their word 3-shingles (Broder 1997, doi:10.1109/SEQUEN.1997.666900): the
Jaccard similarity is the share of the shingles that they have in common. Comparing all pairs would
take too long, so MinHash and locality-sensitive hashing (Leskovec, Rajaraman, Ullman, *Mining of
Massive Datasets*, chapter 3) propose pairs and the exact similarity decides. A proposed pair can
therefore not be wrong; a true pair at the threshold is missed once in a thousand times, a more
similar one less often.

Whether two texts make a pair depends on these two texts and the seed, not on what else there is or
in which order.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from euds.errors import MissingExtraError, OptionError
from euds.pool import Texts

__all__ = ["DEFAULT_THRESHOLD", "Groups", "near_duplicate_groups", "near_duplicates_of"]

DEFAULT_THRESHOLD = 0.7
LOWEST_THRESHOLD = 0.5

_WORDS_PER_SHINGLE = 3
_PERMUTATIONS = 128
_MISSED_SHARE = 1e-3
_PAIRS_PER_CHUNK = 20_000

# Chinese and Japanese put no space between words: there each character counts as one.
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+")
# Odd, so that no information is lost; different, so that the order of the words matters.
_MULTIPLIERS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64
)

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
    texts: Texts, others: Texts, *, threshold: float = DEFAULT_THRESHOLD, seed: int = 0
) -> pl.DataFrame:
    """Find the texts that are nearly the same as one of the others.

    Parameters
    ----------
    texts, others : Texts
        What is compared with what; a text and its context are taken together. Pairs inside
        ``texts`` or inside ``others`` are not looked for.
    threshold : float
        The least Jaccard similarity, 0.5 to 1.
    seed : int
        Of the hash functions that propose pairs.

    Returns
    -------
    polars.DataFrame
        ``key`` (of ``texts``), ``other`` (of ``others``) and ``jaccard``; sorted by key, the most
        similar first.

    Raises
    ------
    MissingExtraError
        If datasketch is not installed.
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
        _proposed_between(
            shingles, np.unique(set_of), np.unique(other_set_of), threshold=threshold, seed=seed
        ),
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
    seed: int = 0,
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
    seed : int
        Of the hash functions that propose pairs.

    Raises
    ------
    MissingExtraError
        If datasketch is not installed.
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
    pairs = _verified(
        shingles, _proposed_within(shingles, threshold=threshold, seed=seed), threshold=threshold
    )
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
        1 where a set has a shingle.
    hashes : ndarray of uint64, shape (distinct shingles,)
        What a shingle is known by.
    set_of : ndarray of int, shape (texts,)
        The set of each text; sets are numbered in the order of their first texts.
    first_of : ndarray of int, shape (sets,)
        The first text of each set.
    """

    matrix: sparse.csr_array
    hashes: NDArray[np.uint64]
    set_of: Integers
    first_of: Integers

    @classmethod
    def of(cls, texts: Sequence[str], contexts: Sequence[str | None]) -> _Shingles:
        words = list(map(_padded_words, texts, contexts))
        lengths = np.array([len(one) for one in words], dtype=np.int64)
        word_hashes = _hashes_of([word for one in words for word in one])
        text_of = np.repeat(np.arange(len(words)), lengths)
        inside = text_of[:-2] == text_of[2:]  # all three words are of one text
        windows = (word_hashes[:-2], word_hashes[1:-1], word_hashes[2:])
        shingles = sum(
            window[inside] * multiplier
            for window, multiplier in zip(windows, _MULTIPLIERS, strict=True)
        )
        hashes, columns = np.unique(shingles, return_inverse=True)
        matrix = sparse.csr_array(
            (np.ones(len(columns), dtype=np.int32), (text_of[:-2][inside], columns)),
            shape=(len(words), len(hashes)),
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1

        number_of: dict[bytes, int] = {}
        set_of = np.zeros(len(words), dtype=np.int64)
        for place in range(len(words)):
            members = matrix.indices[matrix.indptr[place] : matrix.indptr[place + 1]].tobytes()
            set_of[place] = number_of.setdefault(members, len(number_of))
        _, first_of = np.unique(set_of, return_index=True)
        return cls(matrix[first_of], hashes, set_of, first_of)

    def members(self, number: int) -> NDArray[np.uint64]:
        """Return the hashes of a set's shingles."""
        start, end = self.matrix.indptr[number : number + 2]
        members: NDArray[np.uint64] = self.hashes[self.matrix.indices[start:end]]
        return members


def _padded_words(text: str, context: str | None) -> list[str]:
    """Return the words of a text and its context, filled up to one shingle.

    What has no word at all, such as a row of emoji, counts as one word as it stands.
    """
    together = unicodedata.normalize("NFKC", f"{text}\n{context or ''}").lower()
    words = _WORD.findall(together) or [" ".join(together.split())]
    return words + [""] * (_WORDS_PER_SHINGLE - len(words))


def _hashes_of(words: Sequence[str]) -> NDArray[np.uint64]:
    """Return 64 bits of each word's BLAKE2b hash; each distinct word is hashed once."""
    number_of: dict[str, int] = {}
    numbers = [number_of.setdefault(word, len(number_of)) for word in words]
    digests = b"".join(
        hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for word in number_of
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)[numbers]


@dataclass(frozen=True)
class _Pairs:
    """Pairs of sets, by their numbers, and how similar they are."""

    left: Integers
    right: Integers
    jaccard: NDArray[np.float64]

    def take(self, mask: NDArray[np.bool_]) -> _Pairs:
        return _Pairs(self.left[mask], self.right[mask], self.jaccard[mask])


def _proposed_within(
    shingles: _Shingles, *, threshold: float, seed: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield each set's number with those before it that may be similar."""
    index = _new_index(threshold)
    sets = range(len(shingles.first_of))
    for number, sketch in zip(sets, _sketches(shingles, sets, seed=seed), strict=True):
        yield number, index.query(sketch)
        index.insert(number, sketch, check_duplication=False)


def _proposed_between(
    shingles: _Shingles,
    sets: Integers,
    others: Integers,
    *,
    threshold: float,
    seed: int,
) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of each of ``sets`` with those of ``others`` that may be similar."""
    index = _new_index(threshold)
    for number, sketch in zip(others.tolist(), _sketches(shingles, others, seed=seed), strict=True):
        index.insert(number, sketch, check_duplication=False)
    for number, sketch in zip(sets.tolist(), _sketches(shingles, sets, seed=seed), strict=True):
        yield number, index.query(sketch)


def _new_index(threshold: float) -> Any:
    bands, rows = _bands_and_rows(threshold)
    return _datasketch().MinHashLSH(num_perm=_PERMUTATIONS, params=(bands, rows))


def _bands_and_rows(threshold: float) -> tuple[int, int]:
    """Return the strictest banding that misses few enough pairs at the threshold.

    A pair of similarity s shares no band with probability (1 - s^rows)^bands.
    """
    for rows in range(_PERMUTATIONS // 2, 1, -1):
        bands = _PERMUTATIONS // rows
        if (1 - threshold**rows) ** bands <= _MISSED_SHARE:
            return bands, rows
    return _PERMUTATIONS, 1


def _sketches(shingles: _Shingles, sets: Iterable[int], *, seed: int) -> Iterator[Any]:
    """Yield the MinHash of each set, from the upper halves of its shingles' hashes."""
    members = ((shingles.members(number) >> np.uint64(32)).tolist() for number in sets)
    sketches: Iterator[Any] = _datasketch().MinHash.generator(
        members, num_perm=_PERMUTATIONS, seed=seed, hashfunc=int
    )
    return sketches


def _datasketch() -> Any:
    try:
        import datasketch
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "datasketch", extra="train", purpose="looking for near-duplicates"
        ) from error
    return datasketch


def _verified(
    shingles: _Shingles, proposed: Iterable[tuple[int, list[int]]], *, threshold: float
) -> _Pairs:
    """Return those of the proposed pairs that are as similar as the threshold asks for."""
    sizes = np.diff(shingles.matrix.indptr)
    found = []
    for left, right in _in_chunks(proposed):
        shared = shingles.matrix[left].multiply(shingles.matrix[right]).sum(axis=1)
        jaccard = shared / (sizes[left] + sizes[right] - shared)
        found.append(_Pairs(left, right, jaccard).take(jaccard >= threshold))
    return _Pairs(
        np.concatenate([pairs.left for pairs in found]),
        np.concatenate([pairs.right for pairs in found]),
        np.concatenate([pairs.jaccard for pairs in found]),
    )


def _in_chunks(proposed: Iterable[tuple[int, list[int]]]) -> Iterator[tuple[Integers, Integers]]:
    """Yield the two sides of the proposed pairs, some thousands at a time, and at least once."""
    left: list[int] = []
    right: list[int] = []
    for number, others in proposed:
        left += [number] * len(others)
        right += others
        if len(left) >= _PAIRS_PER_CHUNK:
            yield np.array(left), np.array(right)
            left, right = [], []
    yield np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)


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
