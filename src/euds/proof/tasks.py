"""The tasks of a proof: what is trained, and how an answer is scored. A new one is one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError, did_you_mean
from euds.proof.metrics import accuracy, exact_match, token_f1

__all__ = ["PROOF_TASKS", "ProofTask", "proof_task_named"]

Metric = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""From answers and the right ones to a score in [0, 1] a row."""


@dataclass(frozen=True)
class ProofTask:
    """What is trained and how it is scored.

    Parameters
    ----------
    name : str
        The name on the command line, the same as that of the task that scoring knows.
    kind : {"class", "span"}
        Whether an answer is one of the classes, or words of the context.
    metrics : mapping of str to callable
        The metrics, the one that the verdict is about first. Each gives a score in [0, 1] a row.
    exact : str
        The metric that is 0 or 1 a row, for counts of rows right and wrong.
    """

    name: str
    kind: Literal["class", "span"]
    metrics: Mapping[str, Metric]
    exact: str

    @property
    def metric(self) -> str:
        """The metric that the verdict is about."""
        return next(iter(self.metrics))


PROOF_TASKS = {
    task.name: task
    for task in (
        ProofTask("sentiment", "class", {"accuracy": accuracy}, "accuracy"),
        ProofTask("topic", "class", {"accuracy": accuracy}, "accuracy"),
        ProofTask("yes-no", "class", {"accuracy": accuracy}, "accuracy"),
        ProofTask("answer", "span", {"f1": token_f1, "exact match": exact_match}, "exact match"),
    )
}


def proof_task_named(name: str) -> ProofTask:
    """Return the task of that name.

    Raises
    ------
    OptionError
        If there is none.
    """
    if name not in PROOF_TASKS:
        raise OptionError(
            f"a proof has no task {name!r}",
            expected=", ".join(PROOF_TASKS),
            next_step=did_you_mean(name, PROOF_TASKS),
        )
    return PROOF_TASKS[name]
