"""Ridge regression in closed form, as a classifier that costs next to nothing to train."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ridge", "agreement", "ridge_weights"]

_FOLDS = 3

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def ridge_weights(inputs: Floats, targets: Floats, *, penalty: float) -> Floats:
    """Return the weights of least squares with a penalty on their squared length.

    Parameters
    ----------
    inputs : ndarray of float64, shape (rows, dimensions)
        What is known of each row.
    targets : ndarray of float64, shape (rows, outputs)
        What it should give.
    penalty : float
        Above 0.

    Returns
    -------
    ndarray of float64, shape (dimensions, outputs)

    Notes
    -----
    The smaller of two systems of equations is solved: of as many unknowns as dimensions, or as rows
    (the kernel form).
    """
    rows, dimensions = inputs.shape
    if rows <= dimensions:
        gram = inputs @ inputs.T + penalty * np.eye(rows)
        return np.asarray(inputs.T @ np.linalg.solve(gram, targets))
    covariance = inputs.T @ inputs + penalty * np.eye(dimensions)
    return np.asarray(np.linalg.solve(covariance, inputs.T @ targets))


class Ridge:
    """Ridge regression of class indicators on features; the largest output is the answer.

    Parameters
    ----------
    features : ndarray of float64, shape (n, k)
        The rows.
    classes : ndarray of int, shape (n,)
        Their classes, from 0.
    penalty : float
        On the squared length of the weights; the intercept is free.
    """

    def __init__(self, features: Floats, classes: Numbers, penalty: float) -> None:
        self.features = features
        self.targets = np.eye(int(classes.max()) + 1)[classes]
        self.penalty = penalty

    def outputs(self, fit: Numbers, ask: Numbers) -> Floats:
        """Return the outputs for rows ``ask`` after fitting rows ``fit``, ``(rows, classes)``."""
        centre, shares = self.features[fit].mean(axis=0), self.targets[fit].mean(axis=0)
        rows = self.features[fit] - centre
        weights = ridge_weights(rows, self.targets[fit] - shares, penalty=self.penalty)
        return np.asarray((self.features[ask] - centre) @ weights + shares)

    def right(self, fit: Numbers, ask: Numbers) -> Bools:
        """Return which rows ``ask`` get their own class, shape ``(ask,)``."""
        answers = self.outputs(fit, ask).argmax(axis=1)
        return np.asarray(self.targets[ask, answers] == 1)

    def right_left_out(self, fit: Numbers, ask: Numbers) -> Bools:
        """Return which rows ``ask`` get their own class from a fit that they are no part of.

        Rows that are in ``fit`` too are judged as if they had been left out of it, in closed form:
        the residual of a row divided by one minus its leverage (Allen 1974, PRESS).

        Returns
        -------
        ndarray of bool, shape (ask,)
        """
        outputs = self.outputs(fit, np.arange(len(self.features)))
        rows = self.features[fit] - self.features[fit].mean(axis=0)
        covariance = rows.T @ rows + self.penalty * np.eye(rows.shape[1])
        leverages = 1 / len(fit) + np.einsum("ij,ji->i", rows, np.linalg.solve(covariance, rows.T))
        own = leverages[:, None]
        outputs[fit] = (outputs[fit] - own * self.targets[fit]) / np.maximum(1 - own, 1e-9)
        return np.asarray(self.targets[ask, outputs[ask].argmax(axis=1)] == 1)


def agreement(ridge: Ridge, rows: Numbers, *, seed: int) -> Floats:
    """Return how far other rows' labels speak for each row's own, against its best rival.

    Each row is judged by a probe that was trained on other folds: rows with a wrong label come out
    negative (cf. confident learning, Northcutt et al. 2021, arXiv 1911.00068).

    Parameters
    ----------
    ridge : Ridge
        The probe.
    rows : ndarray of int
        The rows that may be looked at.
    seed : int
        Of the folds.

    Returns
    -------
    ndarray of float, shape (rows,)
    """
    folds = np.random.default_rng([seed, 3]).permutation(len(rows)) % _FOLDS
    found = np.empty(len(rows))
    for fold in range(_FOLDS):
        asked = folds == fold
        outputs = ridge.outputs(rows[~asked], rows[asked])
        own = ridge.targets[rows[asked]] == 1
        found[asked] = outputs[own] - np.where(own, -np.inf, outputs).max(axis=1)
    return found
