"""Fine-tuning: the whole encoder and a new head are trained on each subset.

It is what a proof is about, and what costs. What every training would repeat is done once: the
texts are cut into tokens, and the weights are read from the disk. Each training then begins with a
copy of the same encoder and a head that its seed makes, so that arms with one seed differ in their
rows alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from euds.errors import MissingExtraError, ModelError, OptionError
from euds.models import resolve_precision
from euds.models.loading import encoder_parameters
from euds.models.sources import ModelReference
from euds.progress import Progress
from euds.proof.tasks import ProofTask
from euds.proof.training.protocol import LEARNING_RATE, Course, Samples, Settings

__all__ = ["FineTuning"]

_FEWEST_TOKENS = 8  # a pair has three special tokens, and something must be left to read


@dataclass(frozen=True)
class FineTuning:
    """Trains all of an encoder; implements `euds.proof.training.protocol.Trainer`.

    AdamW with a learning rate that rises over the first steps and then falls to 0 in a straight
    line, as in Devlin et al. 2019 (arXiv 1810.04805, appendix A). The rates to choose from are
    higher than theirs, because small encoders need higher ones; but not so high that they suit the
    few steps of a small subset alone, for they are tuned there and then used on everything too.

    Parameters
    ----------
    encoder : ModelReference
        The encoder, as a folder of transformers; a head that it brings is made anew.
    epochs, batch_size : int
        Passes through the rows; rows a step.
    max_tokens : int
        Where a row is cut, special tokens included. Of a pair the context is cut.
    learning_rates : tuple of float
        The highest learning rates to choose from.
    warmup_share : float
        The share of the steps over which the learning rate rises.
    weight_decay : float
        Of AdamW, on all weights but biases and norms.
    precision : {"auto", "float32", "bfloat16"}
        What the products are computed in; the weights are kept in float32. ``auto`` becomes what
        is fast on this machine.

    Raises
    ------
    OptionError
        If a parameter makes no sense.
    """

    name: ClassVar[str] = "fine-tune"
    version: ClassVar[int] = 1
    is_seeded: ClassVar[bool] = True

    encoder: ModelReference
    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 128
    # What is chosen of them is part of each training; the rest of them decides nothing.
    learning_rates: tuple[float, ...] = field(
        default=(5e-5, 1e-4, 2e-4), metadata={"recipe": False}
    )
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    precision: str = "auto"

    def __post_init__(self) -> None:
        # The recipe must hold what is computed in, not a word that means another thing elsewhere.
        object.__setattr__(self, "precision", resolve_precision(self.precision))
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        least = f"at least {_FEWEST_TOKENS}"
        _require(self.max_tokens >= _FEWEST_TOKENS, "max_tokens", self.max_tokens, least)
        rates = self.learning_rates
        _require(bool(rates) and min(rates) > 0, "learning_rates", rates, "numbers above 0")
        _require(0 <= self.warmup_share < 1, "warmup_share", self.warmup_share, "0 to below 1")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")

    @property
    def grid(self) -> tuple[Settings, ...]:
        """One entry for each learning rate."""
        return tuple({LEARNING_RATE: rate} for rate in self.learning_rates)

    @property
    def trained_parameters(self) -> int:
        """Parameters of the encoder without its embeddings: what training on a row costs."""
        return encoder_parameters(self.encoder)

    def steps_of(self, rows: int) -> int:
        """Return the optimiser steps that training on ``rows`` rows takes.

        >>> from pathlib import Path
        >>> here = ModelReference("encoder", "folder", "1234", Path("encoder"))
        >>> FineTuning(here, precision="float32").steps_of(33)
        9
        """
        return math.ceil(rows / self.batch_size) * self.epochs

    def load(self, task: ProofTask, samples: Samples, progress: Progress) -> Course:
        """Read the weights, and cut every row into tokens.

        Raises
        ------
        MissingExtraError
            If torch, transformers or accelerate is not installed.
        ModelError
            If the encoder cannot be loaded, or cannot have the head that the task needs.
        """
        if self.encoder.folder is None:
            raise ModelError(
                "the toy model cannot be fine-tuned",
                got=self.encoder.name,
                next_step="name an encoder with weights, such as minilm-l6",
            )
        with _train_extra():
            from euds.proof.training.finetuning_course import FineTuningCourse
        return FineTuningCourse.load(self, self.encoder.folder, task, samples, progress)


def _require(is_right: bool, name: str, value: object, expected: str) -> None:
    if not is_right:
        raise OptionError(f"{name} makes no sense", got=str(value), expected=expected)


@contextlib.contextmanager
def _train_extra() -> Iterator[None]:
    """Import packages of the extra ``train`` inside, or say what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or "torch"
        if package.partition(".")[0] == "euds":  # a mistake of ours, not of the installation
            raise
        raise MissingExtraError(package, extra="train", purpose="fine-tuning") from error
