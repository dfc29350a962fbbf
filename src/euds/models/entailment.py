"""Whether one sentence follows from another, from a cross-encoder of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from euds.errors import ModelError
from euds.models.batching import equal_length_batches, filled, rows_needed
from euds.models.checking import load_whole
from euds.models.extras import quiet_transformers, readable_load_errors
from euds.models.hardware import TOKENIZING
from euds.models.network import best_device

__all__ = ["TransformersEntailment"]

_BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
_PREMISE, _HYPOTHESIS = "A man eats pizza.", "A man eats."


@dataclass(frozen=True)
class TransformersEntailment:
    """An entailment model; implements `euds.models.protocols.EntailmentModel`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The loaded classifier, in evaluation mode.
    tokenizer : transformers.PreTrainedTokenizerBase
        Its tokenizer.
    entails : int
        Which of its classes means that the premise entails the hypothesis.
    batch_tokens : int
        Tokens that go through the model together. It changes speed and not numbers.
    max_tokens : int
        Where a pair is cut.
    """

    model: Any
    tokenizer: Any
    entails: int
    batch_tokens: int
    max_tokens: int = 512

    @classmethod
    def load(cls, folder: Path, *, check: bool = True) -> TransformersEntailment:
        """Load a classifier of sentence pairs from a folder, and try it on one pair.

        Parameters
        ----------
        folder : pathlib.Path
            With safetensors, ``config.json`` and a tokenizer.
        check : bool
            Whether "A man eats pizza." must entail "A man eats.".

        Raises
        ------
        ModelError
            If it cannot be loaded, names no class for entailment, or fails on that pair.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        device = best_device()
        with quiet_transformers(), readable_load_errors(str(folder)):
            model = load_whole(
                AutoModelForSequenceClassification,
                folder,
                use="model that judges entailment",
                options={"dtype": torch.float32},
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
            entails = _entailment_class(model.config.id2label, where=str(folder))
            limit = getattr(model.config, "max_position_embeddings", None) or cls.max_tokens
            loaded = cls(
                model.to(device).eval(),
                tokenizer,
                entails,
                _BATCH_TOKENS[device.type],
                min(cls.max_tokens, limit),
            )
            found = loaded.probabilities([_PREMISE], [_HYPOTHESIS]).argmax() if check else entails
        if int(found) != entails:
            raise ModelError(
                "the model does not judge entailment",
                where=str(folder),
                got=f"{_PREMISE!r} is said not to entail {_HYPOTHESIS!r}",
                next_step="name a model that was trained on MNLI or a similar task",
            )
        return loaded

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability that each premise entails its hypothesis, shape ``(pairs,)``."""
        return self.probabilities(premises, hypotheses)[:, self.entails]

    def probabilities(
        self, premises: Sequence[str], hypotheses: Sequence[str]
    ) -> NDArray[np.float64]:
        """Return the probability of each class for each pair, shape ``(pairs, classes)``."""
        found = np.empty((len(premises), len(self.model.config.id2label)))
        pairs = self._encoded(premises, hypotheses)
        lengths = [len(ids) for ids in pairs.get("input_ids", [])]
        for batch in equal_length_batches(lengths, batch_tokens=self.batch_tokens):
            members = filled(batch, rows_needed(lengths[batch[0]]))
            inputs = {
                name: torch.tensor([values[index] for index in members], device=self.model.device)
                for name, values in pairs.items()
            }
            with torch.inference_mode():
                logits = self.model(**inputs).logits[: len(batch)]
                found[batch] = torch.softmax(logits.double(), -1).cpu().numpy()
        return found

    def _encoded(
        self, premises: Sequence[str], hypotheses: Sequence[str]
    ) -> dict[str, list[list[int]]]:
        if not premises:
            return {}
        with TOKENIZING:
            encoded = self.tokenizer(
                list(premises),
                list(hypotheses),
                truncation=True,
                max_length=self.max_tokens,
                split_special_tokens=True,
                return_attention_mask=False,
            )
        return dict(encoded)


def _entailment_class(labels: dict[int, str], *, where: str) -> int:
    """Return the index of the class called entailment, however it is written."""
    found = [
        index
        for index, label in labels.items()
        if "entail" in label.lower() and "not" not in label.lower()
    ]
    if len(found) != 1:
        raise ModelError(
            "the model has no class for entailment",
            where=where,
            got=", ".join(labels.values()),
            expected="one class whose name contains 'entail'",
        )
    return int(found[0])
