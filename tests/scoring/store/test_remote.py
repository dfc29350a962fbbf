"""The store at an address: the same answers as on a disk, for several processes, and no locks."""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import polars as pl
import pytest
from fsspec.implementations.local import LocalFileSystem

from euds.errors import InputError, MissingExtraError, OptionError, StoreError
from euds.files.environment import cache_dir
from euds.pool.pool import Texts
from euds.reading import read
from euds.runs.forgetting import forget, forget_all
from euds.scoring.score import score
from euds.scoring.store import remote as module
from euds.scoring.store.disk import Store
from euds.scoring.store.remote import RemoteStore
from euds.selection.select import select
from tests.cli.test_remote_run import run
from tests.runs.test_verifying import write_films

RECIPE = {"name": "word-count", "version": 1, "parameters": {"language": "en"}}
CANARY = "canary7f3a"
FILES = 60


def rows(*pairs):
    return pl.DataFrame(list(pairs), schema={"key": pl.String, "n": pl.Int64}, orient="row")


@pytest.fixture
def memory():
    """A file system in memory, empty before and after."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture
def store(memory):
    return RemoteStore.at("memory://bucket/euds/v1")


class Whole(LocalFileSystem):
    """Puts files as an object store does: they are there as a whole, or not at all."""

    def pipe_file(self, path, value, mode="overwrite", **options):
        aside = f"{path}.{uuid.uuid4().hex}.aside"
        super().pipe_file(aside, value)
        time.sleep(self.storage_options.get("latency", 0))
        Path(aside).replace(path)


def on_disk(root, *, latency=0.0) -> RemoteStore:
    return RemoteStore(Whole(latency=latency), str(root), "whole://store")


# ---- what is kept ------------------------------------------------------------------------------


def test_what_is_added_comes_back_sorted_and_once(store):
    assert store.rows(RECIPE) is None
    assert store.folders() == []
    store.add(RECIPE, rows(("b", 2), ("a", 1)))
    store.add(RECIPE, rows(("b", 2), ("c", 3)))
    assert store.rows(RECIPE).rows() == [("a", 1), ("b", 2), ("c", 3)]
    assert store.rows({**RECIPE, "version": 2}) is None
    assert [folder.name for folder in store.folders()] == [store.folder(RECIPE).name]


def test_files_are_those_of_a_disk(store, memory, tmp_path):
    local = Store(tmp_path)
    for kept in (store, local):
        kept.add(RECIPE, rows(("b", 2), ("a", 1)))
    there = {
        path.removeprefix("/bucket/euds/v1/"): memory.cat(path)
        for path in memory.find("/bucket/euds/v1")
    }
    here = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    assert there == here


def test_folders_are_made_where_there_are_folders(tmp_path):
    store = on_disk(tmp_path / "not" / "yet")
    store.add(RECIPE, rows(("a", 1)))
    store.add(RECIPE, rows(("b", 1)))
    assert store.rows(RECIPE).height == 2
    assert len(store.folders()) == 1


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_file_is_passed_over_and_the_rest_is_kept(store, memory, damage, caplog):
    hurt = str(store.add(RECIPE, rows(("a", 1))))
    store.add(RECIPE, rows(("b", 2)))
    content = bytearray(memory.cat(hurt))
    if damage == "flip":
        content[len(content) // 2] ^= 1
    memory.pipe(hurt, {"truncate": bytes(content[:50]), "empty": b""}.get(damage, bytes(content)))
    with caplog.at_level(logging.WARNING):
        assert store.rows(RECIPE).rows() == [("b", 2)]
    assert "is damaged, or not yet written" in caplog.text
    assert memory.exists(hurt)  # it may be another process that is writing it
    store.add(RECIPE, rows(("a", 1)))
    assert store.rows(RECIPE).rows() == [("a", 1), ("b", 2)]


def test_many_files_become_one(store):
    for index in range(70):
        store.add(RECIPE, rows((f"{index:03d}", index)))
    before = store.rows(RECIPE)
    store.merge(RECIPE)
    assert len(store._names(store.folder(RECIPE), ".parquet")) == 1
    assert store.rows(RECIPE).equals(before)


def test_a_kill_while_merging_loses_nothing(store, monkeypatch):
    for index in range(70):
        store.add(RECIPE, rows((f"{index:03d}", index)))
    before = store.rows(RECIPE)

    def killed(*_):
        raise KeyboardInterrupt

    for name in ("_put", "_remove"):
        with monkeypatch.context() as patch:
            patch.setattr(RemoteStore, name, killed)
            with pytest.raises(KeyboardInterrupt):
                store.merge(RECIPE)
        assert store.rows(RECIPE).equals(before)


def test_rows_and_damaged_files_are_taken_out(store, memory):
    store.add(RECIPE, rows(("a", 1), ("b", 2)))
    store.add(RECIPE, rows(("b", 2), ("c", 3)))
    hurt = str(store.add(RECIPE, rows(("d", 4))))
    memory.pipe(hurt, b"half")
    (folder,) = store.folders()
    told = store.take_out(folder, ["b", "x"], dry_run=True)
    assert (told.rows, told.unreadable) == (2, 1)
    assert memory.cat(hurt) == b"half"
    assert store.take_out(folder, ["b", "x"]) == told
    assert store.rows(RECIPE).rows() == [("a", 1), ("c", 3)]
    assert not memory.exists(hurt)
    store.take_out(folder, ["a", "c"])
    assert memory.find("/bucket/euds/v1") == []


# ---- several at once ---------------------------------------------------------------------------


def add_many(root, letter):
    store = on_disk(root, latency=0.01)
    for index in range(FILES):
        store.add(RECIPE, rows((f"{letter}{index:03d}", index)))


def merge_often(root, done):
    store, times = on_disk(root, latency=0.03), 0
    while not done.is_set():
        store.merge(RECIPE)
        times += 1
    return times


def look(root, done):
    """Read all the time; what was there once must be there ever after."""
    store, seen, times = on_disk(root), set(), 0
    while not done.is_set():
        found = store.rows(RECIPE)
        now = set() if found is None else set(found["key"])
        assert seen <= now, sorted(seen - now)[:5]
        seen, times = now, times + 1
    return times


def test_adding_merging_and_reading_at_once_loses_no_row(tmp_path, monkeypatch):
    """Threads do: there is nothing that a process would lock."""
    monkeypatch.setattr(module, "MERGE_ABOVE_FILES", 2)
    root, done = tmp_path / "store", threading.Event()
    with ThreadPoolExecutor(6) as pool:
        adding = [pool.submit(add_many, root, letter) for letter in "ab"]
        others = [pool.submit(job, root, done) for job in (merge_often, merge_often, look, look)]
        try:
            assert not any(one.exception() for one in adding)
        finally:
            done.set()
        assert all(one.result() > 3 for one in others)
    expected = sorted(f"{letter}{index:03d}" for letter in "ab" for index in range(FILES))
    assert on_disk(root).rows(RECIPE)["key"].to_list() == expected


def test_a_file_that_is_merged_while_it_is_read_is_looked_for_again(store, monkeypatch):
    first = store.add(RECIPE, rows(("a", 1)))
    names, looks = RemoteStore._names, []

    def stale(self, folder, suffix):
        looks.append(folder)
        found = names(self, folder, suffix)
        return [*found, folder / "gone.parquet"] if len(looks) == 1 else found

    monkeypatch.setattr(RemoteStore, "_names", stale)
    assert store.rows(RECIPE).rows() == [("a", 1)]
    assert len(looks) == 2
    assert first.suffix == ".parquet"


# ---- the user's store --------------------------------------------------------------------------


@pytest.fixture
def elsewhere(memory, empty_cache, monkeypatch):
    """The user's store at an address; returns it."""
    monkeypatch.setenv("EUDS_STORE", "memory://bucket/euds/")
    return RemoteStore.at("memory://bucket/euds/v1")


