"""Selecting: candidates, ranks, a rule's order of preference, the budget, and the reasons.

Everything is computed on distinct texts in the order of their keys, and ties are broken by a seeded
hash of the text: the order of the input cannot change what is kept. Nor can any label, unless the
rule says that it uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool import Pool, Texts
from euds.scores import ScoreTable, canonical_score
from euds.selection.diagnosis import MOST_TIES, diagnose
from euds.selection.interval import Budget, Interval
from euds.selection.preference import Candidates, Preference, no_preference
from euds.selection.ranks import tied_share
from euds.selection.request import (
    DEFAULT_KEEP,
    budget_of,
    check_request,
    check_target,
    intervals_of,
)
from euds.selection.rows import (
    distinct_rows,
    drawn_lots,
    numbers_of,
    with_completeness,
    with_ranks,
)
from euds.selection.rules import Rule, rule_named
from euds.selection.selection import Selection
from euds.selection.spending import rows_left, within_budget

if TYPE_CHECKING:
    from euds.vectors import Vectors

__all__ = ["DEFAULT_KEEP", "check_request", "select"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def select(
    pool: Pool,
    scores: ScoreTable | None = None,
    *,
    keep: float | str | None = None,
    keep_tokens: int | None = None,
    rule: str = "igse",
    interval: str | Sequence[str] = "middle",
    entropies: Sequence[str] = ("ie", "ge", "se"),
    always_keep: Sequence[str] = (),
    seed: int = 0,
    vectors: Vectors | None = None,
    target: Texts | None = None,
) -> Selection:
    """Choose the rows to keep; no label is looked at unless the rule says that it uses them.

    Parameters
    ----------
    pool : Pool
        The samples.
    scores : ScoreTable, optional
        Their scores; rules that work on no score need none.
    keep : float or str, optional
        A share such as 0.16 or ``"16%"``, or a whole number of rows. By default 0.16 where the
        interval is the middle, else all rows inside the interval.
    keep_tokens : int, optional
        A number of tokens instead: never exceeded, and missed by less than one row.
    rule : str
        A name of `euds.selection.rules.RULES`, or any score column, to keep its middle.
    interval : str or sequence of str
        ``middle``; ``low:high`` in ranks of the rule's score; ``column=low:high`` in raw values.
    entropies : sequence of str
        The columns that the ``igse`` rules combine, as far as they are scored.
    always_keep : sequence of str
        Ids of rows that must stay; they count towards the budget.
    seed : int
        Decides between rows that the rule holds equal, and of what the rule draws.
    vectors : Vectors, optional
        Sentence vectors of the pool's texts, for the rules that need them.
    target : Texts, optional
        Texts like those that matter, for the rules that need them.

    Returns
    -------
    Selection

    Raises
    ------
    OptionError
        If the budget cannot be met exactly, a rule, score or interval is unknown, or the rule needs
        vectors, labels or a target and there is none.
    InputError
        If a text of the pool has no vector.
    """
    check_request(
        rule=rule, keep=keep, keep_tokens=keep_tokens, interval=interval, entropies=entropies
    )
    table = scores or ScoreTable(pool.frame.select("id"))
    chosen = rule_named(rule, table.names)
    intervals = intervals_of(interval)
    raw = [one.column for one in intervals if one.column is not None]
    table.require(raw)
    budget = budget_of(chosen, intervals, keep=keep, keep_tokens=keep_tokens)
    _check_needs(chosen, pool, vectors)
    shown = _Shown(
        vectors if "vectors" in chosen.needs else None,
        pool.texts if "texts" in chosen.needs else None,
        target if "target" in chosen.needs else None,
    )
    check_target([chosen], is_given=shown.target is not None)

    rows = distinct_rows(
        pool,
        table,
        always_keep,
        distinct=chosen.name != "full",
        show_labels=chosen.uses_labels,
    )
    names, left_out = _scores_to_rank(chosen, entropies, table, rows)
    rows = with_ranks(rows, names, length_free=chosen.length_free)
    rows = with_completeness(rows, [*names, *raw])
    candidates = _candidates(
        rows,
        chosen,
        names,
        intervals=intervals,
        keep=rows_left(rows, budget, pool_rows=len(pool)),
        seed=seed,
        shown=shown,
    )
    preference = chosen.prefer(candidates)
    decision = _decide(rows, candidates, preference, intervals, budget, pool_rows=len(pool))

    if not decision.kept.any():
        raise OptionError(
            "no row would be kept",
            got=f"{len(pool):,} rows read, {candidates.rows:,} distinct and scored",
            next_step="raise the budget or widen the interval",
        )
    frame = _selection_frame(pool, rows, preference, decision)
    settings = {
        "rule": chosen.name,
        "scores": list(names),
        # Also what was scored and then not used, because it was tied: it had to be scored first.
        "looked_at": sorted({*names, *left_out, *raw}),
        "interval": [interval] if isinstance(interval, str) else list(interval),
        "keep": None if budget is None else {"amount": budget.amount, "unit": budget.unit},
        "always_keep": sorted(always_keep),
        "seed": seed,
        "uses_labels": chosen.uses_labels,
        "target": None
        if shown.target is None
        else {"texts": len(shown.target), "fingerprint": shown.target.fingerprint},
    }
    diagnosis = diagnose(rows, kept=decision.kept, names=names, left_out=left_out)
    return Selection(pool, frame, settings, diagnosis)


@dataclass(frozen=True)
class _Shown:
    """What a rule asked for beside scores and labels; None for what it did not ask for."""

    vectors: Vectors | None
    texts: Texts | None
    target: Texts | None


def _check_needs(rule: Rule, pool: Pool, vectors: Vectors | None) -> None:
    if "vectors" in rule.needs and vectors is None:
        raise OptionError(
            f"the rule {rule.name} needs sentence vectors of the texts",
            got="none",
            next_step="pass vectors=euds.vectors.vectors_of(pool.texts)",
        )
    if rule.uses_labels and not pool.label_names:
        raise OptionError(
            f"the rule {rule.name} uses labels, and no row has one",
            next_step="name the column of the label when reading: --label COLUMN",
        )


def _scores_to_rank(
    rule: Rule, entropies: Sequence[str], table: ScoreTable, rows: pl.DataFrame
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return the scores a rule works on, and those left out of IGSE, with their share of ties."""
    if rule.scores is not None:
        table.require(rule.scores)
        return rule.scores, {}
    wanted = [canonical_score(name) for name in entropies]
    there = [name for name in wanted if name in table.names]
    if not there:
        table.require(wanted)
    ties = {name: tied_share(numbers_of(rows, name)) for name in there}
    left_out = {name: share for name, share in ties.items() if share > MOST_TIES}
    if len(left_out) == len(there):  # nothing would be left to select by
        left_out = {}
    return tuple(name for name in there if name not in left_out), left_out


