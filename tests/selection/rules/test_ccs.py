"""Coverage-centric selection: strata counted by a histogram, a budget divided fairly."""

import numpy as np
import polars as pl
import pytest

from euds.scoring.scores import ScoreTable
from euds.selection.rules import labelled
from euds.selection.rules.labelled import hardest_share, smallest_first
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for


def pool_with(values):
    pool = make_pool([f"text number {index}" for index in range(len(values))])
    return pool, ScoreTable(pool.frame.select("id").with_columns(ge=pl.Series(values)))


@pytest.mark.parametrize("seed", range(20))
def test_no_stratum_gets_less_while_another_gets_more(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 30, 12) * rng.integers(0, 2, 12)
    total = int(rng.integers(0, sizes.sum() + 1))
    quotas = smallest_first(sizes, total)
    assert quotas.sum() == total
    assert (quotas <= sizes).all()
    # Max-min fairness: who got less than the most has nothing left to give, but for one row.
    assert (quotas[quotas < sizes] >= quotas.max() - 1).all()


def test_the_share_that_is_too_hard_goes_through_the_published_rates():
    assert hardest_share(0.8) == pytest.approx(0.2)
    assert hardest_share(0.9) == pytest.approx(0.3)
    assert hardest_share(0.6) == hardest_share(0.3) == 0


@pytest.mark.parametrize("keep", [40, 100, 300])
def test_the_budget_is_spread_over_the_range_without_the_hardest(keep):
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 0.7, 400)  # dense at the easy end, thin at the hard one
    pool, table = pool_with(values)
    selection = select(pool, table, rule="ccs", keep=keep)
    too_hard = int(hardest_share(1 - keep / 400) * 400)
    left = np.sort(values)[: 400 - too_hard]
    kept = values[pool.frame["id"].is_in(selection.ids).to_numpy()]
    assert kept.max() <= left.max()
    sizes, edges = np.histogram(left, bins=50)
    taken = np.histogram(kept, bins=edges)[0]
    assert taken.sum() == keep
    assert (taken[taken < sizes] >= taken.max() - 1).all()
    assert selection.reasons.get("above ge", 0) == too_hard
    # Within a stratum all rows are as likely.
    places = np.clip(np.digitize(left, edges) - 1, 0, 49)
    expected = dict(zip(left, (taken / np.maximum(sizes, 1))[places], strict=True))
    for value, inclusion in zip(values, selection.frame["inclusion"], strict=True):
        assert inclusion == pytest.approx(expected.get(value, 0.0))


def test_every_row_of_a_stratum_has_its_turn():
    pool, table = pool_with(np.repeat([1.0, 2.0], [6, 30]))
    drawn = [set(select(pool, table, rule="ccs", keep=10, seed=seed).ids) for seed in range(60)]
    # 36 rows, 72 % pruned: 12 % of them, 4 rows, are too hard; of the others 5 and 5 are drawn.
    counts = [sum(one in ids for ids in drawn) for one in pool.frame["id"]]
    assert all(count > 30 for count in counts[:6])  # 50, standard deviation 3
    assert max(counts[6:]) < 30  # about 10
    assert min(counts[6:]) > 0


def test_equal_scores_are_one_stratum():
    pool, table = pool_with([3.0] * 30)
    assert len(select(pool, table, rule="ccs", keep=9)) == 9


def test_ccs_on_el2n_spreads_over_el2n(monkeypatch):
    pool, table = pool_with(np.linspace(0, 1, 100) ** 2)
    pool = type(pool).of(
        pool.frame.with_columns(label=pl.Series(["a", "b"] * 50)), pool.records, pool.source
    )
    hardness = dict(zip(pool.frame["key"], table.frame["ge"], strict=True))
    by_key = np.array([hardness[key] for key in sorted(hardness)])
    monkeypatch.setattr(labelled, "difficulty_of", lambda candidates: by_key)
    vectors = vectors_for(pool, unit_vectors(100))
    with_labels = select(pool, rule="ccs-el2n", keep=20, vectors=vectors)
    assert with_labels.ids == select(pool, table, rule="ccs", keep=20).ids
    assert with_labels.reasons["above el2n"] == 20
