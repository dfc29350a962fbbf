"""A causal network on a device: features of token sequences, and what can be read off them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from euds.models.batching import FEWEST_POSITIONS
from euds.models.extras import quiet_transformers, readable_load_errors
from euds.models.precision import Precision

__all__ = ["Network", "attention_on", "best_device"]

# The LM head runs in chunks: large enough for the matrix product, small enough for the cache.
_CHUNK_POSITIONS = {"cpu": 128, "cuda": 1024}
# Eager attention is the faster one for short sequences on CPUs, and rounds alike at every batch
# size. On GPUs the fused one is faster.
_ATTENTION = {"cpu": "eager", "cuda": "sdpa"}
_LOWEST_LOGIT = -1e30  # in the place of -inf, which 0 cannot be multiplied with


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def attention_on(device: torch.device) -> str:
    """Return which implementation of attention to use on a device, as transformers names it."""
    return _ATTENTION[device.type]


@dataclass(frozen=True)
class Network:
    """A loaded causal model, taken apart into a body and a head where that is possible.

    The body gives one feature vector a position, the head turns features into logits. Logits are
    large (a vocabulary a position), so they are made in chunks and reduced at once.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The whole model, in evaluation mode.
    is_split : bool
        Whether the head alone turns the body's output into the model's logits. Models that scale
        or cap their logits are run whole; their features are the logits.
    """

    model: Any
    is_split: bool
    _scratch: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @classmethod
    def load(cls, folder: Path, *, precision: Precision) -> Network:
        """Load a causal model from a folder of safetensors.

        Raises
        ------
        ModelError
            If transformers cannot load it, or only by running code that comes with it.
        """
        from transformers import AutoModelForCausalLM

        device = best_device()
        with quiet_transformers(), readable_load_errors(str(folder)):
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=getattr(torch, precision),
                attn_implementation=attention_on(device),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        return cls.of_model(model.to(device))

    @classmethod
    def of_model(cls, model: Any) -> Network:
        """Return the network of a model that is loaded already."""
        model.eval()
        return cls(model, is_split=_head_is_all_there_is(model))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

    @property
    def max_positions(self) -> int | None:
        """The longest sequence that the model takes, or None if it has no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if limit is None else int(limit)

    def features(self, ids: Tensor, **options: Any) -> tuple[Tensor, Any]:
        """Return the features of each position, and the key/value cache if it was asked for.

        Parameters
        ----------
        ids : Tensor of int64, shape (rows, positions)
            Sequences of one length.
        **options
            What transformers' models take: ``use_cache``, ``past_key_values``, ...

        Returns
        -------
        features : Tensor, shape (rows, positions, width)
        cache : transformers.Cache or None
        """
        options.setdefault("use_cache", False)
        network = self.model.base_model if self.is_split else self.model
        output = network(input_ids=ids.to(self.device), **options)
        features = output.last_hidden_state if self.is_split else output.logits
        return features, getattr(output, "past_key_values", None)

    def logits(self, features: Tensor) -> Iterator[Tensor]:
        """Yield the float32 logits of consecutive positions, chunk by chunk.

        Parameters
        ----------
        features : Tensor, shape (positions, width)
            From `features`.

        Yields
        ------
        Tensor of float32, shape (chunk, vocabulary)
            It may be overwritten, and is by the next chunk.
        """
        head = self.model.get_output_embeddings() if self.is_split else None
        for chunk in torch.split(features, _CHUNK_POSITIONS[self.device.type]):
            logits = chunk if head is None else head(_with_copies(chunk))[: len(chunk)]
            yield self.scratch("logits", logits).copy_(logits)

    def scratch(self, name: str, like: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return an uninitialised tensor of a shape, the same memory for each call with a name.

        Asking the system for megabytes anew for each chunk costs as much as the arithmetic on them.
        Each thread has its own.
        """
        rows, width = like.shape
        kept = getattr(self._scratch, name, None)
        if kept is None or kept.shape[1] != width or len(kept) < rows:
            rows_kept = max(rows, _CHUNK_POSITIONS[self.device.type])
            kept = torch.empty(rows_kept, width, dtype=dtype, device=like.device)
            setattr(self._scratch, name, kept)
        return kept[:rows]

    def softmax(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities of logits, and the logarithm of what they were divided by.

        Parameters
        ----------
        logits : Tensor of float32, shape (positions, vocabulary)

        Returns
        -------
        probabilities : Tensor of float32, shape (positions, vocabulary)
            They may be overwritten, and are by the next call.
        lse : Tensor of float32, shape (positions,)
            ``ln Σ e^z``, from the likeliest token's logit and probability: no second sum over the
            vocabulary is needed.
        """
        probabilities = torch.softmax(logits, -1, out=self.scratch("probabilities", logits))
        return probabilities, logits.amax(-1) - probabilities.amax(-1).log()

    def token_statistics(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entropy of each prediction, and how surprising what came was, in nats.

        With ``lse = ln Σ e^z`` the entropy of the softmax ``p`` of logits ``z`` is ``lse - Σ p z``,
        and the negative log-likelihood of token ``w`` is ``lse - z_w``.

        Parameters
        ----------
        features : Tensor, shape (positions, width)
            Of the positions that predict.
        targets : Tensor of int64, shape (positions,)
            The tokens that came.

        Returns
        -------
        entropies, nlls : Tensor of float32, shape (positions,)
        """
        entropies, nlls = [torch.empty(0)], [torch.empty(0)]
        start = 0
        for logits in self.logits(features):
            wanted = targets[start : start + len(logits)].to(logits.device)
            start += len(logits)
            probabilities, lse = self.softmax(logits)
            nlls.append((lse - logits.gather(-1, wanted[:, None])[:, 0]).cpu())
            # Rounded probabilities of a large vocabulary sum to 1 only within 1e-5, and logits may
            # be far from 0: dividing by their sum keeps that error out of the mean.
            total = probabilities.sum(-1)
            expected = probabilities.mul_(logits).sum(-1)
            if not expected.isfinite().all():  # a masked logit is -inf, and its probability 0
                torch.softmax(logits, -1, out=probabilities)
                expected = probabilities.mul_(logits.clamp_(min=_LOWEST_LOGIT)).sum(-1)
            entropies.append((lse - expected / total).cpu())
        return torch.cat(entropies), torch.cat(nlls)

    def log_probs(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return log-probabilities of chosen tokens, in nats.

        Parameters
        ----------
        features : Tensor, shape (positions, width)
            Of the positions that predict.
        targets : Tensor of int64, shape (positions, choices)
            The tokens asked about at each position.

        Returns
        -------
        Tensor of float64, shape (positions, choices)
            Computed in float32, returned as float64 to be summed.
        """
        targets = targets.to(self.device)
        chosen = self._chosen_logits(features, targets)
        found = []
        start = 0
        for logits in self.logits(features):
            here = slice(start, start + len(logits))
            start += len(logits)
            of_chosen = logits.gather(-1, targets[here]) if chosen is None else chosen[here]
            found.append(of_chosen - logits.logsumexp(-1, keepdim=True))
        return torch.cat(found).double()

    def _chosen_logits(self, features: Tensor, targets: Tensor) -> Tensor | None:
        """Return the logits of chosen tokens in float32; None where the head is no plain matrix.

        A logit in bfloat16 takes one of few values, so that texts would tie by the hundreds. A few
        dot products in float32 cost nothing. The normaliser, a sum over the whole vocabulary, may
        stay in bfloat16: its rounding averages out, and is the same for all options.
        """
        head = self.model.get_output_embeddings() if self.is_split else None
        if not isinstance(head, torch.nn.Linear):
            return None
        logits = (head.weight[targets].float() * features[:, None, :].float()).sum(-1)
        return logits if head.bias is None else logits + head.bias[targets].float()


def _with_copies(chunk: Tensor) -> Tensor:
    """Return a chunk with enough rows to round like a full one (see `batching`)."""
    missing = FEWEST_POSITIONS - len(chunk)
    return chunk if missing <= 0 else torch.cat([chunk, chunk[:1].expand(missing, -1)])


def _head_is_all_there_is(model: Any) -> bool:
    """Return whether body and head, one after the other, give the model's very logits."""
    head = model.get_output_embeddings()
    if head is None or model.base_model is model:
        return False
    ids = torch.arange(2 * FEWEST_POSITIONS, device=model.device).reshape(2, -1)
    ids %= model.config.get_text_config().vocab_size
    with torch.inference_mode():
        whole = model(input_ids=ids, use_cache=False).logits
        parts = head(model.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    # Both ran the same operations, so any difference means that there is one more.
    return whole.shape == parts.shape and torch.equal(whole, parts)
