"""Figures of a proof: what the arms reached, what they cost, and how they compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from euds.reporting.figures import (
    BLUE,
    GREY,
    VERMILION,
    Figure,
    Section,
    arm_encoding,
    figure,
    inline,
)
from euds.reporting.wording import between, duration, one_line, share, signed_points

__all__ = ["proof_sections"]

_DECISIONS = {
    "better": (BLUE, "triangle-right"),
    "as good": ("#009E73", "circle"),
    "worse": (VERMILION, "triangle-left"),
    "cannot tell": (GREY, "square"),
}
_LOG_FROM_RATIO = 20


def proof_sections(results: Mapping[str, Any]) -> list[Section]:
    """Return the sections that a proof's results have data for."""
    found = [_arms(results), _differences(results), _cost(results), _curve(results)]
    return [section for section in found if section is not None]


def _arms(results: Mapping[str, Any]) -> Section | None:
    metric = results["task"]["metric"]
    means, dots = [], []
    for arm in results["arms"]:
        one = arm["metrics"].get(metric)
        if one is None or one["mean_points"] is None:
            continue
        label = arm_label(arm)
        means.append(
            {
                "arm": label,
                "mean": one["mean_points"],
                "low": one["low_points"],
                "high": one["high_points"],
                "role": _role(arm),
                "interval": between(one["low_points"], one["high_points"]),
            }
        )
        dots += [
            {
                "arm": label,
                "points": run["points"][metric],
                "seed": run["seed"],
                "role": _role(arm),
            }
            for run in arm["runs"]
            if run["points"].get(metric) is not None
        ]
    if not means:
        return None
    order = [row["arm"] for row in means]
    y = alt.Y("arm:N", sort=order, title=None, axis=alt.Axis(grid=False, domain=False, ticks=False))
    x_scale, x_title = alt.Scale(zero=False, nice=True), f"{metric}, points"
    colour = alt.Color(
        "role:N",
        scale=alt.Scale(domain=["full", "random", "rule"], range=["#1a1a1a", GREY, BLUE]),
        legend=None,
    )
    base = alt.Chart(inline(means)).encode(y=y, color=colour)
    bars = base.mark_rule(strokeWidth=2.5, strokeCap="round").encode(
        x=alt.X("low:Q", title=x_title, scale=x_scale), x2="high:Q"
    )
    centres = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("mean:Q", title=x_title, scale=x_scale),
        tooltip=[
            alt.Tooltip("arm:N"),
            alt.Tooltip("mean:Q", format=".2f"),
            alt.Tooltip("interval:N", title="95 %"),
        ],
    )
    layers: list[alt.Chart] = [bars, centres]
    if dots:
        layers.append(
            alt.Chart(inline(dots))
            .mark_circle(size=34, opacity=0.55, yOffset=11)
            .encode(
                y=y,
                color=colour,
                x=alt.X("points:Q", title=x_title, scale=x_scale),
                tooltip=["arm:N", "seed:Q", alt.Tooltip("points:Q", format=".2f")],
            )
        )
    full = [row for row in means if row["role"] == "full"]
    if full:
        line = alt.Chart(inline(full)).mark_rule(strokeDash=[4, 4], color="#1a1a1a", opacity=0.6)
        layers.insert(0, line.encode(x=alt.X("mean:Q", title=x_title, scale=x_scale)))
    chart = alt.layer(*layers).properties(height=44 * len(means))
    return Section(
        "arms",
        f"{capital(metric)} by arm",
        "Look at whether the thick line of a rule (its 95 % interval) reaches the dashed line, "
        "which is training on everything; each small dot is one training with its own seed.",
        (figure("arms", chart, title=f"{capital(metric)} by arm"),),
    )


