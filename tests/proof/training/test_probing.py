"""The probe against the penalised likelihood, minimised by another route, and against chance."""

import sys
from dataclasses import fields

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from euds.errors import MissingExtraError
from euds.models.sources import resolve
from euds.pool.pool import text_key
from euds.progress import SilentProgress
from euds.proof.tasks import PROOF_TASKS
from euds.proof.training.probing import ClassProbe, Probe, pair_features
from euds.proof.training.protocol import Samples
from euds.reading import datasets, read
from euds.scoring.store.disk import Store
from tests.models.conftest import save_bert

C = "inverse_regularisation"


def samples_of(texts, labels, contexts=None):
    contexts = contexts or [None] * len(texts)
    keys = [text_key(text, context) for text, context in zip(texts, contexts, strict=True)]
    return Samples(keys, texts, contexts, labels)


def answers(course, fit, ask, c=10.0, seed=0):
    return course.run(np.array(fit), np.array(ask), seed=seed, settings={C: c}).answers


@pytest.fixture(scope="module")
def blobs():
    """Three overlapping classes of 60 rows in six dimensions."""
    draw = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 60)
    features = np.eye(3, 6)[classes] + draw.normal(scale=0.5, size=(180, 6))
    names = tuple(np.array(["red", "green", "blue"])[classes].tolist())
    return ClassProbe(features.astype(np.float32), names, 0.0)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return resolve(str(save_bert(tmp_path_factory.mktemp("encoder"))))


@pytest.mark.parametrize("c", [0.1, 30.0])
@pytest.mark.parametrize("names", [["red", "green", "blue"], ["red", "blue"]])
def test_it_minimises_the_penalised_likelihood(blobs, names, c):
    """Minimise 1/2 |w|^2 + C x loss by a general method; two classes share the weights."""
    fit = [row for row, label in enumerate(blobs.labels) if label in names][::2]
    ask = list(range(180))
    inputs = blobs.features[fit].astype(float)
    classes = sorted(names)
    right = np.array([classes.index(blobs.labels[row]) for row in fit])
    width = len(classes) if len(classes) > 2 else 1

    def logits(parameters, rows):
        table = parameters.reshape(width, 7)
        found = rows @ table[:, :6].T + table[:, 6]
        return found if width > 1 else np.hstack([np.zeros_like(found), found])

    def objective(parameters):
        weights = parameters.reshape(width, 7)[:, :6]
        found = logits(parameters, inputs)
        loss = logsumexp(found, axis=1) - found[np.arange(len(fit)), right]
        return 0.5 * (weights**2).sum() + c * loss.sum()

    best = minimize(objective, np.zeros(width * 7), method="SLSQP", options={"maxiter": 500}).x
    expected = logits(best, blobs.features[ask].astype(float))
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-3
    assert clear.mean() > 0.9
    found = np.array(answers(blobs, fit, ask, c))
    np.testing.assert_array_equal(found[clear], np.array(classes)[expected.argmax(axis=1)][clear])


def test_it_learns_what_can_be_separated_and_permuted_labels_teach_nothing(blobs):
    fit, ask = range(0, 180, 2), range(1, 180, 2)
    right = np.array(blobs.labels)
    assert (np.array(answers(blobs, fit, ask)) == right[ask]).mean() > 0.75
    draw = np.random.default_rng(1)
    shares = []
    for _ in range(20):
        mixed = ClassProbe(blobs.features, tuple(draw.permutation(right).tolist()), 0.0)
        shares.append(np.mean(np.array(answers(mixed, fit, ask)) == right[ask]))
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.06)


def test_the_seed_and_the_steps_change_nothing(blobs):
    fit, ask = np.arange(0, 180, 3), np.arange(180)
    one = blobs.run(fit, ask, seed=1, settings={C: 1.0})
    other = blobs.run(fit, ask, seed=2, settings={C: 1.0}, steps=1)
    assert one.answers == other.answers
    assert one.steps == other.steps > 1
    assert one.training_seconds > 0


def test_a_stronger_penalty_stays_closer_to_the_largest_class(blobs):
    fit = [*range(60), *range(60, 75), *range(120, 135)]
    ask = range(180)
    reds = [answers(blobs, fit, ask, c).count("red") for c in (1e-4, 1.0, 100.0)]
    assert reds[0] == 180
    assert reds[0] > reds[1] > reds[2]


