"""Ranks: hand-computed cases, and freedom from length on data made to depend on it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from euds.selection.rules.ranks import (
    length_free_ranks,
    mid_ranks,
    spearman,
    spearman_with,
    tied_share,
)

NAN = float("nan")


def test_mid_ranks_share_ties_and_skip_missing():
    # Four values there: 1 -> (1 - .5) / 4; the two 2s share ranks 2 and 3 -> (2.5 - .5) / 4.
    ranks = mid_ranks(np.array([2.0, NAN, 1.0, 2.0, 9.0]))
    assert ranks[[0, 2, 3, 4]].tolist() == [0.5, 0.125, 0.5, 0.875]
    assert np.isnan(ranks[1])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.randoms())
def test_mid_ranks_do_not_depend_on_order(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    array = np.array(values)
    assert np.array_equal(mid_ranks(array)[order], mid_ranks(array[order]))


def _scores_that_depend_on_length(seed: int, rows: int = 4000):
    """Location grows with log-length and spread falls with it, like the entropies of texts."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.uniform(np.log(5), np.log(128), rows)).round()
    scores = 2 * np.log(lengths) + rng.normal(size=rows) * 3 / np.sqrt(lengths)
    return scores, lengths


def test_ranks_are_free_of_length_in_location_and_in_spread():
    scores, lengths = _scores_that_depend_on_length(0)
    assert spearmanr(scores, lengths)[0] > 0.9
    ranks = length_free_ranks(scores, lengths)
    assert abs(spearmanr(ranks, lengths)[0]) < 0.03
    # Were only the location taken out, the middle would be full of long texts.
    assert abs(spearmanr(np.abs(ranks - 0.5), lengths)[0]) < 0.06


def test_the_middle_ranks_have_the_pools_lengths():
    scores, lengths = _scores_that_depend_on_length(1)
    ranks = length_free_ranks(scores, lengths)
    middle = np.abs(ranks - 0.5) < 0.08
    assert np.median(lengths[middle]) == pytest.approx(np.median(lengths), rel=0.2)


def test_the_fit_is_the_least_squares_of_all_rows():
    scores, lengths = _scores_that_depend_on_length(4)
    positions = np.log1p(lengths)
    knots = np.unique(np.quantile(positions, np.linspace(0, 1, 6)))
    basis = np.column_stack([np.interp(positions, knots, unit) for unit in np.eye(len(knots))])
    residuals = scores - basis @ np.linalg.lstsq(basis, scores, rcond=None)[0]
    spread = basis @ np.linalg.lstsq(basis, np.abs(residuals), rcond=None)[0]
    expected = mid_ranks(residuals / spread)
    assert length_free_ranks(scores, lengths) == pytest.approx(expected, abs=1e-12)


def test_ranks_within_groups_are_uniform_in_each():
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 3, 900)
    scores = rng.normal(size=900) + 5.0 * groups
    lengths = rng.integers(5, 100, 900).astype(float)
    ranks = length_free_ranks(scores, lengths, groups=groups)
    for group in range(3):
        inside = np.sort(ranks[groups == group])
        assert inside == pytest.approx((np.arange(len(inside)) + 0.5) / len(inside))


def test_small_groups_are_ranked_together():
    groups = np.array([0] * 100 + [1] * 5 + [2] * 5)
    scores = np.arange(110, dtype=float)
    ranks = length_free_ranks(scores, np.full(110, 7.0), groups=groups)
    assert ranks[100:] == pytest.approx((np.arange(10) + 0.5) / 10)


def test_equal_scores_of_equal_length_stay_tied():
    ranks = length_free_ranks(np.full(50, 1.7), np.full(50, 9.0))
    assert np.unique(ranks).tolist() == [0.5]


def test_one_row_and_no_row_have_ranks():
    assert length_free_ranks(np.array([3.0]), np.array([4.0])).tolist() == [0.5]
    assert length_free_ranks(np.array([NAN]), np.array([4.0])).tolist() != [0.5]
    assert len(length_free_ranks(np.array([]), np.array([]))) == 0


def test_spearman_agrees_with_scipy_and_ignores_missing():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=60), rng.integers(0, 5, 60).astype(float)
    expected = spearmanr(x, y)[0]
    assert spearman(np.append(x, NAN), np.append(y, 1.0)) == pytest.approx(expected)
    assert spearman(np.ones(9), y[:9]) is None


def test_several_correlations_are_over_the_rows_that_have_all():
    rng = np.random.default_rng(6)
    one, other, third = rng.normal(size=(3, 40))
    other[0], third[1] = NAN, NAN
    expected = [spearmanr(one[2:], column[2:])[0] for column in (other, third)]
    assert spearman_with(one, other, third) == pytest.approx(expected)


def test_tied_share_counts_rows_not_values():
    assert tied_share(np.array([1.0, 1.0, 1.0, 2.0, NAN])) == 0.75
    assert tied_share(np.array([NAN])) == 0.0


def test_rounding_is_not_ranked():
    lengths = np.random.default_rng(5).integers(5, 100, 200).astype(float)
    assert np.unique(length_free_ranks(np.full(200, np.log(10)), lengths)).tolist() == [0.5]
