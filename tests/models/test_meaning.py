from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from euds.models.meaning import (
    embedding_similarities,
    entailment_similarities,
    exact_similarities,
    group_by_meaning,
    normalise_answer,
)


class Letters:
    """An encoder that counts letters, and notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], *, max_tokens: int = 128):
        self.seen += texts
        counts = np.array([[text.count(c) + 1e-3 for c in "abcdefgh"] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


class Containment:
    """An entailment model for which a text entails what it contains."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]):
        self.seen += zip(premises, hypotheses, strict=True)
        return np.array(
            [0.9 if set(b) <= set(a) else 0.2 for a, b in zip(premises, hypotheses, strict=True)]
        )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The  Eiffel Tower.", "eiffel tower"),
        ("YES!", "yes"),
        ("ﬁve", "five"),
        ("an apple, a pear", "apple pear"),
        ("The", "the"),
        ("...", "..."),
        ("", ""),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
    ],
)
def test_normalise_answer(answer, expected):
    assert normalise_answer(answer) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(answer):
    once = normalise_answer(answer)
    assert normalise_answer(once) == once


def test_exact_similarity():
    (matrix,) = exact_similarities([["Yes.", "yes", "no"]])
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_embedding_similarity_is_the_cosine_of_distinct_answers():
    encoder = Letters()
    first, second, empty = embedding_similarities([["abc", "The ABC!", "gh"], ["gh"], []], encoder)
    assert encoder.seen == ["abc", "gh"]
    np.testing.assert_array_equal(first[:2, :2], np.ones((2, 2)))
    assert first[0, 2] == first[2, 0] < 0.01
    assert second.tolist() == [[1.0]]
    assert empty.shape == (0, 0)


def test_entailment_takes_the_weaker_direction_and_prepends_the_question():
    model = Containment()
    (matrix,) = entailment_similarities(["q"], [["ab", "abc", "cab", "AB"]], model)
    assert set(model.seen) == {
        (f"q {one}", f"q {other}")
        for one in ("ab", "abc", "cab")
        for other in ("ab", "abc", "cab")
        if one != other
    }
    assert len(model.seen) == len(set(model.seen))
    expected = [[1, 0.2, 0.2, 1], [0.2, 1, 0.9, 0.2], [0.2, 0.9, 1, 0.2], [1, 0.2, 0.2, 1]]
    np.testing.assert_allclose(matrix, expected)


def test_entailment_of_nothing():
    one, none = entailment_similarities([None, "q"], [["a"], []], Containment())
    assert one.tolist() == [[1.0]]
    assert none.shape == (0, 0)


def test_grouping_by_hand():
    similarity = np.array(
        [[1.0, 0.2, 0.9, 0.1], [0.2, 1.0, 0.3, 0.85], [0.9, 0.3, 1.0, 0.2], [0.1, 0.85, 0.2, 1.0]]
    )
    assert group_by_meaning(similarity, threshold=0.85).tolist() == [0, 1, 0, 1]
    assert group_by_meaning(similarity, threshold=0.95).tolist() == [0, 1, 2, 3]
    assert group_by_meaning(similarity, threshold=0.0).tolist() == [0, 0, 0, 0]
    assert group_by_meaning(np.ones((1, 1)), threshold=0.5).tolist() == [0]
    assert group_by_meaning(np.ones((0, 0)), threshold=0.5).tolist() == []


def test_linkage_is_by_the_average():
    # c is close to a and far from b: 0.5 on average.
    similarity = np.array([[1.0, 0.9, 0.8], [0.9, 1.0, 0.2], [0.8, 0.2, 1.0]])
    assert group_by_meaning(similarity, threshold=0.5).tolist() == [0, 0, 0]
    assert group_by_meaning(similarity, threshold=0.51).tolist() == [0, 0, 1]


@st.composite
def answers_and_similarities(draw):
    answers = draw(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=8))
    # Few values, so that ties are common.
    values = st.sampled_from([0.0, 0.25, 0.5, 0.75])
    pairs = {(a, b): draw(values) for a in "abcdefg" for b in "abcdefg" if a < b}
    matrix = [[1.0 if a == b else pairs[min(a, b), max(a, b)] for b in answers] for a in answers]
    order = draw(st.permutations(range(len(answers))))
    return answers, np.array(matrix), list(order)


@given(answers_and_similarities(), st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_permuting_the_answers_permutes_the_labels(drawn, threshold):
    answers, matrix, order = drawn
    labels = group_by_meaning(matrix, threshold=threshold, answers=answers)
    permuted = group_by_meaning(
        matrix[np.ix_(order, order)],
        threshold=threshold,
        answers=[answers[index] for index in order],
    )
    np.testing.assert_array_equal(permuted, labels[order])
    same = np.array(answers)[:, None] == np.array(answers)[None, :]
    assert (labels[:, None] == labels[None, :])[same].all()
    assert sorted(set(labels)) == list(range(labels.max() + 1))
