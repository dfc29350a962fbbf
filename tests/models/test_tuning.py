"""Trying out a model: bfloat16 where it ranks as float32 does, once a model and machine."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM

from euds.errors import OptionError
from euds.models import hardware
from euds.models import tuning as trial
from euds.models.sources import resolve
from euds.models.transformers_lm import TransformersLM
from euds.models.tuning import TRIAL_TEXTS, try_out
from euds.progress import SilentProgress
from euds.scoring.score import score
from euds.scoring.store.disk import Store
from tests.conftest import make_pool
from tests.models.conftest import make_model, make_tokenizer


class Notes(SilentProgress):
    def __init__(self):
        self.messages = []

    def note(self, message):
        self.messages.append(message)


@pytest.fixture(autouse=True)
def _fast_bfloat16(empty_cache, monkeypatch):
    monkeypatch.setattr(hardware, "_has_fast_bfloat16", lambda: True)


def save(folder, *, offset=0.0):
    """Save a tiny model whose predictions follow from the last token alone, with little rounding.

    An offset of all embeddings hides what is different about them from eight bits of precision.
    """
    tokenizer = make_tokenizer()
    model = make_model("llama", len(tokenizer))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weights.zero_()
        model.get_input_embeddings().weight += offset
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve(str(folder))


@pytest.fixture
def robust(tmp_path):
    return save(tmp_path / "robust")


@pytest.fixture
def fragile(tmp_path):
    return save(tmp_path / "fragile", offset=100.0)


@pytest.fixture
def loads(monkeypatch):
    """Count the models that are loaded, by precision."""
    loaded = []
    load = TransformersLM.load

    def counting(folder, *, precision, **options):
        loaded.append(precision)
        return load(folder, precision=precision, **options)

    monkeypatch.setattr(TransformersLM, "load", counting)
    return loaded


def files(cache):
    return sorted((cache / "models" / "trials").glob("*.json"))


def test_bfloat16_is_taken_where_it_ranks_as_float32_does(robust, loads, empty_cache):
    notes = Notes()
    tuning = try_out(robust, "auto", notes)
    assert tuning.precision == "bfloat16"
    assert loads == ["float32", "bfloat16"]
    assert len(notes.messages) == 1
    assert len(files(empty_cache)) == 1


def test_a_model_that_bfloat16_reorders_computes_in_float32(fragile):
    notes = Notes()
    tuning = try_out(fragile, "auto", notes)
    assert tuning.precision == "float32"
    assert "in another order" in tuning.why
    assert "will compute in float32" in notes.messages[1]


def test_the_correlations_are_those_of_naive_passes(robust, empty_cache):
    try_out(robust, "auto", SilentProgress())
    (path,) = files(empty_cache)
    found = json.loads(path.read_text())["found"]["spearman"]
    means = {}
    tokenizer = make_tokenizer()
    for dtype in (torch.float32, torch.bfloat16):
        model = AutoModelForCausalLM.from_pretrained(robust.folder, dtype=dtype).eval()
        rows = []
        for text in TRIAL_TEXTS:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"][:63]
            with torch.no_grad():
                logits = model(torch.tensor([[0, *ids]])).logits[0, :-1].float()
            log_probs = torch.log_softmax(logits, -1)
            entropies = -(log_probs.exp() * log_probs).sum(-1)
            nlls = -log_probs.gather(-1, torch.tensor(ids)[:, None])
            rows.append((float(entropies.mean()), float(nlls.mean())))
        means[dtype] = np.array(rows)
    for column, name in enumerate(("entropy", "surprise")):
        expected = spearmanr(means[torch.float32][:, column], means[torch.bfloat16][:, column])
        assert found[name] == pytest.approx(expected.statistic, abs=2e-3)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 1.0])
def test_what_is_not_finite_or_always_the_same_agrees_with_nothing(spoilt):
    exact = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    found = np.array([[1.0, 2.0, 3.0], [1.0, spoilt, 1.0]])
    first, second = trial._correlations(exact, found)
    assert first == pytest.approx(1.0)
    assert not second >= 0.998


@pytest.mark.parametrize(("rho", "expected"), [(0.9981, "bfloat16"), (0.9979, "float32")])
@pytest.mark.parametrize("place", [0, 1])
def test_entropy_and_surprise_must_both_agree(robust, monkeypatch, place, rho, expected):
    correlations = [1.0, 1.0]
    correlations[place] = rho
    monkeypatch.setattr(trial, "_correlations", lambda *_: correlations)
    assert try_out(robust, "auto", SilentProgress()).precision == expected


# The cache ----------------------------------------------------------------------------------------


def test_a_trial_is_not_repeated(robust, loads):
    first = try_out(robust, "auto", SilentProgress())
    loads.clear()
    notes = Notes()
    assert try_out(robust, "auto", notes) == first
    assert loads == []
    assert notes.messages == []


@pytest.mark.parametrize("content", [b"", b"[]", b'{"key": {}}', b"\xff\x00"])
def test_a_damaged_file_is_made_again(robust, loads, empty_cache, content):
    first = try_out(robust, "auto", SilentProgress())
    (path,) = files(empty_cache)
    path.write_bytes(content)
    loads.clear()
    assert try_out(robust, "auto", SilentProgress()).precision == first.precision
    assert loads == ["float32", "bfloat16"]
    assert json.loads(path.read_text())["tuning"]["precision"] == first.precision


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("tuning", {"precision": "float16"}),
        ("tuning", {"batch_tokens": -1}),
        ("tuning", {"batch_tokens": "512"}),
        ("tuning", {"more": 1}),
        ("key", {"model": "another"}),
    ],
)
def test_a_file_that_says_what_no_trial_says_is_made_again(
    robust, loads, empty_cache, part, changes
):
    try_out(robust, "auto", SilentProgress())
    (path,) = files(empty_cache)
    content = json.loads(path.read_text())
    content[part].update(changes)
    path.write_text(json.dumps(content))
    loads.clear()
    try_out(robust, "auto", SilentProgress())
    assert len(loads) == 2


@pytest.mark.parametrize("part", ["processor", "cores", "gpus", "torch"])
def test_on_another_machine_it_is_tried_anew(robust, loads, monkeypatch, part):
    try_out(robust, "auto", SilentProgress())
    loads.clear()
    other = {**hardware.describe_machine(), part: "another"}
    monkeypatch.setattr(trial, "describe_machine", lambda: other)
    try_out(robust, "auto", SilentProgress())
    assert len(loads) == 2


def test_another_model_is_tried_for_itself(robust, fragile):
    assert try_out(robust, "auto", SilentProgress()).precision == "bfloat16"
    assert try_out(fragile, "auto", SilentProgress()).precision == "float32"
    assert try_out(robust, "auto", SilentProgress()).precision == "bfloat16"


def test_a_cache_that_cannot_be_written_costs_time_only(robust, empty_cache):
    (empty_cache / "models").mkdir(parents=True, exist_ok=True)
    (empty_cache / "models" / "trials").write_text("a file where the folder should be")
    assert try_out(robust, "auto", SilentProgress()).precision == "bfloat16"


# Where nothing is tried out -----------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_a_precision_that_was_asked_for_is_taken(fragile, loads, asked):
    notes = Notes()
    assert try_out(fragile, asked, notes).precision == asked
    assert loads == []
    assert notes.messages == []


def test_no_other_word_is_a_precision(robust):
    with pytest.raises(OptionError, match="no such precision"):
        try_out(robust, "float16", SilentProgress())


def test_without_fast_bfloat16_it_is_float32(robust, loads, monkeypatch, caplog):
    monkeypatch.setattr(hardware, "_has_fast_bfloat16", lambda: False)
    with caplog.at_level("INFO", logger="euds"):
        tuning = try_out(robust, "auto", SilentProgress())
    assert tuning.precision == "float32"
    assert "no fast bfloat16" in tuning.why
    assert "no fast bfloat16" in caplog.text
    assert loads == []


def test_the_toy_is_not_tried_out(loads):
    notes = Notes()
    try_out(resolve("toy"), "auto", notes)
    assert notes.messages == []


def test_a_model_too_large_for_float32_is_not_tried_out(robust, loads, monkeypatch, empty_cache):
    monkeypatch.setattr(trial, "free_bytes", lambda: 1000)
    tuning = try_out(robust, "auto", SilentProgress())
    assert tuning.precision == "bfloat16"
    assert "not tried out" in tuning.why
    assert loads == []
    assert files(empty_cache) == []


def test_the_size_in_float32_is_told_from_the_files(robust):
    model = AutoModelForCausalLM.from_pretrained(robust.folder)
    weights = {tensor.data_ptr(): tensor.numel() for tensor in model.state_dict().values()}
    assert hardware.float32_bytes(robust.folder) == 4 * sum(weights.values())
    half = robust.folder.parent / "half"
    model.to(torch.bfloat16).save_pretrained(half)
    assert hardware.float32_bytes(half) == hardware.float32_bytes(robust.folder)


def test_free_memory_is_what_the_system_says(tmp_path, monkeypatch):
    listed = tmp_path / "meminfo"
    listed.write_text("MemTotal:       999 kB\nMemAvailable:       12 kB\n")
    monkeypatch.setattr(hardware, "may_have_gpu", lambda: False)
    monkeypatch.setattr(hardware, "_MEMORY_LIST", listed)
    assert hardware.free_bytes() == 12 * 1024
    monkeypatch.setattr(hardware, "_MEMORY_LIST", tmp_path / "none")
    assert hardware.free_bytes() is None


# Batch sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([100.0, 100.0, 109.0], None),
        ([100.0, 150.0, 100.0, 120.0, 100.0], 1024),
        ([100.0, 100.0, 130.0, 120.0, 100.0], 2048),
        ([100.0, 100.0, 150.0, 105.0, 100.0], None),
    ],
)
def test_another_batch_size_must_be_faster_by_a_tenth_twice(llama, monkeypatch, rates, expected):
    lm = dataclasses.replace(llama, batch_tokens=512)
    left = list(rates)
    monkeypatch.setattr(trial, "_rate", lambda *_: left.pop(0))
    chosen, told = trial._fastest_batches(lm)
    assert chosen == expected
    assert left == []
    assert told == dict(zip(("512", "1024", "2048"), rates, strict=False))


def test_a_rate_is_tokens_over_seconds(llama, monkeypatch):
    clock = iter([10.0, 14.0])
    monkeypatch.setattr(trial.time, "perf_counter", lambda: next(clock))
    tokens = sum(len(llama.tokens.encode([text])[0]) for text in ["a cat", "The film"])
    workers = torch.get_num_threads()
    assert trial._rate(llama, 64, ["a cat", "The film"]) == workers * tokens / 4


# The machine --------------------------------------------------------------------------------------


def test_the_machine_is_told_by_the_systems_files(tmp_path, monkeypatch):
    processors = tmp_path / "cpuinfo"
    processors.write_text("processor\t: 0\nmodel name\t: Fast CPU\nmodel name\t: other\n")
    cards = tmp_path / "gpus"
    for number, name in enumerate(("Big GPU", "Small GPU")):
        (cards / f"0000:0{number}").mkdir(parents=True)
        (cards / f"0000:0{number}" / "information").write_text(f"Model: \t\t {name}\nIRQ: 5\n")
    monkeypatch.setattr(hardware, "_CPU_LIST", processors)
    monkeypatch.setattr(hardware, "_NVIDIA_LIST", cards)
    told = hardware.describe_machine()
    assert told["processor"] == "Fast CPU"
    assert told["gpus"] == ["Big GPU", "Small GPU"]
    # A package's version may say less than the module's own: 2.13.0, and 2.13.0+cu130.
    assert told["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert told["cores"] >= 1
    monkeypatch.setattr(hardware, "_CPU_LIST", tmp_path / "none")
    assert hardware.describe_machine()["processor"]


# In scoring ---------------------------------------------------------------------------------------

TEXTS = ["the film was very good", "a bad book and a cat", "the cat is good and very bad"]


def scored(reference, store, **settings):
    return score(
        make_pool(TEXTS),
        ["ie", "ge"],
        model=str(reference.folder),
        store=store,
        progress=SilentProgress(),
        **settings,
    )


def test_scores_are_made_in_the_precision_that_the_trial_chose(fragile, robust, tmp_path):
    for reference, expected in ((fragile, "float32"), (robust, "bfloat16")):
        table = scored(reference, Store(tmp_path))
        assert table.provenance["ge"]["precision"] == expected
        assert table.provenance["precision"]["chosen"] == expected
        asked = scored(reference, Store(tmp_path), precision=expected)
        assert asked.frame.equals(table.frame)
        assert asked.provenance["stages"][0]["measured"] == 0


def test_a_mistake_does_not_cost_the_time_of_a_trial(robust, loads, tmp_path):
    with pytest.raises(OptionError, match="closed set"):
        score(
            make_pool(TEXTS),
            ["ge", "se"],
            task="topic",
            model=str(robust.folder),
            store=Store(tmp_path),
            progress=SilentProgress(),
        )
    assert loads == []


def test_what_is_in_the_store_needs_no_torch(robust, tmp_path):
    pool = tmp_path / "pool.jsonl"
    pool.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    script = (
        "import sys, euds\n"
        "from euds.models import hardware\n"
        "from euds.progress import SilentProgress\n"
        "from euds.scoring.store.disk import Store\n"
        "hardware._has_fast_bfloat16 = lambda: True\n"
        "from pathlib import Path\n"
        f"store = Store(Path({str(tmp_path / 'store')!r}))\n"
        f"settings = dict(model={str(robust.folder)!r}, store=store)\n"
        f"pool = euds.read({str(pool)!r})\n"
        "table = euds.score(pool, ['ge'], progress=SilentProgress(), **settings)\n"
        "print(table.provenance['stages'][0]['measured'], 'torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", script]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(2)
    )
    assert first == ["3", "True"]
    assert second == ["0", "False"]
