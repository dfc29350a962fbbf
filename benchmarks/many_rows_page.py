"""Put the figures of many_rows.py into docs/near-duplicates.md and docs/selecting.md.

python benchmarks/many_rows_page.py [--check]
"""

from __future__ import annotations

import json
from typing import Any

from many_rows import FEW, RESULTS
from pages import fill_pages
from rows import RESULTS as RUNS

from euds.selection.repeats import MOST_CHARACTERS

MILLION, TEN_MILLION = 1_000_000, 10_000_000
MEBI = 2**20


def near_duplicates(results: list[dict[str, Any]]) -> str:
    """Return what leaving out near-duplicates costs, and what ten million rows would."""
    lines = [
        "| kind | rows | text | left out | seconds of a core | memory, before and at most |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        kind = one["what"].partition(", ")[2]
        lines.append(
            f"| {kind} | {one['rows']:,} | {one['megabytes']:.0f} MB | {one['left_out']:,} "
            f"| {one['processor_seconds']:.1f} | {one['data_mib']:,}, {one['peak_mib']:,} MiB |"
        )
    told = []
    for kind in ("made-up", "crowded"):
        before, last = [one for one in results if one["what"].endswith(kind)][-2:]
        rows = last["rows"] - before["rows"]
        seconds = (last["processor_seconds"] - before["processor_seconds"]) / rows
        beside = [one["peak_mib"] - one["data_mib"] for one in (before, last)]
        size = (beside[1] - beside[0]) * MEBI / rows
        minutes = TEN_MILLION * seconds / 60
        told.append(
            f"{1e6 * seconds:.1f} microseconds and {size:.0f} bytes for each {kind} row between "
            f"the last two sizes, so that ten million would take {minutes:.0f} minutes and "
            f"{TEN_MILLION * size / 1e9:.1f} GB more than before"
        )
    plain = [one for one in results if one["what"].endswith("made-up")][-1]
    runs = json.loads(RUNS.read_text("utf-8"))["run --scores ie"]
    run = max((one for one in runs if one["rows"] <= plain["rows"]), key=lambda one: one["rows"])
    cap = MOST_CHARACTERS / 1e6
    return (
        "\n".join(lines)
        + "\n\nMemory is that of the process, its rows among it. Crowded rows are made up too: a "
        + "fifth are copies with\na small edit, and a tenth one message with a number in it, which "
        + f"share a little too little to count. That is\n{told[0]};\n{told[1]}.\n"
        + "Ten million were not tried (`python benchmarks/many_rows.py`).\n\n"
        + f"`--near-duplicates auto` looks for them in pools of up to {cap:.0f} MB of text. For so "
        + f"much they take {cap * plain['processor_seconds'] / plain['megabytes']:.0f} seconds of "
        + f"a core by these figures, where a whole run without a model, on {run['rows']:,} such "
        + f"rows, takes {run['cpu_seconds']:.0f} ([speed.md](speed.md)).\n"
    )


def by_vectors(results: dict[str, Any]) -> str:
    """Return what clusters and coverage cost, by the ways for few rows and for many."""
    few = {one["what"]: one for one in results["two ways"]}
    center, means = (
        [few[f"{rule}, for {way}"] for way in ("few", "many")] for rule in ("k-center", "k-means")
    )
    radii = [one["radius"] for one in (*center, few["random"])]
    lines = [
        f"On {FEW:,} made-up vectors, {center[0]['keep']:,} of them kept, `k-center` took "
        f"{center[0]['processor_seconds']:.1f} seconds of a core in the way for few rows and "
        f"{center[1]['processor_seconds']:.1f} in the way for many; the largest distance from a "
        f"row to a kept one was {radii[0]:.3f} and {radii[1]:.3f} ({radii[2]:.3f} with random "
        f"rows). `k-means` took {means[0]['processor_seconds']:.1f} and "
        f"{means[1]['processor_seconds']:.1f} seconds, and rows were "
        f"{means[0]['mean_distance_to_centre']:.3f} and {means[1]['mean_distance_to_centre']:.3f} "
        f"from their centres on average. At rows x rows kept, the way for few would need "
        f"{center[0]['processor_seconds'] * (MILLION / FEW) ** 2 / 3600:.0f} and "
        f"{means[0]['processor_seconds'] * (MILLION / FEW) ** 2 / 3600:.0f} hours for the same "
        "share of a million rows. More rows, in the way for many:",
        "",
        "| rows | kept | `k-center` | `k-means` | strata of `auto` | vectors | memory added |",
        "|---|---|---|---|---|---|---|",
    ]
    many = results["many"]
    for rows in sorted({one["rows"] for one in many}):
        own = {one["what"].partition(",")[0]: one for one in many if one["rows"] == rows}
        seconds = [f"{one['processor_seconds']:.0f} s" for one in own.values()]
        beside = max(one["peak_mib"] - one["data_mib"] for one in own.values())
        size = 4 * 384 * rows / MEBI
        lines.append(
            f"| {rows:,} | {own['k-means']['keep']:,} | {' | '.join(seconds)} | {size:,.0f} MiB "
            f"| {beside:,} MiB |"
        )
    return "\n".join([*lines, "", "(`python benchmarks/many_rows.py`)", ""])


def main() -> None:
    """Write or check the pages."""
    results = json.loads(RESULTS.read_text("utf-8"))
    fill_pages(
        {
            "near-duplicates": near_duplicates(results["near-duplicates"]),
            "selecting": by_vectors(results),
        },
        mark="many rows",
        what="Put the figures of many_rows.py into the pages.",
    )


if __name__ == "__main__":
    main()
