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
from euds.scores import scorer_of

__all__ = [
    "ArmCost",
    "TrainCost",
    "break_even_trainings",
    "ledger_rows",
    "parse_train_cost",
    "peak_memory_mib",
    "scores_needed",
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
