"""Put the simulated figures into docs/certifying.md and docs/regime.md, from results/*.json.

python benchmarks/labelled_pages.py [--check]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import fill_pages

from euds.proof.certify import ALPHA

RESULTS = Path(__file__).parent / "results"


def load(name: str) -> dict[str, Any]:
    """Return the results of one script."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def percent(rate: float) -> str:
    """Return a rate in per cent with one digit."""
    return f"{100 * rate:.1f}"


def certifying() -> list[str]:
    """Return what the simulation of certificates found."""
    result = load("certificate")
    lines = [
        f"{result['pools']:,} made-up pools in each cell, {result['summary'][str(ALPHA)]['cells']} "
        f"cells: 3 to 20 seeds, 200 to 2,000 validation rows, accuracies that differ by a standard "
        f"deviation of 0 to 2 points over seeds, the trainer a probe or fine-tuning. The subset "
        f"is worse by exactly the margin of {result['margin_points']:g} point.",
        "",
        "| alpha, % | wrong certificates, all cells, % (95 %) | highest cell, % (95 %) | "
        "cells above alpha | surely above |",
        "|---|---|---|---|---|",
    ]
    for alpha in result["alphas"]:
        one = result["summary"][str(alpha)]
        rates = " | ".join(
            f"{percent(part['rate'])} ({percent(part['low'])} to {percent(part['high'])})"
            for part in (one["pooled"], one["highest"])
        )
        lines.append(
            f"| {100 * alpha:g} | {rates} | {one['above_alpha']} of {one['cells']} | "
            f"{one['surely_above_alpha']} |"
        )
    lines += [
        "",
        f"How often a subset passes with alpha {100 * ALPHA:g} %, {result['power_seeds']} seeds "
        "and a probe, in per cent; the true difference to random rows in points:",
        "",
    ]
    cells = [
        one
        for one in result["cells"]
        if one["alpha"] == ALPHA
        and one["seeds"] == result["power_seeds"]
        and one["trainer"] == "probe"
        and one["spread_points"] in (0.3, 1.0)
    ]
    truths = sorted({one["true_points"] for one in cells})
    lines += [
        f"| sd over draws | rows | {' | '.join(f'{truth:+g}' for truth in truths)} |",
        "|---|---|" + "---|" * len(truths),
    ]
    for spread in (0.3, 1.0):
        for rows in sorted({one["rows"] for one in cells}):
            rates = {
                one["true_points"]: one["rate"]
                for one in cells
                if (one["rows"], one["spread_points"]) == (rows, spread)
            }
            shown = " | ".join(percent(rates[truth]) for truth in truths)
            lines.append(f"| {spread:g} | {rows:,} | {shown} |")
    return lines


def regime() -> list[str]:
    """Return what the simulation of teachers and students found."""
    result = load("regime")
    lines = [
        f"{result['pools']} pools a line, of which {100 * result['keep']:g} % of the rows are "
        "kept; accuracy on new rows in points. *Of learnt*: what the doubling gains, over what was "
        "learnt.",
        "",
        "| dimensions | rows a dimension | noise | easiest | middle | hardest | random | gain of a "
        "doubling | of learnt | the pilot says |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in result["cells"]:
        points = one["points"]
        told = ", ".join(f"{name} {count}" for name, count in one["regimes"].items())
        lines.append(
            f"| {one['dimensions']} | {one['rows_a_dimension']} | "
            f"{'yes' if one['noise'] else 'no'} | {points['easiest']:.1f} | "
            f"{points['middle']:.1f} | {points['hardest']:.1f} | {points['random']:.1f} | "
            f"{one['gain_points']:.1f} | {one['gain_of_learnt']:.2f} | {told} |"
        )
    return lines


def main() -> None:
    """Write the pages, or check that they are what the results say."""
    texts = {
        page: "\n".join([*lines, ""])
        for page, lines in (("certifying", certifying()), ("regime", regime()))
    }
    fill_pages(texts, mark="simulated", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
