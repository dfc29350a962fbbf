"""The rules that need no interval from the user.

Both begin with the rows of the bulk (`euds.selection.bulk`) and draw alike from all clusters of
sentence vectors, so that they have less of a draw's luck than random rows.

With labels, windows of several widths and positions over each entropy and over combinations of them
are compared by what a probe learns from draws of them (`euds.selection.rules.probe_accuracy`).
Where none is better, everything but the ends of IGSE is used; of several draws the best is taken.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from euds.selection.rules.clustering import interleaved, some_rows, strata_of
from euds.selection.rules.criteria import Draws, reduced, search
from euds.selection.rules.middle import igse_ranks
from euds.selection.rules.preference import Candidates, Preference, Ranks, no_preference, reasons_of
from euds.selection.rules.probe_accuracy import AGREEMENT, ProbeAccuracy, agreement_ranks
from euds.selection.rules.ranks import mid_ranks
from euds.selection.rules.ridge import Ridge
from euds.selection.rules.windows import Window

__all__ = ["automatic", "automatic_with_labels"]

_FEWEST_ROWS, _FEWEST_KEPT = 60, 8  # fewer tell nothing about windows
_MOST_ROWS = 8_000  # more tell nothing new about them
_DEFAULT_KEEP = 0.16  # where the budget is no number of rows
_MOST_CLASSES = 100
_MOST_PAIRED = 3  # of two entropies the only pair is IGSE

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def automatic(candidates: Candidates) -> Preference:
    """Prefer rows drawn alike from all clusters; which of them are usable is told beforehand.

    Clusters are made of all distinct rows, and their order is one of all of them. So whether a row
    is drawn before another does not depend on which of the others are usable.
    """
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    distinct = candidates.open if candidates.distinct is None else candidates.distinct
    numbers = np.flatnonzero(distinct)
    lots = candidates.lots[numbers]
    strata = np.zeros(len(numbers), dtype=np.int64)
    if candidates.vectors is not None:
        strata = strata_of(
            some_rows(candidates.vectors, numbers),
            candidates.keep or max(1, round(_DEFAULT_KEEP * len(numbers))),
            lots=lots,
            seed=candidates.seed,
        )
    priority = np.ones(candidates.rows)
    priority[numbers] = interleaved(strata, lots, seed=candidates.seed)
    return replace(no_preference(candidates.rows), priority=priority)


def automatic_with_labels(candidates: Candidates, *, balanced: bool = True) -> Preference:
    """Prefer the draw, from one of the best windows, that a probe learns most from.

    Where the labels are no classes (more than a hundred names, or one) the window is chosen
    without.

    Parameters
    ----------
    candidates : Candidates
        The rows, with labels.
    balanced : bool
        Whether every class counts the same in the probe's accuracy, and not every row.
    """
    if candidates.labels is None:
        raise ValueError("this rule needs labels")
    names, classes = np.unique(np.array(candidates.labels, dtype=np.str_), return_inverse=True)
    usable = 2 <= len(names) <= _MOST_CLASSES
    if not usable:
        return automatic(candidates)
    return _taught(candidates, classes.astype(np.int64), balanced=balanced)


def _taught(candidates: Candidates, classes: Numbers, *, balanced: bool) -> Preference:
    if not candidates.leaves_a_choice:
        return no_preference(candidates.rows)
    numbers = np.flatnonzero(candidates.open)
    keep = candidates.keep or round(_DEFAULT_KEEP * len(numbers))
    # An interval in raw values may have closed rows: a window is a part of those that are left.
    ranks = {
        name: mid_ranks(np.where(candidates.open, one, np.nan))
        for name, one in with_combinations(candidates.ranks).items()
    }
    strata = np.zeros(candidates.rows, dtype=np.int64)
    if candidates.vectors is not None:
        strata[numbers] = strata_of(
            some_rows(candidates.vectors, numbers),
            keep,
            lots=candidates.lots[numbers],
            seed=candidates.seed,
        )
    draws = Draws(ranks, strata, keep / len(numbers), candidates.seed, classes)
    widest = draws.windows()[0]
    sample = np.sort(numbers[np.argsort(candidates.lots[numbers])[:_MOST_ROWS]])
    tells = len(sample) >= _FEWEST_ROWS and keep >= _FEWEST_KEPT
    if candidates.vectors is None or not tells:
        return _preference(draws, widest, 0, candidates)

    some, features = draws.among(sample), reduced(candidates.vectors[sample])
    criterion = ProbeAccuracy(some, features, balanced=balanced)
    found = search(criterion)
    window, number = criterion.best_draw(found.finalists)
    if window.score == AGREEMENT:
        ridge = Ridge(reduced(candidates.vectors[numbers]), classes[numbers], criterion.penalty)
        own = np.full(candidates.rows, np.nan)
        own[numbers] = agreement_ranks(ridge, np.arange(len(numbers)), seed=candidates.seed)
        draws = replace(draws, ranks={**ranks, AGREEMENT: own})
    preference = _preference(draws, window, number, candidates)
    return replace(preference, notes={"search": found.as_dict(window)})


def with_combinations(ranks: Ranks) -> dict[str, Floats]:
    """Return the ranks of IGSE, where there are several entropies, those given, and of each pair.

    So the weights are those of a simplex-centroid design: all alike, one alone, two alike (Scheffé
    1963, "The simplex-centroid design for experiments with mixtures"). What lies between these
    ranks the rows much like one of them. Of more than three entropies no pairs are made: there
    would be too many windows to tell luck from worth.

    Parameters
    ----------
    ranks : mapping of str to ndarray of float, shape (n,)
        The ranks of the entropies, by name.

    Returns
    -------
    dict
        ``igse`` first, then those given, then pairs as ``ie+ge``.

    Examples
    --------
    >>> both = {"ie": np.array([0.25, 0.75]), "ge": np.array([0.75, 0.25])}
    >>> list(with_combinations(both)), list(with_combinations({**both, "se": both["ie"]}))
    (['igse', 'ie', 'ge'], ['igse', 'ie', 'ge', 'se', 'ie+ge', 'ie+se', 'ge+se'])
    """
    if len(ranks) < 2:
        return dict(ranks)
    pairs = combinations(ranks, 2) if len(ranks) == _MOST_PAIRED else ()
    return {
        "igse": igse_ranks(ranks),
        **ranks,
        **{
            f"{one}+{other}": igse_ranks({name: ranks[name] for name in (one, other)})
            for one, other in pairs
        },
    }


def _preference(draws: Draws, window: Window, number: int, candidates: Candidates) -> Preference:
    """Prefer the rows of a window in the order of a draw, then those nearest to it."""
    numbers = np.flatnonzero(candidates.open)
    # Numbered among the open rows, as where the draw was judged: so it is the same draw.
    order = numbers[draws.among(numbers).order(window, np.arange(len(numbers)), number)]
    own, distance = draws.ranks[window.score], window.distance(draws.ranks)
    priority = 1 + distance
    priority[order] = np.arange(len(order)) / len(order)
    inside = np.isin(np.arange(candidates.rows), order)
    # Rows inside are equally likely to be drawn, those of one class if classes are drawn alike.
    group = np.zeros(candidates.rows, dtype=np.int64)
    if window.equal and draws.classes is not None:
        group = draws.classes
    return Preference(
        priority=priority,
        reason=reasons_of(
            np.where(inside, 2, own < window.low),
            f"above {window.score}",
            f"below {window.score}",
            "over budget",
        ),
        judged={window.score: own},
        drawn_from=np.where(inside, group, group.max(initial=0) + 1),
    )
