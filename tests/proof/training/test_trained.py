"""Trainings are kept by what decides them, and damage is noticed."""

import logging

import numpy as np
import pytest

from euds.proof.training.protocol import Outcome, Samples
from euds.proof.training.trained import Training, TrainingStore

SAMPLES = Samples(
    keys=("k0", "k1", "k2", "t0", "t1"),
    texts=("zero", "one", "two", "ask", "ask more"),
    contexts=(None,) * 5,
    labels=("a", "b", "a", None, None),
)
RECIPE = {"trainer": "words", "version": 1, "parameters": {}, "task": "topic"}


def training(**changes):
    plain = {"fit": [0, 1], "ask": [3, 4], "seed": 0, "steps": None, "settings": {"rate": 0.1}}
    given = {**plain, **changes}
    return Training(
        np.array(given["fit"]),
        np.array(given["ask"]),
        given["seed"],
        given["steps"],
        given["settings"],
    )


def digest(recipe=None, samples=SAMPLES, **changes):
    return training(**changes).digest(recipe or RECIPE, samples)


def test_the_same_training_has_the_same_digest():
    assert digest() == digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"fit": [0, 2]},
        {"fit": [0]},
        {"ask": [4, 3]},
        {"seed": 1},
        {"steps": 10},
        {"settings": {"rate": 0.2}},
        {"recipe": {**RECIPE, "version": 2}},
    ],
)
def test_whatever_decides_a_training_changes_its_digest(changes):
    assert digest(**changes) != digest()


def test_another_label_is_another_training():
    other = Samples(SAMPLES.keys, SAMPLES.texts, SAMPLES.contexts, ("a", "a", "a", None, None))
    assert digest(samples=other) != digest()


def test_an_outcome_comes_back_as_it_was(tmp_path):
    store = TrainingStore(tmp_path / "trained")
    outcome = Outcome(("b", "a", "b", "ü \n"), 12, 3.5, 0.25)
    assert store.get("x" * 32) is None
    store.add("x" * 32, outcome)
    assert store.get("x" * 32) == outcome


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_is_trained_again(tmp_path, damage, caplog):
    store = TrainingStore(tmp_path)
    store.add("d", Outcome(("a", "b") * 50, 1, 1.0, 1.0))
    path = tmp_path / "d.json.zst"
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "cut": data[:middle],
            "flip": data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        assert store.get("d") is None
    assert "damaged" in caplog.text
