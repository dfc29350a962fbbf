"""Attention over sequences that go through a network end to end, in one row.

Nearly all arithmetic of a network looks at one position at a time, so positions of many sequences
can stand in one row with nothing between them, whatever their lengths: large products, no padding.
Only attention must know which positions see which. transformers takes attention functions by name;
the one registered here hands queries, keys and values to the layout that the caller passed along.

Two layouts: `EndToEnd` is for sequences that are read; `Branches` is for sequences that
continue prompts read before, many to a prompt, without a copy of the prompt for each.

A product sums over columns, and how many there are may decide how it rounds. Columns are therefore
filled up to a multiple of `COLUMNS` that depends on the sequence's own length alone. It also keeps
short sequences cheap beside long ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["COLUMNS", "NAME", "Branches", "EndToEnd", "Layout", "register"]

NAME = "euds"
"""The name that transformers knows the attention function by."""

COLUMNS = 32
"""What the number of a sequence's columns is a multiple of."""

_HIDDEN = float("-inf")


class Layout(Protocol):
    """Which positions see which."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float
    ) -> Tensor:
        """Return what each position makes of those it sees.

        Parameters
        ----------
        layer : int
            The layer that asks.
        query : Tensor, shape (positions, heads, width)
        key, value : Tensor, shape (positions, key heads, width)
            Each key head serves ``heads / key heads`` heads that follow one another.
        scaling : float
            What products of queries and keys are multiplied by.

        Returns
        -------
        Tensor, shape (positions, heads, width)
        """


def register() -> None:
    """Make the attention function known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)


# What some models add to plain attention, and a layout does not know of.
_NOT_PLAIN = ("sliding_window", "softcap", "s_aux", "sinks", "position_bias", "block_indices")


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: Layout,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend by a layout; the signature is transformers'."""
    if any(others.get(name) is not None for name in _NOT_PLAIN):
        raise NotImplementedError("this attention does more than a softmax over products")
    # transformers has (1, heads, positions, width) here and wants (1, positions, heads, width).
    positions_first = (one[0].transpose(0, 1) for one in (query, key, value))
    return layout.attend(module.layer_idx, *positions_first, scaling=scaling)[None], None


def _by_key_head(states: Tensor, key_heads: int) -> Tensor:
    """Turn ``(rows, columns, heads, width)`` into ``(rows * key heads, ..., width)``."""
    rows, columns, heads, width = states.shape
    group = heads // key_heads
    split = states.reshape(rows, columns, key_heads, group, width).permute(0, 2, 3, 1, 4)
    return split.reshape(rows * key_heads, group * columns, width)


def _by_position(states: Tensor, *, rows: int, columns: int) -> Tensor:
    """Turn the other way: back into ``(rows, columns, heads, width)``."""
    width = states.shape[-1]
    split = states.reshape(rows, -1, states.shape[1] // columns, columns, width)
    return split.permute(0, 3, 1, 2, 4).reshape(rows, columns, -1, width)


def _weighed(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, scaling: float) -> Tensor:
    """Return the values, weighed by the softmax of ``scaling * query @ key + hidden``."""
    weights = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=scaling)
    return torch.bmm(torch.softmax(weights, -1), value)


@dataclass(frozen=True)
class _Bucket:
    """Sequences that take up the same number of columns.

    Parameters
    ----------
    rows, columns : int
        How many sequences, and their columns.
    places : Tensor of int64, shape (rows * columns,)
        The position in each column. Those past a sequence's end repeat its last position; no
        position of a sequence looks that far.
    """

    rows: int
    columns: int
    places: Tensor


