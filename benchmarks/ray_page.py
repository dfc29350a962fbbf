"""Put what was measured on a Ray cluster, and what follows for large pools, into docs/ray.md.

python benchmarks/ray_page.py [--check]
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pages import fill_pages

RESULTS = Path(__file__).parent / "results"
POOLS = (10_000_000, 100_000_000)

# Assumptions, not measurements: the page says so.
CORES_PER_MACHINE = 32
HOURS_AT_MOST = 24
DOLLARS_PER_CORE_HOUR = {"on demand": 0.04, "spot": 0.015}
ROWS_PER_SHARD = 64  # of token entropies and options


def load(name: str) -> dict[str, Any]:
    """Return the results of one script."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def measured(results: dict[str, Any]) -> list[str]:
    """Return what was measured."""
    speed, killed = results["speed"], results["killed"]
    rates = speed["rows_per_second"]
    low, high = min(speed["ratios"]), max(speed["ratios"])
    same = "the same bits" if all(results["same"].values()) else "NOT the same"
    reached = "" if speed["ratio"] >= 1.7 else " **missed**"
    return [
        f"{results['distinct']:,} articles, `{results['model']}` in {results['precision']}, "
        f"generative entropy of {results['max_tokens']} tokens, nodes of one core on one machine, "
        f"{results['rounds']} round(s) (`python benchmarks/ray_engine.py`; Ray "
        f"{results['versions']['ray']}, torch {results['versions']['torch']}).",
        "",
        "| | rows/s from the first answer on |",
        "|---|---|",
        *(f"| engine {name} of one thread | {rate:.2f} |" for name, rate in rates.items()),
        "",
        f"* Two workers over one: {speed['ratio']:.2f} ({low:.2f} to {high:.2f}); the aim is "
        f"1.7{reached}.",
        f"* Scores and selection against the local engine: {same}.",
        f"* One of two nodes killed in the middle: {killed['shards_measured_again']} of "
        f"{killed['shards']} shards measured twice; "
        f"that node had {killed['workers_on_the_node']} worker.",
        f"* Before the first answer: {speed['first_answer_seconds']:.0f} s a question, to start "
        "workers and load the model; the first shard is in it.",
        f"* Where measuring takes no time, {results['handed_out_per_second']:.0f} shards a second "
        f"are handed out and come back: up to "
        f"{results['handed_out_per_second'] * ROWS_PER_SHARD:,.0f} rows/s, whatever the cluster.",
        "",
    ]


def arithmetic(results: dict[str, Any], speed: dict[str, Any], rows: dict[str, Any]) -> list[str]:
    """Return what large pools take, from what a row takes."""
    ge = results["speed"]["rows_per_second"]["ray, 2 workers"] / 2
    options = speed["cases"]["SE label mode over scoring each of 5 options by itself"]
    se = options["ours"] / speed["machine"]["cores"]
    most = rows["run --scores ie"][-1]
    bytes_per_row, largest = most["bytes_per_added_row"], most["rows"]
    texts = rows["information entropy"]["megabytes"] * 1e6 / rows["from file to file"]["rows"]
    seconds = {"ie,ge": 1 / ge, "ie,ge,se": 1 / ge + 1 / se}
    handed_out = results["handed_out_per_second"] * ROWS_PER_SHARD
    prices = [f"cost, {name}, $" for name in DOLLARS_PER_CORE_HOUR]
    each = " and ".join(f"${one} a core-hour {name}" for name, one in DOLLARS_PER_CORE_HOUR.items())
    lines = [
        f"A core measures {ge:.2f} rows a second for generative entropy (above) and {se:.2f} for "
        f"semantic entropy over five options with one prompt (`results/speed.json`). Assumed: "
        f"machines of {CORES_PER_MACHINE} such cores, as many as end within {HOURS_AT_MOST} hours; "
        f"{each}. Your own price and your own first shards tell better.",
        "",
        f"| rows | scores | core-hours | machines | hours | {' | '.join(prices)} | rows/s | "
        "memory of the command, GB |",
        f"|---|---|---|---|---|{'---|' * len(prices)}---|---|",
    ]
    for pool in POOLS:
        for names, per_row in seconds.items():
            core_hours = pool * per_row / 3600
            machines = math.ceil(core_hours / HOURS_AT_MOST / CORES_PER_MACHINE)
            hours = core_hours / machines / CORES_PER_MACHINE
            rate = pool / hours / 3600
            limit = "" if rate < handed_out else " **more than is handed out**"
            gigabytes = pool * (bytes_per_row + texts) / 1e9
            costs = [f"{core_hours * price:,.0f}" for price in DOLLARS_PER_CORE_HOUR.values()]
            lines.append(
                f"| {pool:,} | {names} | {core_hours:,.0f} | {machines} | {hours:.1f} | "
                f"{' | '.join(costs)} | {rate:,.0f}{limit} | {gigabytes:,.0f} |"
            )
    lines += [
        "",
        f"The command holds ids, keys and scores in memory: {bytes_per_row:,} bytes for each row "
        f"added with IE alone, measured up to {largest:,} rows on one machine "
        f"([speed.md](speed.md)); and, where a model scores, the texts: {texts:,.0f} bytes each as "
        "counted here, more if yours are longer. The rest is arithmetic: no pool of that size was "
        "scored with a model.",
    ]
    return lines


def text() -> str:
    """Return the part of the page that scripts make."""
    results = load("ray_engine")
    parts = [*measured(results), *arithmetic(results, load("speed"), load("rows"))]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the page, or check that it is what the results say."""
    fill_pages({"ray": text()}, mark="measured", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
