"""EL2N against a recursion by hand, and on labels that were flipped on purpose."""

import math

import numpy as np
import pytest

from euds.errors import OptionError
from euds.reading import datasets, read
from euds.scoring.store.disk import Store
from euds.scoring.vectors import vectors_of
from euds.selection.rules.labelled import el2n


def test_two_rows_by_hand():
    """Two rows at right angles, one of each class: a single number decides all of the head.

    By symmetry the head has a in the row's own class and -a in the other, and no bias. The error of
    a row is (1 - p, -(1 - p)) with p = 1 / (1 + exp(-2a)), and a step adds rate (1 - p) / 2.
    """
    rate, margin = 1.5, 0.0
    for _ in range(4):
        sure = 1 / (1 + math.exp(-2 * margin))
        margin += rate * (1 - sure) / 2
    expected = math.sqrt(2) * (1 - 1 / (1 + math.exp(-2 * margin)))
    scores = el2n(np.eye(2, dtype=np.float32), ["b", "a"], seed=0, epochs=4, learning_rate=rate)
    np.testing.assert_allclose(scores, [expected, expected], rtol=1e-12)


def test_equal_rows_of_different_classes_stay_open():
    vectors = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (4, 1))
    scores = el2n(vectors, ["a", "b", "a", "b"], seed=0)
    np.testing.assert_allclose(scores, math.sqrt(0.5), rtol=1e-12)


def test_a_single_class_leaves_no_error():
    np.testing.assert_array_equal(el2n(np.eye(3, dtype=np.float32), ["a"] * 3, seed=0), 0.0)
    assert el2n(np.empty((0, 3), dtype=np.float32), [], seed=0).shape == (0,)


@pytest.fixture(scope="module")
def blobs():
    """Four classes around four directions, one label in five flipped to another class."""
    draw = np.random.default_rng(5)
    classes = np.repeat(np.arange(4), 100)
    vectors = np.eye(4, 20)[classes] + draw.normal(scale=0.15, size=(400, 20))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flipped = draw.random(400) < 0.2
    labels = np.where(flipped, (classes + draw.integers(1, 4, size=400)) % 4, classes)
    return vectors.astype(np.float32), [f"class {label}" for label in labels], flipped


def share_above(scores, flipped):
    """Return how often a flipped row scores above another one: the area under the ROC curve."""
    return (scores[flipped][:, None] > scores[~flipped][None, :]).mean()


def test_flipped_labels_score_high(blobs):
    vectors, labels, flipped = blobs
    scores = el2n(vectors, labels, seed=0)
    assert share_above(scores, flipped) > 0.97
    assert scores.min() >= 0
    assert scores.max() <= math.sqrt(2)


@pytest.mark.models
def test_flipped_topics_of_real_texts_score_high(tmp_path):
    datasets.write("bbc-news", tmp_path / "bbc.jsonl", rows=200)
    pool = read(tmp_path / "bbc.jsonl", text="text", label="label")
    vectors = vectors_of(pool.texts, max_tokens=32, store=Store(tmp_path))
    names = pool.label_names
    flipped = np.random.default_rng(1).random(len(pool)) < 0.2
    labels = [
        names[(names.index(label) + flip) % len(names)]
        for label, flip in zip(pool.frame["label"], flipped.tolist(), strict=True)
    ]
    scores = el2n(vectors.of(pool.frame["key"].to_list()), labels, seed=0)
    assert share_above(scores, flipped) > 0.9


def test_seeds_draw_orders_and_runs_are_averaged(blobs):
    vectors, labels, _ = blobs
    one, again, other = (el2n(vectors, labels, seed=seed, runs=1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0
    settled = [el2n(vectors, labels, seed=seed, runs=8) for seed in (1, 2)]
    assert np.abs(settled[0] - settled[1]).mean() < np.abs(one - other).mean()


def test_names_of_classes_do_not_matter(blobs):
    vectors, labels, _ = blobs
    renamed = [{"class 0": "z", "class 1": "y", "class 2": "x"}.get(one, "w") for one in labels]
    np.testing.assert_allclose(
        el2n(vectors, renamed, seed=3), el2n(vectors, labels, seed=3), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (["a"], {}, "one label a row"),
        (["a", "b"], {"runs": 0}, "runs is too small"),
        (["a", "b"], {"epochs": 0}, "epochs is too small"),
        (["a", "b"], {"batch_rows": 0}, "batch rows is too small"),
    ],
)
def test_senseless_requests_are_refused(labels, settings, message):
    with pytest.raises(OptionError, match=message):
        el2n(np.eye(2, dtype=np.float32), labels, seed=0, **settings)
