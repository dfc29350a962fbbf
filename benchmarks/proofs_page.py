"""Make docs/proofs.md and its figures from results/proofs/*.json.

python benchmarks/proofs_page.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import proofs
import vl_convert

from euds.files.atomic import write_bytes_atomically
from euds.proof.results import NOT_LEARNT, is_entropy
from euds.selection.rules.ranks import spearman

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "proofs"
PAGE = ROOT / "docs" / "proofs.md"
FIGURES = ROOT / "docs" / "figures"
DRAWN = ("random", "igse", "length", "k-means", "full")
STRESS = ("noise", "near-duplicates", "imbalance", "machine-made")

Results = dict[str, Any]


def load() -> list[Results]:
    """Return all results, probes first."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def is_probe(results: Results) -> bool:
    """Return whether a result is of the first tier."""
    return bool(results["settings"]["trainer"]["name"] == "probe")


def was_learnt(results: Results) -> bool:
    """Return whether training on everything taught the model the task."""
    return not any(warning.startswith(NOT_LEARNT) for warning in results["warnings"])


def comparisons(results: Results, against: str) -> dict[str, dict[str, Any]]:
    """Return the comparisons with one reference, by the arm's name."""
    return {one["arm"]: one for one in results["comparisons"] if one["against"] == against}


def difference(one: dict[str, Any]) -> str:
    """Return a difference with its interval, in bold where it is not in doubt."""
    text = f"{one['difference_points']:+.1f} [{one['low_points']:+.1f}, {one['high_points']:+.1f}]"
    marks = {"better": "**", "worse": "_"}
    mark = marks.get(one["decision"], "")
    return f"{mark}{text}{mark}".replace("-0.0 ", "+0.0 ")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]


def decisions(many: Sequence[Results], against: str, *, entropy: bool) -> Counter[str]:
    """Count decisions about entropy rules, or about the other rules."""
    return Counter(
        one["decision"]
        for results in many
        for one in results["verdicts"]
        if one["against"] == against
        and one["rule"] != "random"
        and is_entropy(one["rule"]) == entropy
    )


def account(many: Sequence[Results]) -> list[str]:
    """Say where entropy selection wins, ties and loses, from the counts alone."""
    left_out = sorted({one["benchmark_pool"] for one in many if not was_learnt(one)})
    many = [one for one in many if was_learnt(one)]
    counts = decisions(many, "random", entropy=True)
    lines = [
        f"An entropy rule was held against random rows in {counts.total()} comparisons: better in "
        f"{counts['better']}, as good within a point in {counts['as good']}, worse in "
        f"{counts['worse']}; in {counts['cannot tell']} these test sets cannot tell.",
        "",
    ]
    if left_out:
        lines += [
            f"Not counted: {', '.join(left_out)}. There the model did not learn the task from the "
            f"whole pool, so that no subset can be told from another.",
            "",
        ]
    for name, tier in (
        ("Probe", [one for one in many if is_probe(one)]),
        ("Fine-tuning", [one for one in many if not is_probe(one)]),
    ):
        if not tier:
            continue
        rows = []
        for who, entropy in (("entropy rules", True), ("other rules", False)):
            for against in ("random", "full"):
                counts = decisions(tier, against, entropy=entropy)
                rows.append(
                    [
                        who,
                        against,
                        *(
                            str(counts[one])
                            for one in ("better", "as good", "cannot tell", "worse")
                        ),
                    ]
                )
        lines += [f"{name}, verdicts over all pools and budgets:", ""]
        lines += table(["", "against", "better", "as good", "cannot tell", "worse"], rows)
    won = [
        (results["benchmark_pool"], one["arm"])
        for results in many
        for one in results["verdicts"]
        if one["against"] == "random" and one["decision"] == "better" and is_entropy(one["rule"])
    ]
    lost = Counter(
        one["rule"]
        for results in many
        for one in results["verdicts"]
        if one["against"] == "random" and one["decision"] == "worse" and is_entropy(one["rule"])
    )
    told = ", ".join(f"{arm} on {pool}" for pool, arm in won) or "nowhere"
    lines += [f"Entropy beat random, after Holm: {told}.", ""]
    if lost:
        told = ", ".join(f"{rule} ({count})" for rule, count in lost.most_common())
        lines += [f"It lost to random, by rule (times): {told}.", ""]
    return lines


