"""Rules that use labels: shares worked out by hand, and what EL2N leaves out."""

import math
import statistics

import numpy as np
import polars as pl
import pytest

from euds.scoring.scores import ScoreTable
from euds.selection.rules import labelled
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for


def pool_with(counts: dict[str, int]):
    labels = [label for label, count in counts.items() for _ in range(count)]
    return make_pool([f"text number {index}" for index in range(len(labels))], labels=labels)


def shares_kept(pool, selection) -> dict[str, int]:
    kept = pool.frame.filter(pl.col("id").is_in(selection.ids))
    return dict(kept["label"].value_counts().sort("label").iter_rows())


@pytest.mark.parametrize(
    ("counts", "keep", "expected"),
    [
        # 10 of 100 rows: each label's tenth.
        ({"a": 60, "b": 30, "c": 10}, 10, {"a": 6, "b": 3, "c": 1}),
        # 7 of 20: 11 -> 3.85, 6 -> 2.1, 3 -> 1.05; whole parts 3 + 2 + 1, the last to the .85.
        ({"a": 11, "b": 6, "c": 3}, 7, {"a": 4, "b": 2, "c": 1}),
        # 5 of 20: 13 -> 3.25, 5 -> 1.25, 2 -> 0.5; whole parts 3 + 1, the last to the .5.
        ({"a": 13, "b": 5, "c": 2}, 5, {"a": 3, "b": 1, "c": 1}),
        # 2 of 40: 37 -> 1.85, 3 -> 0.15: a rare label may go.
        ({"a": 37, "b": 3}, 2, {"a": 2}),
        ({"a": 3, "b": 2}, 5, {"a": 3, "b": 2}),
    ],
)
def test_each_label_gets_its_share_by_largest_remainder(counts, keep, expected):
    pool = pool_with(counts)
    selection = select(pool, rule="random-stratified", keep=keep)
    assert shares_kept(pool, selection) == expected
    inclusion = selection.frame.join(pool.frame.select("id", "label"), on="id")
    for label, count in counts.items():
        probability = inclusion.filter(pl.col("label") == label)["inclusion"].unique().to_list()
        assert probability == [pytest.approx(expected.get(label, 0) / count)]


def test_of_equal_remainders_no_label_gains_by_its_name():
    pool = pool_with({"a": 20, "b": 20})
    extra = [
        shares_kept(pool, select(pool, rule="random-stratified", keep=5, seed=seed))["a"] - 2
        for seed in range(100)
    ]
    # One row of five goes to a or b, with even odds: 50, standard deviation 5.
    assert 30 < sum(extra) < 70


def test_every_row_of_a_label_is_as_likely_as_another():
    pool = pool_with({"a": 8, "b": 24})
    counts = dict.fromkeys(pool.frame["id"], 0)
    for seed in range(160):
        for one in select(pool, rule="random-stratified", keep=8, seed=seed).ids:
            counts[one] += 1
    # Each with probability 1/4 in 160 draws: 40, standard deviation 5.5.
    assert min(counts.values()) > 18
    assert max(counts.values()) < 62


def test_a_budget_in_tokens_keeps_the_shares_too():
    pool = pool_with({"a": 60, "b": 30, "c": 10})
    table = ScoreTable(pl.DataFrame({"id": pool.frame["id"], "words": [10] * 100}))
    selection = select(pool, table, rule="random-stratified", keep_tokens=200)
    assert shares_kept(pool, selection) == {"a": 12, "b": 6, "c": 2}


def test_el2n_keeps_the_hardest_but_the_very_hardest_last(monkeypatch):
    # Row i is the i-th hardest; of 40 rows the hardest 2 are suspect.
    pool = pool_with({"a": 20, "b": 20})
    vectors = vectors_for(pool, unit_vectors(40))
    hardness = {
        tuple(vectors.of([key])[0]): 1 - row / 40 for row, key in enumerate(pool.frame["key"])
    }

    def known(rows, labels, *, seed):
        assert len(rows) == len(labels) == 40
        return np.array([hardness[tuple(row)] for row in rows])

    monkeypatch.setattr(labelled, "el2n", known)
    for keep, expected in [(3, [2, 3, 4]), (38, range(2, 40)), (39, range(1, 40))]:
        selection = select(pool, rule="el2n", keep=keep, vectors=vectors)
        assert list(map(int, selection.ids)) == list(expected)
    selection = select(pool, rule="el2n", keep=3, vectors=vectors)
    assert selection.reasons == {"below el2n": 35, "above el2n": 2}
    ranks = selection.frame["rank_el2n"].to_list()
    assert ranks[0] == pytest.approx(39.5 / 40)
    assert ranks[-1] == pytest.approx(0.5 / 40)
    # The ranks are there for an interval, too.
    upper = select(pool, rule="el2n", interval="0.5:0.9", vectors=vectors)
    assert list(map(int, upper.ids)) == list(range(4, 20))


def test_el2n_finds_the_wrong_labels_and_leaves_them_out():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    array = np.eye(2)[truth] @ unit_vectors(2, 16, seed=3) + 0.15 * rng.normal(size=(200, 16))
    array = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)
    wrong = set(range(0, 200, 40))  # five of 200; the hardest 5 % are ten
    labels = ["ab"[int(truth[row]) ^ (row in wrong)] for row in range(200)]
    pool = make_pool([f"text number {row}" for row in range(200)], labels=labels)
    selection = select(pool, rule="el2n", keep=0.16, vectors=vectors_for(pool, array))
    assert not wrong & set(map(int, selection.ids))
    reasons = dict(selection.frame.select("id", "reason").iter_rows())
    assert {reasons[f"{row:05d}"] for row in wrong} == {"above el2n"}


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.8])
def test_moderate_keeps_the_middle_distances_from_the_middle_of_each_class(keep):
    array = unit_vectors(100, 5)
    labels = ["abc"[row * row % 3] for row in range(100)]
    pool = make_pool([f"text number {row}" for row in range(100)], labels=labels)
    selection = select(pool, rule="moderate", keep=keep, vectors=vectors_for(pool, array))
    distances = []
    for row in range(100):
        own = [array[other].tolist() for other in range(100) if labels[other] == labels[row]]
        middle = [statistics.median(values) for values in zip(*own, strict=True)]
        distances.append(math.dist(array[row].tolist(), middle))
    order = sorted(range(100), key=distances.__getitem__)
    # As the authors' code cuts: from 1/2 - share / 2 to 1/2 + share / 2 of the sorted rows.
    low, high = round(100 * (0.5 - keep / 2)), round(100 * (0.5 + keep / 2))
    assert set(map(int, selection.ids)) == set(order[low:high])
    assert selection.reasons == {"below moderate": low, "above moderate": 100 - high}
    ranks = selection.frame["rank_moderate"].to_numpy()
    np.testing.assert_allclose(ranks[order], (np.arange(100) + 0.5) / 100)
