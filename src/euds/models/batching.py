"""Sequences that go through a network together.

In bfloat16 a padded position moves the logits of its neighbours by several tenths, so sequences are
never padded: those that go together have the same length, or stand end to end in one row (see
`euds.models.attention`). Such batches give the same bits at every size, with one exception. A
matrix product of very few rows takes another path through the arithmetic library, with other
rounding, so batches below a few positions are filled up with copies of their own rows (see
`rows_needed`). Which larger numbers of rows round otherwise depends on the processor (see
`euds.models.rounding`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_POSITIONS", "batches_of", "equal_length_batches", "filled", "rows_needed"]

FEWEST_POSITIONS = 16
"""Products of at least this many rows round alike: measured for float32 and bfloat16 on x86."""


def equal_length_batches(
    lengths: Sequence[int],
    *,
    batch_tokens: int,
    most_rows: int | None = None,
    round_to: int = 1,
) -> Iterator[NDArray[np.intp]]:
    """Yield the indices of sequences that go together, shortest first.

    Parameters
    ----------
    lengths : sequence of int
        The length of each sequence.
    batch_tokens : int
        The largest sum of lengths in a batch; one sequence may be longer.
    most_rows : int, optional
        The largest number of sequences in a batch.
    round_to : int
        Lengths are alike that are equal once rounded up to a multiple of this.

    Yields
    ------
    ndarray of intp, shape (rows,)
        By length, then in ascending order.
    """
    exact = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(exact, kind="stable")
    sizes = -(-exact[order] // round_to) * round_to
    for length in np.unique(sizes):
        members = order[sizes == length]
        rows = max(1, min(batch_tokens // max(1, int(length)), most_rows or len(members)))
        for start in range(0, len(members), rows):
            yield members[start : start + rows]


def batches_of(
    lengths: Sequence[int], *, batch_tokens: int, mixed: bool
) -> Iterator[NDArray[np.intp]]:
    """Yield the indices of sequences that go together, shortest first.

    Parameters
    ----------
    lengths : sequence of int
        The length of each sequence.
    batch_tokens : int
        The largest sum of lengths in a batch; one sequence may be longer.
    mixed : bool
        Whether sequences of different lengths may go together.

    Yields
    ------
    ndarray of intp, shape (rows,)

    Examples
    --------
    >>> [batch.tolist() for batch in batches_of([3, 1, 2, 9], batch_tokens=6, mixed=True)]
    [[1, 2, 0], [3]]
    """
    if not mixed:
        yield from equal_length_batches(lengths, batch_tokens=batch_tokens)
        return
    exact = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(exact, kind="stable")
    batch: list[np.intp] = []
    tokens = 0
    for index in order:
        if batch and tokens + exact[index] > batch_tokens:
            yield np.array(batch)
            batch, tokens = [], 0
        batch.append(index)
        tokens += int(exact[index])
    if batch:
        yield np.array(batch)


def rows_needed(positions_per_row: int) -> int:
    """Return the fewest rows whose product rounds like one of many rows.

    >>> rows_needed(128), rows_needed(5), rows_needed(1)
    (1, 4, 16)
    """
    return -(-FEWEST_POSITIONS // positions_per_row)


def filled(indices: NDArray[np.intp], rows: int) -> NDArray[np.intp]:
    """Return ``indices``, repeated in turn if there are fewer than ``rows``.

    >>> filled(np.array([4, 7]), 5)
    array([4, 7, 4, 7, 4])
    """
    return np.resize(indices, max(rows, len(indices)))
