"""The results of a proof as one document, as `docs/results.md` describes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool.pool import Pool
from euds.proof.arms import FULL, RANDOM, Arm
from euds.proof.costs import ArmCost
from euds.proof.experiment import Run
from euds.proof.statistics import mean_of
from euds.proof.tasks import ProofTask
from euds.proof.verdict import Comparison, compare, sentence
from euds.scoring.score import SCORERS
from euds.scoring.scores import canonical_score, scorer_of

__all__ = [
    "NOT_LEARNT",
    "SCHEMA_VERSION",
    "Findings",
    "arm_rows",
    "curve_rows",
    "dependence_warnings",
    "described",
    "find",
    "is_entropy",
    "majority_points",
]

SCHEMA_VERSION = 1
NOT_LEARNT = "the task was not learnt"
"""How the warning begins that training on everything taught next to nothing."""

_BASELINES = ("words", "ge_nll")
_COARSE_POINTS = 5.0
_TASK_NOT_LEARNT_POINTS = 2.0
_DISTINCT_SHARE = 0.8
_FAR_POINTS = 5.0

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
    warnings = [
        *_learning_warnings(scores, full, task, test),
        *_failed_seeds(scores, task, test),
        *_power_warnings(comparisons),
        *dependence_warnings(test),
    ]
    return Findings(comparisons, verdicts, _headline(arms, verdicts), warnings)


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
    is_score = canonical_score(rule) not in _BASELINES and scorer_of(rule) in SCORERS
    return is_score or rule.startswith("igse")


def _headline(arms: Sequence[Arm], verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what to read first: where entropy lost, the bounds, whether anything beat random."""
    tested = [one for one in verdicts if one["rule"] != RANDOM]
    told = [one for one in tested if is_entropy(one["rule"])] or tested
    if len({arm.rows for arm in arms if arm.rule == RANDOM}) > 1:
        return [*_over_budgets(told), *_against_random(verdicts)]
    lost = [one["sentence"] for one in told if one["decision"] == "worse"]
    rest = [one["sentence"] for one in told if one["decision"] != "worse"]
    first, others = (lost, rest) if lost else (rest[:1], rest[1:])
    return [*first, *_against_random(verdicts), *others]


def _over_budgets(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one sentence a rule: where it lost and held, and one bound; most losses first."""
    told = []
    for rule in dict.fromkeys(one["rule"] for one in verdicts):
        mine = sorted((one for one in verdicts if one["rule"] == rule), key=lambda one: one["keep"])
        parts = [
            _budgets_where(mine, RANDOM, ("worse",), "worse than random"),
            _budgets_where(mine, FULL, ("worse",), "worse than full"),
            _budgets_where(mine, RANDOM, ("better",), "better than random"),
            _budgets_where(mine, FULL, ("better", "as good"), "as good as full"),
        ]
        held = [one for one in mine if one["against"] == FULL]
        good = [one for one in held if one["decision"] in ("better", "as good")]
        bound = (good or held[-1:])[0]["sentence"]
        lost = sum(one["decision"] == "worse" for one in mine)
        places = "; ".join(filter(None, parts)) or "nothing could be told at any budget"
        told.append((-lost, f"{rule}: {places}. {bound}."))
    return [line for _, line in sorted(told, key=lambda one: one[0])]


def _budgets_where(
    verdicts: Sequence[Mapping[str, Any]], against: str, decisions: Sequence[str], claim: str
) -> str:
    budgets = [
        f"{100 * one['keep']:.3g} %"
        for one in verdicts
        if one["against"] == against and one["decision"] in decisions
    ]
    return f"{claim} at {' and '.join(budgets)}" if budgets else ""


def _against_random(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    tested = [one for one in verdicts if one["against"] == RANDOM]
    if not tested or any(one["decision"] == "better" for one in tested):
        return []
    return [
        "No rule was shown to be better than a random subset of the same size, which costs nothing."
    ]


def _learning_warnings(scores: Scores, full: Arm, task: ProofTask, test: Pool) -> list[str]:
    majority = majority_points(task, test)
    reached = 100 * float(scores[full.name][task.metric].mean())
    # Near 100 there is no room for so many points.
    if reached > majority + min(_TASK_NOT_LEARNT_POINTS, (100 - majority) / 10):
        return []
    return [
        f"{NOT_LEARNT}: trained on everything the model reaches {reached:.1f} points, "
        f"and always giving the most frequent answer {majority:.1f}; differences between subsets "
        f"say nothing here"
    ]


def _failed_seeds(scores: Scores, task: ProofTask, test: Pool) -> list[str]:
    """Tell of seeds with which an arm learnt nothing, though with others it did."""
    majority = majority_points(task, test)
    warnings = []
    for name, by_metric in scores.items():
        points = 100 * by_metric[task.metric].mean(axis=1)
        failed = int((points <= majority).sum())
        if failed and np.median(points) > majority + _FAR_POINTS:
            warnings.append(
                f"{failed} of the {len(points)} trainings of {name} failed (no better than always "
                f"giving the most frequent answer): its mean and its intervals say little; a "
                f"fixed, smaller --learning-rate may help"
            )
    return warnings


def dependence_warnings(test: Pool) -> list[str]:
    """Return a warning where few contexts make the test rows depend on each other."""
    contexts = test.wording.read(columns=["context"])["context"].drop_nulls()
    if not len(contexts) or contexts.n_unique() > _DISTINCT_SHARE * len(contexts):
        return []
    return [
        f"the {len(contexts):,} test rows are about {contexts.n_unique():,} contexts only: rows "
        f"about one context are right or wrong together, so the intervals are too short"
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
    right = test.rows["label"].to_list()
    # Of equally frequent answers the first by name, whatever the order of the rows.
    answer = min(Counter(right).items(), key=lambda one: (-one[1], one[0]))[0]
    return 100 * float(task.metrics[task.metric]([answer] * len(right), right).mean())


def described(pool: Pool, taken_out: Mapping[str, int], task: ProofTask) -> dict[str, Any]:
    """Return what there is to know of a pool or a test set."""
    counts = dict(sorted(Counter(pool.rows["label"].to_list()).items()))
    return {
        "rows": len(pool),
        "fingerprint": pool.fingerprint,
        "taken_out": dict(taken_out),
        "classes": counts if task.kind == "class" else {},
    }


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
