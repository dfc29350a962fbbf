"""The engine of one machine: one process that loads the model once and takes shards in turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from euds.pool import Texts
from euds.scorers.base import Measurement

__all__ = ["LocalEngine"]


@dataclass(frozen=True)
class LocalEngine:
    """Measures in this process; the model's own threads use all cores."""

    def run(self, measurement: Measurement, shards: Iterable[Texts]) -> Iterator[pl.DataFrame]:
        """Yield one frame a shard, in order."""
        instrument = measurement.load()
        for shard in shards:
            yield instrument(shard)
