"""How a probe's accuracy grows with the number of random rows, from labels of the pool alone.

Each row is answered by probes that were not trained on it: in every draw the rows to ask are
divided into parts at random, and for each part probes are trained on random rows outside of it. The
rows of a smaller size are among those of the next larger one, so that what two sizes differ by is
not the luck of two draws. Scores are a table of draws and rows for each size, and
`euds.proof.statistics` tells how sure a difference of two sizes is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.models.sources import resolve
from euds.pool.pool import Pool
from euds.progress import Ledger, Progress, default_progress
from euds.proof.tasks import PROOF_TASKS
from euds.proof.training.probing import Probe
from euds.proof.training.protocol import Course, Rows, Samples, Settings
from euds.scoring.scores import ScoreTable
from euds.scoring.store.contents import MeasurementStore

__all__ = [
    "LEAST_LABELLED",
    "LearningCurve",
    "check_margin",
    "curve_of",
    "labelled_rows",
    "largest_size",
    "measure_curve",
    "rows_to_read",
    "samples_to_learn",
]

LEAST_LABELLED = 100
"""Fewer rows with a label than that tell nothing of a curve."""

MOST_ASKED = 2_000
_MANY_PARTS, _FEW_PARTS = 5, 2
_TUNING_FOLDS = 3

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class LearningCurve:
    """What probes trained on random rows got right.

    Parameters
    ----------
    rows : tuple of int
        The numbers of rows trained on, ascending.
    right : ndarray of bool, shape (sizes, draws, rows asked)
        Whether the answer was the label.
    majority : float
        The share of the rows asked that have the most frequent label.
    trainings : int
        Probes trained, those that tuned the regularisation included.
    seconds : float
        What it took, without vectors.
    """

    rows: tuple[int, ...]
    right: Bools
    majority: float
    trainings: int
    seconds: float

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The mean accuracy at each size."""
        return tuple(float(one) for one in self.right.mean(axis=(1, 2)))


def labelled_rows(pool: Pool, scores: ScoreTable | None) -> tuple[pl.DataFrame, str | None]:
    """Return distinct rows with something to learn, sorted by key, and where that comes from.

    Parameters
    ----------
    pool : Pool
        The samples.
    scores : ScoreTable or None
        Their scores. Where the pool has too few labels the language model's likeliest option,
        ``se_option``, stands for a label.

    Returns
    -------
    rows : polars.DataFrame
        ``key``, ``text``, ``context``, ``label``; of equal texts the one with the smallest id.
    source : {"labels", "model"} or None
        None if there is nothing to learn, or the labels are no classes; then there are no rows.
    """
    columns = ["key", "text", "context", "label"]
    own = pool.frame.select("id", *columns)
    sources = {"labels": own}
    if scores is not None and "se_option" in scores.frame.columns:
        options = scores.frame.select("id", label=pl.col("se_option").cast(pl.String))
        sources["model"] = own.drop("label").join(options, on="id", how="left")
    for source, frame in sources.items():
        rows = (
            frame.filter(pl.col("label").is_not_null())
            .sort("key", "id")
            .unique("key", keep="first", maintain_order=True)
            .select(columns)
        )
        classes = rows["label"].n_unique()
        # Free answers are nearly all different: a probe cannot learn them.
        if rows.height >= LEAST_LABELLED and 2 <= classes <= rows.height / 10:
            return rows, source
    return own.select(columns).clear(), None


