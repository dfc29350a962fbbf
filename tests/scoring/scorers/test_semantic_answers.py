"""Semantic entropy of sampled answers, against exact enumeration on the Markov model."""

import numpy as np
import pytest

from euds.models.markov_lm import MarkovLM
from euds.models.meaning import normalise_answer
from euds.pool.pool import Texts
from euds.scoring.prompts import Template
from euds.scoring.scorers import semantic_answers
from euds.scoring.scorers.semantic_answers import SampledAnswers, SemanticAnswersScorer, first_half

LM = MarkovLM.default()
PROMPT = Template("{text}")


def sampled(toy, **settings):
    return SampledAnswers(toy, "float32", PROMPT, **{"max_new_tokens": 2, **settings})


def test_many_samples_approach_the_exact_semantic_entropy(toy, measure):
    texts = Texts.of(["the film was", "a cat is", "the book and"])
    frame = SemanticAnswersScorer(sampled(toy, count=4000), "exact").score(texts, measure).frame
    for text, row in zip(texts.texts, frame.iter_rows(named=True), strict=True):
        exact = LM.semantic_entropy(text, normalise_answer, max_new_tokens=2)
        assert row["se_discrete"] == pytest.approx(exact, abs=0.06), text
        assert row["se_chao_shen"] == pytest.approx(exact, abs=0.06), text


def test_snne_of_exact_meaning_by_hand(toy, measure, monkeypatch):
    # Answers a, a, b: similarity 1 within a, 0 across. -(1/3)(ln(e+1) + ln(e+1) + ln(1+1)).
    class Scripted:
        def truncate(self, texts, *, max_tokens):
            return list(texts)

        def sample(self, prompts, *, count, **_):
            from euds.models.protocols import SampledText

            return [[SampledText(text, -1.0, 1) for text in ("Yes.", "yes", "no")]] * len(prompts)

    monkeypatch.setattr(semantic_answers, "load_language_model", lambda *_, **__: Scripted())
    row = (
        SemanticAnswersScorer(sampled(toy, count=3), "exact")
        .score(Texts.of(["question"]), measure)
        .frame.row(0, named=True)
    )
    assert row["se"] == pytest.approx(-(2 * np.log(np.e + 1) + np.log(2)) / 3)
    assert row["se_discrete"] == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
    assert row["se_meanings"] == 2


def test_draws_do_not_depend_on_the_other_texts(toy, measure, tmp_path):
    alone = SemanticAnswersScorer(sampled(toy), "exact").score(Texts.of(["a cat is"]), measure)
    from euds.progress import SilentProgress
    from euds.scoring.engines.local import LocalEngine
    from euds.scoring.measuring import Measurer
    from euds.scoring.store.disk import Store

    fresh = Measurer(Store(tmp_path / "other"), LocalEngine(), SilentProgress())
    many = Texts.of(["a cat is", *(f"the film was {index}" for index in range(70))])
    among = SemanticAnswersScorer(sampled(toy), "exact").score(many, fresh).frame
    assert among.join(alone.frame, on="key", how="semi").equals(alone.frame)


def test_another_seed_is_another_draw(toy, measure):
    texts = Texts.of([f"the film was {word}" for word in LM.vocabulary])
    first = SemanticAnswersScorer(sampled(toy), "exact").score(texts, measure).frame
    other = SemanticAnswersScorer(sampled(toy, seed=1), "exact").score(texts, measure).frame
    assert not first["se"].equals(other["se"])


def test_another_grouping_asks_the_language_model_nothing(toy, measure):
    texts = Texts.of(["the film was", "a cat is"])
    SemanticAnswersScorer(sampled(toy), "exact").score(texts, measure)
    SemanticAnswersScorer(sampled(toy), "exact").score(texts, measure)
    assert [stage.measured for stage in measure.stages] == [2, 0]


def test_continuations_follow_the_first_half(toy, measure):
    sampling = SampledAnswers(toy, "float32", None, max_new_tokens=2)
    scored = SemanticAnswersScorer(sampling, "exact").score(
        Texts.of(["the film was good and very bad", "x"]), measure
    )
    assert scored.notes["mode"] == "continuation"
    by_reason = scored.frame.sort("se_reason", nulls_last=False)
    assert by_reason["se_reason"].to_list() == [None, "too short to be continued"]
    assert by_reason["se"].null_count() == 1


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("one two three four", "one two"),
        ("abcdef", "abc"),
        ("", ""),
        ("a", ""),
        ("longword b", "longw"),
        ("日本語の文章です", "日本語の"),
        ("a bcdefghijk", "a"),
    ],
)
def test_first_half(text, half):
    assert first_half(text) == half
