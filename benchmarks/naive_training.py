"""Fine-tuning as tutorials of transformers show it: what the trainings of euds are compared with.

It is no straw man: rows are cut into tokens once, before anything is timed, and a training begins
with a copy of a model that is in memory, as those of euds do.
"""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from euds.models.extras import quiet_transformers

Padding = Literal["max_length", "longest of the batch"]


class NaiveTraining:
    """An encoder with a new head, and rows to train it on with the `Trainer` of transformers.

    Parameters
    ----------
    folder : pathlib.Path
        The encoder, with safetensors and a tokenizer.
    texts, labels : sequence of str
        The rows.
    max_tokens : int
        Where a row is cut, special tokens included.
    padding : {"max_length", "longest of the batch"}
        Up to where a row is filled.
    """

    def __init__(
        self,
        folder: Path,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        max_tokens: int,
        padding: Padding,
    ) -> None:
        from transformers import (
            AutoModelForSequenceClassification,
            AutoTokenizer,
            DataCollatorWithPadding,
        )

        classes = sorted(set(labels))
        with quiet_transformers():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model: Any = AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=len(classes), dtype=torch.float32, local_files_only=True
            )
        is_fixed = padding == "max_length"
        encoded = tokenizer(
            list(texts),
            truncation=True,
            max_length=max_tokens,
            padding="max_length" if is_fixed else False,
        )
        self.rows: list[dict[str, Any]] = [
            {name: values[row] for name, values in encoded.items()}
            | {"labels": classes.index(label)}
            for row, label in enumerate(labels)
        ]
        # None is the Trainer's default, for rows that have one length already.
        self.collator: Any = None if is_fixed else DataCollatorWithPadding(tokenizer)

    def run(self, *, batch_size: int, steps: int) -> int:
        """Train a copy of the model for so many steps; return how many were taken."""
        from transformers import Trainer, TrainingArguments

        # Nothing is shown; the Trainer prints a summary where it has no bars.
        silent = contextlib.redirect_stdout(io.StringIO())
        with (
            quiet_transformers(),
            silent,
            tempfile.TemporaryDirectory(prefix="naive-") as folder,
        ):
            trainer: Any = Trainer(
                model=copy.deepcopy(self.model),
                args=TrainingArguments(
                    output_dir=folder,
                    max_steps=steps,
                    per_device_train_batch_size=batch_size,
                    save_strategy="no",
                    eval_strategy="no",
                    report_to="none",
                ),
                train_dataset=self.rows,
                data_collator=self.collator,
            )
            trainer.train()
        return int(trainer.state.global_step)
