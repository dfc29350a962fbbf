import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from euds.errors import OptionError
from euds.models.markov_lm import MarkovLM
from euds.models.protocols import LanguageModel
from euds.scoring.entropy import discrete_semantic_entropy, entropy_from_probabilities

# After "a": "a" with 1/2, "b" with 1/4, the end with 1/4. After "b": always the end.
SMALL = MarkovLM(
    ("a", "b"),
    np.array([0.5, 0.5, 0.0]),
    np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]),
)
TOY = MarkovLM.default()
LN2 = math.log(2)


def test_it_is_a_language_model():
    assert isinstance(TOY, LanguageModel)


def test_the_toy_never_changes():
    assert TOY.fingerprint == "52d4e01e612baf6f05ed7b694a14a89a"


def test_token_statistics_by_hand():
    (found,) = SMALL.token_statistics(["a b"], [None], max_tokens=9, max_context_tokens=0)
    np.testing.assert_allclose(found.entropy_nats, [LN2, 1.5 * LN2], rtol=1e-6)
    np.testing.assert_allclose(found.nll_nats, [LN2, 2 * LN2], rtol=1e-6)
    assert not found.cut


def test_the_context_is_what_comes_before():
    (found,) = SMALL.token_statistics(["a"], ["b a"], max_tokens=9, max_context_tokens=1)
    np.testing.assert_allclose(found.entropy_nats, [1.5 * LN2], rtol=1e-6)
    assert found.cut


def test_a_text_without_words_has_no_tokens():
    (found,) = SMALL.token_statistics([" "], ["a"], max_tokens=9, max_context_tokens=9)
    assert found.entropy_nats.shape == found.nll_nats.shape == (0,)


def test_a_word_that_cannot_come_is_infinitely_surprising():
    (found,) = SMALL.token_statistics(["b a"], [None], max_tokens=9, max_context_tokens=0)
    np.testing.assert_array_equal(np.isinf(found.nll_nats), [False, True])


def test_option_log_probs_by_hand():
    scores = SMALL.option_log_probs(["", "a", "a b"], [" a", " a b"])
    expected = [[0.5, 0.125], [0.5, 0.125], [0.0, 0.0]]
    np.testing.assert_allclose(np.exp(scores.log_prob_nats), expected)
    np.testing.assert_array_equal(scores.tokens, [1, 2])


def test_options_agree_with_the_list_of_continuations():
    continued = {text: p for text, p, _ in TOY.continuations("the", max_new_tokens=3)}
    scores = TOY.option_log_probs(["the"], [" film was very"])
    assert math.exp(scores.log_prob_nats[0, 0]) == pytest.approx(continued["film was very"])


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=20), st.integers(0, 4))
def test_continuations_are_all_there_is(prompt, length):
    everything = list(TOY.continuations(prompt, max_new_tokens=length))
    assert sum(p for _, p, _ in everything) == pytest.approx(1.0)
    assert len({text for text, _, _ in everything}) == len(everything) or length == 0


def test_the_entropy_of_sequences_by_hand():
    # a: "a a" 1/4, "a b" 1/8, "a" 1/8; b: 1/2.
    expected = 0.25 * 2 * LN2 + 2 * 0.125 * 3 * LN2 + 0.5 * LN2
    assert SMALL.sequence_entropy("", max_new_tokens=2) == pytest.approx(expected)


def test_the_chain_rule_holds_for_the_listed_entropies():
    everything = list(TOY.continuations("film", max_new_tokens=4))
    mean = sum(p * entropies for _, p, entropies in everything)
    assert mean == pytest.approx(TOY.sequence_entropy("film", max_new_tokens=4))


def test_semantic_entropy_by_hand():
    def begins(text: str) -> str:
        return text[:1]

    assert SMALL.semantic_entropy("", begins, max_new_tokens=3) == pytest.approx(LN2)
    assert SMALL.semantic_entropy("", len, max_new_tokens=1) == pytest.approx(0.0)


