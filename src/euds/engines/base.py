"""What an engine is: it maps a measurement over shards, somewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import polars as pl

from euds.pool import Texts
from euds.scorers.base import Measurement

__all__ = ["Engine"]


class Engine(Protocol):
    """Measures shards. Results may come in any order; rows are joined by key, never by position."""

    def run(self, measurement: Measurement, shards: Iterable[Texts]) -> Iterator[pl.DataFrame]:
        """Yield one frame a shard: ``key`` and the measurement's columns, one row a text."""
