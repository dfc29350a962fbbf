"""Soft inclusion: probabilities, the draw, and what weights of 1 / inclusion repair."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from euds.errors import OptionError
from euds.scoring.scores import ScoreTable
from euds.selection.rules.registry import RULES
from euds.selection.select import select
from euds.selection.soft import FLOOR_SHARE, inclusion_probabilities, systematic_draw
from tests.selection.pools import rich_pool

ORDERED = [
    name
    for name, rule in RULES.items()
    if not rule.is_draw and not rule.needs_rows and name != "full"
]


@pytest.mark.parametrize(("rows", "pool_rows"), [(16, 100), (1, 1000), (500, 1000), (999, 1000)])
def test_probabilities_are_a_clipped_normal_density_that_adds_up(rows, pool_rows):
    distances = (np.arange(pool_rows) + 0.5) / pool_rows / 2
    found = inclusion_probabilities(distances, rows)
    share = rows / pool_rows
    assert found.sum() == pytest.approx(rows, rel=1e-9)
    assert found.min() >= FLOOR_SHARE * share * (1 - 1e-12)
    assert found.max() <= 1
    inside = (found > FLOOR_SHARE * share * 1.0001) & (found < 1)
    ratio = found[inside] / norm.pdf(distances[inside], scale=share / 2)
    assert ratio == pytest.approx(np.full(inside.sum(), ratio.mean()))
    assert (np.diff(found) <= 1e-12).all()


def test_all_rows_are_certain_when_all_are_wanted():
    assert inclusion_probabilities(np.linspace(0, 0.5, 7), 7).tolist() == [1.0] * 7


def test_a_systematic_draw_has_its_size_and_its_probabilities():
    rng = np.random.default_rng(0)
    chances = rng.uniform(0.05, 1, 60)
    chances *= 20 / chances.sum()
    chances = np.minimum(chances, 1)
    chances[:-1] *= (20 - chances[-1]) / chances[:-1].sum()
    starts = (np.arange(20_000) + 0.5) / 20_000  # every start is as likely
    draws = np.array([systematic_draw(chances, start) for start in starts])
    assert set(draws.sum(axis=1)) == {20}
    assert draws.mean(axis=0) == pytest.approx(chances, abs=2e-4)
    assert systematic_draw(np.array([0.5, 0.5]), 0.0).tolist() == [True, False]
    # Neighbours whose probabilities add up to less than one are never drawn together.
    apart = chances[:-1] + chances[1:] < 1
    assert not (draws[:, :-1] & draws[:, 1:])[:, apart].any()


@pytest.mark.parametrize("rule", ORDERED)
def test_a_soft_interval_meets_the_budget_and_leaves_no_row_without_a_chance(rule):
    pool, table, vectors = rich_pool()
    frame = select(pool, table, rule=rule, keep=24, soft=True, vectors=vectors).frame
    assert frame["kept"].sum() == 24
    assert frame["inclusion"].sum() == pytest.approx(24)
    eligible = frame.filter(pl.col("reason").is_null() | (pl.col("reason") == "not drawn"))
    # Where the rule leaves rows outside the bulk out.
    outside = frame["reason"].str.contains("unusable|edge of the bulk").sum()
    assert eligible.height == (135 if RULES[rule].uses_labels else 140) - outside
    assert outside == 0 or rule == "igse-joint"
    assert eligible["inclusion"].min() > 0


def test_inclusion_falls_off_from_the_middle_of_the_ranks():
    pool, table, _ = rich_pool()
    frame = select(pool, table, keep=24, soft=True).frame.drop_nulls("rank_igse")
    far = (frame["rank_igse"] - 0.5).abs().to_numpy()
    by_distance = frame["inclusion"].to_numpy()[np.argsort(far, kind="stable")]
    assert (np.diff(by_distance) <= 1e-9).all()
    assert by_distance[0] > 3 * by_distance[-1]


def test_weights_of_one_by_inclusion_are_unbiased_for_the_whole_pool():
    # The loss depends on the very score that is selected by: a hard interval is badly biased.
    pool, table, _ = rich_pool(210)
    table = ScoreTable(table.frame.with_columns(words=pl.lit(9)))
    first = select(pool, table, rule="ie", keep=40, soft=True).frame
    candidates = first["inclusion"].to_numpy() > 0
    loss = table.frame["ie"].to_numpy() ** 2
    truth = loss[candidates].mean()
    estimates, kept_often = [], np.zeros(210)
    for seed in range(400):
        frame = select(pool, table, rule="ie", keep=40, soft=True, seed=seed, guards=False).frame
        kept, inclusion = frame["kept"].to_numpy(), frame["inclusion"].to_numpy()
        kept_often += kept
        estimates.append((loss[kept] / inclusion[kept]).sum() / candidates.sum())
    error = np.std(estimates) / np.sqrt(400)
    assert abs(np.mean(estimates) - truth) < 4 * error < 0.2 * truth
    hard = select(pool, table, rule="ie", keep=40).frame["kept"].to_numpy()
    assert loss[hard].mean() < 0.2 * truth
    chances = first["inclusion"].to_numpy()
    allowed = 5 * np.sqrt(400 * chances * (1 - chances)) + 1e-9
    assert (np.abs(kept_often - 400 * chances) <= allowed).all()


def test_a_quota_holds_for_a_soft_interval_too():
    pool, table, _ = rich_pool(160)
    table = ScoreTable(table.frame.with_columns(se_option=pl.Series(["x", "y", "y", "y"] * 40)))
    frame = select(pool, table, rule="ie", keep=30, soft=True, quota="se_option=equal").frame
    for option in "xy":
        group = frame.filter(table.frame["se_option"] == option)
        assert group["kept"].sum() == 15
        assert group["inclusion"].sum() == pytest.approx(15)


def test_rows_that_must_stay_are_certain_and_count():
    pool, table, _ = rich_pool()
    frame = select(pool, table, keep=20, soft=True, always_keep=["00003", "00004"]).frame
    assert frame.filter(pl.col("id").is_in(["00003", "00004"]))["inclusion"].to_list() == [1, 1]
    assert frame["inclusion"].sum() == pytest.approx(20)
    assert frame["kept"].sum() == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "random", "keep": 5}, "no order that a soft interval"),
        ({"rule": "k-means", "keep": 5}, "no order that a soft interval"),
        ({"rule": "full"}, "keeps every row"),
        ({"keep": 5, "interval": "0.2:0.6"}, "no bounds in ranks"),
        ({"keep_tokens": 100}, "how many rows"),
        ({"interval": "ie=0:"}, "how many rows"),
    ],
)
def test_what_a_soft_interval_cannot_do_is_refused(options, message):
    pool, table, vectors = rich_pool()
    with pytest.raises(OptionError, match=message):
        select(pool, table, soft=True, vectors=vectors, **options)


def test_weights_are_one_by_inclusion_and_one_on_average():
    pool, table, _ = rich_pool()
    selection = select(pool, table, keep=24, soft=True)
    kept = selection.frame.filter("kept")["inclusion"]
    products = selection.weights * kept
    assert products.to_list() == pytest.approx([products[0]] * 24)
    assert selection.weights.mean() == pytest.approx(1)
