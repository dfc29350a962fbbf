"""Several continuations of one prompt that share its key/value cache.

Repeating the cache for each continuation would make every step copy the prompt's keys and values as
many times over. `Tree` keeps one row a prompt instead: the continuations' tokens stand side by side
in it, each with the position it has in its own text, and a mask lets each see the prompt and its
own past only. That is the same arithmetic, without the copies.

`Copies` does repeat the cache. It is for models to which a mask cannot say all this: sliding
windows, attention biased by distance in the row, recurrent layers.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from euds.models.network import Network

__all__ = ["Branches", "Copies", "Tree", "can_share_rows"]


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
    cache : transformers.Cache
        Of the prompts, which have one length.
    prompt_tokens : int
        That length.
    """

    def __init__(self, network: Network, cache: Any, *, prompt_tokens: int) -> None:
        self._network = network
        self._cache = cache
        self._prompt_tokens = prompt_tokens
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
        device, dtype = self._network.device, self._network.model.dtype
        mask = torch.zeros(nodes, self._prompt_tokens + len(self._branches), dtype=dtype)
        mask[:, self._prompt_tokens :].masked_fill_(
            ~(same_branch & not_later), torch.finfo(dtype).min
        )
        features, self._cache = self._network.features(
            tokens,
            use_cache=True,
            past_key_values=self._cache,
            attention_mask=mask.to(device).expand(rows, 1, -1, -1),
            position_ids=(self._prompt_tokens + depths).to(device).expand(rows, -1),
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


class Copies:
    """Continuations of a prompt in rows of their own, each with a copy of the prompt's cache.

    Parameters
    ----------
    network : Network
        Any causal model.
    cache : transformers.Cache
        Of the prompts, which have one length.
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
    total = _PROMPT + _DRAWS * _STEPS
    if network.max_positions is not None and network.max_positions < total:
        return False
    ids = torch.arange(total) * 7919 % settings.vocab_size
    prompt, draws = ids[None, :_PROMPT], ids[_PROMPT:].reshape(_DRAWS, _STEPS)
    try:
        with torch.inference_mode():
            _, cache = network.features(prompt, use_cache=True)
            tree = Tree(network, cache, prompt_tokens=_PROMPT)
            for column in draws.T:
                shared = tree.step(column[None, :])[0]
            alone, _ = network.features(torch.cat([prompt.expand(_DRAWS, -1), draws], dim=1))
    except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return False  # the model does not take masks, positions or caches in this form
    difference = (shared - alone[:, -1]).abs().max()
    return bool(difference <= _AGREEMENT[network.model.dtype] * alone[:, -1].abs().max())
