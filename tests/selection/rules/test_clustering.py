"""Clusters of many rows: on a drawn sample, and shard by shard."""

import numpy as np
import pytest

from euds.selection.rules import clustering, coverage
from euds.selection.rules.clustering import clustered, nearest_centres
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for


def lots(rows, seed=0):
    return np.random.default_rng(seed).permutation(rows).astype(np.uint64)


def blobs(rows, number, *, seed=0, width=0.05):
    """Return unit vectors around axes, and which axis each is around."""
    rng = np.random.default_rng(seed)
    own = rng.integers(number, size=rows)
    vectors = np.eye(16)[own] + width * rng.normal(size=(rows, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), own


@pytest.fixture
def few_at_once(monkeypatch):
    """Treat a few hundred rows as many."""
    monkeypatch.setattr(clustering, "MOST_AT_ONCE", 100)
    monkeypatch.setattr(clustering, "_MOST_CENTRES", 20)
    monkeypatch.setattr(clustering, "_FITTED_ON", 90)
    monkeypatch.setattr(clustering, "_ROWS_PER_SHARD", 40)
    monkeypatch.setattr(clustering, "_BLOCK", 64)


def test_few_clusters_are_learnt_on_some_rows_and_hold_all(few_at_once):
    vectors, own = blobs(600, 9)
    seeds = [np.flatnonzero(own == one)[0] for one in range(9)]
    first = lots(600) + np.uint64(100)
    first[seeds] = np.arange(9, dtype=np.uint64)  # a centre begins in each
    labels, distances = clustered(vectors, 9, lots=first, seed=0)
    assert len(set(zip(labels.tolist(), own.tolist(), strict=True))) == 9
    # The centres are the means of the 90 rows of the lowest lots.
    drawn = np.argsort(first)[:90]
    for one in range(9):
        centre = vectors[drawn][own[drawn] == one].astype(np.float64).mean(axis=0)
        expected = np.linalg.norm(vectors[own == one] - centre, axis=1)
        assert distances[own == one] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("clusters", [21, 60, 500])
def test_shards_make_as_many_clusters_as_are_asked_for(clusters, few_at_once):
    vectors = unit_vectors(600, 16)
    labels, distances = clustered(vectors, clusters, lots=lots(600), seed=0)
    assert set(labels.tolist()) == set(range(clusters))
    assert (distances >= 0).all()
    # A row is as far from its centre as from the mean of the cluster, which k-means converges to.
    means = np.stack([vectors[labels == one].mean(axis=0) for one in range(clusters)])
    assert distances == pytest.approx(np.linalg.norm(vectors - means[labels], axis=1), abs=0.02)


def test_clusters_in_shards_are_about_as_close_as_those_of_all_rows(monkeypatch, few_at_once):
    vectors, _ = blobs(900, 12, width=0.3)
    sharded = clustered(vectors, 90, lots=lots(900), seed=0)[1].mean()
    monkeypatch.setattr(clustering, "MOST_AT_ONCE", 900)
    whole = clustered(vectors, 90, lots=lots(900), seed=0)[1].mean()
    begun = np.argsort(lots(900))[:90]
    at_random = np.linalg.norm(vectors[:, None] - vectors[begun][None], axis=2).min(axis=1).mean()
    assert whole < sharded < 1.08 * whole < at_random


@pytest.mark.parametrize("clusters", [21, 60, 400])
@pytest.mark.parametrize("width", [0.0, 0.3])
def test_every_row_is_in_one_shard_and_no_shard_is_much_larger_than_others(
    clusters, width, few_at_once
):
    vectors, _ = blobs(600, 2, width=width)  # two clusters, or two texts 300 times each
    shards = clustering._shards(vectors, clusters, lots=lots(600), seed=0)
    assert sorted(np.concatenate(shards).tolist()) == list(range(600))
    assert len(shards) < clusters
    assert max(map(len, shards)) <= max(80, 2 * 600 / clusters + 1)
    assert all(shard.tolist() == sorted(shard.tolist()) for shard in shards)


@pytest.mark.parametrize("seed", range(20))
def test_every_shard_gets_a_cluster_and_none_more_than_its_rows(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, size=rng.integers(1, 30)).tolist()
    total = int(rng.integers(len(sizes), sum(sizes) + 1))
    shares = clustering._shares(sizes, total)
    assert sum(shares) == total
    due = [
        1 + (total - len(sizes)) * (size - 1) / max(1, sum(sizes) - len(sizes)) for size in sizes
    ]
    for share, size, exact in zip(shares, sizes, due, strict=True):
        assert 1 <= share <= size
        assert abs(share - exact) < 1


def test_the_nearest_centre_is_that_of_comparing_all(monkeypatch):
    monkeypatch.setattr(clustering, "_BLOCK", 33)
    vectors, centres = unit_vectors(200), unit_vectors(12, seed=1) * np.float32(0.7)
    expected = np.linalg.norm(vectors[:, None] - centres[None], axis=2).argmin(axis=1)
    assert nearest_centres(vectors, centres).tolist() == expected.tolist()


@pytest.mark.parametrize("rule", ["k-means", "k-center", "semdedup"])
def test_the_order_of_the_rows_decides_nothing_where_they_are_many(rule, monkeypatch, few_at_once):
    monkeypatch.setattr(coverage, "MOST_AT_ONCE", 100)
    array = unit_vectors(300, 16)
    texts = np.array([f"text number {index}" for index in range(300)])
    kept = []
    for order in (np.arange(300), np.random.default_rng(3).permutation(300)):
        pool = make_pool(texts[order].tolist())
        vectors = vectors_for(pool, array[order])
        chosen = select(pool, rule=rule, keep=48, vectors=vectors)
        kept.append({texts[order][int(one)] for one in chosen.ids})
    assert len(kept[0]) == 48
    assert kept[0] == kept[1]


def test_k_means_of_many_keeps_exactly_as_many_rows_where_vectors_repeat(few_at_once):
    pool = make_pool([f"text number {index}" for index in range(300)])
    vectors = vectors_for(pool, np.tile(unit_vectors(50), (6, 1)))
    kept = select(pool, rule="k-means", keep=60, vectors=vectors).ids
    assert len(kept) == 60
    assert len({int(number) % 50 for number in kept}) > 40
