"""The verdict: each rule against a reference, decided, corrected for several rules, and in words.

===============  =======================================
decision         when the interval of the difference
===============  =======================================
``better``       lies above 0
``as good``      lies above minus the margin
``worse``        lies below 0, but not above minus the margin
``cannot tell``  does none of these
===============  =======================================

Each claim is a one-sided test: that there is no gain, a loss of the margin or more, or no loss.
Where several rules are compared with one reference, each of the three is corrected by Holm over the
rules. A claim that does not survive gives way to the weaker one (``better`` to ``as good``), then
to ``cannot tell``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from euds.errors import InputError, OptionError
from euds.proof.statistics import Estimate, Variance, difference_of, holm, mcnemar

__all__ = ["Comparison", "Decision", "Needed", "compare", "decide", "sentence"]

Decision = Literal["better", "as good", "worse", "cannot tell"]

_GIVES_WAY: Mapping[Decision, Decision] = {
    "better": "as good",
    "as good": "cannot tell",
    "worse": "cannot tell",
}


@dataclass(frozen=True)
class Needed:
    """What would probably be enough to tell, each alone; None where no number would.

    Parameters
    ----------
    seeds : int or None
        Seeds, with the test rows as they are.
    test_rows : int or None
        Test rows, with the seeds as they are.
    """

    seeds: int | None
    test_rows: int | None


@dataclass(frozen=True)
class Comparison:
    """One rule against a reference; the fields are described in ``docs/results.md``.

    Differences are in points (hundredths), `variance` in points squared.
    """

    arm: str
    against: str
    difference_points: float
    low_points: float
    high_points: float
    smallest_detectable_points: float
    p_better: float
    p_worse: float
    p_as_good: float
    p_better_holm: float
    p_worse_holm: float
    p_as_good_holm: float
    decision: Decision
    needed: Needed | None
    mcnemar_p: float
    variance: Variance

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into ``results.json``: plain values, None where there is no number."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def decide(low: float, high: float, margin: float) -> Decision:
    """Return what an interval of a difference says.

    Parameters
    ----------
    low, high : float
        The ends of the interval.
    margin : float
        The loss, as a positive number in the same unit, from which on it counts.

    >>> decide(-0.6, 0.9, 1.0)
    'as good'
    """
    if low > 0:
        return "better"
    if low > -margin:
        return "as good"
    return "worse" if high < 0 else "cannot tell"


def compare(
    rules: Mapping[str, ArrayLike],
    reference: ArrayLike,
    *,
    against: str,
    margin_points: float,
    confidence: float = 0.95,
    right: Mapping[str, ArrayLike] | None = None,
    right_reference: ArrayLike | None = None,
) -> list[Comparison]:
    """Compare each rule with one reference; the rules are one family for Holm's correction.

    Parameters
    ----------
    rules : mapping of str to array_like, shape (seeds, items)
        By the name of the arm its scores in [0, 1], one row a seed, one column a test row.
    reference : array_like, shape (seeds, items)
        The scores of what they are compared with; seeds paired, test rows the same.
    against : str
        Its name, ``full`` or ``random``.
    margin_points : float
        The loss in points from which on it counts, 0 or more.
    confidence : float
        Of the two-sided intervals. A claim, being one-sided, may be wrong in half of the rest.
    right, right_reference : optional
        The same for the metric that is 0 or 1 a row, for McNemar's test. Without them the scores
        themselves are used if they are all 0 or 1; else there is no such test.

    Returns
    -------
    list of Comparison
        In the order of ``rules``.

    Raises
    ------
    InputError
        If scores are not in [0, 1] or not of one shape.
    OptionError
        If the margin or the confidence makes no sense.
    MissingExtraError
        If statsmodels is not installed.
    """
    if not 0 <= margin_points < math.inf:
        raise OptionError("a margin makes no sense", got=f"{margin_points}", expected="0 or more")
    if not 0 < confidence < 1:
        raise OptionError("a confidence makes no sense", got=f"{confidence}", expected="0 to 1")
    if right is None:
        right, right_reference = rules, reference
    if right_reference is None or set(right) != set(rules):
        raise InputError(
            "right and wrong answers are not those of the rules compared",
            got=", ".join(right),
            expected=f"{', '.join(rules)}, and the reference",
        )
    margin = margin_points / 100
    estimates = {arm: difference_of(scores, reference) for arm, scores in rules.items()}
    p_values: dict[Decision, list[float]] = {
        "better": [one.p_greater(0) for one in estimates.values()],
        "as good": [one.p_greater(-margin) for one in estimates.values()],
        "worse": [one.p_less(0) for one in estimates.values()],
    }
    corrected = {claim: holm(family) for claim, family in p_values.items()}
    # Bonferroni for what is needed: Holm's level would depend on other rules' future p-values.
    strict = 1 - (1 - confidence) / max(len(rules), 1)
    comparisons = []
    for index, (arm, one) in enumerate(estimates.items()):
        p = {claim: family[index] for claim, family in p_values.items()}
        p_holm = {claim: family[index] for claim, family in corrected.items()}
        low, high = one.interval(confidence)
        decision = _surviving(decide(low, high, margin), p_holm, level=(1 - confidence) / 2)
        comparisons.append(
            Comparison(
                arm=arm,
                against=against,
                difference_points=100 * one.mean,
                low_points=100 * low,
                high_points=100 * high,
                smallest_detectable_points=100 * one.smallest_detectable(confidence),
                p_better=p["better"],
                p_worse=p["worse"],
                p_as_good=p["as good"],
                p_better_holm=p_holm["better"],
                p_worse_holm=p_holm["worse"],
                p_as_good_holm=p_holm["as good"],
                decision=decision,
                needed=_needed(one, margin, strict) if decision == "cannot tell" else None,
                mcnemar_p=_mcnemar_or_nan(right[arm], right_reference),
                variance=_in_points(one.variance),
            )
        )
    return comparisons


def sentence(
    comparison: Comparison,
    rule: str,
    *,
    keep: float,
    margin_points: float,
    confidence: float = 0.95,
) -> str:
    """Return the verdict in words, the bound first.

    Parameters
    ----------
    comparison : Comparison
        What was found.
    rule : str
        The rule's name.
    keep : float
        The share of the pool that it kept.
    margin_points, confidence : float
        As given to `compare`.
    """
    found = comparison
    low, high = found.low_points, found.high_points
    # Only Holm's correction makes the decision differ from what the shown interval says.
    alone = decide(low, high, margin_points) == found.decision
    corrected = "" if alone else ", not borne out when corrected for several rules"
    sure = f"({100 * confidence:g} %){corrected}"
    against, name = found.against, f"{rule} at {100 * keep:.3g} %"
    within = f"as good within {margin_points:g} {_points(margin_points)}"
    if found.decision == "better":
        text = f"{name} gains {_at_least(low)} over {against} {sure}: better"
    elif found.decision == "worse":
        loss = f"between {_size(high)} and {_size(low)} points"
        text = f"{name} loses {loss} against {against} {sure}: worse"
    elif found.decision == "as good":
        text = f"{name} {_bound(low, high, against)} {sure}: {within}"
    else:
        text = (
            f"{name} is {_between(low, high, against)} {sure}: "
            f"cannot tell whether it is {within}{_would_tell(found.needed)}"
        )
    if math.isnan(found.variance.seed):
        text += "; of one seed, so the luck of the seed is not in it"
    return text


def _surviving(
    decision: Decision, corrected: Mapping[Decision, float], *, level: float
) -> Decision:
    while decision != "cannot tell" and not corrected[decision] < level:
        decision = _GIVES_WAY[decision]
    return decision


def _needed(one: Estimate, margin: float, confidence: float) -> Needed:
    """Return what it takes until the interval, shrinking about the same difference, decides.

    It decides as soon as it ends short of minus the margin on one side or of 0 on the other,
    whichever lies farther: ``as good``, or ``worse`` for losses of more than half the margin.
    """
    half_width = max(one.mean + margin, -one.mean)
    return Needed(
        seeds=one.needed_seeds(half_width, confidence=confidence),
        test_rows=one.needed_rows(half_width, confidence=confidence),
    )


def _mcnemar_or_nan(right: ArrayLike, reference: ArrayLike) -> float:
    both = np.stack([right, reference])
    return mcnemar(right, reference) if np.isin(both, (0, 1)).all() else math.nan


def _in_points(variance: Variance) -> Variance:
    return Variance(*(1e4 * part for part in asdict(variance).values()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _points(number: float) -> str:
    return "point" if number == 1 else "points"


def _size(points: float) -> str:
    return f"{abs(points):.1f}"


def _at_least(points: float) -> str:
    """Return a gain's lower bound; one that rounds to nothing is still more than nothing."""
    size = _size(points)
    return f"more than {size} points" if size == "0.0" else f"at least {size} points"


def _bound(low: float, high: float, against: str) -> str:
    if low > 0:  # a gain that did not survive the correction
        return f"gains {_at_least(low)} over {against}"
    if high < 0:
        return f"loses between {_size(high)} and {_size(low)} points against {against}"
    return f"loses at most {_size(low)} points against {against}"


def _between(low: float, high: float, against: str) -> str:
    if low > 0:
        return f"between {_size(low)} and {_size(high)} points better than {against}"
    if high < 0:
        return f"between {_size(high)} and {_size(low)} points worse than {against}"
    return f"between {_size(low)} points worse and {_size(high)} points better than {against}"


def _would_tell(needed: Needed | None) -> str:
    if needed is None:
        return ""
    ways = [
        f"{_rounded_up(number):,} {unit}"
        for number, unit in ((needed.seeds, "seeds"), (needed.test_rows, "test rows"))
        if number is not None
    ]
    if not ways:
        return "; neither more seeds nor more test rows alone would tell"
    return f"; about {' or '.join(ways)} would probably tell"


def _rounded_up(number: int) -> int:
    """Return the number with two digits that count, never fewer than needed."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return -(-number // unit) * unit
