"""Near-duplicates, clusters and coverage of many rows: how long, how much memory, how good.

    python benchmarks/many_rows.py [--most 1000000]

1. Leaving out near-duplicates (`euds.selection.near_duplicates.stand_ins`) of more and more rows:
made-up
   rows as those of rows.py; and crowded ones, of which a fifth are copies of others with a word
   left out, doubled or swapped, and a tenth are one message with a number in it.
2. k-center, k-means and the strata of the rule ``auto`` on made-up vectors of 384 numbers in 2,000
   clusters of different width: the ways for many rows against those for few on as many rows as the
   latter can do, and then on more and more rows.

Each measurement is a process of its own, by the operating system's own accounting; seconds are
those of the processor. Rows and vectors are made before the clock starts, and count in the memory.
Writes results/many_rows.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pools import edited
from rows import write_rows

from euds.selection.near_duplicates import stand_ins
from euds.selection.rules import clustering
from euds.selection.rules.clustering import strata_of
from euds.selection.rules.coverage import farthest_by_levels, farthest_first

RESULTS = Path(__file__).parent / "results" / "many_rows.json"
KEEP = 0.16
KEEP_OF_MOST = 0.01
FEW = 30_000
"""Rows on which the ways for few are measured: more take them very long."""
SIZES = (100_000, 300_000)
DIMENSIONS = 384
CLUSTERS = 2_000
COPIES, MESSAGES = 0.2, 0.1

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]


def texts_of(kind: str, rows: int) -> pl.Series:
    """Return made-up rows, or crowded ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, rows)
        texts = pl.read_ndjson(path)["text"]
    if kind == "made-up":
        return texts
    rng = np.random.default_rng(0)
    copies, messages = round(COPIES * rows), round(MESSAGES * rows)
    others = texts[: rows - copies - messages]
    originals = others.gather(rng.integers(len(others), size=copies))
    message = "your parcel number {} is on its way and will be with you this afternoon, thank you"
    crowd = pl.concat(
        [
            others,
            pl.Series([edited(text, share=0.02, rng=rng) for text in originals]),
            pl.Series([message.format(number) for number in range(messages)]),
        ]
    )
    return crowd.gather(rng.permutation(rows))


def vectors_of(rows: int) -> Vectors:
    """Return unit vectors around 2,000 centres, half of which have them closer."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, DIMENSIONS), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    widths = np.where(np.arange(CLUSTERS) % 2, 0.4, 1.0) / np.sqrt(DIMENSIONS)
    vectors = np.empty((rows, DIMENSIONS), dtype=np.float32)
    for start in range(0, rows, 50_000):
        stop = min(start + 50_000, rows)
        own = rng.integers(CLUSTERS, size=stop - start)
        noise = rng.standard_normal((stop - start, DIMENSIONS), np.float32)
        block = centres[own] + noise * widths[own, None].astype(np.float32)
        vectors[start:stop] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def radius(vectors: Vectors, chosen: Numbers) -> float:
    """Return the largest distance from a row to the nearest chosen one."""
    farthest = 0.0
    for start in range(0, len(vectors), 4_096):
        block = vectors[start : start + 4_096]
        cosines = np.max([(block @ part.T).max(axis=1) for part in parts(vectors, chosen)], axis=0)
        farthest = max(farthest, float(np.sqrt(np.maximum(2 - 2 * cosines, 0)).max()))
    return farthest


def parts(vectors: Vectors, chosen: Numbers) -> list[Vectors]:
    """Return the chosen rows, some at a time."""
    return [vectors[chosen[start : start + 4_096]] for start in range(0, len(chosen), 4_096)]


def peak_mib() -> int:
    """Return the largest memory that this process has had."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Do some work; return what it gave, its seconds, and the memory before and at most."""
    before, started = peak_mib(), time.process_time()
    found = work()
    seconds = time.process_time() - started
    return found, {
        "processor_seconds": round(seconds, 2),
        "data_mib": before,
        "peak_mib": peak_mib(),
    }


def near_duplicates(kind: str, rows: int) -> dict[str, Any]:
    """Leave out near-duplicates."""
    texts = texts_of(kind, rows)
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    found, cost = timed(lambda: stand_ins(texts, nothing))
    return {
        "megabytes": round(int(texts.str.len_bytes().sum()) / 1e6, 1),
        "left_out": int((found != np.arange(rows)).sum()),
        **cost,
    }


def on_vectors(what: str, rows: int, keep: int) -> dict[str, Any]:
    """Choose by vectors, or put them into clusters; ``what`` ends in the way if there are two."""
    rule, _, way = what.partition(", ")
    vectors = vectors_of(rows)
    lots = np.random.default_rng(1).permutation(rows).astype(np.uint64)
    clustering.MOST_AT_ONCE = rows if way == "for few" else rows - 1
    choose = farthest_first if way == "for few" else farthest_by_levels
    work: dict[str, Callable[[], Any]] = {
        "k-center": lambda: choose(vectors, count=keep, lots=lots, covered_by=vectors[:0]),
        "k-means": lambda: clustering.clustered(vectors, keep, lots=lots, seed=0),
        "strata": lambda: strata_of(vectors, keep, lots=lots, seed=0),
        "random": lambda: np.argsort(lots)[:keep],
    }
    found, cost = timed(work[rule])
    if rule == "k-means":
        cost["mean_distance_to_centre"] = round(float(found[1].mean()), 4)
    elif rule in ("k-center", "random") and rows == FEW:
        cost["radius"] = round(radius(vectors, found), 4)
    return {"keep": keep, **cost}


def fresh(what: str, rows: int, keep: int = 0) -> dict[str, Any]:
    """Return one measurement, made by a process of its own."""
    command = [sys.executable, __file__, "--one", what, str(rows), str(keep)]
    completed = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if completed.returncode:
        sys.exit(f"{what} of {rows:,} rows failed")
    found = {"what": what, "rows": rows, **json.loads(completed.stdout)}
    print(json.dumps(found), flush=True)
    return found


def one(what: str, rows: int, keep: int) -> dict[str, Any]:
    """Return one measurement, made here."""
    rule, _, kind = what.partition(", ")
    if rule == "near-duplicates":
        return near_duplicates(kind, rows)
    return on_vectors(what, rows, keep)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="rows")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, rows, keep = arguments.one
        print(json.dumps(one(what, int(rows), int(keep))))
        return
    sizes = sorted({size for size in SIZES if size < arguments.most} | {arguments.most})
    result = {
        "python": platform.python_version(),
        "polars": pl.__version__,
        "near-duplicates": [
            fresh(f"near-duplicates, {kind}", rows)
            for kind in ("made-up", "crowded")
            for rows in sizes
        ],
        "two ways": [
            fresh(what, FEW, round(KEEP * FEW))
            for what in (
                "k-center, for few",
                "k-center, for many",
                "k-means, for few",
                "k-means, for many",
                "random",
            )
        ],
        "many": [
            fresh(f"{rule}, for many", rows, round(keep * rows))
            # Of the most rows few are kept, because time grows with both.
            for rows, keep in ((sizes[0], KEEP), (sizes[-1], KEEP_OF_MOST))
            for rule in ("k-center", "k-means", "strata")
        ],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
