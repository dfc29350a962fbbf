"""Semantic de-duplication, against the definition with every pair written out."""

import tracemalloc

import numpy as np
import pytest

from euds.selection.rules import semantic_duplicates
from euds.selection.rules.semantic_duplicates import largest_cosine_before
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for


def pool_of(array):
    pool = make_pool([f"text number {index}" for index in range(len(array))])
    return pool, vectors_for(pool, array)


@pytest.mark.parametrize("block", [1, 7, 30, 1024])
def test_the_largest_cosine_to_a_row_before(monkeypatch, block):
    monkeypatch.setattr(semantic_duplicates, "_BLOCK", block)
    vectors = unit_vectors(30)
    expected = [-1.0]
    for row in range(1, 30):
        expected.append(max(float(vectors[row] @ vectors[other]) for other in range(row)))
    np.testing.assert_allclose(largest_cosine_before(vectors), expected, atol=1e-6)


@pytest.mark.parametrize("keep", [4, 15, 40])
@pytest.mark.parametrize("always_keep", [(), ("00002", "00007")])
def test_rows_above_the_threshold_are_dropped(monkeypatch, keep, always_keep):
    array = unit_vectors(60, 4)
    pool, vectors = pool_of(array)
    cluster_of = {key: index % 3 for index, key in enumerate(pool.frame["key"])}
    numbers = {key: index for index, key in enumerate(pool.frame["key"])}
    far = np.random.default_rng(2).permutation(60).astype(float)  # from the centre, as it were

    def known(rows, clusters, *, lots, seed):
        assert len(rows) == 60
        assert clusters == 8  # the square root of 60
        keys = sorted(numbers)
        return np.array([cluster_of[key] for key in keys]), far[[numbers[key] for key in keys]]

    monkeypatch.setattr(semantic_duplicates, "clustered", known)
    selection = select(pool, rule="semdedup", keep=keep, vectors=vectors, always_keep=always_keep)

    always = [int(one) for one in always_keep]
    cosine = {}
    for cluster in range(3):
        members = [row for row in range(60) if row % 3 == cluster]
        members.sort(key=lambda row: (row not in always, -far[row]))
        for place, row in enumerate(members):
            before = [float(array[row] @ array[other]) for other in members[:place]]
            cosine[row] = max(before, default=-1.0)
    left = sorted((row for row in cosine if row not in always), key=cosine.get)
    expected = {*always, *left[: keep - len(always)]}
    assert set(map(int, selection.ids)) == expected
    assert selection.reasons == {"like another": 60 - keep}


def test_of_each_group_of_duplicates_one_row_stays():
    rng = np.random.default_rng(4)
    array = np.repeat(unit_vectors(20, 32), 3, axis=0) + 1e-3 * rng.normal(size=(60, 32))
    array = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)
    pool, vectors = pool_of(array)
    kept = sorted(
        int(one) // 3 for one in select(pool, rule="semdedup", keep=20, vectors=vectors).ids
    )
    assert kept == list(range(20))


def test_no_matrix_of_all_pairs_is_made():
    vectors = unit_vectors(8_000, 16)  # all pairs in float32 would be 256 MB
    tracemalloc.start()
    try:
        largest_cosine_before(vectors)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e8
