"""What leaves the pool, what the test set is, and what is only warned of."""

from collections import Counter

import numpy as np
import polars as pl
import pytest

from euds.errors import InputError, OptionError
from euds.pool.pool import Pool
from euds.proof.holdout import hold_out
from euds.reading import read
from euds.selection.near_duplicates import near_duplicates_of

WORDS = [f"w{number}" for number in range(500)]
NEAR = "near-duplicate of a test row"


def random_texts(rows: int, *, seed: int, words: int = 20) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=words)) for _ in range(rows)]


def pool_of(texts, labels=None, contexts=None) -> Pool:
    columns = {"text": texts, "label": labels or ["a", "b"] * (len(texts) // 2)}
    if contexts is not None:
        columns["context"] = contexts
    return read(pl.DataFrame(columns, schema_overrides={"label": pl.String}))


def texts_of(pool: Pool) -> list[str]:
    return pool.frame["text"].to_list()


def test_near_duplicates_of_test_rows_leave_the_pool():
    fresh, tested = random_texts(40, seed=1), random_texts(30, seed=2)
    edited = tested[3] + " indeed"
    pool = pool_of([*fresh[:20], edited, tested[7], *fresh[20:], tested[7].upper() + "!", "x"])
    held = hold_out(pool, pool_of(tested))
    assert texts_of(held.pool) == [*fresh, "x"]
    assert texts_of(held.test) == tested
    assert held.pool.records["text"].to_list() == texts_of(held.pool)
    assert (held.taken_out, held.test_taken_out) == ({NEAR: 3}, {})
    assert held.groups is None
    assert held.warnings == ()

    text_of = dict(pool.frame.select("id", "text").iter_rows())
    tested_of = dict(held.test.frame.select("id", "text").iter_rows())
    found = [
        (text_of[row], tested_of[other], round(similarity, 4))
        for row, other, similarity in held.near_duplicates.iter_rows()
    ]
    assert sorted(found[:2]) == sorted(
        [(tested[7], tested[7], 1.0), (tested[7].upper() + "!", tested[7], 1.0)]
    )
    assert found[2:] == [(edited, tested[3], 0.9474)]  # 18 of 19 shingles


def test_near_duplicates_that_stay_are_warned_of():
    tested = random_texts(30, seed=2)
    pool = pool_of([*random_texts(30, seed=1), *tested[:4]])
    held = hold_out(pool, pool_of(tested), remove_near_duplicates=False)
    assert held.pool.frame.equals(pool.frame)
    assert held.taken_out == {}
    assert held.near_duplicates.height == 4
    (warning,) = held.warnings
    assert warning.startswith("4 rows of the pool are near-duplicates")


def test_a_threshold_decides_what_is_near():
    tested = random_texts(30, seed=2)
    edited = [f"{' '.join(text.split()[:18])} other end" for text in tested]  # 16 of 20 shingles
    pool, test = pool_of([*random_texts(30, seed=1), *edited]), pool_of(tested)
    assert hold_out(pool, test, threshold=0.8).taken_out == {NEAR: 30}
    assert hold_out(pool, test, threshold=0.81).taken_out == {}


def test_rows_without_a_label_go_and_no_other_label_matters():
    texts, tested = random_texts(60, seed=1), random_texts(40, seed=2)
    labels = ["a", None, "b", ""] * 15
    held = hold_out(pool_of(texts, labels), pool_of(tested, ["a", None, "b", "b"] * 10))
    assert len(held.pool) == 45
    assert held.taken_out == {"no label": 15}
    assert len(held.test) == 30
    assert held.test_taken_out == {"no label": 10}

    renamed = [label and {"a": "None", "b": "null"}[label] for label in labels]
    again = hold_out(pool_of(texts, renamed), pool_of(tested, ["None", "null"] * 20))
    assert texts_of(again.pool) == texts_of(held.pool)


def test_no_labels_at_all_is_an_error():
    labelled = pool_of(random_texts(40, seed=1))
    bare = pool_of(random_texts(40, seed=2), [None] * 40)
    with pytest.raises(InputError, match="the pool has no labels") as caught:
        hold_out(bare, 0.5)
    assert "--label" in str(caught.value)
    with pytest.raises(InputError, match="the test set has no labels"):
        hold_out(labelled, bare)


@pytest.mark.parametrize("share", [0.2, 0.37, 0.5])
def test_a_share_is_met_by_whole_groups_in_any_order(share):
    texts = random_texts(200, seed=1)
    texts += [f"{text} again" for text in texts[:80]] + [f"{text} still" for text in texts[:50]]
    texts += texts[:10]  # equal texts, 340 in all
    labels = [str(index % 3) for index in range(len(texts))]
    held = hold_out(pool_of(texts, labels), share)
    assert len(held.test) == round(share * 340)
    assert len(held.pool) + len(held.test) == 340
    assert held.taken_out == {}
    assert near_duplicates_of(held.pool.texts, held.test.texts).is_empty()
    assert sorted(texts_of(held.pool) + texts_of(held.test)) == sorted(texts)

    order = np.random.default_rng(5).permutation(len(texts))
    mixed = hold_out(pool_of([texts[at] for at in order], [labels[at] for at in order]), share)
    assert sorted(texts_of(mixed.test)) == sorted(texts_of(held.test))
    relabelled = hold_out(pool_of(texts, labels[::-1]), share)
    assert texts_of(relabelled.test) == texts_of(held.test)
    other = hold_out(pool_of(texts, labels), share, seed=1)
    assert set(texts_of(other.test)) != set(texts_of(held.test))


def test_rows_with_one_context_are_not_divided():
    contexts = [text for text in random_texts(40, seed=3, words=4) for _ in range(5)]
    pool = pool_of(random_texts(200, seed=1), contexts=contexts)
    held = hold_out(pool, 0.3)
    assert len(held.test) == 60
    assert set(Counter(held.test.frame["context"]).values()) == {5}
    assert not set(held.test.frame["context"]) & set(held.pool.frame["context"])
    assert held.groups.largest == 5
    assert held.warnings == ()
    # Five rows a group: of 62 and of 63 rows, the nearest that there are.
    assert len(hold_out(pool, 0.31).test) == 60
    assert len(hold_out(pool, 0.315).test) == 65


def test_pairs_too_many_for_a_group_are_not_left_on_both_sides():
    # Each text shares nearly all with the next: 200 in a chain, of which 50 may be together.
    chain = [" ".join(WORDS[2 * link : 2 * link + 30]) for link in range(200)]
    held = hold_out(pool_of(chain), 0.25)
    assert held.groups.largest <= held.groups.cap == 50
    assert held.taken_out[NEAR] == held.near_duplicates.height > 0
    assert len(held.pool) + len(held.test) + held.taken_out[NEAR] == 200
    assert near_duplicates_of(held.pool.texts, held.test.texts).is_empty()
    left_in = hold_out(pool_of(chain), 0.25, remove_near_duplicates=False)
    assert len(left_in.pool) + len(left_in.test) == 200
    divided = near_duplicates_of(left_in.pool.texts, left_in.test.texts)
    assert divided["key"].n_unique() == left_in.near_duplicates.height == held.taken_out[NEAR]


def test_the_context_of_a_test_row_is_warned_of():
    shared = ["one passage", "two passages", " "]
    pool = pool_of(random_texts(60, seed=1), contexts=[*shared, *["other"] * 57])
    test = pool_of(random_texts(30, seed=2), contexts=[*shared, *["unseen"] * 27])
    held = hold_out(pool, test)
    assert len(held.pool) == 60
    (warning,) = held.warnings
    assert warning.startswith("2 rows of the pool have the same context")


def test_labels_that_the_pool_lacks():
    pool = pool_of(random_texts(40, seed=1), ["a", "b"] * 20)
    test = pool_of(random_texts(40, seed=2), ["a"] * 37 + ["c", "d", "d"])
    (warning,) = hold_out(pool, test).warnings
    assert warning.startswith("3 test rows have a label that the pool lacks")
    assert "'c' (1), 'd' (2)" in warning
    assert hold_out(pool, test, closed_labels=False).warnings == ()

    apart = pool_of(random_texts(40, seed=2), ["A", "B"] * 20)
    with pytest.raises(InputError, match="no label in common") as caught:
        hold_out(pool, apart)
    assert (caught.value.got, caught.value.expected) == (
        "A, B in the test set",
        "labels of the pool: a, b",
    )
    assert hold_out(pool, apart, closed_labels=False).warnings == ()


def test_too_little_is_an_error():
    pool, tested = pool_of(random_texts(60, seed=1)), random_texts(30, seed=2)
    assert len(hold_out(pool, pool_of(tested)).test) == 30
    with pytest.raises(InputError, match="test set is too small") as caught:
        hold_out(pool, pool_of(tested[:28]))
    assert caught.value.got == "28 rows with a label"
    with pytest.raises(InputError, match="test set is too small"):
        hold_out(pool, 0.45)
    with pytest.raises(InputError, match="hardly anything") as caught:
        hold_out(pool, pool)
    assert caught.value.got == f"0 rows (taken out: 60 {NEAR})"
    assert "same file" in caught.value.next_step
    one_context = pool_of(random_texts(60, seed=1), contexts=["be helpful"] * 60)
    with pytest.raises(InputError, match="too small") as caught:
        hold_out(one_context, 0.4)
    assert "same context are never divided" in caught.value.next_step


@pytest.mark.parametrize("share", [0, 1, -0.5, 30, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(OptionError, match="share of the test set"):
        hold_out(pool_of(random_texts(60, seed=1)), share)


def test_a_sample_is_drawn_by_the_texts_whatever_their_order():
    texts = random_texts(300, seed=5)
    pool, tested = pool_of(texts), pool_of(random_texts(40, seed=6))
    held = hold_out(pool, tested, sample=100)
    backwards = hold_out(pool_of(texts[::-1]), tested, sample=100)
    assert len(held.pool) == 100
    assert held.taken_out == {"not in the sample": 200}
    assert set(texts_of(held.pool)) == set(texts_of(backwards.pool))
    assert texts_of(held.pool) == [text for text in texts if text in set(texts_of(held.pool))]
    assert held.test.frame.equals(hold_out(pool, tested).test.frame)
    assert set(texts_of(hold_out(pool, tested, sample=100, seed=1).pool)) != set(
        texts_of(held.pool)
    )
    assert any("sample of 100 of 300 rows" in one for one in held.warnings)
    # A smaller sample lies inside a larger one, and one of all rows is no sample.
    smaller = hold_out(pool, tested, sample=50)
    assert set(texts_of(smaller.pool)) < set(texts_of(held.pool))
    assert hold_out(pool, tested, sample=300).warnings == ()


def test_every_row_that_a_sample_leaves_out_is_told_why():
    tested = random_texts(40, seed=6)
    texts = [*random_texts(200, seed=5), *tested[:20]]
    pool = pool_of(texts, labels=[*["a", "b"] * 100, *["a"] * 19, None])
    held = hold_out(pool, pool_of(tested), sample=150)
    reasons = Counter(held.left_out(pool)["reason"].to_list())
    assert reasons == Counter(held.taken_out)
    assert reasons["no label"] == 1
    assert reasons["not in the sample"] == 69
    assert len(held.pool) + reasons[NEAR] == 150
    assert reasons[NEAR] > 0


def test_a_share_of_a_sample_is_split_off():
    pool = pool_of(random_texts(400, seed=7))
    held = hold_out(pool, 0.25, sample=200)
    assert (len(held.pool), len(held.test)) == (150, 50)
    reasons = Counter(held.left_out(pool)["reason"].to_list())
    assert reasons == {"not in the sample": 200, "test set": 50}


def test_a_sample_of_a_few_rows_is_refused():
    with pytest.raises(OptionError, match="too small to train on"):
        hold_out(pool_of(random_texts(100, seed=7)), 0.3, sample=19)
