import dataclasses
import json
import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from euds.errors import InputError, OptionError
from euds.proof.statistics import Variance, difference_of
from euds.proof.verdict import Comparison, Needed, compare, decide, sentence

ORDER = ["cannot tell", "as good", "better"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 2.0, "better"),
        (5.0, 6.0, "better"),
        (0.0, 2.0, "as good"),  # at least no loss is not yet a gain
        (-0.5, 2.0, "as good"),
        (-0.5, 0.0, "as good"),
        (-0.9, -0.1, "as good"),  # a loss, but a small one
        (-1.0, 0.5, "cannot tell"),  # the margin itself is a loss that counts
        (-1.0, 0.0, "cannot tell"),
        (-1.0, -0.1, "worse"),
        (-2.0, -0.1, "worse"),
        (-3.0, -2.0, "worse"),
        (-2.0, 0.0, "cannot tell"),
        (-2.0, 3.0, "cannot tell"),
    ],
)
def test_the_table(low, high, expected):
    assert decide(low, high, 1.0) == expected


@given(
    *[st.floats(-5, 5) for _ in range(2)],
    st.floats(0, 3),
    st.floats(0, 3),
)
def test_the_table_has_no_gaps_and_a_gain_never_hurts(one, other, margin, gain):
    low, high = sorted((one, other))
    decision = decide(low, high, margin)
    claims = {
        "better": low > 0,
        "as good": -margin < low <= 0,
        "worse": low <= -margin and low <= 0 and high < 0,
        "cannot tell": low <= -margin and low <= 0 and high >= 0,
    }
    assert [name for name, holds in claims.items() if holds] == [decision]
    rank = {"worse": 0, "cannot tell": 1, "as good": 2, "better": 3}
    assert rank[decide(low + gain, high + gain, margin)] >= rank[decision]
    assert decide(low, high, margin + gain) in (decision, "as good")


def answers(rng, *, seeds=5, items=200, accuracies=(0.9,)):
    """Return answers of arms that share how hard the rows are; right (1) or wrong (0)."""
    hard = rng.normal(0, 0.85, items)
    return [
        (hard + rng.normal(0, 0.53, (seeds, items)) < stats.norm.ppf(accuracy)).astype(float)
        for accuracy in accuracies
    ]


def test_a_comparison_in_points():
    arm, reference = answers(np.random.default_rng(1), accuracies=(0.88, 0.9))
    (found,) = compare({"igse": arm}, reference, against="full", margin_points=1)
    estimate = difference_of(arm, reference)
    low, high = estimate.interval()
    assert (found.arm, found.against) == ("igse", "full")
    assert found.difference_points == pytest.approx(100 * (arm.mean() - reference.mean()))
    assert (found.low_points, found.high_points) == pytest.approx((100 * low, 100 * high))
    assert found.variance.item == pytest.approx(1e4 * estimate.variance.item)
    assert found.smallest_detectable_points == pytest.approx(100 * estimate.smallest_detectable())
    assert found.p_better + found.p_worse == pytest.approx(1)
    # The level at which the interval ends at no gain, and at a loss of the margin.
    assert estimate.interval(1 - 2 * found.p_worse)[1] == pytest.approx(0, abs=1e-9)
    assert estimate.interval(1 - 2 * found.p_as_good)[0] == pytest.approx(-0.01, abs=1e-9)
    # One rule needs no correction.
    assert (found.p_better_holm, found.p_as_good_holm) == (found.p_better, found.p_as_good)
    assert 0 < found.mcnemar_p <= 1


def test_its_fields_are_those_of_the_document():
    document = Path(__file__).parents[2] / "docs" / "results.md"
    section = document.read_text(encoding="utf-8").split("## A comparison")[1].split("##")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {field.name for field in dataclasses.fields(Comparison)} == documented


