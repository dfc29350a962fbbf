"""What a cascade measures, against pools whose entropies are made up."""

import numpy as np
import pytest

from euds.errors import OptionError
from euds.selection.cascade import course as course_module
from euds.selection.cascade.guess import Scale
from euds.selection.select import select
from tests.selection.cascade.made_up import World

ROWS = 260


def finished(world, rule="se", **options):
    course, sources = world.course(rule, **options)
    course.measure_sample()
    outlook = course.go_on()
    return course, sources, outlook


def kept_by(course):
    return course.fates.kept(course.filled(course.guesses()), None)


@pytest.mark.parametrize(
    "asked",
    [
        {"rule": "igse", "keep": 0.2},
        {"rule": "igse-and", "keep": 31},
        {"rule": "uncertain", "keep": 0.1},
        {"rule": "ge", "interval": "0.2:0.6", "keep": 30},
        {"interval": ["ie=-0.5:0.5", "se=-1:1"]},
        {"rule": "se", "keep": 0.2, "soft": True},
        {"rule": "ccs", "keep": 40},
    ],
    ids=str,
)
def test_fates_are_those_of_selecting(asked):
    world = World(150, near_repeats=40)
    fates = world.fates(**asked, near_duplicates="drop", seed=3)
    chosen = select(
        world.pool, world.table(), **asked, near_duplicates="drop", guards=False, seed=3
    )
    assert chosen.reasons["near-duplicate"] > 10
    kept = set(world.pool.frame.filter(chosen.frame["kept"])["key"])
    found = fates.kept(world.truth, None)
    assert {key for key, one in zip(world.keys, found, strict=True) if one} == kept


@pytest.mark.parametrize("rule", ["se", "igse", "uncertain"])
def test_what_vectors_tell_exactly_is_not_measured_and_all_is_kept_that_should_be(rule):
    world = World(ROWS)
    course, sources, outlook = finished(world, rule)
    assert (kept_by(course) == world.kept(rule)).all()
    assert outlook.shared.mean() == pytest.approx(1, abs=0.02)
    asked = sum(len(one.asked) for one in sources.values())
    assert asked < 0.3 * 2 * ROWS  # and less than the budget: nothing was open any more
    assert asked <= 2 * int(course.sample.sum()) + 20


def test_noise_cannot_be_saved_and_the_outlook_says_so():
    shared, expected = [], []
    for seed in range(4):
        world = World(ROWS, seed=seed, noise=1.0)
        course, _, outlook = finished(world, seed=seed)
        truth = world.kept("se", seed=seed)
        shared.append((kept_by(course) & truth).sum() / truth.sum())
        expected.append(outlook.shared.mean())
    assert np.mean(shared) < 0.6
    assert np.mean(expected) == pytest.approx(np.mean(shared), abs=0.08)


def test_the_outlook_is_true_where_something_can_be_predicted():
    shared, expected = [], []
    for seed in range(4):
        world = World(ROWS, seed=seed, noise=0.1)
        course, _, outlook = finished(world, "igse", seed=seed)
        truth = world.kept("igse", seed=seed)
        shared.append((kept_by(course) & truth).sum() / truth.sum())
        expected.append(outlook.shared.mean())
    assert np.mean(expected) == pytest.approx(np.mean(shared), abs=0.08)


def test_bars_hold_for_the_rows_that_were_never_measured(monkeypatch):
    monkeypatch.setattr(course_module, "_DRAWS", 8)
    held = []
    for seed in range(20):
        world = World(ROWS, seed=seed, noise=0.1, dimensions=32)
        course, _, _ = finished(world, seed=seed, share=0.4)
        guess = course.guesses()["se"]
        never = ~course.held["se"]
        held.append((np.abs(world.truth["se"] - guess.filled)[never] <= guess.bar).mean())
    assert np.mean(held) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("costs", [{}, {"se": 10.0}], ids=str)
def test_the_budget_is_respected_and_used(share, costs):
    world = World(ROWS, noise=0.8)
    _course, sources, _ = finished(world, "igse", share=share, costs=costs)
    price = {"ge": 1.0, "se": 1.0, **costs}
    spent = sum(price[name] * len(one.asked) for name, one in sources.items())
    allowed = share * ROWS * sum(price.values())
    assert 0.9 * allowed < spent <= allowed
    if costs:  # what is cheap is asked of more texts
        assert len(sources["ge"].asked) > 1.5 * len(sources["se"].asked)


def test_seconds_are_respected():
    world = World(ROWS, noise=0.8)
    course, sources, _ = finished(world, "igse", seconds=180.0)
    assert 150 < sum(len(one.asked) for one in sources.values()) <= 180  # a second each
    assert course.allowance.spent <= 180


def test_an_entropy_that_decides_nothing_is_asked_of_the_sample_only():
    world = World(ROWS, noise=0.8)
    course, sources, _ = finished(world, "se")
    assert len(sources["ge"].asked) == course.sample.sum() < len(sources["se"].asked)


def test_a_small_pool_is_measured_in_full():
    world = World(70, noise=1.0)
    _course, sources, outlook = finished(world, "igse")
    assert len(sources["se"].asked) == len(sources["ge"].asked) == 70
    assert outlook.shared.tolist() == [1.0]


def test_another_seed_draws_another_sample_and_the_same_one_the_same():
    world = World(ROWS, noise=0.8)
    first, again, other = (finished(world, seed=seed)[0] for seed in (0, 0, 1))
    assert (first.sample == again.sample).all()
    assert (first.held["se"] == again.held["se"]).all()
    assert (first.sample != other.sample).any()


def test_a_scale_with_two_bounds_goes_there_and_back():
    scale, values = Scale(0.0, 1.1), np.array([0.01, 0.5, 1.09])
    assert scale.back(scale.to(values)) == pytest.approx(values)
    assert scale.back(np.array([-50.0, 50.0])) == pytest.approx([0, 1.1])
    assert Scale(0.0).back(np.array([-1.0, 2.0])).tolist() == [0, 2]


@pytest.mark.parametrize("rule", ["k-center", "random", "ie", "length", "ifd"])
def test_a_rule_in_which_no_model_has_a_part_is_refused(rule):
    with pytest.raises(OptionError, match=r"nothing that a model measures|cannot predict"):
        World(60).fates(rule=rule, keep=0.2)


def test_a_score_of_few_values_is_left_out_as_in_selecting():
    world = World(ROWS, noise=0.8)
    world.truth["se"] = np.round(world.truth["se"])
    course, sources, _ = finished(world, "igse")
    assert len(sources["se"].asked) == course.sample.sum() < len(sources["ge"].asked)
    chosen = select(
        *(world.pool, world.table()), rule="igse", keep=0.16, near_duplicates="keep", guards=False
    )
    assert chosen.settings["scores"] == ["ie", "ge"]
    kept = set(world.pool.frame.filter(chosen.frame["kept"])["key"])
    found = course.fates.kept(world.truth, None)
    assert {key for key, one in zip(world.keys, found, strict=True) if one} == kept
    assert set(course.guesses()["se"].filled) <= set(world.truth["se"])