def _candidates(
    rows: pl.DataFrame,
    rule: Rule,
    names: Sequence[str],
    *,
    intervals: Sequence[Interval],
    keep: int | None,
    seed: int,
    shown: _Shown,
) -> Candidates:
    """Return the complete rows, with what the rule asked for and nothing else."""
    complete = rows.filter("complete")
    stays = complete["must"].to_numpy()
    is_open = ~stays
    for interval in intervals:
        if interval.column is not None:
            is_open &= interval.side(numbers_of(complete, interval.column)) == 0
    keys = complete["key"].to_list()
    values = names if "values" in rule.needs else ()
    return Candidates(
        open=is_open,
        stays=stays,
        keep=keep,
        lots=drawn_lots(complete, seed),
        seed=seed,
        ranks={name: complete[f"rank_{name}"].to_numpy() for name in names},
        vectors=None if shown.vectors is None else shown.vectors.of(keys),
        labels=tuple(complete["label"]) if rule.uses_labels else None,
        values={name: numbers_of(complete, name) for name in values},
        texts=None if shown.texts is None else _whole_texts(shown.texts, keys),
        target=None if shown.target is None else tuple(shown.target.whole),
    )


def _whole_texts(texts: Texts, keys: Sequence[str]) -> tuple[str, ...]:
    whole = dict(zip(texts.keys, texts.whole, strict=True))
    return tuple(whole[key] for key in keys)


@dataclass(frozen=True)
class _Decision:
    """For each row: whether it is kept, why not, and with what probability it was to be."""

    kept: Bools
    reason: pl.Series
    inclusion: Floats