def largest_size(rows: int) -> int:
    """Return how many of so many rows can be trained on at most, with each row asked once.

    >>> largest_size(1000), largest_size(100_000)
    (800, 99600)
    """
    return rows - -(-min(rows, MOST_ASKED) // _MANY_PARTS)


def rows_to_read(rows: pl.DataFrame, *, largest: int, seed: int) -> pl.DataFrame:
    """Return the rows that a curve up to this size needs, all or a random part of them.

    Four times the largest size: two draws of it then share a quarter of their rows in the mean.
    """
    most = 4 * largest + MOST_ASKED
    if rows.height <= most:
        return rows
    drawn = np.random.default_rng([seed, rows.height]).permutation(rows.height)[:most]
    return rows[np.sort(drawn)]


def samples_to_learn(rows: pl.DataFrame) -> Samples:
    """Return the rows as a trainer wants them."""
    return Samples(*(rows[name].to_list() for name in ("key", "text", "context", "label")))


def check_margin(margin_points: float) -> None:
    """Check the loss or gain, in points, from which on it counts.

    Raises
    ------
    OptionError
        If it makes no sense.
    """
    if not 0 < margin_points < 100:
        raise OptionError(
            "the margin makes no sense", got=str(margin_points), expected="points above 0"
        )


def curve_of(
    rows: pl.DataFrame,
    sizes: Sequence[int],
    *,
    stage: str,
    draws: int,
    seed: int,
    encoder: str,
    max_tokens: int,
    precision: str,
    store: MeasurementStore | None,
    ledger: Ledger | None,
    progress: Progress | None,
) -> LearningCurve:
    """Read rows with an encoder and measure the curve of a probe on them.

    Parameters
    ----------
    rows : polars.DataFrame
        From `labelled_rows`.
    sizes : sequence of int
        The numbers of rows to train on; none above `largest_size`.
    stage : str
        What the ledger calls it.
    draws, seed, encoder, max_tokens, precision, store, ledger, progress
        See `euds.pilot`; the progress is closed at the end.
    """
    spent = ledger if ledger is not None else Ledger()
    shown = progress or default_progress()
    try:
        with spent.stage(stage):
            samples = samples_to_learn(rows_to_read(rows, largest=max(sizes), seed=seed))
            probe = Probe(resolve(encoder), max_tokens, precision, store=store)
            # Sentiment, topic and yes-no are all the same to a probe: classes.
            course = probe.load(PROOF_TASKS["topic"], samples, shown)
            labels = [str(label) for label in samples.labels]
            return measure_curve(course, labels, sizes, grid=probe.grid, draws=draws, seed=seed)
    finally:
        shown.close()


def measure_curve(
    course: Course,
    labels: Sequence[str],
    sizes: Sequence[int],
    *,
    grid: Sequence[Settings],
    draws: int,
    seed: int,
) -> LearningCurve:
    """Train on random rows of each size, often, and ask rows that were not trained on.

    Parameters
    ----------
    course : Course
        A probe that has the samples.
    labels : sequence of str
        The label of each sample.
    sizes : sequence of int
        The numbers of rows to train on; none above `largest_size`.
    grid : sequence of mapping
        The settings to choose from, at each size on rows of the first draw.
    draws : int
        How often everything is drawn anew.
    seed : int
        Of all draws.

    Raises
    ------
    OptionError
        If there are fewer than two draws, which would tell nothing of their luck.
    """
    if draws < 2:
        raise OptionError("a curve needs several draws", got=str(draws), expected="2 or more")
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    names = np.array(labels)
    everything = np.arange(len(names))
    asked = np.sort(rng.permutation(everything)[:MOST_ASKED])
    sizes = sorted(sizes)
    fewest = -(-len(asked) // _FEW_PARTS)
    parts = _FEW_PARTS if sizes[-1] <= len(names) - fewest else _MANY_PARTS
    right = np.zeros((len(sizes), draws, len(asked)), dtype=np.bool_)
    tuned: dict[int, Settings] = {}
    for draw in range(draws):
        for part in np.array_split(rng.permutation(len(asked)), parts):
            ask = asked[part]
            others = rng.permutation(np.setdiff1d(everything, ask))
            for index, size in enumerate(sizes):
                fit = others[:size]
                if size not in tuned:
                    tuned[size] = _tuned(course, names, fit, grid)
                outcome = course.run(np.sort(fit), ask, seed=draw, settings=tuned[size])
                right[index, draw, part] = np.array(outcome.answers) == names[ask]
    tunings = len(grid) * _TUNING_FOLDS if len(grid) > 1 else 0
    return LearningCurve(
        rows=tuple(sizes),
        right=right,
        majority=max(Counter(names[asked].tolist()).values()) / len(asked),
        trainings=len(sizes) * (draws * parts + tunings),
        seconds=time.perf_counter() - started,
    )


def _tuned(
    course: Course, names: NDArray[np.str_], fit: Rows, grid: Sequence[Settings]
) -> Settings:
    """Return the settings that answer held out parts of these rows best; the first of equals."""
    if len(grid) == 1:
        return grid[0]
    parts = np.array_split(fit, _TUNING_FOLDS)
    points = [
        sum(
            int(
                np.sum(
                    np.array(_answers(course, np.setdiff1d(fit, part), part, one)) == names[part]
                )
            )
            for part in parts
        )
        for one in grid
    ]
    return grid[points.index(max(points))]


def _answers(course: Course, fit: Rows, ask: Rows, settings: Settings) -> tuple[str, ...]:
    return course.run(fit, ask, seed=0, settings=settings).answers
