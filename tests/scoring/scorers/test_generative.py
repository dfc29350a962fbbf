"""Generative entropy against the Markov model's own transition matrix, by hand."""

import math

import numpy as np
import polars as pl
import pytest

from euds.models.markov_lm import MarkovLM
from euds.models.protocols import TokenStatistics
from euds.pool.pool import Texts
from euds.scoring.scorers import generative
from euds.scoring.scorers.generative import (
    GenerativeScorer,
    InstructionDifficultyScorer,
    TokenEntropies,
)

LM = MarkovLM.default()


def by_hand(text, context=None, percent=0.5, most=128):
    """Walk the chain with plain Python floats."""
    words = (context.split()[-256:] if context else []) + text.split()[:most]
    first = len(words) - len(text.split()[:most])
    entropies, surprises = [], []
    for place in range(first, len(words)):
        row = LM.start if place == 0 else LM.transitions[LM.vocabulary.index(words[place - 1])]
        entropies.append(-sum(p * math.log(p) for p in row.tolist() if p > 0))
        surprises.append(-math.log(row[LM.vocabulary.index(words[place])]))
    top = max(1, math.ceil(percent * len(entropies) / 100))
    return {
        "ge": sum(entropies) / len(entropies),
        "ge_nll": sum(surprises) / len(surprises),
        "ge_gap": (sum(surprises) - sum(entropies)) / len(entropies),
        "ge_hes": sum(sorted(entropies)[-top:]),
        "ge_tokens": len(entropies),
    }


TEXTS = ["the film was good", "a very bad book and a cat", "cat", "is " * 200]


@pytest.mark.parametrize("context", [None, "the book was very"])
def test_columns_equal_a_walk_along_the_chain(toy, measure, context):
    texts = Texts.of(TEXTS, [context] * len(TEXTS))
    scores = GenerativeScorer(TokenEntropies(toy, "float32")).score(texts, measure).frame
    for text, row in zip(texts.texts, scores.iter_rows(named=True), strict=True):
        for name, expected in by_hand(text, context).items():
            assert row[name] == pytest.approx(expected, abs=1e-5), (text, name)
        assert row["ge_reason"] is None
        assert row["ge_cut"] == (len(text.split()) > 128)


def test_only_the_first_tokens_count(toy, measure):
    scorer = GenerativeScorer(TokenEntropies(toy, "float32", max_tokens=3))
    row = scorer.score(Texts.of(["the film was good and bad"]), measure).frame.row(0, named=True)
    assert row["ge_tokens"] == 3
    assert row["ge_cut"]
    assert row["ge"] == pytest.approx(by_hand("the film was good and bad", most=3)["ge"], abs=1e-5)


def test_what_cannot_be_scored_is_null_with_a_reason(toy, measure, monkeypatch):
    class Spoilt:
        def token_statistics(self, texts, contexts, **_):
            bad = np.array([1.0, np.nan], dtype=np.float32)
            none = np.empty(0, dtype=np.float32)
            return [
                TokenStatistics(none, none, False)
                if text == " "
                else TokenStatistics(bad, bad, False)
                for text in texts
            ]

    monkeypatch.setattr(generative, "load_language_model", lambda *_, **__: Spoilt())
    texts = Texts.of([" ", "spoilt"])
    frame = GenerativeScorer(TokenEntropies(toy, "float32")).score(texts, measure).frame
    rows = dict(zip(texts.texts, frame.iter_rows(named=True), strict=True))
    assert rows[" "]["ge_reason"] == "no tokens"
    assert "not finite" in rows["spoilt"]["ge_reason"]
    assert frame.select("ge", "ge_nll", "ge_gap", "ge_hes").null_count().row(0) == (2, 2, 2, 2)
    assert frame.schema["ge"] == pl.Float64


def test_instruction_difficulty_is_the_ratio_of_two_perplexities(toy, measure):
    pairs = [
        ("the film was good", "the book was very"),
        ("the film was good", "a cat"),
        ("a very bad book", "the cat is a"),
        ("cat", "a"),
        ("cat", None),
        ("good", " "),
        ("", "a cat"),
    ]
    texts = Texts.of(*map(list, zip(*pairs, strict=True)))
    scorer = InstructionDifficultyScorer(TokenEntropies(toy, "float32"))
    frame = scorer.score(texts, measure).frame
    found = dict(zip(zip(texts.texts, texts.contexts, strict=True), frame.rows(), strict=True))
    for text, context in pairs[:4]:
        perplexities = [math.exp(by_hand(text, one)["ge_nll"]) for one in (context, None)]
        _, ratio, reason = found[text, context]
        assert ratio == pytest.approx(perplexities[0] / perplexities[1], rel=1e-5)
        assert reason is None
    assert found["cat", None][1:] == found["good", " "][1:] == (None, "no context")
    assert found["", "a cat"][1:] == (None, "no tokens")
    # Five texts with a context, four of them distinct without it.
    assert [stage.measured for stage in measure.stages] == [5, 4]
