"""One store, several processes: no row is lost, nothing crashes, and each gets its own right."""

import errno
import json
import logging
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

from euds.errors import StoreError
from euds.files.locks import LOCK_NAME, locked
from euds.pool.pool import Texts, text_key
from euds.progress import SilentProgress
from euds.proof.training.protocol import Outcome
from euds.proof.training.trained import TrainingStore
from euds.scoring.measuring import Measurer
from euds.scoring.store import disk as store_module
from euds.scoring.store.disk import Store

PROCESSES = multiprocessing.get_context("spawn")
RECIPE = {"name": "numbers", "version": 1, "parameters": {}}
FILES = 60


@dataclass(frozen=True)
class Lengths:
    """A measurement that takes no time: how long a text is."""

    name: ClassVar[str] = "lengths"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = 8

    def work(self, texts):
        return texts.frame["text"].str.len_bytes()

    def load(self):
        def measure(texts):
            return texts.frame.select("key", length=pl.col("text").str.len_chars())

        return measure


class Here:
    """Measures in this thread, a shard at a time."""

    def run(self, measurement, shards):
        instrument = measurement.load()
        for shard in shards:
            yield instrument(shard)


def measured(store, texts):
    return Measurer(store, Here(), SilentProgress())(Lengths(), texts)


def numbered(*keys):
    return pl.DataFrame({"key": keys, "n": [len(key) for key in keys]})


def add_many(root, letter):
    store = Store(root)
    for index in range(FILES):
        store.add(RECIPE, numbered(f"{letter}{index:03d}"))
        if index % 20 == 0:
            store.merge(RECIPE)


def merge_and_look(root, done):
    """Merge and read all the time; what was there once must be there ever after."""
    store = Store(root)
    store_module.MERGE_ABOVE_FILES = 2
    seen = set()
    while not done.is_set():
        store.merge(RECIPE)
        rows = store.rows(RECIPE)
        now = set() if rows is None else {key for key in rows["key"] if key[0] != "z"}
        assert seen <= now, sorted(seen - now)[:5]
        seen = now


def take_out_z(root, done):
    store = Store(root)
    while not done.is_set():
        for folder in store.folders():
            store.take_out(folder, [f"z{index:03d}" for index in range(FILES)])


def joined(processes, seconds=100):
    """Wait until all have ended, and check that none of them failed."""
    deadline = time.monotonic() + seconds
    for one in processes:
        one.join(max(0.1, deadline - time.monotonic()))
        assert one.exitcode == 0, (one.name, one.exitcode)


def test_adding_merging_reading_and_forgetting_at_once_loses_no_row(tmp_path):
    root, done = tmp_path / "store", PROCESSES.Event()
    adding = [PROCESSES.Process(target=add_many, args=(root, one)) for one in "abz"]
    others = [
        PROCESSES.Process(target=job, args=(root, done), name=job.__name__)
        for job in (merge_and_look, take_out_z)
    ]
    for one in (*adding, *others):
        one.start()
    try:
        joined(adding)
    finally:
        done.set()
    joined(others)
    store = Store(root)
    (folder,) = store.folders()
    store.take_out(folder, [f"z{index:03d}" for index in range(FILES)])
    expected = sorted(f"{letter}{index:03d}" for letter in "ab" for index in range(FILES))
    assert store.rows(RECIPE).rows() == [(key, 4) for key in expected]
    assert {path.suffix for path in folder.iterdir() if path.name != LOCK_NAME} == {
        ".parquet",
        ".json",
    }
    assert json.loads((folder / "recipe.json").read_text()) == RECIPE


def measure_and_check(root, done):
    texts = Texts.of([f"text {'x' * index}" for index in range(60)])
    expected = {text_key(one): len(one) for one in texts.texts}
    while not done.is_set():
        found = measured(Store(root), texts)
        assert dict(zip(found["key"], found["length"], strict=True)) == expected


def damage(root, moments):
    rng = random.Random(0)
    for _ in range(moments):
        time.sleep(rng.uniform(0.1, 0.3))
        files = sorted(root.glob("*/*.parquet"))
        if not files:
            continue
        path = rng.choice(files)
        try:
            with path.open("r+b") as stream:
                if rng.random() < 0.5:
                    stream.truncate(20)
                else:
                    stream.seek(30)
                    stream.write(b"\0")
        except FileNotFoundError:  # another process merged it
            continue