def test_to_dict_is_plain_and_has_no_nan():
    rng = np.random.default_rng(2)
    for seeds, scale in product((1, 3), (1.0, 0.5)):
        one, other = answers(rng, seeds=seeds, accuracies=(0.9, 0.9))
        (found,) = compare({"ie": one * scale}, other * scale, against="full", margin_points=0.5)
        plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert plain["decision"] == "cannot tell"
        assert set(plain["needed"]) == {"seeds", "test_rows"}
        assert (plain["variance"]["seed"] is None) == (seeds == 1)
        assert (plain["mcnemar_p"] is None) == (scale == 0.5)


def test_mcnemar_uses_the_exact_metric_where_there_is_one():
    one, other, right, right_other = answers(np.random.default_rng(3), accuracies=(0.9,) * 4)
    (found,) = compare(
        {"ie": 0.3 + one / 2},
        0.3 + other / 2,
        against="full",
        margin_points=1,
        right={"ie": right},
        right_reference=right_other,
    )
    (plain,) = compare({"ie": right}, right_other, against="full", margin_points=1)
    assert found.mcnemar_p == plain.mcnemar_p
    assert found.difference_points == pytest.approx(50 * (one.mean() - other.mean()))


def test_equal_arms_are_as_good_with_enough_rows_only():
    many, few = np.ones((3, 5000)), np.ones((3, 50))
    (found,) = compare({"ie": many}, many, against="full", margin_points=0.5)
    assert (found.decision, found.mcnemar_p, found.needed) == ("as good", 1, None)
    (found,) = compare({"ie": few}, few, against="full", margin_points=0.5)
    assert found.decision == "cannot tell"
    assert found.needed.seeds is None
    assert 100 < found.needed.test_rows < 1000


def shifted(difference, *, items=200, sd=0.1):
    """Return an arm and a reference with that mean difference exactly, and rows of that sd."""
    rows = np.resize([sd, -sd], items)
    return (0.5 + difference + rows)[None], np.full((1, items), 0.5)


def test_holm_takes_claims_back():
    # The standard error is .00709, and t with 199 degrees: alone, 2.2 errors above 0 are a gain.
    error = 0.1 / math.sqrt(199)
    reference = shifted(0)[1]
    alone = compare(
        {"ge": shifted(2.2 * error)[0]}, reference, against="random", margin_points=0.01
    )
    assert [one.decision for one in alone] == ["better"]
    family = {"ge": shifted(2.2 * error)[0], "se": shifted(-2.2 * error)[0], "ie": reference}
    for margin, expected in ((0.01, "cannot tell"), (1.0, "as good")):
        first, second, third = compare(family, reference, against="random", margin_points=margin)
        assert first.decision == expected
        assert first.low_points > 0
        assert second.decision == "cannot tell"
        assert second.high_points < 0
        assert third.decision == "cannot tell"
        assert first.p_better_holm == pytest.approx(3 * first.p_better)
        assert second.p_worse_holm == pytest.approx(3 * second.p_worse)
    strong = family | {"se": shifted(4 * error)[0], "ie": shifted(3 * error)[0]}
    decisions = [
        one.decision for one in compare(strong, reference, against="random", margin_points=1)
    ]
    assert decisions == ["better"] * 3  # Holm, not Bonferroni: the others are out of the way
    weak = {name: shifted(-4 * error)[0] for name in family}
    found = compare(weak, reference, against="random", margin_points=1)
    assert [one.decision for one in found] == ["worse"] * 3


def test_a_decision_is_what_the_corrected_p_values_allow():
    rng = np.random.default_rng(4)
    for _ in range(30):
        reference, *rest = answers(rng, accuracies=(0.9, 0.9, 0.92, 0.88), items=400)
        rules = dict(zip(("ie", "ge", "se"), rest, strict=True))
        for one in compare(rules, reference, against="full", margin_points=2.0):
            alone = decide(one.low_points, one.high_points, 2.0)
            if one.decision == "better":
                assert one.p_better_holm < 0.025
            if one.decision == "as good":
                assert one.p_as_good_holm < 0.025
                assert alone == "as good" or one.p_better_holm >= 0.025
            if one.decision == "worse":
                assert one.p_worse_holm < 0.025
                assert alone == "worse"
            if one.decision in ORDER and alone in ORDER:
                assert ORDER.index(one.decision) <= ORDER.index(alone)


