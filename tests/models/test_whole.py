"""Models that lack weights, or whose settings are not those of their weights."""

import json

import pytest

from euds.errors import ModelError
from euds.models.loading import load_encoder, load_entailment_model, load_language_model
from euds.models.sources import resolve
from euds.proof.training.goals import ClassGoal
from euds.proof.training.initial_model import InitialModel, load_tokenizer
from euds.proof.training.protocol import Samples
from tests.models.conftest import save_bert


@pytest.fixture
def encoder(tmp_path):
    return save_bert(tmp_path / "encoder")


def test_an_encoder_is_no_language_model(encoder):
    # Transformers makes up the head that it lacks, and says so where nobody looks.
    with pytest.raises(ModelError, match="no language model") as caught:
        load_language_model(resolve(str(encoder)), precision="float32")
    assert "cls.predictions" in str(caught.value)
    assert load_encoder(resolve(str(encoder))).encode(["a text"]).shape == (1, 32)


def test_an_encoder_judges_no_entailment(encoder):
    config = json.loads((encoder / "config.json").read_text())
    config["id2label"] = {"0": "entailment", "1": "neutral", "2": "contradiction"}
    (encoder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no model that judges entailment"):
        load_entailment_model(resolve(str(encoder)))


@pytest.mark.parametrize("settings", [{}, {"num_hidden_layers": 2, "vocab_size": 10**8}])
@pytest.mark.parametrize("load", [load_language_model, load_encoder, load_entailment_model])
@pytest.mark.timeout(60)
def test_settings_of_a_larger_model_take_no_memory(encoder, settings, load):
    """Without sizes transformers means those of a model of seven billion parameters."""
    (encoder / "config.json").write_text(json.dumps({"model_type": "llama", **settings}))
    with pytest.raises(ModelError, match="settings are not those of its weights") as caught:
        load(resolve(str(encoder)))
    assert "27,744" in str(caught.value)  # parameters of the weights that are there


def test_nor_where_one_is_to_be_trained(encoder):
    tokenizer = load_tokenizer(encoder)
    (encoder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    goal = ClassGoal(Samples(["k"], ["a text"], [None], ["good"]))
    with pytest.raises(ModelError, match="settings are not those of its weights"):
        InitialModel.load(encoder, goal, tokenizer)
