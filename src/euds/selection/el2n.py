"""EL2N: how wrong a model still is about a row, early in training. It looks at labels.

Paul, Ganguli and Dziugaite 2021, "Deep Learning on a Data Diet" (arXiv 2107.07075, definition 2.3)
score a row by the expected length of its error vector, softmax minus one-hot label, after a few
epochs of training on all rows. Rows that are hard, or labelled wrongly, score high.

What differs from the paper: they train a whole network from random weights, at the learning rate of
the final training, and average ten runs. Here only a linear softmax head on frozen sentence vectors
is trained, so that a score costs no more than the vectors. A linear head has no symmetry to break
and begins at zero: the runs differ in the order of the rows alone, and three of them are enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError

__all__ = ["el2n"]

Floats = NDArray[np.float64]


def el2n(
    vectors: NDArray[np.float32],
    labels: Sequence[str],
    *,
    seed: int,
    runs: int = 3,
    epochs: int = 10,
    batch_rows: int = 32,
    learning_rate: float = 1.0,
) -> Floats:
    """Return the mean length of each row's error vector after a few epochs of training.

    Parameters
    ----------
    vectors : ndarray of float32, shape (rows, dimensions)
        Sentence vectors of length 1, from `euds.vectors.vectors_of`.
    labels : sequence of str
        The class of each row.
    seed : int
        Of the orders in which the rows are gone through.
    runs : int
        Heads trained, whose scores are averaged.
    epochs : int
        How often each head goes through all rows.
    batch_rows : int
        Rows a step of stochastic gradient descent.
    learning_rate : float
        Its step length; with vectors of length 1 and a bias gradient descent is stable below 2.

    Returns
    -------
    ndarray of float64, shape (rows,)
        Between 0, sure and right, and the square root of 2, sure and wrong.

    Raises
    ------
    OptionError
        If there is not one label a row, or a number is too small.
    """
    if len(labels) != len(vectors):
        raise OptionError(
            "EL2N needs one label a row", got=f"{len(labels):,} labels, {len(vectors):,} rows"
        )
    for name, number in (("runs", runs), ("epochs", epochs), ("batch rows", batch_rows)):
        if number < 1:
            raise OptionError(f"the number of {name} is too small", got=str(number))
    if not len(vectors):
        return np.zeros(0)
    inputs = np.column_stack([vectors.astype(np.float64), np.ones(len(vectors))])  # 1: the bias
    names = {label: index for index, label in enumerate(sorted(set(labels)))}
    one_hot = np.eye(len(names))[[names[label] for label in labels]]
    total = np.zeros(len(inputs))
    for run in range(runs):
        order = np.random.default_rng([seed, run])
        head = np.zeros((inputs.shape[1], len(names)))
        for _ in range(epochs):
            shuffled = order.permutation(len(inputs))
            for start in range(0, len(inputs), batch_rows):
                batch = shuffled[start : start + batch_rows]
                errors = _softmax(inputs[batch] @ head) - one_hot[batch]
                head -= learning_rate / len(batch) * inputs[batch].T @ errors
        total += np.linalg.norm(_softmax(inputs @ head) - one_hot, axis=1)
    return total / runs


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
