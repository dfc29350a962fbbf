"""Rows of products keep their bits in every company; the arithmetic library is a fake one here."""

import pytest
import torch

from euds.models import rounding
from euds.models.hardware import resolve_precision
from euds.models.network import Network
from euds.models.rounding import Steadiness, SteadyLinear, steady_linear, steady_linears
from euds.models.transformers_encoder import TransformersEncoder
from tests.models.conftest import save_bert

OUTPUTS, INPUTS = 24, 16


def fake_library(odd):
    """A product whose bits depend on the number of rows as an odd kernel's would."""
    true = torch.nn.functional.linear

    def linear(rows, weight, bias=None):
        asked.append(len(rows))
        return true(rows, weight, bias) + (1 if odd(len(rows)) else 0)

    asked = []
    return linear, asked


@pytest.fixture(autouse=True)
def _forget():
    rounding.steadiness.cache_clear()
    yield
    rounding.steadiness.cache_clear()


CASES = {
    "none": (lambda count: False, Steadiness(0, few_too=True)),
    "a gap": (lambda count: 32 < count < 500, Steadiness(512, few_too=True)),
    "few and a gap": (lambda count: count < 300, Steadiness(384, few_too=False)),
    "few": (lambda count: count <= 32, Steadiness(33, few_too=False)),
}


@pytest.mark.parametrize("name", CASES)
def test_odd_numbers_of_rows_are_found_and_kept_away_from(name, monkeypatch):
    odd, expected = CASES[name]
    linear, asked = fake_library(odd)
    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    assert rounding.steadiness(OUTPUTS, INPUTS, 1) == expected
    layer = torch.nn.Linear(INPUTS, OUTPUTS).bfloat16()
    rows = torch.randn(3000, INPUTS).bfloat16()
    with torch.no_grad():
        right = torch.nn.Linear.forward(layer, rows)
        steady_linears(layer)
        assert type(layer) is SteadyLinear
        for count in (16, 31, 32, 33, 47, 64, 100, 127, 128, 129, 300, 511, 512, 3000):
            asked.clear()
            found = layer(rows[None, :count])[0]
            assert found.shape == (count, OUTPUTS)
            assert torch.equal(found, right[:count]), count
            assert not any(map(odd, asked))
            assert sum(asked) <= max(count + 31, expected.enough)


def test_what_is_not_bfloat16_is_left_alone(monkeypatch):
    layer = torch.nn.Linear(INPUTS, OUTPUTS)
    steady_linears(layer)
    assert type(layer) is torch.nn.Linear
    linear, asked = fake_library(lambda count: True)
    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    steady_linear(torch.ones(5, INPUTS), layer.weight, layer.bias)
    assert asked == [5]


@pytest.mark.skipif(resolve_precision() == "float32", reason="bfloat16 is emulated here")
@pytest.mark.parametrize(("outputs", "inputs"), [(576, 576), (192, 576), (96, 384), (1000, 130)])
def test_this_machine_rounds_a_row_alike_at_every_size(outputs, inputs):
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(outputs, inputs, generator=generator).bfloat16()
    rows = torch.randn(1500, inputs, generator=generator).bfloat16()
    among_many = steady_linear(rows, weight, None)
    for count in (16, 20, 32, 33, 40, 100, 191, 200, 575, 576, 577, 900):
        assert torch.equal(steady_linear(rows[:count], weight, None), among_many[:count]), count


def linear_layers(model):
    return [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU layers stay as they are")
def test_every_layer_of_a_model_that_is_loaded_in_bfloat16_is_steady(tmp_path, llama):
    llama.network.model.save_pretrained(tmp_path / "lm")
    encoder = save_bert(tmp_path / "encoder")
    for precision, expected in (("bfloat16", SteadyLinear), ("float32", torch.nn.Linear)):
        network = Network.load(tmp_path / "lm", precision=precision)
        loaded = TransformersEncoder.load(encoder, precision=precision)
        for model in (network.model, loaded.model):
            assert {type(layer) for layer in linear_layers(model)} == {expected}
        assert network.is_split
