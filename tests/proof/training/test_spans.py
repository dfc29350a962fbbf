"""From answers to tokens and back, against searches that try everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euds.proof.tasks import normalised_answer
from euds.proof.training.goals import tokenised
from euds.proof.training.spans import (
    best_span,
    find_answer,
    has_answer,
    no_answer_word,
    tokens_of_characters,
)
from tests.proof.conftest import WORDS, word_tokenizer

SIGNS = ".,'-?"


@pytest.mark.parametrize(
    ("answer", "context", "found"),
    [
        ("cat", "concat a cat", "cat"),
        ("Earth's moon", "the earth 's  Moon .", "earth 's  Moon"),
        ("U.S.", "in the U . S . Senate", "U . S ."),
        ("née", "Marie NÉE Sklodowska", "NÉE"),
        ("5 %", "it fell 5% in May", "5%"),
        ("$5", "cost$5", "$5"),
        ("4", "1864 and 4", "4"),
        ("Japan", "Japanese", None),
        ("a b", "b a", None),
        ("  ", "any", None),
        ("x", "", None),
    ],
)
def test_an_answer_is_found_where_the_context_says_it(answer, context, found):
    place = find_answer(answer, context)
    assert (context[slice(*place)] if place else None) == found


def test_of_several_places_the_first_is_taken():
    assert find_answer("cat", "concat cat, cat") == (7, 10)


pieces = st.lists(st.sampled_from(["film", "1864", "née", "'", ".", "a", "b", "-"]), max_size=7)


@given(pieces, st.integers(0, 7), st.integers(0, 7), st.data())
def test_finding_agrees_with_a_search_through_all_substrings(words, start, length, data):
    """The oracle tries every stretch of characters and compares it without case and white space."""
    gaps = [data.draw(st.sampled_from(["", " ", "  "])) for _ in words]
    context = "".join(gap + word for gap, word in zip(gaps, words, strict=True))
    answer = " ".join(words[start : start + length]).upper()

    def is_place(begin: int, end: int) -> bool:
        part = context[begin:end]
        return (
            "".join(part.upper().split()) == "".join(answer.split())
            and part == part.strip()
            and not (part[0].isalnum() and context[begin - 1 : begin].isalnum())
            and not (part[-1].isalnum() and context[end : end + 1].isalnum())
        )

    places = [
        (begin, end)
        for begin in range(len(context))
        for end in range(begin + 1, len(context) + 1)
        if is_place(begin, end)
    ]
    found = find_answer(answer, context)
    # White space within a word of the answer counts in the code and not in the oracle.
    assert found is None or found in places
    if found is None:
        words_apart = answer.split()
        assert not any(context[slice(*place)].upper().split() == words_apart for place in places)
    else:
        earlier = [place for place in places if place < found]
        assert not any(context[slice(*p)].upper().split() == answer.split() for p in earlier)


texts = st.lists(
    st.sampled_from([*WORDS, "films", "Née", "1864", "[SEP]", "日本", "  "]), min_size=1
)


@settings(deadline=None)
@given(texts, st.integers(0, 30), st.integers(1, 30), st.integers(12, 40))
def test_tokens_of_characters_agree_with_a_mark_on_every_character(words, start, length, room):
    """The oracle marks the characters of the answer, and then looks which tokens hold a mark."""
    context = " ".join(words)
    characters = (min(start, len(context)), min(start + length, len(context)))
    (row,) = tokenised(word_tokenizer(), ["who wrote it?"], [context], max_tokens=room)
    answer = context[slice(*characters)]
    if not answer or answer != answer.strip():
        return
    marked = set(range(*characters))
    held = [
        index
        for index, (first, end) in enumerate(row.context_tokens)
        if marked & set(range(first, end))
    ]
    read = max((end for _, end in row.context_tokens), default=0)
    wanted = (held[0], held[-1]) if held and read >= characters[1] else None
    assert tokens_of_characters(characters, row.context_tokens) == wanted


def test_an_answer_behind_the_cut_is_no_answer():
    context = "the film was cold and dark and cruel"
    place = find_answer("cruel", context)
    whole, cut = (
        tokenised(word_tokenizer(), ["what?"], [context], max_tokens=room)[0].context_tokens
        for room in (40, 10)
    )
    assert tokens_of_characters(place, whole) == (7, 7)
    assert len(cut) == 5
    assert tokens_of_characters(place, cut) is None
    assert tokens_of_characters((13, 26), cut) is None  # begins before the cut, and ends behind it
    assert tokens_of_characters((13, 21), cut) == (3, 4)


scores = st.integers(-3, 3).map(float)


@given(st.integers(1, 12), st.integers(1, 6), st.data())
def test_the_best_span_agrees_with_trying_all_of_them(tokens, longest, data):
    draw = st.lists(scores, min_size=tokens, max_size=tokens)
    first, last = np.array(data.draw(draw)), np.array(data.draw(draw))
    begin = data.draw(st.integers(0, tokens))
    end = data.draw(st.integers(begin, tokens))
    best, wanted = first[0] + last[0], None
    for start in range(begin, end):
        for stop in range(start, min(start + longest, end)):
            if first[start] + last[stop] > best:
                best, wanted = first[start] + last[stop], (start, stop)
    assert best_span(first, last, context=(begin, end), longest=longest) == wanted


def test_an_answer_is_no_longer_than_thirty_tokens():
    first, last = np.zeros(50), np.zeros(50)
    first[10], last[40], last[39] = 9, 9, 5
    assert best_span(first, last, context=(1, 50)) == (10, 39)
    last[39] = 0
    assert best_span(first, last, context=(1, 50)) == (10, 10)


def test_what_means_no_answer():
    assert [has_answer(label) for label in ["", " ", "Unknown", "unknown.", "the", "1867"]] == [
        *[False] * 5,
        True,
    ]
    assert no_answer_word(["1867", "Unknown", None]) == "unknown"
    assert no_answer_word(["1867", "", None]) == ""
    # What is answered must be the right answer of a proof.
    assert normalised_answer(no_answer_word(["Unknown."])) == normalised_answer("Unknown.")
