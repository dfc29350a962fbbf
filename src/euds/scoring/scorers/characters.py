"""How predictable the characters of a text are to a model of the pool's own.

The model is one of three characters with a hierarchical Dirichlet prior: the chance of a character
after two others is smoothed by that after one, and this by that of the character alone (MacKay and
Bauman Peto 1995, "A hierarchical Dirichlet language model"). A text's own characters are left out
of the counts, so that it does not vouch for itself.

Counts are kept by hashes, in tables of a fixed size: a pool of any size takes the same memory.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["CharacterCounts"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_PRIOR = 5.0  # observations that the shorter context is worth
_BEGINNING = "\x02\x02"  # stands before each text
_MIX = np.uint64(0x9E3779B97F4A7C15)

# What is counted, of a character c after a and b, and the bits that its table has.
_BITS = {"c": 16, "b": 16, "bc": 20, "ab": 20, "abc": 22}


class CharacterCounts:
    """Counts of the pool's characters, of so many from the beginning of each text.

    Parameters
    ----------
    most : int
        How many characters of a text count.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tables = {name: np.zeros(1 << bits, dtype=np.int64) for name, bits in _BITS.items()}

    def add(self, texts: pl.Series) -> None:
        """Count the characters of some texts."""
        hashes, _ = self._hashed(texts)
        for name, places in hashes.items():
            table = self._tables[name]
            table += np.bincount(places, minlength=len(table))

    def cross_entropy(self, texts: pl.Series) -> Floats:
        """Return each text's leave-one-out cross-entropy, in nats per character.

        ``-(1/n) Σ_i ln p(c_i | c_i-2, c_i-1)``; NaN for an empty text.

        Parameters
        ----------
        texts : polars.Series of String, length n
            Texts that were counted.

        Returns
        -------
        ndarray of float, shape (n,)
        """
        hashes, text = self._hashed(texts)
        count = {name: self._others(name, places, text) for name, places in hashes.items()}
        lengths = np.bincount(text, minlength=len(texts))
        # Of one character more than there are: the one that was not seen yet.
        characters = np.count_nonzero(self._tables["c"]) + 1
        others = self._tables["c"].sum() - lengths[text]
        chance = (count["c"] + 1 / 2) / (others + characters / 2)
        chance = (count["bc"] + _PRIOR * chance) / (count["b"] + _PRIOR)
        chance = (count["abc"] + _PRIOR * chance) / (count["ab"] + _PRIOR)
        sums = np.bincount(text, weights=-np.log(chance), minlength=len(texts))
        return np.where(lengths > 0, sums / np.maximum(lengths, 1), np.nan)

    def _hashed(self, texts: pl.Series) -> tuple[dict[str, Numbers], Numbers]:
        """Return of each character its places in the tables, and the number of its text."""
        whole = (_BEGINNING + texts.str.head(self._most).str.to_lowercase()).to_list()
        lengths = np.array([len(one) for one in whole], dtype=np.int64)
        codes = np.frombuffer("".join(whole).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
        starts = np.cumsum(lengths) - lengths
        is_text = np.ones(len(codes), dtype=bool)
        is_text[starts], is_text[starts + 1] = False, False
        at = np.flatnonzero(is_text)
        of = {"a": codes[at - 2], "b": codes[at - 1], "c": codes[at]}
        hashes = {}
        for name, bits in _BITS.items():
            mixed = np.zeros(len(at), dtype=np.uint64)
            for one in name:
                mixed = (mixed ^ of[one]) * _MIX
                mixed ^= mixed >> np.uint64(32)
            hashes[name] = (mixed & np.uint64((1 << bits) - 1)).astype(np.int64)
        return hashes, np.repeat(np.arange(len(whole)), lengths - len(_BEGINNING))

    def _others(self, name: str, places: Numbers, text: Numbers) -> Numbers:
        """Return how often the other texts have what stands at some places."""
        pair = (text << _BITS[name]) | places
        _, first, counts = np.unique(pair, return_inverse=True, return_counts=True)
        return np.asarray(self._tables[name][places] - counts[first])
