"""Nothing of a pool's texts stays in the cache, nothing else goes, and a kill does no harm."""

import hashlib
import io
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from typer.testing import CliRunner

import euds
from euds.cli.app import app
from euds.errors import InputError, StoreError
from euds.files import atomic
from euds.proof.training.protocol import Outcome
from euds.proof.training.trained import TrainingStore
from euds.scoring.scorers import semantic_answers
from euds.scoring.store import disk as store_module
from euds.scoring.store.disk import Store
from euds.scoring.vectors import vectors_of
from tests.models.conftest import save_bert

WORDS = ["the", "film", "was", "good", "bad", "very", "plot", "actor", "dull", "moving", "cold"]
READING = {"text": "question", "context": "passage", "label": "stars"}
ANSWERS = {"name": "sampled-answers", "version": 2, "parameters": {"by": "hand"}}


def write(path, name, rows, *, seed):
    rng = random.Random(seed)
    with path.open("w") as stream:
        for index in range(rows):
            row = {
                "question": f"{name}text{index} {' '.join(rng.choices(WORDS, k=8))}",
                "passage": f"{name}context{index // 2} {' '.join(rng.choices(WORDS, k=12))}",
                "stars": rng.choice(["good", "bad"]),
            }
            stream.write(json.dumps(row) + "\n")
    return path


def command(*given, cwd, check=0):
    """Run a command in a folder, in this process, and check its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        ran = CliRunner().invoke(app, list(map(str, given)))
    assert ran.exit_code == check, (ran.output, ran.exception)
    return ran


def keys_by_hand(path):
    """Return all hashes that a text or context of a file is known by; independent of euds."""

    def hashed(*parts):
        return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()

    found = set()
    for row in map(json.loads, path.read_text().splitlines()):
        text, context = row["question"].encode(), row["passage"].encode()
        found.add(hashed(str(len(context)).encode() + b":", context, b"|", text))
        found |= {hashed(b"|", text), hashed(b"|", context)}
    return found


class HashedVectors:
    """An encoder without a model: a text's vector is a hash of it."""

    def encode(self, texts, *, max_tokens):
        seeds = [int.from_bytes(hashlib.sha256(one.encode()).digest()[:4], "big") for one in texts]
        found = np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds])
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache with everything that two pools leave in it; the second must stay as it is."""
    folder = tmp_path_factory.mktemp("filled")
    paths = {
        "ours": write(folder / "ours.jsonl", "canary", 24, seed=1),
        "theirs": write(folder / "theirs.jsonl", "other", 20, seed=2),
    }
    encoder = str(save_bert(folder / "encoder"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EUDS_CACHE", str(folder / "cache"))
        patch.setattr(semantic_answers, "load_encoder", lambda model: HashedVectors())
        for name, path in paths.items():
            pool = euds.read(path, **READING)
            settings = {"model": "toy", "encoder": encoder}
            euds.score(pool, ["ie", "ge", "ge_ifd", "se"], **settings)
            euds.score(pool, ["se"], task="sentiment", **settings)
            vectors_of(pool.texts, encoder=encoder)
            alone = pl.concat([pool.frame["text"], pool.frame["context"]]).to_list()
            vectors_of(euds.pool.pool.Texts.of(alone), encoder=encoder)  # as a probe reads pairs
            store, keys = Store.default(), pool.texts.keys
            # A real model repeats what it was asked.
            said = [[f"{name} {text}", "yes"] for text in pool.texts.texts]
            store.add(ANSWERS, pl.DataFrame({"key": keys, "answers": said}))
            trained = TrainingStore.default()
            for seed in range(3):
                trained.add(f"{name}{seed}", Outcome((name, "good"), 1, 1.0, 1.0), keys=keys[:9])
        # Files with rows of both, but for one recipe, whose files are of one pool each.
        patch.setattr(store_module, "MERGE_ABOVE_FILES", 1)
        for folder_of_recipe in store.folders()[1:]:
            store.merge(json.loads((folder_of_recipe / "recipe.json").read_text()))
    return folder


@pytest.fixture
def cache(filled, empty_cache):
    shutil.copytree(filled / "cache", empty_cache)
    return empty_cache


@pytest.fixture
def ours(filled):
    return euds.read(filled / "ours.jsonl", **READING)


def everything_in(folder: Path) -> dict[str, str]:
    """Return what a reader could make of each file: its bytes, unpacked, and its name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        shown = data.decode("latin-1")
        if path.suffix == ".parquet":
            frame = pl.read_parquet(io.BytesIO(data))
            shown += json.dumps(frame.to_dict(as_series=False), default=str)
        elif path.suffix == ".zst":
            shown += zstandard.ZstdDecompressor().decompress(data).decode()
        found[str(path.relative_to(folder))] = path.name + shown
    return found


def traces(cache, path):
    """Return the files of a cache in which something of a pool is left."""
    told = {f"{word}{row}" for word in ("canarytext", "canarycontext") for row in range(24)}
    told |= {key[:16] for key in keys_by_hand(path)} | {"canary"}
    return [name for name, shown in everything_in(cache).items() if any(t in shown for t in told)]


def rows_of_others(cache, path):
    """Return the rows of every folder that are not of a pool, in an order that tells nothing."""
    known = keys_by_hand(path)
    found = {}
    for folder in sorted((cache / "store" / "v1").glob("*")):
        frames = [pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))]
        if not frames or folder.name.startswith("answer-similarities"):
            continue
        rows = pl.concat(frames).filter(~pl.col("key").is_in(list(known))).sort("key")
        if rows.height:
            found[folder.name] = rows.unique("key", maintain_order=True).rows()
    outcomes = [file.name for file in (cache / "trained" / "v1").glob("theirs*")]
    return found, sorted(outcomes)


