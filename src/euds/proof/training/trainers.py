"""The trainers by name. A new one is a class that is a `Trainer`, and one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from euds.errors import OptionError, did_you_mean
from euds.models.hardware import resolve_precision
from euds.models.sources import resolve

if TYPE_CHECKING:
    from euds.proof.training.protocol import Trainer

__all__ = ["TRAINERS", "TrainerOptions", "trainer_named"]


@dataclass(frozen=True)
class TrainerOptions:
    """What a user may say of a training.

    Parameters
    ----------
    encoder : str
        An alias, a folder or a hub name.
    epochs, batch_size : int
        Passes through the rows; rows a step. A probe has neither.
    max_tokens : int
        Where a row is cut, context included.
    precision : {"auto", "float32", "bfloat16"}
        What the encoder computes in.
    learning_rate : float, optional
        A fixed one; by default it is tuned on the random arm.
    """

    encoder: str = "minilm-l6"
    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 128
    precision: str = "auto"
    learning_rate: float | None = None


def _fine_tuning(options: TrainerOptions) -> Trainer:
    from euds.proof.training.finetuning import FineTuning

    trainer = FineTuning(
        encoder=resolve(options.encoder),
        epochs=options.epochs,
        batch_size=options.batch_size,
        max_tokens=options.max_tokens,
        precision=options.precision,
    )
    if options.learning_rate is None:
        return trainer
    return replace(trainer, learning_rates=(options.learning_rate,))


def _probe(options: TrainerOptions) -> Trainer:
    from euds.proof.training.probing import Probe

    return Probe(
        encoder=resolve(options.encoder),
        max_tokens=options.max_tokens,
        precision=resolve_precision(options.precision),
    )


TRAINERS: dict[str, Callable[[TrainerOptions], Trainer]] = {
    "fine-tune": _fine_tuning,
    "probe": _probe,
}


def trainer_named(name: str, options: TrainerOptions) -> Trainer:
    """Return the trainer of that name.

    Raises
    ------
    OptionError
        If there is none, or an option makes no sense.
    """
    if name not in TRAINERS:
        raise OptionError(
            f"there is no trainer {name!r}",
            expected=", ".join(TRAINERS),
            next_step=did_you_mean(name, TRAINERS),
        )
    for field in ("epochs", "batch_size", "max_tokens"):
        if getattr(options, field) < 1:
            raise OptionError(
                f"{field.replace('_', '-')} is too small",
                got=str(getattr(options, field)),
                expected="at least 1",
            )
    if options.learning_rate is not None and not 0 < options.learning_rate < 1:
        raise OptionError(
            "a learning rate makes no sense",
            got=str(options.learning_rate),
            expected="a number such as 1e-4",
        )
    return TRAINERS[name](options)
