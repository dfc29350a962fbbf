"""The word 3-shingles of texts, as hashes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["shingle_hashes", "word_hashes"]

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
