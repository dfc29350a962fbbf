"""The verdicts and the arms as Markdown, to paste into an issue or a paper's notes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from euds.reporting.wording import (
    NOTHING,
    between,
    count,
    duration,
    one_line,
    points,
    share,
    signed_points,
)

__all__ = ["markdown_table"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def markdown_table(results: Mapping[str, Any]) -> str:
    """Return the headline, then a table with a row for each arm."""
    metrics = results["task"].get("metrics") or [results["task"]["metric"]]
    against = list(dict.fromkeys(one["against"] for one in results["comparisons"]))
    head = [
        "arm",
        "rows",
        "kept",
        *(f"{metric} (95 %)" for metric in metrics),
        *(f"against {name} (95 %)" for name in against),
        *(f"verdict against {name}" for name in against),
        "in all",
    ]
    compared = {(one["arm"], one["against"]): one for one in results["comparisons"]}
    rows = []
    for arm in results["arms"]:
        of_arm = [compared.get((arm["name"], name)) for name in against]
        rows.append(
            [
                arm["name"] + (" (labels)" if arm["uses_labels"] else ""),
                count(arm["rows"]),
                share(arm["keep"]),
                *(_level(arm["metrics"].get(metric)) for metric in metrics),
                *map(_difference, of_arm),
                *(NOTHING if one is None else one["decision"] for one in of_arm),
                duration(arm["seconds"]["total"]),
            ]
        )
    numeric = [False, True, True, *[True] * (len(metrics) + len(against))]
    numeric += [False] * len(against) + [True]
    sentences = [f"- {_escaped(sentence)}" for sentence in results["headline"]]
    lines = [
        *sentences,
        *([""] if sentences else []),
        _row(head),
        _row(["---:" if one else "---" for one in numeric], escape=False),
        *map(_row, rows),
        "",
        f"{_escaped(one_line(results['scope'] or ''))} Metrics and differences in points.".strip(),
    ]
    return "\n".join(lines) + "\n"


def _level(metric: Mapping[str, Any] | None) -> str:
    if metric is None or metric["mean_points"] is None:
        return NOTHING
    return (
        f"{points(metric['mean_points'])} ({between(metric['low_points'], metric['high_points'])})"
    )


def _difference(one: Mapping[str, Any] | None) -> str:
    if one is None or one["difference_points"] is None:
        return NOTHING
    interval = between(one["low_points"], one["high_points"], signed=True)
    return f"{signed_points(one['difference_points'])} ({interval})"


def _row(cells: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(_escaped(cell) if escape else cell for cell in cells)} |"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", one_line(text))
