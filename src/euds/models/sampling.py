"""Draws from a model's full distribution, many prompts and many draws at a time.

Each draw of each prompt has its own stream of uniform numbers and inverts the distribution
function with them: no sorting, no filter, and nothing that depends on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from euds.models.batching import rows_needed
from euds.models.branches import Branches, Copies, Tree, read_prompts
from euds.models.network import Network

__all__ = ["Draws", "draw_batch", "texts_before_end"]


@dataclass(frozen=True)
class Draws:
    """Tokens drawn after a batch of prompts.

    Parameters
    ----------
    tokens : ndarray of int64, shape (rows, count, steps)
        What was drawn; from ``lengths`` on it means nothing.
    log_prob_nats : ndarray of float64, shape (rows, count)
        Sums over the drawn tokens, at temperature 1.
    lengths : ndarray of int64, shape (rows, count)
        Tokens drawn, the one that ended the draw included.
    ended : ndarray of bool, shape (rows, count)
        Whether the last of them ended the draw.
    """

    tokens: NDArray[np.int64]
    log_prob_nats: NDArray[np.float64]
    lengths: NDArray[np.int64]
    ended: NDArray[np.bool_]


def draw_batch(
    network: Network,
    prompts: Sequence[Sequence[int]],
    uniforms: NDArray[np.float64],
    *,
    batch_tokens: int,
    is_end: NDArray[np.bool_],
    temperature: float,
    share_rows: bool,
) -> Draws:
    """Draw continuations of prompts.

    Parameters
    ----------
    network : Network
        The model.
    prompts : sequence of sequence of int
        As for `read_prompts`, and at least ``rows_needed(count)`` of them. They must have one
        length if rows are not shared.
    uniforms : ndarray of float64, shape (rows, count, steps)
        In [0, 1): what each draw of each prompt is made with.
    batch_tokens : int
        Tokens of prompts that go through the network together.
    is_end : ndarray of bool, shape (vocabulary,)
        The tokens that end a draw.
    temperature : float
        What logits are divided by before drawing.
    share_rows : bool
        Whether the model `can_share_rows`.
    """
    rows, count, steps = uniforms.shape
    tokens = np.zeros((rows, count, steps), dtype=np.int64)
    log_probs = np.zeros((rows, count))
    lengths = np.zeros((rows, count), dtype=np.int64)
    open_ = np.ones((rows, count), dtype=bool)
    active = np.arange(rows)  # prompts with an open draw, in the order of the branches' rows

    branches: Branches
    if share_rows:
        read = read_prompts(network, prompts, batch_tokens=batch_tokens, with_cache=True)
        branches, last = Tree(network, read), read.features
    else:
        features, cache = network.features(torch.tensor(prompts), use_cache=True)
        branches, last = Copies(network, cache, rows=rows, count=count), features[:, -1]
    drawn, found = _draw(network, last, uniforms[:, :, 0], temperature)
    for step in range(steps):
        still = open_[active]
        tokens[active, :, step] = drawn
        log_probs[active] += np.where(still, found, 0.0)
        lengths[active] += still
        open_[active] &= ~is_end[drawn]
        if step + 1 == steps or not open_.any():
            break
        kept = _rows_to_keep(open_[active], fewest=rows_needed(count))
        if len(kept) < len(active):
            branches.keep(torch.from_numpy(kept))
            active, drawn = active[kept], drawn[kept]
        features = branches.step(torch.from_numpy(drawn))
        still = open_[active]
        drawn, found = np.zeros(still.shape, dtype=np.int64), np.zeros(still.shape)
        levels = uniforms[active, :, step + 1][still]
        asked = features[torch.from_numpy(still).to(features.device)]
        drawn_now, found_now = _draw(network, asked, levels[:, None], temperature)
        drawn[still], found[still] = drawn_now[:, 0], found_now[:, 0]
    return Draws(tokens, log_probs, lengths, ~open_)


def _rows_to_keep(still_open: NDArray[np.bool_], *, fewest: int) -> NDArray[np.intp]:
    """Return the rows to go on with: those with an open draw, and as many as rounding asks for."""
    unfinished = np.any(still_open, axis=1)
    order = np.argsort(~unfinished, kind="stable")
    return np.sort(order[: max(fewest, int(unfinished.sum()))])


def _draw(
    network: Network, features: Tensor, uniforms: NDArray[np.float64], temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw tokens at each position, and return them with their log-probabilities.

    Parameters
    ----------
    features : Tensor, shape (positions, width)
    uniforms : ndarray of float64, shape (positions, draws)

    Returns
    -------
    tokens : ndarray of int64, shape (positions, draws)
    log_probs : ndarray of float64, shape (positions, draws)
    """
    wanted = torch.from_numpy(uniforms).to(network.device)
    tokens, log_probs = [], []
    start = 0
    for logits in network.logits(features):
        levels = wanted[start : start + len(logits)]
        start += len(logits)
        probabilities, lse = network.softmax(logits)
        if temperature != 1.0:
            torch.softmax(logits / temperature, -1, out=probabilities)
        # Summed in float64: in float32 the steps at the far end of a large vocabulary are lost.
        mass = network.scratch("mass", logits, dtype=torch.float64)
        torch.cumsum(probabilities, -1, out=mass, dtype=torch.float64)
        # Levels are below the total, so the token found is one that added to it.
        index = torch.searchsorted(mass, levels * mass[:, -1:], right=True)
        index.clamp_(max=logits.shape[-1] - 1)
        tokens.append(index)
        log_probs.append((logits.gather(-1, index) - lse[:, None]).double())
    return torch.cat(tokens).cpu().numpy(), torch.cat(log_probs).cpu().numpy()


def texts_before_end(draws: Draws, row: int) -> Sequence[list[int]]:
    """Return the tokens of each draw of a row, without the one that ended it."""
    kept = draws.lengths[row] - draws.ended[row]
    return [list(tokens[:length]) for tokens, length in zip(draws.tokens[row], kept, strict=True)]
