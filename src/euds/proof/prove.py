"""The proof, from selections to results: arms, trainings, statistics, costs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euds.errors import OptionError, did_you_mean
from euds.ledger import Ledger
from euds.pool import Pool
from euds.progress import Progress
from euds.progress_bars import default_progress
from euds.proof import results as found
from euds.proof.arms import FULL, RANDOM, Arm, make_arms
from euds.proof.costs import (
    ArmCost,
    ledger_rows,
    parse_train_cost,
    peak_memory_mib,
    scores_needed,
)
from euds.proof.experiment import Experiment, Run, settings_of
from euds.proof.holdout import HoldOut, hold_out
from euds.proof.tasks import proof_task_named
from euds.proof.trained import TrainingStore
from euds.proof.trainers import TrainerOptions, trainer_named
from euds.runs import package_versions
from euds.scores import ScoreTable
from euds.selection.rules import rule_named
from euds.selection.selection import Selection
from euds.vectors import Vectors

__all__ = ["Proof", "ProofSettings", "prove"]

CONFIDENCE = 0.95
_REGIMES = ("epochs", "steps")


@dataclass(frozen=True)
class ProofSettings:
    """Everything that decides a proof, apart from the pool, the test set and the selections.

    Parameters
    ----------
    task : str
        ``sentiment``, ``topic``, ``yes-no`` or ``answer``.
    trainer : {"fine-tune", "probe"}
        The whole encoder is trained, or a logistic head on the frozen one: the quick look.
    seeds : int
        How many seeds. Random subsets are drawn anew for each.
    seed : int
        The first of them.
    regime : {"epochs", "steps"}
        All arms go through their rows equally often (what is saved), or take equally many steps
        (what the rows are worth).
    margin_points : float
        The loss, in points, that still counts as "as good".
    train_cost : str, optional
        What training your own model costs: ``0.05s`` a row and epoch, or its parameters, ``7B``.
    encoder, epochs, batch_size, max_tokens, precision, learning_rate
        See `euds.proof.trainers.TrainerOptions`.
    """

    task: str
    trainer: str = "fine-tune"
    seeds: int = 5
    seed: int = 0
    regime: str = "epochs"
    margin_points: float = 1.0
    train_cost: str | None = None
    encoder: str = "minilm-l6"
    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 128
    precision: str = "auto"
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        proof_task_named(self.task)
        if self.seeds < 1:
            raise OptionError("a proof needs a seed", got=str(self.seeds), expected="at least 1")
        if self.regime not in _REGIMES:
            raise OptionError(
                f"there is no regime {self.regime!r}",
                expected=" or ".join(_REGIMES),
                next_step=did_you_mean(self.regime, _REGIMES),
            )
        if not 0 < self.margin_points < 100:
            raise OptionError(
                "the margin makes no sense",
                got=str(self.margin_points),
                expected="points above 0, such as 1.0",
            )
        if self.train_cost is not None:
            parse_train_cost(self.train_cost)

    @property
    def trainer_options(self) -> TrainerOptions:
        """What the trainer is told."""
        names = TrainerOptions.__dataclass_fields__
        return TrainerOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Proof:
    """What a proof found.

    Parameters
    ----------
    results : dict
        The document that `docs/results.md` describes.
    """

    results: dict[str, Any]

    @property
    def headline(self) -> tuple[str, ...]:
        """The verdicts in words, what matters most first."""
        return tuple(self.results["headline"])

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """Each rule against everything and against random, with the decision and the sentence."""
        return list(self.results["verdicts"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be read before the verdicts are used."""
        return tuple(self.results["warnings"])

    def __str__(self) -> str:
        return "\n".join(self.headline)


