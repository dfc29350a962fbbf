"""Prompts that were read, several continuations of each, and closed sets of options after them.

`Tree` reads each prompt once and lets its continuations share what was read (see
`euds.models.attention.Branches`). `Copies` is for models that cannot do so: it repeats the prompt's
key/value cache for each continuation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from euds.models.attention import Branches, EndToEnd
from euds.models.batching import batches_of, filled, rows_needed
from euds.models.network import Network

__all__ = ["Continuations", "Copies", "Tree", "branched_log_probs", "last_features", "tail_tokens"]


class Continuations(Protocol):
    """Continuations of a batch of prompts that grow by one token at a time.

    Attributes
    ----------
    last : Tensor, shape (rows, width)
        Features of each prompt's last position.
    """

    last: Tensor

    def step(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Append one token to some of the continuations and return its features.

        Parameters
        ----------
        tokens : Tensor of int64, shape (rows, count)
        present : Tensor of bool, shape (rows, count)
            The continuations that go on. One that was absent stays so.

        Returns
        -------
        Tensor, shape (present, width)
            Row by row.
        """

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""


def last_features(
    network: Network, prompts: Sequence[Sequence[int]], *, batch_tokens: int
) -> Tensor:
    """Return the features of each prompt's last position, shape ``(prompts, width)``.

    Parameters
    ----------
    network : Network
        The model.
    prompts : sequence of sequence of int
        The tokens of each.
    batch_tokens : int
        Tokens that go through the network together.
    """
    order, found = [], []
    for batch, members in _batches(network, prompts, batch_tokens=batch_tokens):
        features = network.read([prompts[index] for index in members])
        order.append(batch)
        found.append(features[_ends(prompts, members)][: len(batch)])
    return torch.cat(found)[_places(order, network)]


