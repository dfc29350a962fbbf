"""Sentence vectors: each text is encoded once, for all runs, whatever the order and the company."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from euds.errors import InputError, ModelError, OptionError
from euds.pool.pool import Texts, text_key
from euds.scoring import vectors
from euds.scoring.engines.local import LocalEngine
from euds.scoring.scorers.base import recipe_of
from euds.scoring.store.disk import Store
from euds.scoring.vectors import SentenceVectors, Vectors, vectors_of
from tests.models.conftest import save_bert

TEXTS = ["The film was good.", "a cat", "A cat sat on the mat.", "Is the answer yes or no?"]


@dataclass
class Counting:
    """Runs like the local engine and remembers the texts that reached a model."""

    measured: list = field(default_factory=list)

    def run(self, measurement, shards):
        kept = list(shards)
        self.measured += [text for shard in kept for text in shard.texts]
        yield from LocalEngine().run(measurement, kept)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("encoder")))


@pytest.fixture
def encode(bert, tmp_path):
    """Measure with a tiny encoder, through a store of this test."""

    def measure(texts, contexts=None, **settings):
        return vectors_of(
            Texts.of(texts, contexts), encoder=bert, store=Store(tmp_path), **settings
        )

    return measure


def test_a_vector_has_length_one_and_its_texts_key(encode):
    found = encode(TEXTS)
    assert found.keys == tuple(sorted(map(text_key, TEXTS)))
    assert found.array.dtype == np.float32
    assert found.array.shape == (4, 32)
    np.testing.assert_allclose(np.linalg.norm(found.array, axis=1), 1.0, atol=1e-6)


def test_what_was_measured_is_never_measured_again(encode):
    first, second, grown = Counting(), Counting(), Counting()
    before = encode(TEXTS, engine=first)
    after = encode(TEXTS, engine=second)
    encode([*TEXTS, "a bad book"], engine=grown)
    assert sorted(first.measured) == sorted(TEXTS)
    assert second.measured == []
    assert grown.measured == ["a bad book"]
    np.testing.assert_array_equal(after.array, before.array)
    assert after.seconds == pytest.approx(before.seconds)
    assert after.seconds > 0


def test_neither_order_nor_company_changes_a_vector(bert, tmp_path):
    def measure(texts, folder):
        return vectors_of(Texts.of(texts), encoder=bert, store=Store(tmp_path / folder))

    together = measure([*TEXTS, "a bad book", "the mat"], "together")
    backwards = measure(TEXTS[::-1], "backwards")
    for index, text in enumerate(TEXTS):
        row = together.of([text_key(text)])
        np.testing.assert_allclose(backwards.of([text_key(text)]), row, atol=1e-6)
        np.testing.assert_allclose(measure([text], f"alone-{index}").array, row, atol=1e-6)


def test_rows_come_in_the_order_of_the_keys_asked_for(encode):
    found = encode(TEXTS)
    asked = [text_key(text) for text in (TEXTS[2], TEXTS[0], TEXTS[2])]
    rows = found.of(asked)
    np.testing.assert_array_equal(rows[0], rows[2])
    for row, key in zip(rows, asked, strict=True):
        np.testing.assert_array_equal(row, found.array[found.keys.index(key)])


def test_a_key_without_a_vector_is_named():
    found = Vectors(("a", "b"), np.eye(2, dtype=np.float32), None)
    with pytest.raises(InputError, match="1 of 2 texts have no vector") as caught:
        found.of(["a", "c"])
    assert "the key c" in str(caught.value)
    assert found.of([]).shape == (0, 2)


def test_text_and_context_are_read_as_one_with_the_text_first(encode):
    pair = encode(["Is it good?"], ["The film was very good."])
    whole = encode(["Is it good?\nThe film was very good."])
    np.testing.assert_array_equal(pair.array, whole.array)
    assert pair.keys != whole.keys
    other = encode(["The film was very good."], ["Is it good?"])
    assert np.abs(other.array - pair.array).max() > 1e-3


def test_what_lies_behind_the_cut_changes_nothing(encode):
    short, long = encode(["cat"] * 2, ["the mat " * 20, "the mat " * 20 + "bad"]).array
    assert np.abs(short - long).max() > 1e-4
    short, long = encode(
        ["cat"] * 2, ["the mat " * 20, "the mat " * 20 + "bad"], max_tokens=16
    ).array
    np.testing.assert_array_equal(short, long)


def test_the_recipe_is_encoder_precision_and_cut(bert):
    reference = vectors.resolve(bert)
    recipe = recipe_of(SentenceVectors(reference, "float32", 16))
    assert recipe["parameters"] == {
        "encoder": reference.fingerprint,
        "precision": "float32",
        "max_tokens": 16,
    }


def test_senseless_requests_are_refused(encode):
    with pytest.raises(OptionError, match="no texts"):
        encode([])
    with pytest.raises(OptionError, match="max-tokens"):
        encode(TEXTS, max_tokens=2)


def test_a_vector_that_is_not_finite_is_the_models_fault(encode):
    class Spoilt:
        def run(self, measurement, shards):
            for shard in shards:
                spoilt = np.full((len(shard), 3), np.nan, dtype=np.float32)
                yield pl.DataFrame({"key": shard.keys, "vector": spoilt})

    with pytest.raises(ModelError, match="not finite"):
        encode(TEXTS, engine=Spoilt())
