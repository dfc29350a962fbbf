"""Pools with scores, labels and vectors, for the tests of the rules."""

import numpy as np
import polars as pl

from euds.pool.pool import Pool
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors
from tests.conftest import make_pool


def unit_vectors(rows: int, dimensions: int = 8, *, seed: int = 0) -> np.ndarray:
    """Return random vectors of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def vectors_for(pool: Pool, array: np.ndarray) -> Vectors:
    """Return vectors of the pool's rows, which are given in the order of the rows."""
    by_key = dict(zip(pool.frame["key"], array, strict=True))
    keys = tuple(sorted(by_key))
    return Vectors(keys, np.stack([by_key[key] for key in keys]), None)


def rich_pool(
    rows: int = 150, *, seed: int = 0, labels: list[str | None] | None = None
) -> tuple[Pool, ScoreTable, Vectors]:
    """Return a pool with repeats and every score, three labels (some missing), and vectors."""
    rng = np.random.default_rng(seed)
    texts = [f"text number {index}" for index in range(rows - 10)]
    texts += texts[:10]  # repeats
    if labels is None:
        labels = [str(rng.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1])) for _ in texts]
        labels[40:45] = [None] * 5
    pool = make_pool(texts, labels=labels)
    names = ("ie", "ge", "se", "ge_nll")
    more = np.random.default_rng([seed, 1])
    table = ScoreTable(
        pl.DataFrame(
            {
                "id": pool.frame["id"],
                **{name: rng.normal(size=rows) for name in names},
                "words": rng.integers(5, 60, rows),
                "ge_tokens": rng.integers(5, 60, rows),
                "ge_hes": more.normal(size=rows),
                "ge_ifd": more.lognormal(-0.3, 0.4, rows),  # some above 1
            }
        )
    )
    vectors = unit_vectors(rows, seed=seed)
    vectors[-10:] = vectors[:10]
    return pool, table, vectors_for(pool, vectors)


def shuffled(pool: Pool, table: ScoreTable, *, seed: int) -> tuple[Pool, ScoreTable]:
    """Return the same rows in other orders."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    mixed = Pool.of(pool.frame[order], pool.records[order], pool.source)
    return mixed, ScoreTable(table.frame[rng.permutation(len(pool))])
