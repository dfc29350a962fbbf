"""The results of a proof as one document, as `docs/results.md` describes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool import Pool
from euds.proof.arms import FULL, RANDOM, Arm
from euds.proof.costs import ArmCost
from euds.proof.experiment import Run
from euds.proof.statistics import mean_of
from euds.proof.tasks import ProofTask
from euds.proof.verdict import Comparison, compare, sentence
from euds.scores import scorer_of

__all__ = [
    "SCHEMA_VERSION",
    "Findings",
    "arm_rows",
    "class_counts",
    "curve_rows",
    "find",
    "is_entropy",
    "majority_points",
]

SCHEMA_VERSION = 1
_BASELINES = ("words", "ge_nll")
_COARSE_POINTS = 5.0
_TASK_NOT_LEARNT_POINTS = 2.0

Floats = NDArray[np.float64]
Scores = Mapping[str, Mapping[str, Floats]]


@dataclass(frozen=True)
class Findings:
    """What the statistics say of the arms.

    Parameters
    ----------
    comparisons : list of Comparison
        Each rule against the random arm of its size and against everything.
    verdicts : list of dict
        The same in words.
    headline : list of str
        The sentences to read first; where entropy lost comes first of all.
    warnings : list of str
        What should be read before the verdicts are used.
    """

    comparisons: list[Comparison]
    verdicts: list[dict[str, Any]]
    headline: list[str]
    warnings: list[str]


def find(
    arms: Sequence[Arm], scores: Scores, task: ProofTask, test: Pool, *, margin_points: float
) -> Findings:
    """Compare every rule with the random subsets of its size and with everything."""
    by_name = {arm.name: arm for arm in arms}
    full = next(arm for arm in arms if arm.rule == FULL)
    comparisons: list[Comparison] = []
    for random in (arm for arm in arms if arm.rule == RANDOM):
        # One family for Holm: the rules at one budget. Over budgets the curve tests in a fixed
        # order, which needs no correction.
        rules = [a for a in arms if a.rows == random.rows and a.rule not in (FULL, RANDOM)]
        for members, reference in ((rules, random), (rules, full), ([random], full)):
            comparisons += _compared(members, reference, scores, task, margin_points)
    verdicts = [
        {
            "arm": one.arm,
            "rule": by_name[one.arm].rule,
            "keep": by_name[one.arm].keep,
            "against": one.against,
            "decision": one.decision,
            "sentence": sentence(
                one,
                by_name[one.arm].rule,
                keep=by_name[one.arm].keep,
                margin_points=margin_points,
            ),
        }
        for one in comparisons
    ]
    warnings = [*_learning_warnings(scores, full, task, test), *_power_warnings(comparisons)]
    return Findings(comparisons, verdicts, _headline(verdicts), warnings)


def _compared(
    members: Sequence[Arm],
    reference: Arm,
    scores: Scores,
    task: ProofTask,
    margin_points: float,
) -> list[Comparison]:
    if not members:
        return []
    return compare(
        {arm.name: scores[arm.name][task.metric] for arm in members},
        scores[reference.name][task.metric],
        against=reference.rule,
        margin_points=margin_points,
        right={arm.name: scores[arm.name][task.exact] for arm in members},
        right_reference=scores[reference.name][task.exact],
    )


def is_entropy(rule: str) -> bool:
    """Return whether a rule selects by entropy, and is no baseline.

    >>> [is_entropy(rule) for rule in ("igse-and", "ge", "ie_plugin", "length", "k-means")]
    [True, True, True, False, False]
    """
    is_score = rule not in _BASELINES and scorer_of(rule) in ("ie", "ge", "se")
    return is_score or rule.startswith("igse")


def _headline(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the verdicts on entropy rules, those that lost first, then whether anything won."""
    entropy = [one for one in verdicts if is_entropy(one["rule"])]
    lost = [one["sentence"] for one in entropy if one["decision"] == "worse"]
    rest = [one["sentence"] for one in entropy if one["decision"] != "worse"]
    return [*lost, *_against_random(verdicts), *rest]


