"""Why a row was kept or dropped, in a sentence or two."""

from __future__ import annotations

from typing import Any

import polars as pl

from euds.errors import InputError, did_you_mean
from euds.pool.pool import Pool
from euds.runs.summary import shorten
from euds.scoring.scores import PREDICTED, ScoreTable, scorer_of
from euds.selection.bulk import OUTSIDE
from euds.selection.rules.registry import REASONS

__all__ = ["explain", "find_id"]

_SPOKEN = {
    "ie": "information entropy",
    "ge": "generative entropy",
    "se": "semantic entropy",
    "igse": "combined entropy",
    "ge_nll": "perplexity",
    "ie_char": "entropy of characters",
    "ie_norm": "variety of words",
    "words": "length",
    "el2n": "EL2N",
    "moderate": "distance from the middle of its class",
    "ge_hes": "high-entropy sum",
    "ge_ifd": "instruction-following difficulty",
}
_SHORTEST_PREFIX = 4


def find_id(pool: Pool, name: str) -> str:
    """Return the id that ``name`` is, or the only one that begins with it.

    Raises
    ------
    InputError
        If there is none, or several.
    """
    ids = pool.rows["id"]
    if (ids == name).any():
        return name
    matches = ids.filter(ids.str.starts_with(name)).to_list() if name else []
    if len(matches) == 1 and len(name) >= _SHORTEST_PREFIX:
        return str(matches[0])
    hint = did_you_mean(name, ids.head(10_000))
    if matches:
        hint = f"give more of one id, at least {_SHORTEST_PREFIX} characters: "
        hint += ", ".join(matches[:3])
    raise InputError(
        f"there is no row {name!r}" if not matches else f"{name!r} is only the beginning of an id",
        expected=f"an id such as {ids[0]!r}",
        next_step=hint or "'euds show RUN' lists rows with their ids",
    )


def explain(pool: Pool, table: ScoreTable, selection: pl.DataFrame, sample_id: str) -> str:
    """Tell a row's whole story: where it came from, its scores, what became of it and why."""
    at = pool.rows.select(pl.col("id") == sample_id).to_series().arg_true()
    sample = pool.rows.row(at[0], named=True)
    text = pool.wording.take(at, columns=["text"])["text"][0]
    scores = table.frame.row(by_predicate=pl.col("id") == sample_id, named=True)
    chosen = selection.row(by_predicate=pl.col("id") == sample_id, named=True)
    place = f"{sample['file']}, line {sample['line']}"
    verdict = (
        "was kept" if chosen["kept"] else f"was dropped, {_because(chosen, scores, selection)}"
    )
    lines = [f"Row {sample_id} ({place}) {verdict}."]
    if chosen["kept"]:
        lines.append(_kept_because(chosen, selection))
    told = _scores_told(scores, chosen)
    if told:
        lines.append(f"Its scores: {'; '.join(told)}.")
    if text is None:
        lines.append("Its text is not kept in this run (--no-texts).")
    else:
        lines.append(f"Its text begins: {shorten(text)!r}")
    return "\n".join(lines)


def _because(chosen: dict[str, Any], scores: dict[str, Any], selection: pl.DataFrame) -> str:
    reason = str(chosen["reason"])
    kind, _, score = reason.partition(" ")
    if reason in ("duplicate", "near-duplicate"):
        twin = selection.row(by_predicate=pl.col("id") == chosen["duplicate_of"], named=True)
        fate = "kept" if twin["kept"] else f"itself dropped ({twin['reason']})"
        repeats = "repeats" if reason == "duplicate" else "nearly repeats"
        return f"because it {repeats} row {chosen['duplicate_of']}, which was {fate}"
    if reason.startswith("near-duplicate of "):
        return f"because it is a {reason}, which the subset must not overlap with"
    if reason in REASONS:
        return REASONS[reason]
    if reason.startswith(f"{OUTSIDE}: "):
        return _outside_because(reason.removeprefix(f"{OUTSIDE}: "), scores)
    if kind == "unscored":
        why = scores.get(f"{scorer_of(score)}_reason") or "it has no value"
        return f"because it has no {_name(score)}: {why}"
    rank = chosen.get(f"rank_{score}")
    low, high = _kept_range(selection, score)
    if rank is None or low is None:
        return f"because its {_name(score)} lies {kind} the interval"
    if low <= rank <= (high or 1.0):  # rows that had to stay, or a rule of several scores at once
        return f"because its {_name(score)} lies {kind} the middle, at rank {rank:.3f}"
    return (
        f"because its {_name(score)} lies {kind} the interval: rank {rank:.3f}, "
        f"where the kept rows have {low:.3f} to {high:.3f}"
    )


