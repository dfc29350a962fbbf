"""What a proof's arms cost, and after how many trainings a subset pays for its own choosing.

Everything is wall-clock seconds. An arm's total holds the scores and vectors that its rule needs
for the whole pool, selecting, and one training with its evaluation. What a scorer measured in an
earlier run is charged for: the store remembers what it cost.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from euds.errors import OptionError
from euds.proof.arms import FULL, Arm
from euds.proof.experiment import Experiment, Run
from euds.scoring.scores import ScoreTable, scorer_of
from euds.scoring.vectors import Vectors
from euds.selection.rules.registry import rule_named

__all__ = [
    "ArmCost",
    "TrainCost",
    "arm_costs",
    "break_even_trainings",
    "ledger_rows",
    "parse_train_cost",
    "peak_memory_mib",
    "scores_needed",
    "target_ledger",
]


_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_FEWEST_PARAMETERS = 1_000


@dataclass(frozen=True)
class ArmCost:
    """Seconds of one arm.

    Parameters
    ----------
    scoring, vectors, selecting : float or None
        Paid once, whatever is trained afterwards; None where it is not known.
    training, evaluating : float
        Of one training; the mean over the seeds.
    """

    scoring: float | None
    vectors: float | None
    selecting: float | None
    training: float
    evaluating: float

    @property
    def choosing(self) -> float | None:
        """What is paid once; None if a part of it is not known."""
        if self.scoring is None or self.vectors is None or self.selecting is None:
            return None
        return self.scoring + self.vectors + self.selecting

    @property
    def total(self) -> float | None:
        """Choosing and one training."""
        choosing = self.choosing
        return None if choosing is None else choosing + self.training + self.evaluating

    def to_dict(self) -> dict[str, float | None]:
        """Return the seconds by name, with their total."""
        return {**vars(self), "total": self.total}


def scores_needed(rule_scores: Sequence[str]) -> set[str]:
    """Return the scorers that a rule's scores come from.

    >>> sorted(scores_needed(["words", "ge_nll"]))
    ['ge', 'ie']
    """
    return {scorer_of(name) for name in rule_scores}


def break_even_trainings(choosing: float | None, full: float, subset: float) -> float | None:
    """Return how many trainings must share a subset before it is cheaper than training on all.

    That is choosing / (full - subset), the R* of `docs/method.md`: 0.4 means that the first one
    pays already. None where a training on the subset is no cheaper, or choosing cost nobody knows
    what.

    >>> break_even_trainings(30.0, 20.0, 5.0)
    2.0
    """
    return choosing / (full - subset) if choosing is not None and full > subset else None


@dataclass(frozen=True)
class TrainCost:
    """The cost of training another model than that of the proof, as a user states it.

    Parameters
    ----------
    given : str
        As it was given.
    seconds_a_row : float or None
        Seconds for one row in one epoch.
    parameters : float or None
        The model's parameters, when that is what was given.
    """

    given: str
    seconds_a_row: float | None = None
    parameters: float | None = None

    def seconds(self, *, measured_seconds_a_row: float, trained_parameters: int) -> float:
        """Return seconds for one row in one epoch.

        A number of parameters scales what was measured for the proof's own encoder: the
        arithmetic of a training step grows with the parameters (6 operations each a token).
        """
        if self.seconds_a_row is not None:
            return self.seconds_a_row
        return measured_seconds_a_row * (self.parameters or 0.0) / trained_parameters


def parse_train_cost(text: str) -> TrainCost:
    """Read ``0.05s`` (seconds a row and epoch) or ``7B``, ``110M`` (parameters).

    >>> parse_train_cost("110M").parameters, parse_train_cost("0.05s").seconds_a_row
    (110000000.0, 0.05)
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(s|[KMBT]?)\s*", text)
    amount = float(found[1]) if found else math.nan
    if found is None or not 0 < amount < math.inf:
        raise OptionError(
            "the cost of a training cannot be read",
            where="--train-cost",
            got=repr(text),
            expected="seconds a row such as 0.05s, or the parameters of the model such as 7B",
        )
    if found[2] == "s":
        return TrainCost(text, seconds_a_row=amount)
    parameters = amount * _UNITS[found[2]]
    if parameters < _FEWEST_PARAMETERS:
        raise OptionError(
            "the cost of a training has no unit",
            where="--train-cost",
            got=repr(text),
            expected="seconds a row such as 0.05s, or the parameters of the model such as 7B",
            next_step=f"did you mean {text}s?",
        )
    return TrainCost(text, parameters=parameters)


def ledger_rows(arms: Sequence[Arm], costs: Mapping[str, ArmCost]) -> list[dict[str, Any]]:
    """Return the ledger's line for each arm, with its share of the cost of training on all."""
    full = costs[FULL]
    full_seconds = full.training + full.evaluating
    return [
        {
            "arm": arm.name,
            "selecting_seconds": cost.choosing,
            "training_seconds": cost.training,
            "total_seconds": cost.total,
            "share_of_full": None if cost.total is None else cost.total / full_seconds,
            "break_even_trainings": None
            if arm.rule == FULL
            else break_even_trainings(cost.choosing, full_seconds, cost.training + cost.evaluating),
        }
        for arm in arms
        for cost in [costs[arm.name]]
    ]


def peak_memory_mib() -> float | None:
    """Return the most memory that this process had, None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


# What each arm of an experiment is charged: the seconds behind the ledger.
#
# A rule pays for all scores that it looked at, for the whole pool, also where the store had them
# already; and for the vectors that it needs. What a trainer prepared once for all rows is shared
# out by rows. What nobody knows the cost of stays unknown, with a warning, and is never taken for
# free.


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
