"""What a reader should know of scores before trusting a selection made from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.selection.ranks import spearman, spearman_with, tied_share

__all__ = ["MOST_TIES", "diagnose"]

MOST_TIES = 0.20
"""A score that ties more than this share of the texts is left out of IGSE (see docs/method.md)."""

_STRONG_CORRELATION = 0.9
_LENGTH_DEPENDENCE = 0.1
_CONCENTRATED = 0.05
_COLLAPSE = 0.20

Floats = NDArray[np.float64]


def diagnose(
    rows: pl.DataFrame,
    *,
    kept: NDArray[np.bool_],
    names: Sequence[str],
    left_out: Mapping[str, float],
) -> dict[str, Any]:
    """Describe the ranked scores and what selecting did to the pool.

    Parameters
    ----------
    rows : polars.DataFrame
        The candidates, one row a distinct text, with scores and ``rank_<score>``.
    kept : ndarray of bool, shape (rows,)
        Which are kept.
    names : sequence of str
        The scores that were ranked.
    left_out : mapping of str to float
        The scores left out of IGSE, and their share of ties.

    Returns
    -------
    dict
        ``scores`` (range, quartiles, ties, correlation with length before and after ranking),
        ``spearman`` (between the raw scores), ``options`` (the model's own answers in pool and
        subset) and ``warnings``.
    """
    values = {name: _column(rows, name) for name in [*names, *left_out]}
    scores = {name: _describe(rows, name, values[name], kept) for name in values}
    pairs = {
        f"{first}~{second}": spearman(values[first], values[second])
        for index, first in enumerate(values)
        for second in list(values)[index + 1 :]
    }
    options = _options(rows, kept)
    warnings = [
        *_tie_warnings(scores, left_out),
        *_concentration_warnings(scores),
        *_length_warnings(scores),
        *(
            f"{pair.replace('~', ' and ')} rank the texts almost alike (Spearman {rho:.2f}): "
            f"together they tell little more than one of them"
            for pair, rho in pairs.items()
            if rho is not None and abs(rho) > _STRONG_CORRELATION
        ),
        *_collapse_warnings(options),
    ]
    return {"scores": scores, "spearman": pairs, "options": options, "warnings": warnings}


def _column(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _describe(
    rows: pl.DataFrame, name: str, values: Floats, kept: NDArray[np.bool_]
) -> dict[str, float | None]:
    there = values[np.isfinite(values)]
    if not len(there):
        return {"texts": 0}
    length = _column(rows, "words" if "words" in rows.columns else "characters")
    ranks = _column(rows, f"rank_{name}") if f"rank_{name}" in rows.columns else values
    low, first, median, third, high = np.quantile(there, [0, 0.25, 0.5, 0.75, 1])
    inside = values[kept & np.isfinite(values)]
    by_length = spearman_with(length, values, ranks, np.abs(ranks - 0.5))
    return {
        "texts": len(there),
        "min": float(low),
        "first_quartile": float(first),
        "median": float(median),
        "third_quartile": float(third),
        "max": float(high),
        "kept_min": float(inside.min()) if len(inside) else None,
        "kept_max": float(inside.max()) if len(inside) else None,
        "tied_share": tied_share(values),
        "length_spearman_raw": by_length[0],
        "length_spearman_rank": by_length[1],
        "length_spearman_distance": by_length[2],
    }


def _options(rows: pl.DataFrame, kept: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Return the share of each option that the model finds likeliest, in the pool and kept."""
    if "se_option" not in rows.columns:
        return {}
    there = rows.with_columns(pl.Series("kept", kept)).filter(pl.col("se_option").is_not_null())
    total, chosen = there.height, int(there["kept"].sum())
    counts = there.group_by("se_option").agg(pl.len(), pl.col("kept").sum()).sort("se_option")
    return {
        option: {"pool": count / total, "kept": kept_count / max(chosen, 1)}
        for option, count, kept_count in counts.iter_rows()
    }


def _tie_warnings(
    scores: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, float]
) -> list[str]:
    warnings = [
        f"{name} is left out of IGSE: {share:.0%} of the texts share their value with another, "
        f"so it hardly orders them"
        for name, share in left_out.items()
    ]
    warnings += [
        f"{name} gives {one['tied_share']:.0%} of the texts a value that others have too; "
        f"between those a seeded hash decides"
        for name, one in scores.items()
        if name not in left_out and name != "words" and one.get("tied_share", 0) > MOST_TIES
    ]
    return warnings


def _concentration_warnings(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    warnings = []
    for name, one in scores.items():
        if one["texts"] == 0 or one["max"] == one["min"]:
            continue
        middle_half = one["third_quartile"] - one["first_quartile"]
        if middle_half < _CONCENTRATED * (one["max"] - one["min"]):
            warnings.append(
                f"{name} is concentrated: half of the texts lie between "
                f"{one['first_quartile']:.3g} and {one['third_quartile']:.3g}, of a range from "
                f"{one['min']:.3g} to {one['max']:.3g}; small changes move many rows"
            )
    return warnings


def _length_warnings(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    warnings = []
    for name, one in scores.items():
        if name == "words":
            continue
        rho = one.get("length_spearman_rank")
        if rho is not None and abs(rho) > _LENGTH_DEPENDENCE:
            warnings.append(
                f"the ranks of {name} still depend on length (Spearman {rho:+.2f}): part of what "
                f"it selects is length"
            )
    return warnings


def _collapse_warnings(options: Mapping[str, Mapping[str, float]]) -> list[str]:
    distance = sum(abs(share["kept"] - share["pool"]) for share in options.values()) / 2
    if not options or math.isclose(distance, 0) or distance <= _COLLAPSE:
        return []
    shares = ", ".join(
        f"{option} {share['pool']:.0%} -> {share['kept']:.0%}" for option, share in options.items()
    )
    return [f"the subset leans to some of the model's own answers (pool -> kept): {shares}"]
