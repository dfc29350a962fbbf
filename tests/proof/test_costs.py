"""The ledger, by hand."""

import pytest

from euds.errors import OptionError
from euds.proof.arms import Arm
from euds.proof.costs import (
    ArmCost,
    break_even_trainings,
    ledger_rows,
    parse_train_cost,
    peak_memory_mib,
)


def arm(name):
    return Arm(name, name, 1.0 if name == "full" else 0.1, (), False, 0.0)


def test_a_subset_pays_when_what_it_saves_covers_what_choosing_cost():
    # Training on all costs 20, on the subset 5: each training saves 15.
    assert break_even_trainings(30, 20, 5) == 2.0
    assert break_even_trainings(3, 20, 5) == pytest.approx(0.2)
    assert break_even_trainings(0, 20, 5) == 0
    assert break_even_trainings(1, 20, 20) is None
    assert break_even_trainings(None, 20, 5) is None


def test_what_nobody_knows_the_cost_of_is_not_free():
    costs = {
        "full": ArmCost(0, 0, 0, 90, 10),
        "igse": ArmCost(scoring=None, vectors=0, selecting=2, training=9, evaluating=10),
    }
    _, igse = ledger_rows([arm(name) for name in costs], costs)
    assert igse["total_seconds"] is None
    assert igse["share_of_full"] is None
    assert igse["break_even_trainings"] is None


def test_the_ledger_counts_choosing_and_one_training():
    costs = {
        "full": ArmCost(0, 0, 0, 90, 10),
        "igse": ArmCost(scoring=40, vectors=0, selecting=2, training=9, evaluating=10),
        "k-means": ArmCost(scoring=0, vectors=5, selecting=1, training=9, evaluating=10),
    }
    full, igse, k_means = ledger_rows([arm(name) for name in costs], costs)
    assert full["share_of_full"] == 1.0
    assert full["break_even_trainings"] is None
    assert igse["total_seconds"] == 61
    assert igse["selecting_seconds"] == 42
    assert igse["share_of_full"] == pytest.approx(0.61)
    # 42 seconds of choosing, 100 - 19 saved by each training.
    assert igse["break_even_trainings"] == pytest.approx(42 / 81)
    assert k_means["break_even_trainings"] == pytest.approx(6 / 81)


def test_a_train_cost_in_seconds_is_taken_as_it_is():
    cost = parse_train_cost("0.05s")
    assert cost.seconds(measured_seconds_a_row=9.0, trained_parameters=1) == 0.05


@pytest.mark.parametrize(
    ("text", "parameters"), [("7B", 7e9), ("110M", 1.1e8), ("0.5B", 5e8), ("2e8", 2e8)]
)
def test_a_train_cost_in_parameters_scales_what_was_measured(text, parameters):
    cost = parse_train_cost(text)
    seconds = cost.seconds(measured_seconds_a_row=0.02, trained_parameters=10_000_000)
    assert seconds == pytest.approx(0.02 * parameters / 1e7)


@pytest.mark.parametrize("text", ["", "B", "-1B", "7 bananas", "0s", "1e999", "nan", "5m", "0.05"])
def test_a_train_cost_that_is_none_is_refused(text):
    with pytest.raises(OptionError, match="cost of a training"):
        parse_train_cost(text)


def test_the_peak_of_memory_is_that_of_a_process():
    peak = peak_memory_mib()
    assert peak is None or 10 < peak < 1e6
