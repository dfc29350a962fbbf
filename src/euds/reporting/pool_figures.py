"""Figures of a pool and of what was kept of it: scores, lengths, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from euds.errors import OptionError
from euds.pool.pool import Pool
from euds.reporting.figures import BLUE, GREY, PALE, Figure, Section, arm_encoding, figure, inline
from euds.reporting.sample import Sample
from euds.reporting.search_figure import search_section
from euds.reporting.wording import capital_sentence, count, one_line
from euds.scoring.scores import ScoreTable
from euds.selection.request import parse_interval
from euds.selection.selection import Selection

__all__ = ["pool_sections", "shown_scores"]

_MEANINGS = {
    "ie": ("Information entropy", "how rare a text's words are in this pool"),
    "ge": ("Generative entropy", "how unsure the language model is of the next token"),
    "se": ("Semantic entropy", "how unsure the model is of the meaning or the answer"),
    "ge_nll": ("Surprise (ge_nll)", "how unexpected the text is to the language model"),
}
_MOST_SCORES = 5
_BINS = 32
_MOST_CLASSES = 20
_FEWEST_ROWS_A_CLASS = 5
_MOST_ARMS = 8


def shown_scores(table: ScoreTable, selection: Selection | None) -> tuple[str, ...]:
    """Return the scores to show: the entropies, and whatever else the selection went by."""
    wanted = ["ie", "ge", "se"]
    if selection is not None:
        wanted += selection.settings.get("scores", [])
        wanted += [name for name in _raw_intervals(selection) if name not in wanted]
    there = [
        name
        for name in dict.fromkeys(wanted)
        if name != "words" and name in table.names and table.frame[name].is_not_null().any()
    ]
    return tuple(there[:_MOST_SCORES])


def pool_sections(
    pool: Pool,
    table: ScoreTable | None,
    selection: Selection | None,
    *,
    sample: Sample | None,
    summary: Mapping[str, Any],
    results: Mapping[str, Any] | None,
) -> list[Section]:
    """Return the sections that there is data for, those with scores first."""
    found = [search_section(summary)]
    if table is not None and sample is not None and sample.scores:
        found += [
            _distributions(table, selection, sample.scores),
            _joint(sample),
            _length(sample, summary),
        ]
    found += [_classes(pool, selection, results), _options(summary)]
    return [section for section in found if section is not None]


def _distributions(
    table: ScoreTable, selection: Selection | None, scores: Sequence[str]
) -> Section:
    kept = None
    if selection is not None:
        kept = selection.frame["kept"]
        if not selection.frame["id"].equals(table.frame["id"]):  # scores of another order or pool
            kept = table.frame.select("id").join(
                selection.frame.select("id", "kept"), on="id", how="left", maintain_order="left"
            )["kept"]
    intervals = {} if selection is None else _raw_intervals(selection)
    look = (
        "Look at the shape: a single narrow peak means that the score hardly tells texts apart."
        if selection is None
        else "Look at which part of each distribution was kept: grey is the whole pool, blue the "
        "rows kept, and the shaded range goes from the smallest to the largest kept value."
    )
    return Section(
        "distributions",
        "The scores, and what was kept of them",
        look,
        tuple(
            _distribution(table.frame[name], kept, name, bounds=intervals.get(name))
            for name in scores
        ),
    )


def _distribution(
    column: pl.Series, kept: pl.Series | None, name: str, *, bounds: tuple[float, float] | None
) -> Figure:
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    there = np.isfinite(values)
    edges = np.histogram_bin_edges(values[there], bins=_BINS)
    inside = there & (kept.fill_null(value=False).to_numpy() if kept is not None else False)
    pool_counts, _ = np.histogram(values[there], edges)
    kept_counts, _ = np.histogram(values[inside], edges)
    bins = [
        {"from": float(low), "to": float(high), "pool": int(total), "kept": int(some)}
        for low, high, total, some in zip(
            edges[:-1], edges[1:], pool_counts, kept_counts, strict=True
        )
    ]
    title, meaning = _MEANINGS.get(name, (name, ""))
    x_title = f"{name}, nats"
    tooltip: list[str | alt.Tooltip] = [
        alt.Tooltip("from:Q", format=".3g"),
        alt.Tooltip("to:Q", format=".3g"),
        "pool:Q",
        "kept:Q",
    ]
    base = alt.Chart(inline(bins)).encode(
        x=alt.X("from:Q", title=x_title, scale=alt.Scale(zero=False, nice=False)),
        x2="to:Q",
        y2=alt.datum(0),
        tooltip=tooltip,
    )
    layers = [
        base.mark_rect(color="#c3c7cd", stroke="white", strokeWidth=0.5).encode(
            y=alt.Y("pool:Q", title="rows")
        )
    ]
    caption = capital_sentence(meaning)
    if inside.any():
        low, high = float(values[inside].min()), float(values[inside].max())
        if bounds is not None:
            low, high = max(bounds[0], float(edges[0])), min(bounds[1], float(edges[-1]))
        shade = alt.Chart(inline([{"low": low, "high": high}])).mark_rect(color=BLUE, opacity=0.10)
        layers.insert(
            0,
            shade.encode(
                x=alt.X("low:Q", title=x_title, scale=alt.Scale(zero=False, nice=False)),
                x2="high:Q",
            ),
        )
        layers.append(
            base.mark_rect(color=BLUE, stroke="white", strokeWidth=0.5).encode(
                y=alt.Y("kept:Q", title="rows")
            )
        )
        caption += f" Kept from {low:.2f} to {high:.2f} nats."
    return figure(
        f"distribution-{name}",
        alt.layer(*layers).properties(height=190),
        title=title,
        caption=caption.strip(),
    )


def _joint(sample: Sample) -> Section | None:
    axes = _varying(sample, sample.scores)[:3]
    if len(axes) == 1 and sample.has_words:
        axes = [*_varying(sample, ["words"]), *axes]
    if len(axes) < 2:
        return None
    drawn = (
        f"{count(len(sample.rows))} of {count(sample.pool_rows)} rows, drawn by a hash of their "
        "text"
        if len(sample.rows) < sample.pool_rows
        else f"all {count(sample.pool_rows)} rows"
    )
    return Section(
        "joint",
        "The scores together, and the texts behind them",
        "Drag across points to see the rows that they stand for in the table below; "
        f"a click beside the chosen area lets go of it. Points and table hold {drawn}.",
        tuple(_scatter(sample, first, second) for first, second in combinations(axes, 2)),
    )


def _scatter(sample: Sample, first: str, second: str) -> Figure:
    columns = ["row", "id", "fate", "reason", first, second]
    rows = [
        {name: row[name] for name in columns}
        for row in sorted(sample.rows, key=lambda row: row["fate"] == "kept")  # kept on top
        if row[first] is not None and row[second] is not None
    ]
    # Set by the page: the numbers of the rows within the areas chosen in all scatters.
    chosen = alt.param(name="chosen", value=None)
    within = "!chosen || chosen[datum.row]"
    chart = (
        alt.Chart(inline(rows))
        .mark_point(filled=True, size=38)
        .encode(
            x=alt.X(f"{first}:Q", title=_axis_title(first), scale=alt.Scale(zero=False)),
            y=alt.Y(f"{second}:Q", title=_axis_title(second), scale=alt.Scale(zero=False)),
            color=alt.Color("fate:N", scale=_fates_of(rows)),
            shape=alt.Shape(
                "fate:N",
                scale=alt.Scale(
                    domain=_fates_of(rows).domain,
                    range=["circle" if one == "kept" else "cross" for one in _fates(rows)],
                ),
            ),
            opacity=alt.condition(within, alt.value(0.8), alt.value(0.12)),
            tooltip=[
                "id:N",
                "fate:N",
                "reason:N",
                alt.Tooltip(f"{first}:Q", format=".3f"),
                alt.Tooltip(f"{second}:Q", format=".3f"),
            ],
        )
        .add_params(alt.selection_interval(name="brush", encodings=["x", "y"]), chosen)
        .properties(height=300)
    )
    return figure(
        f"joint-{first}-{second}",
        chart,
        title=f"{first} and {second}",
        is_brushed=True,
    )


def _length(sample: Sample, summary: Mapping[str, Any]) -> Section | None:
    scores = _varying(sample, sample.scores)
    if not sample.has_words or not scores:
        return None
    return Section(
        "length",
        "Length against score",
        "Look for a slope: a score that rises with length would make selecting by it a length "
        "filter, which is why rows are ranked with length taken out.",
        tuple(
            _length_figure(sample, name, (summary.get("scores") or {}).get(name, {}))
            for name in scores
        ),
    )


def _length_figure(sample: Sample, name: str, described: Mapping[str, Any]) -> Figure:
    rows = [
        {key: row[key] for key in ("id", "fate", "words", name)}
        for row in sorted(sample.rows, key=lambda row: row["fate"] == "kept")
        if row[name] is not None and row["words"] is not None
    ]
    is_log = bool(rows) and min(row["words"] for row in rows) >= 1
    chart = (
        alt.Chart(inline(rows))
        .mark_point(filled=True, size=26, opacity=0.55)
        .encode(
            x=alt.X(
                "words:Q",
                title="words" + (" (log)" if is_log else ""),
                scale=alt.Scale(type="log", nice=False, padding=6)
                if is_log
                else alt.Scale(zero=False),
                axis=alt.Axis(format=",~g", tickCount=4),
            ),
            y=alt.Y(f"{name}:Q", title=_axis_title(name), scale=alt.Scale(zero=False)),
            color=alt.Color("fate:N", scale=_fates_of(rows)),
            tooltip=["id:N", "fate:N", "words:Q", alt.Tooltip(f"{name}:Q", format=".3f")],
        )
        .properties(height=220)
    )
    raw, ranked = described.get("length_spearman_raw"), described.get("length_spearman_rank")
    caption = ""
    if raw is not None and ranked is not None:
        caption = f"Correlation with length {raw:+.2f}, of the ranks {ranked:+.2f} (Spearman)."
    return figure(
        f"length-{name}",
        chart,
        title=_MEANINGS.get(name, (name, ""))[0],
        caption=caption.replace("-", "−"),
    )


def _classes(
    pool: Pool, selection: Selection | None, results: Mapping[str, Any] | None
) -> Section | None:
    arms = [
        (arm["rule"], arm["name"], arm["classes"])
        for arm in (results or {}).get("arms", [])
        if arm.get("classes") and arm["rule"] != "full"
    ]
    if not arms and results is None and selection is not None:
        shares = _label_shares(pool, selection)
        if shares:
            arms = [("kept", "kept", shares)]
    if not arms:
        return None
    return Section(
        "classes",
        "Class balance",
        "Look at dots far from the end of their bar: there a subset has more or less of a class "
        "than the pool (the grey bar).",
        (_balance_figure("classes", "Class balance", arms),),
    )


def _label_shares(pool: Pool, selection: Selection) -> dict[str, dict[str, float]]:
    """Return the share of each label in pool and subset; nothing where labels are no classes."""
    labelled = pool.rows.select("id", "label").filter(pl.col("label").is_not_null())
    rows = labelled.join(selection.frame.select("id", "kept"), on="id", how="left")
    names = rows["label"].n_unique()
    # Labels of their own for almost every row are answers, that is texts, and no classes.
    if not names or names > _MOST_CLASSES or rows.height < _FEWEST_ROWS_A_CLASS * names:
        return {}
    counts = rows.group_by("label").agg(pl.len(), pl.col("kept").sum()).sort("label")
    total, kept = rows.height, max(int(rows["kept"].sum()), 1)
    return {
        label: {"pool": some / total, "kept": some_kept / kept}
        for label, some, some_kept in counts.iter_rows()
    }


def _options(summary: Mapping[str, Any]) -> Section | None:
    options = summary.get("options")
    if not options:
        return None
    return Section(
        "options",
        "The model's own answers",
        "Look at dots far from the end of their bar: the subset then leans to what the scoring "
        "model itself would answer (no label is looked at here).",
        (_balance_figure("options", "The model's own answers", [("kept", "kept", options)]),),
    )


def _balance_figure(
    name: str, title: str, arms: Sequence[tuple[str, str, Mapping[str, Mapping[str, float]]]]
) -> Figure:
    """Draw bars for the pool, and a dot for each subset."""
    pool_shares = {
        label: shares["pool"] for _, _, classes in arms[:1] for label, shares in classes.items()
    }
    shown = sorted(pool_shares, key=lambda label: -pool_shares[label])[:_MOST_CLASSES]
    spoken = _spoken_apart(shown)
    names = list(dict.fromkeys(arm for _, arm, _ in arms))[:_MOST_ARMS]
    bars = [{"class": spoken[label], "share": pool_shares[label]} for label in shown]
    dots = [
        {"class": spoken[label], "rule": arm, "share": classes[label]["kept"]}
        for _, arm, classes in arms
        if arm in names
        for label in shown
        if label in classes
    ]
    y = alt.Y(
        "class:N",
        sort=[spoken[label] for label in shown],
        title=None,
        axis=alt.Axis(grid=False, domain=False, ticks=False),
    )
    x = alt.X("share:Q", title="share of the rows", axis=alt.Axis(format="~%", tickCount=5))
    chart = alt.layer(
        alt.Chart(inline(bars))
        .mark_bar(color=PALE, height=18)
        .encode(y=y, x=x, tooltip=["class:N", alt.Tooltip("share:Q", format=".1%", title="pool")]),
        alt.Chart(inline(dots))
        .mark_point(filled=True, size=70, opacity=0.9)
        .encode(
            y=y,
            x=x,
            **arm_encoding(names),
            tooltip=["class:N", "rule:N", alt.Tooltip("share:Q", format=".1%")],
        ),
    ).properties(height=30 * len(bars))
    left_out = [
        f"the {_MOST_CLASSES} largest of {len(pool_shares)} classes"
        if len(pool_shares) > len(shown)
        else "",
        f"the first {len(names)} arms" if len({arm for _, arm, _ in arms}) > len(names) else "",
    ]
    told = " and ".join(part for part in left_out if part)
    return figure(name, chart, title=title, caption=f"Shown are {told}." if told else "")


def _spoken_apart(labels: Sequence[str]) -> dict[str, str]:
    """Return labels as they can be shown; two that look alike then stay two."""
    spoken: dict[str, str] = {}
    for label in labels:
        text = one_line(label) or "(empty)"
        while text in spoken.values():
            text += "′"
        spoken[label] = text
    return spoken


def _raw_intervals(selection: Selection) -> dict[str, tuple[float, float]]:
    """Return the intervals in raw values that the user gave, by score."""
    given = selection.settings.get("interval", [])
    parts = [given] if isinstance(given, str) else list(given)
    intervals = {}
    for part in parts:
        try:
            one = parse_interval(part)
        except OptionError:  # a rule of another make may speak of its interval in its own words
            continue
        if one is not None and one.column is not None:
            intervals[one.column] = (one.low, one.high)
    return intervals


def _varying(sample: Sample, names: Sequence[str]) -> list[str]:
    """Return the columns with more than one value: one value makes a line, not a picture."""
    return [
        name
        for name in names
        if len({row[name] for row in sample.rows if row[name] is not None}) > 1
    ]


def _axis_title(name: str) -> str:
    return name if name == "words" else f"{name}, nats"


def _fates(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    there = {row["fate"] for row in rows}
    return [fate for fate in ("kept", "dropped", "scored") if fate in there]


def _fates_of(rows: Sequence[Mapping[str, Any]]) -> alt.Scale:
    fates = _fates(rows)
    return alt.Scale(domain=fates, range=[BLUE if fate == "kept" else GREY for fate in fates])
