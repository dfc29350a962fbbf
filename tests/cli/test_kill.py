"""Kill -9 at ten random moments of scoring with the real model, then the same command."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from euds.files.environment import cache_dir
from euds.reading import datasets

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 10


@pytest.fixture
def cache(tmp_path):
    """A cache of its own for the store, with the models of the real one."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        for part in ("models", "packages"):
            (folder / part).symlink_to(cache_dir() / part)
        return folder

    return make


def command(out):
    return [
        sys.executable, "-m", "euds", "run", "tweets.jsonl", "--task", "sentiment", "--out", out,
        "--json", "--quiet",
    ]  # fmt: skip


def test_ten_kills_cost_the_shards_in_work_and_nothing_else(tmp_path, cache):
    datasets.write("tweets", tmp_path / "tweets.jsonl", rows=1000)
    whole = {**os.environ, "EUDS_CACHE": str(cache("whole-cache"))}
    started = time.perf_counter()
    subprocess.run(command("whole"), cwd=tmp_path, env=whole, check=True, capture_output=True)
    seconds = time.perf_counter() - started

    killed = {**os.environ, "EUDS_CACHE": str(cache("killed-cache"))}
    rng = random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command("killed"), cwd=tmp_path, env=killed,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(rng.uniform(3, seconds / 4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = subprocess.run(
        command("killed"), cwd=tmp_path, env=killed, check=True, capture_output=True
    )
    for name in ("scores.parquet", "selection.parquet", "subset.jsonl"):
        first, second = tmp_path / "whole" / name, tmp_path / "killed" / name
        assert first.read_bytes() == second.read_bytes(), name
    # Each key is in the store once: nothing that was written was measured again.
    assert json.loads(last.stdout)["rows"]["read"] == 1000
    for folder in (tmp_path / "killed-cache" / "store" / "v1").iterdir():
        keys = pl.concat([pl.read_parquet(path)["key"] for path in folder.glob("*.parquet")])
        assert keys.n_unique() == len(keys), folder.name
