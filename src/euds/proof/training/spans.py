"""Questions whose answer is words of a context: from answers to tokens, and back.

A training needs the first and the last token of the answer; a trained model gives a score to each
token for being the first and for being the last. That there is no answer is said by pointing at the
first token of the whole sequence (Devlin et al. 2019, arXiv 1810.04805, section 4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from euds.proof.tasks import normalised_answer

__all__ = [
    "LONGEST_ANSWER_TOKENS",
    "best_span",
    "find_answer",
    "has_answer",
    "no_answer_word",
    "tokens_of_characters",
]

LONGEST_ANSWER_TOKENS = 30
_UNKNOWN = "unknown"
_WORDS_AND_SIGNS = re.compile(r"\w+|[^\w\s]")

Span = tuple[int, int]
"""Where something begins, and where it has ended."""


def has_answer(label: str) -> bool:
    """Return whether a label is an answer, and not a word for there being none.

    >>> has_answer("Unknown."), has_answer(""), has_answer("the unknown soldier")
    (False, False, True)
    """
    return normalised_answer(label) not in {"", _UNKNOWN}


def no_answer_word(labels: Iterable[str | None]) -> str:
    """Return what these labels say where there is no answer: "unknown", or nothing at all.

    >>> no_answer_word(["1867", "unknown"]), no_answer_word(["1867", None])
    ('unknown', '')
    """
    says_unknown = any(label and normalised_answer(label) == _UNKNOWN for label in labels)
    return _UNKNOWN if says_unknown else ""


def find_answer(answer: str, context: str) -> Span | None:
    """Return the characters of the first place where a context says the answer, or None.

    The place holds the answer's words and signs in their order, in any case and with any white
    space between them (many data sets put spaces around the signs of one and not of the other), and
    does not begin or end within a word.

    >>> find_answer("earth's", "Before Earth 's moon")
    (7, 15)
    >>> find_answer("4", "In 1864") is None
    True
    """
    parts = [re.escape(part) for part in _WORDS_AND_SIGNS.findall(answer)]
    if not parts:
        return None
    before = r"(?<!\w)" if re.match(r"\w", answer.lstrip()) else ""
    after = r"(?!\w)" if re.search(r"\w$", answer.rstrip()) else ""
    found = re.search(before + r"\s*".join(parts) + after, context, re.IGNORECASE)
    return found.span() if found else None


def tokens_of_characters(characters: Span, tokens: Sequence[Span]) -> Span | None:
    """Return the first and the last token that hold characters, or None if they are cut off.

    Parameters
    ----------
    characters : tuple of int
        Where they begin, and where they have ended.
    tokens : sequence of tuple of int
        The same for each token, in their order.

    Returns
    -------
    tuple of int or None
        The numbers of the first and of the last token, both of them included. None where the tokens
        end before the characters do, or none holds any of them.
    """
    start, stop = characters
    held = [
        index
        for index, (first, end) in enumerate(tokens)
        if first < stop and end > max(start, first)
    ]
    if not held or max(end for _, end in tokens) < stop:
        return None
    return held[0], held[-1]


def best_span(
    first: NDArray[np.float32],
    last: NDArray[np.float32],
    *,
    context: Span,
    longest: int = LONGEST_ANSWER_TOKENS,
) -> Span | None:
    """Return the tokens that score highest as an answer, or None if no answer scores as high.

    Parameters
    ----------
    first, last : ndarray of float, shape (tokens,)
        How much each token looks like the first, or the last, of the answer. Token 0 stands for no
        answer.
    context : tuple of int
        Where the context begins, and where it has ended.
    longest : int
        The most tokens of an answer.

    Returns
    -------
    tuple of int or None
        The numbers of the first and of the last token, both of them included; of equal ones the
        earliest, then the shortest.
    """
    begin, end = context
    if end <= begin:
        return None
    scores = np.add.outer(first[begin:end].astype(np.float64), last[begin:end])
    scores[~_at_most(len(scores), longest)] = -np.inf
    at, to = np.unravel_index(int(scores.argmax()), scores.shape)
    if scores[at, to] <= float(first[0]) + float(last[0]):
        return None
    return begin + int(at), begin + int(to)


def _at_most(tokens: int, longest: int) -> NDArray[np.bool_]:
    """Return which pairs of a first and a last token are spans that are not too long."""
    allowed = np.ones((tokens, tokens), bool)
    return np.triu(allowed) & np.tril(allowed, longest - 1)