@pytest.mark.parametrize("difference", [-0.02, -0.006, -0.004, 0.0, 0.004])
def test_what_is_needed_would_decide(difference):
    arm, reference = shifted(difference, items=40)
    (found,) = compare({"ie": arm}, reference, against="full", margin_points=1)
    assert found.decision == "cannot tell"
    assert found.needed.seeds is None
    for items, tells in ((found.needed.test_rows + 2, True), (found.needed.test_rows - 3, False)):
        # An even number keeps the mean; the variance of n - 1 rows is only about the same.
        arm, reference = shifted(difference, items=items + items % 2, sd=0.1 * math.sqrt(40 / 39))
        (again,) = compare({"ie": arm}, reference, against="full", margin_points=1)
        assert (again.decision != "cannot tell") == tells
        if tells:
            assert again.decision == ("worse" if difference < -0.005 else "as good")


def test_several_rules_need_more():
    arm, reference = shifted(-0.002, items=40)
    (alone,) = compare({"ie": arm}, reference, against="full", margin_points=1)
    together = compare(
        dict.fromkeys(["ie", "ge", "se"], arm), reference, against="full", margin_points=1
    )
    assert together[0].needed.test_rows > 1.3 * alone.needed.test_rows


def test_what_makes_no_sense_is_refused():
    one = np.ones((2, 3))
    for margin in (-1, math.nan, math.inf):
        with pytest.raises(OptionError, match="margin"):
            compare({"ie": one}, one, against="full", margin_points=margin)
    with pytest.raises(OptionError, match="confidence"):
        compare({"ie": one}, one, against="full", margin_points=1, confidence=95)
    with pytest.raises(InputError, match="not those of the rules"):
        compare({"ie": one}, one, against="full", margin_points=1, right={"ge": one})
    assert compare({}, one, against="full", margin_points=1) == []


PROOFS = 1000


@pytest.mark.parametrize("rules", [1, 3])
def test_an_arm_that_is_random_in_disguise_is_seldom_called_better(rules):
    rng = np.random.default_rng(rules)
    better = worse = 0
    for _ in range(PROOFS):
        # Not quite 0 or 1, so that no time goes into votes; nor into what is needed to tell.
        reference, *rest = 0.99 * np.array(answers(rng, items=100, accuracies=[0.9] * (1 + rules)))
        family = {f"rule {index}": arm for index, arm in enumerate(rest)}
        found = compare(family, reference, against="random", margin_points=100)
        better += any(one.decision == "better" for one in found)
        worse += any(one.p_worse_holm < 0.025 for one in found)
    # Any rule of the family: at most 2.5 %, in one test of a thousand by chance more than this.
    most = stats.binom.ppf(0.999, PROOFS, 0.025)
    assert better <= most
    assert worse <= most
    assert better + worse > 0  # the test could fail


def test_an_arm_that_loses_the_margin_is_seldom_called_as_good():
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(PROOFS):
        arm, reference = answers(rng, items=100, accuracies=(0.89, 0.9))
        low, high = difference_of(arm, reference).interval()
        wrong += decide(low, high, 0.01) in ("as good", "better")
    assert wrong <= stats.binom.ppf(0.999, PROOFS, 0.025)


