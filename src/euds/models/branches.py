"""Prompts that were read, and several continuations of each that share its key/value cache.

Repeating the cache for each continuation would make every step copy the prompt's keys and values as
many times over. `Tree` keeps one row a prompt instead: the continuations' tokens stand side by side
in it, each with the position it has in its own text, and a mask lets each see the prompt and its
own past only. That is the same arithmetic, without the copies.

`Copies` does repeat the cache. It is for models to which a mask cannot say all this: sliding
windows, attention biased by distance in the row, recurrent layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from euds.models.batching import equal_length_batches, filled, rows_needed
from euds.models.network import Network

__all__ = [
    "PROMPT_COLUMNS",
    "Branches",
    "Copies",
    "ReadPrompts",
    "Tree",
    "can_share_rows",
    "read_prompts",
]

PROMPT_COLUMNS = 32
"""Caches of prompts are filled up to a multiple of this many columns, so that prompts of different
lengths can go on together. What is filled in is masked, and how much of it depends on the prompt's
own length alone: its numbers do not depend on its company."""


@dataclass(frozen=True)
class ReadPrompts:
    """Prompts that went through a network.

    Parameters
    ----------
    features : Tensor, shape (rows, width)
        Of each prompt's last position.
    lengths : Tensor of int64, shape (rows,)
        Tokens of each prompt.
    cache : transformers.Cache or None
        Keys and values of all prompts.
    columns : int
        Positions in the cache; in a row those from its prompt's length on mean nothing.
    """

    features: Tensor
    lengths: Tensor
    cache: Any
    columns: int


def read_prompts(
    network: Network,
    prompts: Sequence[Sequence[int]],
    *,
    batch_tokens: int,
    with_cache: bool,
) -> ReadPrompts:
    """Read prompts in batches of equal length, and keep what a continuation needs.

    Parameters
    ----------
    network : Network
        The model.
    prompts : sequence of sequence of int
        The tokens of each. With a cache, their lengths must be alike once rounded up to a multiple
        of `PROMPT_COLUMNS`.
    batch_tokens : int
        Tokens that go through the network together.
    with_cache : bool
        Whether keys and values are wanted.
    """
    lengths = [len(prompt) for prompt in prompts]
    order, features, caches = [], [], []
    for batch in equal_length_batches(lengths, batch_tokens=batch_tokens):
        members = filled(batch, rows_needed(lengths[batch[0]]))
        ids = torch.tensor([prompts[index] for index in members])
        states, cache = network.features(ids, use_cache=with_cache)
        order.append(batch)
        features.append(states[: len(batch), -1])
        if with_cache:
            cache.reorder_cache(torch.arange(len(batch), device=network.device))
            caches.append(cache)
    place = torch.from_numpy(np.argsort(np.concatenate(order))).to(network.device)
    columns = max(lengths)
    cache = None
    if with_cache:
        cache, columns = _joined(caches)
        cache.reorder_cache(place)
    return ReadPrompts(torch.cat(features)[place], torch.tensor(lengths), cache, columns)


def _joined(caches: Sequence[Any]) -> tuple[Any, int]:
    """Return one cache with the rows of several, and its number of columns."""
    from transformers import DynamicCache

    longest = max(cache.get_seq_length() for cache in caches)
    columns = -(-longest // PROMPT_COLUMNS) * PROMPT_COLUMNS
    joined = DynamicCache()
    for index in range(len(caches[0].layers)):
        layers = [cache.layers[index] for cache in caches]
        keys = _stacked([layer.keys for layer in layers], columns)
        values = _stacked([layer.values for layer in layers], columns)
        joined.update(keys, values, index)
    return joined, columns


def _stacked(states: Sequence[Tensor], columns: int) -> Tensor:
    """Stack keys or values of shape ``(rows, heads, positions, width)``, filled up with zeros."""
    return torch.cat([pad(some, (0, 0, 0, columns - some.shape[-2])) for some in states])


class Branches(Protocol):
    """Continuations of a batch of prompts that grow by one token at a time."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each continuation and return its features.

        Parameters
        ----------
        tokens : Tensor of int64, shape (rows, branches)

        Returns
        -------
        Tensor, shape (rows, branches, width)
        """

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""


class Tree:
    """Continuations of a prompt side by side in the prompt's own row.

    Parameters
    ----------
    network : Network
        One that `can_share_rows`.
    prompts : ReadPrompts
        With their cache, which grows.
    """

    def __init__(self, network: Network, prompts: ReadPrompts) -> None:
        self._network = network
        self._cache = prompts.cache
        self._lengths = prompts.lengths
        self._is_prompt = torch.arange(prompts.columns)[None, :] < prompts.lengths[:, None]
        self._branches = torch.empty(0, dtype=torch.int64)
        self._depths = torch.empty(0, dtype=torch.int64)

    def extend(self, tokens: Tensor, *, branches: Tensor, depths: Tensor) -> Tensor:
        """Append tokens to some branches and return their features.

        Parameters
        ----------
        tokens : Tensor of int64, shape (rows, nodes)
        branches : Tensor of int64, shape (nodes,)
            The branch that each token belongs to.
        depths : Tensor of int64, shape (nodes,)
            Its place in the branch, from 0.

        Returns
        -------
        Tensor, shape (rows, nodes, width)
        """
        rows, nodes = tokens.shape
        self._branches = torch.cat([self._branches, branches])
        self._depths = torch.cat([self._depths, depths])
        same_branch = branches[:, None] == self._branches[None, :]
        not_later = self._depths[None, :] <= depths[:, None]
        seen = torch.cat(
            [
                self._is_prompt[:, None, :].expand(-1, nodes, -1),
                (same_branch & not_later).expand(rows, -1, -1),
            ],
            dim=-1,
        )
        device, dtype = self._network.device, self._network.model.dtype
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        features, self._cache = self._network.features(
            tokens,
            use_cache=True,
            past_key_values=self._cache,
            attention_mask=mask[:, None].to(device),
            position_ids=(self._lengths[:, None] + depths[None, :]).to(device),
        )
        return features

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each branch; see `Branches.step`."""
        count = tokens.shape[1]
        depth = len(self._branches) // count
        return self.extend(tokens, branches=torch.arange(count), depths=torch.full((count,), depth))

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""
        self._cache.reorder_cache(rows.to(self._network.device))
        self._lengths, self._is_prompt = self._lengths[rows], self._is_prompt[rows]


