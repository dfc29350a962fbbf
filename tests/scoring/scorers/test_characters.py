"""The entropy of characters against a slow count of the same model."""

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest

from euds.scoring.scorers.characters import CharacterCounts

TEXTS = [
    "the cat sat on the mat",
    "The dog sat on the log",
    "zq zq zq",
    "a",
    "",
    "über naïve cafés",
]


def slow(texts, number, *, most=100, prior=5.0):
    """Return the cross-entropy of one text under the counts of the others."""
    marked = ["\x02\x02" + text[:most].lower() for text in texts]

    def grams(text):
        return [(text[i - 2], text[i - 1], text[i]) for i in range(2, len(text))]

    others = [gram for at, text in enumerate(marked) if at != number for gram in grams(text)]
    known = len({gram[2] for text in marked for gram in grams(text)}) + 1
    single, before = Counter(c for _, _, c in others), Counter(b for _, b, _ in others)
    pair, two = Counter((b, c) for _, b, c in others), Counter((a, b) for a, b, _ in others)
    triple = Counter(others)
    own = grams(marked[number])
    total = 0.0
    for a, b, c in own:
        chance = (single[c] + 0.5) / (len(others) + 0.5 * known)
        chance = (pair[b, c] + prior * chance) / (before[b] + prior)
        chance = (triple[a, b, c] + prior * chance) / (two[a, b] + prior)
        total -= math.log(chance)
    return total / len(own) if own else math.nan


def scores(texts, most=100, parts=1):
    counts = CharacterCounts(most)
    for part in np.array_split(np.arange(len(texts)), parts):
        counts.add(pl.Series([texts[at] for at in part], dtype=pl.String))
    return counts.cross_entropy(pl.Series(texts))


@pytest.mark.parametrize("most", [100, 7])
def test_it_is_that_of_a_slow_count(most):
    expected = [slow(TEXTS, number, most=most) for number in range(len(TEXTS))]
    assert scores(TEXTS, most) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_it_does_not_depend_on_how_the_texts_come():
    found = scores(TEXTS)
    assert np.array_equal(scores(TEXTS, parts=3), found, equal_nan=True)
    assert np.array_equal(scores(TEXTS[::-1])[::-1], found, equal_nan=True)


def test_what_is_spelt_unlike_the_rest_stands_out():
    words = ["rain", "falls", "on", "the", "quiet", "town", "people", "walk", "home", "along"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 12)) for _ in range(200)]
    found = scores([*texts, "a8f3 9d1c 77b2 e0f4 1a2b 9c8d"])
    assert found[-1] > found[:-1].max() + 1
