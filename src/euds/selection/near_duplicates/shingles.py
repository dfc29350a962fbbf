"""Word 3-shingles of texts, and the distinct sets of them of many texts, in little memory.

Most shingles of most pools occur once. Such a lone shingle is in no other text, so all that there
is to know about it is that it is there: texts keep their number. Which occur once is found out by
sorting the hashes, a shard of them at a time, a shard being a range of hashes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["Shingles", "shingle_hashes", "word_hashes"]


# The word 3-shingles of texts, as hashes.

WORDS_PER_SHINGLE = 3
TEXTS_PER_CHUNK = 20_000
BYTES_PER_CHUNK = 8_000_000

# Chinese and Japanese put no space between words: there each character counts as one.
_SPACELESS = r"\u{3040}-\u{30ff}\u{3400}-\u{4dbf}\u{4e00}-\u{9fff}"
_WORD = rf"[{_SPACELESS}]|[[\p{{L}}\p{{N}}_]--[{_SPACELESS}]]+"
# Odd, so that no information is lost; different, so that the order of the words matters.
_MULTIPLIERS = tuple(
    enumerate(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)))
)
_NO_WORD = np.uint64(0x27D4EB2F165667C5)

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]


def shingle_hashes(texts: pl.DataFrame) -> tuple[Hashes, Integers]:
    """Return the hashes of all shingles, text after text, and how many each text has.

    Parameters
    ----------
    texts : polars.DataFrame
        ``text`` and ``context``.

    Returns
    -------
    hashes : ndarray of uint64, shape (shingles,)
    lengths : ndarray of int, shape (texts,)
        One at least.
    """
    hashes: list[Hashes] = [np.zeros(0, dtype=np.uint64)]
    lengths: list[Integers] = [np.zeros(0, dtype=np.int64)]
    for chunk in _chunks(texts):
        words, counts = word_hashes(chunk)
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
        lengths.append(counts - (WORDS_PER_SHINGLE - 1))
    return np.concatenate(hashes), np.concatenate(lengths)


def _chunks(texts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield pieces of some texts and some bytes at most; a longer text is a piece of its own."""
    sizes = texts.select(pl.sum_horizontal(pl.all().str.len_bytes().fill_null(0))).to_series()
    totals = sizes.cast(pl.Int64).cum_sum().to_numpy()
    first = done = 0
    while first < texts.height:
        fit = int(np.searchsorted(totals, done + BYTES_PER_CHUNK, side="right"))
        last = min(max(fit, first + 1), first + TEXTS_PER_CHUNK, texts.height)
        yield texts[first:last]
        first, done = last, int(totals[last - 1])


def word_hashes(texts: pl.DataFrame) -> tuple[Hashes, Integers]:
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
    counts = np.maximum(found, WORDS_PER_SHINGLE)
    starts = np.cumsum(counts) - counts
    hashes = np.full(int(counts.sum()), _NO_WORD, dtype=np.uint64)
    within = np.arange(int(found.sum())) - np.repeat(np.cumsum(found) - found, found)
    hashes[np.repeat(starts, found) + within] = words.explode().hash().to_numpy()
    return hashes, counts


HASHES_PER_SHARD = 8_000_000
HASHES_PER_BLOCK = 1_000_000
_MOST_FLAG_BITS = 27  # 128 MB

_TEXT_SCHEMA = {"text": pl.String, "context": pl.String}

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Shingles:
    """The distinct sets of shingles of some texts.

    Parameters
    ----------
    matrix : sparse array of int8, shape (sets, shared shingles)
        1 where a set has a shingle that another set has too. Shared shingles are numbered from the
        rarest to the most frequent, and those of a set are sorted.
    lone : ndarray of int, shape (sets,)
        The number of shingles that only this set has; they are rarer than all others.
    set_of : ndarray of int, shape (texts,)
        The set of each text; sets are numbered in the order of their first texts.
    first_of : ndarray of int, shape (sets,)
        The first text of each set.
    """

    matrix: sparse.csr_array
    lone: Integers
    set_of: Integers
    first_of: Integers

    @classmethod
    def of(
        cls, texts: Sequence[str] | pl.Series, contexts: Sequence[str | None] | pl.Series
    ) -> Shingles:
        """Return the shingles of texts, each taken together with its context."""
        hashes, lengths = shingle_hashes(
            pl.DataFrame({"text": texts, "context": contexts}, schema=_TEXT_SCHEMA)
        )
        repeated = _repeated(hashes)
        matrix = _matrix(hashes, lengths, repeated)
        lone = lengths - np.diff(matrix.indptr)
        del hashes  # they are the largest thing here
        matrix.sum_duplicates()
        matrix.data[:] = 1
        set_of, first_of = _sets(matrix, lone, repeated)
        return cls(*_by_rarity(matrix[first_of], lone[first_of]), set_of, first_of)

    @property
    def sizes(self) -> Integers:
        """The number of shingles of each set."""
        return np.asarray(self.lone + np.diff(self.matrix.indptr))

    def sizes_of(self, sets: Integers | NDArray[np.int32]) -> Integers:
        """Return the number of shingles of some sets."""
        indptr = self.matrix.indptr
        return np.asarray(self.lone[sets] + (indptr[sets + 1] - indptr[sets]))