class Copies:
    """Continuations of a prompt in rows of their own, each with a copy of the prompt's cache.

    Parameters
    ----------
    network : Network
        Any causal model.
    cache : transformers.Cache
        Of prompts that have one length.
    rows : int
        Number of prompts.
    count : int
        Continuations of each.
    """

    def __init__(self, network: Network, cache: Any, *, rows: int, count: int) -> None:
        self._network = network
        self._cache = cache
        self._count = count
        cache.reorder_cache(torch.arange(rows, device=network.device).repeat_interleave(count))

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each continuation; see `Branches.step`."""
        features, self._cache = self._network.features(
            tokens.reshape(-1, 1), use_cache=True, past_key_values=self._cache
        )
        return features.reshape(*tokens.shape, -1)

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""
        offsets = torch.arange(self._count)
        members = (rows.cpu()[:, None] * self._count + offsets).flatten()
        self._cache.reorder_cache(members.to(self._network.device))


_DRAWS, _STEPS, _PROMPT = 8, 3, 16
_AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 0.08}


def can_share_rows(network: Network) -> bool:
    """Return whether a `Tree` gives what the model gives for each continuation on its own.

    A model whose layers do not all attend to everything is told by its configuration; the rest by
    trying it on a few tokens.
    """
    settings = network.model.config.get_text_config()
    kinds = set(getattr(settings, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(settings, "sliding_window", None) is not None:
        return False
    ids = torch.arange(_PROMPT + _DRAWS * _STEPS) * 7919 % settings.vocab_size
    prompt, draws = ids[None, :_PROMPT], ids[_PROMPT:].reshape(_DRAWS, _STEPS)
    try:
        with torch.inference_mode():
            read = read_prompts(network, prompt.tolist(), batch_tokens=_PROMPT, with_cache=True)
            tree = Tree(network, read)
            for column in draws.T:
                shared = tree.step(column[None, :])[0]
            alone, _ = network.features(torch.cat([prompt.expand(_DRAWS, -1), draws], dim=1))
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False  # the model does not take masks, positions or caches in this form
    difference = (shared - alone[:, -1]).abs().max()
    return bool(difference <= _AGREEMENT[network.model.dtype] * alone[:, -1].abs().max())