def comparison(low, high, decision, *, against="full", needed=None, seed=1.0):
    return Comparison(
        arm="igse@16%",
        against=against,
        difference_points=(low + high) / 2,
        low_points=low,
        high_points=high,
        smallest_detectable_points=1.4,
        p_better=0.5,
        p_worse=0.5,
        p_as_good=0.5,
        p_better_holm=0.5,
        p_worse_holm=0.5,
        p_as_good_holm=0.5,
        decision=decision,
        needed=needed,
        mcnemar_p=0.5,
        variance=Variance(seed, 1.0, 1.0),
    )


AGAINST = st.sampled_from(["full", "random"])
BEFORE = "not borne out when corrected for several rules"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            comparison(0.4, 2.0, "better"),
            "igse at 16 % gains at least 0.4 points over full (95 %): better",
        ),
        (
            comparison(0.01, 2.0, "better", against="random"),
            "igse at 16 % gains more than 0.0 points over random (95 %): better",
        ),
        (
            comparison(-0.84, 0.4, "as good"),
            "igse at 16 % loses at most 0.8 points against full (95 %): as good within 1 point",
        ),
        (
            comparison(-0.01, 0.4, "as good", against="random"),
            "igse at 16 % loses at most 0.0 points against random (95 %): as good within 1 point",
        ),
        (
            comparison(-0.84, -0.2, "as good"),
            "igse at 16 % loses between 0.2 and 0.8 points against full (95 %): "
            "as good within 1 point",
        ),
        (
            comparison(0.2, 0.9, "as good"),
            f"igse at 16 % gains at least 0.2 points over full (95 %), {BEFORE}: "
            "as good within 1 point",
        ),
        (
            comparison(-2.41, -0.04, "worse", against="random"),
            "igse at 16 % loses between 0.0 and 2.4 points against random (95 %): worse",
        ),
        (
            comparison(-2.1, 0.7, "cannot tell", needed=Needed(14, 8_911)),
            "igse at 16 % is between 2.1 points worse and 0.7 points better than full (95 %): "
            "cannot tell whether it is as good within 1 point; "
            "about 14 seeds or 9,000 test rows would probably tell",
        ),
        (
            comparison(-2.1, 0.7, "cannot tell", needed=Needed(None, 101), seed=math.nan),
            "igse at 16 % is between 2.1 points worse and 0.7 points better than full (95 %): "
            "cannot tell whether it is as good within 1 point; "
            "about 110 test rows would probably tell; "
            "of one seed, so the luck of the seed is not in it",
        ),
        (
            comparison(-2.1, -0.1, "cannot tell", needed=Needed(None, None)),
            f"igse at 16 % is between 0.1 and 2.1 points worse than full (95 %), {BEFORE}: "
            "cannot tell whether it is as good within 1 point; "
            "neither more seeds nor more test rows alone would tell",
        ),
        (
            comparison(0.1, 2.1, "cannot tell", needed=Needed(6, None)),
            f"igse at 16 % is between 0.1 and 2.1 points better than full (95 %), {BEFORE}: "
            "cannot tell whether it is as good within 1 point; about 6 seeds would probably tell",
        ),
    ],
)
def test_the_verdict_in_words(found, expected):
    assert sentence(found, "igse", keep=0.16, margin_points=1) == expected


def test_the_words_follow_margin_share_and_confidence():
    words = sentence(
        comparison(-0.3, 0.2, "as good"), "ie", keep=1 / 3, margin_points=0.5, confidence=0.9
    )
    expected = (
        "ie at 33.3 % loses at most 0.3 points against full (90 %): as good within 0.5 points"
    )
    assert words == expected


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-9, 9),
    st.floats(-9, 9),
    st.floats(0, 3, width=16),
    st.sampled_from(["full", "random"]),
)
def test_no_sentence_has_a_negative_number(one, other, margin, against):
    low, high = sorted((one, other))
    decision = decide(low, high, margin)
    words = sentence(
        comparison(low, high, decision, against=against), "ie", keep=0.3, margin_points=margin
    )
    assert not re.search(r"[ (]-", words)
    assert f"{against} (95 %): " in words
    assert words.split(": ")[1].startswith(decision)
