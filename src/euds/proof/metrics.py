"""Scores of answers, one number in [0, 1] a row.

Exact match and F1 are those of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250; unanswerable
questions as in Rajpurkar et al. 2018, arXiv 1806.03822): answers are lower-cased, punctuation and
the articles *a*, *an*, *the* go, white space is squeezed; F1 is the overlap of the two bags of
words. Where one side is empty, both are right only if both are.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "exact_match", "normalised_answer", "token_f1"]

Floats = NDArray[np.float64]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def accuracy(answers: Sequence[str], right: Sequence[str]) -> Floats:
    """Return 1 where the answer is the right one, else 0."""
    return np.array([one == other for one, other in zip(answers, right, strict=True)], np.float64)


def normalised_answer(text: str) -> str:
    """Return an answer without case, punctuation, articles and spare white space.

    >>> normalised_answer("The  U.S. Senate!")
    'us senate'
    """
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(answers: Sequence[str], right: Sequence[str]) -> Floats:
    """Return 1 where the normalised answers are the same, else 0."""
    return accuracy(list(map(normalised_answer, answers)), list(map(normalised_answer, right)))


def token_f1(answers: Sequence[str], right: Sequence[str]) -> Floats:
    """Return the F1 of the two bags of normalised words.

    >>> token_f1(["the cat sat"], ["a cat"]).round(3).tolist()
    [0.667]
    """
    return np.array([_f1(one, other) for one, other in zip(answers, right, strict=True)])


def _f1(answer: str, right: str) -> float:
    given, wanted = normalised_answer(answer).split(), normalised_answer(right).split()
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))