def _batches(
    network: Network, prompts: Sequence[Sequence[int]], *, batch_tokens: int
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield the prompts that go together, as they are and with copies enough to round alike."""
    lengths = [len(prompt) for prompt in prompts]
    for batch in batches_of(lengths, batch_tokens=batch_tokens, mixed=network.packs):
        yield batch, filled(batch, rows_needed(lengths[batch[0]]))


def _ends(prompts: Sequence[Sequence[int]], members: Iterable[int]) -> Tensor:
    lengths = torch.tensor([len(prompts[index]) for index in members])
    return lengths.cumsum(0) - 1


def _places(order: Sequence[np.ndarray], network: Network) -> Tensor:
    return torch.from_numpy(np.argsort(np.concatenate(order))).to(network.device)


class Tree:
    """Continuations of prompts that share what was read of the prompt.

    Parameters
    ----------
    network : Network
        One that `packs`.
    prompts : sequence of sequence of int
        Their lengths must be alike once rounded up to a multiple of `COLUMNS`.
    batch_tokens : int
        Tokens of prompts that go through the network together.
    room : int
        The most tokens that the continuations of a prompt will have together.
    """

    def __init__(
        self,
        network: Network,
        prompts: Sequence[Sequence[int]],
        *,
        batch_tokens: int,
        room: int,
    ) -> None:
        order, last, kept = [], [], []
        for batch, members in _batches(network, prompts, batch_tokens=batch_tokens):
            sequences = [prompts[index] for index in members]
            layout = EndToEnd([len(one) for one in sequences], device=network.device, keep=True)
            features = network.read_packed(sequences, layout)
            order.append(batch)
            last.append(features[_ends(prompts, members)][: len(batch)])
            kept.append([_of_rows(one, len(batch), len(members)) for one in layout.kept])
        places = _places(order, network)
        self.last = torch.cat(last)[places]
        self._network = network
        self._lengths = torch.tensor([len(prompt) for prompt in prompts])
        self._layout = Branches(
            [_joined(layer, places) for layer in zip(*kept, strict=True)],
            lengths=self._lengths,
            room=room,
        )
        self._steps = 0

    def extend(
        self, tokens: Tensor, *, branches: Tensor, depths: Tensor, present: Tensor
    ) -> Tensor:
        """Append tokens to some branches and return their features.

        Parameters
        ----------
        tokens : Tensor of int64, shape (rows, nodes)
        branches : Tensor of int64, shape (nodes,)
            The branch that each token belongs to.
        depths : Tensor of int64, shape (nodes,)
            Its place in the branch, from 0.
        present : Tensor of bool, shape (rows, nodes)
            Which of the tokens to append.

        Returns
        -------
        Tensor, shape (present, width)
            Row by row.
        """
        self._layout.extend(branches, depths, present)
        places = self._lengths[:, None] + depths[None, :]
        return self._network.packed(tokens[present], places[present], self._layout)

    def step(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Append one token to some of the continuations; see `Continuations.step`."""
        count = tokens.shape[1]
        depths = torch.full((count,), self._steps)
        self._steps += 1
        return self.extend(tokens, branches=torch.arange(count), depths=depths, present=present)

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""
        self._layout.keep(rows)
        self._lengths = self._lengths[rows]


States = tuple[Tensor, Tensor]


def _of_rows(states: States, rows: int, read: int) -> States:
    """Return keys and values of the first rows of those read."""
    first = len(states[0]) // read * rows
    return states[0][:first], states[1][:first]


def _joined(batches: Sequence[States], places: Tensor) -> States:
    """Return keys and values of all batches, in the order of the prompts."""
    keys, values = (torch.cat(column) for column in zip(*batches, strict=True))
    heads = len(keys) // len(places)
    order = (places[:, None] * heads + torch.arange(heads, device=places.device)).flatten()
    return keys[order], values[order]


class Copies:
    """Continuations of a prompt in rows of their own, each with a copy of the prompt's cache.

    Parameters
    ----------
    network : Network
        Any causal model.
    prompts : sequence of sequence of int
        Of one length.
    count : int
        Continuations of each.
    """

    def __init__(self, network: Network, prompts: Sequence[Sequence[int]], *, count: int) -> None:
        features, self._cache = network.features(torch.tensor(prompts), use_cache=True)
        self.last = features[:, -1]
        self._network = network
        self._count = count
        rows = torch.arange(len(prompts), device=network.device)
        self._cache.reorder_cache(rows.repeat_interleave(count))

    def step(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Append one token to all continuations; see `Continuations.step`."""
        features, self._cache = self._network.features(
            tokens.reshape(-1, 1), use_cache=True, past_key_values=self._cache
        )
        return features[:, 0][present.flatten().to(features.device)]

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""
        offsets = torch.arange(self._count)
        members = (rows[:, None] * self._count + offsets).flatten()
        self._cache.reorder_cache(members.to(self._network.device))


# Log-probabilities of a closed set of options after a batch of prompts.


def tail_tokens(options: Sequence[Sequence[int]]) -> int:
    """Return how many tokens of the options must go through the model after the prompt."""
    return sum(len(option) - 1 for option in options)


def branched_log_probs(
    network: Network,
    prompts: Sequence[Sequence[int]],
    options: Sequence[Sequence[int]],
    *,
    batch_tokens: int,
) -> Tensor:
    """Return the log-probability of each option after each prompt, in nats.

    The prompt's last position predicts the options' first tokens. If there are others, all options
    go through the model together, as branches of the prompt.

    Parameters
    ----------
    network : Network
        One that `packs`, if an option has several tokens.
    prompts : sequence of sequence of int
        The tokens of each; as `Tree` needs them if an option has several tokens.
    options : sequence of sequence of int
        The tokens of each option, at least one.
    batch_tokens : int
        Tokens that go through the network together.

    Returns
    -------
    Tensor of float64, shape (prompts, options)
    """
    nodes = [
        (branch, depth, option[depth], option[depth + 1])
        for branch, option in enumerate(options)
        for depth in range(len(option) - 1)
    ]
    rows = len(prompts)
    firsts = torch.tensor([option[0] for option in options]).expand(rows, -1)
    if not nodes:
        last = last_features(network, prompts, batch_tokens=batch_tokens)
        return network.log_probs(last, firsts)
    tree = Tree(network, prompts, batch_tokens=batch_tokens, room=len(nodes))
    total = network.log_probs(tree.last, firsts)
    branches, depths, tokens, following = torch.tensor(nodes).unbind(1)
    features = tree.extend(
        tokens.expand(rows, -1),
        branches=branches,
        depths=depths,
        present=torch.ones(rows, len(nodes), dtype=torch.bool),
    )
    found = network.log_probs(features, following.repeat(rows)[:, None])
    return total.index_add_(1, branches.to(total.device), found.reshape(rows, -1))
