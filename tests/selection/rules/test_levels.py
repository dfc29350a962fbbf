"""k-center of many rows, against exhaustive search and its own definition, written plainly."""

import itertools
import tracemalloc

import numpy as np
import pytest

from euds.selection.rules import coverage
from euds.selection.rules import coverage as levels
from euds.selection.rules.coverage import STEP, farthest_by_levels
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for

NOTHING = np.empty((0, 8), dtype=np.float32)


@pytest.fixture
def in_small_blocks(monkeypatch):
    monkeypatch.setattr(levels, "_CHOSEN_AMONG", 7)
    monkeypatch.setattr(levels, "_ROWS_PER_BLOCK", 11)
    monkeypatch.setattr(levels, "_CENTRES_PER_BLOCK", 3)


def in_order(vectors, count, covered_by=None):
    lots = np.arange(len(vectors), dtype=np.uint64)
    covered_by = vectors[:0] if covered_by is None else covered_by
    return farthest_by_levels(vectors, count=count, lots=lots, covered_by=covered_by).tolist()


def distances(vectors):
    points = vectors.astype(np.float64)
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))


def crowded_vectors(rows, *, seed=0):
    """Return unit vectors some of which lie close together, and some alone."""
    rng = np.random.default_rng(seed)
    vectors = np.eye(8)[rng.integers(3, size=rows)] + rng.normal(size=(rows, 8)) * rng.choice(
        [0.02, 0.4], size=(rows, 1)
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [unit_vectors, crowded_vectors])
def test_each_row_is_nearly_the_farthest_from_those_before_it(make, seed, in_small_blocks):
    vectors = make(150, seed=seed)
    between = distances(vectors)
    order = in_order(vectors, 150)
    assert sorted(order) == list(range(150))
    centre = np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)
    assert order[0] == centre.argmin()
    for place in range(1, 150):
        nearest = between[:, order[:place]].min(axis=1)
        assert nearest[order[place]] >= STEP * nearest.max() - 1e-3


@pytest.mark.parametrize("seed", range(8))
def test_no_row_is_much_more_than_twice_as_far_as_the_best_centres_allow(seed):
    between = distances(unit_vectors(11, 3, seed=seed))
    order = in_order(unit_vectors(11, 3, seed=seed), 11)
    for count in (1, 2, 3, 5):
        best = min(
            between[:, centres].min(axis=1).max()
            for centres in itertools.combinations(range(11), count)
        )
        assert between[:, order[:count]].min(axis=1).max() <= 2 / STEP * best + 1e-6


def test_rows_stay_away_from_what_covers_them(in_small_blocks):
    vectors = unit_vectors(80)
    covers = vectors[[3, 50]]
    between = distances(vectors)
    order = in_order(vectors, 40, covered_by=covers)
    assert not {3, 50} & set(order)
    for place in range(40):
        nearest = between[:, [3, 50, *order[:place]]].min(axis=1)
        assert nearest[order[place]] >= STEP * nearest.max() - 1e-3


def test_equal_vectors_come_last_and_their_lots_decide():
    vectors = np.repeat(unit_vectors(4), 3, axis=0)
    order = in_order(vectors, 12)
    assert sorted(order[:4]) == [0, 3, 6, 9]  # of each three the lowest lot
    assert order[4:] == [1, 2, 4, 5, 7, 8, 10, 11]
    assert in_order(np.repeat(unit_vectors(1), 9, axis=0), 5) == [0, 1, 2, 3, 4]
    assert in_order(unit_vectors(5), 0) == []


def test_the_same_rows_in_another_order_are_chosen_alike():
    vectors = crowded_vectors(400)
    lots = np.random.default_rng(1).permutation(400).astype(np.uint64)
    order = farthest_by_levels(vectors, count=90, lots=lots, covered_by=NOTHING)
    shuffled = np.random.default_rng(2).permutation(400)
    again = farthest_by_levels(vectors[shuffled], count=90, lots=lots[shuffled], covered_by=NOTHING)
    assert shuffled[again].tolist() == order.tolist()


def test_it_covers_as_well_as_always_taking_the_farthest():
    vectors = crowded_vectors(900)
    lots = np.arange(900, dtype=np.uint64)
    between = distances(vectors)
    found = {}
    for choose in (coverage.farthest_first, farthest_by_levels):
        chosen = choose(vectors, count=90, lots=lots, covered_by=NOTHING)
        found[choose] = between[:, chosen].min(axis=1).max()
    at_random = between[:, :90].min(axis=1).max()
    assert found[farthest_by_levels] <= 1.1 * found[coverage.farthest_first]
    assert found[farthest_by_levels] <= 0.8 * at_random


def test_no_matrix_of_all_pairs_is_made():
    rows = 20_000  # all pairs in float32 would be 1.6 GB
    vectors = unit_vectors(rows, 32)
    tracemalloc.start()
    try:
        in_order(vectors, 1_500)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6


def test_k_center_of_many_rows_is_chosen_by_levels(monkeypatch):
    array = unit_vectors(60)
    pool = make_pool([f"text number {index}" for index in range(60)])
    vectors = vectors_for(pool, array)
    few = select(pool, rule="k-center", keep=20, vectors=vectors)
    monkeypatch.setattr(coverage, "MOST_AT_ONCE", 59)
    asked = []

    def watched(*arguments, **options):
        asked.append(options["count"])
        return farthest_by_levels(*arguments, **options)

    monkeypatch.setattr(coverage, "farthest_by_levels", watched)
    many = select(pool, rule="k-center", keep=20, vectors=vectors)
    assert asked == [20]
    assert many.reasons == few.reasons == {"covered": 40}
    between = distances(array)

    def radius(selection):
        return between[:, list(map(int, selection.ids))].min(axis=1).max()

    assert radius(many) <= 2 / STEP * radius(few)
