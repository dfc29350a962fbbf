import json

import numpy as np
import pytest
import torch

from euds.errors import ModelError
from euds.models import load_encoder
from euds.models.protocols import Encoder
from euds.models.transformers_encoder import TransformersEncoder
from tests.models.conftest import save_bert

TEXTS = ["The film was good.", "", "a cat", "A cat sat on the mat, and nobody asked.", "a cat"]


@pytest.fixture
def folder(tmp_path):
    return save_bert(tmp_path / "bert")


def pooled_by(folder, settings):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return TransformersEncoder.load(folder, precision="float32")


def naive_vectors(encoder, texts, *, pool=lambda states: states.mean(0)):
    """Encode each text by itself, in float64."""
    model = encoder.model.double()
    rows = []
    for text in texts:
        ids = encoder.tokenizer(text, truncation=True, max_length=128)["input_ids"]
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        vector = pool(states).numpy()
        rows.append(vector / np.linalg.norm(vector))
    encoder.model.float()
    return np.array(rows)


def test_it_equals_a_naive_mean(folder):
    encoder = TransformersEncoder.load(folder, precision="float32")
    texts = [text for text in TEXTS if text]
    vectors = encoder.encode(texts)
    assert isinstance(encoder, Encoder)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, naive_vectors(encoder, texts), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(vectors[1], vectors[3])


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode": "cls"},
    ],
)
def test_the_first_token_where_the_model_says_so(folder, settings):
    encoder = pooled_by(folder, settings)
    vectors = encoder.encode(["a cat", "The film"])
    expected = naive_vectors(encoder, ["a cat", "The film"], pool=lambda states: states[0])
    np.testing.assert_allclose(vectors, expected, atol=2e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {},
    ],
)
def test_an_unknown_pooling_is_refused(folder, settings):
    with pytest.raises(ModelError, match="pools its tokens"):
        pooled_by(folder, settings)


def test_an_unknown_layer_on_top_is_refused(folder):
    modules = [{"type": "sentence_transformers.models.Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="layer on top"):
        TransformersEncoder.load(folder, precision="float32")


def test_a_broken_settings_file_is_named(folder):
    (folder / "modules.json").write_text("{")
    with pytest.raises(ModelError, match="no JSON"):
        TransformersEncoder.load(folder, precision="float32")


def test_batches_do_not_show(folder):
    encoder = TransformersEncoder.load(folder, precision="float32")
    together = encoder.encode(["a cat", "The film was good."] * 20)
    for index, text in enumerate(["a cat", "The film was good."]):
        np.testing.assert_allclose(together[index], encoder.encode([text])[0], atol=1e-6)


def test_long_texts_are_cut_and_none_are_none(folder):
    encoder = TransformersEncoder.load(folder, precision="float32")
    long, cut = encoder.encode(["cat " * 500, "cat " * 501])
    np.testing.assert_array_equal(long, cut)
    assert encoder.encode([]).shape == (0, 32)


@pytest.mark.models
def test_minilm_knows_what_is_similar(minilm):
    encoder = load_encoder(minilm)
    texts = [
        "The stock market fell sharply today.",
        "Shares dropped a lot this afternoon.",
        "My cat likes to sleep in the sun.",
    ]
    vectors = encoder.encode(texts)
    assert vectors.shape == (3, 384)
    similar, dissimilar = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert similar > 0.5
    assert dissimilar < 0.2
    np.testing.assert_allclose(vectors, naive_vectors(encoder, texts), atol=2e-6)
