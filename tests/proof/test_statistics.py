import dataclasses
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import SquareTable
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from euds.errors import InputError, MissingExtraError
from euds.proof.statistics import (
    Estimate,
    MeanSquares,
    Variance,
    difference_of,
    holm,
    mcnemar,
    mean_of,
)

unhurried = settings(max_examples=40, deadline=None)  # a busy machine is no failure


def scores(seeds=5, items=200, *, seed=0, seed_sd=0.03, item_sd=0.1, noise=0.1):
    """Return two arms with real scores in [0, 1] and all three components of variance."""
    rng = np.random.default_rng(seed)

    def arm():
        parts = (
            rng.normal(0.5, seed_sd, (seeds, 1))
            + rng.normal(0, item_sd, items)
            + rng.normal(0, noise, (seeds, items))
        )
        return np.clip(parts, 0, 1)

    return arm(), arm()


def long_table(matrix):
    import pandas

    seeds, items = matrix.shape
    return pandas.DataFrame(
        {
            "score": matrix.ravel(),
            "seed": np.repeat(np.arange(seeds), items),
            "item": np.tile(np.arange(items), seeds),
        }
    )


def test_a_case_by_hand():
    # Two seeds, two rows: means of seeds .5 and .75, of rows .75 and .5, of all .625.
    found = mean_of([[0.5, 0.5], [1.0, 0.5]])
    assert found.mean == 0.625
    # MS_seed = 2 * 2 * .125**2 = MS_item = MS_residual = 4 * .125**2 = .0625
    assert found.variance == Variance(seed=0, item=0, residual=0.0625)
    # The residual alone would be .125; without any variance seen, sqrt(2) / (2 + 2) is the least.
    assert found.standard_error == pytest.approx(math.sqrt(2) / 4)


def test_rows_and_seeds_that_cancel_leave_the_residual():
    # All means are 1/2; the residuals are 1/2 each, of 1 * 399 degrees of freedom.
    found = mean_of(np.tile([[1.0, 0.0], [0.0, 1.0]], 200))
    assert found.standard_error == pytest.approx(math.sqrt(800 / 4 / 399 / 800))
    assert found.half_width() == pytest.approx(stats.t.ppf(0.975, 399) * found.standard_error)


def test_mean_squares_are_those_of_an_analysis_of_variance():
    one, other = scores(4, 40, seed_sd=0.1, item_sd=0.2, noise=0.2)
    found = difference_of(one, other)
    table = anova_lm(ols("score ~ C(seed) + C(item)", data=long_table(one - other)).fit())
    seed, item, residual = table["mean_sq"]
    assert found.variance.residual == pytest.approx(residual)
    assert found.variance.seed == pytest.approx(max(seed - residual, 0) / 40)
    assert found.variance.item == pytest.approx(max(item - residual, 0) / 4)
    assert seed > residual
    assert item > residual
    assert found.standard_error == pytest.approx(math.sqrt((seed + item - residual) / 160))
    of_seeds, of_items = stats.t.ppf(0.95, 3), stats.t.ppf(0.95, 39)
    squared = of_seeds**2 * seed + of_items**2 * (item - residual)
    assert found.half_width(0.9) == pytest.approx(math.sqrt(squared / 160))


def test_the_components_that_were_put_in_come_out():
    rng = np.random.default_rng(3)
    parts = (
        rng.normal(0, 0.05, (300, 1)) + rng.normal(0, 0.1, 400) + rng.normal(0, 0.02, (300, 400))
    )
    found = mean_of(np.clip(0.5 + parts, 0, 1)).variance
    assert math.sqrt(found.seed) == pytest.approx(0.05, rel=0.15)
    assert math.sqrt(found.item) == pytest.approx(0.1, rel=0.15)
    assert math.sqrt(found.residual) == pytest.approx(0.02, rel=0.02)


