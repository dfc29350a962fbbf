"""What a reader should know of scores before trusting a selection made from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.selection.groups import OPTION
from euds.selection.guards import Shares, option_shares
from euds.selection.rules.ranks import epsilon_squared, spearman, spearman_with, tied_share

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
    languages: Shares | None = None,
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
    languages : Shares or None
        The shares of languages, if they were looked at.

    Returns
    -------
    dict
        ``scores`` (range, quartiles, ties; dependence on length, and on the model's own answer,
        before and after ranking), ``spearman`` (between the raw scores), ``options`` (the model's
        own answers in pool and subset), ``languages`` (the same of languages) and ``warnings``.
    """
    values = {name: _column(rows, name) for name in [*names, *left_out]}
    scores = {name: _describe(rows, name, values[name], kept) for name in values}
    pairs = {
        f"{first}~{second}": spearman(values[first], values[second])
        for index, first in enumerate(values)
        for second in list(values)[index + 1 :]
    }
    options = option_shares(rows, kept)
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
    return {
        "scores": scores,
        "spearman": pairs,
        "options": dict(options.by_value),
        "languages": {} if languages is None else dict(languages.by_value),
        "warnings": warnings,
    }


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
    by_option = _dependence(rows, values, ranks)
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
        "option_epsilon_squared_raw": by_option[0],
        "option_epsilon_squared_rank": by_option[1],
    }


def _dependence(rows: pl.DataFrame, *columns: Floats) -> list[float | None]:
    """Return how much of each column's ranks the model's own answers explain, None if not asked."""
    if OPTION not in rows.columns:
        return [None for _ in columns]
    codes = rows[OPTION].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    there = np.isfinite(columns).all(axis=0) & (codes > 0)
    return [epsilon_squared(one[there], codes[there]) for one in columns]


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


def _collapse_warnings(options: Shares) -> list[str]:
    if math.isclose(options.distance, 0) or options.distance <= _COLLAPSE:
        return []
    return [f"the subset leans to some of the model's own answers (pool -> kept): {options.told()}"]
