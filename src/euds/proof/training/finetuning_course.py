"""Fine-tuning with the Trainer of transformers: the part that needs torch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import accelerate  # noqa: F401  # the Trainer needs it, and says so in a way that few understand
import numpy as np
import torch

from euds.models.batching import equal_length_batches, filled, rows_needed
from euds.models.extras import quiet_transformers
from euds.progress import Progress
from euds.proof.tasks import ProofTask
from euds.proof.training.goals import ClassGoal, Goal, SpanGoal, TokenisedRow, tokenised
from euds.proof.training.initial_model import InitialModel, global_random_state_kept, load_tokenizer
from euds.proof.training.protocol import LEARNING_RATE, Outcome, Rows, Samples, Settings

__all__ = ["FineTuningCourse"]

_BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}


class Parameters(Protocol):
    """What a course needs of `euds.proof.training.finetuning.FineTuning`, which starts it."""

    @property
    def batch_size(self) -> int:
        """Rows a step."""

    @property
    def max_tokens(self) -> int:
        """Where a row is cut."""

    @property
    def warmup_share(self) -> float:
        """The share of the steps over which the learning rate rises."""

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""

    @property
    def precision(self) -> str:
        """What the products are computed in."""

    def steps_of(self, rows: int) -> int:
        """Return the optimiser steps that training on ``rows`` rows takes."""


@dataclass(frozen=True)
class FineTuningCourse:
    """Samples cut into tokens, and an encoder to begin with; implements `Course`.

    Parameters
    ----------
    trainer : Parameters
        The parameters.
    rows : sequence of TokenisedRow
        All samples.
    goal : Goal
        What the head is for.
    initial : InitialModel
        What each training begins with.
    preparing_seconds : float
        Wall-clock time of loading and cutting.
    """

    trainer: Parameters
    rows: Sequence[TokenisedRow]
    goal: Goal
    initial: InitialModel
    preparing_seconds: float

    @classmethod
    def load(
        cls,
        trainer: Parameters,
        folder: Path,
        task: ProofTask,
        samples: Samples,
        progress: Progress,
    ) -> FineTuningCourse:
        """Cut the samples into tokens, and load the encoder with the head that the task needs.

        Raises
        ------
        ModelError
            If it cannot be loaded, or cannot have that head.
        """
        started = time.perf_counter()
        tokenizer = load_tokenizer(folder)
        contexts = samples.contexts if samples.are_pairs else None
        limit = min(trainer.max_tokens, tokenizer.model_max_length)
        rows = tokenised(tokenizer, samples.texts, contexts, max_tokens=limit)
        goal: Goal = SpanGoal(samples, rows) if task.kind == "span" else ClassGoal(samples)
        if isinstance(goal, SpanGoal) and goal.unreachable:
            progress.note(
                f"{goal.unreachable:,} answers are not in the first {limit} tokens of their row "
                f"and are trained as 'no answer'"
            )
        initial = InitialModel.load(folder, goal, tokenizer)
        return cls(trainer, rows, goal, initial, time.perf_counter() - started)

    @property
    def forward_seconds_a_row(self) -> float | None:
        """None: the encoder is not frozen."""
        return None

    def run(
        self, fit: Rows, ask: Rows, *, seed: int, settings: Settings, steps: int | None = None
    ) -> Outcome:
        """Train on the rows ``fit`` and answer the rows ``ask``.

        On one machine the outcome depends on the set of rows, the seed, the settings and the number
        of steps; not on the order of the rows, nor on what was trained before.
        """
        with global_random_state_kept(), quiet_transformers():
            started = time.perf_counter()
            model = self.initial.fresh(seed)
            taken = self._train(
                model,
                np.sort(fit).tolist(),
                seed=seed,
                learning_rate=settings[LEARNING_RATE],
                steps=self.trainer.steps_of(len(fit)) if steps is None else steps,
            )
            trained = time.perf_counter()
            answers = self._answer(model.eval(), ask)
        return Outcome(answers, taken, trained - started, time.perf_counter() - trained)

    def _train(
        self, model: Any, fit: list[int], *, seed: int, learning_rate: float, steps: int
    ) -> int:
        """Train a model in place; return the steps taken."""
        from transformers import PrinterCallback, Trainer, TrainingArguments

        on_gpu = self.initial.device.type == "cuda"
        # The Trainer makes the folder it is given, though nothing is saved.
        with tempfile.TemporaryDirectory(prefix="euds-") as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=self.trainer.batch_size,
                learning_rate=learning_rate,
                warmup_steps=round(self.trainer.warmup_share * steps),
                weight_decay=self.trainer.weight_decay,
                train_sampling_strategy="group_by_length",
                seed=seed,
                bf16=self.trainer.precision == "bfloat16",
                use_cpu=not on_gpu,
                dataloader_pin_memory=on_gpu,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            trainer: Any = Trainer(
                model=model,
                args=arguments,
                train_dataset=_Dataset(
                    [self.rows[row].inputs | self.goal.targets(row) for row in fit]
                ),
                data_collator=self.initial.padded,
            )
            trainer.remove_callback(PrinterCallback)  # it prints a summary at the end
            trainer.train()
            return int(trainer.state.global_step)

    def _answer(self, model: Any, ask: Rows) -> tuple[str, ...]:
        """Return an answer for each row; the order and the repeats of the rows change none.

        Rows of one length go through the model together, so there is no padding (see
        `euds.models.batching`).
        """
        distinct, place = np.unique(ask, return_inverse=True)
        answers: list[str] = [""] * len(distinct)
        lengths = [len(self.rows[row]) for row in distinct]
        device = self.initial.device
        autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=self.trainer.precision == "bfloat16"
        )
        with torch.inference_mode(), autocast:
            for batch in equal_length_batches(lengths, batch_tokens=_BATCH_TOKENS[device.type]):
                members = distinct[filled(batch, rows_needed(lengths[batch[0]]))]
                output = model(**self.initial.stacked([self.rows[row].inputs for row in members]))
                said = self.goal.answers(output, distinct[batch].tolist())
                for at, answer in zip(batch, said, strict=True):
                    answers[at] = answer
        return tuple(answers[at] for at in place)


class _Dataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows as the Trainer wants them."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]
