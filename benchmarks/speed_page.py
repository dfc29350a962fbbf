"""Put the measured figures into docs/speed.md, from results/speed*.json and results/rows.json.

python benchmarks/speed_page.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pages import fill_pages

RESULTS = Path(__file__).parent / "results"


def load(name: str) -> dict[str, Any]:
    """Return the results of one script, empty if it was not run."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def amount(value: float) -> str:
    """Return a rate with three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def case_rows(cases: dict[str, Any]) -> list[str]:
    """Return a line of the table for each case."""
    lines = []
    for name, one in cases.items():
        low, high = min(one["ratios"]), max(one["ratios"])
        reached = "" if one["ratio"] >= one["target"] else " **missed**"
        lines.append(
            f"| {name} | {amount(one['ours'])} {one['unit']}/s | {amount(one['theirs'])} | "
            f"{one['ratio']:.2f} ({low:.2f} to {high:.2f}) | {one['target']:g}{reached} |"
        )
    return lines


def row_figures(rows: dict[str, Any]) -> list[str]:
    """Return what was measured without a model."""
    if not rows:
        return []
    ie, peer = rows["information entropy"], rows["from file to file"]
    if "ratio" not in peer:
        sys.exit("results/rows.json was made without data-selection: run benchmarks/rows.py again")
    lines = [
        "| without a model | euds | the other | ratio | aim |",
        "|---|---|---|---|---|",
        f"| IE over a loop with `Counter` on one core, the same numbers | "
        f"{ie['mb_per_second']} MB/s | {ie['plain_loop_mb_per_second']} | {ie['ratio']:.2f} | 4 |",
        f"| reading, IE, selecting, writing {peer['rows']:,} rows over `data-selection` (DSIR) | "
        f"{peer['rows_per_second']:,} rows/s | {peer['dsir_rows_per_second']:,} | "
        f"{peer['ratio']:.1f} | 1 |",
        "",
        "`euds run --scores ie`, whole processes: linear in the rows.",
        "",
        "| rows | seconds | peak memory, MiB | `euds select` again, seconds | its peak, MiB | "
        "`select` in Python, scores read, seconds |",
        "|---|---|---|---|---|---|",
    ]
    selecting = {one["rows"]: one["seconds"] for one in rows["select"]}
    lines += [
        f"| {one['rows']:,} | {one['seconds']} | {one['peak_mib']:,} | "
        f"{one['select']['seconds']} | {one['select']['peak_mib']:,} | {selecting[one['rows']]} |"
        for one in rows["run --scores ie"]
    ]
    lines += [
        "",
        "The same with long rows:",
        "",
        "| rows | MB of JSONL | seconds | peak memory, MiB | `euds select` again, seconds "
        "| its peak, MiB |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one['rows']:,} | {one['megabytes']:,} | {one['seconds']} | {one['peak_mib']:,} | "
            f"{one['select']['seconds']} | {one['select']['peak_mib']:,} |"
            for one in rows["long rows"]
        ),
    ]
    again = rows["select again"]
    least, without = again["--no-subset --no-report"], again["--no-subset"]
    lines += [
        "",
        f"`euds select RUN` on {again['rows']:,} rows, the whole process: start, reading pool and "
        f"scores, selecting, diagnosis, `selection.parquet`, the manifest's checksums: "
        f"{took(least)}; with the report {took(without)} (`--no-subset`); with the subset too "
        f"{took(again)}.",
    ]
    return [*lines, ""]


def took(run: dict[str, Any]) -> str:
    """Return how long a process took, and how much of that it computed."""
    return f"{run['seconds']} s ({run['cpu_seconds']} s of processor time)"


def measured() -> str:
    """Return the part of the page that is measured."""
    speed, training, rows = load("speed"), load("speed_training"), load("rows")
    lines = [
        "| what | euds | the other | ratio of medians (lowest to highest) | aim |",
        "|---|---|---|---|---|",
        *case_rows(speed.get("cases", {})),
        *case_rows({name: one for name, one in training.items() if "ratios" in one}),
        "",
        *row_figures(rows),
    ]
    if machine := speed.get("machine"):
        lines += [
            f"{machine['threads']} cores, {machine['precision']}, large matrix products at "
            f"{machine['matrix rate, GFLOP/s']} GFLOP/s in that precision and "
            f"{machine['float32 matrix rate, GFLOP/s']} in float32, torch {machine['torch']}, "
            f"Python {machine['python']}.",
            "",
        ]
    if breakdown := speed.get("breakdown"):
        lines += ["Where the time of GE goes, on one core:", "", "| part | % |", "|---|---|"]
        lines += [f"| {name} | {share:.0f} |" for name, share in breakdown.items()]
        lines += [""]
    return "\n".join(lines)


def main() -> None:
    """Write the page, or check that it is what the results say."""
    fill_pages({"speed": measured()}, mark="measured", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
