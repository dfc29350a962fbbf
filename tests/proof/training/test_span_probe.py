"""The probe of spans against a conditional logit by another library, and on made-up questions."""

import random

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from statsmodels.discrete.conditional_models import ConditionalLogit
from transformers import AutoModel

from euds.errors import OptionError
from euds.progress import SilentProgress
from euds.proof.tasks import PROOF_TASKS, token_f1
from euds.proof.training import span_probe
from euds.proof.training.probing import Probe
from euds.proof.training.protocol import Samples
from euds.proof.training.span_probe import fit_directions
from tests.proof.conftest import samples_of

SETTINGS = {"inverse_regularisation": 100.0}


@pytest.fixture(scope="module")
def choices():
    """Forty rows of two to six candidates; the likelier of them are chosen more often."""
    draw = np.random.default_rng(0)
    sizes = draw.integers(2, 7, size=40)
    states = draw.normal(size=(sizes.sum(), 3)).astype(np.float32)
    begins = np.cumsum(sizes) - sizes
    truth = np.array([[1.0, 0.0], [-0.5, 1.0], [0.0, 0.5]])
    chosen = np.array(
        [
            [
                (states[begin : begin + size] @ truth[:, part] + draw.gumbel(size=size)).argmax()
                for part in (0, 1)
            ]
            for begin, size in zip(begins, sizes, strict=True)
        ]
    )
    return states, sizes, chosen


def test_without_a_penalty_it_is_the_conditional_logit_of_statsmodels(choices):
    states, sizes, chosen = choices
    directions, iterations = fit_directions(states, sizes, chosen, c=1e9)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    begins = np.cumsum(sizes) - sizes
    for part in (0, 1):
        is_right = np.zeros(len(states))
        is_right[begins + chosen[:, part]] = 1
        fitted = ConditionalLogit(is_right, states.astype(float), groups=rows).fit(disp=0)
        np.testing.assert_allclose(directions[:, part], fitted.params, atol=5e-3)
    assert iterations > 1


def test_the_penalty_is_half_the_squared_length_over_c(choices):
    states, sizes, chosen = choices
    rows = np.split(states.astype(float), np.cumsum(sizes)[:-1])

    def objective(direction, part, c):
        loss = 0.0
        for candidates, right in zip(rows, chosen[:, part], strict=True):
            logits = candidates @ direction
            loss += np.log(np.exp(logits).sum()) - logits[right]
        return loss + direction @ direction / (2 * c)

    for c in (0.01, 1.0):
        directions, _ = fit_directions(states, sizes, chosen, c=c)
        for part in (0, 1):
            best = minimize(objective, np.zeros(3), args=(part, c), method="Powell", tol=1e-10).x
            np.testing.assert_allclose(directions[:, part], best, atol=5e-3)


def makers(rows):
    """Return questions whose answer is the one name of the context, or not there at all."""
    draw = random.Random(4)
    questions, contexts, answers = [], [], []
    for number in range(rows):
        name = f"NAME{draw.randrange(30)}"
        lead = " ".join(draw.choices(["the film", "a book", "it", "was", "good"], k=4))
        is_answered = number % 3 > 0
        contexts.append(f"{lead} {name if is_answered else 'was'} wrote it")
        questions.append("who wrote it?")
        answers.append(name if is_answered else "Unknown")
    return samples_of(questions, answers, contexts)


def load(encoder, samples, **parameters):
    probe = Probe(encoder, precision="float32", **parameters)
    return probe.load(PROOF_TASKS["answer"], samples, SilentProgress())


def test_words_of_a_context_are_pointed_at_and_no_answer_has_the_pools_word(encoder):
    samples = makers(300)
    hidden = Samples(
        samples.keys, samples.texts, samples.contexts, [*samples.labels[:240], *[None] * 60]
    )
    course = load(encoder, hidden)
    outcome = course.run(np.arange(240), np.arange(240, 300), seed=0, settings=SETTINGS)
    assert token_f1(outcome.answers, samples.labels[240:]).mean() > 0.9
    assert "unknown" in outcome.answers
    assert any(answer.startswith("NAME") for answer in outcome.answers)  # as the context has it
    assert course.forward_seconds_a_row == pytest.approx(course.preparing_seconds / 300)
    again = course.run(np.arange(240)[::-1], np.arange(240, 300), seed=5, settings=SETTINGS)
    assert again.answers == outcome.answers


def test_shuffled_answers_teach_nothing(encoder):
    samples = makers(120)
    labels = list(samples.labels)
    random.Random(0).shuffle(labels)  # most are then not in their context
    course = load(encoder, Samples(samples.keys, samples.texts, samples.contexts, labels))
    outcome = course.run(np.arange(80), np.arange(80, 120), seed=0, settings=SETTINGS)
    assert set(outcome.answers) == {"unknown"}


def test_the_states_are_those_of_the_first_token_and_of_the_context(encoder):
    samples = samples_of(
        ["who wrote it?", "who?"], ["book", "film"], ["the film was a book", "a film"]
    )
    course = load(encoder, samples)
    model = AutoModel.from_pretrained(encoder.folder).eval()
    for number, row in enumerate(course.rows):
        inputs = {name: torch.tensor([ids]) for name, ids in row.inputs.items()}
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0]
        wanted = torch.cat([states[:1], states[slice(*row.context_span)]])
        expected = torch.nn.functional.normalize(wanted, dim=-1).numpy()
        found = course.states[course.begins[number] : course.begins[number + 1]]
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert course.begins.tolist() == [0, 6, 9]


def test_without_a_context_there_is_no_answer(encoder):
    samples = samples_of(["who?", "who?"], ["film", ""], ["the film", None])
    outcome = load(encoder, samples).run(
        np.array([0]), np.array([0, 1]), seed=0, settings={"inverse_regularisation": 1000.0}
    )
    assert outcome.answers == ("film", "")


def test_states_that_would_fill_the_memory_are_refused(encoder, monkeypatch):
    monkeypatch.setattr(span_probe, "_MOST_BYTES", 1000)
    with pytest.raises(OptionError, match="would not fit into memory"):
        load(encoder, makers(30))