def test_files_that_are_damaged_meanwhile_change_no_result(tmp_path):
    root, done = tmp_path / "store", PROCESSES.Event()
    measuring = [PROCESSES.Process(target=measure_and_check, args=(root, done)) for _ in range(2)]
    hurting = PROCESSES.Process(target=damage, args=(root, 12))
    for one in (*measuring, hurting):
        one.start()
    try:
        joined([hurting])
    finally:
        done.set()
    joined(measuring)
    assert list(root.glob("*/*.damaged"))


def test_rows_that_are_forgotten_while_they_are_measured_are_measured_again(tmp_path, monkeypatch):
    store, texts = Store(tmp_path / "store"), Texts.of([f"text {'x' * n}" for n in range(20)])
    merge, forgotten = Store.merge, []

    def forget_then_merge(self, recipe):
        if len(forgotten) < 2:
            forgotten.append(self.take_out(self.folder(recipe), texts.keys[:5]).rows)
        merge(self, recipe)

    monkeypatch.setattr(Store, "merge", forget_then_merge)
    assert measured(store, texts).height == 20
    assert forgotten == [5, 5]


def test_who_removes_rows_without_end_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "rows", lambda self, recipe: None)
    with pytest.raises(StoreError, match="not in it"):
        measured(Store(tmp_path / "store"), Texts.of(["one text"]))


