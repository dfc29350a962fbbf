"""Semantic entropy over options against the Markov model's probabilities, by hand."""

import math

import numpy as np
import pytest

from euds.errors import OptionError
from euds.models.markov_lm import MarkovLM
from euds.pool.pool import Texts
from euds.scoring.prompts import Template
from euds.scoring.scorers.semantic_options import OptionLogProbs, SemanticOptionsScorer

LM = MarkovLM.default()
OPTIONS = ("bad", "good", "very good")
TEXTS = ["the film was", "a cat is", "the book and", "good", "very bad"]


def log_prob(prompt, option):
    """Walk the chain along an option, with plain Python floats."""
    before, total = prompt.split()[-1], 0.0
    for word in option.split():
        total += math.log(LM.transitions[LM.vocabulary.index(before)][LM.vocabulary.index(word)])
        before = word
    return total / len(option.split())


def entropies_by_hand(texts, *, centred):
    table = [[log_prob(text, option) for option in OPTIONS] for text in texts]
    if centred:
        means = [sum(column) / len(texts) for column in zip(*table, strict=True)]
        table = [[value - mean for value, mean in zip(row, means, strict=True)] for row in table]
    entropies, likeliest = [], []
    for row in table:
        total = sum(math.exp(value) for value in row)
        shares = [math.exp(value) / total for value in row]
        entropies.append(-sum(share * math.log(share) for share in shares))
        likeliest.append(OPTIONS[shares.index(max(shares))])
    return entropies, likeliest


def candidate(toy, pattern="{text}"):
    return OptionLogProbs(toy, "float32", Template(pattern), OPTIONS)


@pytest.mark.parametrize(("calibration", "centred"), [("none", False), ("mean", True)])
def test_entropy_and_answer_equal_a_walk_along_the_chain(toy, measure, calibration, centred):
    texts = Texts.of(TEXTS)
    frame = SemanticOptionsScorer((candidate(toy),), calibration).score(texts, measure).frame
    entropies, likeliest = entropies_by_hand(texts.texts, centred=centred)
    assert frame["se"].to_list() == pytest.approx(entropies, abs=1e-9)
    assert frame["se_option"].to_list() == likeliest


def test_content_free_calibration_takes_off_the_model_s_own_lean(toy, measure):
    texts = Texts.of(TEXTS)
    scorer = SemanticOptionsScorer((candidate(toy),), "content-free")
    frame = scorer.score(texts, measure).frame
    lm_word = LM.vocabulary[LM.tokens("N/A")[0]]  # unknown words stand for one that is known
    for text, entropy in zip(texts.texts, frame["se"], strict=True):
        logits = np.array([log_prob(text, one) - log_prob(lm_word, one) for one in OPTIONS])
        shares = np.exp(logits) / np.exp(logits).sum()
        assert entropy == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-9)


def test_the_prompt_that_tells_the_texts_apart_is_chosen(toy, measure):
    # The chain sees the last word alone: a prompt that ends in a fixed word is blind to the text.
    blind, seeing = candidate(toy, "{text} film"), candidate(toy, "film {text}")
    scored = SemanticOptionsScorer((blind, seeing)).score(Texts.of(TEXTS), measure)
    assert scored.notes["prompt"]["pattern"] == "film {text}"
    informations = [one["nats"] for one in scored.notes["prompt_information_nats"]]
    assert informations[0] == pytest.approx(0.0, abs=1e-12)
    assert informations[1] > 0.01


def test_a_blind_prompt_is_warned_of(toy, measure):
    scored = SemanticOptionsScorer((candidate(toy, "{text} film"),)).score(Texts.of(TEXTS), measure)
    assert "close to noise" in scored.notes["warning"]


def test_another_calibration_needs_no_model_call(toy, measure):
    texts = Texts.of(TEXTS)
    SemanticOptionsScorer((candidate(toy),), "mean").score(texts, measure)
    SemanticOptionsScorer((candidate(toy),), "none").score(texts, measure)
    assert sum(stage.measured for stage in measure.stages) == len(TEXTS)


def test_one_option_is_refused(toy):
    with pytest.raises(OptionError, match="at least two options"):
        SemanticOptionsScorer((OptionLogProbs(toy, "float32", Template("{text}"), ("good",)),))
