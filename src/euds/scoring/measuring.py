"""Measuring: what the store holds is taken from it, the rest is measured shard by shard.

Resume lives here and nowhere else. Shards are cut from the texts that are left, sorted by length
(so that a model gets texts of like length together) and then key; a shard that is done leaves the
others as they were, so a run that was killed goes on with the very same shards.

Other processes may add to the store meanwhile, damage its files or have rows forgotten: what is not
there at the end is measured once more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from euds.errors import StoreError
from euds.pool.pool import Texts
from euds.progress import Progress, TimeLeft
from euds.scoring.engines.base import Engine
from euds.scoring.scorers.base import Measurement, recipe_id, recipe_of
from euds.scoring.store.contents import MeasurementStore

__all__ = ["Measurer", "StageRecord", "cut_shards", "rows_per_shard"]

_SECONDS = "_seconds"

# Few texts are cut into smaller shards, so that several workers have something to do and the first
# shards soon tell the time left. A shard must stay large enough to fill a batch.
_SHARDS_AT_LEAST = 32
_ROWS_AT_LEAST = 8
_WORK_AT_LEAST = 1024  # tokens
_ROUNDS = 5  # of measuring; more than one only where rows went away meanwhile


@dataclass(frozen=True)
class StageRecord:
    """What one measurement of a run cost.

    Parameters
    ----------
    stage : str
        The measurement's name.
    recipe : dict
        Its recipe in full.
    texts, measured : int
        Distinct texts asked for, and those that the store did not hold yet.
    seconds : float
        Time spent in this run, loading the model included.
    spent_seconds : float or None
        Time that measuring all of the texts took, in this run or earlier ones; None if the store
        does not know.
    """

    stage: str
    recipe: dict[str, Any]
    texts: int
    measured: int
    seconds: float
    spent_seconds: float | None


@dataclass
class Measurer:
    """Measures texts through a store and an engine; callable as the scorers' ``measure``.

    Parameters
    ----------
    store : MeasurementStore
        Where measurements are kept.
    engine : Engine
        Where shards are measured.
    progress : Progress
        Is told what happens.
    stages : list of StageRecord
        Filled in as measurements are made.
    """

    store: MeasurementStore
    engine: Engine
    progress: Progress
    stages: list[StageRecord] = field(default_factory=list)

    def __call__(self, measurement: Measurement, texts: Texts) -> pl.DataFrame:
        """Return the measurement of each text, sorted by key; only what is missing is measured."""
        recipe = recipe_of(measurement)
        started = time.perf_counter()
        measured = 0
        held, left = self._look_up(recipe, texts)
        for _ in range(_ROUNDS):
            if not len(left):
                break
            self._measure(measurement, recipe, left, texts)
            measured += len(left)
            self.store.merge(recipe)
            held, left = self._look_up(recipe, texts)
        seconds = time.perf_counter() - started
        spent = None if held is None else _spent_seconds(held)
        self.stages.append(
            StageRecord(measurement.name, recipe, len(texts), measured, seconds, spent)
        )
        if held is None or len(left):
            raise StoreError(
                f"{len(left):,} rows that were just added to the store are not in it",
                where=str(self.store.folder(recipe)),
                got=f"{len(texts) - len(left):,} of {len(texts):,} rows",
                expected="nobody who removes or damages them again and again",
                next_step="let the other process end, and give the same command again",
            )
        return held.drop(_SECONDS, strict=False)

    def _look_up(self, recipe: dict[str, Any], texts: Texts) -> tuple[pl.DataFrame | None, Texts]:
        """Return the rows that the store holds, and the texts that it lacks."""
        rows = self.store.rows(recipe)
        if rows is None:
            return None, texts
        held = rows.join(texts.frame.select("key"), on="key", how="semi")
        return held, Texts(texts.frame.join(held, on="key", how="anti"))

    def _measure(
        self, measurement: Measurement, recipe: dict[str, Any], left: Texts, asked: Texts
    ) -> None:
        stage = measurement.name
        self.progress.begin(stage, rows=len(asked), held=len(asked) - len(left))
        time_left = TimeLeft(float(measurement.work(left).sum()))
        shares: dict[str, float] = {}  # by a shard's first key
        begun, started = 0.0, None

        def handed_out() -> Iterator[Texts]:
            # An engine asks for the first shard once the model is loaded.
            nonlocal begun, started
            for shard in cut_shards(left, rows_per_shard(measurement, left)):
                started = started or time.perf_counter()
                shares[shard.keys[0]] = share = float(measurement.work(shard).sum())
                begun += share
                yield shard

        tick, done = time.perf_counter(), 0
        for rows in self.engine.run(measurement, handed_out()):
            done += rows.height
            now = time.perf_counter()
            finished = shares.pop(str(rows["key"].min()), 0.0)
            begun -= finished
            since = max(tick, started or tick)
            seconds_left = time_left.after(finished, seconds=now - since, begun=begun)
            # A row remembers its cost, so that a later run that finds it here can count it too.
            # With several workers that is the time since the last shard: the sum is what passed.
            cost = pl.lit((now - tick) / rows.height, dtype=pl.Float64)
            self.store.add(recipe, rows.with_columns(cost.alias(_SECONDS)))
            self.progress.advance(stage, rows=rows.height, seconds=now - tick, left=seconds_left)
            tick = now
        self.progress.end(stage)
        assert done == len(left), f"{recipe_id(recipe)}: {len(left)} texts in, {done} rows out"


def _spent_seconds(held: pl.DataFrame) -> float | None:
    """Return what measuring the rows took; rows of an older store cost what the others did."""
    mean = held[_SECONDS].mean() if _SECONDS in held.columns else None
    return None if mean is None else float(mean) * held.height  # type: ignore[arg-type]


def rows_per_shard(measurement: Measurement, texts: Texts) -> int:
    """Return how many texts make a shard; fewer than the measurement takes where they are few."""
    work = float(measurement.work(texts).sum())
    few = max(len(texts) / _SHARDS_AT_LEAST, len(texts) * _WORK_AT_LEAST / max(work, 1))
    return min(max(_ROWS_AT_LEAST, math.ceil(few)), measurement.rows_per_shard)


def cut_shards(texts: Texts, rows_per_shard: int) -> Iterator[Texts]:
    """Cut texts into shards of like length; the middle one first, then the middles of both halves.

    So the first few shards are as long as all are on average, and tell the time of the rest.
    """
    by_length = texts.frame.sort(
        pl.col("text").str.len_bytes() + pl.col("context").str.len_bytes().fill_null(0), "key"
    )
    parts = [(0, -(-by_length.height // rows_per_shard))]
    for first, last in parts:  # it grows
        if first < last:
            middle = (first + last) // 2
            yield Texts(by_length[middle * rows_per_shard :][:rows_per_shard].sort("key"))
            parts += [(first, middle), (middle + 1, last)]
