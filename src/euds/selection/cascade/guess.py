"""What is said of a score that was not measured: the likeliest value, and how far off it may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from euds.selection.cascade.probe import error_bar, features_of, fit_probe
from euds.selection.diagnosis import MOST_TIES
from euds.selection.rules.ranks import tied_share

__all__ = ["Guess", "Scale", "guess_of", "picked_donors"]

_NEAREST = 1e-6  # to a bound, as a share of what lies between both
_FEWEST_OF_OPTION = 10
_FEWEST_TO_FIT = 2

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """Where a score can lie; between two bounds it is predicted on a scale without any.

    Parameters
    ----------
    low, high : float
        The bounds, perhaps infinite.
    """

    low: float = -np.inf
    high: float = np.inf

    @property
    def _bounded(self) -> bool:
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def to(self, values: Floats) -> Floats:
        """Return values on the scale of the probe: log-odds between two bounds, else as they are.

        >>> Scale(0.0, 2.0).to(np.array([1.0])).tolist()
        [0.0]
        """
        if not self._bounded:
            return values
        share = (values - self.low) / (self.high - self.low)
        return np.asarray(logit(np.clip(share, _NEAREST, 1 - _NEAREST)))

    def back(self, values: Floats) -> Floats:
        """Return values of the probe as scores."""
        if not self._bounded:
            return np.clip(values, self.low, self.high)
        return np.asarray(self.low + (self.high - self.low) * expit(values))


@dataclass(frozen=True)
class Guess:
    """What is said of one column where it was not measured.

    Parameters
    ----------
    likeliest : ndarray of float, shape (n,)
        What has the smallest squared error, on the scale of the probe.
    filled : ndarray of float, shape (n,)
        Predicted scores that spread as widely as the truth.
    apart : ndarray of int
        The rows held apart, by which the bar is set.
    bar : float
        What 9 in 10 of the predicted scores are off by at most; infinite if not known.
    donors : ndarray of int
        The rows whose errors are known: those held apart, and those fitted to, each left out once.
    errors : ndarray of float, shape (donors,)
        Truth minus the likeliest value, on the scale of the probe.
    scale : Scale
        From scores to what the probe predicts.
    spearman : float
        Of the probe, over rows left out one by one.
    """

    likeliest: Floats
    filled: Floats
    apart: Numbers
    bar: float
    donors: Numbers
    errors: Floats
    scale: Scale
    spearman: float


def guess_of(
    cheap: Floats,
    truth: Floats,
    *,
    shown: Bools,
    apart: Bools,
    entropy: Floats | None,
    scale: Scale,
) -> Guess:
    """Predict a column.

    Parameters
    ----------
    cheap : ndarray of float, shape (n, features)
        What is known of every row.
    truth : ndarray of float, shape (n,)
        The score where it was measured, else NaN.
    shown : ndarray of bool, shape (n,)
        The rows that the probe may be fitted to.
    apart : ndarray of bool, shape (n,)
        The measured ones among the others, that the bar is set by.
    entropy : ndarray of float, shape (n,), or None
        The generative entropy, NaN where it is not known; None where it is none of the features.
    scale : Scale
        Where the score can lie.
    """
    there = np.isfinite(truth)
    wanted = np.where(there, scale.to(np.where(there, truth, scale.back(np.zeros(1)))), np.nan)
    fit, held_apart = shown & there, np.flatnonzero(apart & there)
    if fit.sum() < _FEWEST_TO_FIT:
        fit = there
    if fit.sum() < _FEWEST_TO_FIT:  # nothing to learn from, and nothing to be said
        constant = np.full(len(truth), float(wanted[fit].mean()) if fit.any() else 0.0)
        none = np.zeros(0, dtype=np.int64)
        return Guess(constant, scale.back(constant), none, np.inf, none, np.zeros(0), scale, 0.0)
    probe = fit_probe(cheap[fit], wanted[fit])
    likeliest, stretched = probe.likeliest(cheap), probe.stretched(cheap)
    errors = wanted - likeliest
    errors[fit] = probe.left_out
    read = np.isfinite(entropy) if entropy is not None else np.zeros(len(truth), dtype=np.bool_)
    both = fit & read
    if entropy is not None and both.sum() >= _FEWEST_TO_FIT:
        # Where generative entropy is known it may tell more.
        more = np.hstack([cheap, features_of(None, [entropy])])
        told = fit_probe(more[both], wanted[both])
        likeliest = np.where(read, told.likeliest(more), likeliest)
        stretched = np.where(read, told.stretched(more), stretched)
        errors[read] = (wanted - likeliest)[read]
        errors[both] = told.left_out
    filled = scale.back(stretched)
    if tied_share(truth[there]) > MOST_TIES:
        # A score that takes few values is predicted to take one of them.
        taken = np.unique(truth[there])
        filled = taken[np.searchsorted((taken[1:] + taken[:-1]) / 2, filled)]
    donors = np.union1d(np.flatnonzero(fit), held_apart)
    return Guess(
        likeliest,
        filled,
        held_apart,
        error_bar(truth[held_apart] - filled[held_apart]),
        donors,
        errors[donors],
        scale,
        probe.spearman,
    )


def picked_donors(donors: Numbers, points: Floats, codes: Numbers | None) -> Numbers:
    """Return for each row the number of the donor whose error it is given.

    Where enough of those were guessed to have the same answer, it is one of them.
    """
    if not len(donors):
        return np.zeros(len(points), dtype=np.int64)
    picked = np.minimum((points * len(donors)).astype(np.int64), len(donors) - 1)
    if codes is None:
        return picked
    for code in np.unique(codes):
        alike = np.flatnonzero(codes[donors] == code)
        if len(alike) >= _FEWEST_OF_OPTION:
            rows = codes == code
            place = np.minimum((points[rows] * len(alike)).astype(np.int64), len(alike) - 1)
            picked[rows] = alike[place]
    return picked