def prove(
    pool: Pool,
    selections: Sequence[Selection],
    *,
    test: HoldOut | Pool | str | Path,
    scores: ScoreTable | None = None,
    vectors: Vectors | None = None,
    selecting_seconds: Sequence[float] = (),
    ledger: Ledger | None = None,
    store: TrainingStore | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Proof:
    """Train on each selection, on random rows of its size and on everything, and compare.

    Parameters
    ----------
    pool : Pool
        The pool that the selections are of; every row has a label.
    selections : sequence of Selection
        What is to be proven; of one size for a verdict, of several for a curve.
    test : HoldOut, Pool or path
        What `euds.hold_out` returned, or the test set itself. In the second case the pool must
        hold no near-duplicate of a test row, since the selections were made from it already.
    scores : ScoreTable, optional
        The scores that the selections were made from: what they cost is charged for.
    vectors : Vectors, optional
        The same for vectors.
    selecting_seconds : sequence of float
        What making each selection took.
    ledger : Ledger, optional
        Seconds of the stages before; those of the proof are added.
    store : TrainingStore, optional
        Where trainings are kept; the user's store by default.
    progress : Progress, optional
        Is told what happens; by default bars on stderr where that is a terminal, else silence.
    **settings
        The fields of `ProofSettings`; ``task`` is needed.

    Returns
    -------
    Proof

    Raises
    ------
    OptionError
        If a setting or a selection makes no sense.
    InputError
        If pool and test set do not go together.
    """
    chosen = make_proof_settings(**settings)
    task = proof_task_named(chosen.task)
    held = test if isinstance(test, HoldOut) else _checked(pool, test, chosen)
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    spent = ledger if ledger is not None else Ledger()
    shown = progress or default_progress()
    arms = make_arms(pool, selections, seeds=seeds, seconds=selecting_seconds)
    try:
        with spent.stage("preparing"):
            experiment = Experiment(
                task,
                trainer_named(chosen.trainer, chosen.trainer_options),
                pool,
                held.test,
                seeds,
                chosen.regime,
                store or TrainingStore.default(),
                shown,
            )
        with spent.stage("tuning"):
            tuned, tried = experiment.tune(_smallest_random(arms))
        runs = experiment.run(arms, tuned)
    finally:
        shown.close()
    for run in runs:
        if not run.reused:
            spent.add("training", run.outcome.training_seconds)
            spent.add("evaluating", run.outcome.answering_seconds)
    with spent.stage("comparing"):
        matrices = experiment.scores(runs)
        findings = found.find(arms, matrices, task, held.test, margin_points=chosen.margin_points)
    costs = _costs(arms, runs, experiment, scores, vectors)
    rows = found.arm_rows(arms, runs, matrices, costs, pool, task)
    several = len({arm.rows for arm in arms if arm.rule == RANDOM}) > 1
    return Proof(
        {
            "schema_version": found.SCHEMA_VERSION,
            "headline": findings.headline,
            "warnings": [
                *held.warnings,
                *findings.warnings,
                *(warning for row in rows for warning in row["warnings"]),
            ],
            "uses_labels": [arm.name for arm in arms if arm.uses_labels],
            "command": None,
            "task": {"name": task.name, "metric": task.metric, "metrics": list(task.metrics)},
            "scope": _scope(chosen, pool, held.test),
            "settings": {
                "keep": sorted({arm.keep for arm in arms if arm.rule == RANDOM}),
                "seeds": list(seeds),
                "regime": chosen.regime,
                "margin_points": chosen.margin_points,
                "confidence": CONFIDENCE,
                "encoder": chosen.encoder,
                "trainer": settings_of(experiment.trainer),
                "tuned": dict(tuned),
                "tried": tried,
            },
            "pool": {
                "rows": len(pool),
                "fingerprint": pool.fingerprint,
                "taken_out": dict(held.taken_out),
                "classes": found.class_counts(pool) if task.kind == "class" else {},
            },
            "test": {
                "rows": len(held.test),
                "fingerprint": held.test.fingerprint,
                "majority_points": found.majority_points(task, held.test),
                "classes": found.class_counts(held.test) if task.kind == "class" else {},
            },
            "arms": rows,
            "comparisons": [one.to_dict() for one in findings.comparisons],
            "verdicts": findings.verdicts,
            "curve": found.curve_rows(arms, rows, findings, task.metric) if several else [],
            "ledger": _ledger(arms, costs, experiment, runs, chosen, spent),
            "versions": package_versions(),
            "machine": {
                "system": platform.platform(),
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
            },
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
    )


def make_proof_settings(**settings: Any) -> ProofSettings:
    """Return the settings; an unknown or missing name is the caller's mistake and says so."""
    known = ProofSettings.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise OptionError(
                f"there is no setting {name!r}",
                expected=", ".join(known),
                next_step=did_you_mean(name, known),
            )
    if settings.get("task") is None:
        raise OptionError(
            "what is to be learnt?",
            expected="a task: sentiment, topic, yes-no or answer",
            next_step="--task topic",
        )
    return ProofSettings(**settings)


def _checked(pool: Pool, test: Pool | str | Path, settings: ProofSettings) -> HoldOut:
    """Return pool and test set held apart, or refuse: the selections are made already."""
    if not isinstance(test, Pool):
        from euds.reading import read

        source = pool.source
        test = read(str(test), text=source.text, context=source.context, label=source.label)
    closed = proof_task_named(settings.task).kind == "class"
    held = hold_out(pool, test, closed_labels=closed)
    if len(held.pool) != len(pool):
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in held.taken_out.items())
        raise OptionError(
            "rows have to be taken out of the pool before anything is selected from it",
            got=counts,
            next_step="held = euds.hold_out(pool, test); select from held.pool; "
            "prove(held.pool, ..., test=held)",
        )
    return held


def _smallest_random(arms: Sequence[Arm]) -> Arm:
    """Return the random arm to tune on; of several budgets the one in the middle."""
    random = [arm for arm in arms if arm.rule == RANDOM]
    return random[(len(random) - 1) // 2]


def _costs(
    arms: Sequence[Arm],
    runs: Sequence[Run],
    experiment: Experiment,
    scores: ScoreTable | None,
    vectors: Vectors | None,
) -> dict[str, ArmCost]:
    spent = scores.provenance.get("spent_seconds", {}) if scores is not None else {}
    vector_seconds = (vectors.seconds or 0.0) if vectors is not None else 0.0
    # What was prepared once for all rows is charged to each arm by its rows.
    a_row = experiment.course.preparing_seconds / len(experiment.samples)
    costs = {}
    for arm in arms:
        outcomes = [run.outcome for run in runs if run.arm == arm.name]
        settings = arm.selections[0].settings
        needs = rule_named(arm.rule, tuple(settings["scores"])).needs
        training = sum(one.training_seconds for one in outcomes) / len(outcomes)
        answering = sum(one.answering_seconds for one in outcomes) / len(outcomes)
        costs[arm.name] = ArmCost(
            scoring=sum(spent.get(name, 0.0) for name in scores_needed(settings["scores"])),
            vectors=vector_seconds if "vectors" in needs else 0.0,
            selecting=arm.selecting_seconds,
            training=training + a_row * arm.rows,
            evaluating=answering + a_row * len(experiment.test),
        )
    return costs


def _ledger(
    arms: Sequence[Arm],
    costs: dict[str, ArmCost],
    experiment: Experiment,
    runs: Sequence[Run],
    settings: ProofSettings,
    spent: Ledger,
) -> dict[str, Any]:
    full = costs[FULL]
    return {
        "stages": dict(spent.seconds),
        "full_seconds": full.training + full.evaluating,
        "arms": ledger_rows(arms, costs),
        "target": _target(arms, costs, experiment, runs, settings),
        "peak_memory_mib": peak_memory_mib(),
    }


def _target(
    arms: Sequence[Arm],
    costs: dict[str, ArmCost],
    experiment: Experiment,
    runs: Sequence[Run],
    settings: ProofSettings,
) -> dict[str, Any] | None:
    """Return the ledger for the model that the user will train: expected, not measured."""
    if settings.train_cost is None:
        return None
    a_row = parse_train_cost(settings.train_cost).seconds(
        measured_seconds_a_row=_seconds_a_row(experiment, runs, settings),
        trained_parameters=experiment.trainer.trained_parameters,
    )
    expected = {
        arm.name: ArmCost(
            scoring=costs[arm.name].scoring,
            vectors=costs[arm.name].vectors,
            selecting=costs[arm.name].selecting,
            training=a_row * arm.rows * settings.epochs,
            evaluating=0.0,
        )
        for arm in arms
    }
    return {
        "train_cost": settings.train_cost,
        "seconds_a_row": a_row,
        "epochs": settings.epochs,
        "expected": True,
        "arms": ledger_rows(arms, expected),
    }


def _seconds_a_row(experiment: Experiment, runs: Sequence[Run], settings: ProofSettings) -> float:
    """Return what one row costs in one epoch of fine-tuning this encoder.

    Where a probe was trained nothing was fine-tuned; a training step is then taken to cost three
    passes forward: one forward, and twice as much back.
    """
    forward = experiment.course.forward_seconds_a_row
    if forward is not None:
        return 3 * forward
    seconds = sum(run.outcome.training_seconds for run in runs)
    return seconds / sum(run.outcome.steps for run in runs) / settings.batch_size


def _scope(settings: ProofSettings, pool: Pool, test: Pool) -> str:
    how = {
        "probe": f"a logistic head on the frozen encoder {settings.encoder}",
        "fine-tune": f"{settings.encoder}, fine-tuned",
    }.get(settings.trainer, f"the trainer {settings.trainer}")
    regime = ""
    if settings.trainer == "fine-tune":
        regime = (
            f" for {settings.epochs} epochs"
            if settings.regime == "epochs"
            else f" for as many steps as {settings.epochs} epochs on everything take"
        )
    return (
        f"For {how}{regime}, on this pool of {len(pool):,} rows and this test set of "
        f"{len(test):,}; not shown for other or larger models, or for other data."
    )
