"""The engine of one machine: one process that loads the model once; its threads take shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

import polars as pl

from euds.models.hardware import cores_shared_out
from euds.models.sources import ModelReference
from euds.models.tuning import Tuning, try_out
from euds.pool.pool import Texts
from euds.progress import Progress
from euds.scoring.scorers.base import Measurement

__all__ = ["LocalEngine"]


@dataclass(frozen=True)
class LocalEngine:
    """Measures in this process.

    Parameters
    ----------
    workers : int, optional
        Threads that measure shards side by side; by default as many as are of use.
    """

    workers: int | None = None

    def run(self, measurement: Measurement, shards: Iterable[Texts]) -> Iterator[pl.DataFrame]:
        """Yield one frame a shard, as they are done."""
        instrument = measurement.load()
        left = iter(shards)
        with cores_shared_out(self.workers) as workers:
            if workers == 1:
                yield from map(instrument, left)
                return
            with ThreadPoolExecutor(workers, thread_name_prefix="euds") as threads:
                # One more than are worked on, so that no thread waits while a frame is stored.
                waiting = {threads.submit(instrument, one) for one in islice(left, workers + 1)}
                try:
                    while waiting:
                        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                        waiting |= {
                            threads.submit(instrument, one) for one in islice(left, len(done))
                        }
                        yield from map(Future.result, done)
                finally:
                    for one in waiting:
                        one.cancel()

    def try_out(self, reference: ModelReference, precision: str, progress: Progress) -> Tuning:
        """Return how a model is run on this machine."""
        return try_out(reference, precision, progress)
