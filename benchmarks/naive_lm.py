"""What anyone would write with transformers: the loops that euds is compared with.

They are honest ones: batches sorted by length, no gradients, the whole batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from euds.models.sources import ModelReference


class NaiveLM:
    """A causal language model as transformers loads it.

    Parameters
    ----------
    reference : ModelReference
        A model that is on this machine.
    dtype : torch.dtype
        What it computes in.
    """

    def __init__(self, reference: ModelReference, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if reference.folder is None:
            raise ValueError(f"{reference.name} has no folder")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(reference.folder, local_files_only=True)
        self.tokenizer.padding_side = "right"
        model: Any = AutoModelForCausalLM.from_pretrained(
            reference.folder, dtype=dtype, local_files_only=True
        )
        self.model = model.eval()

    def token_entropies(
        self, texts: Sequence[str], *, max_tokens: int, rows: int = 16
    ) -> NDArray[np.float64]:
        """Return the mean token entropy of each text in nats, in batches of ``rows`` by length."""
        start = self.tokenizer.bos_token_id
        ids = [
            [start, *self.tokenizer(text, add_special_tokens=False)["input_ids"][:max_tokens]]
            for text in texts
        ]
        order = np.argsort([len(one) for one in ids], kind="stable")
        found = np.empty(len(texts))
        for first in range(0, len(order), rows):
            members = order[first : first + rows]
            longest = max(len(ids[index]) for index in members)
            batch = torch.full((len(members), longest), self.tokenizer.eos_token_id)
            mask = torch.zeros(len(members), longest, dtype=torch.int64)
            for row, index in enumerate(members):
                batch[row, : len(ids[index])] = torch.tensor(ids[index])
                mask[row, : len(ids[index])] = 1
            with torch.inference_mode():
                logits = self.model(input_ids=batch, attention_mask=mask).logits[:, :-1].float()
                log_probs = torch.log_softmax(logits, -1)
                entropies = -(log_probs.exp() * log_probs).sum(-1)
                predicted = mask[:, 1:]
                means = (entropies * predicted).sum(1) / predicted.sum(1)
            found[members] = means.numpy()
        return found

    def sample(
        self, prompts: Sequence[Sequence[int]], *, count: int, max_new_tokens: int, rows: int
    ) -> int:
        """Draw continuations of each prompt with ``generate``; return how many were drawn."""
        drawn = 0
        self.tokenizer.padding_side = "left"
        for first in range(0, len(prompts), rows):
            batch = self.tokenizer.pad(
                {"input_ids": [list(one) for one in prompts[first : first + rows]]},
                return_tensors="pt",
            )
            with torch.inference_mode():
                answers = self.model.generate(
                    **batch,
                    do_sample=True,
                    top_k=0,
                    num_return_sequences=count,
                    max_new_tokens=max_new_tokens,
                    pad_token_id=self.tokenizer.pad_token_id,
                )
            drawn += len(answers)
        return drawn
