"""Input from addresses: the same pool as from a disk, the same errors, and no secrets told."""

from __future__ import annotations

import gzip
import importlib
import io
import sys
import zipfile
from typing import ClassVar

import fsspec
import polars as pl
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem

from euds.errors import InputError, MissingExtraError
from euds.reading import read

TEXTS = [f"a film that runs for {number} minutes" for number in range(20)]
JSONL = "".join(f'{{"text": "{text}", "label": {at % 2}}}\n' for at, text in enumerate(TEXTS))
CSV = "text,label\n" + "".join(f"{text},{at % 2}\n" for at, text in enumerate(TEXTS))
CANARY = "canary7f3a"


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"text": TEXTS, "n": range(20)}).write_parquet(buffer)
    return buffer.getvalue()


FILES = {
    "a.jsonl": JSONL.encode(),
    "a.jsonl.gz": gzip.compress(JSONL.encode()),
    "a.CSV.zst": zstandard.ZstdCompressor().compress(CSV.encode()),
    "a.tsv": CSV.replace(",", "\t").encode(),
    "a.parquet": parquet(),
}


@pytest.fixture
def memory():
    """A file system in memory, empty before and after."""
    filesystem = fsspec.filesystem("memory")

    def clear():
        filesystem.store.clear()
        filesystem.pseudo_dirs[:] = [""]

    clear()
    yield filesystem
    clear()


class Cutting(MemoryFileSystem):
    """Raises what a network library would after some bytes of each file; or ends without a word."""

    protocol = "cutting"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    after, raises = 100, True

    @classmethod
    def _strip_protocol(cls, path):
        path = path.partition("?")[0]
        if "://" in path:
            path = path.partition("://")[2].partition("/")[2]
        return "/" + path.strip("/")

    def _open(self, path, mode="rb", **options):
        return Cut(super()._open(path, mode, **options), self)


class NetworkError(Exception):
    """Of no family that anyone here knows, as those of most network libraries."""


class Cut:
    def __init__(self, stream, filesystem):
        self.size, self.at, self.filesystem = stream.size, 0, filesystem
        self.content = stream.getvalue()

    def read(self, wanted):
        data = self.content[self.at : min(self.at + wanted, self.filesystem.after)]
        if not data and self.filesystem.raises:
            raise NetworkError(
                f"cutting://me:{CANARY}@server/host/a.jsonl?token={CANARY}: reset by peer"
            )
        self.at += len(data)
        return data

    def close(self):
        pass


@pytest.fixture
def cutting(monkeypatch):
    """A file system whose files break off after 100 bytes; returns its class."""
    fsspec.register_implementation("cutting", Cutting, clobber=True)
    monkeypatch.setattr(Cutting, "after", 100)
    yield Cutting
    Cutting.store.clear()


def error(*inputs, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(*inputs, **options)
    return str(caught.value)


def same(one, other):
    assert one.frame.drop("file").equals(other.frame.drop("file"))
    assert one.records.equals(other.records)
    assert one.source == other.source
    assert one.rejected.drop("file").equals(other.rejected.drop("file"))


# ---- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_same_pool_as_from_a_disk(tmp_path, memory, name):
    (tmp_path / name).write_bytes(FILES[name])
    memory.pipe(f"/data/{name}", FILES[name])
    pool = read(f"memory://data/{name}")
    same(pool, read(tmp_path / name))
    assert pool.frame["text"].to_list() == TEXTS
    assert set(pool.frame["file"]) == {f"memory://data/{name}"}


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_gives_the_same_pool_as_from_a_disk(tmp_path, memory, end):
    for name, content in (
        ("good/a.txt", b"good"),
        ("bad/b.TXT", b"\xef\xbb\xbfbad"),
        ("c.md", b""),
    ):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "data" / name).write_bytes(content)
        memory.pipe(f"/data/{name}", content)
    pool = read(f"memory://data{end}")
    same(pool, read(tmp_path / "data"))
    assert pool.frame["file"].to_list() == ["memory://data/bad/b.TXT", "memory://data/good/a.txt"]
    assert pool.frame["label"].to_list() == ["bad", "good"]


