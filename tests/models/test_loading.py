import importlib
import json
import sys
import warnings
from pathlib import Path

import pytest
import torch

from euds.errors import MissingExtraError, ModelError, OptionError
from euds.models import (
    hardware,
    load_encoder,
    load_entailment_model,
    load_language_model,
    resolve_precision,
)
from euds.models.extras import quiet_transformers
from euds.models.markov_lm import MarkovLM
from euds.models.sources import resolve
from euds.models.transformers_lm import TransformersLM
from tests.models.conftest import make_model, make_tokenizer, save_bert


@pytest.fixture
def saved(tmp_path: Path, empty_cache: Path) -> Path:
    folder = tmp_path / "llama"
    tokenizer = make_tokenizer()
    make_model("llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_is_loaded_once(saved):
    reference = resolve(str(saved))
    model = load_language_model(reference, precision="float32")
    assert isinstance(model, TransformersLM)
    assert load_language_model(reference, precision="float32") is model
    other = load_language_model(reference, precision="float32", batch_tokens=33)
    assert isinstance(other, TransformersLM)
    assert other.network is model.network
    assert other.batch_tokens == 33


def test_the_precision_is_the_weights(saved):
    model = load_language_model(resolve(str(saved)), precision="bfloat16")
    assert isinstance(model, TransformersLM)
    assert model.network.model.dtype == torch.bfloat16
    (found,) = model.token_statistics(["film"], [None], max_tokens=9, max_context_tokens=0)
    assert found.entropy_nats.dtype == "float32"


def test_the_oldest_of_three_is_forgotten(saved, tmp_path):
    encoder_folder = save_bert(tmp_path / "bert")
    first = load_language_model(resolve(str(saved)), precision="float32")
    encoder = load_encoder(resolve(str(encoder_folder)))
    assert load_language_model(resolve(str(saved)), precision="float32") is first
    load_language_model(resolve(str(saved)), precision="bfloat16")
    assert load_language_model(resolve(str(saved)), precision="float32") is first
    assert load_encoder(resolve(str(encoder_folder))) is not encoder


def test_the_toy():
    assert isinstance(load_language_model(resolve("toy")), MarkovLM)
    with pytest.raises(ModelError, match="not a sentence encoder"):
        load_encoder(resolve("toy"))
    with pytest.raises(ModelError, match="not an entailment model"):
        load_entailment_model(resolve("toy"))


def test_a_model_that_needs_code_of_its_own(saved):
    config = json.loads((saved / "config.json").read_text())
    config["model_type"] = "home-made"
    config["auto_map"] = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "code.py").write_text("raise SystemExit('the code was run')")
    with pytest.raises(ModelError, match="never runs"):
        load_language_model(resolve(str(saved)))


def test_a_model_that_cannot_be_loaded(saved):
    (saved / "config.json").write_text('{"model_type": "no-such-type"}')
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_language_model(resolve(str(saved)))
    assert "\n" not in str(caught.value.got)


def test_loading_is_silent_and_leaves_the_users_settings(saved, capfd):
    logging = importlib.import_module("transformers.utils.logging")
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_language_model(resolve(str(saved)), precision="float32")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_warnings_are_silent_inside_only():
    with quiet_transformers():
        warnings.warn("inside", stacklevel=1)
    with pytest.warns(UserWarning, match="outside"):
        warnings.warn("outside", stacklevel=1)


def test_a_missing_package_is_one_sentence(saved, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("euds.models.transformers_lm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("euds.models.transformers_lm", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="a language model needs the package 'torch'"):
        load_language_model(resolve(str(saved)))


# Precision ----------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be on a machine with these processor flags and no GPU."""

    def pretend(flags: frozenset[str] | None) -> None:
        hardware._has_fast_bfloat16.cache_clear()
        monkeypatch.setattr(hardware, "_cpu_flags", lambda: flags)
        monkeypatch.setattr(hardware, "_GPU_DEVICES", ("/dev/no-such-device",))

    yield pretend
    hardware._has_fast_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (frozenset({"avx512f", "avx512_bf16"}), "bfloat16"),
        (frozenset({"amx_bf16"}), "bfloat16"),
        (frozenset({"avx2"}), "float32"),
        (frozenset(), "float32"),
    ],
)
def test_auto_follows_the_processor(machine, flags, expected):
    machine(flags)
    assert resolve_precision("auto") == expected


def test_auto_asks_torch_where_the_system_does_not_say(machine, monkeypatch):
    machine(None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert resolve_precision("auto") == "bfloat16"


def test_a_named_precision_is_taken():
    assert resolve_precision("float32") == "float32"
    assert resolve_precision("bfloat16") == "bfloat16"
    with pytest.raises(OptionError, match="no such precision"):
        resolve_precision("float16")