def test_rows_that_do_not_differ_give_the_paired_t_test_over_seeds():
    rng = np.random.default_rng(1)
    one, other = rng.uniform(0.3, 0.7, (2, 5))
    found = difference_of(np.tile(one[:, None], 300), np.tile(other[:, None], 300))
    expected = stats.ttest_rel(one, other)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert 2 * min(found.p_greater(0), found.p_less(0)) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seeds", [1, 4])
def test_equal_answers_under_all_seeds_give_the_t_test_over_rows(seeds):
    one, other = scores(1, 40)
    found = difference_of(np.tile(one, (seeds, 1)), np.tile(other, (seeds, 1)))
    expected = stats.ttest_1samp((one - other)[0], 0.01)
    shifted = expected.confidence_interval(0.9)
    assert found.interval(0.9) == pytest.approx(tuple(shifted))
    greater = stats.ttest_1samp((one - other)[0], 0.01, alternative="greater").pvalue
    assert found.p_greater(0.01) == pytest.approx(greater)
    assert found.p_less(0.01) == pytest.approx(1 - greater)
    assert found.includes_seeds == (seeds > 1)


def test_one_seed_says_that_it_knows_nothing_of_others():
    found = difference_of(*scores(1, 50))
    assert not found.includes_seeds
    assert math.isnan(found.variance.seed)
    assert math.isnan(found.variance.residual)
    assert found.needed_seeds(0.001) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1), (2, 2), (5, 300)])
def test_no_variance_at_all_is_not_certainty(shape):
    found = difference_of(np.ones(shape), np.ones(shape))
    assert found.mean == 0
    assert found.standard_error == pytest.approx(math.sqrt(2) / (shape[1] + 2))
    assert 0 < found.half_width() < math.inf
    assert math.isfinite(found.smallest_detectable())


def test_an_interval_stays_within_what_a_mean_can_be():
    assert mean_of(np.ones((2, 3))).interval()[1] == 1
    assert mean_of(np.zeros((2, 3))).interval()[0] == 0
    low, high = difference_of(np.ones((1, 2)), np.zeros((1, 2))).interval()
    assert (low < 1, high) == (True, 1)
    low, high = difference_of(np.zeros((1, 2)), np.ones((1, 2))).interval()
    assert (low, high > -1) == (-1, True)


@unhurried
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(2, 5), st.integers(2, 12)),
        elements=st.floats(0, 1, width=16),
    )
)
def test_the_error_is_never_less_than_rows_or_residual_alone_imply(matrix):
    seeds, items = matrix.shape
    found = mean_of(matrix)
    over_rows = matrix.mean(axis=0).std(ddof=1) / math.sqrt(items)
    over_seeds = matrix.mean(axis=1).std(ddof=1) / math.sqrt(seeds)
    residual = math.sqrt(found.variance.residual / (seeds * items))
    assert found.standard_error >= max(over_rows, over_seeds, residual) * (1 - 1e-9)
    # And the interval is at least as long as the t intervals of either.
    reach = stats.t.ppf(0.975, (seeds - 1, items - 1)) * (over_seeds, over_rows)
    assert found.half_width() >= max(reach) * (1 - 1e-9)


@unhurried
@given(
    arrays(
        np.float64,
        st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 8)),
        elements=st.floats(0, 1, width=16),
    )
)
def test_swapping_the_arms_flips_everything(pair):
    there, back = difference_of(*pair), difference_of(*pair[::-1])
    assert there.interval() == pytest.approx(tuple(-x for x in reversed(back.interval())))
    assert there.p_greater(0.1) == pytest.approx(back.p_less(-0.1))
    assert there.standard_error == pytest.approx(back.standard_error)


@unhurried
@given(st.floats(-0.15, 0.15))
def test_a_constant_shifts_the_interval(constant):
    one, other = scores(3, 50, seed=8, seed_sd=0.02, item_sd=0.05, noise=0.05)
    before, after = difference_of(one, other), difference_of(one + constant, other)
    assert after.mean == pytest.approx(before.mean + constant)
    assert after.half_width() == pytest.approx(before.half_width())
    assert after.p_greater(constant) == pytest.approx(before.p_greater(0))


