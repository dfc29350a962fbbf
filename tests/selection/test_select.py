"""Selecting: exact budgets, reasons, invariance, and what each rule keeps."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euds.errors import OptionError
from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from tests.conftest import make_pool

ROWS = 500


def scored_pool(rows: int = ROWS, seed: int = 0, **columns):
    """Return a pool of distinct texts and random scores that do not depend on length."""
    rng = np.random.default_rng(seed)
    pool = make_pool([f"text number {index}" for index in range(rows)])
    frame = pl.DataFrame(
        {
            "id": pool.frame["id"],
            "ie": rng.normal(6, 1, rows),
            "ge": rng.normal(3, 1, rows),
            "se": rng.normal(1, 1, rows),
            "words": rng.integers(5, 120, rows),
            "ge_tokens": rng.integers(5, 120, rows),
            **columns,
        }
    )
    return pool, ScoreTable(frame)


def shuffled(pool, table, seed):
    order = np.random.default_rng(seed).permutation(len(pool))
    frame = pool.frame[order]
    mixed = type(pool).of(frame, pool.records[order], pool.source)
    return mixed, ScoreTable(table.frame[np.random.default_rng(seed + 1).permutation(len(pool))])


@pytest.mark.parametrize(
    "rule", ["igse", "igse-and", "igse-dist", "ie", "ge", "se", "length", "random"]
)
@pytest.mark.parametrize(("keep", "expected"), [(0.16, 80), ("37", 37), (1.0, 500), ("1", 1)])
def test_the_budget_is_met_exactly(rule, keep, expected):
    pool, table = scored_pool()
    assert len(select(pool, table, rule=rule, keep=keep)) == expected


@pytest.mark.parametrize("rule", ["igse", "igse-and", "igse-dist", "ie", "random", "length"])
def test_the_order_of_rows_changes_nothing(rule):
    pool, table = scored_pool()
    first = select(pool, table, rule=rule, keep=0.2)
    other_pool, other_table = shuffled(pool, table, seed=7)
    second = select(other_pool, other_table, rule=rule, keep=0.2)
    assert first.frame.sort("id").equals(second.frame.sort("id"))


def test_every_dropped_row_has_a_reason_and_no_kept_row_has():
    pool, table = scored_pool()
    frame = select(pool, table, rule="igse", keep=0.16).frame
    assert frame.filter("kept")["reason"].null_count() == 80
    assert frame.filter(~pl.col("kept"))["reason"].null_count() == 0
    assert set(frame["reason"].drop_nulls()) == {"below igse", "above igse"}


def test_the_middle_of_one_score_is_its_middle_ranks():
    # Equal lengths: nothing to take out, so ranks are those of the raw scores.
    pool, table = scored_pool(rows=101, words=[9] * 101, ie=np.arange(101.0))
    kept = select(pool, table, rule="ie", keep="11")
    by_id = table.frame.filter(pl.col("id").is_in(kept.ids))
    assert sorted(by_id["ie"]) == list(range(45, 56))
    reasons = dict(kept.frame.select("id", "reason").iter_rows())
    assert reasons[table.frame["id"][44]] == "below ie"
    assert reasons[table.frame["id"][56]] == "above ie"


def test_igse_and_keeps_the_joint_window_of_the_right_width():
    pool, table = scored_pool()
    selection = select(pool, table, rule="igse-and", keep=0.1)
    ranks = selection.frame.select("rank_ie", "rank_ge", "rank_se").to_numpy()
    distance = np.abs(ranks - 0.5).max(axis=1)
    kept = selection.frame["kept"].to_numpy()
    assert distance[kept].max() <= distance[~kept].min()


def test_igse_sum_agrees_with_a_naive_computation():
    pool, table = scored_pool(words=[9] * ROWS, ge_tokens=[9] * ROWS)
    from statistics import NormalDist

    def normal_scores(name):
        values = table.frame[name].to_list()
        order = sorted(range(ROWS), key=values.__getitem__)
        place = {row: position for position, row in enumerate(order)}
        return [NormalDist().inv_cdf((place[row] + 0.5) / ROWS) for row in range(ROWS)]

    total = [sum(three) for three in zip(*map(normal_scores, ("ie", "ge", "se")), strict=True)]
    middle = sorted(range(ROWS), key=total.__getitem__)[210:290]
    expected = {pool.frame["id"][row] for row in middle}
    assert set(select(pool, table, rule="igse", keep=0.16).ids) == expected


def test_a_fixed_interval_keeps_all_inside_unless_a_budget_says_less():
    pool, table = scored_pool()
    whole = select(pool, table, rule="ie", interval="0.2:0.4")
    ranks = whole.frame["rank_ie"]
    assert set(whole.ids) == set(whole.frame.filter((ranks >= 0.2) & (ranks < 0.4))["id"])
    thinned = select(pool, table, rule="ie", interval="0.2:0.4", keep="30")
    assert len(thinned) == 30
    assert set(thinned.ids) < set(whole.ids)
    assert thinned.reasons["over budget"] == len(whole) - 30
    inside = thinned.frame.filter(pl.col("id").is_in(whole.ids))
    assert inside["inclusion"].unique().to_list() == [pytest.approx(30 / len(whole))]


def test_raw_intervals_are_raw_values_and_half_open():
    pool, table = scored_pool(rows=10, ie=np.arange(10.0))
    selection = select(pool, table, rule="random", interval="ie=2:5")
    kept = table.frame.filter(pl.col("id").is_in(selection.ids))["ie"].to_list()
    assert kept == [2.0, 3.0, 4.0]
    assert selection.reasons == {"above ie": 5, "below ie": 2}


def test_two_raw_intervals_must_both_hold():
    pool, table = scored_pool(rows=10, ie=np.arange(10.0), ge=np.arange(10.0)[::-1].copy())
    selection = select(pool, table, interval=["ie=2:8", "ge=4:"])
    kept = table.frame.filter(pl.col("id").is_in(selection.ids))["ie"].to_list()
    assert kept == [2.0, 3.0, 4.0, 5.0]


@given(st.integers(120, 3000))
@settings(max_examples=30, deadline=None)
def test_a_token_budget_is_never_exceeded_and_short_by_less_than_a_row(budget):
    pool, table = scored_pool(rows=60)
    tokens = dict(table.frame.select("id", "ge_tokens").iter_rows())
    selection = select(pool, table, rule="igse", keep_tokens=budget)
    spent = sum(tokens[one] for one in selection.ids)
    assert spent <= budget
    left = [tokens[one] for one in tokens if one not in set(selection.ids)]
    # The row that would have come next does not fit; no row is longer than the longest left.
    assert not left or spent + max(left) > budget


def test_duplicates_are_dropped_and_name_the_row_that_stands_for_them():
    pool = make_pool(["same words here"] * 3 + [f"other {index}" for index in range(7)])
    selection = select(pool, rule="random", keep="8")
    frame = selection.frame.head(3)
    assert frame["reason"].to_list() == [None, "duplicate", "duplicate"]
    assert frame["duplicate_of"].to_list() == [None, "00000", "00000"]


def test_of_several_equal_rows_that_stay_the_first_stands_for_the_others():
    texts = ["equal"] * 9 + [f"other {index}" for index in range(40)]
    pool = make_pool(texts)
    table = ScoreTable(
        pl.DataFrame({"id": pool.frame["id"], "ie": [1.0] * 9 + list(np.arange(40.0))})
    )
    stays = ["00003", "00004", "00005", "00006", "00007"]
    frame = select(pool, table, rule="ie", keep=20, always_keep=stays).frame
    assert frame["kept"].to_list()[:9] == [False] * 3 + [True] * 5 + [False]
    assert frame["duplicate_of"].to_list()[:9] == ["00003"] * 3 + [None] * 5 + ["00003"]


def test_full_keeps_everything_even_repeats_and_unscored_rows():
    pool = make_pool(["same"] * 3 + ["other"])
    assert len(select(pool, rule="full")) == 4
    with pytest.raises(OptionError, match="keeps every row"):
        select(pool, rule="full", keep=0.5)


def test_unscored_rows_are_dropped_with_the_score_that_is_missing():
    pool, table = scored_pool(rows=50, ge=[None] * 5 + [float(index) for index in range(45)])
    selection = select(pool, table, rule="igse", keep=0.5)
    assert selection.reasons["unscored ge"] == 5
    assert len(selection) == 25


def test_a_budget_that_cannot_be_met_says_what_there_is():
    pool, table = scored_pool(rows=50, ge=[None] * 5 + [float(index) for index in range(45)])
    with pytest.raises(OptionError, match="cannot be met") as caught:
        select(pool, table, rule="igse", keep=1.0)
    assert "5 unscored" in str(caught.value)
    assert "--keep 45" in str(caught.value)


def test_rows_that_must_stay_stay_and_count():
    pool, table = scored_pool(rows=50, ge=[None] * 5 + [float(index) for index in range(45)])
    always = ["00000", "00007"]  # the first has no score
    selection = select(pool, table, rule="igse", keep="10", always_keep=always)
    assert len(selection) == 10
    assert set(always) <= set(selection.ids)
    with pytest.raises(OptionError, match="more than the budget"):
        select(pool, table, rule="igse", keep="1", always_keep=always)
    with pytest.raises(OptionError, match="not in the pool"):
        select(pool, table, always_keep=["nobody"])


def test_a_duplicate_that_must_stay_takes_its_twins_place():
    pool = make_pool(["same words here"] * 2 + [f"other {index}" for index in range(8)])
    selection = select(pool, rule="random", keep="5", always_keep=["00001"])
    assert selection.frame["reason"][0] == "duplicate"
    assert selection.frame["kept"][1]


def test_a_score_full_of_ties_leaves_igse_with_a_warning():
    pool, table = scored_pool(se=[0.0, 1.0] * (ROWS // 2))
    selection = select(pool, table, rule="igse", keep=0.16)
    assert selection.settings["scores"] == ["ie", "ge"]
    assert any("se is left out of IGSE: 100%" in warning for warning in selection.warnings)


def test_semantic_entropy_is_ranked_within_the_models_own_answers():
    # One class is easy for the model (low entropy), one is hard: raw windows would take only one.
    rng = np.random.default_rng(4)
    option = np.array(["easy", "hard"])[rng.integers(0, 2, ROWS)]
    se = rng.normal(size=ROWS) + np.where(option == "hard", 10.0, 0.0)
    pool, table = scored_pool(se=se, se_option=option)
    selection = select(pool, table, rule="se", keep=0.2)
    shares = selection.diagnosis["options"]
    assert shares["easy"]["kept"] == pytest.approx(shares["easy"]["pool"], abs=0.02)
    assert not any("leans" in warning for warning in selection.warnings)


def test_with_semantic_entropy_every_score_is_free_of_the_models_own_answers():
    rng = np.random.default_rng(4)
    is_hard = rng.random(ROWS) < 0.3
    option = np.array(["easy", "hard"])[is_hard.astype(int)]
    scores = {name: rng.normal(size=ROWS) + 4 * is_hard for name in ("ie", "ge", "se")}
    pool, table = scored_pool(**scores, se_option=option)
    told = select(pool, table, rule="igse", keep=0.2).diagnosis
    for name in ("ie", "ge", "se"):
        # The Kruskal-Wallis test: of 500 rows in two groups, 3.84 / 499 at the 5 % level.
        assert told["scores"][name]["option_epsilon_squared_raw"] > 0.5
        assert told["scores"][name]["option_epsilon_squared_rank"] < 0.008
    assert told["options"]["hard"]["kept"] == pytest.approx(0.3, abs=0.05)


def test_a_score_alone_does_not_depend_on_what_the_model_answers():
    rng = np.random.default_rng(4)
    option = np.array(["easy", "hard"])[rng.integers(0, 2, ROWS)]
    pool, table = scored_pool(se_option=option)
    without = ScoreTable(table.frame.drop("se", "se_option"))
    for rule in ("ie", "ge"):
        # The guard does look at the answers, whatever the rule.
        kept, kept_without = (
            select(pool, one, rule=rule, keep=0.2, guards=False) for one in (table, without)
        )
        assert list(kept.ids) == list(kept_without.ids)


def test_collapse_is_warned_of():
    option = ["a"] * 250 + ["b"] * 250
    pool, table = scored_pool(se_option=option, ie=np.arange(500.0), words=[9] * 500)
    selection = select(pool, table, rule="ie", interval="0.0:0.4")
    assert any("leans" in warning for warning in selection.warnings)


def test_another_seed_is_another_random_draw():
    pool, _ = scored_pool()
    first, second = (set(select(pool, rule="random", keep=0.5, seed=seed).ids) for seed in (0, 1))
    # Two independent halves of 500 share 125 of 250 rows, give or take 4 standard deviations of 6.
    assert 95 < len(first & second) < 155


def test_random_is_uniform_over_rows():
    pool, _ = scored_pool(rows=40)
    counts = dict.fromkeys(pool.frame["id"], 0)
    for seed in range(400):
        for one in select(pool, rule="random", keep="10", seed=seed).ids:
            counts[one] += 1
    # Each row is kept with probability 1/4 in 400 draws: 100, standard deviation 8.7.
    assert min(counts.values()) > 65
    assert max(counts.values()) < 135


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "igsee"}, "no rule 'igsee'"),
        ({"interval": "xy=1:2"}, "no score 'xy'"),
        ({"keep": 0.1, "keep_tokens": 5}, "two budgets"),
        ({"rule": "random", "interval": "0.2:0.4"}, "no ranks"),
        ({"entropies": ["nothing"]}, "no score 'nothing'"),
    ],
)
def test_senseless_requests_are_refused(arguments, message):
    pool, table = scored_pool(rows=20)
    with pytest.raises(OptionError, match=message):
        select(pool, table, **arguments)


def test_scores_may_be_partial():
    pool, table = scored_pool()
    only = ScoreTable(table.frame.select("id", "ie", "words"))
    assert select(pool, only, rule="igse", keep=0.1).settings["scores"] == ["ie"]
    with pytest.raises(OptionError, match="no score 'ge'"):
        select(pool, only, rule="ge")


def test_igse_dist_agrees_with_a_naive_computation():
    pool, table = scored_pool(words=[9] * ROWS, ge_tokens=[9] * ROWS)

    def ranks(name):
        values = table.frame[name].to_list()
        ordered = sorted(values)
        return [(ordered.index(value) + 0.5) / ROWS for value in values]

    distance = [
        sum((rank - 0.5) ** 2 for rank in three)
        for three in zip(*map(ranks, ("ie", "ge", "se")), strict=True)
    ]
    nearest = sorted(range(ROWS), key=distance.__getitem__)[:80]
    expected = {pool.frame["id"][row] for row in nearest}
    assert set(select(pool, table, rule="igse-dist", keep=0.16).ids) == expected


def test_a_budget_that_pays_for_nothing_or_for_more_than_all_is_refused():
    pool, table = scored_pool(rows=20)
    with pytest.raises(OptionError, match="no row would be kept"):
        select(pool, table, rule="igse", keep_tokens=1)
    with pytest.raises(OptionError, match="--keep-tokens"):
        select(pool, table, rule="igse", keep_tokens=10**9)
    with pytest.raises(OptionError, match="no row would be kept"):
        select(pool, table, rule="igse", keep=0.001)


def test_raw_intervals_need_a_column_of_numbers():
    pool, table = scored_pool(rows=20, se_option=["a"] * 20)
    with pytest.raises(OptionError, match="no score 'se_option'"):
        select(pool, table, interval="se_option=1:2")


def test_a_rule_does_without_vectors_if_told_to_and_says_so():
    pool, table = scored_pool(60)
    chosen = select(pool, table, keep=0.5, vectors=False)
    assert len(chosen) == 30
    assert any("none were to be made" in one for one in chosen.warnings)
    assert not any("vectors" in one for one in select(pool, rule="random", vectors=False).warnings)
    with pytest.raises(OptionError, match="k-center needs sentence vectors"):
        select(pool, table, rule="k-center", vectors=False)
