"""What a figure is, how all of them look, and how one becomes an SVG file.

Charts are Vega-Lite specifications made with Altair. They have the width of whatever holds them;
in a file that is `_FILE_WIDTH`. Colours are those of Okabe and Ito (2008), which people with any
kind of colour vision can tell apart; wherever a colour tells something, a shape or a word does too.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

__all__ = [
    "BLUE",
    "GREY",
    "PALE",
    "VERMILION",
    "Figure",
    "Section",
    "arm_encoding",
    "figure",
    "inline",
    "svg_of",
]

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
BLACK, GREY, PALE = "#1a1a1a", "#7a7f87", "#d4d7dc"
_COLOURS = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left")

_FILE_WIDTH = 620
_PAGE_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_FILE_FONT = "Helvetica, Arial, sans-serif"
_INK = "#3c4043"

_CONFIG: dict[str, Any] = {
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "titleLimit": 400,
        "labelColor": _INK,
        "titleColor": _INK,
        "labelLimit": 130,
        "labelOverlap": "greedy",
        "labelSeparation": 4,
        "labelFlush": False,
        "gridColor": "#eceef0",
        "domainColor": "#a8adb3",
        "tickColor": "#a8adb3",
    },
    "legend": {
        "orient": "bottom",
        "title": None,
        "labelFontSize": 12,
        "labelColor": _INK,
        "labelLimit": 150,
        "columns": 3,
        "columnPadding": 14,
        "symbolSize": 90,
        "symbolOpacity": 1,
    },
    "point": {"strokeWidth": 1.5},
}


@dataclass(frozen=True)
class Figure:
    """One chart.

    Parameters
    ----------
    name : str
        Its name as a file and as an element of the page.
    title : str
        What it is, in a few words.
    caption : str
        What its section's sentence does not say yet; may be empty.
    spec : dict
        The Vega-Lite specification, with its data.
    is_brushed : bool
        Whether an area of it can be chosen, for the table of samples.
    """

    name: str
    title: str
    caption: str
    spec: dict[str, Any]
    is_brushed: bool = False


@dataclass(frozen=True)
class Section:
    """Charts of one kind under one heading.

    Parameters
    ----------
    name : str
        Its name as an element of the page.
    title : str
        The heading.
    look : str
        One sentence that says what to look at.
    figures : tuple of Figure
        The charts, small multiples of each other where there are several.
    """

    name: str
    title: str
    look: str
    figures: tuple[Figure, ...]


def figure(
    name: str,
    chart: alt.Chart | alt.LayerChart | alt.FacetChart,
    *,
    title: str,
    caption: str = "",
    is_brushed: bool = False,
) -> Figure:
    """Make a figure of a chart: as wide as what holds it, and with a description for readers."""
    described = chart.properties(width="container", description=f"{title}. {caption}".strip(". "))
    spec = described.to_dict()
    # The page and the files bring one version of Vega-Lite each; naming another only warns.
    spec.pop("$schema", None)
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["config"] = _config(_PAGE_FONT)
    return Figure(name, title, caption, spec, is_brushed)


def inline(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as data that goes into the specification itself."""
    return alt.InlineData(values=[dict(row) for row in rows])


def svg_of(one: Figure) -> str:
    """Return a figure as an SVG document."""
    spec = copy.deepcopy(one.spec)
    spec["width"] = _FILE_WIDTH
    spec["config"] = _config(_FILE_FONT)
    spec["title"] = {"text": one.title, "anchor": "start", "fontSize": 14, "offset": 12}
    spec["padding"] = 12
    return vl_convert.vegalite_to_svg(spec)


def arm_encoding(rules: Sequence[str]) -> dict[str, Any]:
    """Return colour and shape by ``rule``; the baselines have the same in every figure and page."""
    fixed = {"full": BLACK, "random": GREY}
    others = [rule for rule in rules if rule not in fixed]
    colours = fixed | {rule: _COLOURS[i % len(_COLOURS)] for i, rule in enumerate(others)}
    shapes = {"full": "diamond", "random": "cross"} | {
        rule: _SHAPES[i % len(_SHAPES)] for i, rule in enumerate(others)
    }
    domain = list(rules)
    return {
        "color": alt.Color(
            "rule:N", scale=alt.Scale(domain=domain, range=[colours[rule] for rule in domain])
        ),
        "shape": alt.Shape(
            "rule:N", scale=alt.Scale(domain=domain, range=[shapes[rule] for rule in domain])
        ),
    }


def _config(font: str) -> dict[str, Any]:
    return {"font": font, **copy.deepcopy(_CONFIG)}