class EndToEnd:
    """Sequences that are read: each position sees its own sequence up to itself.

    Parameters
    ----------
    lengths : sequence of int
        Of the sequences, in the order in which they stand in the row; none is empty.
    device : torch.device
    keep : bool
        Whether to keep keys and values; the sequences must then take up equally many columns.
    """

    def __init__(self, lengths: Sequence[int], *, device: torch.device, keep: bool = False) -> None:
        self.kept: list[tuple[Tensor, Tensor]] = []
        """Keys and values of each layer, ``(rows * key heads, columns, width)``."""
        self._keep = keep
        self._hidden: dict[int, Tensor] = {}
        exact = np.asarray(lengths, dtype=np.int64)
        starts = np.cumsum(exact) - exact
        columns = -(-exact // COLUMNS) * COLUMNS
        self._buckets = []
        where = np.empty(int(exact.sum()), dtype=np.int64)  # each position's column, among all
        first = 0
        for width in np.unique(columns):
            members = np.flatnonzero(columns == width)
            last = exact[members, None] - 1
            places = starts[members, None] + np.minimum(np.arange(width), last)
            is_real = np.arange(width) <= last
            where[places[is_real]] = first + np.flatnonzero(is_real)
            first += places.size
            on_device = torch.from_numpy(places.ravel()).to(device)
            self._buckets.append(_Bucket(len(members), int(width), on_device))
        # Sequences of one length that fill their columns need not be put into place.
        self._in_place = len(self._buckets) == 1 and bool((columns == exact).all())
        self._where = torch.from_numpy(where).to(device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float
    ) -> Tensor:
        """Return what each position makes of its sequence; see `Layout.attend`."""
        found = []
        for bucket in self._buckets:
            shape = (bucket.rows, bucket.columns, -1, query.shape[-1])
            in_columns = (
                (one if self._in_place else one.index_select(0, bucket.places)).reshape(shape)
                for one in (query, key, value)
            )
            queries, keys, values = (_by_key_head(one, key.shape[1]) for one in in_columns)
            if self._keep:
                self.kept.append((keys, values))
            hidden = self._later(bucket.columns, queries.shape[1] // bucket.columns, like=queries)
            weighed = _weighed(queries, keys, values, hidden, scaling)
            rows = _by_position(weighed, rows=bucket.rows, columns=bucket.columns)
            found.append(rows.flatten(0, 1))
        columns = found[0] if len(found) == 1 else torch.cat(found)
        return columns if self._in_place else columns.index_select(0, self._where)

    def _later(self, columns: int, group: int, *, like: Tensor) -> Tensor:
        """Return what hides later columns, shape ``(1, group * columns, columns)``."""
        if columns not in self._hidden:
            later = torch.full((columns, columns), _HIDDEN, dtype=like.dtype).triu(1)
            self._hidden[columns] = later.repeat(group, 1)[None].to(like.device)
        return self._hidden[columns]


class Branches:
    """Continuations of prompts: each position sees its prompt and the branch that it is on.

    A row has the columns of its prompt, then one for each position that was added, side by side
    whatever branch they are on. It costs some products that are hidden afterwards, and saves a copy
    of the prompt for each branch.

    Parameters
    ----------
    kept : sequence of (Tensor, Tensor)
        The prompts' keys and values, of each layer; see `EndToEnd`.
    lengths : Tensor of int64, shape (rows,)
        Tokens of each prompt.
    room : int
        The most positions that will be added to a row.
    """

    def __init__(
        self, kept: Sequence[tuple[Tensor, Tensor]], *, lengths: Tensor, room: int
    ) -> None:
        columns = kept[0][0].shape[1]
        self._states = [tuple(_with_room(states, room) for states in one) for one in kept]
        self._is_prompt = torch.arange(columns)[None, :] < lengths[:, None]
        self._used = columns
        self._branches = torch.empty(0, dtype=torch.int64)
        self._depths = torch.empty(0, dtype=torch.int64)
        self._new = 0
        self._key_heads = len(kept[0][0]) // len(lengths)
        self._seen: Tensor
        self._hidden: Tensor | None = None
        self._columns: Tensor
        self._positions: Tensor

    def extend(self, branches: Tensor, depths: Tensor, present: Tensor) -> None:
        """Announce the positions that come next.

        Parameters
        ----------
        branches, depths : Tensor of int64, shape (nodes,)
            The branch that each new position of a row is on, and its place there, from 0.
        present : Tensor of bool, shape (rows, nodes)
            Which of them go through the network, row by row. Later ones on their branches may not.
        """
        device = self._states[0][0].device
        self._used += self._new
        self._new = len(branches)
        self._branches = torch.cat([self._branches, branches])
        self._depths = torch.cat([self._depths, depths])
        on_branch = branches[:, None] == self._branches[None, :]
        not_later = self._depths[None, :] <= depths[:, None]
        self._seen = torch.cat(
            [
                self._is_prompt[:, None, :].expand(-1, self._new, -1),
                (on_branch & not_later).expand(len(present), -1, -1),
            ],
            dim=-1,
        )
        self._hidden = None
        # Absent positions get the first one's states; none that is present sees them.
        columns = present.flatten().cumsum(0).sub_(1).mul_(present.flatten())
        self._columns = columns.to(device)
        self._positions = present.flatten().nonzero()[:, 0].to(device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float
    ) -> Tensor:
        """Return what each position makes of prompt and branch; see `Layout.attend`."""
        rows = len(self._is_prompt)
        queries, new_keys, new_values = (
            _by_key_head(
                one.index_select(0, self._columns).reshape(rows, self._new, -1, one.shape[-1]),
                self._key_heads,
            )
            for one in (query, key, value)
        )
        keys, values = self._states[layer]
        end = self._used + self._new
        keys[:, self._used : end] = new_keys
        values[:, self._used : end] = new_values
        if self._hidden is None:  # the first layer makes it for all
            self._hidden = self._unseen(group=queries.shape[1] // self._new, like=queries)
        weighed = _weighed(queries, keys[:, :end], values[:, :end], self._hidden, scaling)
        found = _by_position(weighed, rows=rows, columns=self._new).flatten(0, 1)
        return found.index_select(0, self._positions)

    def _unseen(self, *, group: int, like: Tensor) -> Tensor:
        """Return what hides other branches, shape ``(rows * key heads, group * new, columns)``."""
        hidden = torch.zeros(self._seen.shape, dtype=like.dtype).masked_fill_(~self._seen, _HIDDEN)
        each = hidden[:, None, None].expand(-1, self._key_heads, group, -1, -1)
        return each.flatten(2, 3).flatten(0, 1).to(like.device)

    def keep(self, rows: Tensor) -> None:
        """Forget all prompts but those at ``rows``."""
        heads = torch.arange(self._key_heads)
        members = (rows[:, None] * self._key_heads + heads).flatten().to(self._states[0][0].device)
        self._states = [
            tuple(states.index_select(0, members) for states in one) for one in self._states
        ]
        self._is_prompt = self._is_prompt[rows]


def _with_room(states: Tensor, room: int) -> Tensor:
    return torch.nn.functional.pad(states, (0, 0, 0, room))
