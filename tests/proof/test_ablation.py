"""How much of a rule's gain is length alone."""

import json

import numpy as np
import polars as pl
import pytest

import euds
from euds.progress import SilentProgress
from euds.proof.ablation import LENGTH_BINS, ablate, length_matched
from euds.proof.training import trainers
from euds.proof.training.trained import TrainingStore
from euds.scoring.store.disk import Store
from tests.conftest import make_pool
from tests.proof.toy import Words


@pytest.fixture(scope="module")
def pool():
    """Texts whose words tell the class; the long ones have more of them."""
    rng = np.random.default_rng(1)
    texts, labels = [], []
    for index in range(800):
        label = ("cold", "warm")[index % 2]
        own = [f"{label}{number}" for number in range(60)]
        other = [f"{'warm' if label == 'cold' else 'cold'}{number}" for number in range(60)]
        words = [
            str(rng.choice(own if rng.random() < 0.6 else other))
            for _ in range(int(rng.integers(2, 40)))
        ]
        texts.append(" ".join([f"id{index}", *words]))
        labels.append(label)
    return make_pool(texts, labels=labels)


def words_of(pool, selection):
    kept = pool.frame.filter(pl.col("id").is_in(selection.ids))["text"]
    return np.sort(kept.str.count_matches(r"\S+").to_numpy())


def longest(pool, rows):
    ids = pool.frame.sort(pl.col("text").str.count_matches(r"\S+"))["id"][-rows:].to_list()
    return euds.select(pool, rule="random", keep=rows, always_keep=ids)


def test_matched_rows_are_as_long_as_the_rules_and_drawn_anew(pool):
    chosen = longest(pool, 120)
    draws = [length_matched(pool, chosen, seed=seed) for seed in (0, 1)]
    mine = words_of(pool, chosen)
    everything = np.sort(pool.frame["text"].str.count_matches(r"\S+").to_numpy())
    edges = np.unique(np.quantile(everything, np.arange(1, LENGTH_BINS) / LENGTH_BINS))
    for draw in draws:
        assert len(draw) == 120
        assert draw.ids == length_matched(pool, chosen, seed=0 if draw is draws[0] else 1).ids
        # By another route: as many rows below each edge.
        for edge in edges:
            assert (words_of(pool, draw) < edge).sum() == (mine < edge).sum()
    assert set(draws[0].ids) != set(draws[1].ids)


def test_matched_rows_need_not_be_the_rules(pool):
    chosen = euds.select(pool, rule="random", keep=100)
    drawn = length_matched(pool, chosen, seed=0)
    assert len(set(drawn.ids) & set(chosen.ids)) < 40
    shuffled = euds.Pool.of(pool.frame.reverse(), pool.records.reverse(), pool.source)
    again = length_matched(shuffled, chosen, seed=0)
    assert set(again.ids) == set(drawn.ids)


def test_the_gain_is_the_sum_of_its_parts_and_a_length_rule_gives_nothing_beside(
    pool, monkeypatch, tmp_path
):
    words = Words()
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: words)
    found = ablate(
        pool,
        0.4,
        rules=["length", "ie_plugin"],
        keep=0.25,
        proving={"task": "topic", "trainer": "words", "seeds": 4},
        progress=SilentProgress(),
        store=Store(tmp_path / "store"),
        trainings=TrainingStore(tmp_path / "trained"),
    )
    json.dumps(found, allow_nan=False)
    assert [one["rule"] for one in found["rules"]] == ["length", "ie_plugin"]
    for one in found["rules"]:
        parts = one["of_length"]["points"] + one["beside_length"]["points"]
        assert one["gain"]["points"] == pytest.approx(parts)
        expected = one["points"]["rule"] - one["points"]["random"]
        assert one["gain"]["points"] == pytest.approx(expected)
        assert one["words"]["matched"] == pytest.approx(one["words"]["rule"], rel=0.1)
    beside = found["rules"][0]["beside_length"]
    assert beside["low_points"] < 0 < beside["high_points"]
    assert found["sentences"][0].startswith("length against random: ")
