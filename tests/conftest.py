"""Fixtures and builders that several tests share."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from euds.pool.pool import POOL_SCHEMA, Pool, Source, text_key

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the cache to a new folder."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("EUDS_CACHE", str(cache))
    monkeypatch.delenv("EUDS_STORE", raising=False)
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
    return Pool.of(frame, records, Source("jsonl", ".jsonl"))


@contextlib.contextmanager
def loaded_script(path: str) -> Iterator[ModuleType]:
    """Give a script of the repository, such as ``benchmarks/pools.py``, as a module."""
    place = Path(__file__).parents[1] / path
    spec = importlib.util.spec_from_file_location(f"script_{place.stem}", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights."""
    from tests.models.conftest import save_bert  # loads torch, which most tests do without

    return save_bert(tmp_path_factory.mktemp("encoder"))
