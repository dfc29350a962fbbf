"""Put what was found about stability and faults into docs/stability.md and docs/faults.md.

python benchmarks/trust_pages.py [--check]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages import fill_pages

RESULTS = Path(__file__).parent / "results"
SOURCES = {
    "seed": "another seed",
    "sample": "nine tenths of the pool",
    "variant": "another variant",
    "scores": "shorter texts",
}


def load(name: str) -> dict[str, Any]:
    """Return the results of one script."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def stability(results: dict[str, Any]) -> str:
    """Return the table of what stays."""
    lines = [
        f"Keeping {results['keep']:.0%}; medians of the chance-corrected similarity: 0 is what two "
        f"draws share, 1 the same subset. Shorter texts: cut after {results['short_tokens']} "
        "instead of 128 tokens (`python benchmarks/stability.py`).",
        "",
        f"| pool | rule | {' | '.join(SOURCES.values())} |",
        f"|---|---|{'---|' * len(SOURCES)}",
    ]
    for name, pool in results["pools"].items():
        for rule, told in pool["rules"].items():
            cells = [
                f"{told['by_source'][one]['corrected_median']:.2f}"
                if one in told["by_source"]
                else "-"
                for one in SOURCES
            ]
            drawn = " (drawn by lot)" if told["is_draw"] else ""
            lines.append(f"| {name} | `{rule}`{drawn} | {' | '.join(cells)} |")
    return "\n".join(lines)


def faults(results: dict[str, Any]) -> str:
    """Return the table of faults."""
    lines = [
        "| fault | tried | meanwhile | right in the end |",
        "|---|---|---|---|",
    ]
    for name, told in results["faults"].items():
        if told["tries"]:
            meanwhile = ", ".join(f"{count} {what}" for what, count in told["during"].items())
            lines.append(f"| {name} | {told['tries']} | {meanwhile} | {told['right_in_the_end']} |")
        else:
            lines.append(f"| {name} | not tried: {told['why']} | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    fill_pages(
        {"stability": stability(load("stability")), "faults": faults(load("faults"))},
        mark="measured",
        what=__doc__.splitlines()[0],
    )
