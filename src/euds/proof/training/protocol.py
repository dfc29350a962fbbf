"""What a proof needs of a trainer.

A `Trainer` is a frozen dataclass of plain parameters: with its name and version they are the
recipe, so that a training is never repeated and never mistaken for another. Given the samples it
makes a `Course`, which has done once whatever does not depend on the subset (tokenising, vectors of
a frozen encoder) and then trains on any rows and answers any others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from euds.progress import Progress
from euds.proof.tasks import ProofTask

__all__ = [
    "LEARNING_RATE",
    "MOST_ITERATIONS",
    "REGULARISATION",
    "Course",
    "Outcome",
    "Samples",
    "Settings",
    "Trainer",
]

LEARNING_RATE = "learning_rate"
REGULARISATION = "inverse_regularisation"
MOST_ITERATIONS = 10_000  # never reached: the solver stops where the gradient is flat

Rows = NDArray[np.int64]
Settings = Mapping[str, float]
"""What is tuned once, on the random arm, and then the same for all arms: learning rate, ..."""


@dataclass(frozen=True)
class Samples:
    """The rows of a proof: those of the pool, which have labels, then those of the test set.

    Parameters
    ----------
    keys : sequence of str
        The key of each (text, context) pair.
    texts : sequence of str
        The texts; the question where there is one.
    contexts : sequence of str or None
        What a text is about, if there is such a thing.
    labels : sequence of str or None
        The class or the answer. None for the rows of the test set: its labels never reach a
        trainer.
    """

    keys: Sequence[str]
    texts: Sequence[str]
    contexts: Sequence[str | None]
    labels: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def are_pairs(self) -> bool:
        """Whether there are contexts, which the encoder then reads together with the texts."""
        return any(context is not None for context in self.contexts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted({label for label in self.labels if label is not None}))


@dataclass(frozen=True)
class Outcome:
    """What one training gave.

    Parameters
    ----------
    answers : tuple of str
        One answer a row that was asked about, in that order: a class, or words of the context.
    steps : int
        Optimiser steps taken; for a method without steps the iterations of its solver.
    training_seconds, answering_seconds : float
        Wall-clock time of the two parts, without what the course did once.
    """

    answers: tuple[str, ...]
    steps: int
    training_seconds: float
    answering_seconds: float


class Course(Protocol):
    """A trainer that has the samples and has prepared them."""

    @property
    def preparing_seconds(self) -> float:
        """Wall-clock time of what was done once, for all arms and seeds."""

    @property
    def forward_seconds_a_row(self) -> float | None:
        """Where the encoder is frozen: what one pass of a row through it took; else None."""

    def run(
        self,
        fit: Rows,
        ask: Rows,
        *,
        seed: int,
        settings: Settings,
        steps: int | None = None,
    ) -> Outcome:
        """Train on the rows ``fit`` (indices into the samples) and answer the rows ``ask``.

        Parameters
        ----------
        fit, ask : ndarray of int
            Row numbers. Every row of ``fit`` has a label.
        seed : int
            Of the initialisation and of the order of the rows.
        settings : mapping of str to float
            One entry of the trainer's ``grid``.
        steps : int, optional
            Train for so many optimiser steps instead of the trainer's number of epochs.
        """


class Trainer(Protocol):
    """A way to train; a frozen dataclass of plain parameters, which are its recipe."""

    name: ClassVar[str]
    version: ClassVar[int]
    is_seeded: ClassVar[bool]
    """Whether the seed changes anything; if not, equal rows are trained on once for all seeds."""

    @property
    def grid(self) -> tuple[Settings, ...]:
        """The settings to choose from, on the random arm's validation part."""

    @property
    def trained_parameters(self) -> int:
        """Parameters of the encoder without its embeddings: what the cost of a row scales with."""

    def steps_of(self, rows: int) -> int | None:
        """Return the optimiser steps that training on ``rows`` rows takes; None without steps."""

    def load(self, task: ProofTask, samples: Samples, progress: Progress) -> Course:
        """Prepare the samples; raise `MissingExtraError` or `ModelError` if that cannot be done."""
