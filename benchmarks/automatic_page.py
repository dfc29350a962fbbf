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
PROOFS = Path(__file__).parent / "results" / "proofs"
AUTOMATIC = ("auto", "auto-labels")
KINDS = ("raw", "rank")
VERDICTS = ("better", "as good", "worse", "cannot tell")


def results(*, fine_tuned: bool = False) -> list[dict[str, Any]]:
    """Return the results of each pool, by name."""
    return [
        json.loads(path.read_text("utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
        if path.name.startswith("fine-tuned-") == fine_tuned
    ]


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
    others = [pool for pool in found if pool["pool"] != "imbalance"]
    means = [
        f"`{rule}` {np.mean([one['difference_points'] for one in made]):+.2f}"
        for rule in AUTOMATIC
        if (made := list(comparisons(others, rule, "random")))
    ]
    return [*lines, "", f"Without the pool `imbalance` the means are {' and '.join(means)}."]


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


def rivals(found: list[dict[str, Any]]) -> list[str]:
    """Return in how many cells each automatic rule wins, ties and loses against each other rule."""
    made = [one for pool in found for one in pool["rivals"]]
    others = list(dict.fromkeys(one["against"] for one in made))
    lines = [
        "| against | "
        + " | ".join(f"`{rule}`: won, tied, lost | mean difference" for rule in AUTOMATIC)
        + " |",
        f"|---|{'---|---|' * len(AUTOMATIC)}",
    ]
    for other in others:
        cells = []
        for rule in AUTOMATIC:
            own = [one for one in made if (one["rule"], one["against"]) == (rule, other)]
            won = sum(one["low_points"] > 0 for one in own)
            lost = sum(one["high_points"] < 0 for one in own)
            mean = np.mean([one["difference_points"] for one in own])
            cells += [f"{won}, {len(own) - won - lost}, {lost}", f"{mean:+.2f}"]
        lines.append(f"| `{other}` | {' | '.join(cells)} |")
    return lines


def cells_of(found: list[dict[str, Any]]) -> list[str]:
    """Return the difference to the rules that matter most, cell by cell, with intervals."""
    shown = [("auto", "random"), ("auto", "k-means"), ("auto-labels", "random")]
    shown.append(("auto-labels", "bws"))
    lines = [
        f"| pool | keep | {' | '.join(f'`{rule}` - `{other}`' for rule, other in shown)} |",
        f"|---|---|{'---|' * len(shown)}",
    ]
    for pool in found:
        for keep in sorted({one["keep"] for one in pool["rivals"]}):
            told = []
            for rule, other in shown:
                (one,) = [
                    one
                    for one in pool["rivals"]
                    if (one["rule"], one["against"], one["keep"]) == (rule, other, keep)
                ]
                is_told = one["low_points"] > 0 or one["high_points"] < 0
                text = f"{one['difference_points']:+.1f} {_interval(one)}"
                told.append(f"**{text}**" if is_told else text)
            lines.append(f"| {pool['pool']} | {keep:.0%} | {' | '.join(told)} |")
    return lines


def costs(found: list[dict[str, Any]]) -> list[str]:
    """Return what selecting takes, beside training on everything."""
    trained = {}
    for path in sorted(PROOFS.glob("2-fine-tune-*-epochs.json")):
        one = json.loads(path.read_text("utf-8"))
        (full,) = [arm for arm in one["arms"] if arm["rule"] == "full"]
        trained[one["benchmark_pool"]] = full["seconds"]["training"] / full["rows"]
    lines = [
        "| pool | rows | `igse` | `auto` | `auto-labels` | one full fine-tuning | share |",
        "|---|---|---|---|---|---|---|",
    ]
    for pool in found:
        seconds = {
            rule: np.median([one["seconds"] for one in pool["selecting"] if one["rule"] == rule])
            for rule in ("igse", *AUTOMATIC)
        }
        training, share = "", ""
        if pool["pool"] in trained:
            # Training takes as long as it has rows: fewer were fine-tuned on than selected from.
            whole = trained[pool["pool"]] * pool["rows"]["pool"]
            training = f"{whole:.0f} s"
            share = f"{(seconds['auto-labels'] - seconds['igse']) / whole:.1%}"
        told = " | ".join(f"{one:.2f} s" for one in seconds.values())
        lines.append(
            f"| {pool['pool']} | {pool['rows']['pool']:,} | {told} | {training} | {share} |"
        )
    return lines


def fine_tuned() -> list[str]:
    """Return what fine-tuning says."""
    lines = [
        "| pool | seeds | arm | accuracy | against random | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for pool in results(fine_tuned=True):
        against = {one["arm"]: one for one in pool["comparisons"] if one["against"] == "random"}
        for arm in pool["arms"]:
            points = arm["metrics"][pool["metric"]]["mean_points"]
            one = against.get(arm["name"])
            told = "| |"
            if one is not None:
                told = f"{one['difference_points']:+.1f} {_interval(one)} | {one['decision']} |"
            named = f"{pool['pool']} | {pool['seeds']} | {arm['rule']}"
            lines.append(f"| {named} | {points:.1f} | {told}")
    return lines


def _interval(one: dict[str, Any]) -> str:
    return f"[{one['low_points']:+.1f}, {one['high_points']:+.1f}]"


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
    for name, summary in (("median", np.median), ("mean", np.mean)):
        told = [f"**{summary(every[rule]):+.2f}**" for rule in rules]
        lines.append(f"| **{name}** | | {' | '.join(told)} |")
    return lines


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
        [
            "In how many of the cells each rule wins, ties and loses against the others, by the "
            "95 % interval of the difference (rows and seeds varied), without a correction:"
        ],
        rivals(found),
        ["The differences in points, cell by cell; in bold where the interval excludes zero:"],
        cells_of(found),
        ["Accuracy in points, mean over seeds:"],
        per_pool(found),
        [
            "Regret against the best window of any entropy, pair or IGSE in hindsight, in points, "
            "with 95 % bootstrap intervals over test rows; below zero the rule beats hindsight:"
        ],
        regrets(found),
        *_fine_tuned_part(),
        [
            "What selecting takes once there are scores and vectors (median over budgets), and "
            "the share of `auto-labels` above `igse` in one fine-tuning of MiniLM on everything, "
            "where that was measured (`benchmarks/proofs.py`; at the time a row took there):"
        ],
        costs(found),
        [
            "Spearman's correlation of scores and ranks with length, the share of their variance "
            "between the model's own answers (epsilon squared), and the share of texts whose value "
            "others have too:"
        ],
        dependences(found),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _fine_tuned_part() -> list[list[str]]:
    """Return the part on fine-tuning."""
    found = results(fine_tuned=True)
    if not found:
        return []
    rows = max(one["arms"][0]["rows"] for one in found)
    return [
        [
            f"Fine-tuned instead (`python benchmarks/automatic.py --fine-tune`): at most {rows:,} "
            f"rows, 16 % kept; verdicts after Holm's correction:"
        ],
        fine_tuned(),
    ]


def main() -> None:
    """Write the page, or check that it is what the results say."""
    fill_pages({"automatic": text()}, mark="measured", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
