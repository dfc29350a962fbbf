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

from euds.models.batching import FEWEST_POSITIONS, rows_needed
from euds.models.branches import Continuations, Copies, Tree
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
) -> Draws:
    """Draw continuations of prompts.

    Parameters
    ----------
    network : Network
        The model.
    prompts : sequence of sequence of int
        At least ``rows_needed(count)`` of them, as long as `Tree` needs them if the network packs,
        else of one length.
    uniforms : ndarray of float64, shape (rows, count, steps)
        In [0, 1): what each draw of each prompt is made with.
    batch_tokens : int
        Tokens of prompts that go through the network together.
    is_end : ndarray of bool, shape (vocabulary,)
        The tokens that end a draw.
    temperature : float
        What logits are divided by before drawing.
    """
    rows, count, steps = uniforms.shape
    tokens = np.zeros((rows, count, steps), dtype=np.int64)
    log_probs = np.zeros((rows, count))
    lengths = np.zeros((rows, count), dtype=np.int64)
    open_ = np.ones((rows, count), dtype=bool)
    active = np.arange(rows)  # prompts with an open draw, in the order of the branches' rows

    branches: Continuations
    if network.packs:
        room = count * (steps - 1)
        branches = Tree(network, prompts, batch_tokens=batch_tokens, room=room)
    else:
        branches = Copies(network, prompts, count=count)
    drawn, found = _draw(network, branches.last, uniforms[:, :, 0], temperature)
    for step in range(steps):
        still = open_[active]
        tokens[active, :, step] = drawn
        log_probs[active] += np.where(still, found, 0.0)
        lengths[active] += still
        open_[active] &= ~is_end[drawn]
        still = open_[active]
        if step + 1 == steps or not still.any():
            break
        kept = _rows_to_keep(still)
        if len(kept) < len(active):
            branches.keep(torch.from_numpy(kept))
            active, drawn, still = active[kept], drawn[kept], still[kept]
        present = _enough(still)
        features = branches.step(torch.from_numpy(drawn), torch.from_numpy(present))
        asked = features[torch.from_numpy(still[present]).to(features.device)]
        drawn, found = np.zeros(still.shape, dtype=np.int64), np.zeros(still.shape)
        levels = uniforms[active, :, step + 1][still]
        drawn_now, found_now = _draw(network, asked, levels[:, None], temperature)
        drawn[still], found[still] = drawn_now[:, 0], found_now[:, 0]
    return Draws(tokens, log_probs, lengths, ~open_)


def _rows_to_keep(still_open: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the rows to go on with.

    Rows without an open draw cost little, and forgetting them copies the keys and values of the
    others: that is worth it once they are half of all.
    """
    rows, count = still_open.shape
    unfinished = still_open.any(axis=1)
    fewest = rows_needed(count)
    if max(fewest, 2 * int(unfinished.sum())) > rows:
        return np.arange(rows)
    order = np.argsort(~unfinished, kind="stable")
    return np.sort(order[: max(fewest, int(unfinished.sum()))])


def _enough(still_open: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the draws to go on with: those that are open, and as many as rounding asks for."""
    missing = FEWEST_POSITIONS - int(still_open.sum())
    if missing <= 0:
        return still_open
    present = still_open.copy()
    present.ravel()[np.flatnonzero(~still_open)[:missing]] = True
    return present


def _draw(
    network: Network, features: Tensor, uniforms: NDArray[np.float64], temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw tokens at each position, and return them with their log-probabilities.

    The distribution function is inverted in two steps, so that it need not be written out: which
    block of the vocabulary, and which token of the block.

    Parameters
    ----------
    features : Tensor, shape (positions, width)
    uniforms : ndarray of float64, shape (positions, draws)

    Returns
    -------
    tokens : ndarray of int64, shape (positions, draws)
    log_probs : ndarray of float64, shape (positions, draws)
    """
    tokens, log_probs = [], []
    for part in network.portions(features):
        levels = torch.from_numpy(uniforms[part]).to(network.device)
        found, of_found = _draw_part(network, features[part], levels, temperature)
        tokens.append(found.cpu().numpy())
        log_probs.append(of_found.cpu().numpy())
    return np.concatenate(tokens), np.concatenate(log_probs)


def _draw_part(
    network: Network, features: Tensor, levels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    blocks = list(network.logit_blocks(features))
    of_blocks = torch.stack([block.float().logsumexp(-1) for block in blocks], dim=1)
    lse = of_blocks.logsumexp(-1)
    if temperature != 1.0:
        cooled = [(block.float() / temperature).logsumexp(-1) for block in blocks]
        of_blocks = torch.stack(cooled, dim=1)
    # Summed in float64: in float32 the steps at the far end of a large vocabulary are lost.
    shares = torch.softmax(of_blocks.double(), -1)
    mass = shares.cumsum(-1)
    wanted = levels * mass[:, -1:]
    block = _first_above(mass, wanted)
    left = wanted - (mass - shares).gather(-1, block)
    logits = _of_blocks(blocks, block)
    inside = torch.softmax(logits.double() / temperature, -1) * shares.gather(-1, block)[..., None]
    place = _first_above(inside.cumsum(-1), left[..., None])
    log_probs = logits.gather(-1, place)[..., 0].double() - lse[:, None]
    return block * blocks[0].shape[-1] + place[..., 0], log_probs


def _first_above(mass: Tensor, levels: Tensor) -> Tensor:
    """Return the place of the first cumulative mass above each level, or of the last step.

    Rounding may put a level at the whole mass; the last place that added to it is meant then.
    """
    levels = torch.minimum(levels, mass[..., -1:] * (1 - 1e-12))
    return torch.searchsorted(mass, levels, right=True).clamp_(max=mass.shape[-1] - 1)


def _of_blocks(blocks: Sequence[Tensor], block: Tensor) -> Tensor:
    """Return the float32 logits of a block for each position and draw; -inf past a block's end.

    Parameters
    ----------
    blocks : sequence of Tensor, shape (positions, size)
        The last may be smaller.
    block : Tensor of int64, shape (positions, draws)

    Returns
    -------
    Tensor of float32, shape (positions, draws, size)
    """
    size = blocks[0].shape[-1]
    found = torch.full((*block.shape, size), float("-inf"), device=block.device)
    for index in sorted(set(block.flatten().tolist())):
        rows, draws = (block == index).nonzero(as_tuple=True)
        logits = blocks[index]
        found[rows, draws, : logits.shape[-1]] = logits[rows].float()
    return found


def texts_before_end(draws: Draws, row: int) -> Sequence[list[int]]:
    """Return the tokens of each draw of a row, without the one that ended it."""
    kept = draws.lengths[row] - draws.ended[row]
    return [list(tokens[:length]) for tokens, length in zip(draws.tokens[row], kept, strict=True)]