def measured(table):
    return [(one["stage"], one["measured"]) for one in table.provenance["stages"]]


def test_what_was_measured_is_taken_from_the_address(elsewhere, tmp_path, monkeypatch):
    write_films(tmp_path / "films.jsonl")
    pool = read(tmp_path / "films.jsonl", text="review", label="stars")
    settings = {"model": "toy", "task": "sentiment"}
    there = score(pool, ["ie", "ge", "se"], **settings)
    assert sum(rows for _, rows in measured(there)) > 240
    assert not (cache_dir() / "store").exists()
    again = score(pool, ["ie", "ge", "se"], **settings)
    assert not any(rows for _, rows in measured(again))
    monkeypatch.delenv("EUDS_STORE")
    here = score(pool, ["ie", "ge", "se"], **settings)
    assert measured(here) == measured(there)
    assert here.frame.equals(there.frame)
    assert again.frame.equals(there.frame)
    kept = [select(pool, one, keep=20).frame["kept"].to_list() for one in (here, there)]
    assert kept[0] == kept[1]


def test_forgetting_looks_in_both_places(elsewhere, memory, tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"text": "the one text"}\n{"text": "the other text"}\n')
    pool = read(tmp_path / "a.jsonl")
    score(pool, ["ge"], model="toy")
    monkeypatch.delenv("EUDS_STORE")
    score(pool, ["ge"], model="toy")
    monkeypatch.setenv("EUDS_STORE", "memory://bucket/euds")
    assert forget(Texts.of(["the one text"]), dry_run=True).rows == 2
    assert forget(Texts.of(["the one text"])).rows == 2
    assert forget(Texts.of(["the one text"])).is_nothing
    (folder,) = elsewhere.folders()
    assert sum(one.height for one in elsewhere.held(folder)) == 1
    assert forget_all().rows == 2
    assert memory.find("/bucket") == []
    assert "or at memory://bucket/euds" in run("forget", "--all")