def _differences(results: Mapping[str, Any]) -> Section | None:
    there = [one for one in results["comparisons"] if one["difference_points"] is not None]
    against = list(dict.fromkeys(one["against"] for one in there))
    if not there:
        return None
    margin = results["settings"].get("margin_points")
    figures = tuple(
        _difference_figure(
            [one for one in there if one["against"] == name],
            name,
            number=number,
            margin=margin,
        )
        for number, name in enumerate(against)
    )
    of_margin = (
        f", and whether it stays to the right of the dotted margin ({margin:g} points)"
        if margin
        else ""
    )
    return Section(
        "differences",
        "The differences that the verdicts are about",
        f"Look at which side of zero (no difference) an interval lies on{of_margin}; decisions are "
        "corrected for the number of rules, so they can be more careful than an interval.",
        figures,
    )


def _difference_figure(
    comparisons: list[Mapping[str, Any]], against: str, *, number: int, margin: float | None
) -> Figure:
    rows = [
        {
            "arm": one["arm"],
            "difference": one["difference_points"],
            "low": one["low_points"],
            "high": one["high_points"],
            "decision": one["decision"],
            "spoken": f"{signed_points(one['difference_points'])} "
            f"({between(one['low_points'], one['high_points'], signed=True)})",
        }
        for one in comparisons
    ]
    found = [name for name in _DECISIONS if any(row["decision"] == name for row in rows)]
    x: dict[str, Any] = {
        "title": f"difference to {one_line(against)}, points",
        "scale": alt.Scale(zero=True),
    }
    encoding = {
        "y": alt.Y(
            "arm:N",
            sort=[row["arm"] for row in rows],
            title=None,
            axis=alt.Axis(grid=False, domain=False, ticks=False),
        ),
        "color": alt.Color(
            "decision:N",
            scale=alt.Scale(domain=found, range=[_DECISIONS[name][0] for name in found]),
        ),
    }
    base = alt.Chart(inline(rows))
    layers = [
        alt.Chart(inline([{"at": 0}])).mark_rule(color="#1a1a1a").encode(x=alt.X("at:Q", **x))
    ]
    if margin:
        line = alt.Chart(inline([{"at": -margin}])).mark_rule(strokeDash=[2, 3], color="#1a1a1a")
        layers.append(line.encode(x=alt.X("at:Q", **x)))
    layers += [
        base.mark_rule(strokeWidth=2.5, strokeCap="round").encode(
            **encoding, x=alt.X("low:Q", **x), x2="high:Q"
        ),
        base.mark_point(filled=True, size=100, opacity=1).encode(
            **encoding,
            x=alt.X("difference:Q", **x),
            shape=alt.Shape(
                "decision:N",
                scale=alt.Scale(domain=found, range=[_DECISIONS[name][1] for name in found]),
            ),
            tooltip=["arm:N", "decision:N", alt.Tooltip("spoken:N", title="points (95 %)")],
        ),
    ]
    name = f"difference-{number + 1}"
    if against.isascii() and against.isalnum():
        name = f"difference-to-{against}"
    return figure(
        name,
        alt.layer(*layers).properties(height=34 * len(rows)),
        title=f"Difference to {one_line(against)}",
    )


