"""What the engine on a Ray cluster gives: speed, the same selection, and what a lost machine costs.

    python benchmarks/ray_engine.py [--rows 640] [--rounds 3]

Real articles and smollm2-135m, on a cluster of nodes on this machine: two workers of one thread
against one, in turn, from the first answer to the last; the local engine beside them; one node of
two killed in the middle; how many shards a second are handed out where measuring takes no time.

Needs Ray (`pip install "euds[ray]"`), and nothing else may run. Writes results/ray_engine.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import ray
import torch
from ray.cluster_utils import Cluster

from euds.files.atomic import write_bytes_atomically
from euds.models import resolve_precision
from euds.models.sources import resolve
from euds.pool.pool import Pool, Texts
from euds.progress import SilentProgress
from euds.reading import datasets, read
from euds.scoring.engines.base import Engine
from euds.scoring.engines.local import LocalEngine
from euds.scoring.engines.ray import RayEngine
from euds.scoring.measuring import Measurer, cut_shards, rows_per_shard
from euds.scoring.score import score
from euds.scoring.scorers.base import Instrument, Measurement
from euds.scoring.scorers.generative import TokenEntropies
from euds.scoring.store.disk import Store
from euds.selection.select import select

RESULTS = Path(__file__).parent / "results" / "ray_engine.json"
MODEL = "smollm2-135m"
ROWS_PER_SHARD = 16
HANDED_OUT = 2_000
ONE, TWO, LOCAL = "ray, 1 worker", "ray, 2 workers", "local, 2 workers"


@dataclass(frozen=True)
class Noted(TokenEntropies):
    """Token entropies that write down each shard as it is begun."""

    diary: Path | None = field(default=None, metadata={"recipe": False})

    def load(self) -> Instrument:
        """Load the model; the returned function writes the shard down first."""
        measure, diary = super().load(), self.diary
        assert diary is not None

        def noted(texts: Texts) -> pl.DataFrame:
            with diary.open("a") as stream:
                stream.write(f"{texts.fingerprint}\n")
            return measure(texts)

        return noted


@dataclass(frozen=True)
class Nothing:
    """A measurement that takes no time."""

    name: ClassVar[str] = "nothing"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = 64

    def load(self) -> Instrument:
        """Return a function that looks at nothing."""
        return lambda texts: texts.frame.select("key")

    def work(self, texts: Texts) -> pl.Series:
        """Return the bytes of each text."""
        return texts.frame["text"].str.len_bytes()


class Acts(SilentProgress):
    """Does something once so many shards are stored."""

    def __init__(self, after: int, act: Callable[[], None]) -> None:
        self.left, self.act = after, act

    def advance(self, stage: str, *, rows: int, seconds: float, left: float | None = None) -> None:
        """Count a shard."""
        self.left -= 1
        if self.left == 0:
            self.act()


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """Give a cluster of so many nodes of one core, and a head that measures nothing."""
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(nodes):
        found.last = found.add_node(num_cpus=1)
    try:
        yield found
    finally:
        found.shutdown()


def timed(engine: Engine, measurement: Measurement, shards: Iterable[Texts]) -> dict[str, float]:
    """Measure shards; return rows a second from the first answer on, and the seconds before it."""
    started = time.perf_counter()
    arrivals = [(time.perf_counter(), rows.height) for rows in engine.run(measurement, shards)]
    first, last = arrivals[0][0], arrivals[-1][0]
    rows = sum(height for _, height in arrivals[1:])
    return {"rows_per_second": rows / (last - first), "first_answer_seconds": first - started}


def speed(address: str, texts: Texts, rounds: int) -> dict[str, Any]:
    """Return the rates of one worker and of two, with Ray and without."""
    measurement = TokenEntropies(resolve(MODEL), resolve_precision())
    found: dict[str, list[dict[str, float]]] = {ONE: [], TWO: [], LOCAL: []}
    for _ in range(rounds):
        for name, workers in ((ONE, 1), (TWO, 2)):
            with RayEngine(address, workers=workers) as engine:
                shards = cut_shards(texts, ROWS_PER_SHARD)
                found[name].append(timed(engine, measurement, shards))
        shards = cut_shards(texts, ROWS_PER_SHARD)
        found[LOCAL].append(timed(LocalEngine(2), measurement, shards))
    rates = {name: [one["rows_per_second"] for one in runs] for name, runs in found.items()}
    ratios = [two / one for one, two in zip(rates[ONE], rates[TWO], strict=True)]
    starts = [one["first_answer_seconds"] for one in found[ONE]]
    return {
        "rows_per_second": {name: statistics.median(all_) for name, all_ in rates.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "first_answer_seconds": statistics.median(starts),
    }


def same(address: str, pool: Pool, folder: Path) -> dict[str, bool]:
    """Score and select with both engines, from empty stores, and compare every bit."""

    def made(name: str, engine: Engine) -> tuple[pl.DataFrame, pl.DataFrame]:
        store = Store(folder / name)
        table = score(
            pool, ["ie", "ge"], model=MODEL, engine=engine, store=store, progress=SilentProgress()
        )
        return table.frame, select(pool, table, rule="igse", keep=0.16).frame

    with RayEngine(address) as engine:
        there = made("ray", engine)
    here = made("local", LocalEngine())
    return {
        "scores": there[0].equals(here[0]),
        "selection": there[1].equals(here[1]),
    }


def killed(found: Any, texts: Texts, folder: Path) -> dict[str, Any]:
    """Kill one of two nodes a third of the way through, and count what is measured twice."""
    measurement = Noted(resolve(MODEL), resolve_precision(), diary=folder / "diary")
    shards = -(-len(texts) // rows_per_shard(measurement, texts))

    def kill() -> None:
        found.remove_node(found.last, allow_graceful=False)

    with RayEngine(found.address) as engine:
        Measurer(Store(folder / "killed"), engine, Acts(shards // 3, kill))(measurement, texts)
    begun = Counter((folder / "diary").read_text().split())
    return {
        "shards": len(begun),
        "shards_measured_again": sum(begun.values()) - len(begun),
        "workers_on_the_node": 1,
    }


def handed_out(address: str) -> float:
    """Return how many shards a second are handed out and come back if measuring takes no time."""
    texts = [Texts.of([f"number {index}"]) for index in range(HANDED_OUT)]
    with RayEngine(address) as engine:
        return timed(engine, Nothing(), texts)["rows_per_second"]


def pool_of(folder: Path, rows: int) -> Pool:
    """Return so many articles."""
    datasets.write("bbc-news", folder / "news.jsonl", rows=rows)
    return read(folder / "news.jsonl")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = pool_of(folder, given.rows)
        with cluster(2) as found:
            results = {
                "rows": len(pool),
                "distinct": len(pool.texts),
                "model": MODEL,
                "max_tokens": TokenEntropies.max_tokens,
                "rounds": given.rounds,
                "precision": resolve_precision(),
                "same": same(found.address, pool, folder),
                "speed": speed(found.address, pool.texts, given.rounds),
                "handed_out_per_second": handed_out(found.address),
                "killed": killed(found, pool.texts, folder),
                "versions": {"ray": ray.__version__, "torch": torch.__version__},
            }
    write_bytes_atomically(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
