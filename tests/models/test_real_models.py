"""The small real language model against a naive pass in float64."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM

from euds.models import load_language_model
from euds.models.hardware import resolve_precision
from euds.reading import datasets
from tests.models.recorded_ge import RECORDED, measured
from tests.models.texts import TEXTS

pytestmark = pytest.mark.models

QUESTIONS = [
    "Question: What is the capital of France?\nAnswer:",
    "Question: What is the capital of Italy?\nAnswer:",
    "Question: Who wrote Hamlet?\nAnswer:",
    "Question: Is water wet?\nAnswer:",
]


def means(statistics):
    """Return the mean entropy and the mean surprise of each text."""
    return np.array(
        [
            (one.entropy_nats.mean(dtype=np.float64), one.nll_nats.mean(dtype=np.float64))
            for one in statistics
        ]
    )


def read(lm, texts):
    return lm.token_statistics(texts, [None] * len(texts), max_tokens=128, max_context_tokens=0)


@pytest.fixture(scope="module")
def tweets(tmp_path_factory):
    """Fifty rows of a real data set."""
    path = tmp_path_factory.mktemp("data") / "tweets.jsonl"
    datasets.write("tweets", path, rows=50)
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def exact(smollm2, tweets):
    """The means by one text after another, in float64, with the whole softmax."""
    model = AutoModelForCausalLM.from_pretrained(smollm2.folder, dtype=torch.float64).eval()
    tokens = load_language_model(smollm2, precision="float32").tokens
    found = []
    for ids in tokens.prompts(tweets, chat=False):
        with torch.no_grad():
            log_probs = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), -1)
        entropies = -(log_probs.exp() * log_probs).sum(-1)
        nlls = -log_probs.gather(-1, torch.tensor(ids[1:])[:, None])
        found.append((float(entropies.mean()), float(nlls.mean())))
    return np.array(found)


def test_float32_equals_float64(smollm2, exact, tweets):
    found = means(read(load_language_model(smollm2, precision="float32"), tweets))
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_old_and_new_packages_give_the_same_entropies():
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert measured() == pytest.approx(recorded, abs=1e-4)


@pytest.mark.skipif(
    resolve_precision() != "bfloat16", reason="bfloat16 is emulated here: two minutes, for nobody"
)
def test_bfloat16_ranks_alike(smollm2, exact, tweets):
    found = means(read(load_language_model(smollm2, precision="bfloat16"), tweets))
    difference = np.abs(found[:, 0] - exact[:, 0])
    assert difference.mean() < 0.02
    assert difference.max() < 0.12
    assert spearmanr(found[:, 0], exact[:, 0]).statistic >= 0.998
    assert spearmanr(found[:, 1], exact[:, 1]).statistic >= 0.998


def test_a_text_has_the_same_bits_alone_and_among_others(smollm2):
    lm = load_language_model(smollm2)
    for text, found in zip(TEXTS[:12], read(lm, TEXTS), strict=False):
        (alone,) = read(lm, [text])
        if resolve_precision() == "bfloat16":
            np.testing.assert_array_equal(alone.entropy_nats, found.entropy_nats)
            np.testing.assert_array_equal(alone.nll_nats, found.nll_nats)
        np.testing.assert_allclose(alone.entropy_nats, found.entropy_nats, atol=1e-4)


def test_a_chat_prompt_is_what_the_template_writes(smollm2):
    tokens = load_language_model(smollm2).tokens
    (ids,) = tokens.prompts([QUESTIONS[0]], chat=True)
    expected = tokens.tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTIONS[0]}], add_generation_prompt=True, return_dict=False
    )
    assert list(ids) == list(expected)
    assert list(ids[:2]) != [ids[0], ids[0]]


def test_options_rank_as_they_should(smollm2):
    lm = load_language_model(smollm2)
    options = [" Paris", " Rome", " Shakespeare", " William Shakespeare"]
    scores = lm.option_log_probs(QUESTIONS[:3], options)
    assert scores.tokens.tolist() == [1, 1, 1, 2]
    assert scores.log_prob_nats[0].argmax() == 0
    assert scores.log_prob_nats[1].argmax() == 1
    assert scores.log_prob_nats[2].argmax() >= 2


def test_options_have_the_same_bits_alone_and_among_others(smollm2):
    lm = load_language_model(smollm2)
    options = [" Paris", " Rome", " Victor Hugo"]
    together = lm.option_log_probs(QUESTIONS, options).log_prob_nats
    alone = [lm.option_log_probs([prompt], options).log_prob_nats[0] for prompt in QUESTIONS]
    if resolve_precision() == "bfloat16":
        np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_draws_are_the_same_alone_and_in_a_batch(smollm2):
    lm = load_language_model(smollm2)
    settings = {"count": 6, "max_new_tokens": 8, "stop_at_newline": True}
    together = lm.sample(QUESTIONS * 2, seeds=range(8), **settings)
    for index in (0, 3, 6):
        (alone,) = lm.sample([QUESTIONS[index % 4]], seeds=[index], **settings)
        assert alone == together[index]
    assert together[0] != together[4]


def test_draws_are_sensible(smollm2):
    lm = load_language_model(smollm2)
    (drawn,) = lm.sample(
        QUESTIONS[:1], count=20, max_new_tokens=8, seeds=[1], temperature=0.1, chat=True
    )
    assert sum("Paris" in one.text for one in drawn) >= 15