def likenesses(cache):
    """Return how many rows there are on how alike answers are: hashes, which no trace tells."""
    folders = (cache / "store" / "v1").glob("answer-similarities-*")
    return sum(len(pl.read_parquet(path)) for one in folders for path in one.glob("*.parquet"))


def test_the_cache_to_test_with_has_traces_in_every_kind_of_file(cache, filled):
    kinds = {Path(name).parts[2].rsplit("-", 1)[0] for name in traces(cache, filled / "ours.jsonl")}
    assert kinds >= {"token-entropies", "option-log-probs", "sampled-answers", "sentence-vectors"}
    assert "ours0.json.zst" in kinds  # outcomes of trainings


def test_answers_that_another_text_got_too_keep_their_likeness(empty_cache):
    store = Store.default()
    alike = {"name": "answer-similarities", "version": 1, "parameters": {}}
    pool = euds.read(pl.DataFrame({"text": ["forget me now please", "forget me as well"]}))
    mine, too = pool.frame["key"]
    answers = pl.DataFrame(
        {"key": [mine, too, "f" * 32], "answers": [["Yes", "no"], ["blue"], ["no.", "yes"]]}
    )
    store.add(ANSWERS, answers)
    sets = [json.dumps({"question": None, "answers": one}) for one in (["no", "yes"], ["blue"])]
    sets.append(json.dumps({"question": "forget me now please", "answers": ["no", "yes"]}))
    keys = [hashlib.blake2b(f"|{one}".encode(), digest_size=16).hexdigest() for one in sets]
    store.add(alike, pl.DataFrame({"key": keys, "similarities": [[1.0], [2.0], [3.0]]}))
    euds.forget(pool)
    assert store.rows(ANSWERS)["key"].to_list() == ["f" * 32]
    assert store.rows(alike)["similarities"].to_list() == [[1.0]]


def test_a_recipe_is_no_more_needed_than_it_is_in_the_way(cache, ours, filled):
    recipes = sorted((cache / "store" / "v1").glob("*/recipe.json"))
    recipes[0].unlink()
    recipes[1].write_bytes(b"\xff{")
    euds.forget(ours)
    assert traces(cache, filled / "ours.jsonl") == []


def test_a_folder_without_rows_goes_with_its_recipe_and_a_strangers_file_stays(empty_cache):
    store = Store.default()
    pool = euds.read(pl.DataFrame({"text": ["a text to forget"]}))
    rows = pl.DataFrame({"key": pool.frame["key"], "n": [1]})
    one, other = ({"name": name, "version": 1, "parameters": {}} for name in ("one", "other"))
    store.add(one, rows)
    store.add(other, rows)
    (store.folder(other) / "mine.txt").write_text("not of euds")
    assert euds.forget(pool).folders == 2
    assert [path.name for path in store.root.rglob("*") if path.is_file()] == ["mine.txt"]


def test_the_cache_itself_may_be_a_link(cache, filled, ours, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(cache)
    monkeypatch.setenv("EUDS_CACHE", str(tmp_path / "link"))
    assert euds.forget(ours).links == ()
    assert traces(cache, filled / "ours.jsonl") == []


class Killed(BaseException):
    """The process ends here."""


def kill_at(monkeypatch, number):
    """Let nothing happen any more from the file operation of a number on; return what counts."""
    done = []

    def counted(real):
        def call(*given, **named):
            done.append(real)
            if len(done) >= number:
                raise Killed
            return real(*given, **named)

        return call

    for name in ("unlink", "replace", "write_bytes", "rmdir"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(atomic, "_remove", lambda path: None)  # nobody cleans up after a kill
    return done


def test_a_kill_after_any_file_operation_leaves_a_whole_store(
    cache, filled, ours, tmp_path, monkeypatch
):
    path = filled / "ours.jsonl"
    before = rows_of_others(cache, path)
    with monkeypatch.context() as patch:
        operations = kill_at(patch, 10**9)
        euds.forget(ours)
    assert len(operations) > 30
    likenesses_left = likenesses(cache)
    assert 0 < likenesses_left < likenesses(filled / "cache")
    moments = [1, *random.Random(0).sample(range(2, len(operations)), 12), len(operations)]
    for number in sorted(moments):
        shutil.rmtree(cache)
        shutil.copytree(filled / "cache", cache)
        with monkeypatch.context() as patch:
            kill_at(patch, number)
            with pytest.raises(Killed):
                euds.forget(ours)
        assert rows_of_others(cache, path) == before, number  # and every file can be read
        euds.forget(ours)
        assert traces(cache, path) == [], number
        assert likenesses(cache) == likenesses_left, number
        assert rows_of_others(cache, path) == before, number


def test_what_cannot_be_removed_is_an_error_that_tells_where(cache, ours, monkeypatch):
    def refuse(path, *, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match="cannot be removed") as caught:
        euds.forget(ours)
    assert "Permission denied" in caught.value.got
    assert str(cache) in caught.value.where


def test_a_pool_without_texts_cannot_tell_what_to_forget(ours):
    bare = euds.Pool.of(
        ours.frame.with_columns(text=pl.lit(None, pl.String)), ours.records, ours.source
    )
    with pytest.raises(InputError, match="without texts"):
        euds.forget(bare)


@pytest.mark.parametrize("given", [(), ("--all", "pool.jsonl")])
def test_it_must_be_clear_what_to_forget(empty_cache, tmp_path, given):
    assert "not clear what" in command("forget", *given, cwd=tmp_path, check=2).stderr