def mean_differences(many: Sequence[Results]) -> list[str]:
    """Return each rule's mean difference to random over the pools, by budget."""
    probes = [one for one in many if is_probe(one) and was_learnt(one)]
    if not probes:
        return []
    keeps = sorted({row["keep"] for one in probes for row in one["arms"] if row["rule"] != "full"})
    budgets = sorted({f"{keep * 100:.0f}" for keep in keeps}, key=float)
    rules = list(
        dict.fromkeys(
            row["rule"]
            for one in probes
            for row in one["arms"]
            if row["rule"] not in ("full", "random")
        )
    )
    rows = []
    for rule in rules:
        cells = []
        for budget in budgets:
            found = [
                comparisons(results, "random")[arm["name"]]["difference_points"]
                for results in probes
                for arm in results["arms"]
                if arm["rule"] == rule and f"{arm['keep'] * 100:.0f}" == budget
            ]
            cells.append(f"{sum(found) / len(found):+.1f} ({len(found)})" if found else "")
        rows.append([rule, *cells])
    return [
        "Mean difference to random in points over the pools (how many), probe:",
        "",
        *table(["rule", *(f"keep {budget} %" for budget in budgets)], rows),
    ]


def pool_section(results: Results) -> list[str]:
    """Return one pool's tables."""
    how, regime = results["settings"]["trainer"]["name"], results["settings"]["regime"]
    title = f"### {results['benchmark_pool']}: {how}"
    if how != "probe":
        title += f", equal {regime}"
    warnings = [f"* {warning}" for warning in results["warnings"]]
    lines = [title, "", described(results), "", *warnings, *([""] if warnings else [])]
    lines += rule_table(results)
    return lines if how == "probe" else lines + cost_table(results)


def described(results: Results) -> str:
    """Return how large a proof was and what everything reaches, as one line."""
    metric = results["task"]["metric"]
    full = next(arm for arm in results["arms"] if arm["rule"] == "full")
    return (
        f"{results['pool']['rows']:,} rows to select from, {results['test']['rows']:,} to test on, "
        f"{len(results['settings']['seeds'])} seeds. {metric.capitalize()} on everything "
        f"{full['metrics'][metric]['mean_points']:.1f} points; always the most frequent answer "
        f"{results['test']['majority_points']:.1f}."
    )


def rule_table(results: Results) -> list[str]:
    """Return random's points, and every other rule's difference to it, by budget."""
    metric = results["task"]["metric"]
    against_random = comparisons(results, "random")
    arms = [arm for arm in results["arms"] if arm["rule"] != "full"]
    keeps = sorted({arm["keep"] for arm in arms})
    by_rule: dict[str, dict[float, str]] = {}
    for arm in arms:
        name = arm["rule"] + (" (labels)" if arm["uses_labels"] else "")
        by_rule.setdefault(name, {})[arm["keep"]] = (
            f"{arm['metrics'][metric]['mean_points']:.1f}"
            if arm["rule"] == "random"
            else difference(against_random[arm["name"]])
        )
    rows = [[rule, *(cells.get(keep, "") for keep in keeps)] for rule, cells in by_rule.items()]
    return [
        "Random: points; the others: difference to random (95 %); bold better, italic worse.",
        "",
        *table(["rule", *(f"keep {keep * 100:.3g} %" for keep in keeps)], rows),
    ]


def cost_table(results: Results) -> list[str]:
    """Return the comparison with everything, and what it cost."""
    costs = {one["arm"]: one for one in results["ledger"]["arms"]}
    rows = []
    for name, one in comparisons(results, "full").items():
        cost = costs[name]
        pays = cost["break_even_trainings"]
        rows.append(
            [
                name,
                difference(one),
                one["decision"],
                f"{cost['total_seconds']:.0f}",
                f"{cost['share_of_full']:.0%}",
                "never" if pays is None else f"{pays:.1f} trainings",
            ]
        )
    head = ["arm", "against full", "decision", "seconds in all", "share of full", "pays after"]
    return table(head, rows)


