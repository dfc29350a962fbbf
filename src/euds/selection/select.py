"""Selecting: candidates, ranks, a rule's order of preference, the budget, and the reasons.

Everything is computed on distinct texts in the order of their keys, and ties are broken by a seeded
hash of the text: neither the order of the input nor any label can change what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError, did_you_mean
from euds.pool import Pool
from euds.scores import SCORE_COLUMNS, ScoreTable, canonical_score
from euds.selection.diagnosis import MOST_TIES, diagnose
from euds.selection.interval import Budget, Interval, parse_budget, parse_interval
from euds.selection.ranks import length_free_ranks, mid_ranks, tied_share
from euds.selection.rules import Preference, Rule, rule_named
from euds.selection.selection import Selection

__all__ = ["DEFAULT_KEEP", "check_request", "select"]

DEFAULT_KEEP = 0.16
"""The share behind the EUDS paper's headline, 84 % less data (arXiv 2602.17465)."""

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
) -> Selection:
    """Choose the rows to keep; no label is looked at.

    Parameters
    ----------
    pool : Pool
        The samples.
    scores : ScoreTable, optional
        Their scores; the rules ``random`` and ``full`` need none.
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
        Decides between rows that the rule holds equal.

    Returns
    -------
    Selection

    Raises
    ------
    OptionError
        If the budget cannot be met exactly, or a rule, score or interval is unknown.
    """
    check_request(
        rule=rule, keep=keep, keep_tokens=keep_tokens, interval=interval, entropies=entropies
    )
    table = scores or ScoreTable(pool.frame.select("id"))
    chosen = rule_named(rule, table.names)
    parts = [interval] if isinstance(interval, str) else list(interval)
    intervals = [one for one in map(parse_interval, parts) if one is not None]
    raw = [one.column for one in intervals if one.column is not None]
    table.require(raw)
    budget = _budget(chosen, intervals, keep=keep, keep_tokens=keep_tokens)

    rows = _candidates(pool, table, always_keep, distinct=chosen.name != "full")
    names, left_out = _scores_to_rank(chosen, entropies, table, rows)
    rows = _with_ranks(rows, names, needed=[*names, *raw])
    preference = chosen.prefer(_ranks(rows, names), int(rows["scored"].sum()))
    decision = _decide(rows, preference, intervals, budget, pool_rows=len(pool), seed=seed)

    if not decision.kept.any():
        raise OptionError(
            "no row would be kept",
            got=f"{len(pool):,} rows read, {int(rows['scored'].sum()):,} distinct and scored",
            next_step="raise the budget or widen the interval",
        )
    frame = _selection_frame(pool, rows, preference, decision)
    settings = {
        "rule": chosen.name,
        "scores": list(names),
        "interval": parts,
        "keep": None if budget is None else {"amount": budget.amount, "unit": budget.unit},
        "always_keep": sorted(always_keep),
        "seed": seed,
    }
    diagnosis = diagnose(rows, kept=decision.kept, names=names, left_out=left_out)
    return Selection(pool, frame, settings, diagnosis)


def check_request(
    *,
    rule: str,
    keep: float | str | None,
    keep_tokens: int | None,
    interval: str | Sequence[str],
    entropies: Sequence[str],
) -> None:
    """Check what can be checked of a request before there are scores; see `select`.

    Raises
    ------
    OptionError
        If a rule, score, interval or budget makes no sense.
    """
    parts = [interval] if isinstance(interval, str) else interval
    intervals = [one for one in map(parse_interval, parts) if one is not None]
    _budget(rule_named(rule, SCORE_COLUMNS), intervals, keep=keep, keep_tokens=keep_tokens)
    named = [canonical_score(name) for name in entropies]
    for name in [*named, *(one.column for one in intervals if one.column is not None)]:
        if name not in SCORE_COLUMNS:
            raise OptionError(
                f"there is no score {name!r}",
                expected=", ".join(SCORE_COLUMNS),
                next_step=did_you_mean(name, SCORE_COLUMNS),
            )


def _budget(
    rule: Rule, intervals: Sequence[Interval], *, keep: float | str | None, keep_tokens: int | None
) -> Budget | None:
    """Return the budget, None for all that qualify."""
    if rule.name == "full":
        if keep is not None or keep_tokens is not None or intervals:
            raise OptionError(
                "the rule full keeps every row", next_step="leave out the budget and the interval"
            )
        return None
    if keep is not None and keep_tokens is not None:
        raise OptionError("two budgets were given", expected="either --keep or --keep-tokens")
    if keep_tokens is not None:
        if keep_tokens < 1:
            raise OptionError("a budget in tokens is too small", got=str(keep_tokens))
        return Budget(keep_tokens, "tokens")
    if keep is not None:
        return parse_budget(keep)
    return None if intervals else Budget(DEFAULT_KEEP, "share")


