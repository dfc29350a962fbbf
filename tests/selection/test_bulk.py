"""The bulk: robust, free of the order of rows and of copies, and right about what lies outside."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2, norm
from sklearn.metrics import roc_auc_score

from euds.scoring.scores import ScoreTable
from euds.selection.bulk import bulk_of
from euds.selection.select import select
from tests.conftest import make_pool

NAMES = ("ie", "ge", "ge_nll")


def lots(rows):
    return np.random.default_rng(9).permutation(rows).astype(np.uint64)


def bulk(table, **more):
    fitted = more.pop("fitted", np.ones(len(table), dtype=bool))
    return bulk_of(dict(zip(NAMES, table.T, strict=False)), fitted, lots(len(table)))


def clean(rows, *, seed=0):
    """Return correlated normal scores of three kinds."""
    rng = np.random.default_rng(seed)
    mixed = np.array([[1.0, 0.6, 0.3], [0.0, 0.8, 0.5], [0.0, 0.0, 0.4]])
    return rng.normal(size=(rows, 3)) @ mixed * [0.4, 0.3, 0.8] + [7.0, 3.5, 4.0]


def dirty(rows, *, seed=1):
    """Return scores of rubbish: anywhere, wider than the clean."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 3)) * [2.0, 1.5, 3.0] + [8.0, 3.0, 4.0]


def test_the_distances_of_a_normal_pool_follow_the_law():
    table = clean(4_000)
    found = bulk(table)
    true = np.linalg.inv(np.cov(clean(200_000, seed=5).T))
    offsets = table - [7.0, 3.5, 4.0]
    squared = np.einsum("ij,jk,ik->i", offsets, true, offsets)
    # By another route: the exact probability of the true distance, as a normal quantile.
    exact = norm.ppf(chi2.cdf(squared, 3))
    usual = np.abs(exact) < 2
    assert np.abs(found.distance - exact)[usual].mean() < 0.1
    assert found.far.mean() < 0.003
    assert found.inside.mean() > 0.99
    assert not found.is_dirty


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_rubbish_lies_outside_and_is_counted(share):
    of_dirty = round(1_500 * share)
    table = np.vstack([clean(1_500 - of_dirty), dirty(of_dirty)])
    is_dirty = np.arange(1_500) >= 1_500 - of_dirty
    found = bulk(table)
    assert roc_auc_score(is_dirty, found.distance) > 0.93
    assert 0.5 * share < found.background < 1.1 * share
    assert found.is_dirty
    assert is_dirty[found.inside].mean() < 0.3 * share
    assert found.inside.mean() == pytest.approx((1 - found.background) ** 2, abs=0.01)


def test_the_order_of_the_rows_changes_nothing():
    table = np.vstack([clean(500), dirty(200)])
    order = np.random.default_rng(2).permutation(700)
    values = dict(zip(NAMES, table.T, strict=True))
    first = bulk_of(values, np.ones(700, dtype=bool), lots(700))
    pool = make_pool([f"text {row}" for row in range(700)])
    mixed = make_pool([f"text {row}" for row in order])
    kept = []
    for one, rows in ((pool, np.arange(700)), (mixed, order)):
        frame = pl.DataFrame(table[rows], schema=NAMES)
        scores = ScoreTable(frame.insert_column(0, one.frame["id"]))
        kept.append(set(select(one, scores, rule="igse-joint", keep=90).frame.filter("kept")["id"]))
    texts = [set(one.frame.filter(pl.col("id").is_in(list(ids)))["text"])
             for one, ids in zip((pool, mixed), kept, strict=True)]  # fmt: skip
    assert texts[0] == texts[1]
    assert len(texts[0]) == 90
    assert not first.inside[500:].all()


def test_a_row_is_judged_by_the_scores_that_it_has():
    table = clean(1_000)
    table[:100, 1] = np.nan  # usual otherwise
    table[100:150, 1:] = np.nan
    table[150, 0], table[151, 0] = 12.0, 7.0  # far off, and usual
    table[150:152, 1:] = np.nan
    table[152] = np.nan
    found = bulk(table)
    assert found.far[:150].mean() < 0.02
    assert found.far[150]
    assert not found.far[151]
    assert np.isnan(found.distance[152])
    assert found.inside[152]
    # Fewer scores are compared by their own law: half of the rows are nearer than half of it.
    assert np.median(found.distance[:100]) == pytest.approx(0, abs=0.3)