def test_a_pattern_is_read_in_order(memory):
    for name in ("b", "a", "deep/er/c"):
        memory.pipe(f"/data/{name}.jsonl", f'{{"text": "text of {name}"}}\n'.encode())
    memory.pipe("/data/x.csv", CSV.encode())
    assert read("memory://data/*.jsonl").frame["text"].to_list() == ["text of a", "text of b"]
    every = read("memory://data/**/*.jsonl")
    assert [f"memory://data/{name}.jsonl" for name in ("a", "b", "deep/er/c")] == (
        every.frame["file"].to_list()
    )
    assert len(read("memory://data/?.jsonl")) == 2


def test_a_file_with_a_star_in_its_name_is_no_pattern(memory):
    memory.pipe("/data/a*.jsonl", b'{"text": "the one"}\n')
    memory.pipe("/data/ab.jsonl", b'{"text": "the other"}\n')
    assert read("memory://data/a*.jsonl").frame["text"].to_list() == ["the one"]


def test_members_of_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("b", "a"):
            archive.writestr(f"in/{name}.jsonl", f'{{"text": "text of {name}"}}\n')
        archive.writestr("texts/good/t.txt", "a good one")
    behind = f"::file://{tmp_path}/a.zip"
    pool = read(f"zip://in/*.jsonl{behind}")
    assert pool.frame["text"].to_list() == ["text of a", "text of b"]
    assert pool.frame["file"].to_list() == [f"zip://in/{one}.jsonl{behind}" for one in "ab"]
    assert read(f"zip://in/b.jsonl{behind}").frame["text"].to_list() == ["text of b"]
    texts = read(f"zip://texts{behind}")
    assert texts.frame["label"].to_list() == ["good"]
    assert texts.frame["file"].to_list() == [f"zip://texts/good/t.txt{behind}"]
    assert read(f"zip://{behind}").frame["label"].to_list() == ["texts"]


def test_a_cache_in_front_of_an_address(memory):
    memory.pipe("/data/a.jsonl", JSONL.encode())
    assert read("simplecache::memory://data/*.jsonl").frame["text"].to_list() == TEXTS


# ---- what lies on this machine -----------------------------------------------------------------


def test_a_file_address_is_the_path(tmp_path):
    (tmp_path / "a.jsonl").write_text(JSONL)
    for name in (f"file://{tmp_path}/a.jsonl", f"local://{tmp_path}/*.jsonl"):
        pool = read(name)
        same(pool, read(tmp_path / "a.jsonl"))
        assert set(pool.frame["file"]) == {str(tmp_path / "a.jsonl")}
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "b.txt").write_text("mine")
    (tmp_path / "texts" / "a.txt").symlink_to(tmp_path / "a.jsonl")
    pool = read(f"file://{tmp_path}/texts", max_rejected=0.5)
    assert pool.frame["text"].to_list() == ["mine"]
    assert "leads out of the folder" in pool.rejected["reason"][0]


# ---- what cannot be read -----------------------------------------------------------------------


def test_without_fsspec_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r'pip install "euds\[remote\]"') as caught:
        read(f"s3://me:{CANARY}@bucket/a.jsonl")
    assert CANARY not in str(caught.value)


def test_an_unknown_scheme():
    message = error("memry://data/a.jsonl")
    assert "got:      memry://" in message
    assert "did you mean 'memory'?" in message
    assert "./nosuchthing:/" in error("nosuchthing://a.jsonl")


def test_a_scheme_whose_package_is_missing(monkeypatch):
    registry = importlib.import_module("fsspec.registry")
    absent = {"class": "no_such_s3fs.FileSystem", "err": "Install s3fs to access S3"}
    monkeypatch.setitem(registry.known_implementations, "s3", absent)
    monkeypatch.delitem(registry._registry, "s3", raising=False)
    for address in ("s3://bucket/a.jsonl", "zip://a.jsonl::s3://bucket/a.zip"):
        message = error(address)
        assert "got:      Install s3fs to access S3" in message
        assert 'pip install "fsspec[s3]"' in message