def _candidates(
    pool: Pool, table: ScoreTable, always_keep: Sequence[str], *, distinct: bool
) -> pl.DataFrame:
    """Return one row a distinct text, sorted by key: id, scores, and whether it must stay."""
    unknown = sorted(set(always_keep) - set(pool.frame["id"]))
    if unknown:
        raise OptionError(
            "a row that must stay is not in the pool",
            got=", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else ""),
            expected=f"ids such as {pool.frame['id'][0]!r}",
        )
    rows = (
        pool.frame.select("id", "key", characters=pl.col("text").str.len_chars())
        .with_columns(must=pl.col("id").is_in(list(always_keep)))
        .join(table.frame, on="id", how="left")
    )
    if not distinct:
        return rows.sort("key", "id")
    # Of equal rows one stands for all: one that must stay, else the one with the smallest id.
    repeats = pl.int_range(pl.len()).over("key") > 0
    rows = rows.sort(["key", "must", "id"], descending=[False, True, False])
    return rows.filter(~repeats | pl.col("must"))


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
    ties = {name: tied_share(_floats(rows, name)) for name in there}
    left_out = {name: share for name, share in ties.items() if share > MOST_TIES}
    if len(left_out) == len(there):  # nothing would be left to select by
        left_out = {}
    return tuple(name for name in there if name not in left_out), left_out


