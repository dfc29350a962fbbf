"""k-center and k-means, against greedy and exhaustive search written down plainly."""

import itertools
import tracemalloc

import numpy as np
import pytest

from euds.selection.rules.coverage import farthest_first
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for

NOTHING = np.empty((0, 8), dtype=np.float32)


def farthest(vectors, count, covered_by=NOTHING):
    lots = np.arange(len(vectors), dtype=np.uint64)
    return farthest_first(vectors, count=count, lots=lots, covered_by=covered_by).tolist()


def pool_of(array):
    pool = make_pool([f"text number {index}" for index in range(len(array))])
    return pool, vectors_for(pool, array)


def kept_numbers(selection):
    return set(map(int, selection.ids))


def naive_greedy(vectors, count, chosen=()):
    """Return the greedy order by the definition, in double precision and with every distance."""
    points = [tuple(map(float, vector)) for vector in vectors]
    order = list(chosen)
    if not order:
        mean = [sum(values) / len(points) for values in zip(*points, strict=True)]
        order.append(min(range(len(points)), key=lambda row: squared(points[row], mean)))
        count -= 1
    for _ in range(count):
        left = [row for row in range(len(points)) if row not in order]
        order.append(
            max(left, key=lambda row: min(squared(points[row], points[one]) for one in order))
        )
    return order[len(chosen) :]


def squared(first, second):
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True))


def radius(vectors, centres):
    """Return the largest distance from a row to the nearest centre."""
    return max(min(squared(row, vectors[one]) for one in centres) for row in vectors) ** 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_whole_order_is_the_greedy_one(seed):
    vectors = unit_vectors(40, seed=seed)
    assert farthest(vectors, 40) == naive_greedy(vectors, 40)


def test_rows_that_are_no_unit_vectors_are_measured_right():
    vectors = unit_vectors(30) * np.linspace(0.5, 2, 30, dtype=np.float32)[:, None]
    assert farthest(vectors, 30) == naive_greedy(vectors, 30)


@pytest.mark.parametrize("seed", range(8))
def test_no_row_is_more_than_twice_as_far_as_the_best_centres_allow(seed):
    vectors = unit_vectors(11, 3, seed=seed)
    best = min(radius(vectors, centres) for centres in itertools.combinations(range(11), 3))
    assert radius(vectors, farthest(vectors, 3)) <= 2 * best


def test_k_center_keeps_the_greedy_rows_and_says_that_the_rest_is_covered():
    array = unit_vectors(60)
    pool, vectors = pool_of(array)
    selection = select(pool, rule="k-center", keep=12, vectors=vectors)
    assert kept_numbers(selection) == set(naive_greedy(array, 12))
    assert selection.reasons == {"covered": 48}


def test_k_center_stays_away_from_rows_that_stay():
    array = unit_vectors(60)
    pool, vectors = pool_of(array)
    selection = select(
        pool, rule="k-center", keep=12, vectors=vectors, always_keep=["00003", "00050"]
    )
    assert kept_numbers(selection) == {3, 50, *naive_greedy(array, 10, chosen=(3, 50))}


def test_equal_vectors_come_last_and_their_lots_decide():
    vectors = np.repeat(unit_vectors(4), 3, axis=0)
    order = farthest(vectors, 12)
    assert sorted(order[:4]) == [0, 3, 6, 9]  # of each three the lowest lot
    assert sorted(order) == list(range(12))
    reversed_lots = np.arange(12, dtype=np.uint64)[::-1]
    order = farthest_first(vectors, count=12, lots=reversed_lots, covered_by=NOTHING)
    assert sorted(order[:4]) == [2, 5, 8, 11]


def test_no_matrix_of_all_pairs_is_made():
    rows = 20_000  # all pairs in float32 would be 1.6 GB
    vectors = unit_vectors(rows, 384)
    lots = np.arange(rows, dtype=np.uint64)
    tracemalloc.start()
    try:
        farthest_first(vectors, count=20, lots=lots, covered_by=vectors[:0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6


def test_k_means_makes_no_matrix_of_all_pairs():
    array = unit_vectors(6_000, 16)  # all pairs in float64 would be 288 MB
    pool, vectors = pool_of(array)
    select(pool, rule="k-means", keep=5, vectors=vectors)  # what is imported does not count
    tracemalloc.start()
    try:
        select(pool, rule="k-means", keep=5, vectors=vectors)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize("clusters", [1, 4, 9])
def test_k_means_keeps_the_row_nearest_to_the_middle_of_each_cluster(clusters):
    rng = np.random.default_rng(clusters)
    middles = np.eye(16)[:clusters]  # far apart: the clusters cannot be mistaken
    array = np.repeat(middles, 20, axis=0) + 0.05 * rng.normal(size=(20 * clusters, 16))
    array = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)
    order = rng.permutation(len(array))
    pool, vectors = pool_of(array[order])
    selection = select(pool, rule="k-means", keep=clusters, vectors=vectors)
    expected = set()
    for start in range(0, len(array), 20):
        cluster = array[start : start + 20].astype(np.float64)
        distances = ((cluster - cluster.mean(axis=0)) ** 2).sum(axis=1)
        expected.add(int(np.flatnonzero(order == start + distances.argmin())[0]))
    assert kept_numbers(selection) == expected
    assert selection.reasons == {"not nearest to a centre": 19 * clusters}


@pytest.mark.parametrize("keep", [2, 5, 12, 29])
def test_k_means_keeps_exactly_as_many_rows_where_vectors_repeat(keep):
    distinct = unit_vectors(5)
    pool, vectors = pool_of(np.tile(distinct, (6, 1)))
    kept = kept_numbers(select(pool, rule="k-means", keep=keep, vectors=vectors))
    assert len(kept) == keep
    assert len({number % 5 for number in kept}) == min(keep, 5)


def test_k_means_is_the_same_however_many_threads_there_are():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pool, vectors = pool_of(unit_vectors(400, 32))
    kept = []
    for threads in (1, 2):
        with threadpoolctl.threadpool_limits(limits=threads):
            kept.append(select(pool, rule="k-means", keep=60, vectors=vectors).ids)
    assert kept[0] == kept[1]


def test_k_means_follows_the_rows_and_not_the_outliers():
    rng = np.random.default_rng(3)
    # Ten rows far from everything, and 200 around three places.
    places = np.eye(40)[:3]
    crowd = places[rng.integers(0, 3, 200)] + rng.normal(size=(200, 40)) * 0.08
    array = np.vstack([np.eye(40)[10:20], crowd])
    pool, vectors = pool_of(array / np.linalg.norm(array, axis=1, keepdims=True))
    kept = kept_numbers(select(pool, rule="k-means", keep=10, vectors=vectors))
    assert sum(number < 10 for number in kept) <= 3
