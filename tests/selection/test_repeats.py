"""Near-duplicates before selecting: inside the pool, and against other texts."""

import numpy as np
import polars as pl
import pytest

from euds.errors import ModelNotFoundError, OptionError
from euds.pool.pool import Pool, Texts
from euds.scoring.scores import ScoreTable
from euds.selection import repeats
from euds.selection.repeats import stand_ins_by_cosine
from euds.selection.rules.registry import RULES
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import shuffled, unit_vectors, vectors_for

STEM = "the quick brown fox jumps over the lazy dog and runs far away from here"
NEAR = [f"{STEM} today", f"{STEM} again", f"{STEM} now"]
OTHERS = [f"another text number {row} about thing {row}" for row in range(17)]
TARGET = Texts.of(["a fox and a dog", "another text"])
BUDGETED = [name for name in RULES if name != "full"]


def pool_with_repeats(**details):
    """Return three near-duplicates and 17 other rows, with scores, labels and vectors."""
    texts = [*NEAR, *OTHERS]
    pool = make_pool(texts, labels=["a", "b"] * 10, **details)
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=20) for name in ("ie", "ge", "se", "ge_nll", "ge_hes")}
    table = ScoreTable(
        pl.DataFrame(
            {
                "id": pool.frame["id"],
                **scores,
                "words": rng.integers(5, 9, 20),
                "ge_ifd": rng.uniform(0.2, 0.9, 20),
            }
        )
    )
    return pool, table, vectors_for(pool, unit_vectors(20))


def standing(pool: Pool) -> str:
    """Return the id of the near-duplicate with the lowest key."""
    return pool.frame.head(3).sort("key")["id"][0]


@pytest.mark.parametrize("rule", BUDGETED)
def test_the_lowest_key_stands_for_near_duplicates_whatever_the_rule(rule):
    pool, table, vectors = pool_with_repeats()
    frame = select(pool, table, rule=rule, keep=18, vectors=vectors, target=TARGET).frame
    repeated = frame.filter(reason="near-duplicate")
    assert set(repeated["id"]) == {"00000", "00001", "00002"} - {standing(pool)}
    assert set(repeated["duplicate_of"]) == {standing(pool)}
    assert frame["kept"].sum() == 18
    assert frame.filter("kept")["duplicate_of"].null_count() == 18


@pytest.mark.parametrize("rule", BUDGETED)
def test_near_duplicates_fill_up_last_and_the_summary_says_so(rule):
    pool, table, vectors = pool_with_repeats()
    for keep, warned in [(18, False), (19, True), (20, True)]:
        selection = select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET)
        assert len(selection) == keep
        assert any("nearly repeat" in one for one in selection.warnings) == warned
        assert selection.frame["inclusion"].sum() == pytest.approx(keep)
        assert {standing(pool), *(f"{row:05d}" for row in range(3, 20))} <= set(selection.ids)


def test_a_row_that_must_stay_stands_for_its_near_duplicates():
    pool, table, _ = pool_with_repeats()
    last = pool.frame.head(3).sort("key")["id"][2]
    frame = select(pool, table, rule="random", keep=18, always_keep=[last]).frame
    assert set(frame.filter(reason="near-duplicate")["duplicate_of"]) == {last}
    # All that must stay stay, however alike they are.
    both = select(pool, table, rule="random", keep=3, always_keep=["00000", "00001", "00002"])
    assert set(both.ids) == {"00000", "00001", "00002"}


def test_a_row_outside_an_interval_stands_for_none_inside():
    pool, table, _ = pool_with_repeats()
    first = standing(pool)
    frame = table.frame.with_columns(ie=pl.when(pl.col("id") == first).then(9.0).otherwise(1.0))
    told = select(pool, ScoreTable(frame), rule="random", interval="ie=0:5").frame
    reasons = dict(told.select("id", "reason").head(3).iter_rows())
    assert reasons[first] == "above ie"
    assert sorted(map(str, reasons.values())) == ["None", "above ie", "near-duplicate"]


def test_a_draw_is_uniform_over_the_rows_that_stand():
    pool, table, _ = pool_with_repeats()
    counts = dict.fromkeys(pool.frame["id"], 0)
    for seed in range(300):
        selection = select(pool, table, rule="random", keep=6, seed=seed)
        for one in selection.ids:
            counts[one] += 1
        assert set(selection.frame["inclusion"].round(9)) == {0.0, round(6 / 18, 9)}
    drawn = [count for count in counts.values() if count]
    # Each of 18 with probability 1/3 in 300 draws: 100, standard deviation 8.2.
    assert len(drawn) == 18
    assert min(drawn) > 67
    assert max(drawn) < 133


def test_near_duplicates_are_kept_on_request_in_large_pools_and_by_full(monkeypatch):
    pool, table, _ = pool_with_repeats()
    assert (
        "near-duplicate"
        not in select(pool, table, rule="igse", keep=5, near_duplicates="keep").reasons
    )
    assert len(select(pool, table, rule="full")) == 20
    monkeypatch.setattr(repeats, "MOST_CHARACTERS", 100)
    selection = select(pool, table, rule="igse", keep=5)
    assert "near-duplicate" not in selection.reasons
    assert any("were not looked for" in warning for warning in selection.warnings)
    assert (
        select(pool, table, rule="igse", keep=5, near_duplicates="drop").reasons["near-duplicate"]
        == 2
    )