def test_nothing_there(memory):
    memory.pipe("/data/a.jsonl", JSONL.encode())
    message = error("memory://data/b.jsonl")
    assert message.startswith("memory://data/b.jsonl: there is no such file or folder")
    assert "got:" not in message
    assert "no file matches the pattern" in error("memory://data/*.csv")
    assert "no text files" in error("memory://data")


def test_names_that_tell_no_format(memory):
    memory.pipe("/data/a.json", b"[]")
    memory.pipe("/data/a.parquet.gz", b"")
    memory.pipe("/data/b.csv/part.csv", CSV.encode())
    assert "one object a line" in error("memory://data/a.json")
    assert "decompress a.parquet.gz first" in error("memory://data/a.parquet.gz")
    assert "memory://data/b.csv/*.csv" in error("memory://data/b.csv")


def test_one_file_under_two_names(memory):
    memory.pipe("/data/a.jsonl", JSONL.encode())
    assert "named twice" in error("memory://data/a.jsonl", "memory:///data/*.jsonl")
    memory.pipe("/data/b.jsonl", JSONL.encode())
    assert len(read("memory://data/a.jsonl", "memory://data/b.jsonl")) == 40


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.CSV.zst", "a.parquet"])
def test_a_file_cut_short_is_the_error_of_a_disk(tmp_path, memory, name):
    content = FILES[name][:-20]
    (tmp_path / name).write_bytes(content)
    memory.pipe(f"/data/{name}", content)
    here = error(tmp_path / name)
    assert error(f"memory://data/{name}") == here.replace(str(tmp_path), "memory://data")


@pytest.mark.parametrize(
    ("name", "raises", "told"),
    [
        ("a.jsonl", True, "reset by peer, after 1 complete lines"),
        ("a.jsonl", False, f"the file ends after 100 of {len(JSONL):,} bytes, after 1 complete"),
        ("a.jsonl.gz", True, "the compressed file is damaged or cut short"),
        ("a.parquet", True, "the Parquet file is damaged, cut short, or cannot be read"),
        ("a.parquet", False, "the file ends after 100 of"),
    ],
)
def test_a_connection_that_is_cut(cutting, monkeypatch, name, raises, told):
    monkeypatch.setattr(cutting, "raises", raises)
    cutting().pipe(f"/host/{name}", FILES[name])
    message = error(f"cutting://server/host/{name}")
    assert told in message
    assert CANARY not in message
    monkeypatch.setattr(cutting, "after", 1 << 20)
    monkeypatch.setattr(cutting, "raises", False)
    assert len(read(f"cutting://server/host/{name}")) == 20  # it was the cut, and nothing else


def test_a_file_of_a_folder_that_breaks_off_is_refused(cutting):
    cutting().pipe("/host/texts/long.txt", b"x" * 200)
    pool_error = error("cutting://server/host/texts")
    assert "reset by peer" in pool_error
    assert CANARY not in pool_error


def test_a_server_that_refuses_is_one_error(cutting, monkeypatch):
    def info(self, path, **options):
        raise NetworkError("403 for https://host/a?X-Amz-Signature=" + CANARY)

    monkeypatch.setattr(cutting, "info", info)
    message = error(f"cutting://me:{CANARY}@server/host/a.jsonl")
    assert "it cannot be found out what is at this address" in message
    assert "NetworkError: 403" in message
    assert CANARY not in message


# ---- secrets -----------------------------------------------------------------------------------


def test_a_pool_tells_no_secret_of_an_address(cutting, monkeypatch):
    monkeypatch.setattr(cutting, "after", 1 << 20)
    monkeypatch.setattr(cutting, "raises", False)
    cutting().pipe("/host/a.jsonl", JSONL.encode() + b"broken\n")
    address = f"cutting://me:{CANARY}@server/host/a.jsonl?token={CANARY}"
    pool = read(address, max_rejected=0.5)
    assert len(pool) == 20
    assert set(pool.frame["file"]) == {"cutting://***@server/host/a.jsonl?***"}
    assert pool.rejected["file"].to_list() == ["cutting://***@server/host/a.jsonl?***"]
    pool = read(f"cutting://me:{CANARY}@server/host/*.jsonl", max_rejected=0.5)
    assert set(pool.frame["file"]) == {"cutting://***@server/host/a.jsonl"}
