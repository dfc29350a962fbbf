"""A selection: what was kept, and why everything else was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from euds.pool.pool import Pool
from euds.writing import write_subset

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """The rows kept of a pool, and the reason of every row dropped.

    Parameters
    ----------
    pool : Pool
        The pool.
    frame : polars.DataFrame
        One row a sample, in the pool's order: ``id``, ``kept``, ``reason`` (null where kept),
        ``rank_<score>`` (null where there is none), ``inclusion`` (the probability with which the
        row was to be kept) and ``duplicate_of`` (the id of the equal row that stands for it).
    settings : dict
        Rule, budget, interval, seed: all that made the selection, apart from pool and scores.
    diagnosis : dict
        What a reader should know of the scores: correlations, ties, ranges, warnings.
    """

    pool: Pool
    frame: pl.DataFrame
    settings: dict[str, Any]
    diagnosis: dict[str, Any] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The ids kept, in the pool's order."""
        return self.frame.filter("kept")["id"].to_list()

    def __len__(self) -> int:
        return int(self.frame["kept"].sum())

    @property
    def warnings(self) -> Sequence[str]:
        """What should be read before the subset is used."""
        return tuple(self.diagnosis.get("warnings", ()))

    @property
    def reasons(self) -> dict[str, int]:
        """The number of dropped rows by reason, most frequent first."""
        counts = self.frame.filter(~pl.col("kept"))["reason"].value_counts()
        return dict(counts.sort(["count", "reason"], descending=[True, False]).iter_rows())

    @property
    def weights(self) -> pl.Series:
        """1 / inclusion of the rows kept, in the pool's order, scaled to a mean of 1.

        A loss weighted by them is, but for the scale, unbiased for the loss over all rows that
        could be kept, if each of these could (``soft``, or a draw).
        """
        weights = 1 / self.frame.filter("kept")["inclusion"]
        return weights / weights.sum() * len(weights)

    def write(self, path: str | Path, *, weights: bool = False) -> Path:
        """Write the kept rows in the input's own format, order and encoding; return the path.

        With ``weights`` they get a last column ``euds_weight``.
        """
        return write_subset(
            self.pool, self.ids, Path(path), weights=self.weights if weights else None
        )
