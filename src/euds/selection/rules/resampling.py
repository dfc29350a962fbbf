"""Importance resampling (DSIR): rows drawn to look like texts that matter to the user.

Xie et al. 2023, "Data Selection for Language Models via Importance Resampling" (arXiv 2302.03169):
a text is a bag of its words and pairs of words, hashed into 10,000 buckets. Two distributions over
the buckets are counted, one from the pool and one from the target texts. A row's weight is how much
likelier its bag is under the target's than under the pool's, and rows are drawn by weight without
replacement: the logarithm of the weight plus Gumbel noise, the highest first.

As in the authors' package, words are lower-cased runs of letters and digits, or of other signs, and
1e-8 is added to each probability. What differs: no text is left out as too short (they drop texts
of less than 100 words), and texts that are equal count once.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.selection.rules.preference import Candidates, Preference, same_reason

__all__ = ["dsir", "log_importance"]

_BUCKETS = 10_000
_SMOOTHING = 1e-8
_WORD = re.compile(r"\w+|[^\w\s]+")

Floats = NDArray[np.float64]


def dsir(candidates: Candidates) -> Preference:
    """Prefer rows by a draw in proportion to how much likelier the target's words make them."""
    if candidates.texts is None or candidates.target is None:
        raise ValueError("this rule needs texts and a target")
    noise = _gumbel(candidates.lots)
    weights = log_importance(candidates.texts, candidates.target)
    return Preference(-(weights + noise), same_reason("unlike the target", candidates.rows))


def log_importance(texts: Sequence[str], target: Sequence[str]) -> Floats:
    """Return the log-ratio of each text's likelihoods: under the target's buckets, the pool's.

    Parameters
    ----------
    texts : sequence of str, n of them
        The pool.
    target : sequence of str
        Texts like those that matter.

    Returns
    -------
    ndarray of float64, shape (n,)
        In nats; a sum over the words and pairs of a text, so that long texts have the extremes.

    Raises
    ------
    OptionError
        If the target has no word.
    """
    buckets, sizes = _bags(texts)
    target_buckets, _ = _bags(target)
    if not len(target_buckets):
        raise OptionError("the target has no words", got=f"{len(target):,} texts", where="target")
    if not len(buckets):
        return np.zeros(len(texts))
    ratios = _log_shares(target_buckets) - _log_shares(buckets)
    rows = np.repeat(np.arange(len(texts)), sizes)
    return np.asarray(
        np.bincount(rows, weights=ratios[buckets], minlength=len(texts)), dtype=np.float64
    )


def _bags(texts: Sequence[str]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Return the buckets of all words and pairs, text after text, and how many each text has."""
    bags = []
    for text in texts:
        words = _WORD.findall(text.lower())
        pairs = (f"{first} {second}" for first, second in itertools.pairwise(words))
        bags.append(np.fromiter(map(_bucket, itertools.chain(words, pairs)), dtype=np.uint16))
    sizes = np.array([len(bag) for bag in bags], dtype=np.int64)
    return np.concatenate([*bags, np.empty(0, dtype=np.uint16)]), sizes


@functools.lru_cache(maxsize=2**18)
def _bucket(ngram: str) -> int:
    """Return the bucket of a word or a pair: that of the authors' package."""
    return int.from_bytes(hashlib.sha256(ngram.encode()).digest(), "big") % _BUCKETS


def _log_shares(buckets: NDArray[np.uint16]) -> Floats:
    counts = np.bincount(buckets, minlength=_BUCKETS)
    return np.asarray(np.log(counts / counts.sum() + _SMOOTHING))


def _gumbel(lots: NDArray[np.uint64]) -> Floats:
    """Return standard Gumbel noise, made of the rows' lots: no order of rows can change it."""
    # The upper 53 bits are all that a float holds; a half keeps the ends out.
    uniform = ((lots >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    return np.asarray(-np.log(-np.log(uniform)))
