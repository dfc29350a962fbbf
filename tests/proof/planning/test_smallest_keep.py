"""The smallest share of random rows: on curves whose truth is known, and on real news."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

import euds
from euds.errors import InputError, OptionError
from euds.progress import Ledger, SilentProgress
from euds.proof.planning.learning_curve import LearningCurve
from euds.proof.planning.smallest_keep import loss_at, smallest_of
from euds.reading import datasets, read
from euds.scoring.store.disk import Store
from tests.conftest import make_pool
from tests.proof.toy import labelled_pool

POOL_ROWS = 8000
SIZES = tuple(6400 // 2**step for step in reversed(range(7)))


def power_law(rows, *, ceiling=0.95, gap=1.2, exponent=0.5):
    return ceiling - gap * np.asarray(rows, float) ** -exponent


def curve_of(accuracy, *, draws=3, asked=2000, spread=0.003, seed=0):
    """Return a curve with this true accuracy, luck of draws, and rows of unequal difficulty."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 1, (1, 1, asked))
    luck = rng.normal(0, 1, (len(SIZES), draws, asked))
    threshold = stats.norm.ppf(accuracy(SIZES))[:, None, None]
    shift = rng.normal(0, spread, (len(SIZES), draws, 1)) / stats.norm.pdf(threshold)
    right = 0.9 * hardness + np.sqrt(1 - 0.81) * luck < threshold + shift
    return LearningCurve(SIZES, right, 0.5, 100, 1.0)


def true_smallest(accuracy, margin):
    rows = np.arange(16, POOL_ROWS + 1)
    return int(rows[accuracy(POOL_ROWS) - accuracy(rows) < margin][0])


@pytest.mark.parametrize(
    ("law", "margin"),
    [
        ({}, 1.0),
        ({}, 3.0),
        ({"ceiling": 0.9, "gap": 3.0, "exponent": 0.8}, 1.5),
        ({"ceiling": 0.99, "gap": 0.8, "exponent": 0.3}, 2.0),
    ],
)
def test_what_is_lost_is_within_the_margin_and_few_rows_are_wasted(law, margin):
    def accuracy(rows):
        return power_law(rows, **law)

    smallest = true_smallest(accuracy, margin / 100)
    found = [
        smallest_of(
            curve_of(accuracy, draws=5, seed=seed), pool_rows=POOL_ROWS, margin_points=margin
        )["rows"]
        for seed in range(60)
    ]
    # One in twenty may be too small, give or take what chance does to 60.
    too_small = sum(rows < smallest for rows in found)
    assert stats.binomtest(too_small, 60, 0.05, alternative="greater").pvalue > 1e-3
    assert np.median(found) <= min(4 * smallest, POOL_ROWS)


def test_with_more_draws_and_rows_it_comes_close_to_the_truth():
    curve = curve_of(power_law, draws=20, asked=20_000, spread=0.0005)
    found = smallest_of(curve, pool_rows=POOL_ROWS, margin_points=2.0)
    smallest = true_smallest(power_law, 0.02)
    assert smallest <= found["rows"] <= 1.35 * smallest
    assert found["upper_loss_points"] == pytest.approx(2.0, abs=0.01)


def test_where_nothing_is_certain_everything_is_kept():
    curve = curve_of(power_law, draws=2, asked=60, spread=0.02)
    found = smallest_of(curve, pool_rows=POOL_ROWS, margin_points=0.5)
    assert found["rows"] > 6400
    none = smallest_of(curve, pool_rows=POOL_ROWS, margin_points=1e-6)
    assert none["keep"] == 1
    assert "all are kept" in none["sentence"]


def test_a_lucky_small_size_below_a_bad_one_is_not_taken():
    curve = curve_of(power_law, draws=5, asked=5000, spread=0.0)
    right = curve.right.copy()
    right[0] = True  # the smallest size is always right
    found = smallest_of(replace(curve, right=right), pool_rows=POOL_ROWS, margin_points=1.0)
    assert found["rows"] == smallest_of(curve, pool_rows=POOL_ROWS, margin_points=1.0)["rows"]
    assert found["rows"] > SIZES[0]


def test_the_loss_is_what_was_measured_and_the_last_gain_for_what_was_not():
    curve = curve_of(power_law)
    top, half, here = (curve.right[at].mean() for at in (-1, -2, 2))
    loss, factor = loss_at(curve, 2, pool_rows=POOL_ROWS)
    ahead = np.log2(8000 / 6400)
    assert factor * loss.mean == pytest.approx(top - here + ahead * (top - half))
    # Its interval is that of the same sum, row by row and draw by draw.
    sums = (1 + ahead) * curve.right[-1] - curve.right[2] - ahead * curve.right[-2]
    by_draw = sums.mean(axis=1)
    assert factor * loss.standard_error > by_draw.std(ddof=1) / np.sqrt(len(by_draw)) * 0.99
    whole, factor = loss_at(curve, -1, pool_rows=6400)
    assert (whole.mean, factor) == (0, 1)


@pytest.fixture
def common(tmp_path):
    return {"store": Store(tmp_path / "store"), "progress": SilentProgress()}


def test_it_needs_labels_that_are_classes_and_says_what_to_do(common):
    texts = [f"text {number}" for number in range(300)]
    for labels in (None, [f"answer {number}" for number in range(300)]):
        with pytest.raises(InputError, match="too few") as caught:
            euds.smallest_keep(make_pool(texts, labels=labels), **common)
        assert "--label" in str(caught.value)
    with pytest.raises(OptionError, match="margin"):
        euds.smallest_keep(make_pool(texts), margin_points=-1, **common)


def test_repeats_do_not_count_as_rows(common, encoder):
    pool = labelled_pool(400)
    twice = euds.Pool.of(
        pl.concat([pool.frame, pool.frame.with_columns(id=pl.lit("z") + pl.col("id"))]),
        pl.concat([pool.records, pool.records]),
        pool.source,
    )
    settings = {"encoder": str(encoder.folder), "draws": 2, "margin_points": 20.0, **common}
    once, again = (euds.smallest_keep(one, **settings) for one in (pool, twice))
    assert again.results["rows"] == once.results["rows"]
    assert again.keep == pytest.approx(once.keep / 2)


@pytest.mark.slow
def test_on_real_news(tmp_path):
    datasets.write("bbc-news", tmp_path / "news.jsonl", rows=1200)
    pool = read(str(tmp_path / "news.jsonl"), label="label")
    ledger = Ledger()
    found = euds.smallest_keep(
        pool, margin_points=2.0, draws=4, ledger=ledger, progress=SilentProgress()
    )
    json.dumps(found.results, allow_nan=False)
    assert list(ledger.seconds) == ["smallest budget"]
    assert 0.02 < found.keep < 0.6
    accuracies = [one["accuracy_points"] for one in found.results["curve"]]
    assert accuracies[-1] > 95
    assert found.results["upper_loss_points"] <= 2.0
