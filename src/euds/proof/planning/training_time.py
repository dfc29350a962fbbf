"""How many rows can be trained on in a given time.

Training takes as long as it has rows. What a row takes is either told, or timed: the trainer makes
a few steps on rows of the pool, twice, since the first run also loads and warms up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from euds.errors import InputError, OptionError
from euds.pool.pool import Pool
from euds.progress import SilentProgress, format_seconds
from euds.proof.planning.learning_curve import LEAST_LABELLED, labelled_rows, samples_to_learn
from euds.proof.prove import make_proof_settings
from euds.proof.tasks import proof_task_named
from euds.proof.training.protocol import Trainer
from euds.proof.training.trainers import trainer_named

__all__ = ["TrainingTime", "check_seconds", "rows_in_time", "seconds_a_row", "training_time"]

_TIMED_ROWS, _TIMED_STEPS = 64, 8


@dataclass(frozen=True)
class TrainingTime:
    """How many rows fit, and how that was found.

    Parameters
    ----------
    results : dict
        ``seconds``, ``seconds_a_row``, ``rows``, ``timed`` and ``sentence``.
    """

    results: dict[str, Any]

    @property
    def rows(self) -> int:
        """The number of rows that fit, perhaps more than there are."""
        return int(self.results["rows"])

    def __str__(self) -> str:
        return str(self.results["sentence"])


def check_seconds(seconds: float, *, of: str) -> None:
    """Check a number of seconds.

    Raises
    ------
    OptionError
        If it makes no sense.
    """
    if not 0 < seconds < math.inf:
        raise OptionError(
            f"the seconds of {of} make no sense", got=f"{seconds:g}", expected="above 0"
        )


def rows_in_time(seconds: float, row_seconds: float) -> int:
    """Return how many rows fit.

    Raises
    ------
    OptionError
        If a number makes no sense, or not one row fits.

    >>> rows_in_time(60, 0.25)
    240
    """
    check_seconds(seconds, of="training")
    check_seconds(row_seconds, of="a row")
    rows = math.floor(round(seconds / row_seconds, 6))
    if rows < 1:
        raise OptionError(
            "the time does not suffice for one row",
            got=f"{seconds:g} s, and {row_seconds:g} s a row",
            next_step="give more time: --keep-seconds",
        )
    return rows


def training_time(
    pool: Pool,
    seconds: float,
    *,
    row_seconds: float | None = None,
    **settings: Any,
) -> TrainingTime:
    """Find how many rows of a pool can be trained on in a given time.

    Parameters
    ----------
    pool : Pool
        The samples; with labels if ``row_seconds`` is to be timed.
    seconds : float
        How long training may take, all epochs together.
    row_seconds : float, optional
        What your training takes a row, all epochs together. Without it fine-tuning is timed on some
        rows of the pool.
    **settings
        Fields of `euds.proof.prove.ProofSettings` for that: ``task``, ``encoder``, ``epochs``,
        ``max_tokens`` and so on.

    Returns
    -------
    TrainingTime

    Raises
    ------
    OptionError
        If a number makes no sense.
    InputError
        If there are too few labels to train on.
    """
    timed = row_seconds is None
    told = "as was told"
    if row_seconds is None:
        check_seconds(seconds, of="training")  # a mistake in it should not cost a trial
        chosen = make_proof_settings(**settings)
        trainer = trainer_named("fine-tune", chosen.trainer_options)
        row_seconds = seconds_a_row(pool, trainer, task=chosen.task)
        told = f"by a trial: {chosen.encoder}, {chosen.epochs} epochs, on this machine"
    rows = rows_in_time(seconds, row_seconds)
    return TrainingTime(
        {
            "seconds": seconds,
            "seconds_a_row": row_seconds,
            "rows": rows,
            "timed": timed,
            "sentence": f"{min(rows, len(pool)):,} rows are trained on in about "
            f"{format_seconds(min(rows, len(pool)) * row_seconds)}, at {row_seconds:.3g} s a row "
            f"({told})",
        }
    )


def seconds_a_row(pool: Pool, trainer: Trainer, *, task: str) -> float:
    """Return what a trainer takes for a row of the pool, all its epochs together.

    Raises
    ------
    InputError
        If there are too few labels to train on.
    """
    rows, source = labelled_rows(pool, None)
    if source is None:
        raise InputError(
            "what training takes is timed with labels, and there are too few",
            got=f"{pool.rows['label'].count():,} of {len(pool):,} rows with a label",
            expected=f"{LEAST_LABELLED} distinct texts or more with a label, in classes",
            next_step="tell what it takes a row, all epochs together: --row-seconds 0.05",
        )
    course = trainer.load(proof_task_named(task), samples_to_learn(rows), SilentProgress())
    some = np.random.default_rng(0).permutation(rows.height)[:_TIMED_ROWS]
    for _ in range(2):
        trial = course.run(
            np.sort(some), some[:1], seed=0, settings=trainer.grid[0], steps=_TIMED_STEPS
        )
    steps = trainer.steps_of(rows.height) or trial.steps
    return trial.training_seconds / trial.steps * steps / rows.height
