"""What ``euds`` needs of a sentence encoder and of an entailment model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Encoder", "EntailmentModel"]


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors whose dot product is a similarity of meaning."""

    def encode(self, texts: Sequence[str], *, max_tokens: int = 128) -> NDArray[np.float32]:
        """Return one vector of length 1 a text, shape ``(texts, dimensions)``."""


@runtime_checkable
class EntailmentModel(Protocol):
    """Judges whether a premise entails a hypothesis."""

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability that each premise entails its hypothesis, shape ``(pairs,)``."""
