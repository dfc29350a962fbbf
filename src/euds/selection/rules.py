"""The rules: each puts the candidates in an order of preference.

A rule is one function from ranks to a `Preference`: whom to keep first, and for each row the score
that speaks against it most. The budget then takes rows from the front. That one form serves them
all: the middle interval of a score prefers ranks close to 1/2; three entropies that must all lie in
the middle prefer a small largest distance from 1/2, which is the joint window of exactly the right
width for any budget; random prefers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from euds.errors import OptionError, did_you_mean
from euds.scores import canonical_score
from euds.selection.ranks import mid_ranks

__all__ = ["RULES", "Preference", "Rule", "rule_named"]

Floats = NDArray[np.float64]
Ranks = Mapping[str, Floats]


@dataclass(frozen=True)
class Preference:
    """Whom to keep first.

    Parameters
    ----------
    priority : ndarray of float, shape (n,)
        Lower is kept first; equal priorities are decided by a seeded hash of the row.
    judged : mapping of str to ndarray of float, shape (n,)
        The ranks that an interval given by the user is about, in (0, 1), by name.
    score : ndarray of str, shape (n,)
        The score that decides about each row, for its reason; empty where none does.
    side : ndarray of int, shape (n,)
        Where the row lies on that score: -1 below the middle, 1 above, 0 where neither is meant.
    """

    priority: Floats
    judged: Ranks
    score: NDArray[np.str_]
    side: NDArray[np.int8]


def middle_of(name: str, ranks: Floats) -> Preference:
    """Prefer the middle ranks of one score."""
    return Preference(
        priority=np.abs(ranks - 0.5),
        judged={name: ranks},
        score=np.full(len(ranks), name),
        side=np.where(ranks < 0.5, -1, 1).astype(np.int8),
    )


def igse_sum(ranks: Ranks) -> Preference:
    """Prefer the middle of the combined entropy: the re-ranked mean of normal scores of the ranks.

    A rank u becomes its normal score, the inverse normal distribution function at u, so that each
    entropy weighs the same whatever its distribution; the mean of these is ranked again.
    """
    mean = np.asarray(np.mean([ndtri(one) for one in ranks.values()], axis=0))
    return middle_of("igse", mid_ranks(np.round(mean, 12)))


def igse_and(ranks: Ranks) -> Preference:
    """Prefer rows that lie in the middle of every entropy at once."""
    distance, score, side = _distance_from_middle(ranks, lambda table: table.max(axis=0))
    return Preference(distance, ranks, score, side)


def igse_dist(ranks: Ranks) -> Preference:
    """Prefer rows close to the middle of all entropies together, by Euclidean distance."""
    distance, score, side = _distance_from_middle(
        ranks, lambda table: np.sqrt((table**2).mean(axis=0))
    )
    return Preference(distance, {"igse_dist": mid_ranks(distance)}, score, side)


def _distance_from_middle(
    ranks: Ranks, combine: Callable[[Floats], Floats]
) -> tuple[Floats, NDArray[np.str_], NDArray[np.int8]]:
    """Return each row's distance from 1/2, and the score furthest from it, with its side."""
    table = np.stack(list(ranks.values()))
    distances = np.abs(table - 0.5)
    worst = distances.argmax(axis=0)
    below = table[worst, np.arange(table.shape[1])] < 0.5
    # Rounded, so that rows at equal distances on either side are tied and not sorted by noise.
    distance = np.round(combine(distances), 12)
    return distance, np.array(list(ranks))[worst], np.where(below, -1, 1).astype(np.int8)


def no_preference(rows: int) -> Preference:
    """Prefer nothing: the seeded hash of each row decides."""
    return Preference(
        priority=np.zeros(rows),
        judged={},
        score=np.full(rows, ""),
        side=np.zeros(rows, dtype=np.int8),
    )


@dataclass(frozen=True)
class Rule:
    """A named way to select.

    Parameters
    ----------
    name : str
        The name on the command line.
    description : str
        What it keeps, for the help.
    scores : tuple of str or None
        The score columns it needs; None takes the entropies that the caller combines.
    prefer : callable
        From ranks by score name, and the number of rows, to a `Preference`.
    """

    name: str
    description: str
    scores: tuple[str, ...] | None
    prefer: Callable[[Ranks, int], Preference]


def _single(column: str, name: str, description: str) -> Rule:
    return Rule(name, description, (column,), lambda ranks, _: middle_of(column, ranks[column]))


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "igse",
            "the middle of information, generative and semantic entropy together",
            None,
            lambda ranks, _: igse_sum(ranks),
        ),
        Rule(
            "igse-and",
            "in the middle of each of the entropies",
            None,
            lambda ranks, _: igse_and(ranks),
        ),
        Rule(
            "igse-dist",
            "close to the middle of all entropies",
            None,
            lambda ranks, _: igse_dist(ranks),
        ),
        _single("ie", "ie", "the middle of information entropy"),
        _single("ge", "ge", "the middle of generative entropy"),
        _single("se", "se", "the middle of semantic entropy"),
        _single("ge_nll", "perplexity", "the middle of the language model's perplexity"),
        _single("words", "length", "the middle of text length"),
        Rule("random", "rows at random", (), lambda _, rows: no_preference(rows)),
        Rule("full", "every row", (), lambda _, rows: no_preference(rows)),
    )
}


def rule_named(name: str, score_names: tuple[str, ...] = ()) -> Rule:
    """Return the rule of that name; any score column is a rule that keeps its middle.

    Raises
    ------
    OptionError
        If there is none.
    """
    name = {"igse-sum": "igse"}.get(name, name)
    if name in RULES:
        return RULES[name]
    column = canonical_score(name)
    if column in RULES:
        return RULES[column]
    if column in score_names:
        return _single(column, column, f"the middle of {column}")
    known = [*RULES, *score_names]
    raise OptionError(
        f"there is no rule {name!r}",
        expected=", ".join(RULES) + ", or the name of a score",
        next_step=did_you_mean(name, known),
    )