def _decide(
    rows: pl.DataFrame,
    candidates: Candidates,
    preference: Preference,
    intervals: Sequence[Interval],
    budget: Budget | None,
    *,
    pool_rows: int,
) -> _Decision:
    numbers = np.flatnonzero(rows["complete"].to_numpy())  # of the candidates among the rows
    outside = _outside(rows.filter("complete"), preference, intervals)
    if intervals and preference.judged:
        # Inside an interval that the user gave every row is as good as another.
        preference = replace(no_preference(candidates.rows), judged=preference.judged)
    eligible = ~candidates.stays & outside.is_null().to_numpy()
    standing = pl.DataFrame({"priority": preference.priority, "lot": candidates.lots})
    by_standing = pl.arg_sort_by("priority", "lot", maintain_order=True)
    order = standing.select(by_standing).to_series().to_numpy()
    order = numbers[order[eligible[order]]]

    kept = rows["must"].to_numpy().copy()
    kept[within_budget(rows, order, budget, pool_rows=pool_rows)] = True
    inclusion = kept.astype(np.float64)
    if preference.drawn_from is not None:
        inclusion[numbers[eligible]] = _share_kept(
            kept[numbers[eligible]], preference.drawn_from[eligible]
        )

    why = pl.Series(preference.reason, dtype=pl.String)
    reasons = rows["lacks"].scatter(numbers, outside.zip_with(outside.is_not_null(), why))
    return _Decision(kept, reasons.set(pl.Series(kept), None), inclusion)


def _share_kept(kept: Bools, groups: NDArray[np.int64]) -> Floats:
    """Return for each row the share of its group that is kept.

    >>> _share_kept(np.array([True, False, True]), np.array([3, 3, 5])).tolist()
    [0.5, 0.5, 1.0]
    """
    names, places, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(places, weights=kept, minlength=len(names))[places] / counts[places]


def _outside(
    complete: pl.DataFrame, preference: Preference, intervals: Sequence[Interval]
) -> pl.Series:
    """Return for each candidate which interval it falls out of, null where it is inside all."""
    reasons = pl.repeat(None, complete.height, dtype=pl.String, eager=True)
    for interval in reversed(intervals):  # the first interval speaks last
        if interval.column is not None:
            judged = {interval.column: numbers_of(complete, interval.column)}
        elif preference.judged:
            judged = dict(preference.judged)
        else:
            raise OptionError(
                "this rule has no ranks for an interval to speak of",
                next_step="leave out the interval, or give one in raw values: ie=2.5:4.0",
            )
        for name, values in judged.items():
            sides = interval.side(values)
            reasons = reasons.set(pl.Series(sides < 0), f"below {name}")
            reasons = reasons.set(pl.Series(sides > 0), f"above {name}")
    return reasons


def _selection_frame(
    pool: Pool, rows: pl.DataFrame, preference: Preference, decision: _Decision
) -> pl.DataFrame:
    """Spread the decisions over the pool's rows; what is no candidate is a duplicate of one."""
    for name in preference.judged.keys() & {"igse", "el2n", "moderate"}:  # no score column
        ranks = np.full(rows.height, np.nan)
        ranks[rows["complete"].to_numpy()] = preference.judged[name]
        rows = rows.with_columns(pl.Series(f"rank_{name}", ranks).fill_nan(None))
    decided = rows.select(
        "at",
        pl.Series("kept", decision.kept),
        decision.reason.alias("reason"),
        pl.col("^rank_.*$"),
        pl.Series("inclusion", decision.inclusion),
    )
    frame = (
        pool.frame.select("id", "key")
        .with_row_index("at")
        .join(decided, on="at", how="left", maintain_order="left")
    )
    candidate = pl.col("kept").is_not_null()
    repeated = frame.filter(~candidate)["key"]
    stands_for = (
        rows.select("key", duplicate_of="id")
        .filter(pl.col("key").is_in(repeated))
        .unique("key", keep="first", maintain_order=True)
    )
    return (
        frame.join(stands_for, on="key", how="left", maintain_order="left")
        .with_columns(
            kept=pl.col("kept").fill_null(value=False),
            reason=pl.when(candidate).then("reason").otherwise(pl.lit("duplicate")),
            inclusion=pl.col("inclusion").fill_null(0.0),
            duplicate_of=pl.when(~candidate).then("duplicate_of"),
        )
        .drop("at", "key")
    )
