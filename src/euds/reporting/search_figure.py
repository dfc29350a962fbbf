"""The figure of a search for a window: what every window was worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from euds.reporting.figures import BLUE, GREY, Figure, Section, figure, inline
from euds.reporting.wording import capital_sentence

__all__ = ["search_section"]

_UNITS = {
    "coverage": "gain, % of the noise",
    "probe": "gain of a probe, points",
}


def search_section(summary: Mapping[str, Any]) -> Section | None:
    """Return the section on the window that was looked for, None where none was."""
    search = summary.get("search")
    if not search:
        return None
    scores = list(dict.fromkeys(one["score"] for one in search["profile"]))
    return Section(
        "search",
        "Which window",
        "Each line is a window: the ranks that it spans, and what rows drawn from it are worth "
        "above rows from nearly everywhere. Look whether the high ones stand close together, or "
        "look like luck. Windows judged more often are drawn stronger. "
        + capital_sentence(search["sentence"]),
        tuple(_profile(search, score) for score in scores),
    )


def _profile(search: Mapping[str, Any], score: str) -> Figure:
    chosen = search["chosen"]
    rows = [
        {
            **one,
            "fate": "used" if _is(one, chosen) else "tried",
            "classes": "alike" if one["equal"] else "as they come",
        }
        for one in search["profile"]
        if one["score"] == score and one["gain"] is not None
    ]
    title = _UNITS[search["criterion"]]
    chart = (
        alt.Chart(inline(rows))
        .mark_rule(size=4)
        .encode(
            x=alt.X("low:Q", title=f"rank by {score}", scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=alt.Y("gain:Q", title=title),
            color=alt.Color(
                "fate:N", scale=alt.Scale(domain=["used", "tried"], range=[BLUE, GREY])
            ),
            strokeDash=_dashes(search),
            opacity=alt.Opacity("rounds:Q", scale=alt.Scale(range=[0.25, 1]), legend=None),
            tooltip=[
                "fate:N",
                "classes:N",
                alt.Tooltip("low:Q", format=".2f"),
                alt.Tooltip("high:Q", format=".2f"),
                alt.Tooltip("gain:Q", format="+.2f"),
                alt.Tooltip("error:Q", format=".2f"),
                "rounds:Q",
            ],
        )
        .properties(height=200)
    )
    return figure(f"search-{score}", chart, title=f"Windows of {score}")


def _dashes(search: Mapping[str, Any]) -> alt.StrokeDash:
    """Return dashes for windows with equal classes; a legend only where there are any."""
    scale = alt.Scale(domain=["as they come", "alike"], range=[[1, 0], [3, 2]])
    if any(one["equal"] for one in search["profile"]):
        # One below the other: beside the legend of colours there is no room for both.
        return alt.StrokeDash("classes:N", scale=scale, legend=alt.Legend(columns=1))
    return alt.StrokeDash("classes:N", scale=scale, legend=None)


def _is(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("score", "low", "high", "equal"))
