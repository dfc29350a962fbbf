"""Put the measured figures into docs/automatic.md, from results/automatic/*.json.

python benchmarks/automatic_page.py [--check]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pages import fill_pages

RESULTS = Path(__file__).parent / "results" / "automatic"
AUTOMATIC = ("auto", "auto-labels")
KINDS = ("raw", "rank")
VERDICTS = ("better", "as good", "worse", "cannot tell")


def results() -> list[dict[str, Any]]:
    """Return the results of each pool, by name."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def comparisons(found: list[dict[str, Any]], rule: str, against: str) -> Iterator[dict[str, Any]]:
    """Yield each comparison of a rule with another at the same budget."""
    for pool in found:
        for one in pool["comparisons"]:
            names = one["arm"].partition("@")[0], one["against"].partition("@")[0]
            if names == (rule, against):
                yield one


def counts(found: list[dict[str, Any]]) -> list[str]:
    """Return how often each rule is better and worse than random rows."""
    rules = sorted({arm["rule"] for pool in found for arm in pool["arms"]} - {"full", "random"})
    rules.sort(key=lambda rule: rule not in AUTOMATIC)
    lines = [
        "Verdicts against random rows of the same number, after Holm's correction:",
        "",
        f"| rule | {' | '.join(VERDICTS)} | mean difference, points |",
        "|---|---|---|---|---|---|",
    ]
    for rule in rules:
        made = list(comparisons(found, rule, "random"))
        if not made:
            continue
        told = [sum(one["decision"] == verdict for one in made) for verdict in VERDICTS]
        mean = np.mean([one["difference_points"] for one in made])
        lines.append(f"| `{rule}` | {' | '.join(map(str, told))} | {mean:+.2f} |")
    return lines


def per_pool(found: list[dict[str, Any]]) -> list[str]:
    """Return the accuracies of each pool at each budget."""
    shown = ("full", "random", *AUTOMATIC, "igse", "length", "k-means", "bws", "ccs-el2n")
    lines = [
        f"| pool | keep | {' | '.join(shown)} |",
        f"|---|---|{'---|' * len(shown)}",
    ]
    for pool in found:
        points = {
            (arm["rule"], round(arm["keep"], 2)): arm["metrics"][pool["metric"]]["mean_points"]
            for arm in pool["arms"]
        }
        full = points[("full", 1.0)]
        for keep in sorted({keep for _, keep in points} - {1.0}):
            row = [points.get((rule, keep), full) for rule in shown]
            lines.append(
                f"| {pool['pool']} | {keep:.0%} | {' | '.join(f'{one:.1f}' for one in row)} |"
            )
    return lines


def regrets(found: list[dict[str, Any]]) -> list[str]:
    """Return the regrets against the best window in hindsight."""
    rules = (*AUTOMATIC, "igse", "random")
    lines = [f"| pool | keep | {' | '.join(rules)} |", f"|---|---|{'---|' * len(rules)}"]
    every: dict[str, list[float]] = {rule: [] for rule in rules}
    for pool in found:
        for keep in sorted({one["keep"] for one in pool["regret"]}):
            cells = []
            for rule in rules:
                (one,) = [
                    one for one in pool["regret"] if (one["rule"], one["keep"]) == (rule, keep)
                ]
                every[rule].append(one["points"])
                cells.append(f"{one['points']:+.1f} [{one['low']:+.1f}, {one['high']:+.1f}]")
            lines.append(f"| {pool['pool']} | {keep:.0%} | {' | '.join(cells)} |")
    medians = [f"**{np.median(every[rule]):+.2f}**" for rule in rules]
    return [*lines, f"| **median** | | {' | '.join(medians)} |"]


def dependences(found: list[dict[str, Any]]) -> list[str]:
    """Return how scores and ranks depend on length and on the model's own answer."""
    lines = [
        "| pool | score | with length: value, rank | with the answer: value, rank | ties |",
        "|---|---|---|---|---|",
    ]
    for pool in found:
        for name, one in pool["dependence"].items():
            length = ", ".join(_number(one[f"length_spearman_{kind}"], "+.2f") for kind in KINDS)
            answer = ", ".join(
                _number(one.get(f"option_epsilon_squared_{kind}"), ".3f")
                for kind in ("raw", "rank")
            )
            lines.append(
                f"| {pool['pool']} | {name} | {length} | {answer} | {one['tied_share']:.1%} |"
            )
    return lines


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def text() -> str:
    """Return all that is measured, as Markdown."""
    found = results()
    seeds = sorted({pool["seeds"] for pool in found})
    parts = [
        [
            f"{len(found)} pools, three budgets, {', '.join(map(str, seeds))} seeds, a logistic "
            "head on the frozen MiniLM encoder (`python benchmarks/automatic.py`). No test row "
            "had a part in any choice but hindsight's."
        ],
        counts(found),
        ["Accuracy in points, mean over seeds:"],
        per_pool(found),
        [
            "Regret against the best window of any entropy or IGSE in hindsight, in points, with "
            "95 % bootstrap intervals over test rows; below zero the rule beats hindsight:"
        ],
        regrets(found),
        [
            "Spearman's correlation of scores and ranks with length, the share of their variance "
            "between the model's own answers (epsilon squared), and the share of texts whose value "
            "others have too:"
        ],
        dependences(found),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def main() -> None:
    """Write the page, or check that it is what the results say."""
    fill_pages({"automatic": text()}, mark="measured", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
