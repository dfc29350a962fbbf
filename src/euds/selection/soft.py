"""Soft inclusion: every row may be kept, the likelier the better it stands.

A hard interval gives most rows probability zero, and what they would have taught cannot be made up
for by any weight. With known probabilities, none of them zero, the mean over kept rows weighted by
1 / probability is unbiased for the mean over the pool (Horvitz and Thompson 1952,
doi:10.1080/01621459.1952.10483446).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

__all__ = ["FLOOR_SHARE", "inclusion_probabilities", "systematic_draw"]

FLOOR_SHARE = 0.1
"""The least probability of a row, as a part of what it would have in a plain draw."""

Floats = NDArray[np.float64]


def inclusion_probabilities(distances: Floats, rows: int) -> Floats:
    """Return clip(a phi(d / h), floor, 1) with the one a for which they add up to ``rows``.

    phi is the normal density. Its width h is half of the share kept: the interval that the rule
    would keep reaches just so far from its middle, so that a row at its edge is still 60 % as
    likely as one in the middle.

    Parameters
    ----------
    distances : ndarray of float, shape (n,)
        How far each row is from the middle of what the rule prefers, in ranks: 0 to 1/2.
    rows : int
        The expected number of rows, 1 to n.

    Returns
    -------
    ndarray of float, shape (n,)
    """
    share = rows / len(distances)
    floor = FLOOR_SHARE * share
    if rows == len(distances):
        return np.ones(len(distances))
    density = np.asarray(norm.pdf(distances / (share / 2)))

    def excess(log_scale: float) -> float:
        return float(np.clip(np.exp(log_scale) * density, floor, 1).sum() - rows)

    # Far down all are at the floor, far up all that the density can tell from zero are at 1.
    log_scale = brentq(excess, -50.0, 650.0, xtol=1e-12)
    return np.asarray(np.clip(np.exp(log_scale) * density, floor, 1))


def systematic_draw(probabilities: Floats, start: float) -> NDArray[np.bool_]:
    """Draw rows with given probabilities, spread evenly along their order.

    Systematic sampling with unequal probabilities (Madow 1949, doi:10.1214/aoms/1177729988): the
    probabilities are laid end to end, and the rows at ``start``, ``start`` + 1, ... are drawn. Rows
    next to each other are hardly ever drawn together.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n,)
        They add up to a whole number, which is the number of rows drawn.
    start : float
        A number drawn uniformly from [0, 1).

    >>> systematic_draw(np.array([0.5, 0.5, 0.25, 0.75]), 0.6).tolist()
    [False, True, False, True]
    """
    ends = np.cumsum(probabilities)
    ends *= round(float(ends[-1])) / ends[-1]  # sums of floats are off in the last digits
    passed = np.maximum(np.ceil(ends - start), 0)  # how many of the places drawn lie before an end
    return np.asarray(np.diff(passed, prepend=0) > 0)