def test_the_order_of_rows_changes_nothing():
    pool, table, _ = pool_with_repeats()
    for options in ({}, {"against": make_pool([OTHERS[4]])}, {"soft": True}):
        first = select(pool, table, rule="igse", keep=9, **options).frame
        other_pool, other_table = shuffled(pool, table, seed=3)
        second = select(other_pool, other_table, rule="igse", keep=9, **options).frame
        assert first.sort("id").equals(second.sort("id"))


def naive_by_cosine(vectors: np.ndarray) -> list[int]:
    found = list(range(len(vectors)))
    for one in range(len(vectors)):
        for other in range(one + 1, len(vectors)):
            alone = found[one] == one and found[other] == other
            if alone and vectors[one] @ vectors[other] >= repeats.SAME_MEANING:
                found[other] = one
    return found


@pytest.mark.parametrize("block", [7, 1024])
def test_stand_ins_by_cosine_are_those_of_comparing_everything_in_turn(block, monkeypatch):
    monkeypatch.setattr(repeats, "_BLOCK", block)
    rng = np.random.default_rng(1)
    vectors = np.repeat(unit_vectors(40, 16), 3, axis=0) + rng.normal(0, 0.05, (120, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors = vectors[rng.permutation(120)]
    expected = naive_by_cosine(vectors)
    assert 45 < len(set(expected)) < 110
    rows = pl.DataFrame({"must": [False] * 120})
    assert stand_ins_by_cosine(rows, vectors).tolist() == expected
    # One that must stay comes first, and stands for those that stood for it.
    follower = next(place for place, other in enumerate(expected) if place != other)
    rows = pl.DataFrame({"must": np.arange(120) == follower})
    assert stand_ins_by_cosine(rows, vectors)[follower] == follower


def test_clusters_find_copies_in_pools_too_large_to_compare_all(monkeypatch):
    monkeypatch.setattr(repeats, "_MOST_COMPARED", 50)
    monkeypatch.setattr(repeats, "_ROWS_PER_CLUSTER", 40)
    vectors = np.repeat(unit_vectors(60, 16), 2, axis=0)
    found = stand_ins_by_cosine(pl.DataFrame({"must": [False] * 120}), vectors)
    assert found.tolist() == [row - row % 2 for row in range(120)]


def test_near_duplicates_by_embedding():
    pool, table, _ = pool_with_repeats()
    array = unit_vectors(20)
    array[7] = array[12]
    vectors = vectors_for(pool, array)
    frame = select(
        pool, table, rule="igse", keep=9, near_duplicates="embedding", vectors=vectors
    ).frame
    first, second = pool.frame[[7, 12]].sort("key")["id"]
    assert frame.filter(reason="near-duplicate").select("id", "duplicate_of").rows() == [
        (second, first)
    ]
    with pytest.raises(ModelNotFoundError):
        select(pool, table, rule="igse", keep=9, near_duplicates="embedding")


@pytest.mark.parametrize("rule", [*BUDGETED, "full"])
def test_rows_like_those_of_another_file_are_taken_out(rule):
    pool, table, vectors = pool_with_repeats()
    test = make_pool([f"{STEM} once more", OTHERS[5].upper(), "something new"])
    options = {} if rule == "full" else {"keep": 16}
    selection = select(
        pool, table, rule=rule, vectors=vectors, target=TARGET, against=test, **options
    )
    out = ["00000", "00001", "00002", "00008"]
    frame = selection.frame.filter(reason="near-duplicate of pool.jsonl")
    assert frame["id"].to_list() == out
    assert len(selection) == 16  # all that is left, and no near-duplicate fills up
    assert selection.settings["against"] == ["pool.jsonl"]
    if rule != "full":
        with pytest.raises(OptionError, match="4 near-duplicates of other texts"):
            select(pool, table, rule=rule, vectors=vectors, target=TARGET, against=test, keep=17)


def test_what_is_taken_out_counts_in_no_rank():
    pool, table, _ = pool_with_repeats()
    test = Texts.of([OTHERS[5], OTHERS[6]])
    without = pool.take(~pl.Series(np.isin(np.arange(20), [8, 9])))
    here = select(pool, table, rule="igse", keep=6, against=test).frame.filter(
        ~pl.col("id").is_in(["00008", "00009"])
    )
    there = select(without, table, rule="igse", keep=6).frame
    assert here.equals(there)


def test_labels_of_the_other_file_are_not_looked_at():
    pool, table, _ = pool_with_repeats()
    tests = [
        make_pool([OTHERS[5], OTHERS[6]], labels=labels)
        for labels in (None, ["a", "b"], ["b", "a"])
    ]
    frames = [select(pool, table, rule="igse", keep=6, against=test).frame for test in tests]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_a_row_that_must_stay_stays_though_it_is_in_the_other_file():
    pool, table, _ = pool_with_repeats()
    test = [make_pool([OTHERS[5]]), Texts.of([OTHERS[6]])]
    selection = select(pool, table, rule="igse", keep=6, against=test, always_keep=["00008"])
    assert "00008" in selection.ids
    assert selection.reasons["near-duplicate of texts given"] == 1
    # What stays counts among the ranks; what is taken out does not.
    ranks = selection.frame.filter(pl.col("id").is_in(["00008", "00009"])).sort("id")["rank_ie"]
    assert ranks.is_null().to_list() == [False, True]


def test_the_rule_full_and_senseless_wishes_are_refused():
    pool, table, _ = pool_with_repeats()
    with pytest.raises(OptionError, match="keeps every row"):
        select(pool, table, rule="full", near_duplicates="drop")
    with pytest.raises(OptionError, match="auto, drop, keep, embedding"):
        select(pool, table, rule="igse", keep=5, near_duplicates="remove")