def _repeated(hashes: Hashes) -> Hashes:
    """Return the hashes that are there more than once, sorted.

    The high bits of a hash tell its shard, so that shards one after another are sorted.
    """
    shards = 2 ** math.ceil(math.log2(max(1, len(hashes) / HASHES_PER_SHARD)))
    found: list[Hashes] = []
    width = 2**64 // shards
    for shard in range(shards):
        low, high = shard * width, shard * width + width - 1
        members = (
            np.concatenate(
                [
                    block[(block >= np.uint64(low)) & (block <= np.uint64(high))]
                    for block in _blocks(hashes)
                ]
            )
            if shards > 1
            else hashes.copy()
        )
        members.sort()
        is_again = members[1:] == members[:-1]
        # Of equal hashes one after another the first that is there again stands for all.
        is_first = is_again & ~np.concatenate([[False], is_again[:-1]])[: len(is_again)]
        found.append(members[1:][is_first])
    return np.concatenate(found)


def _blocks(hashes: Hashes) -> list[Hashes]:
    return [
        hashes[start : start + HASHES_PER_BLOCK]
        for start in range(0, max(1, len(hashes)), HASHES_PER_BLOCK)
    ]


def _matrix(hashes: Hashes, lengths: Integers, repeated: Hashes) -> sparse.csr_array:
    """Return a matrix of texts by repeated hashes; a text's entries may repeat."""
    # A table by the high bits says of most hashes that occur once that they do, which is quicker
    # than to look for them.
    bits = min(_MOST_FLAG_BITS, max(8, math.ceil(math.log2(max(1, len(repeated)))) + 4))
    shift = np.uint64(64 - bits)
    flags = np.zeros(2**bits, dtype=bool)
    flags[repeated >> shift] = True
    columns, are_repeated = [np.zeros(0, dtype=np.int32)], []
    for block in _blocks(hashes):
        is_repeated = flags[block >> shift]
        asked = block[is_repeated]
        # Sorted questions find their answers near each other.
        order = np.argsort(asked)
        places = np.empty(len(asked), dtype=np.int32)
        places[order] = np.searchsorted(repeated, asked[order])
        places = np.minimum(places, len(repeated) - 1)
        is_there = repeated[places] == asked if len(repeated) else np.zeros(0, dtype=bool)
        is_repeated[is_repeated] = is_there
        columns.append(places[is_there])
        are_repeated.append(is_repeated)
    before = np.concatenate([[0], np.cumsum(np.concatenate(are_repeated))])
    ends = before[np.concatenate([[0], np.cumsum(lengths)])]
    together = np.concatenate(columns)
    index = np.int32 if len(together) < 2**31 else np.int64
    return sparse.csr_array(
        (np.ones(len(together), dtype=np.int8), together.astype(index), ends.astype(index)),
        shape=(len(lengths), len(repeated)),
    )


def _sets(matrix: sparse.csr_array, lone: Integers, repeated: Hashes) -> tuple[Integers, Integers]:
    """Return the set of each text, and the first text of each set.

    A text with a lone shingle has a set of its own. Any other set is known by the sum of its
    shingles' hashes, which does not depend on their order. They are hashed once more, because sums
    of sums of words would not tell their order.
    """
    again = pl.Series(repeated, dtype=pl.UInt64).hash().to_numpy()
    shared = np.flatnonzero(lone == 0)
    members = matrix[shared]
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(again[members.indices])])
    totals = sums[members.indptr[1:]] - sums[members.indptr[:-1]]
    _, firsts, places = np.unique(totals, return_index=True, return_inverse=True)
    first_like = np.arange(len(lone))
    first_like[shared] = shared[firsts[places]]
    first_of, set_of = np.unique(first_like, return_inverse=True)
    return set_of.astype(np.int64), first_of.astype(np.int64)


def _by_rarity(matrix: sparse.csr_array, lone: Integers) -> tuple[sparse.csr_array, Integers]:
    """Renumber shingles from the rarest; leave out and count those of one set only."""
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    is_shared = counts > 1
    number = np.empty(len(counts), dtype=matrix.indices.dtype)
    number[np.argsort(counts, kind="stable")] = np.arange(len(counts)) - (~is_shared).sum()
    stays = is_shared[matrix.indices]
    before = np.concatenate([[0], np.cumsum(stays)])
    ends = before[matrix.indptr]
    indices = number[matrix.indices[stays]]
    kept = sparse.csr_array(
        (np.ones(len(indices), dtype=np.int8), indices, ends.astype(matrix.indptr.dtype)),
        shape=(len(lone), int(is_shared.sum())),
    )
    kept.sort_indices()
    return kept, lone + np.diff(matrix.indptr) - np.diff(kept.indptr)
