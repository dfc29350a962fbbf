"""The tasks of a proof: what is trained, and how an answer is scored. A new one is one entry."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError, did_you_mean

__all__ = [
    "PROOF_TASKS",
    "ProofTask",
    "accuracy",
    "exact_match",
    "normalised_answer",
    "proof_task_named",
    "token_f1",
]

Floats = NDArray[np.float64]


# Scores of answers, one number in [0, 1] a row.
#
# Exact match and F1 are those of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250; unanswerable
# questions as in Rajpurkar et al. 2018, arXiv 1806.03822): answers are lower-cased, punctuation and
# the articles *a*, *an*, *the* go, white space is squeezed; F1 is the overlap of the two bags of
# words. Where one side is empty, both are right only if both are.

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def accuracy(answers: Sequence[str], right: Sequence[str]) -> Floats:
    """Return 1 where the answer is the right one, else 0."""
    return np.array([one == other for one, other in zip(answers, right, strict=True)], np.float64)


def normalised_answer(text: str) -> str:
    """Return an answer without case, punctuation, articles and spare white space.

    >>> normalised_answer("The  U.S. Senate!")
    'us senate'
    """
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(answers: Sequence[str], right: Sequence[str]) -> Floats:
    """Return 1 where the normalised answers are the same, else 0."""
    return accuracy(list(map(normalised_answer, answers)), list(map(normalised_answer, right)))


def token_f1(answers: Sequence[str], right: Sequence[str]) -> Floats:
    """Return the F1 of the two bags of normalised words.

    >>> token_f1(["the cat sat"], ["a cat"]).round(3).tolist()
    [0.667]
    """
    return np.array([_f1(one, other) for one, other in zip(answers, right, strict=True)])


def _f1(answer: str, right: str) -> float:
    given, wanted = normalised_answer(answer).split(), normalised_answer(right).split()
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))


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
