"""When two answers mean the same, and which of many do.

Similarities are symmetric matrices in [0, 1] with ones on the diagonal. Answers that are equal once
case, punctuation, articles and spacing are taken away are alike whatever a model says, and go to
the model once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from euds.models.protocols import Encoder, EntailmentModel

__all__ = [
    "embedding_similarities",
    "entailment_similarities",
    "exact_similarities",
    "group_by_meaning",
    "normalise_answer",
]

Matrix = NDArray[np.float64]

_ARTICLES = frozenset({"a", "an", "the"})
_ANSWER_TOKENS = 64
_ROUNDING = 1e-9  # 1 - 0.85 is a little more than 0.15


def normalise_answer(answer: str) -> str:
    """Return an answer without what does not change its meaning.

    Unicode compatibility forms, case, punctuation, English articles and extra space are taken away,
    as the evaluation of SQuAD does. An answer of which nothing would be left keeps its punctuation.

    >>> normalise_answer("  The Eiffel  Tower! ")
    'eiffel tower'
    >>> normalise_answer("A") + normalise_answer("!?")
    'a!?'
    """
    folded = unicodedata.normalize("NFKC", answer).casefold()
    bare = "".join(" " if _is_punctuation(character) else character for character in folded)
    words = bare.split() or folded.split()
    kept = [word for word in words if word not in _ARTICLES]
    return " ".join(kept or words)


def exact_similarities(answers: Sequence[Sequence[str]]) -> list[Matrix]:
    """Return for each list of answers which are the same: 1 if they are, else 0.

    Parameters
    ----------
    answers : sequence of sequence of str
        The answers to each question.

    Returns
    -------
    list of ndarray of float64, each of shape (answers, answers)
    """
    return [_among_distinct(some, lambda distinct: np.eye(len(distinct))) for some in answers]


def embedding_similarities(answers: Sequence[Sequence[str]], encoder: Encoder) -> list[Matrix]:
    """Return for each list of answers how close their sentence vectors are.

    The similarity is the cosine; what is below 0 counts as 0.

    Parameters
    ----------
    answers : sequence of sequence of str
        The answers to each question.
    encoder : Encoder
        Each distinct answer is encoded once.

    Returns
    -------
    list of ndarray of float64, each of shape (answers, answers)
    """
    distinct = sorted({normalise_answer(answer) for some in answers for answer in some})
    if not distinct:
        return [np.zeros((0, 0)) for _ in answers]
    vectors = encoder.encode(distinct, max_tokens=_ANSWER_TOKENS).astype(np.float64)
    place = {answer: index for index, answer in enumerate(distinct)}

    def cosines(some: list[str]) -> Matrix:
        rows = vectors[[place[answer] for answer in some]]
        cosine: Matrix = np.clip(rows @ rows.T, 0.0, 1.0)
        return cosine

    return [_among_distinct(some, cosines) for some in answers]


def entailment_similarities(
    questions: Sequence[str | None],
    answers: Sequence[Sequence[str]],
    model: EntailmentModel,
) -> list[Matrix]:
    """Return for each list of answers how surely each two entail one another.

    The question is put before both, and the weaker of the two directions counts (Kuhn et al. 2023,
    arXiv 2302.09664, section 3.2, with probabilities in the place of decisions).

    Parameters
    ----------
    questions : sequence of (str or None)
        What was asked; None puts nothing before the answers.
    answers : sequence of sequence of str
        The answers to each question.
    model : EntailmentModel
        Each ordered pair of distinct answers is judged once.

    Returns
    -------
    list of ndarray of float64, each of shape (answers, answers)
    """
    pairs = {
        pair: 1.0
        for question, some in zip(questions, answers, strict=True)
        for pair in permutations(_with_question(question, _distinct(some)), 2)
    }
    premises, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    judged = dict(zip(pairs, model.entailment(premises, hypotheses).tolist(), strict=True))

    def weaker_direction(question: str | None) -> Callable[[list[str]], Matrix]:
        def judge(some: list[str]) -> Matrix:
            asked = _with_question(question, some)
            forward = np.ones((len(asked), len(asked)))
            for row, column in permutations(range(len(asked)), 2):
                forward[row, column] = judged[asked[row], asked[column]]
            return np.minimum(forward, forward.T)

        return judge

    return [
        _among_distinct(some, weaker_direction(question))
        for question, some in zip(questions, answers, strict=True)
    ]


def group_by_meaning(
    similarity: Matrix, *, threshold: float, answers: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Return the group of each answer, by average linkage.

    The two groups whose members are most alike on average are joined, again and again, until no two
    reach the threshold. Unlike the greedy comparison with each group's first member (Kuhn et al.
    2023), the result does not depend on the order of the answers.

    Parameters
    ----------
    similarity : ndarray of float64, shape (answers, answers)
        Symmetric, in [0, 1], with ones on the diagonal.
    threshold : float
        Two groups are joined if the mean similarity between them is at least this.
    answers : sequence of str, optional
        The answers that the rows belong to. Linkage breaks ties by position, so the rows are put
        into the order of the answers first, and equal answers count once. Without them the rows
        must be distinct and in an order of the caller's that means something, as sorted answers.

    Returns
    -------
    ndarray of int64, shape (answers,)
        Groups numbered from 0 by their first member in that order. With ``answers``, permuting
        answers and similarities permutes the labels.
    """
    matrix = np.asarray(similarity, dtype=np.float64)
    if answers is None:
        return _linked(matrix, threshold)
    normalised = np.array([normalise_answer(answer) for answer in answers], dtype=object)
    _, first, place = np.unique(normalised, return_index=True, return_inverse=True)
    labels: NDArray[np.int64] = _linked(matrix[np.ix_(first, first)], threshold)[place]
    return labels


def _linked(matrix: Matrix, threshold: float) -> NDArray[np.int64]:
    if len(matrix) < 2:
        return np.zeros(len(matrix), dtype=np.int64)
    distances = squareform(1.0 - matrix, checks=False)
    joined = linkage(distances, method="average")
    labels = fcluster(joined, t=1.0 - threshold + _ROUNDING, criterion="distance")
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[place].astype(np.int64)


def _among_distinct(answers: Sequence[str], judge: Callable[[list[str]], Matrix]) -> Matrix:
    """Return the similarity of answers, of which ``judge`` sees each distinct one once."""
    distinct = _distinct(answers)
    place = {answer: index for index, answer in enumerate(distinct)}
    rows = np.array([place[normalise_answer(answer)] for answer in answers], dtype=np.intp)
    matrix = judge(distinct)
    np.fill_diagonal(matrix, 1.0)
    return matrix[np.ix_(rows, rows)]


def _distinct(answers: Sequence[str]) -> list[str]:
    return sorted({normalise_answer(answer) for answer in answers})


def _with_question(question: str | None, answers: Sequence[str]) -> list[str]:
    return [f"{question} {answer}" if question else answer for answer in answers]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
