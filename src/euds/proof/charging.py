"""What each arm of an experiment is charged: the seconds behind the ledger.

A rule pays for all scores that it looked at, for the whole pool, also where the store had them
already; and for the vectors that it needs. What a trainer prepared once for all rows is shared out
by rows. What nobody knows the cost of stays unknown, with a warning, and is never taken for free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from euds.proof.arms import Arm
from euds.proof.costs import ArmCost, ledger_rows, parse_train_cost, scores_needed
from euds.proof.experiment import Experiment, Run
from euds.scores import ScoreTable
from euds.selection.rules import rule_named
from euds.vectors import Vectors

__all__ = ["arm_costs", "target_ledger"]


def arm_costs(
    arms: Sequence[Arm],
    runs: Sequence[Run],
    experiment: Experiment,
    *,
    scores: ScoreTable | None,
    vectors: Vectors | None,
) -> tuple[dict[str, ArmCost], list[str]]:
    """Return what each arm cost, by its name, and warnings about what is not known.

    Parameters
    ----------
    arms, runs, experiment
        What was trained.
    scores : ScoreTable or None
        The scores that the selections were made from, with what they cost.
    vectors : Vectors or None
        The same for vectors.
    """
    spent = scores.provenance.get("spent_seconds", {}) if scores is not None else {}
    a_row = experiment.course.preparing_seconds / len(experiment.samples)
    costs, unknown = {}, set()
    for arm in arms:
        outcomes = [run.outcome for run in runs if run.arm == arm.name]
        settings = arm.selections[0].settings
        scorers = scores_needed(settings["looked_at"])
        scoring = [spent.get(name) for name in sorted(scorers)]
        unknown |= {name for name in scorers if spent.get(name) is None}
        reading: float | None = 0.0
        if "vectors" in rule_named(arm.rule, tuple(settings["scores"])).takes:
            reading = None if vectors is None else vectors.seconds
            unknown |= {"vectors"} if reading is None else set()
        costs[arm.name] = ArmCost(
            scoring=None if None in scoring else sum(filter(None, scoring)),
            vectors=reading,
            selecting=arm.selecting_seconds,
            training=_mean(one.training_seconds for one in outcomes) + a_row * arm.rows,
            evaluating=_mean(one.answering_seconds for one in outcomes)
            + a_row * len(experiment.test),
        )
    warnings = [
        f"what {name} cost is not known, so the costs of the arms that used it are not either; "
        f"pass scores= and vectors= as they were made, in the same process"
        for name in sorted(unknown)
    ]
    return costs, warnings


def target_ledger(
    arms: Sequence[Arm],
    costs: Mapping[str, ArmCost],
    experiment: Experiment,
    runs: Sequence[Run],
    train_cost: str,
    *,
    epochs: int,
    batch_size: int,
) -> dict[str, Any]:
    """Return the ledger for the model that the user will train: expected, not measured.

    Parameters
    ----------
    arms, costs, experiment, runs
        What was trained, and what it cost.
    train_cost : str
        As the user gave it.
    epochs : int
        Passes through the rows; with equal steps through all of them, for every arm.
    batch_size : int
        Rows a step, of the proof.
    """
    a_row = parse_train_cost(train_cost).seconds(
        measured_seconds_a_row=_seconds_a_row(experiment, runs, batch_size),
        trained_parameters=experiment.trainer.trained_parameters,
    )
    everything = len(experiment.pool)
    expected = {
        arm.name: ArmCost(
            scoring=costs[arm.name].scoring,
            vectors=costs[arm.name].vectors,
            selecting=costs[arm.name].selecting,
            training=a_row * epochs * (everything if experiment.equal_steps else arm.rows),
            evaluating=0.0,
        )
        for arm in arms
    }
    return {
        "train_cost": train_cost,
        "seconds_a_row": a_row,
        "epochs": epochs,
        "expected": True,
        "arms": ledger_rows(arms, expected),
    }


def _seconds_a_row(experiment: Experiment, runs: Sequence[Run], batch_size: int) -> float:
    """Return what one row costs in one epoch of fine-tuning this encoder.

    Where a probe was trained nothing was fine-tuned; a training step is then taken to cost three
    passes forward: one forward, and twice as much back.
    """
    forward = experiment.course.forward_seconds_a_row
    if forward is not None:
        return 3 * forward
    seconds = sum(run.outcome.training_seconds for run in runs)
    return seconds / sum(run.outcome.steps for run in runs) / batch_size


def _mean(values: Any) -> float:
    found = list(values)
    return float(sum(found) / len(found))