@unhurried
@given(st.permutations(range(4)), st.permutations(range(15)))
def test_the_order_of_seeds_and_rows_does_not_matter(seed_order, item_order):
    one, other = scores(4, 15)
    place = np.ix_(seed_order, item_order)
    assert difference_of(one[place], other[place]).interval() == pytest.approx(
        difference_of(one, other).interval()
    )


@unhurried
@given(st.floats(0.5, 0.999), st.floats(-0.02, 0.02))
def test_interval_and_p_values_say_the_same(confidence, value):
    found = difference_of(*scores(3, 30))
    low, high = found.interval(confidence)
    level = (1 - confidence) / 2
    assert found.p_greater(low) == pytest.approx(level)
    assert found.p_less(high) == pytest.approx(level)
    assert found.p_greater(value) + found.p_less(value) == pytest.approx(1)


@pytest.mark.parametrize(("seed_sd", "item_sd", "degrees"), [(0.05, 0, 5), (0, 0.2, 199)])
def test_the_smallest_detectable_difference_has_the_power_it_should(seed_sd, item_sd, degrees):
    one, other = scores(6, 200, seed_sd=seed_sd, item_sd=item_sd, noise=0)
    found = difference_of(one, other)
    # An effect size is in standard deviations; statsmodels divides by sqrt(1 / observations).
    size = found.smallest_detectable() / found.standard_error / math.sqrt(degrees + 1)
    power = TTestPower().power(size, degrees + 1, 0.05)
    assert power == pytest.approx(0.8, abs=0.01)
    assert found.smallest_detectable(power=0.9) > found.smallest_detectable()
    assert found.smallest_detectable(0.99) > found.smallest_detectable()


def test_the_needed_numbers_are_enough_and_one_less_is_not():
    # Components 1e-4, .02, .05 of seeds, rows and residual.
    parts = MeanSquares(seed=0.07, item=0.13, residual=0.05, seeds=4, items=200)
    found = Estimate(0.0, parts, -1.0)
    assert dataclasses.astuple(found.variance) == pytest.approx((1e-4, 0.02, 0.05))

    def half_width(seeds, items):
        squared = stats.t.ppf(0.975, seeds - 1) ** 2 * (1e-4 / seeds + 0.05 / seeds / items)
        return math.sqrt(squared + stats.t.ppf(0.975, items - 1) ** 2 * 0.02 / items)

    assert found.half_width() == pytest.approx(half_width(4, 200))
    for wanted in (0.024, 0.022):
        needed = found.needed_seeds(wanted)
        assert half_width(needed, 200) <= wanted < half_width(needed - 1, 200)
    for wanted in (0.024, 0.02):
        needed = found.needed_rows(wanted)
        assert half_width(4, needed) <= wanted < half_width(4, needed - 1)
    # Rows alone leave 1.97 * sqrt(.02 / 200) = .0197, seeds alone 3.18 * sqrt(1e-4 / 4) = .0159.
    assert found.needed_seeds(0.0197) is None
    assert found.needed_rows(0.0159) is None


def test_the_needed_numbers_hold_when_they_are_tried():
    # Rows or seeds four times over have the same components where little is residual.
    one, other = scores(40, 400, seed_sd=0.01, item_sd=0.1, noise=0.02)
    found = difference_of(one, other)
    more_rows = difference_of(np.tile(one, (1, 4)), np.tile(other, (1, 4)))
    assert found.needed_rows(more_rows.half_width()) == pytest.approx(1600, rel=0.03)
    assert found.needed_rows(found.half_width() * 1.01) == 400
    one, other = scores(40, 400, seed_sd=0.1, item_sd=0.01, noise=0.1)
    found = difference_of(one, other)
    more_seeds = difference_of(np.tile(one, (4, 1)), np.tile(other, (4, 1)))
    assert found.needed_seeds(more_seeds.half_width()) == pytest.approx(160, rel=0.03)
    assert found.needed_seeds(found.half_width() * 1.01) == 40


