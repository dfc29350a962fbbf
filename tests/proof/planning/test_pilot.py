"""The regime of a pool: simulated teachers and students whose truth is known, and real texts."""

import itertools
import json

import numpy as np
import polars as pl
import pytest

import euds
from euds.errors import InputError, OptionError
from euds.progress import Ledger, SilentProgress
from euds.proof.planning.learning_curve import (
    LearningCurve,
    labelled_rows,
    largest_size,
    measure_curve,
    rows_to_read,
)
from euds.proof.planning.pilot import STEEP, regime_of
from euds.proof.training.protocol import Outcome
from euds.scoring.scores import ScoreTable
from euds.scoring.store.disk import Store
from tests.conftest import loaded_script, make_pool
from tests.proof.toy import labelled_pool


@pytest.fixture(scope="module")
def simulation():
    with loaded_script("benchmarks/regime.py") as module:
        yield module


@pytest.mark.parametrize(
    ("rows", "dimensions", "noise", "regime"),
    [
        (300, 50, 0.0, "scarce"),
        pytest.param(1500, 20, 0.5, "abundant", marks=pytest.mark.slow),
        pytest.param(6000, 6, 0.0, "saturated", marks=pytest.mark.slow),
    ],
)
def test_the_regime_of_pools_whose_truth_is_known(simulation, rows, dimensions, noise, regime):
    found, reached = [], []
    for seed in range(3):
        rng = np.random.default_rng((11, seed))
        teaching = simulation.teach(rng, rows, dimensions, noise=noise)
        found.append(teaching.pilot(draws=4, seed=seed))
        reached.append(teaching.accuracies(rng))
    assert [one["regime"] for one in found] == [regime] * 3
    # By another route, on many new rows: easy rows are better than random ones if rows are scarce.
    easy, random = (np.mean([one[name] for one in reached]) for name in ("easiest", "random"))
    assert (easy > random + 1) == (regime == "scarce")
    if regime == "saturated":
        assert {one["can_help"] for one in found} == {"no"}
        assert random > 97
    else:
        assert "no" not in {one["can_help"] for one in found}
        assert (easy < random - 1) == (regime == "abundant")


def curve_of(accuracies, *, draws=5, asked=2000, majority=0.5, seed=0):
    """Return a made-up curve whose sizes answer the same rows alike as far as they can."""
    rng = np.random.default_rng(seed)
    luck = rng.random((draws, asked))
    right = np.stack([luck < accuracy for accuracy in accuracies])
    return LearningCurve((100, 200, 400), right, majority, 30, 1.0)


@pytest.mark.parametrize(
    ("accuracies", "regime", "can_help"),
    [
        ((0.90, 0.955, 0.956), "saturated", "no"),
        ((0.70, 0.80, 0.86), "scarce", "yes"),  # 6 of 36 points learnt
        ((0.80, 0.90, 0.93), "abundant", "yes"),  # 3 of 43
        ((0.50, 0.502, 0.505), "unknown", "unknown"),
    ],
)
def test_the_thresholds(accuracies, regime, can_help):
    found = regime_of(curve_of(accuracies), budget=200, margin_points=1.0, source="labels")
    assert (found["regime"], found["can_help"]) == (regime, can_help)
    assert found["sentence"].startswith(regime)
    json.dumps(found, allow_nan=False)


def test_little_is_asked_little_is_told():
    curve = curve_of((0.8, 0.9, 0.93), draws=2, asked=40)
    found = regime_of(curve, budget=200, margin_points=1.0, source="labels")
    assert found["can_help"] == "cannot tell"
    assert found["gain_low_points"] < 1 < found["gain_high_points"]


def test_a_pilot_below_the_budget_says_so():
    curve = curve_of((0.8, 0.9, 0.93))
    below = regime_of(curve, budget=300, margin_points=1.0, source="labels")["sentence"]
    assert below.endswith("no more rows could be tried")
    enough = regime_of(curve, budget=200, margin_points=1.0, source="labels")["sentence"]
    assert "could be tried" not in enough


class Recorder:
    """A course that answers what it was told, and remembers who was asked what."""

    preparing_seconds = 0.0
    forward_seconds_a_row = None

    def __init__(self, labels):
        self.labels, self.asked = labels, []

    def run(self, fit, ask, *, seed, settings, steps=None):
        self.asked.append((seed, set(fit.tolist()), set(ask.tolist()), settings))
        return Outcome(tuple(self.labels[row] for row in ask), 1, 0.0, 0.0)


