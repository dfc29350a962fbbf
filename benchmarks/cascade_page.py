"""Put the figures of cascades into docs/cascade.md, from results/cascade.json.

python benchmarks/cascade_page.py [--check]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pages import fill_pages

RESULTS = Path(__file__).parent / "results" / "cascade.json"


def mean_of(runs: list[dict[str, Any]], name: str) -> float:
    """Return the mean of a figure over the seeds."""
    return float(np.mean([one[name] for one in runs]))


def predicted(runs: list[dict[str, Any]], name: str, figure: str) -> float | None:
    """Return the mean of a figure of what was predicted; None where no run has it."""
    found = [one["predictions"][name][figure] for one in runs]
    there = [one for one in found if one is not None]
    return float(np.mean(there)) if there else None


def percent(share: float | None) -> str:
    """Return a share in whole per cent."""
    return "-" if share is None else f"{100 * share:.0f}"


def overlaps(results: dict[str, Any]) -> list[str]:
    """Return what cascades keep, by pool and rule."""
    lines = [
        "| pool | rule | without SE | by chance | 10 % | 25 % | 50 % | Jaccard at 25 % | expected "
        "at 25 % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, pool in results["pools"].items():
        for rule, told in pool["rules"].items():
            shares = told["shares"]
            quarter = shares["0.25"]
            without = told.get("without_se", {}).get("share_of_kept")
            kept = " | ".join(percent(mean_of(runs, "share_of_kept")) for runs in shares.values())
            lines.append(
                f"| {name} | {rule} | {percent(without)} | "
                f"{percent(told['by_chance']['share_of_kept'])} | {kept} | "
                f"{mean_of(quarter, 'jaccard'):.2f} | {percent(mean_of(quarter, 'expected'))} |"
            )
    return lines


def costs(results: dict[str, Any]) -> list[str]:
    """Return what cascades by IGSE cost and how well the probe predicts, by pool."""
    lines = [
        "| pool | texts | all scores, s | vectors, s | cascade, s, at 10 % | 25 % | 50 % | rows "
        "with GE, SE at 25 % | Spearman of predicted GE, SE | within the 90 % bar, GE, SE |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, pool in results["pools"].items():
        shares = pool["rules"]["igse"]["shares"]
        quarter = shares["0.25"]
        seconds = " | ".join(
            f"{mean_of(runs, 'seconds'):.0f} "
            f"({percent(mean_of(runs, 'seconds') / pool['full_seconds'])} %)"
            for runs in shares.values()
        )
        rows = ", ".join(
            f"{np.mean([one['measured'][which] for one in quarter]):.0f}" for which in ("ge", "se")
        )
        order = ", ".join(
            "-" if (rho := predicted(quarter, which, "spearman")) is None else f"{rho:+.2f}"
            for which in ("ge", "se")
        )
        held = ", ".join(percent(predicted(quarter, which, "within_bar")) for which in ("ge", "se"))
        lines.append(
            f"| {name} | {pool['texts']:,} | {pool['full_seconds']:.0f} | "
            f"{pool['vector_seconds']:.0f} | {seconds} | {rows} | {order} | {held} % |"
        )
    return lines


def expectation(results: dict[str, Any]) -> str:
    """Return how far the expected overlap was from what was found."""
    runs = [
        one
        for pool in results["pools"].values()
        for rule, told in pool["rules"].items()
        if rule != "auto"
        for share in told["shares"].values()
        for one in share
    ]
    off = [100 * (one["expected"] - one["share_of_kept"]) for one in runs]
    held = [
        figures["within_bar"]
        for one in runs
        for figures in one["predictions"].values()
        if figures["within_bar"] is not None
    ]
    return (
        f"Over the {len(runs)} runs of other rules than auto the expected overlap was "
        f"{np.mean(off):+.0f} points off on average (from {min(off):+.0f} to {max(off):+.0f}), and "
        f"bars that promise 90 % held {percent(float(np.mean(held)))} % of what was predicted."
    )


def main() -> None:
    """Write the page, or check that it is what the results say."""
    results = json.loads(RESULTS.read_text("utf-8"))
    lines = [
        f"Keeping {results['keep']:.0%}; the share of what complete scores keep that a cascade "
        "keeps too, in per cent, by the share of the questions that it may ask. Means over three "
        "seeds; one for the automatic rule, and where answers are sampled.",
        "",
        *overlaps(results),
        "",
        expectation(results),
        "",
        "What it cost, by the rule igse, on one core that other programs used too: seconds are "
        "rough, and stages of a few dozen texts are mostly the loading of a model. In brackets the "
        "share of what all scores took. Vectors are needed for the default rule anyway; their "
        "seconds are part of a cascade's.",
        "",
        *costs(results),
        "",
    ]
    fill_pages({"cascade": "\n".join(lines)}, mark="measured", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