def test_an_address_for_the_cache_is_refused(monkeypatch):
    monkeypatch.setenv("EUDS_CACHE", f"s3://me:{CANARY}@bucket/euds")
    with pytest.raises(OptionError, match="set EUDS_STORE") as caught:
        cache_dir()
    assert CANARY not in str(caught.value)
    monkeypatch.setenv("EUDS_CACHE", "file:///data/euds")
    assert str(cache_dir()) == "/data/euds"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("zip://euds::memory://a.zip", "cannot lie in an archive"),
        ("memory://bucket/*", "several places"),
        (f"nosuch://me:{CANARY}@bucket", "no kind of address"),
    ],
)
def test_other_places_for_the_store_are_refused(monkeypatch, address, told):
    monkeypatch.setenv("EUDS_STORE", address)
    with pytest.raises((OptionError, InputError), match=told) as caught:
        Store.default()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_store_may_be_a_folder(empty_cache, monkeypatch, tmp_path, scheme):
    monkeypatch.setenv("EUDS_STORE", f"{scheme}{tmp_path / 'shared'}")
    pool = read(pl.DataFrame({"text": ["one text", "and another"]}))
    score(pool, ["ge"], model="toy")
    assert list((tmp_path / "shared" / "v1").glob("token-entropies-*/*.parquet"))
    assert not (empty_cache / "store").exists()
    assert forget(pool).rows == 2
    assert not list((tmp_path / "shared" / "v1").glob("token-entropies-*/*.parquet"))
    score(pool, ["ge"], model="toy")
    assert forget_all().rows == 2
    assert not (tmp_path / "shared" / "v1").exists()


def test_without_fsspec_the_extra_is_named(monkeypatch):
    monkeypatch.setenv("EUDS_STORE", "memory://bucket")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"euds\[remote\]"):
        Store.default()


@pytest.mark.parametrize(
    ("method", "what"), [("pipe_file", "written to"), ("ls", "read"), ("cat", "read")]
)
def test_a_server_that_fails_is_an_error_of_the_store(memory, monkeypatch, method, what):
    store = RemoteStore.at(f"memory://me:{CANARY}@bucket/euds")
    store.add(RECIPE, rows(("a", 1)))

    def fails(*_, **__):
        raise RuntimeError(f"503 from https://host/?token={CANARY}")

    monkeypatch.setattr(type(memory), method, fails)
    with pytest.raises(StoreError, match=f"cannot be {what}") as caught:
        store.rows(RECIPE) if what == "read" else store.add(RECIPE, rows(("b", 1)))
    assert "RuntimeError: 503" in str(caught.value)
    assert "memory://***@bucket/euds/word-count-" in str(caught.value)
    assert CANARY not in str(caught.value)
