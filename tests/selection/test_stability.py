"""How much of a selection stays, against selections made by hand and chances counted out."""

import itertools

import numpy as np
import polars as pl
import pytest

from euds.errors import OptionError
from euds.pool.pool import Texts
from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from euds.selection.stability import LUCK, expected_jaccard, stability
from tests.conftest import make_pool

ROWS = 200


@pytest.fixture
def pool():
    # Two rows of each text of the first ten: texts are counted, not rows.
    words = [f"row {index} {'word ' * (1 + index * 7 % 23)}" for index in range(ROWS)]
    return make_pool([*words, *words[:10]], labels=["a", "b"] * (ROWS // 2 + 5))


@pytest.fixture
def scores(pool):
    rng = np.random.default_rng(5)
    of_text = {key: rng.normal(size=4) for key in dict.fromkeys(pool.frame["key"])}
    numbers = np.array([of_text[key] for key in pool.frame["key"]])
    frame = pool.frame.select(
        "id", words=pl.col("text").str.count_matches(r"\S+").cast(pl.Float64)
    ).with_columns(
        ie=pl.Series(numbers[:, 0]),
        ge=pl.Series(numbers[:, 1]),
        ge_nll=pl.Series(numbers[:, 1] + 0.01 * numbers[:, 2]),
        ge_gap=pl.Series(numbers[:, 3]),
    )
    return ScoreTable(frame)


@pytest.mark.parametrize(
    ("first", "second", "among"), [(2, 3, 5), (1, 1, 6), (4, 4, 5), (3, 2, 3), (0, 2, 4)]
)
def test_the_expectation_is_the_mean_over_all_pairs_of_draws(first, second, among):
    found = []
    for one in itertools.combinations(range(among), first):
        for other in itertools.combinations(range(among), second):
            found.append(len({*one} & {*other}) / max(1, len({*one} | {*other})))
    assert expected_jaccard(first, second, among) == pytest.approx(np.mean(found))


@pytest.mark.parametrize(
    "request_",
    [
        {"rule": "igse", "keep": 0.2},
        {"keep": "16%"},
        {"rule": "igse-and", "keep": 31, "seed": 4},
        {"rule": "random", "keep": 0.1, "seed": 9},
        {"rule": "length", "keep_tokens": 300},
        {"rule": "ccs", "keep": 40},
        {"interval": "0.2:0.6", "keep": 30},
        {"interval": ["ie=-0.5:0.5", "ge=-1:1"]},
        {"interval": "ie=-1:1", "keep": 25, "entropies": ["ge"]},
        {"rule": "ge", "keep": 0.2, "soft": True, "seed": 2},
        {"rule": "igse", "keep": 0.2, "quota": "label=equal"},
        {"rule": "random-stratified", "keep": 0.2},
        {"rule": "igse", "keep": 0.2, "always_keep": ["00000", "00007"]},
        {"rule": "igse", "keep": 0.2, "near_duplicates": "drop", "guards": False},
        {"rule": "full"},
    ],
    ids=str,
)
def test_the_same_scores_give_the_same_selection_whatever_was_asked(pool, scores, request_):
    chosen = select(pool, scores, **request_)
    found = stability(chosen, scores, others={"the same": scores}, seeds=1)
    (same,) = [one for one in found.overlaps if one.source == "scores"]
    assert (same.jaccard, same.texts) == (1, found.texts)


def test_texts_taken_out_for_a_test_set_stay_out(pool, scores):
    chosen = select(pool, scores, rule="igse", keep=0.3, against=Texts.of(pool.texts.texts[:60]))
    found = stability(chosen, scores, others={"the same": scores}, seeds=1)
    assert found.overlaps[-1].jaccard == 1


def test_similarities_are_those_of_selections_made_by_hand(pool, scores):
    chosen = select(pool, scores, rule="igse", keep=0.25)
    found = stability(chosen, scores, seeds=2)
    by_hand = select(pool, scores, rule="igse", keep=0.25, entropies=["ie", "ge_gap"])
    key_of = dict(zip(pool.frame["id"], pool.frame["key"], strict=True))
    one, other = ({key_of[row] for row in each.ids} for each in (chosen, by_hand))
    (exchanged,) = [each for each in found.overlaps if each.change == "ge_gap, ie"]
    assert exchanged.jaccard == len(one & other) / len(one | other)
    assert exchanged.corrected == pytest.approx(
        (exchanged.jaccard - exchanged.by_chance) / (1 - exchanged.by_chance)
    )
    told = found.medians()
    # What differs by a hundredth of a standard deviation keeps nearly the same middle.
    (alike,) = [each for each in found.overlaps if each.change == "ge_nll, ie"]
    assert alike.corrected > 0.9 > told["variant"]["corrected_lowest"] == exchanged.corrected
    assert told["seed"]["corrected_lowest"] == 1  # there is nothing to draw
    assert told["sample"]["selections"] == 2
    assert 0.5 < told["sample"]["corrected_median"] < 1


def test_random_rows_are_called_luck_and_a_rule_without_a_draw_is_not(pool, scores):
    by_lot = stability(select(pool, scores, rule="random", keep=0.2), scores, seeds=30)
    told = by_lot.medians()["seed"]
    assert abs(told["corrected_median"]) < 0.05 < LUCK
    assert "with another seed" in by_lot.warnings[0]
    assert "the rule draws by lot" in by_lot.warnings[0]
    by_rank = stability(select(pool, scores, rule="ie", keep=0.2), scores, seeds=2)
    assert by_rank.warnings == []
    assert not by_rank.is_draw


def test_what_cannot_be_compared_is_refused(pool, scores):
    chosen = select(pool, scores, rule="igse", keep=0.25)
    part = ScoreTable(scores.frame.head(50))
    with pytest.raises(OptionError, match="of another pool"):
        stability(chosen, scores, others={"a part": part})
    with pytest.raises(OptionError, match="too few seeds"):
        stability(chosen, scores, seeds=0)
    for_target = select(pool, rule="dsir", keep=0.2, target=Texts.of(["row word"]))
    with pytest.raises(OptionError, match="without the target"):
        stability(for_target, scores)