def test_a_damaged_file_that_another_process_set_aside_first_is_no_error(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    hurt = store.add(RECIPE, numbered("a"))
    store.add(RECIPE, numbered("b"))
    hurt.write_bytes(b"hurt")
    set_aside = store_module._set_aside

    def twice(path):
        assert set_aside(path)
        return set_aside(path)

    monkeypatch.setattr(store_module, "_set_aside", twice)
    assert store.rows(RECIPE)["key"].to_list() == ["b"]
    assert hurt.with_suffix(".damaged").read_bytes() == b"hurt"


def test_a_file_that_was_written_anew_is_not_set_aside(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    hurt = store.add(RECIPE, numbered("a"))
    hurt.write_bytes(b"hurt")
    set_aside = store_module._set_aside

    def mended_first(path):
        store.add(RECIPE, numbered("a"))
        return set_aside(path)

    monkeypatch.setattr(store_module, "_set_aside", mended_first)
    assert store.rows(RECIPE)["key"].to_list() == ["a"]
    assert not list(hurt.parent.glob("*.damaged"))


def test_a_damaged_file_that_cannot_be_moved_is_left_and_told(tmp_path, monkeypatch, caplog):
    store = Store(tmp_path / "store")
    store.add(RECIPE, numbered("a")).write_bytes(b"hurt")
    store.add(RECIPE, numbered("b"))

    def refuse(path, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with caplog.at_level(logging.WARNING):
        assert store.rows(RECIPE)["key"].to_list() == ["b"]
    assert "cannot be set aside (Permission denied)" in caplog.text


def hold(folder, ready, seconds):
    with locked(folder, alone=True):
        ready.set()
        time.sleep(seconds)


@pytest.mark.parametrize("killed", [False, True])
def test_a_lock_ends_with_its_process(tmp_path, killed):
    ready = PROCESSES.Event()
    other = PROCESSES.Process(target=hold, args=(tmp_path, ready, 60 if killed else 0.5))
    other.start()
    assert ready.wait(60)
    if killed:
        other.kill()
    started = time.monotonic()
    with locked(tmp_path, alone=False):
        waited = time.monotonic() - started
    assert waited < 20
    assert killed or waited > 0.2
    other.join()


def test_a_folder_that_was_taken_away_meanwhile_is_locked_anew(tmp_path):
    """Who waited for a lock on a file that is gone now would hold what nobody else asks for."""
    folder, found = tmp_path / "folder", []
    folder.mkdir()

    def wait():
        with locked(folder, alone=True, make=True):
            found.append((folder / LOCK_NAME).exists())

    waiting = threading.Thread(target=wait)
    with locked(folder, alone=True):
        waiting.start()
        time.sleep(0.3)
        assert found == []
        (folder / LOCK_NAME).unlink()
        folder.rmdir()
    waiting.join(60)
    assert found == [True]


def test_where_nothing_can_be_locked_the_store_works_all_the_same(tmp_path, monkeypatch):
    from euds.files import locks

    monkeypatch.setattr(locks, "fcntl", None)
    store = Store(tmp_path / "store")
    for index in range(70):
        store.add(RECIPE, numbered(f"a{index:03d}"))
    store.merge(RECIPE)
    (folder,) = store.folders()
    assert store.take_out(folder, ["a000"]).rows == 1
    assert store.rows(RECIPE).height == 69
    assert not (folder / LOCK_NAME).exists()


def test_a_file_that_cannot_be_opened_is_one_clear_error(tmp_path, monkeypatch):
    store, trained = Store(tmp_path / "store"), TrainingStore(tmp_path / "trained")
    store.add(RECIPE, numbered("a"))
    trained.add("d", Outcome(("good",), 1, 1.0, 1.0), keys=["a"])
    (folder,) = store.folders()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for ask in (
        lambda: store.rows(RECIPE),
        lambda: store.take_out(folder, ["a"]),
        lambda: trained.get("d"),
        lambda: trained.take_out(["a"]),
    ):
        with pytest.raises(StoreError, match="cannot be read") as caught:
            ask()
        assert str(tmp_path) in caught.value.where
        assert "Permission denied" in caught.value.got
        assert "permissions" in caught.value.next_step


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe{"])
def test_a_recipe_that_is_missing_or_damaged_is_written_again(tmp_path, content):
    store = Store(tmp_path / "store")
    store.add(RECIPE, numbered("a"))
    recipe = store.folder(RECIPE) / "recipe.json"
    if content is None:
        recipe.unlink()
    else:
        recipe.write_bytes(content)
    assert store.rows(RECIPE)["key"].to_list() == ["a"]
    store.add(RECIPE, numbered("b"))
    assert json.loads(recipe.read_text()) == RECIPE


@pytest.mark.parametrize("operation", ["write", "sync", "rename"])
def test_a_disk_that_fills_up_keeps_what_was_measured(tmp_path, monkeypatch, operation):
    """The error tells what and where; the same again measures only what is left."""
    store = Store(tmp_path / "store")
    texts = Texts.of([f"text {'x' * index}" for index in range(64)])
    owner, name = {
        "write": (Path, "write_bytes"),
        "sync": (os, "fsync"),
        "rename": (Path, "replace"),
    }[operation]
    real, calls = getattr(owner, name), []

    def full(*given):
        calls.append(given)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(StoreError, match="cannot be written") as caught:
            measured(store, texts)
    assert "No space left" in caught.value.got
    assert str(store.root) in caught.value.where
    assert "what is done stays" in caught.value.next_step
    (folder,) = store.folders()
    held = store.rows({"name": "lengths", "version": 1, "parameters": {}}).height
    assert 0 < held < 64
    assert not [path for path in folder.iterdir() if path.name.endswith(".partial")]
    measurer = Measurer(store, Here(), SilentProgress())
    assert measurer(Lengths(), texts).height == 64
    assert measurer.stages[0].measured == 64 - held


def test_merging_without_room_is_no_error(tmp_path, monkeypatch, caplog):
    store = Store(tmp_path / "store")
    for index in range(70):
        store.add(RECIPE, numbered(f"a{index:03d}"))

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "write_bytes", full)
        store.merge(RECIPE)
    assert "as many as they are" in caplog.text
    assert store.rows(RECIPE).height == 70


FULL = """
import resource, sys
from euds.cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""


def limited(size, *arguments, cwd, stdout=subprocess.PIPE):
    """Run a command whose files the system keeps small, whoever writes them."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(size), *arguments],
        cwd=cwd, stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr, ran.stderr
    assert "panicked" not in ran.stderr, ran.stderr
    return ran


@pytest.mark.skipif(sys.platform == "win32", reason="the system sets no limit to files")
def test_a_system_that_writes_no_more_is_one_clear_error(tmp_path, empty_cache):
    """With a real limit, which also holds for what Polars writes by itself."""
    rows = [json.dumps({"text": f"a film that was good {'very ' * n}"}) for n in range(300)]
    (tmp_path / "films.jsonl").write_text("\n".join(rows))
    score = ("score", "films.jsonl", "--model", "toy", "--out", "run", "--quiet")
    small = limited(1_000, *score, cwd=tmp_path)
    pool = limited(12_000, *score, cwd=tmp_path)  # enough for the store
    assert (small.returncode, pool.returncode) == (1, 1)
    for ran, where in ((small, "store/v1"), (pool, "run/pool.parquet")):
        message, got, step = ran.stderr.strip().splitlines()[-3:]
        assert where in message
        assert "cannot be written" in message
        assert "File too large" in got
        assert "same command again" in step
    done = limited(10**9, *score, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["measured"] == 0  # all of it was in the store


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_result_that_cannot_be_written_is_one_clear_error(tmp_path, empty_cache):
    with Path("/dev/full").open("w") as full:
        ran = limited(10**9, "models", "--json", cwd=tmp_path, stdout=full)
    assert ran.returncode == 1
    assert ran.stderr.startswith("euds: there is no room")
    assert "Exception ignored" not in ran.stderr
