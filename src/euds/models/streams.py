"""Uniform numbers that belong to one draw of one prompt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["uniform_streams"]


def uniform_streams(seed: int, *, count: int, steps: int) -> NDArray[np.float64]:
    """Return the uniform numbers of one prompt's draws, shape ``(count, steps)``, in [0, 1).

    More draws, or more steps, leave those that were there as they are.

    Parameters
    ----------
    seed : int
        The prompt's, not negative.
    count, steps : int
        Number of draws, and of numbers for each.

    Examples
    --------
    >>> few, many = uniform_streams(3, count=2, steps=4), uniform_streams(3, count=5, steps=9)
    >>> bool((few == many[:2, :4]).all())
    True
    """
    streams = [np.random.default_rng([seed, draw]).random(steps) for draw in range(count)]
    return np.array(streams).reshape(count, steps)
