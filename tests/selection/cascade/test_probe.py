"""The probe against least squares by hand, and its bars against what they promise."""

import math

import numpy as np
import pytest

from euds.selection.cascade.probe import error_bar, features_of, fit_probe


def test_what_is_linear_is_predicted():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 4))
    targets = features @ np.array([1.0, -2.0, 0.0, 3.0]) + 7
    probe = fit_probe(features[:30], targets[:30])
    assert probe.likeliest(features[30:]) == pytest.approx(targets[30:], abs=1e-4)
    assert probe.stretch == pytest.approx(1, abs=1e-6)
    assert probe.spearman == pytest.approx(1)


def test_the_error_that_chooses_the_penalty_is_that_of_fits_without_the_row():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(25, 6))
    targets = features[:, 0] + rng.normal(size=25)
    probe = fit_probe(features, targets)
    left_out = []
    for row in range(25):
        rest = np.arange(25) != row
        centre, mean = features[rest].mean(axis=0), targets[rest].mean()
        rows = features[rest] - centre
        weights = np.linalg.solve(
            rows.T @ rows + probe.penalty * np.eye(6), rows.T @ (targets[rest] - mean)
        )
        left_out.append((features[row] - centre) @ weights)  # beside the mean of the others
    from scipy.stats import spearmanr

    assert probe.spearman == pytest.approx(spearmanr(left_out, targets).statistic, abs=0.02)


def test_what_cannot_be_predicted_is_not_said_to_be_predicted_the_wrong_way_round():
    # Fits that learn nothing predict the mean of the other rows, which lies on the other side.
    rng = np.random.default_rng(2)
    found = [fit_probe(rng.normal(size=(30, 3)), rng.normal(size=30)).spearman for _ in range(60)]
    assert abs(np.mean(found)) < 0.15


def test_stretched_predictions_spread_like_the_truth():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(4_000, 3))
    targets = features[:, 0] + 2 * rng.normal(size=4_000)
    probe = fit_probe(features[:2_000], targets[:2_000])
    assert probe.likeliest(features).std() < 0.6 * targets.std()
    assert probe.stretched(features).std() == pytest.approx(targets.std(), rel=0.1)


def test_bars_hold_what_they_promise_over_many_seeds():
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(150, 5))
        # Errors that are far from normal, and larger for some rows.
        noise = rng.standard_t(2, size=150) * (0.2 + features[:, 1] ** 2)
        targets = features[:, 0] ** 3 + noise
        probe = fit_probe(features[:50], targets[:50])
        errors = targets - probe.stretched(features)
        held.append((np.abs(errors[68:]) <= error_bar(errors[50:68], level=0.9)).mean())
    # 18 rows apart: the largest error, which holds 18/19; the next one would hold less than 0.9.
    assert np.mean(held) == pytest.approx(18 / 19, abs=0.012)


def test_too_few_errors_promise_nothing():
    assert math.isinf(error_bar(np.zeros(8)))
    assert error_bar(np.arange(9.0)) == 8
    assert error_bar(-np.arange(19.0)) == 17


def test_features_without_a_spread_or_a_value_do_no_harm():
    constant, missing = np.full(5, 3.0), np.full(5, np.nan)
    some = np.array([1.0, np.nan, 2.0, 3.0, 2.0])
    features = features_of(None, [constant, missing, some])
    assert features.shape == (5, 2)
    assert features[1].tolist() == [0, 0]
    assert features_of(None, [constant]).tolist() == [[0.0]] * 5
