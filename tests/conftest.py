"""Fixtures and builders that several tests share."""

import os
from pathlib import Path

import polars as pl
import pytest

from euds.pool import POOL_SCHEMA, Pool, Source, text_key

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the cache to a new folder."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("EUDS_CACHE", str(cache))
    return cache


def make_pool(texts: list[str], *, ids: list[str] | None = None, labels=None) -> Pool:
    """Build a pool in memory; ids are the rows' numbers unless given."""
    rows = len(texts)
    frame = pl.DataFrame(
        {
            "id": ids or [f"{index:05d}" for index in range(rows)],
            "key": [text_key(text) for text in texts],
            "text": texts,
            "context": [None] * rows,
            "label": labels or [None] * rows,
            "file": ["pool.jsonl"] * rows,
            "line": list(range(1, rows + 1)),
        },
        schema=POOL_SCHEMA,
    )
    records = pl.DataFrame({"record": [f'{{"n": {index}}}' for index in range(rows)]})
    return Pool(frame, records, Source("jsonl", ".jsonl"))
