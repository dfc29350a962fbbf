"""Damaged and hostile bytes give a result or an error of ours, whatever takes them, and soon.

`benchmarks/fuzz.py` looks for more, guided by coverage; what it found stands here as an example.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from euds.errors import ModelError, StoreError
from euds.models.checking import check_layers
from tests.fuzz_targets import NAMES, target

MODELS = ("model.safetensors", "config.json", "tokenizer.json", "modules.json", "pooling", "gguf")
EXAMPLES = 40
SLOW_EXAMPLES = 12
SLOWEST = timedelta(seconds=30)  # of one example; a busy machine is no failure
TOKENS = (
    *(b'"', b"{}", b"[", b"]", b"null", b"\0", b"\n", b"\r", b"-1", b"1e999", b"9" * 20, b","),
    *(b"\\ud800", b"\xff\xff\xff\xff", b"true", b'""', b"\t", b"\xef\xbb\xbf", b"{text}", b"../"),
)

places = st.integers(0, 1 << 16)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("set"), places, st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("insert"), places, st.sampled_from(TOKENS)),
        st.tuples(st.just("delete"), places, st.integers(1, 40)),
        st.tuples(st.just("repeat"), places, st.integers(1, 60)),
        st.tuples(st.just("cut"), places, st.just(0)),
    ),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, steps) -> bytes:
    for what, place, more in steps:
        at = place % (len(data) + 1)
        if what == "set":
            data = data[:at] + more + data[at + len(more) :]
        elif what == "insert":
            data = data[:at] + more + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + more :]
        elif what == "repeat":
            data = data[: at + more] + data[at:]
        else:
            data = data[:at]
    return data


def put(name: str, data: bytes) -> bool:
    """Put bytes to a target; whatever is no error of ours is a failure, a panic of Rust as well."""
    try:
        return target(name)(data)
    except Exception:
        raise
    except BaseException as panic:
        if isinstance(panic, KeyboardInterrupt):
            raise
        raise AssertionError(f"{type(panic).__name__}: {panic}") from panic


@pytest.mark.parametrize("name", NAMES)
def test_what_is_whole_is_taken(name):
    assert all(put(name, seed) for seed in target(name).seeds)


@pytest.mark.slow  # what such bytes once broke stands below, and in the corpus
@pytest.mark.parametrize("name", NAMES)
def test_what_was_changed_is_taken_or_refused(name):
    one = target(name)

    @settings(
        derandomize=True,
        database=None,
        deadline=SLOWEST,
        max_examples=SLOW_EXAMPLES if one.slow else EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(one.seeds), changes)
    def check(seed, steps):
        put(name, one.pack(changed(one.unpack(seed), steps)))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in MODELS])
def test_arbitrary_bytes_are_taken_or_refused(name):
    @settings(
        derandomize=True,
        database=None,
        deadline=SLOWEST,
        max_examples=SLOW_EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=200))
    def check(data):
        put(name, data)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_what_a_campaign_kept_is_taken_or_refused(name):
    kept = Path("benchmarks/corpus") / f"{name.replace(' ', '-')}.json"
    inputs = [base64.b64decode(text) for text in json.loads(kept.read_text())]
    assert inputs
    one = target(name)
    for data in inputs:
        put(name, one.pack(data))


# ---- what was found --------------------------------------------------------------------------

DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "name",
    [
        *("manifest", "source of the pool", "provenance of scores", "training inside"),
        *("safetensors", "config.json", "tokenizer.json", "modules.json", "pooling"),
    ],
)
def test_json_that_is_nested_too_deeply(name):
    started = time.perf_counter()
    put(name, target(name).pack(DEEP))
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(
    "told",
    [
        *([], 1, None, {}, {"format": "jsonl"}),
        {"columns": 1},
        {"columns": [1]},
        {"encoding": "base64"},
        {"encoding": "no such"},
        {"encoding": 3},
        {"format": "folder"},
        {"format": "xml"},
        {"bom": "yes"},
        {"text": 4},
        {"more": 1},
    ],
)
def test_a_pool_that_tells_of_another_input(told):
    whole = json.loads(target("source of the pool").seeds[0])
    if isinstance(told, dict) and told.get("format") != "jsonl":
        told = {**whole, **told} if told else {}
    assert not put("source of the pool", json.dumps(told).encode())


@pytest.mark.parametrize(
    "told",
    [
        *([], None, {"stages": [1]}, {"stages": {}}, {"inputs": "a"}, {"ie": 3}),
        {"settings": None, "pool": 1},
    ],
)
def test_scores_that_tell_something_else(told):
    assert not put("provenance of scores", json.dumps(told).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": "a.jsonl"},
        {"inputs": [1]},
        {"summary": []},
        {"checksums": 3},
        {"manifest_version": "1"},
    ],
)
def test_a_manifest_with_other_parts(change):
    whole = json.loads(target("manifest").seeds[0])
    assert not put("manifest", json.dumps({**whole, **change}).encode())


def test_half_a_character_in_a_message_can_be_shown():
    source = json.loads(target("source of the pool").seeds[0])
    hurt = {**source, "suffix": "\ud800.jsonl"}
    assert not put("source of the pool", json.dumps(hurt).encode())
    assert not put("pooling", b'{"pooling_mode": "\\ud800mean"}')
    assert str(StoreError("what", got="\ud800")) == "what\n  got:      \\ud800"


def test_a_training_of_endless_steps_is_made_again():
    whole = target("training inside")
    content = json.loads(whole.unpack(whole.seeds[0]))
    put("training inside", whole.pack(json.dumps({**content, "steps": float("inf")}).encode()))


def as_parquet(frame: pl.DataFrame, tmp_path) -> bytes:
    frame.write_parquet(tmp_path / "a")
    return (tmp_path / "a").read_bytes()


@pytest.mark.parametrize("what", ["no rows", "another id", "no reason", "another type", "a column"])
def test_a_selection_of_other_rows_or_columns(what, tmp_path):
    (tmp_path / "whole").write_bytes(target("selection").seeds[0])
    frame = pl.read_parquet(tmp_path / "whole")
    other = {
        "no rows": frame.clear(),
        "another id": frame.with_columns(id=pl.col("id") + "x"),
        "no reason": frame.with_columns(reason=pl.lit(None, pl.String)),
        "another type": frame.with_columns(kept=pl.lit("yes")),
        "a column": frame.drop("duplicate_of"),
    }[what]
    assert not put("selection", as_parquet(other, tmp_path))


def test_a_table_without_keys_in_the_store(tmp_path):
    assert not put("store", as_parquet(pl.DataFrame({"x": [1]}), tmp_path))


def test_a_parquet_file_on_which_polars_panics(tmp_path):
    """Its reader ends in a panic, which is no exception, for one changed byte in a few hundred."""
    whole = target("parquet").seeds[1][1:]
    panics = 0
    for place in range(4, len(whole), 3):
        data = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        panics += not put("parquet", b"\x01" + data)
    assert panics, "some were refused"


@pytest.mark.parametrize("told", [{"num_hidden_layers": 10**9}, {"text_config": {"n_layer": 99}}])
def test_a_model_cannot_speak_of_more_layers_than_it_has_tensors(told, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(target("safetensors").seeds[0])
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match="1 tensors"):
        check_layers(tmp_path)
    assert not put("config.json", json.dumps({"model_type": "bert", **told}).encode())


@pytest.mark.parametrize("name", ["llama.block_count", "llama.embedding_length"])
def test_a_gguf_file_cannot_speak_of_layers_and_widths_that_it_has_not(name):
    (whole,) = target("gguf").seeds
    place = whole.index(name.encode()) + len(name) + 4  # past the name and the type of the value
    assert not put("gguf", whole[:place] + (10**9).to_bytes(4, "little") + whole[place + 4 :])


@pytest.mark.parametrize("name", ["llama.block_count", "llama.embedding_length"])
def test_a_gguf_file_that_leaves_a_size_out_gets_no_usual_one_instead(name):
    (whole,) = target("gguf").seeds
    other = name.replace("_", "-", 1)
    assert not put("gguf", whole.replace(name.encode(), other.encode()))


def test_a_gguf_file_that_lacks_weights_gets_no_random_ones():
    (whole,) = target("gguf").seeds
    assert not put("gguf", whole.replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight"))


@pytest.mark.parametrize("size", [2**63, 2**40, 100])
def test_a_header_of_weights_that_is_longer_than_its_file(size, tmp_path):
    assert not put("safetensors", size.to_bytes(8, "little") + b"{}")