def _floats(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _with_ranks(rows: pl.DataFrame, names: Sequence[str], *, needed: Sequence[str]) -> pl.DataFrame:
    """Add ``rank_<score>``, ``missing`` (the first score a row lacks) and ``scored``."""
    groups = None
    if "se_option" in rows.columns:
        groups = rows["se_option"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    for name in names:
        values = _floats(rows, name)
        length = _length_for(name, rows)
        if length is None:
            ranks = mid_ranks(values)
        else:
            grouping = groups if name == "se" else None
            ranks = length_free_ranks(values, length, groups=grouping)
        rows = rows.with_columns(pl.Series(f"rank_{name}", ranks).fill_nan(None))
    lacking = [pl.when(pl.col(name).is_null()).then(pl.lit(name)) for name in needed]
    missing = pl.coalesce(lacking) if lacking else pl.lit(None, dtype=pl.String)
    return rows.with_columns(missing=missing).with_columns(scored=pl.col("missing").is_null())


def _length_for(name: str, rows: pl.DataFrame) -> Floats | None:
    """Return the length to take out of a score, in the score's own tokens; None for a length."""
    if name in ("words", "ge_tokens"):
        return None
    for column in ("ge_tokens", "words") if name.startswith("ge") else ("words", "ge_tokens"):
        if column in rows.columns:
            return np.nan_to_num(_floats(rows, column))
    return _floats(rows, "characters")


def _ranks(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, Floats]:
    """Return the ranks of the rows that have every score; ranks of the others are not needed."""
    scored = rows.filter("scored")
    return {name: scored[f"rank_{name}"].to_numpy() for name in names}


@dataclass(frozen=True)
class _Decision:
    """For each candidate: whether it is kept, why not, and with what probability it was to be."""

    kept: Bools
    reason: list[str | None]
    inclusion: Floats


def _decide(
    rows: pl.DataFrame,
    preference: Preference,
    intervals: Sequence[Interval],
    budget: Budget | None,
    *,
    pool_rows: int,
    seed: int,
) -> _Decision:
    scored = rows["scored"].to_numpy()
    must = rows["must"].to_numpy()
    outside = _outside(rows, preference, intervals)
    inside = np.array([reason is None for reason in outside])
    eligible = scored & inside & ~must
    # Inside an interval that the user gave every row is as good as another.
    uniform = bool(intervals) or not preference.judged
    priority = np.full(rows.height, np.inf)
    priority[scored] = 0.0 if uniform else preference.priority
    order = np.lexsort((_shuffled(rows, seed), priority))
    order = order[eligible[order]]

    kept = must.copy()
    kept[_within_budget(rows, order, budget, pool_rows=pool_rows)] = True
    inclusion = kept.astype(np.float64)
    if uniform and eligible.any():
        inclusion[eligible] = kept[eligible].mean()

    spoken = np.full(rows.height, "", dtype=object)
    sides = {-1: "below", 1: "above"}
    spoken[scored] = [
        f"{sides[side]} {score}" if score and not uniform else "over budget"
        for score, side in zip(preference.score.tolist(), preference.side.tolist(), strict=True)
    ]
    reasons = [
        None if is_kept else (f"unscored {missing}" if missing else out or why)
        for is_kept, missing, out, why in zip(
            kept.tolist(), rows["missing"].to_list(), outside, spoken.tolist(), strict=True
        )
    ]
    return _Decision(kept, reasons, inclusion)


def _outside(
    rows: pl.DataFrame, preference: Preference, intervals: Sequence[Interval]
) -> list[str | None]:
    """Return for each row which interval it falls out of, None where it is inside all."""
    scored = rows["scored"].to_numpy()
    reasons: list[str | None] = [None] * rows.height
    for interval in reversed(intervals):  # the first interval speaks last
        if interval.column is not None:
            judged = {interval.column: _floats(rows, interval.column)}
        elif preference.judged:
            judged = {name: np.full(rows.height, np.nan) for name in preference.judged}
            for name, ranks in preference.judged.items():
                judged[name][scored] = ranks
        else:
            raise OptionError(
                "this rule has no ranks for an interval to speak of",
                next_step="leave out the interval, or give one in raw values: ie=2.5:4.0",
            )
        for name, values in judged.items():
            for index in np.flatnonzero(interval.side(values)):
                below = interval.side(values[index : index + 1])[0] < 0
                reasons[index] = f"{'below' if below else 'above'} {name}"
    return reasons


def _shuffled(rows: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Return a seeded hash of each row's key: a random order that no file order can change."""
    keys = rows["key"].str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    mixed = keys ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    # The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def _within_budget(
    rows: pl.DataFrame, order: NDArray[np.int64], budget: Budget | None, *, pool_rows: int
) -> NDArray[np.int64]:
    """Return the front of the order that the budget pays for, after the rows that must stay."""
    if budget is None:
        return order
    must = rows["must"].to_numpy()
    if budget.unit == "tokens":
        tokens = _tokens(rows)
        left = budget.amount - tokens[must].sum()
        _check_forced(left, int(tokens[must].sum()), "tokens")
        total = int(tokens[order].sum())
        if total < left:
            raise OptionError(
                f"the budget cannot be met: it asks for {budget.amount:,.0f} tokens",
                got=f"{total + int(tokens[must].sum()):,} tokens in the rows that can be kept",
                next_step=f"--keep-tokens {total + int(tokens[must].sum())}",
            )
        within: NDArray[np.int64] = order[np.cumsum(tokens[order]) <= left]
        return within
    left = budget.rows(pool_rows) - int(must.sum())
    _check_forced(left, int(must.sum()), "rows")
    if left > len(order):
        unscored = int((~rows["scored"].to_numpy() & ~must).sum())
        most = len(order) + int(must.sum())
        raise OptionError(
            f"the budget cannot be met: it asks for {budget.rows(pool_rows):,} rows",
            got=f"{most:,} rows that can be kept, of {pool_rows:,} in the pool "
            f"({pool_rows - rows.height:,} duplicates, {unscored:,} unscored, "
            f"{rows.height - unscored - most:,} outside the interval)",
            next_step=f"--keep {most}" if most else "widen the interval",
        )
    return order[:left]


def _check_forced(left: float, forced: int, unit: str) -> None:
    if left < 0:
        raise OptionError(
            "the rows that must stay are more than the budget",
            got=f"{forced:,} {unit}",
            expected=f"at most {int(forced + left):,} {unit}",
        )


def _tokens(rows: pl.DataFrame) -> NDArray[np.int64]:
    for column in ("ge_tokens", "words"):
        if column in rows.columns:
            return rows[column].fill_null(0).cast(pl.Int64).to_numpy()
    raise OptionError(
        "a budget in tokens needs the texts' lengths",
        next_step="score the pool with ie (words) or ge (the model's tokens) first",
    )


def _selection_frame(
    pool: Pool, rows: pl.DataFrame, preference: Preference, decision: _Decision
) -> pl.DataFrame:
    """Spread the decisions over the pool's rows; what is no candidate is a duplicate of one."""
    if "igse" in preference.judged:
        igse = np.full(rows.height, np.nan)
        igse[rows["scored"].to_numpy()] = preference.judged["igse"]
        rows = rows.with_columns(pl.Series("rank_igse", igse).fill_nan(None))
    decided = rows.select(
        "id",
        pl.Series("kept", decision.kept),
        pl.Series("reason", decision.reason, dtype=pl.String),
        pl.col("^rank_.*$"),
        pl.Series("inclusion", decision.inclusion),
    )
    stands_for = rows.select("key", duplicate_of="id").unique(
        "key", keep="first", maintain_order=True
    )
    candidate = pl.col("kept").is_not_null()
    return (
        pool.frame.select("id", "key")
        .join(decided, on="id", how="left", maintain_order="left")
        .join(stands_for, on="key", how="left", maintain_order="left")
        .with_columns(
            kept=pl.col("kept").fill_null(value=False),
            reason=pl.when(candidate).then("reason").otherwise(pl.lit("duplicate")),
            inclusion=pl.col("inclusion").fill_null(0.0),
            duplicate_of=pl.when(~candidate).then("duplicate_of"),
        )
        .drop("key")
    )
