"""A causal network on a device: features of token sequences, and what can be read off them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from euds.models.attention import NAME, EndToEnd, Layout, register
from euds.models.batching import FEWEST_POSITIONS
from euds.models.checking import load_whole
from euds.models.extras import quiet_transformers, readable_load_errors
from euds.models.hardware import Precision
from euds.models.rounding import SteadyLinear, steady_linear, steady_linears

__all__ = ["Network", "attention_on", "best_device"]

_LOG = logging.getLogger(__name__)

# The LM head runs in blocks of the vocabulary: a block's weights and logits stay in the cache, and
# each block is reduced to a few numbers a position at once.
_BLOCK = {"cpu": 1024, "cuda": 16_384}
# Models without a head of their own give whole logits, and few positions at a time fill the cache.
_WHOLE_POSITIONS = {"cpu": 64, "cuda": 1024}
# What texts are read with where a model cannot go through `euds.models.attention`. Eager attention
# is the faster one for short sequences on CPUs, and rounds alike at every batch size.
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
    large (a vocabulary a position), so they are made in blocks of it and reduced at once.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The whole model, in evaluation mode.
    is_split : bool
        Whether the head alone turns the body's output into the model's logits. Models that scale
        or cap their logits are run whole; their features are the logits.
    packs : bool
        Whether sequences of many lengths can go through end to end (see `euds.models.attention`).
        If not, those that go together must have one length.
    """

    model: Any
    is_split: bool
    packs: bool

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
            model = load_whole(
                AutoModelForCausalLM,
                folder,
                use="language model",
                options={
                    "dtype": getattr(torch, precision),
                    "attn_implementation": attention_on(device),
                },
            )
            # It is tried out here, which a damaged configuration may not let through.
            steady_linears(model.to(device))
            return cls.of_model(model)

    @classmethod
    def of_model(cls, model: Any) -> Network:
        """Return the network of a model that is loaded already."""
        model.eval()
        settings = model.config.get_text_config()
        if getattr(settings, "attn_logit_softcapping", None) is not None:
            # In transformers 5.6 the other implementations leave the cap out.
            model.set_attn_implementation("eager")
        plain = cls(model, is_split=_head_is_all_there_is(model), packs=False)
        return replace(plain, packs=_can_pack(plain))

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

    def read(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Return the features of the positions of sequences, one after the other.

        Parameters
        ----------
        sequences : sequence of sequence of int
            None is empty; all of one length unless the network `packs`.

        Returns
        -------
        Tensor, shape (positions, width)
        """
        if self.packs:
            layout = EndToEnd([len(ids) for ids in sequences], device=self.device)
            return self.read_packed(sequences, layout)
        return self.features(torch.tensor(sequences))[0].flatten(0, 1)

    def read_packed(self, sequences: Sequence[Sequence[int]], layout: Layout) -> Tensor:
        """Return the features of sequences that go through end to end; see `read`."""
        ids = torch.tensor(list(chain.from_iterable(sequences)))
        places = torch.cat([torch.arange(len(one)) for one in sequences])
        return self.packed(ids, places, layout)

    def packed(self, ids: Tensor, places: Tensor, layout: Layout) -> Tensor:
        """Return the features of positions that stand in one row.

        Parameters
        ----------
        ids : Tensor of int64, shape (positions,)
        places : Tensor of int64, shape (positions,)
            Where each position is in its own sequence.
        layout : Layout
            Which positions see which.

        Returns
        -------
        Tensor, shape (positions, width)
        """
        places = places[None].to(self.device)
        return self.features(ids[None], position_ids=places, layout=layout)[0][0]

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

    def logit_blocks(self, features: Tensor) -> Iterator[Tensor]:
        """Yield the logits of all positions, one block of the vocabulary after the other.

        Parameters
        ----------
        features : Tensor, shape (positions, width)

        Yields
        ------
        Tensor, shape (positions, block)
            In the network's own precision.
        """
        head = self._head
        if head is None:
            yield features if not self.is_split else self._whole_head(features)
            return
        enough = _with_copies(features)
        block = _BLOCK[self.device.type]
        biases = [None] if head.bias is None else head.bias.split(block)
        for weight, bias in zip(head.weight.split(block), cycle(biases), strict=False):
            yield steady_linear(enough, weight, bias)[: len(features)]

    @property
    def _head(self) -> Any:
        """The LM head, if it is a plain matrix and so can be taken apart; else None."""
        head = self.model.get_output_embeddings() if self.is_split else None
        return head if type(head) in (torch.nn.Linear, SteadyLinear) else None

    def _whole_head(self, features: Tensor) -> Tensor:
        logits: Tensor = self.model.get_output_embeddings()(_with_copies(features))
        return logits[: len(features)]

    def portions(self, features: Tensor) -> Iterator[slice]:
        """Yield the positions whose logits should be made together."""
        if self._head is not None:
            yield slice(0, len(features))
            return
        size = _WHOLE_POSITIONS[self.device.type]
        for start in range(0, len(features), size):
            yield slice(start, start + size)

    def token_statistics(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entropy of each prediction, and how surprising what came was, in nats.

        With ``lse = ln Σ e^z`` the entropy of the softmax ``p`` of logits ``z`` is ``lse - Σ p z``,
        and the negative log-likelihood of token ``w`` is ``lse - z_w``. Both sums are made block by
        block: a block's own softmax counts by the block's share of the whole.

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
        for part in self.portions(features):
            blocks = [_lse_and_mean(block) for block in self.logit_blocks(features[part])]
            # Sums over the last axis round alike however many positions there are.
            of_blocks, means = (torch.stack(column, -1) for column in zip(*blocks, strict=True))
            lse = of_blocks.logsumexp(-1)
            # A block of masked logits has no share, and its mean may be anything.
            expected = ((of_blocks - lse[:, None]).exp() * means).sum(-1)
            wanted = targets[part, None].to(lse.device)
            entropies.append((lse - expected).cpu())
            nlls.append((lse - self._chosen_logits(features[part], wanted)[:, 0]).cpu())
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
        found = [torch.empty(0, targets.shape[1], device=self.device)]
        for part in self.portions(features):
            of_blocks = [block.float().logsumexp(-1) for block in self.logit_blocks(features[part])]
            lse = torch.stack(of_blocks, -1).logsumexp(-1)
            wanted = targets[part].to(self.device)
            found.append(self._chosen_logits(features[part], wanted) - lse[:, None])
        return torch.cat(found).double()

    def _chosen_logits(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the logits of chosen tokens in float32, shape of ``targets``.

        A logit in bfloat16 takes one of few values, so that texts would tie by the hundreds. A few
        dot products in float32 cost nothing. The normaliser, a sum over the whole vocabulary, may
        stay in bfloat16: its rounding averages out, and is the same for all options. Where the head
        is no plain matrix the logits are taken as they are.
        """
        head = self._head
        if head is None:
            (logits,) = self.logit_blocks(features)
            return logits.gather(-1, targets).float()
        # One column after the other: their weights together may be large.
        logits = torch.stack(
            [
                (head.weight[column].float() * features.float()).sum(-1)
                for column in targets.unbind(1)
            ],
            dim=1,
        )
        return logits if head.bias is None else logits + head.bias[targets].float()


def _lse_and_mean(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``ln Σ e^z`` of a block of logits, and the mean logit under its softmax."""
    logits = logits.float()
    probabilities = torch.softmax(logits, -1)
    # From the likeliest token's logit and probability: no second sum is needed.
    lse = logits.amax(-1) - probabilities.amax(-1).log()
    mean = (probabilities * logits).sum(-1)
    if mean.isnan().any():  # a masked logit is -inf, and its probability 0
        probabilities = torch.softmax(logits.clamp(min=_LOWEST_LOGIT), -1)
        lse = logits.logsumexp(-1)
        mean = (probabilities * logits.clamp(min=_LOWEST_LOGIT)).sum(-1)
    return lse, mean


def _with_copies(features: Tensor) -> Tensor:
    """Return features with enough rows to round like many (see `batching`)."""
    missing = FEWEST_POSITIONS - len(features)
    return features if missing <= 0 else torch.cat([features, features[:1].expand(missing, -1)])


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


_TRIED_LENGTHS = (11, 40)
_AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 0.08}
# What models raise that do not take positions, or their attention, in this form.
_NOT_TAKEN = (
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


def _can_pack(network: Network) -> bool:
    """Return whether sequences end to end give what they give alone; make the model ready for it.

    A model whose layers do not all attend to everything is told by its configuration; the rest by
    trying it on a few tokens.
    """
    model = network.model
    settings = model.config.get_text_config()
    kinds = set(getattr(settings, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(settings, "sliding_window", None) is not None:
        _tell_why_not(model, "its layers do not all attend to everything")
        return False
    sequences = [
        [
            (place * 7919 + length) % settings.vocab_size
            for place in range(min(length, network.max_positions or length))
        ]
        for length in _TRIED_LENGTHS
    ]
    as_loaded = model.config._attn_implementation
    with torch.inference_mode():
        apart = torch.cat([network.read([ids]) for ids in sequences])
        try:
            register()
            model.set_attn_implementation(NAME)
            together = replace(network, packs=True).read(sequences)
        except _NOT_TAKEN as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            # Not a number is no agreement.
            if (together - apart).abs().max() <= _AGREEMENT[model.dtype] * apart.abs().max():
                return True
            reason = "the numbers differ from those of its own attention"
    model.set_attn_implementation(as_loaded)
    _tell_why_not(model, reason)
    return False


def _tell_why_not(model: Any, reason: str) -> None:
    _LOG.info("%s reads texts of one length at a time: %s", type(model).__name__, reason)