def test_rows_of_one_class_give_that_class(blobs):
    outcome = blobs.run(np.arange(60), np.arange(180), seed=0, settings={C: 1.0})
    assert outcome.answers == ("red",) * 180
    assert outcome.steps == 0


def test_a_class_that_was_not_trained_on_is_never_answered(blobs):
    fit = [row for row, label in enumerate(blobs.labels) if label != "blue"]
    assert set(answers(blobs, fit, range(180))) == {"red", "green"}
    assert answers(blobs, fit, []) == ()


def test_labels_of_the_rows_asked_about_are_not_looked_at(blobs):
    hidden = ClassProbe(blobs.features, (*blobs.labels[:90], *[None] * 90), 0.0)
    assert answers(hidden, range(90), range(90, 180)) == answers(blobs, range(90), range(90, 180))


def test_features_of_a_pair_by_hand():
    one, other = np.array([[1, -2]], dtype=np.float32), np.array([[3, 0.5]], dtype=np.float32)
    expected = [[1, -2, 3, 0.5, 3, -1, 2, 2.5]]
    np.testing.assert_array_equal(pair_features(one, other), expected)


def test_a_text_is_its_vector_and_a_pair_both(bert, tmp_path):
    texts, contexts = ["a cat", "the mat", "a cat"], ["It sat there.", "Why?", "Why?"]
    probe = Probe(bert, store=Store(tmp_path))
    single = probe.load(PROOF_TASKS["topic"], samples_of(texts, ["a", "b", None]), SilentProgress())
    pair = probe.load(
        PROOF_TASKS["yes-no"], samples_of(texts, ["a", "b", None], contexts), SilentProgress()
    )
    assert single.features.shape == (3, 32)
    assert pair.features.shape == (3, 128)
    np.testing.assert_array_equal(pair.features[:, :32], single.features)
    np.testing.assert_array_equal(pair.features[1, 32:64], pair.features[2, 32:64])
    assert pair.preparing_seconds > single.preparing_seconds > 0
    assert pair.forward_seconds_a_row == pytest.approx(pair.preparing_seconds / 3)


def test_vectors_measured_earlier_are_charged_for(bert, tmp_path):
    texts = [f"the cat number {index}" for index in range(20)]
    samples = samples_of(texts, ["a", "b"] * 10)
    probe = Probe(bert, store=Store(tmp_path))
    first, second = (probe.load(PROOF_TASKS["topic"], samples, SilentProgress()) for _ in range(2))
    assert second.preparing_seconds == pytest.approx(first.preparing_seconds)


def test_the_recipe_is_encoder_cut_and_precision(bert):
    probe = Probe(bert, max_tokens=64, precision="float32", inverse_regularisations=(1.0, 2.0))
    assert probe.grid == ({C: 1.0}, {C: 2.0})
    assert not probe.is_seeded
    assert probe.steps_of(100) is None
    recipe = {field.name for field in fields(probe) if field.metadata.get("recipe", True)}
    # What was chosen of the grid is part of each training, the grid of none.
    assert recipe == {"encoder", "max_tokens", "precision"}


def test_the_encoders_parameters_are_its_layers(bert):
    """Two layers of width 32: four projections, two of the inner width 48, two normalisations."""
    layer = 4 * (32 * 32 + 32) + (32 * 48 + 48) + (48 * 32 + 32) + 2 * 2 * 32
    assert Probe(bert).trained_parameters == 2 * layer


def test_a_missing_package_is_one_sentence(bert, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match="sklearn") as caught:
        Probe(bert, store=Store(tmp_path)).load(
            PROOF_TASKS["topic"], samples_of(["a"], ["b"]), SilentProgress()
        )
    assert 'pip install "euds[train]"' in str(caught.value)


@pytest.mark.models
def test_a_real_encoder_tells_topics_apart(tmp_path):
    datasets.write("bbc-news", tmp_path / "bbc.jsonl", rows=120)
    pool = read(tmp_path / "bbc.jsonl").frame
    samples = samples_of(pool["text"].to_list(), pool["label"].to_list())
    probe = Probe(resolve("minilm-l6"), max_tokens=32, store=Store(tmp_path))
    course = probe.load(PROOF_TASKS["topic"], samples, SilentProgress())
    ask = range(0, 120, 3)  # the file is sorted by topic
    found = answers(course, sorted({*range(120)} - {*ask}), ask, 50.0)
    right = [samples.labels[row] for row in ask]
    assert np.mean([one == other for one, other in zip(found, right, strict=True)]) > 0.85
