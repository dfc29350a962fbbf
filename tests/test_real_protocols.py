"""Input and store over the protocols of S3 and the web, from servers on this machine.

They need packages that nothing else here does: ``pip install s3fs "moto[server]"``.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import json
import logging
import threading

import polars as pl
import pytest

from euds.errors import InputError, StoreError
from euds.reading import read
from euds.runs.forgetting import forget, forget_all
from euds.scoring.score import score
from euds.scoring.store import remote
from euds.scoring.store.remote import RemoteStore

# Those packages warn of each other.
pytestmark = pytest.mark.filterwarnings("ignore")

CANARY = "canary7f3a"
RECIPE = {"name": "word-count", "version": 1, "parameters": {}}


def lines(name, rows=40):
    texts = [f"a text of {name} with number {number}" for number in range(rows)]
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def parquet(rows=40):
    buffer = io.BytesIO()
    pl.DataFrame({"text": [f"number {number}" for number in range(rows)]}).write_parquet(buffer)
    return buffer.getvalue()


def error(address):
    with pytest.raises(InputError) as caught:
        read(address)
    assert CANARY not in str(caught.value)
    return str(caught.value)


# ---- S3 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    """An imitation of S3; returns its address."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(port=0)
    running.start()
    _, port = running.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def s3(server, monkeypatch):
    """The file system of that imitation, with one empty bucket."""
    fsspec = pytest.importorskip("fsspec")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    filesystem = fsspec.filesystem("s3")
    filesystem.mkdir("bucket")
    yield filesystem
    filesystem.rm("bucket", recursive=True)


def test_input_from_s3(s3):
    for name in "ba":
        s3.pipe(f"bucket/data/{name}.jsonl.gz", gzip.compress(lines(name)))
    s3.pipe("bucket/data/rows.parquet", parquet())
    s3.pipe("bucket/texts/good/x.txt", b"a good text")
    pool = read("s3://bucket/data/*.jsonl.gz")
    assert pool.frame["file"].unique(maintain_order=True).to_list() == [
        f"s3://bucket/data/{name}.jsonl.gz" for name in "ab"
    ]
    assert len(pool) == 80
    assert len(read("s3://bucket/data/rows.parquet")) == 40
    assert read("s3://bucket/texts/").frame["label"].to_list() == ["good"]
    s3.pipe("bucket/data/a.jsonl.gz", gzip.compress(lines("a"))[:-20])
    assert "damaged or cut short" in error("s3://bucket/data/a.jsonl.gz")
    assert "no such file" in error("s3://bucket/none.jsonl")
    assert "The specified bucket does not exist" in error("s3://nobucket/none.jsonl")
    assert "no file matches the pattern" in error("s3://bucket/data/*.csv")


def test_a_store_on_s3(s3, empty_cache, monkeypatch):
    monkeypatch.setenv("EUDS_STORE", "s3://bucket/euds")
    s3.pipe("bucket/a.jsonl", lines("a"))
    pool = read("s3://bucket/a.jsonl")
    tables = [score(pool, ["ge"], model="toy") for _ in range(2)]
    assert [table.provenance["stages"][0]["measured"] for table in tables] == [40, 0]
    assert tables[0].frame.equals(tables[1].frame)
    assert not (empty_cache / "store").exists()
    store = RemoteStore.at("s3://bucket/euds/v1")
    monkeypatch.setattr(remote, "MERGE_ABOVE_FILES", 5)
    for number in range(8):
        store.add(RECIPE, pl.DataFrame({"key": [f"{number:03d}"], "n": [number]}))
    rows = store.rows(RECIPE)
    store.merge(RECIPE)
    assert rows.height == 8
    assert store.rows(RECIPE).equals(rows)
    assert len(s3.find(str(store.folder(RECIPE)))) == 2
    assert forget(pool).rows == 40
    assert [folder.name for folder in store.folders()] == [store.folder(RECIPE).name]
    assert forget_all().rows == 8
    assert s3.find("bucket/euds") == []


def test_no_bucket_is_made(s3):
    store = RemoteStore.at("s3://nobucket/euds")
    with pytest.raises(StoreError, match="cannot be written to"):
        store.add(RECIPE, pl.DataFrame({"key": ["a"]}))
    assert s3.ls("") == ["bucket"]


# ---- the web -----------------------------------------------------------------------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send_head(self):
        if "forbidden" in self.path:
            self.send_error(403)
            return None
        if "cut" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            return io.BytesIO(lines("cut"))
        return super().send_head()


@pytest.fixture
def web(tmp_path):
    """The address of a server, and the folder that it serves."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(Handler, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def test_input_from_the_web(web):
    address, folder = web
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines("a")))
    (folder / "b.jsonl").write_bytes(lines("b"))
    (folder / "rows.parquet").write_bytes(parquet())
    assert len(read(f"{address}/a.jsonl.gz")) == 40
    assert len(read(f"{address}/rows.parquet")) == 40
    pool = read(f"{address}/b.jsonl?token={CANARY}")
    assert len(pool) == 40
    assert set(pool.frame["file"]) == {f"{address}/b.jsonl?***"}
    assert set(read(f"{address}/*.jsonl").frame["file"]) == {f"{address}/b.jsonl"}


def test_a_web_server_that_fails(web):
    address, _ = web
    assert "404" in error(f"{address}/none.jsonl")
    assert "403" in error(f"{address}/forbidden.jsonl?token={CANARY}")
    assert "the file cannot be read" in error(f"{address}/cut.jsonl")
    assert "cut short, or cannot be read" in error(f"{address}/cut.parquet")
    assert "Connect call failed" in error(f"http://me:{CANARY}@127.0.0.1:9/none.jsonl")
