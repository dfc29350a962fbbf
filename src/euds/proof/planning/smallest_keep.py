"""The smallest share of random rows that certainly loses less than the margin against all rows.

A learning curve on the pool's labels (`euds.proof.planning.learning_curve`) goes up to about four
fifths of the rows, for those that are asked cannot be trained on. What is left to the whole pool is
bounded by what the last doubling gained, for a doubling seldom gains more than the one before it::

    loss(k) <= a(top) - a(k) + log2(pool / top) * (a(top) - a(top / 2))

with ``a`` the accuracy at a number of rows. That is a mean over the same draws and rows, and its
upper bound comes from `euds.proof.statistics`. Sizes are tried from the largest down to the first
that may lose the margin: a fixed sequence, so that each may be tested at the full level (Wiens
2003, *Pharm. Stat.* 2:211). Between two sizes the bound is interpolated on the logarithm of the
rows, where learning curves are concave, so that the straight line is above the loss.

It is a statement about random rows and a probe; a rule may need fewer rows or more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from euds.errors import InputError
from euds.pool.pool import Pool
from euds.progress import Ledger, Progress
from euds.proof.arms import FEWEST_ROWS
from euds.proof.planning.learning_curve import (
    LEAST_LABELLED,
    LearningCurve,
    check_margin,
    curve_of,
    labelled_rows,
    largest_size,
)
from euds.proof.statistics import Estimate, difference_of
from euds.scoring.store.contents import MeasurementStore

__all__ = ["MOST_ROWS", "SmallestKeep", "loss_at", "smallest_keep", "smallest_of"]

MOST_ROWS = 10_000
"""The largest size tried; beyond, only the last doubling speaks."""

_CONFIDENCE = 0.95
_SIZES = 7


@dataclass(frozen=True)
class SmallestKeep:
    """The smallest share, and how it was found.

    Parameters
    ----------
    results : dict
        What `docs/regime.md` describes; plain values.
    """

    results: dict[str, Any]

    @property
    def keep(self) -> float:
        """The share of the pool's rows to keep; 1.0 where none is certainly enough."""
        return float(self.results["keep"])

    def __str__(self) -> str:
        return str(self.results["sentence"])