def _outside_because(what: str, scores: dict[str, Any]) -> str:
    """Say what is odd about a row outside the bulk: ``ie high``, or ``ie with ge``."""
    score, _, side = what.partition(" ")
    if side in _ODD:
        told = _ODD[side].get(score, f"its {_name(score)} is {side}")
        return f"because it looks unusable: {told} ({score} {scores[score]:.2f})"
    other = side.removeprefix("with ")
    return (
        f"because it looks unusable: its {_name(score)} ({scores[score]:.2f}) does not go together "
        f"with its {_name(other)} ({scores[other]:.2f}), each of which is usual by itself"
    )


_ODD = {
    "high": {
        "ie": "its words are rarer than those of the bulk",
        "ie_char": "it is spelt unlike the bulk",
        "ge": "its words could go on in more ways than those of the bulk",
        "ge_nll": "the language model expects it less than the bulk",
        "ie_norm": "it repeats fewer words than the bulk",
    },
    "low": {
        "ie": "its words are more common than those of the bulk",
        "ie_char": "it is spelt more monotonously than the bulk",
        "ge": "what comes next is surer than in the bulk",
        "ge_nll": "the language model expects it more than the bulk",
        "ie_norm": "it repeats more words than the bulk",
    },
}


def _kept_because(chosen: dict[str, Any], selection: pl.DataFrame) -> str:
    ranks = [name.removeprefix("rank_") for name in selection.columns if name.startswith("rank_")]
    decisive = [name for name in ("igse", "el2n", "moderate") if name in ranks] or ranks
    score = decisive[0] if len(decisive) == 1 else None
    if score is None or chosen[f"rank_{score}"] is None:
        return f"It was to be kept with probability {chosen['inclusion']:.3g}."
    low, high = _kept_range(selection, score)
    return (
        f"Its {_name(score)} has rank {chosen[f'rank_{score}']:.3f} in the pool; the "
        f"kept rows have {low:.3f} to {high:.3f}."
    )


def _kept_range(selection: pl.DataFrame, score: str) -> tuple[float | None, float | None]:
    column = f"rank_{score}"
    if column not in selection.columns:
        return None, None
    kept = selection.filter("kept")[column]
    low, high = kept.min(), kept.max()
    return (None, None) if low is None else (float(low), float(high))  # type: ignore[arg-type]


def _scores_told(scores: dict[str, Any], chosen: dict[str, Any]) -> list[str]:
    told = []
    for score in ("ie", "ge", "se"):
        if score not in scores:
            continue
        if scores[score] is None:
            told.append(f"no {_name(score)} ({scores.get(f'{score}_reason')})")
            continue
        rank = chosen.get(f"rank_{score}")
        guess = ", predicted" if scores.get(f"{score}_source") == PREDICTED else ""
        told.append(
            f"{_name(score)} {scores[score]:.3f} nats{guess}"
            + (f" (rank {rank:.3f})" if rank is not None else "")
        )
    if scores.get("se_option"):
        told.append(f"the model itself would answer {scores['se_option']!r}")
    return told


def _name(score: str) -> str:
    return _SPOKEN.get(score, score)
