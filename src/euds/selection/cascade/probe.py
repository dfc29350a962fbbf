"""A probe that predicts an entropy from what costs little, and how far it is off.

Ridge regression on sentence vectors, length and the entropies that are known. Its error bars are
those of split-conformal prediction (Vovk et al. 2005; Lei et al. 2018, arXiv 1604.04173): the
errors on rows that the probe was not fitted to, and that are otherwise like those it is asked
about. No label is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euds.selection.rules.criteria import reduced
from euds.selection.rules.ranks import spearman
from euds.selection.rules.ridge import ridge_weights

__all__ = ["LEVEL", "Probe", "error_bar", "features_of", "fit_probe"]

LEVEL = 0.9
"""The share of predictions that an error bar holds."""

_DIMENSIONS = 32  # more tell no more of an entropy: docs/cascade.md
_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e-3, 1e-6, 1e3, 1e4)
_MOST_STRETCHED = 10.0

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def features_of(
    vectors: NDArray[np.float32] | None, known: Sequence[Floats], *, squares: bool = True
) -> Floats:
    """Return what a probe is given of each row, shape ``(n, features)``.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimensions), or None
        Sentence vectors.
    known : sequence of ndarray of float, shape (n,)
        Lengths and entropies. A missing one counts as the mean of the others.
    squares : bool
        Whether their squares are given too.
    """
    columns = []
    for one in known:
        there = np.isfinite(one)
        if not there.any():
            continue
        centre, spread = one[there].mean(), one[there].std()
        if spread <= 1e-9 * max(1.0, abs(float(centre))):
            continue  # the same everywhere: nothing to learn from
        standard = np.where(there, (one - centre) / spread, 0.0)
        columns += [standard, standard**2] if squares else [standard]
    parts = [np.column_stack(columns)] if columns else []
    if vectors is not None:
        axes = reduced(vectors)[:, :_DIMENSIONS]
        largest = axes.std(axis=0).max()
        if largest > 0:
            parts.append(axes / largest)
    if not parts:
        rows = len(known[0]) if known else 0
        return np.zeros((rows, 1))
    return np.hstack(parts)


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Parameters
    ----------
    weights : ndarray of float, shape (features,)
        Of the features, less their centre.
    centre : ndarray of float, shape (features,)
        Their means in the rows it was fitted to.
    intercept : float
        The mean that it was fitted to.
    penalty : float
        The one with the smallest error on rows left out.
    stretch : float
        What the predictions' distances from the mean are multiplied with, so that they spread as
        widely as the truth does.
    left_out : ndarray of float, shape (n,)
        For each row it was fitted to, truth minus the prediction of a fit without that row.
    spearman : float
        Rank correlation of prediction and truth over rows left out one by one.
    """

    weights: Floats
    centre: Floats
    intercept: float
    penalty: float
    stretch: float
    left_out: Floats
    spearman: float

    def likeliest(self, features: Floats) -> Floats:
        """Return the predictions with the smallest squared error, shape ``(n,)``."""
        return np.asarray((features - self.centre) @ self.weights + self.intercept)

    def stretched(self, features: Floats) -> Floats:
        """Return predictions that spread as widely as the truth, shape ``(n,)``.

        The likeliest values lie closer to the mean than true ones: among measured values they would
        crowd the middle.
        """
        away = self.likeliest(features) - self.intercept
        return np.asarray(self.intercept + self.stretch * away)


def fit_probe(features: Floats, targets: Floats) -> Probe:
    """Fit a probe; the penalty is the one with the smallest error on rows left out one by one.

    Parameters
    ----------
    features : ndarray of float, shape (n, k)
        What is known of the rows; at least two rows.
    targets : ndarray of float, shape (n,)
        What is to be predicted.
    """
    centre, intercept = features.mean(axis=0), float(targets.mean())
    rows, wanted = features - centre, targets - intercept
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    along = left.T @ wanted
    best: tuple[float, float, Floats] | None = None
    for penalty in _PENALTIES:
        shrunk = sizes**2 / (sizes**2 + penalty)
        leverages = (left**2) @ shrunk + 1 / len(rows)
        # A row's error as if it had been left out (Allen 1974, PRESS).
        errors = (wanted - left @ (shrunk * along)) / np.maximum(1 - leverages, 1e-9)
        error = float((errors**2).mean())
        if best is None or error < best[0]:
            best = (error, penalty, errors)
    assert best is not None
    error, penalty, errors = best
    predicted = wanted - errors
    spread = float(predicted.var())
    stretch = min(math.sqrt(1 + error / spread), _MOST_STRETCHED) if spread > 0 else 1.0
    weights = ridge_weights(rows, wanted[:, None], penalty=penalty)[:, 0]
    # Without its row a mean lies a little away from that row: not to be taken for a prediction.
    told = spearman(predicted + wanted / (len(rows) - 1), wanted) or 0.0
    return Probe(weights, centre, intercept, penalty, stretch, errors, told)


def error_bar(errors: Floats, *, level: float = LEVEL) -> float:
    """Return the half-width around a prediction that holds the truth with probability ``level``.

    It does so for a row that is exchangeable with those of ``errors``, whatever the distribution.

    Parameters
    ----------
    errors : ndarray of float, shape (n,)
        Truth minus prediction, of rows that the probe was not fitted to.
    level : float
        Between 0 and 1.

    Returns
    -------
    float
        Infinite where there are too few errors to promise anything.

    >>> error_bar(np.arange(1.0, 20.0)), error_bar(np.array([1.0]))
    (18.0, inf)
    """
    place = math.ceil(round((len(errors) + 1) * level, 9))
    if place > len(errors):
        return math.inf
    return float(np.sort(np.abs(errors))[place - 1])