def test_grouping_loses_entropy():
    sequences = TOY.sequence_entropy("the", max_new_tokens=3)
    meanings = TOY.semantic_entropy("the", lambda text: text[:1], max_new_tokens=3)
    assert 0 < meanings < sequences


def test_draws_follow_the_listed_probabilities():
    everything = {text: p for text, p, _ in SMALL.continuations("", max_new_tokens=3)}
    (draws,) = SMALL.sample([""], count=4000, max_new_tokens=3, seeds=[5])
    counts = [sum(draw.text == text for draw in draws) for text in everything]
    assert sum(counts) == 4000
    assert chisquare(counts, 4000 * np.array(list(everything.values()))).pvalue > 0.01
    for draw in draws[:50]:
        assert math.exp(draw.log_prob_nats) == pytest.approx(everything[draw.text])


def test_the_mean_surprise_of_draws_is_the_entropy():
    (draws,) = TOY.sample(["the"], count=4000, max_new_tokens=3, seeds=[1])
    surprises = [-draw.log_prob_nats for draw in draws]
    exact = TOY.sequence_entropy("the", max_new_tokens=3)
    assert abs(np.mean(surprises) - exact) < 4 * np.std(surprises) / math.sqrt(4000)


def test_sampled_semantic_entropy_approaches_the_exact_one():
    (draws,) = TOY.sample(["the"], count=4000, max_new_tokens=3, seeds=[2])
    sampled = discrete_semantic_entropy([draw.text[:1] for draw in draws])
    exact = TOY.semantic_entropy("the", lambda text: text[:1], max_new_tokens=3)
    assert float(sampled) == pytest.approx(exact, abs=0.05)


def test_a_temperature_flattens_the_draws_but_not_their_log_probability():
    (hot,) = SMALL.sample(["a"], count=3000, max_new_tokens=1, seeds=[3], temperature=2.0)
    root = np.sqrt([0.5, 0.25, 0.25])
    counts = [sum(draw.text == text for draw in hot) for text in ("a", "b", "")]
    assert chisquare(counts, 3000 * root / root.sum()).pvalue > 0.01
    assert {round(math.exp(draw.log_prob_nats), 9) for draw in hot} == {0.5, 0.25}


def test_draws_depend_on_the_seed_alone():
    together = TOY.sample(["the", "a", "the"], count=4, max_new_tokens=6, seeds=[1, 2, 1])
    alone = TOY.sample(["the"], count=6, max_new_tokens=6, seeds=[1])
    assert together[0] == together[2] == alone[0][:4]
    assert together[0] != together[1]


def test_entropies_agree_with_the_formula():
    (found,) = TOY.token_statistics(["very"], ["was"], max_tokens=1, max_context_tokens=1)
    row = TOY.transitions[TOY.vocabulary.index("was")]
    assert found.entropy_nats[0] == pytest.approx(float(entropy_from_probabilities(row)), rel=1e-6)


def test_truncate_keeps_words_and_spaces():
    assert TOY.truncate([" a  b c", "a", ""], max_tokens=2) == [" a  b", "a", ""]


def test_what_it_cannot_do_is_said():
    assert not TOY.has_chat_template
    with pytest.raises(OptionError, match="no chat template"):
        TOY.option_log_probs(["a"], ["b"], chat=True)
    with pytest.raises(OptionError, match="no tokens"):
        TOY.option_log_probs(["a"], [" "])
    with pytest.raises(OptionError, match="above 0"):
        TOY.sample(["a"], count=1, max_new_tokens=1, seeds=[0], temperature=0.0)


def test_parameters_must_be_probabilities():
    with pytest.raises(ValueError, match="fit the vocabulary"):
        MarkovLM(("a",), np.array([1.0]), np.array([[0.5, 0.5]]))
    with pytest.raises(ValueError, match="probabilities"):
        MarkovLM(("a",), np.array([1.0, 0.1]), np.array([[0.5, 0.5]]))
