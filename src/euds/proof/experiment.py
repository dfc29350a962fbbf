"""The experiment: the settings tuned on the random arm, then every arm with every seed.

This is the only loop over trainings. Each outcome is kept as soon as it is there, so a proof that
was killed goes on with the trainings that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool import Pool
from euds.progress import Progress
from euds.progress_bars import format_seconds
from euds.proof.arms import Arm
from euds.proof.tasks import ProofTask
from euds.proof.trained import Training, TrainingStore
from euds.proof.training import Course, Outcome, Samples, Settings, Trainer

__all__ = ["Experiment", "Run", "samples_of", "settings_of", "trainer_recipe"]

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

_PILOT_ROWS, _PILOT_STEPS = 64, 4
_VALIDATION_SHARE = 0.25
_FOLDS = 5


@dataclass(frozen=True)
class Run:
    """One arm trained with one seed.

    Parameters
    ----------
    arm : str
        The arm's name.
    seed : int
        The seed of the proof, shared by all arms.
    outcome : Outcome
        The answers for the test rows, and what they cost.
    reused : bool
        Whether the training was made earlier.
    """

    arm: str
    seed: int
    outcome: Outcome
    reused: bool


def samples_of(pool: Pool, test: Pool) -> Samples:
    """Return the rows of a proof: the pool's with their labels, then the test set's without.

    Both are sorted by key and id, so that the order of a file decides nothing.
    """
    columns = ["key", "text", "context", "label"]
    fit = pool.frame.sort("key", "id").select(columns)
    ask = test.frame.sort("key", "id").select(columns).with_columns(label=pl.lit(None, pl.String))
    rows = pl.concat([fit, ask])
    return Samples(*(rows[name].to_list() for name in columns))


def trainer_recipe(trainer: Trainer, task: ProofTask) -> dict[str, Any]:
    """Return all that decides what a trainer makes of given rows, apart from settings and seed.

    A model enters by what it is, not by the name or folder that it was found under.
    """
    parameters = {}
    for field in fields(trainer):  # type: ignore[arg-type]  # a protocol cannot say so
        if field.metadata.get("recipe", True):
            value = getattr(trainer, field.name)
            parameters[field.name] = getattr(value, "fingerprint", value)
    return {
        "trainer": trainer.name,
        "version": trainer.version,
        "parameters": parameters,
        "task": task.name,
    }


@dataclass
class Experiment:
    """A trainer with its samples, and the store of what was trained.

    Parameters
    ----------
    task : ProofTask
        What is trained.
    trainer : Trainer
        How.
    pool, test : Pool
        What is trained on, and what is asked at the end.
    seeds : sequence of int
        The seeds, the same for all arms.
    regime : {"epochs", "steps"}
        Whether all arms go through their rows equally often, or take as many steps as training on
        everything does.
    store : TrainingStore
        Where outcomes are kept.
    progress : Progress
        Is told what happens.
    """

    task: ProofTask
    trainer: Trainer
    pool: Pool
    test: Pool
    seeds: Sequence[int]
    regime: str
    store: TrainingStore
    progress: Progress

    def __post_init__(self) -> None:
        self.samples = samples_of(self.pool, self.test)
        self.recipe = trainer_recipe(self.trainer, self.task)
        ids = self.pool.frame.sort("key", "id")["id"]
        self._row_of = {sample_id: row for row, sample_id in enumerate(ids)}
        self.course: Course = self.trainer.load(self.task, self.samples, self.progress)

    @property
    def pool_rows(self) -> Rows:
        """The numbers of the pool's rows among the samples."""
        return np.arange(len(self.pool))

    @property
    def test_rows(self) -> Rows:
        """The numbers of the test set's rows among the samples."""
        return np.arange(len(self.pool), len(self.samples))

    def rows_of(self, ids: Sequence[str]) -> Rows:
        """Return the numbers of the pool's rows with these ids, sorted."""
        return np.array(sorted(self._row_of[one] for one in ids), dtype=np.int64)

    def tune(self, arm: Arm) -> tuple[Settings, list[dict[str, Any]]]:
        """Choose the trainer's settings on the random arm's first draw, and on nothing else.

        A trainer with a seed holds out a quarter of those rows; one without, which trains in no
        time, takes five folds.

        Returns
        -------
        settings : mapping of str to float
            The best of the trainer's grid; of equal ones the first.
        tried : list of dict
            Each entry of the grid with its score in points.
        """
        if len(self.trainer.grid) == 1:
            return self.trainer.grid[0], []
        rows = self.rows_of(arm.selections[0].ids)
        folds = self._folds(rows)
        self._begin("tuning", len(folds) * len(self.trainer.grid) * len(rows))
        tried = []
        for settings in self.trainer.grid:
            scores = []
            for fit, ask in folds:
                training = self._training(fit, ask, self.seeds[0], settings)
                outcome = self._train(training, "tuning")
                scores.append(self._score(outcome.answers, ask))
            tried.append({**settings, "points": 100 * float(np.concatenate(scores).mean())})
        self.progress.end("tuning")
        best = max(range(len(tried)), key=lambda index: tried[index]["points"])
        return self.trainer.grid[best], tried

    def run(self, arms: Sequence[Arm], settings: Settings) -> list[Run]:
        """Train every arm with every seed and answer the test rows."""
        planned = [
            (arm.name, seed, self._of_arm(arm, index, settings))
            for index, seed in enumerate(self.seeds)
            for arm in arms
        ]
        left = {
            digest: training
            for _, _, training in planned
            if self.store.get(digest := self._digest(training)) is None
        }
        self._estimate(list(left.values()), planned=len(planned), settings=settings)
        self._begin("training", sum(map(self._work, left.values())))
        runs = [
            Run(name, seed, self._train(training, "training"), self._digest(training) not in left)
            for name, seed, training in planned
        ]
        self.progress.end("training")
        return runs

    def scores(self, runs: Sequence[Run]) -> dict[str, dict[str, Floats]]:
        """Return, by arm and metric, the scores in [0, 1], shape ``(seeds, test rows)``.

        Test labels are looked at here and nowhere else.
        """
        right = self.test.frame.sort("key", "id")["label"].to_list()
        found: dict[str, dict[str, Floats]] = {}
        for name in dict.fromkeys(run.arm for run in runs):
            answers = [run.outcome.answers for run in runs if run.arm == name]
            found[name] = {
                metric: np.stack([score(one, right) for one in answers])
                for metric, score in self.task.metrics.items()
            }
        return found

    def _of_arm(self, arm: Arm, index: int, settings: Settings) -> Training:
        fit = self.rows_of(arm.selections[index].ids)
        return self._training(fit, self.test_rows, self.seeds[index], settings)

    def _training(self, fit: Rows, ask: Rows, seed: int, settings: Settings) -> Training:
        if not self.trainer.is_seeded:
            return Training(fit, ask, 0, None, settings)
        # Equal steps: as many as training on everything takes.
        steps = self.trainer.steps_of(len(self.pool)) if self.regime == "steps" else None
        return Training(fit, ask, seed, steps, settings)

    def _digest(self, training: Training) -> str:
        return training.digest(self.recipe, self.samples)

    def _train(self, training: Training, stage: str) -> Outcome:
        digest = self._digest(training)
        held = self.store.get(digest)
        if held is not None:
            return held
        outcome = self.course.run(
            training.fit,
            training.ask,
            seed=training.seed,
            settings=training.settings,
            steps=training.steps,
        )
        self.store.add(digest, outcome)
        seconds = outcome.training_seconds + outcome.answering_seconds
        self.progress.advance(stage, rows=self._work(training), seconds=seconds)
        return outcome

    def _work(self, training: Training) -> int:
        """Return rows to go through in training: what the time left is told by."""
        if training.steps is None:
            return len(training.fit)
        per_pass = self.trainer.steps_of(len(training.fit))
        return (
            len(training.fit)
            if not per_pass
            else round(len(training.fit) * training.steps / per_pass)
        )

    def _begin(self, stage: str, rows: int) -> None:
        self.progress.begin(stage, rows=rows, held=0, unit="rows to train on")

    def _folds(self, rows: Rows) -> list[tuple[Rows, Rows]]:
        """Return pairs of rows to fit and to ask; the rows are in the order of a hash already."""
        if self.trainer.is_seeded:
            held_out = max(1, round(len(rows) * _VALIDATION_SHARE))
            return [(rows[held_out:], rows[:held_out])]
        parts = np.array_split(rows, min(_FOLDS, len(rows)))
        return [(np.setdiff1d(rows, part), part) for part in parts]

    def _score(self, answers: Sequence[str], ask: Rows) -> Floats:
        right = [self.samples.labels[row] or "" for row in ask.tolist()]
        return self.task.metrics[self.task.metric](answers, right)

    def _estimate(self, left: Sequence[Training], *, planned: int, settings: Settings) -> None:
        """Say how many trainings are to be made and, from a short one, how long they will take."""
        told = (
            f"{planned:,} trainings of an arm with a seed, {len(left):,} of them still to be made"
        )
        if not left or not self.trainer.is_seeded:
            self.progress.note(told)
            return
        rows = self.pool_rows[:_PILOT_ROWS]
        # The first run also loads and warms up; the second tells the rate.
        for _ in range(2):
            pilot = self.course.run(rows, rows, seed=0, settings=settings, steps=_PILOT_STEPS)
        steps = sum(one.steps or self.trainer.steps_of(len(one.fit)) or 0 for one in left)
        seconds = steps * pilot.training_seconds / pilot.steps + sum(
            len(one.ask) for one in left
        ) * pilot.answering_seconds / len(rows)
        self.progress.note(
            f"{told}: about {format_seconds(seconds)}, by a short one; cheaper: fewer --seeds or "
            f"--rules, a smaller --max-tokens, or --trainer probe"
        )


def settings_of(trainer: Trainer) -> dict[str, Any]:
    """Return a trainer's name and parameters for a reader; models by their names."""
    parameters = {}
    for field in fields(trainer):  # type: ignore[arg-type]
        if field.metadata.get("recipe", True):
            value = getattr(trainer, field.name)
            parameters[field.name] = getattr(value, "name", value)
    return {"name": trainer.name, **parameters}