def _cost(results: Mapping[str, Any]) -> Section | None:
    metric = results["task"]["metric"]
    rows = []
    for arm in results["arms"]:
        mean = arm["metrics"].get(metric, {}).get("mean_points")
        total = arm["seconds"]["total"]
        if mean is None or total is None:
            continue
        rows.append(
            {
                "rule": arm["rule"],
                "arm": arm["name"],
                "seconds": total,
                "points": mean,
                "keep": arm["keep"],
                "total": duration(total),
                "share": share(arm["keep"]),
            }
        )
    if not rows:
        return None
    low, high = min(row["seconds"] for row in rows), max(row["seconds"] for row in rows)
    is_log = low > 0 and high / low > _LOG_FROM_RATIO
    scale = alt.Scale(type="log", nice=False, padding=16) if is_log else alt.Scale(zero=True)
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    encoding: dict[str, Any] = {
        "x": alt.X(
            "seconds:Q",
            title="seconds, all stages together" + (" (log)" if is_log else ""),
            scale=scale,
            axis=alt.Axis(format=",.0f" if low >= 10 else ",.2~f", tickCount=5),
        ),
        "y": alt.Y("points:Q", title=f"{metric}, points", scale=alt.Scale(zero=False, padding=14)),
    }
    base = alt.Chart(inline(rows)).encode(**encoding)
    marks = base.mark_point(filled=True, size=110, opacity=0.95).encode(
        **arm_encoding(rules),
        tooltip=[
            "arm:N",
            alt.Tooltip("points:Q", format=".2f"),
            alt.Tooltip("total:N", title="in all"),
            alt.Tooltip("share:N", title="kept"),
        ],
    )
    layers = [marks]
    if len(rows) > len(rules):  # several budgets: join the arms of a rule
        joined = base.mark_line(strokeWidth=1, opacity=0.5).encode(
            color=arm_encoding(rules)["color"], order="keep:Q"
        )
        layers.insert(0, joined)
    chart = alt.layer(*layers).properties(height=300)
    return Section(
        "cost",
        f"{capital(metric)} against the whole cost",
        "Look for arms to the left of full that are about as high as full: they are cheaper with "
        "scoring, selecting, training and evaluating all counted.",
        (figure("cost", chart, title=f"{capital(metric)} against the whole cost"),),
    )


def _curve(results: Mapping[str, Any]) -> Section | None:
    metric = results["task"]["metric"]
    rows = [
        {
            "rule": curve["rule"],
            "keep": point["keep"],
            "points": point["mean_points"],
            "low": point["low_points"],
            "high": point["high_points"],
            "rows": point["rows"],
        }
        for curve in results.get("curve") or []
        for point in curve["points"]
        if point["mean_points"] is not None
    ]
    if not rows:
        return None
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    marks = arm_encoding(rules)
    x = alt.X(
        "keep:Q",
        title="share of the pool that is trained on (log)",
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(format="~%", values=sorted({row["keep"] for row in rows})),
    )
    y: dict[str, Any] = {"title": f"{metric}, points", "scale": alt.Scale(zero=False)}
    base = alt.Chart(inline(rows)).encode(x=x, color=marks["color"])
    chart = alt.layer(
        base.mark_area(opacity=0.13).encode(y=alt.Y("low:Q", **y), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=alt.Y("points:Q", **y)),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            y=alt.Y("points:Q", **y),
            shape=marks["shape"],
            tooltip=[
                "rule:N",
                alt.Tooltip("keep:Q", format="~%"),
                "rows:Q",
                alt.Tooltip("points:Q", format=".2f"),
            ],
        ),
    ).properties(height=320)
    smallest = [
        f"{one_line(curve['rule'])}: {share(curve['smallest_as_good'])}"
        if curve["smallest_as_good"] is not None
        else f"{one_line(curve['rule'])}: none"
        for curve in results["curve"]
    ]
    title = f"{capital(metric)} by share kept"
    caption = "Smallest share that is still as good as everything: " + ", ".join(smallest) + "."
    return Section(
        "curve",
        title,
        "Look at where a line flattens: more rows than that gain little; where the bands overlap "
        "the rules cannot be told apart.",
        (figure("curve", chart, title=title, caption=caption),),
    )


def arm_label(arm: Mapping[str, Any]) -> str:
    """Return an arm's name, marked where its rule looked at labels."""
    name = one_line(arm["name"])
    return f"{name} (labels)" if arm["uses_labels"] else name


def capital(text: str) -> str:
    """Return a text with a capital in front.

    >>> capital("exact match")
    'Exact match'
    """
    return text[:1].upper() + text[1:]


def _role(arm: Mapping[str, Any]) -> str:
    return arm["rule"] if arm["rule"] in ("full", "random") else "rule"