def _against_random(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    tested = [one for one in verdicts if one["against"] == RANDOM]
    won = [one["arm"] for one in tested if one["decision"] == "better"]
    if not tested or won:
        return []
    return [
        "No rule was shown to be better than a random subset of the same size, which costs nothing."
    ]


def _learning_warnings(scores: Scores, full: Arm, task: ProofTask, test: Pool) -> list[str]:
    majority = majority_points(task, test)
    reached = 100 * float(scores[full.name][task.metric].mean())
    if reached > majority + _TASK_NOT_LEARNT_POINTS:
        return []
    return [
        f"the task was not learnt: trained on everything the model reaches {reached:.1f} points, "
        f"and always giving the most frequent answer {majority:.1f}; differences between subsets "
        f"say nothing here"
    ]


def _power_warnings(comparisons: Sequence[Comparison]) -> list[str]:
    smallest = [
        one.smallest_detectable_points
        for one in comparisons
        if np.isfinite(one.smallest_detectable_points)
    ]
    if not smallest or min(smallest) <= _COARSE_POINTS:
        return []
    return [
        f"this test set and these seeds are too few to tell much: differences below "
        f"{min(smallest):.1f} points would be missed one time in five or more"
    ]


def majority_points(task: ProofTask, test: Pool) -> float:
    """Return the task's metric, in points, of always giving the most frequent answer."""
    right = test.frame["label"].to_list()
    # Of equally frequent answers the first by name, whatever the order of the rows.
    answer = min(Counter(right).items(), key=lambda one: (-one[1], one[0]))[0]
    return 100 * float(task.metrics[task.metric]([answer] * len(right), right).mean())


def class_counts(pool: Pool) -> dict[str, int]:
    """Return the number of rows of each label."""
    return dict(sorted(Counter(pool.frame["label"].to_list()).items()))


def class_shares(frame: pl.DataFrame) -> dict[str, float]:
    """Return the share of each label."""
    counts = Counter(frame["label"].to_list())
    return {label: counts[label] / frame.height for label in sorted(counts)}


def arm_rows(
    arms: Sequence[Arm],
    runs: Sequence[Run],
    scores: Scores,
    costs: Mapping[str, ArmCost],
    pool: Pool,
    task: ProofTask,
) -> list[dict[str, Any]]:
    """Return one entry for each arm."""
    words = pool.frame.select("id", "label", words=pl.col("text").str.count_matches(r"\S+"))
    return [
        {
            "name": arm.name,
            "rule": arm.rule,
            "keep": arm.keep,
            "rows": arm.rows,
            "uses_labels": arm.uses_labels,
            "metrics": {name: _interval(one) for name, one in scores[arm.name].items()},
            "runs": _run_rows(arm, runs, scores),
            "seconds": costs[arm.name].to_dict(),
            **_balance(arm, words, closed=task.kind == "class"),
        }
        for arm in arms
    ]


def _interval(matrix: Floats) -> dict[str, float | None]:
    estimate = mean_of(matrix)
    low, high = estimate.interval()
    return {
        "mean_points": 100 * estimate.mean,
        "low_points": _points(low),
        "high_points": _points(high),
    }


def _points(share: float) -> float | None:
    return 100 * share if np.isfinite(share) else None


def _run_rows(arm: Arm, runs: Sequence[Run], scores: Scores) -> list[dict[str, Any]]:
    mine = [run for run in runs if run.arm == arm.name]
    return [
        {
            "seed": run.seed,
            "points": {
                name: 100 * float(matrix[index].mean()) for name, matrix in scores[arm.name].items()
            },
            "steps": run.outcome.steps,
            "training_seconds": run.outcome.training_seconds,
            "evaluating_seconds": run.outcome.answering_seconds,
            "reused": run.reused,
        }
        for index, run in enumerate(mine)
    ]


def _balance(arm: Arm, words: pl.DataFrame, *, closed: bool) -> dict[str, Any]:
    """Return what the arm's first draw did to classes and lengths, with warnings."""
    kept = words.filter(pl.col("id").is_in(arm.selections[0].ids))
    balance: dict[str, Any] = {
        "words": {"pool": words["words"].mean(), "kept": kept["words"].mean()},
        "classes": {},
        "warnings": [],
    }
    if closed:
        pool_shares, kept_shares = class_shares(words), class_shares(kept)
        balance["classes"] = {
            label: {"pool": share, "kept": kept_shares.get(label, 0.0)}
            for label, share in pool_shares.items()
        }
        missing = [label for label in pool_shares if label not in kept_shares]
        if missing:
            balance["warnings"].append(
                f"{arm.name} keeps no row of {', '.join(missing)}: it can never answer that"
            )
    return balance


def curve_rows(
    arms: Sequence[Arm], rows: Sequence[Mapping[str, Any]], findings: Findings, metric: str
) -> list[dict[str, Any]]:
    """Return the metric against the share kept, by rule, and the smallest share still as good.

    That share is the smallest from which on every larger one was found as good as everything, so
    that one lucky budget among bad ones is not taken for an answer.
    """
    by_name = {row["name"]: row for row in rows}
    full = next(by_name[arm.name] for arm in arms if arm.rule == FULL)
    held = {
        one["arm"]: one["decision"] in ("better", "as good")
        for one in findings.verdicts
        if one["against"] == FULL
    }
    curves = []
    for rule in dict.fromkeys(arm.rule for arm in arms if arm.rule != FULL):
        members = sorted((arm for arm in arms if arm.rule == rule), key=lambda arm: arm.keep)
        points = [
            {"keep": arm.keep, "rows": arm.rows, **by_name[arm.name]["metrics"][metric]}
            for arm in members
        ]
        smallest = None
        for arm in reversed(members):
            if not held.get(arm.name):
                break
            smallest = arm.keep
        last = {"keep": 1.0, "rows": full["rows"], **full["metrics"][metric]}
        curves.append({"rule": rule, "points": [*points, last], "smallest_as_good": smallest})
    return curves
