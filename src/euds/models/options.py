"""Log-probabilities of a closed set of options after a batch of prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from euds.models.branches import Tree, last_features
from euds.models.network import Network

__all__ = ["branched_log_probs", "tail_tokens"]


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
