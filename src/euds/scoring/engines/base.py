"""What an engine is: it runs models on shards of texts, somewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import polars as pl

from euds.models.sources import ModelReference
from euds.models.tuning import Tuning
from euds.pool.pool import Texts
from euds.progress import Progress
from euds.scoring.scorers.base import Measurement

__all__ = ["Engine"]


class Engine(Protocol):
    """Measures shards. Results may come in any order; rows are joined by key, never by position."""

    def run(self, measurement: Measurement, shards: Iterable[Texts]) -> Iterator[pl.DataFrame]:
        """Yield one frame a shard: ``key`` and the measurement's columns, one row a text."""

    def try_out(self, reference: ModelReference, precision: str, progress: Progress) -> Tuning:
        """Return how a model is run where shards are measured; see `euds.models.tuning.try_out`."""
