"""The probe: a frozen encoder, and one linear layer trained on top of it.

It is the cheap stand-in for fine-tuning. The encoder reads every row once, whatever the number of
arms and seeds, and each training is a convex problem that is solved in seconds and has one answer:
no seed, no epochs, no steps. So it has no regime of equal epochs or equal steps either. What a
probe shows of a subset need not hold for fine-tuning.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from euds.errors import MissingExtraError
from euds.models import load_encoder, resolve_precision
from euds.models.extras import lm_extra
from euds.models.loading import encoder_parameters
from euds.models.sources import ModelReference
from euds.pool.pool import Texts, text_key
from euds.progress import Progress
from euds.proof.tasks import ProofTask
from euds.proof.training.protocol import (
    MOST_ITERATIONS,
    REGULARISATION,
    Course,
    Outcome,
    Rows,
    Samples,
    Settings,
)
from euds.scoring.store.contents import MeasurementStore
from euds.scoring.vectors import Vectors, vectors_of

__all__ = ["ClassProbe", "Probe"]


@dataclass(frozen=True)
class Probe:
    """Trains a linear layer on a frozen encoder; implements `euds.proof.training.protocol.Trainer`.

    Parameters
    ----------
    encoder : ModelReference
        The sentence encoder.
    max_tokens : int
        Where a sequence is cut, special tokens included: a text, a question, a context.
    precision : {"auto", "float32", "bfloat16"}
        What the encoder computes in; ``auto`` becomes what is fast on this machine.
    inverse_regularisations : tuple of float
        The values of C to choose from: the weight of the rows' loss against the penalty of 1/2 the
        squared length of the weights.
    store : MeasurementStore, optional
        Where vectors are kept; the user's store by default.
    """

    name: ClassVar[str] = "probe"
    version: ClassVar[int] = 1
    is_seeded: ClassVar[bool] = False

    encoder: ModelReference
    max_tokens: int = 128
    precision: str = "auto"
    # What is chosen of them is part of each training; the rest of them decides nothing.
    inverse_regularisations: tuple[float, ...] = field(
        default=(0.1, 0.5, 2.0, 10.0, 50.0, 300.0), metadata={"recipe": False}
    )
    store: MeasurementStore | None = field(default=None, repr=False, metadata={"recipe": False})

    def __post_init__(self) -> None:
        # The recipe must hold what is computed in, not a word that means another thing elsewhere.
        object.__setattr__(self, "precision", resolve_precision(self.precision))

    @property
    def grid(self) -> tuple[Settings, ...]:
        """One entry for each inverse regularisation."""
        return tuple({REGULARISATION: value} for value in self.inverse_regularisations)

    @property
    def trained_parameters(self) -> int:
        """Parameters of the encoder without its embeddings: what reading a row costs."""
        return encoder_parameters(self.encoder)

    def steps_of(self, rows: int) -> int | None:
        """Return None: the solver goes on until it is done."""
        return None

    def load(self, task: ProofTask, samples: Samples, progress: Progress) -> Course:
        """Read every row with the encoder, or take its vectors from the store.

        Raises
        ------
        MissingExtraError
            If scikit-learn, torch or transformers is not installed.
        ModelError
            If the encoder cannot be loaded or used.
        """
        if task.kind == "span":
            return self._load_span_probe(samples, progress)
        _logistic_regression()  # missing now, or not at all

        def encode(texts: list[str]) -> Vectors:
            return vectors_of(
                Texts.of(texts),
                encoder=self.encoder,
                max_tokens=self.max_tokens,
                precision=self.precision,
                store=self.store,
                progress=progress,
            )

        return ClassProbe.load(samples, encode)

    def _load_span_probe(self, samples: Samples, progress: Progress) -> Course:
        encoder = load_encoder(self.encoder, precision=self.precision)
        assert self.encoder.folder is not None, "an encoder without a folder cannot be loaded"
        with lm_extra("a probe"):
            from euds.proof.training.span_probe import SpanProbe
        return SpanProbe.load(
            self.encoder.folder, encoder, samples, progress, max_tokens=self.max_tokens
        )


@dataclass(frozen=True)
class ClassProbe:
    """Multinomial logistic regression on sentence vectors; implements `Course`.

    Parameters
    ----------
    features : ndarray of float32, shape (samples, features)
        What the linear layer sees of each row.
    labels : sequence of (str or None)
        The class of each row; None where it is not known.
    preparing_seconds : float
        What the vectors cost, in this run or an earlier one.
    """

    features: NDArray[np.float32]
    labels: tuple[str | None, ...]
    preparing_seconds: float

    @classmethod
    def load(cls, samples: Samples, encode: Callable[[list[str]], Vectors]) -> ClassProbe:
        """Make the features of each row: the text's vector, or how those of a pair compare.

        Text and context of a pair are read apart: a sentence encoder was never taught to relate
        them within one sequence, and a context that many rows share is read once.
        """
        started = time.perf_counter()
        parts = [list(samples.texts)]
        if samples.are_pairs:
            parts.append([context or "" for context in samples.contexts])
        encoded = [encode(texts) for texts in parts]
        rows = [
            vectors.of([text_key(text) for text in texts])
            for vectors, texts in zip(encoded, parts, strict=True)
        ]
        spent = [one.seconds for one in encoded if one.seconds is not None]
        seconds = sum(spent) if len(spent) == len(encoded) else time.perf_counter() - started
        features = pair_features(*rows) if samples.are_pairs else rows[0]
        return cls(features, tuple(samples.labels), seconds)

    @property
    def forward_seconds_a_row(self) -> float | None:
        """What one pass of a row through the encoder took."""
        return self.preparing_seconds / max(1, len(self.labels))

    def run(
        self, fit: Rows, ask: Rows, *, seed: int, settings: Settings, steps: int | None = None
    ) -> Outcome:
        """Solve the regression on the rows ``fit`` and answer the rows ``ask``.

        Neither the seed nor the number of steps changes anything. Rows of a single class give that
        class for an answer.
        """
        started = time.perf_counter()
        labels = [str(self.labels[row]) for row in fit.tolist()]
        classes = sorted(set(labels))
        if len(classes) == 1:
            return Outcome((classes[0],) * len(ask), 0, time.perf_counter() - started, 0.0)
        model = _logistic_regression()(C=settings[REGULARISATION], max_iter=MOST_ITERATIONS)
        number = {name: index for index, name in enumerate(classes)}
        # In float64: the solver's last steps are smaller than what float32 resolves.
        model.fit(self.features[fit].astype(np.float64), [number[label] for label in labels])
        trained = time.perf_counter()
        answered = model.predict(self.features[ask].astype(np.float64)) if len(ask) else ()
        answers = tuple(classes[index] for index in answered)
        return Outcome(
            answers, int(model.n_iter_.max()), trained - started, time.perf_counter() - trained
        )


def pair_features(texts: NDArray[np.float32], contexts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return both vectors, their product and their distance, shape ``(rows, 4 x dimensions)``.

    These are the features of Conneau et al. 2017 (arXiv 1705.02364, section 3.1) for a pair.

    >>> pair_features(np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]])).tolist()
    [[1.0, 2.0, 3.0, 1.0, 3.0, 2.0, 2.0, 1.0]]
    """
    return np.hstack([texts, contexts, texts * contexts, np.abs(texts - contexts)])


def _logistic_regression() -> Any:
    """Return scikit-learn's class, or say what to install."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            error.name or "sklearn", extra="train", purpose="a probe"
        ) from error
    return LogisticRegression
