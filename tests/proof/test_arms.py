"""The arms: everything, random subsets of every size, and what was chosen."""

import pytest

import euds
from euds.errors import OptionError
from euds.pool.pool import Texts
from euds.proof.arms import Basis, make_arms
from euds.scoring.scores import ScoreTable
from tests.proof.toy import labelled_pool


@pytest.fixture(scope="module")
def pool():
    return labelled_pool(200)


@pytest.fixture(scope="module")
def table(pool):
    lengths = pool.frame["text"].str.len_chars().cast(float)
    return ScoreTable(pool.frame.select("id").with_columns(ie=lengths, words=lengths))


def by_name(arms):
    return {arm.name: arm for arm in arms}


def test_every_size_gets_random_arms_with_a_draw_for_each_seed(pool, table):
    chosen = [euds.select(pool, table, rule="ie", keep=keep) for keep in (0.1, 0.3)]
    arms = by_name(make_arms(pool, chosen, seeds=[0, 1, 2]))
    assert list(arms) == ["full", "random@10%", "random@30%", "ie@10%", "ie@30%"]
    draws = [tuple(one.ids) for one in arms["random@10%"].selections]
    assert len(set(draws)) == 3
    assert {len(one) for one in draws} == {20}
    assert arms["full"].rows == 200
    assert arms["ie@30%"].rows == 60
    assert len(set(map(tuple, (one.ids for one in arms["ie@30%"].selections)))) == 1


def test_one_size_needs_no_share_in_the_name(pool, table):
    chosen = [
        euds.select(pool, table, rule="ie", keep=40),
        euds.select(pool, table, rule="ie", interval="0.0:0.4", keep=40),
        euds.select(pool, table, rule="ie", keep=40, seed=5),
    ]
    arms = make_arms(pool, chosen, seeds=[0])
    assert [arm.name for arm in arms] == ["full", "random", "ie", "ie 0.0:0.4", "ie (2)"]


def test_a_rule_that_draws_is_drawn_for_each_seed_and_says_that_it_looked_at_labels(pool):
    chosen = [euds.select(pool, rule="random-stratified", keep=50)]
    arms = by_name(make_arms(pool, chosen, seeds=[3, 4]))
    stratified = arms["random-stratified"]
    assert stratified.uses_labels
    assert not arms["random"].uses_labels
    first, second = stratified.selections
    assert set(first.ids) != set(second.ids)
    labels = pool.frame.filter(pool.frame["id"].is_in(first.ids))["label"].value_counts()
    assert sorted(labels["count"]) == [25, 25]


def test_a_selection_of_another_pool_is_refused(pool):
    other = labelled_pool(100, start=500)
    chosen = euds.select(other, rule="random", keep=20)
    with pytest.raises(OptionError, match="another pool"):
        make_arms(pool, [chosen], seeds=[0])


def test_an_arm_that_is_too_small_to_train_is_refused(pool):
    chosen = euds.select(pool, rule="random", keep=3)
    with pytest.raises(OptionError, match="too small to train"):
        make_arms(pool, [chosen], seeds=[0])


def test_a_rule_that_draws_from_scores_or_a_target_is_drawn_from_them_again(pool, table):
    scores = ScoreTable(table.frame.with_columns(ge=table.frame["ie"]))
    target = Texts.of(["cold1 cold2 cold3", "cold4 cold5"])
    chosen = [
        euds.select(pool, scores, rule="ccs", keep=40, always_keep=["00007"]),
        euds.select(pool, rule="dsir", keep=40, target=target),
    ]
    basis = Basis(scores=scores, target=target)
    arms = by_name(make_arms(pool, chosen, seeds=[0, 1], basis=basis))
    for name, first in zip(("ccs", "dsir"), chosen, strict=True):
        one, other = arms[name].selections
        assert one.ids == first.ids
        assert set(one.ids) != set(other.ids)
        assert len(other) == 40
        assert arms[name].selecting_seconds > 0
    assert all("00007" in one.ids for one in arms["ccs"].selections)
    for lacking, told in ((chosen[0], "scores="), (chosen[1], "target=")):
        with pytest.raises(OptionError, match="draws anew for every seed") as caught:
            make_arms(pool, [lacking], seeds=[0])
        assert told in str(caught.value)
