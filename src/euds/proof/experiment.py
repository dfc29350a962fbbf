"""The experiment: the settings tuned on the random arm, then every arm with every seed.

This is the only loop over trainings. Each outcome is kept as soon as it is there, so a proof that
was killed goes on with the trainings that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool.pool import Pool
from euds.progress import Progress, TimeLeft, format_seconds
from euds.proof.arms import RANDOM, Arm
from euds.proof.tasks import ProofTask
from euds.proof.training.protocol import Course, Outcome, Samples, Settings, Trainer
from euds.proof.training.trained import Training, TrainingStore

__all__ = ["Experiment", "Run", "samples_of", "settings_of", "trainer_recipe"]

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

_UNIT = "rows to train on"
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
        self.seconds = {"training": 0.0, "evaluating": 0.0}
        self.samples = samples_of(self.pool, self.test)
        self.recipe = trainer_recipe(self.trainer, self.task)
        ids = self.pool.rows.sort("key", "id")["id"]
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

    @property
    def equal_steps(self) -> bool:
        """Whether every arm takes as many steps as training on everything does."""
        return self.regime == "steps" and self.trainer.is_seeded

    def announce(self, arms: Sequence[Arm], *, tuned_on: str = RANDOM) -> None:
        """Say how many trainings there will be, and about how long they will take.

        A trainer with steps makes a short training to tell that from. What is found made already
        when it comes to it will not take that long. The arms of the rule ``tuned_on`` are those
        that the settings are tuned on.
        """
        grid = self.trainer.grid
        tuning = [
            self._validation(fit, ask, grid[0])
            for arm in arms
            if arm.rule == tuned_on and len(grid) > 1
            for fit, ask in self._folds(self.rows_of(arm.selections[0].ids))
        ] * len(grid)
        planned = [
            self._of_arm(arm, index, grid[0]) for index in range(len(self.seeds)) for arm in arms
        ]
        told = f"{len(planned):,} trainings, after {len(tuning):,} short ones to tune the settings"
        if not self.trainer.is_seeded:
            self.progress.note(told)
            return
        rows = self.pool_rows[:_PILOT_ROWS]
        # The first run also loads and warms up; the second tells the rate.
        for _ in range(2):
            pilot = self.course.run(rows, rows, seed=0, settings=grid[0], steps=_PILOT_STEPS)
        steps = sum(
            one.steps or self.trainer.steps_of(len(one.fit)) or 0 for one in [*planned, *tuning]
        )
        asked = sum(len(one.ask) for one in [*planned, *tuning])
        seconds = steps * pilot.training_seconds / pilot.steps
        seconds += asked * pilot.answering_seconds / len(rows)
        self.progress.note(
            f"{told}: about {format_seconds(seconds)}, less what was trained before; cheaper: "
            f"fewer --seeds or --rules, a smaller --train-tokens, or --trainer probe"
        )

    def tune(self, arm: Arm) -> tuple[Settings, list[dict[str, Any]]]:
        """Choose the trainer's settings on the random arm's first draw, and on nothing else.

        A trainer with a seed holds out a quarter of those rows; one without, which trains in no
        time, takes five folds. It goes through them for its number of epochs in either regime.

        Returns
        -------
        settings : mapping of str to float
            The best of the trainer's grid; of equal ones the first.
        tried : list of dict
            Each entry of the grid with its score in points.
        """
        if len(self.trainer.grid) == 1:
            return self.trainer.grid[0], []
        folds = self._folds(self.rows_of(arm.selections[0].ids))
        left = len(self.trainer.grid) * sum(len(fit) for fit, _ in folds)
        self.progress.begin("tuning", rows=left, held=0, unit=_UNIT)
        self._time_left = TimeLeft(left)
        tried = []
        for settings in self.trainer.grid:
            scores = []
            for fit, ask in folds:
                outcome = self._train(self._validation(fit, ask, settings), "tuning")
                scores.append(self._score(outcome.answers, ask))
            tried.append({**settings, "points": 100 * float(np.concatenate(scores).mean())})
        self.progress.end("tuning")
        best = max(range(len(tried)), key=lambda index: tried[index]["points"])
        return self.trainer.grid[best], tried

    def run(self, arms: Sequence[Arm], settings: Mapping[int, Settings]) -> list[Run]:
        """Train every arm with every seed and answer the test rows.

        Parameters
        ----------
        arms : sequence of Arm
            The arms.
        settings : mapping of int to Settings
            What was tuned, by the number of rows. Other numbers of rows take the settings of the
            largest.
        """
        tuned = {arm.name: settings.get(arm.rows, settings[max(settings)]) for arm in arms}
        planned = [
            (arm.name, seed, self._of_arm(arm, index, tuned[arm.name]))
            for index, seed in enumerate(self.seeds)
            for arm in arms
        ]
        left = {
            digest: training
            for _, _, training in planned
            if self.store.get(digest := self._digest(training)) is None
        }
        work = sum(map(self._work, left.values()))
        self.progress.begin("training", rows=work, held=0, unit=_UNIT)
        self._time_left = TimeLeft(work)
        runs = [
            Run(name, seed, self._train(training, "training"), self._digest(training) not in left)
            for name, seed, training in planned
        ]
        self.progress.end("training")
        return runs

    def scores(self, runs: Sequence[Run]) -> dict[str, dict[str, Floats]]:
        """Return, by arm and metric, the scores in [0, 1], shape ``(seeds, test rows)``.

        Only here are answers held against the test set's labels, after everything was trained.
        """
        right = self.test.rows.sort("key", "id")["label"].to_list()
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
        if not self.trainer.is_seeded:
            return Training(fit, self.test_rows, 0, None, settings)
        steps = self.trainer.steps_of(len(self.pool)) if self.equal_steps else None
        return Training(fit, self.test_rows, self.seeds[index], steps, settings)

    def _validation(self, fit: Rows, ask: Rows, settings: Settings) -> Training:
        seed = self.seeds[0] if self.trainer.is_seeded else 0
        return Training(fit, ask, seed, None, settings)

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
        self.store.add(digest, outcome, keys=training.keys(self.samples))
        seconds = outcome.training_seconds + outcome.answering_seconds
        if stage == "training":
            self.seconds["training"] += outcome.training_seconds
            self.seconds["evaluating"] += outcome.answering_seconds
        work = self._work(training)
        time_left = self._time_left.after(work, seconds=seconds)
        self.progress.advance(stage, rows=work, seconds=seconds, left=time_left)
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


def settings_of(trainer: Trainer) -> dict[str, Any]:
    """Return a trainer's name and parameters for a reader; models by their names."""
    parameters = {}
    for field in fields(trainer):  # type: ignore[arg-type]
        if field.metadata.get("recipe", True):
            value = getattr(trainer, field.name)
            parameters[field.name] = getattr(value, "name", value)
    return {"name": trainer.name, **parameters}