def agreement(many: Sequence[Results]) -> list[str]:
    """Compare what the two tiers say of the same rules, on the same pools, at 16 %."""
    pairs = []
    for tuned in (one for one in many if not is_probe(one)):
        probe = next(
            (
                one
                for one in many
                if is_probe(one) and one["benchmark_pool"] == tuned["benchmark_pool"]
            ),
            None,
        )
        if probe is None:
            continue
        quick = {
            arm["rule"]: comparisons(probe, "random")[arm["name"]]
            for arm in probe["arms"]
            if abs(arm["keep"] - 0.16) < 0.005 and arm["rule"] not in ("full", "random")
        }
        for name, one in comparisons(tuned, "random").items():
            rule = name.partition("@")[0]
            if rule in quick:
                pairs.append((tuned, rule, quick[rule], one))
    if not pairs:
        return []
    rows = [
        [
            tuned["benchmark_pool"],
            tuned["settings"]["regime"],
            rule,
            difference(quick),
            difference(slow),
        ]
        for tuned, rule, quick, slow in pairs
    ]
    same = sum(
        (quick["difference_points"] > 0) == (slow["difference_points"] > 0)
        for _, _, quick, slow in pairs
    )
    rho = spearman(
        np.array([quick["difference_points"] for _, _, quick, _ in pairs]),
        np.array([slow["difference_points"] for _, _, _, slow in pairs]),
    )
    told = "" if rho is None else f"; Spearman correlation {rho:+.2f} over {len(pairs)} pairs"
    return [
        "## Do the two tiers agree?",
        "",
        f"Difference to random at 16 %, the same rule on the same data (fine-tuning on a part of "
        f"the pool). The sign agrees in {same} of {len(pairs)}{told}.",
        "",
        *table(["pool", "regime", "rule", "probe", "fine-tuning"], rows),
    ]


def figure(many: Sequence[Results]) -> bytes:
    """Draw accuracy against the share kept, a panel a pool, probes only."""
    rows = [
        {
            "pool": results["benchmark_pool"],
            "rule": arm["rule"],
            "keep": arm["keep"] * 100,
            "points": arm["metrics"][results["task"]["metric"]]["mean_points"],
        }
        for results in many
        if is_probe(results)
        for arm in results["arms"]
        if arm["rule"] in DRAWN
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "keep:Q",
            scale=alt.Scale(type="log", domain=[4, 110], nice=False),
            axis=alt.Axis(values=[5, 16, 30, 50, 100], title="share kept, %"),
        ),
        y=alt.Y("points:Q", scale=alt.Scale(zero=False), title="points"),
        color=alt.Color(
            "rule:N",
            scale=alt.Scale(
                domain=list(DRAWN), range=["#777777", "#0072B2", "#E69F00", "#009E73", "#000000"]
            ),
            title=None,
        ),
    )
    chart = (
        alt.layer(base.mark_line(), base.mark_point(filled=True, size=30))
        .properties(width=200, height=140)
        .facet(alt.Facet("pool:N", title=None), columns=3)
        .resolve_scale(y="independent")
    )
    return vl_convert.vegalite_to_svg(chart.to_json()).encode()


def not_made_yet() -> list[str]:
    """Name the steps of the protocol that there are no results of."""
    names = [step.name for step in proofs.steps({1: 10, 2: 5})]
    missing = [f"`{name}`" for name in names if not (RESULTS / f"{name}.json").exists()]
    return [f"Not made yet: {', '.join(missing)}.", ""] if missing else []


def page(many: Sequence[Results]) -> str:
    """Return the page."""
    natural = [one for one in many if one["benchmark_pool"] not in STRESS]
    stress = [one for one in many if one["benchmark_pool"] in STRESS]
    lines = [
        "# Is the subset really as good?",
        "",
        "Made by `make bench-prove` (`benchmarks/proofs.py`, `benchmarks/proofs_page.py`) from the",
        "files in `benchmarks/results/proofs/`. The protocol is that of [proving.md](proving.md),",
        "the statistics are those of [statistics.md](statistics.md), the pools are made in",
        "`benchmarks/pools.py`. The encoder is MiniLM (22 million parameters), the language model",
        "SmolLM2-135M. Nothing here speaks of larger ones, and nothing reproduces the EUDS paper.",
        "",
        "Seconds were measured on two cores that did other work as well, most of all while texts",
        "were scored: the costs of the entropy rules are upper bounds.",
        "",
        *not_made_yet(),
        "## In short",
        "",
        *account(many),
        *mean_differences(many),
        "![Points against the share kept, by pool](figures/proofs.svg)",
        "",
        *agreement(many),
        "## Pools as they are",
        "",
    ]
    for results in natural:
        lines += pool_section(results)
    if stress:
        lines += ["## Pools where selecting should help", ""]
    for results in stress:
        lines += pool_section(results)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write the page, or check that it is what the results say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if the page is not up to date")
    given = parser.parse_args()
    many = load()
    if not many:
        sys.exit(f"there are no results in {RESULTS}; make them with benchmarks/proofs.py")
    text = page(many)
    if given.check:
        if PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE} is not what the results say: run {Path(__file__).name}")
        return
    write_bytes_atomically(PAGE, text.encode())
    write_bytes_atomically(FIGURES / "proofs.svg", figure(many))
    print(PAGE)


if __name__ == "__main__":
    main()
