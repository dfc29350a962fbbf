"""Quotas: shares worked out by hand, every source of groups, and draws that stay uniform."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import euds
from euds.errors import ModelNotFoundError, OptionError
from euds.scoring.scores import ScoreTable
from euds.selection.groups import number_of_clusters
from euds.selection.quotas import Quota, divided, parse_quota
from euds.selection.select import select
from tests.selection.pools import rich_pool, unit_vectors, vectors_for


@pytest.mark.parametrize(
    ("kind", "sizes", "total", "expected"),
    [
        ("proportional", [60, 30, 10], 10, [6, 3, 1]),
        ("equal", [60, 30, 10], 9, [3, 3, 3]),
        # 10 are all there are; the other 20 are halved.
        ("equal", [60, 30, 10], 50, [20, 20, 10]),
        # 10, then 30 of 45 are all there are.
        ("equal", [60, 30, 10], 95, [55, 30, 10]),
        # Square roots 8, 4, 2 of 14.
        ("sqrt", [64, 16, 4], 14, [8, 4, 2]),
        # Of 21 each seventh is 12, 6, 3; of 35 20, 10, 5 -> 4, and 31 as 2 to 1: 20.67, 10.33.
        ("sqrt", [64, 16, 4], 21, [12, 6, 3]),
        ("equal", [5, 0, 5], 4, [2, 0, 2]),
    ],
)
def test_shares_by_hand(kind, sizes, total, expected):
    whole, remainders = divided(np.array(sizes), total, kind=kind)
    assert whole.tolist() == expected
    assert not remainders.any()


def test_what_a_small_group_cannot_use_is_divided_by_the_weights_of_the_others():
    whole, remainders = divided(np.array([64, 16, 4]), 35, kind="sqrt")
    assert whole.tolist() == [20, 10, 4]
    assert remainders == pytest.approx([2 / 3, 1 / 3, 0])


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any),
    st.floats(0, 1),
    st.sampled_from(["proportional", "equal", "sqrt"]),
)
def test_shares_add_up_and_no_group_gets_more_than_it_has(sizes, share, kind):
    sizes, total = np.array(sizes), int(share * sum(sizes))
    whole, remainders = divided(sizes, total, kind=kind)
    assert whole.sum() + remainders.sum() == pytest.approx(total, abs=1e-6)
    assert (whole + (remainders > 0) <= sizes).all()
    # Who has rows left over gets no less, for its weight, than who has not.
    weight = {"proportional": sizes, "equal": sizes**0, "sqrt": np.sqrt(sizes)}[kind]
    level = (whole + remainders)[sizes > 0] / weight[sizes > 0]
    has_more = (whole + remainders < sizes)[sizes > 0]
    if has_more.any():
        assert level[has_more] == pytest.approx(level.max())


def test_a_quota_is_read_or_refused():
    assert parse_quota("a=b=sqrt") == Quota("a=b", "sqrt")
    for wrong in ("topic", "topic=", "=equal", "topic=half", ""):
        with pytest.raises(OptionError, match="quota cannot be read"):
            parse_quota(wrong)


def write_pool(folder, format_: str, rows: int = 90):
    """Write a pool with a column of topics, a third of which are quoted or missing."""
    topics = [["news, and more", "sport", None][row % 9 // 4] for row in range(rows)]
    frame = pl.DataFrame(
        {"text": [f"text {row} of {row * 7}" for row in range(rows)], "topic": topics}
    )
    path = folder / f"pool.{format_}"
    if format_ == "jsonl":
        frame.write_ndjson(path)
    elif format_ == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="," if format_ == "csv" else "\t")
    return euds.read(path), [topic or "" for topic in topics]


@pytest.mark.parametrize("format_", ["jsonl", "csv", "tsv", "parquet"])
def test_columns_of_the_input_in_every_format(format_, tmp_path):
    pool, topics = write_pool(tmp_path, format_)
    selection = select(pool, rule="random", keep=18, quota="topic=proportional")
    kept = selection.frame["kept"].to_list()
    counts = {
        name: sum(k for k, t in zip(kept, topics, strict=True) if t == name) for name in set(topics)
    }
    assert counts == {"news, and more": 8, "sport": 8, "": 2}  # of 40, 40 and 10
    equal = select(pool, rule="random", keep=18, quota="topic=equal").frame["kept"].to_list()
    assert sum(k for k, t in zip(equal, topics, strict=True) if t == "") == 6
    inclusion = dict(zip(topics, selection.frame["inclusion"], strict=True))
    assert inclusion == pytest.approx({"news, and more": 0.2, "sport": 0.2, "": 0.2})


def test_numbers_and_objects_are_values_too(tmp_path):
    path = tmp_path / "pool.jsonl"
    values = [1, 1.5, True, {"a": 1}] * 5
    path.write_text(
        "".join(json.dumps({"text": f"t {row}", "v": v}) + "\n" for row, v in enumerate(values))
    )
    pool = euds.read(path)
    kept = select(pool, rule="random", keep=8, quota="v=equal").frame["kept"]
    assert [sum(kept[place::4]) for place in range(4)] == [2, 2, 2, 2]


def test_within_each_group_the_rules_order_decides():
    pool, table, _ = rich_pool(120, labels=["a", "b"] * 60)
    table = ScoreTable(
        table.frame.with_columns(words=pl.lit(9), se_option=pl.Series(["x", "y", "y"] * 40))
    )
    frame = select(pool, table, rule="ie", keep=30, quota="se_option=equal").frame
    frame = frame.with_columns(option=table.frame["se_option"])
    frame = frame.filter(pl.col("rank_ie").is_not_null())
    for option in ("x", "y"):
        group = frame.filter(option=option).with_columns(far=(pl.col("rank_ie") - 0.5).abs())
        assert group["kept"].sum() == 15
        assert group.filter("kept")["far"].max() <= group.filter(~pl.col("kept"))["far"].min()


def test_a_budget_in_tokens_keeps_the_shares_too():
    pool, table, _ = rich_pool(120, labels=["a"] * 80 + ["b"] * 40)
    table = ScoreTable(table.frame.with_columns(ge_tokens=pl.lit(10)))
    for quota, expected in [("label=proportional", 20), ("label=equal", 15)]:
        selection = select(pool, table, rule="ie", keep_tokens=300, quota=quota)
        labels = pool.frame.filter(pl.col("id").is_in(selection.ids))["label"]
        # 10 repeats leave 80 and 30: of 30 rows 21.8 and 8.2.
        expected = 22 if quota.endswith("proportional") else 15
        assert len(labels) == 30
        assert abs((labels == "a").sum() - expected) <= 1


@pytest.mark.parametrize("column", ["label", "stars"])
def test_a_quota_on_the_label_uses_labels_and_says_so(column, tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text(
        "".join(
            json.dumps({"text": f"row {row} {row * 3}", "stars": "ab"[row % 3 == 0], "topic": "x"})
            + "\n"
            for row in range(30)
        )
    )
    pool = euds.read(path, label="stars")
    selection = select(pool, rule="random", keep=6, quota=f"{column}=equal")
    assert selection.settings["uses_labels"]
    assert not select(pool, rule="random", keep=6, quota="topic=equal").settings["uses_labels"]
    labels = pool.frame.filter(pl.col("id").is_in(selection.ids))["label"]
    assert sorted(labels) == ["a"] * 3 + ["b"] * 3
    bare = make_bare(pool)
    with pytest.raises(OptionError, match="the quota uses labels, and no row has one"):
        select(bare, rule="random", keep=6, quota=f"{column}=equal")


def make_bare(pool):
    frame = pool.frame.with_columns(label=pl.lit(None, dtype=pl.String))
    return euds.Pool.of(frame, pool.records, pool.source)


def test_clusters_are_strata_of_the_vectors():
    pool, table, _ = rich_pool(160)
    centres = np.eye(8, dtype=np.float32)
    # 9 clusters asked for of 150 rows, 8 there: each keeps its share.
    array = centres[np.arange(160) % 8] + 0.01 * unit_vectors(160)
    array[-10:] = array[:10]
    vectors = vectors_for(pool, array)
    selection = select(pool, table, rule="ie", keep=40, quota="clusters=equal", vectors=vectors)
    kept = np.flatnonzero(selection.frame["kept"].to_numpy())
    assert np.bincount(kept % 8, minlength=8).min() >= 40 // number_of_clusters(150)
    with pytest.raises(ModelNotFoundError):
        select(pool, table, rule="ie", keep=40, quota="clusters=equal")


def test_every_row_of_a_group_is_as_likely_as_another_in_a_draw(tmp_path):
    pool, _ = write_pool(tmp_path, "jsonl", rows=36)
    counts = np.zeros(36)
    for seed in range(200):
        selection = select(pool, rule="random", keep=9, quota="topic=equal", seed=seed)
        counts += selection.frame["kept"].to_numpy()
    share = select(pool, rule="random", keep=9, quota="topic=equal").frame["inclusion"].to_numpy()
    assert share.sum() == pytest.approx(9)
    # Binomial with 200 draws: 4.5 standard deviations.
    allowed = 4.5 * np.sqrt(200 * share * (1 - share)) + 1e-9
    assert (np.abs(counts - 200 * share) <= allowed).all()


def test_a_quota_needs_a_budget_and_a_column(tmp_path):
    pool, table, _ = rich_pool()
    with pytest.raises(OptionError, match="no column 'topik'"):
        select(pool, table, keep=5, quota="topik=equal")
    with pytest.raises(OptionError, match="no column 'se_option'") as caught:
        select(pool, table, keep=5, quota="se_option=equal")
    assert "--task" in str(caught.value)
    with pytest.raises(OptionError, match="a quota divides a budget"):
        select(pool, table, interval="ie=0:", quota="label=equal")
    with pytest.raises(OptionError, match="keeps every row"):
        select(pool, table, rule="full", quota="label=equal")