def test_without_seed_variance_rows_suffice_and_seeds_do_not():
    one, other = scores(1, 100)
    found = difference_of(np.tile(one, (3, 1)), np.tile(other, (3, 1)))
    assert found.needed_seeds(found.half_width() / 2) is None
    sd = (one - other).std(ddof=1)
    needed = found.needed_rows(found.half_width() / 2)
    wanted = found.half_width() / 2
    enough = [
        stats.t.ppf(0.975, items - 1) * sd / math.sqrt(items) <= wanted
        for items in (needed - 1, needed)
    ]
    assert enough == [False, True]


def test_holm_by_hand():
    # Sorted .01 * 4, .02 * 3, .03 * 2, .04 * 1, never falling, never above 1.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_holm_is_that_of_statsmodels():
    for values in np.random.default_rng(0).random((3, 7)) ** 3:
        values[3] = values[5]  # a tie
        np.testing.assert_allclose(holm(values), multipletests(values, method="holm")[1])


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
def test_mcnemar_counts_votes(seeds):
    rng = np.random.default_rng(seeds)
    one = (rng.random((seeds, 80)) < 0.8).astype(int)
    other = (rng.random((seeds, 80)) < 0.7).astype(int)
    table = np.zeros((2, 2))
    for mine, yours in zip(one.T, other.T, strict=True):
        sums = [2 * sum(mine.tolist()) - seeds, 2 * sum(yours.tolist()) - seeds]
        if 0 not in sums:
            table[int(sums[0] < 0), int(sums[1] < 0)] += 1
    only_mine, only_yours = int(table[0, 1]), int(table[1, 0])
    assert only_mine + only_yours > 0
    expected = stats.binomtest(only_mine, only_mine + only_yours, 0.5).pvalue
    assert mcnemar(one, other) == pytest.approx(expected)
    # The test of symmetry is the same one without the exact distribution.
    assert SquareTable(table, shift_zeros=False).symmetry().pvalue == pytest.approx(
        expected, abs=0.35
    )


def test_mcnemar_without_a_vote_that_differs():
    assert mcnemar([[1, 0, 1]], [[1, 0, 1]]) == 1
    assert mcnemar([[1, 0], [0, 1]], [[1, 1], [1, 1]]) == 1  # all tied


def test_mcnemar_refuses_scores_between():
    with pytest.raises(InputError, match="right or wrong"):
        mcnemar([[0.5, 1]], [[0, 1]])


@pytest.mark.parametrize("wrong", [[0.5], [], [[]], [[1.1]], [[-0.1]], [[math.nan, 0.5]], 0.5])
def test_scores_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match=r"not a matrix|out of range"):
        mean_of(wrong)


def test_arms_that_are_not_paired_are_refused():
    with pytest.raises(InputError, match="not paired"):
        difference_of(np.ones((2, 3)), np.ones((3, 2)))


def test_a_missing_statsmodels_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.stats.contingency_tables", None)
    with pytest.raises(MissingExtraError, match="statsmodels"):
        mcnemar([[1, 0]], [[0, 1]])


@pytest.mark.parametrize(("seeds", "items"), [(3, 200), (5, 200), (5, 1000), (10, 200)])
@pytest.mark.parametrize("seed_sd", [0.0, 0.02])
def test_intervals_hold_the_truth_about_as_often_as_they_say(seeds, items, seed_sd):
    number = 400
    rng = np.random.default_rng((seeds, items, int(seed_sd * 100)))
    held = 0
    for _ in range(number):
        effect = rng.normal(0, 0.1, items) + rng.normal(0, seed_sd, (seeds, 1))
        one = 0.5 + effect + rng.uniform(-0.2, 0.2, (seeds, items))
        low, high = difference_of(np.clip(one, 0, 1), np.full(one.shape, 0.5)).interval()
        held += low <= 0 <= high
    assert held >= stats.binom.ppf(0.001, number, 0.95)