def test_what_is_there_many_times_is_no_bulk():
    table = np.vstack([clean(300), np.repeat(dirty(1, seed=3), 400, axis=0)])
    fitted = np.arange(700) <= 300  # one stands for all copies
    found = bulk(table, fitted=fitted)
    assert found.far[300:].all()
    assert found.far[:300].mean() < 0.02


def test_scores_that_do_not_order_the_rows_leave_and_it_is_said():
    table = clean(400)
    values = {
        "ie": table[:, 0],
        "ge": np.where(np.arange(400) < 300, 1.0, table[:, 1]),
        "ge_nll": np.where(np.arange(400) < 350, np.nan, table[:, 2]),
    }
    found = bulk_of(values, np.ones(400, dtype=bool), lots(400))
    assert found.scores == ("ie",)
    assert "the same value" in found.left_out["ge"]
    assert found.left_out["ge_nll"] == "50 rows have it"
    assert found.far.mean() < 0.02


def test_a_handful_of_rows_has_no_bulk():
    assert bulk(clean(59)) is None
    assert bulk(clean(60)) is not None
    assert bulk(np.ones((100, 3))) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([12.0, 3.5, 4.0], "unusable: ie high"),
        ([7.0, 1.0, 4.0], "unusable: ge low"),
        ([7.0, 3.5, 12.0], "unusable: ge_nll high"),
        ([7.6, 3.05, 4.0], "unusable: ie with ge"),
    ],
)
def test_the_reason_names_what_is_odd(row, reason):
    rng = np.random.default_rng(0)
    ie = rng.normal(size=2_000)
    ge = 0.97 * ie + 0.2 * rng.normal(size=2_000)  # the two go together
    table = np.column_stack([7 + 0.4 * ie, 3.5 + 0.3 * ge, 4 + 0.8 * rng.normal(size=2_000)])
    table[0] = row
    found = bulk(table)
    assert found.far[0]
    assert found.reason[0] == reason
    assert found.reason.filter(pl.Series(~found.far)).unique().to_list() == ["edge of the bulk"]


def scored(table):
    pool = make_pool([f"text number {row} of them" for row in range(len(table))])
    frame = pl.DataFrame(table, schema=NAMES).insert_column(0, pool.frame["id"])
    return pool, ScoreTable(frame)


def test_rows_outside_are_kept_last_and_only_as_the_budget_asks():
    pool, table = scored(np.vstack([clean(500), dirty(200)]))
    usable = select(pool, table, keep=100, vectors=False)
    found = usable.diagnosis["usability"]
    assert found["kept"] == 0
    assert found["unusable"] == usable.frame["unusable"].sum() > 100
    assert not any("budget asks" in one for one in usable.diagnosis["warnings"])
    more = select(pool, table, keep=650, vectors=False)
    assert len(more) == 650
    dropped = more.frame.filter(~pl.col("kept"))
    assert dropped["distance"].min() >= more.frame.filter("kept")["distance"].max()
    assert any("budget asks for more rows" in one for one in more.diagnosis["warnings"])
    alike = select(pool, table, keep=100, vectors=False, keep_unusable=True)
    assert alike.diagnosis["usability"]["kept"] > 10
    assert any("like any others" in one for one in alike.diagnosis["warnings"])


def test_a_budget_above_the_bulk_holds_all_of_it():
    pool, table = scored(np.vstack([clean(500), dirty(200)]))
    inside = select(pool, table, keep=100, vectors=False).frame
    count = (~inside["reason"].fill_null("").str.contains("unusable|edge")).sum()
    more = select(pool, table, keep=int(count) + 30, vectors=False).frame
    assert more.filter("kept")["distance"].is_not_null().all()
    assert more["kept"].sum() == count + 30
    ordered = more.sort("distance")["kept"].to_numpy()
    assert ordered[: count + 30].all()