def smallest_keep(
    pool: Pool,
    *,
    margin_points: float = 1.0,
    draws: int = 5,
    seed: int = 0,
    encoder: str = "minilm-l6",
    max_tokens: int = 128,
    precision: str = "auto",
    store: MeasurementStore | None = None,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> SmallestKeep:
    """Find the smallest share of the pool that loses less than the margin against all of it.

    Labels are used, of the pool alone.

    Parameters
    ----------
    pool : Pool
        The samples, with labels that are classes. A test set has no part in this.
    margin_points : float
        The loss in points from which on it counts.
    draws, seed, encoder, max_tokens, precision, store, progress
        See `euds.pilot`.
    ledger : Ledger, optional
        Gets the seconds, vectors included, under ``smallest budget``.

    Returns
    -------
    SmallestKeep

    Raises
    ------
    OptionError
        If the margin makes no sense.
    InputError
        If the pool has too few labels, or they are no classes.
    """
    check_margin(margin_points)
    rows, source = labelled_rows(pool, None)
    if source is None:
        raise InputError(
            "the smallest budget is found with labels, and there are too few",
            got=f"{pool.rows['label'].count():,} of {len(pool):,} rows with a label, "
            f"{len(pool.label_names):,} different ones",
            expected=f"{LEAST_LABELLED} distinct texts or more with a label, in two classes or "
            "more with ten rows each in the mean",
            next_step="name the column of the label with --label, or give a budget: --keep 0.16",
        )
    top = min(largest_size(rows.height), MOST_ROWS)
    sizes = [top // 2**step for step in range(_SIZES) if top // 2**step >= 2 * FEWEST_ROWS]
    curve = curve_of(
        rows,
        sizes,
        stage="smallest budget",
        draws=draws,
        seed=seed,
        encoder=encoder,
        max_tokens=max_tokens,
        precision=precision,
        store=store,
        ledger=ledger,
        progress=progress,
    )
    # A repeat teaches what its text has taught already, and no rule but full keeps it.
    distinct = pool.rows["key"].n_unique()
    found = smallest_of(curve, pool_rows=distinct, margin_points=margin_points)
    return SmallestKeep(
        {**found, "keep": found["rows"] / len(pool)} if found["rows"] < distinct else found
    )


def loss_at(curve: LearningCurve, index: int, *, pool_rows: int) -> tuple[Estimate, float]:
    """Return the loss of a size against the whole pool, over a factor that is returned as well.

    Parameters
    ----------
    curve : LearningCurve
        A curve whose last size is twice the one before.
    index : int
        Which of its sizes.
    pool_rows : int
        The rows of the whole pool.

    Returns
    -------
    loss : Estimate
        Of the loss divided by the factor, so that it is a difference of scores in [0, 1].
    factor : float
    """
    ahead = max(math.log2(pool_rows / curve.rows[-1]), 0.0)
    top, half, here = (curve.right[at].astype(np.float64) for at in (-1, -2, index))
    factor = 1 + ahead
    return difference_of(top, (here + ahead * half) / factor), factor


def smallest_of(curve: LearningCurve, *, pool_rows: int, margin_points: float) -> dict[str, Any]:
    """Return the smallest number of rows whose loss is certainly below the margin.

    Parameters
    ----------
    curve : LearningCurve
        Sizes that double, up to nearly the whole pool.
    pool_rows : int
        The rows of the whole pool.
    margin_points : float
        The loss in points from which on it counts.
    """
    losses = [loss_at(curve, index, pool_rows=pool_rows) for index in range(len(curve.rows))]
    means = [100 * factor * one.mean for one, factor in losses]
    # One-sided: the upper end of the two-sided interval that leaves 5 % above it.
    uppers = [100 * factor * one.interval(2 * _CONFIDENCE - 1)[1] for one, factor in losses]
    rows = _first_below([*curve.rows, pool_rows], [*uppers, 0.0], margin_points)
    results = {
        "keep": rows / pool_rows,
        "rows": rows,
        "margin_points": margin_points,
        "confidence": _CONFIDENCE,
        "upper_loss_points": _interpolated(rows, [*curve.rows, pool_rows], [*uppers, 0.0]),
        "curve": [
            {
                "rows": size,
                "accuracy_points": 100 * accuracy,
                "loss_points": mean,
                "upper_loss_points": upper,
            }
            for size, accuracy, mean, upper in zip(
                curve.rows, curve.accuracies, means, uppers, strict=True
            )
        ],
        "majority_points": 100 * curve.majority,
        "draws": curve.right.shape[1],
        "rows_asked": curve.right.shape[2],
        "trainings": curve.trainings,
    }
    return {**results, "sentence": _sentence(results, pool_rows)}


def _first_below(sizes: Sequence[int], uppers: Sequence[float], margin: float) -> int:
    """Return the smallest size down to which every upper bound is below the margin.

    >>> _first_below([100, 200, 400], [3.0, 0.5, 0.0], 1.0)
    175
    >>> _first_below([100, 200, 400], [0.9, 1.5, 0.0], 1.0)
    252
    """
    passed = len(sizes) - 1  # all rows lose nothing
    while passed and uppers[passed - 1] < margin:
        passed -= 1
    if not passed:
        return sizes[0]
    # On the line to the size that failed, the point where the margin is reached, rounded up.
    above, below = uppers[passed - 1], uppers[passed]
    part = (above - margin) / (above - below)
    rows = float(sizes[passed - 1] * (sizes[passed] / sizes[passed - 1]) ** part)
    return min(math.floor(rows) + 1, sizes[passed])


def _interpolated(rows: int, sizes: Sequence[int], uppers: Sequence[float]) -> float:
    return float(np.interp(math.log(rows), np.log(sizes), uppers))


def _sentence(results: dict[str, Any], pool_rows: int) -> str:
    rows, margin = results["rows"], results["margin_points"]
    points = f"{margin:g} point{'' if margin == 1 else 's'}"
    how = (
        f"one-sided {100 * results['confidence']:g} %, a probe on random rows, "
        f"{results['draws']} draws; labels were used"
    )
    if rows >= pool_rows:
        return f"no share of the rows is certain to lose less than {points}: all are kept ({how})"
    return (
        f"{rows:,} of {pool_rows:,} rows ({rows / pool_rows:.1%}) lose at most "
        f"{results['upper_loss_points']:.1f} points against all of them ({how})"
    )
