"""Products of bfloat16 that round alike, however many positions go through a network together.

On CPUs the arithmetic library under torch (oneDNN) takes another kernel for another number of rows,
and another kernel may add up in another order. How many rows make a difference depends on the
processor and on the shape of the weights: with AVX512-BF16 alone only very few rows do (see
`batching`); with AMX on some Xeons 33 rows to as many as the weights have outputs do. So it is
found out where the model runs, once for each shape, and products of such sizes are filled up or
cut up.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from euds.models.batching import FEWEST_POSITIONS

__all__ = ["Steadiness", "SteadyLinear", "steadiness", "steady_linear", "steady_linears"]

_PIECE = 32
_MOST = 2048
_SIZES = (33, 48, 64, 128, 192, 256, 384, 512, 576, 768, 1024, 1536, _MOST)
_CHEAPER = 4
"""A row in a small product takes about this many times as long as one in a large product."""


@dataclass(frozen=True)
class Steadiness:
    """Which numbers of rows give a row the same bits, for weights of one shape.

    Parameters
    ----------
    enough : int
        From so many rows on; 0 if every number does.
    few_too : bool
        Whether 16 to 32 rows give the same bits as well.
    """

    enough: int = 0
    few_too: bool = True


class SteadyLinear(torch.nn.Linear):
    """A linear layer whose rows have the same bits in every company."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's own name)
        """Return ``input @ weight.T + bias``."""
        flat = input.reshape(-1, input.shape[-1])
        found = steady_linear(flat, self.weight, self.bias)
        return found.reshape(*input.shape[:-1], -1)


def steady_linears(model: torch.nn.Module) -> None:
    """Make the linear layers of a model steady, if they compute in bfloat16 on a CPU."""
    for layer in model.modules():
        if type(layer) is torch.nn.Linear and _may_differ(layer.weight):
            changed: Any = layer
            changed.__class__ = SteadyLinear


def steady_linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``rows @ weight.T + bias``; each row with the bits that it has among many.

    Parameters
    ----------
    rows : Tensor, shape (rows, inputs)
        At least `euds.models.batching.FEWEST_POSITIONS`, or fewer will round as they do alone.
    weight : Tensor, shape (outputs, inputs)
    bias : Tensor, shape (outputs,), optional

    Returns
    -------
    Tensor, shape (rows, outputs)
    """
    linear = torch.nn.functional.linear
    if not _may_differ(weight):
        return linear(rows, weight, bias)
    count = len(rows)
    found = steadiness(*weight.shape, torch.get_num_threads())
    if count >= found.enough or (found.few_too and count <= _PIECE):
        return linear(rows, weight, bias)
    if found.few_too and _CHEAPER * count < found.enough:
        # The last piece overlaps the one before it, so that none is small.
        starts = [*range(0, count - _PIECE, _PIECE), count - _PIECE]
        pieces = [linear(rows[start : start + _PIECE], weight, bias) for start in starts]
        overlap = len(starts) * _PIECE - count
        return torch.cat([*pieces[:-1], pieces[-1][overlap:]])
    filling = rows[:1].expand(found.enough - count, -1)
    return linear(torch.cat([rows, filling]), weight, bias)[:count]


def _may_differ(weight: Tensor) -> bool:
    return weight.dtype == torch.bfloat16 and weight.device.type == "cpu"


@functools.lru_cache(maxsize=256)
def steadiness(outputs: int, inputs: int, threads: int) -> Steadiness:
    """Return which numbers of rows give the same bits on this machine.

    Parameters
    ----------
    outputs, inputs : int
        The shape of the weights.
    threads : int
        How many threads a product is shared out to now; shares may be taken for small products.
    """
    half = -(-inputs // 2)
    generator = torch.Generator().manual_seed(0)
    # The second half takes away what the first half adds. What is left is rounding and nothing
    # else, and differs as soon as the order of the sums does.
    weight = torch.randn(outputs, half, generator=generator).bfloat16().repeat(1, 2)[:, :inputs]
    rows = torch.randn(_PIECE, half, generator=generator).bfloat16()
    rows = torch.cat([rows, -rows], 1)[:, :inputs].repeat(_MOST * threads // _PIECE, 1)
    linear = torch.nn.functional.linear
    among_many = linear(rows, weight)

    def is_alike(size: int) -> bool:
        return torch.equal(linear(rows[:size], weight), among_many[:size])

    borders = {*_SIZES, min(outputs, _MOST)}
    sizes = sorted({size * times for size in borders for times in {1, threads}})
    unlike = max((size for size in sizes if not is_alike(size)), default=0)
    few_too = all(is_alike(size) for size in (FEWEST_POSITIONS, _PIECE - 1, _PIECE))
    if not unlike and few_too:
        return Steadiness()
    return Steadiness(next(size for size in sizes if size > unlike), few_too)
