"""Which text stands for which of its near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.selection.near_duplicates.prefixes import (
    DEFAULT_THRESHOLD,
    Prefixes,
    Search,
    check_threshold,
    cuts,
    similar,
)
from euds.selection.near_duplicates.shingles import Integers, Shingles

__all__ = ["stand_ins"]


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

    Notes
    -----
    Memory grows with the number of shingles, at 8 bytes each; time with shingles and proposed
    pairs. Who is left out stands for nobody and proposes no pairs, so that very many texts that
    are all alike take time that grows with their number, not with its square.

    Examples
    --------
    >>> stand_ins(["the cat sat", "a dog", "The cat sat!"], [None, None, None]).tolist()
    [0, 1, 0]
    """
    check_threshold(threshold)
    shingles = Shingles.of(texts, contexts)
    stand_in = np.arange(len(shingles.first_of))
    prefixes = Prefixes.of(shingles, threshold).shared()
    while len(prefixes.sets):
        search = Search.of(prefixes, prefixes, shingles, threshold)
        done = _settle(search, shingles, stand_in, threshold=threshold)
        # Those in front of `done` are settled, and no longer in anybody's way.
        is_left = prefixes.sets >= done
        is_left &= stand_in[prefixes.sets] == prefixes.sets
        prefixes = prefixes.take(is_left).shared()
    return np.asarray(shingles.first_of[stand_in[shingles.set_of]])


def _settle(search: Search, shingles: Shingles, stand_in: Integers, *, threshold: float) -> int:
    """Settle sets, block after block; stop where too many pairs would be proposed in vain.

    Parameters
    ----------
    search : Search
        Its sets all stand.
    stand_in : ndarray of int, shape (sets,)
        Who stands for each set; changed in place.

    Returns
    -------
    int
        The first set that is not settled; larger than all if there is none.
    """
    sets, counts = search.mine.sets, search.counts
    left_over = int(counts.sum())
    done = 0
    in_vain = 0  # pairs that sets in later blocks would propose, though another stands for them
    for first, last in cuts(sets, counts):
        # Half of what later sets propose are sets in front of them, which are settled.
        if 2 * in_vain + done > left_over:
            return int(sets[first])
        entries = np.arange(first, last)
        entries = entries[(stand_in[sets[entries]] == sets[entries]) & (counts[entries] > 0)]
        pairs = search.pairs(entries, shingles, threshold, behind=True)
        out = _settle_block(*pairs, shingles, stand_in, threshold=threshold)
        proposed = int(counts[first:last].sum())
        done, left_over = done + proposed, left_over - proposed
        begins = np.searchsorted(sets, out, side="left")
        ends = np.searchsorted(sets, out, side="right")
        later = begins >= last
        in_vain += _sums(counts, begins[later], ends[later])
    return int(sets[-1]) + 1


def _sums(values: Integers, begins: Integers, ends: Integers) -> int:
    """Return the sum of the values in some ranges."""
    lengths = ends - begins
    offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return int(values[np.repeat(begins, lengths) + offsets].sum())


def _settle_block(
    left: Integers,
    right: Integers,
    shingles: Shingles,
    stand_in: Integers,
    *,
    threshold: float,
) -> Integers:
    """Settle the sets on the left, whose pairs with all sets before them are settled or here.

    A set before which no unsettled set may be similar stands for certain, and many such are
    settled at once; then those before which there is none any more, and so on. That is what
    settling one after another gives (Blelloch, Fineman and Shun 2012, arXiv 1202.3205), without
    comparing what one of them has left out already.

    Returns
    -------
    ndarray of int
        The sets that are newly left out.
    """
    found: list[Integers] = [np.zeros(0, dtype=np.int64)]
    has_before: NDArray[np.bool_] = np.zeros(len(stand_in), dtype=bool)
    while len(left):
        # A set that is left out may still have to go to one further in front.
        worth = (stand_in[left] == left) & (left < stand_in[right])
        left, right = left[worth], right[worth]
        has_before[right] = True
        is_first = ~has_before[left]
        has_before[right] = False
        pairs = similar(shingles, left[is_first], right[is_first], threshold=threshold)
        found.append(np.unique(pairs.right[stand_in[pairs.right] == pairs.right]))
        np.minimum.at(stand_in, pairs.right, pairs.left)
        left, right = left[~is_first], right[~is_first]
    return np.concatenate(found)