@pytest.mark.parametrize(("rows", "sizes", "parts"), [(200, (25, 50, 100), 2), (200, (40, 160), 5)])
def test_no_probe_is_asked_what_it_was_trained_on_and_smaller_sizes_are_nested(rows, sizes, parts):
    labels = ["a", "b"] * (rows // 2)
    course = Recorder(labels)
    curve = measure_curve(course, labels, sizes, grid=[{"c": 1.0}], draws=3, seed=0)
    assert curve.right.all()
    assert curve.right.shape == (len(sizes), 3, rows)
    assert curve.trainings == len(course.asked) == 3 * parts * len(sizes)
    assert curve.majority == 0.5
    groups = [course.asked[at : at + len(sizes)] for at in range(0, len(course.asked), len(sizes))]
    for group in groups:
        assert [len(fit) for _, fit, _, _ in group] == list(sizes)
        for (_, smaller, _, _), (_, larger, _, _) in itertools.pairwise(group):
            assert smaller < larger
        for _, fit, ask, _ in group:
            assert fit.isdisjoint(ask)
    for draw in range(3):
        mine = [ask for seed, _, ask, _ in (group[0] for group in groups) if seed == draw]
        assert sorted(row for ask in mine for row in ask) == list(range(rows))


def test_the_regularisation_is_tuned_without_the_rows_that_are_asked():
    labels = ["a", "b"] * 100
    course = Recorder(labels)
    grid = [{"c": 1.0}, {"c": 2.0}]
    curve = measure_curve(course, labels, (50, 100), grid=grid, draws=2, seed=0)
    assert curve.trainings == len(course.asked) == 2 * (2 * 2 + 2 * 3)
    tuning, (_, fit, asked, _) = course.asked[:6], course.asked[6]
    for _, smaller, ask, _ in tuning:
        assert smaller | ask == fit
        assert ask.isdisjoint(asked)


def test_a_size_that_can_be_tried_can_be_tried():
    for rows in (100, 101, 104, 999, 2500):
        labels = ["a", "b"] * (rows // 2) + ["a"] * (rows % 2)
        size = largest_size(rows)
        course = Recorder(labels)
        measure_curve(course, labels, (size,), grid=[{"c": 1.0}], draws=2, seed=0)
        assert {len(fit) for _, fit, _, _ in course.asked} == {size}


@pytest.fixture(scope="module")
def pool():
    return labelled_pool(400)


def test_labels_come_first_then_the_models_answers_then_nothing(pool):
    options = pool.frame.select("id", se_option=pl.lit("yes"))
    options = options.with_columns(
        se_option=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("no")).otherwise("se_option")
    )
    table = ScoreTable(options)
    bare = make_pool(pool.frame["text"].to_list(), ids=pool.frame["id"].to_list())
    rows, source = labelled_rows(pool, table)
    assert source == "labels"
    assert set(rows["label"]) == {"cold", "warm"}
    rows, source = labelled_rows(bare, table)
    assert source == "model"
    assert rows["label"].value_counts().sort("label")["count"].to_list() == [134, 266]
    assert labelled_rows(bare, None)[1] is None
    assert labelled_rows(bare, ScoreTable(pool.frame.select("id")))[1] is None


def test_free_answers_are_no_classes(pool):
    answers = make_pool(pool.frame["text"].to_list(), labels=[f"answer {n}" for n in range(400)])
    assert labelled_rows(answers, None)[1] is None
    found = euds.pilot(answers, progress=SilentProgress())
    assert (found.regime, found.can_help) == ("unknown", "unknown")
    assert "--label" in str(found)


def test_repeats_and_the_order_of_the_file_decide_nothing(pool):
    rows, _ = labelled_rows(pool, None)
    shuffled = pool.frame.sample(fraction=1, shuffle=True, seed=3)
    twice = euds.Pool.of(
        pl.concat([shuffled, shuffled.with_columns(id=pl.lit("z") + pl.col("id"))]),
        pl.concat([pool.records, pool.records]),
        pool.source,
    )
    assert labelled_rows(twice, None)[0].equals(rows)


def test_a_large_pool_is_not_read_as_a_whole(pool):
    rows = pl.concat([labelled_rows(pool, None)[0]] * 30)
    some = rows_to_read(rows, largest=100, seed=0)
    assert some.height == 2400
    assert rows_to_read(rows, largest=5000, seed=0).height == rows.height


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": 10}, "too small for a pilot"),
        ({"keep": "much"}, "budget cannot be read"),
        ({"margin_points": 0}, "margin makes no sense"),
        ({"draws": 1}, "several draws"),
    ],
)
def test_what_makes_no_sense_is_refused(pool, given, message, encoder, tmp_path):
    with pytest.raises((OptionError, InputError), match=message):
        euds.pilot(
            pool,
            **given,
            encoder=str(encoder.folder),
            store=Store(tmp_path),
            progress=SilentProgress(),
        )


def test_the_pilot_of_a_pool_of_texts(pool, encoder, tmp_path):
    ledger = Ledger()
    common = {
        "encoder": str(encoder.folder),
        "store": Store(tmp_path),
        "progress": SilentProgress(),
        "draws": 2,
    }
    found = euds.pilot(pool, keep=0.2, ledger=ledger, **common)
    assert found.results["rows"] == [40, 80, 160]
    assert found.results["source"] == "labels"
    assert found.results["budget_rows"] == 80
    assert list(ledger.seconds) == ["pilot"]
    assert euds.pilot(pool, keep=0.2, **common).results == found.results
    table = ScoreTable(pool.frame.select("id", se_option="label"))
    bare = euds.Pool.of(
        pool.frame.with_columns(label=pl.lit(None, pl.String)), pool.records, pool.source
    )
    by_model = euds.pilot(bare, keep=0.2, scores=table, **common)
    assert by_model.results["gain_points"] == found.results["gain_points"]
    assert by_model.results["source"] == "model"
    assert "the language model's answers as labels" in str(by_model) or by_model.regime == "unknown"
    assert STEEP == 0.15
