"""Unusable rows stand where rows were, in the shares and with the labels that were asked for."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from euds.errors import OptionError
from euds.reading import datasets
from euds.reading.spoiling import COLUMN, KINDS, spoil

ROWS = [
    {"text": f"The {number} quick foxes jumped over lazy dog number {number}. " * (1 + number % 7),
     "label": "abc"[number % 3], "note": number}
    for number in range(600)
]  # fmt: skip
STRANGERS = ["A lease ends when the tenant leaves. The owner then returns the deposit in full."]


def spoiled(share=0.3, **more):
    return spoil(ROWS, share, strangers=STRANGERS, **more)


def test_all_kinds_have_as_many_rows_and_no_other_row_changes():
    rows = spoiled()
    counts = Counter(row[COLUMN] for row in rows)
    assert {kind: counts[kind] for kind in KINDS} == dict.fromkeys(KINDS, 12)
    usable = [(row, before) for row, before in zip(rows, ROWS, strict=True) if not row[COLUMN]]
    assert len(usable) == 420
    assert all(row == {**before, COLUMN: None} for row, before in usable)
    assert all(row["note"] == before["note"] for row, before in zip(rows, ROWS, strict=True))


def test_the_same_seed_makes_the_same_rows():
    assert spoiled(seed=3) == spoiled(seed=3)
    assert spoiled(seed=3) != spoiled(seed=4)


def test_lengths_are_the_kinds_own_or_those_of_the_rows_replaced():
    def lengths(which):
        rows = spoiled(0.5, lengths=which)
        return [
            (row[COLUMN], len(row["text"]), len(before["text"]))
            for row, before in zip(rows, ROWS, strict=True)
            if row[COLUMN]
        ]

    # Cut at a space: at most half of the length is lost, and nearly all of it is there.
    like = [made / replaced for _, made, replaced in lengths("replaced")]
    assert min(like) >= 0.5
    assert max(like) <= 1
    assert sum(like) / len(like) > 0.9
    assert all(made <= KINDS[kind][2] for kind, made, _ in lengths("own"))
    assert sum(made > 400 for _, made, _ in lengths("own")) > 50
    half = sum(made > replaced for _, made, replaced in lengths("both"))
    assert 0 < half < sum(made > replaced for _, made, replaced in lengths("own"))


def test_labels_are_any_of_the_pool_or_those_of_the_rows_replaced():
    def changed(which):
        rows = spoiled(0.5, labels=which)
        return sum(row["label"] != before["label"] for row, before in zip(rows, ROWS, strict=True))

    assert changed("replaced") == 0
    assert 160 < changed("random") < 240  # two in three of 300
    unlabelled = [{"text": row["text"]} for row in ROWS]
    assert all("label" not in row for row in spoil(unlabelled, 0.5, strangers=STRANGERS))


def test_without_strangers_there_are_none_off_the_topic():
    assert "off-topic" not in {row[COLUMN] for row in spoil(ROWS, 0.5)}
    with pytest.raises(OptionError, match="off-topic"):
        spoil(ROWS, 0.5, kinds=["off-topic"])
    with pytest.raises(OptionError, match="did you mean 'markup'"):
        spoil(ROWS, 0.5, kinds=["mark-up"])
    with pytest.raises(OptionError, match="share"):
        spoil(ROWS, 1.5)


def test_shuffled_words_are_words_of_the_pool_and_mojibake_can_be_put_right():
    known = {word for row in ROWS for word in row["text"].split()}
    shuffled = spoiled(0.2, kinds=["shuffled"])
    # The text that they come from may have been cut in a word, and so may they.
    assert all(len(set(row["text"].split()) - known) <= 2 for row in shuffled if row[COLUMN])
    for row in spoiled(0.2, kinds=["mojibake"]):
        if row[COLUMN]:
            meant = row["text"].encode("latin-1").decode(errors="ignore")
            letters = [letter for letter in meant if letter.isalpha()]
            assert sum("а" <= letter.lower() <= "ё" for letter in letters) >= len(letters) - 1


def test_a_data_set_is_written_with_a_share_of_it_spoiled(tmp_path):
    assert datasets.write("bbc-news", tmp_path / "a.jsonl", rows=300, spoiled=0.3) == 300
    datasets.write("bbc-news", tmp_path / "b.jsonl", rows=300)
    spoiled_rows, rows = (
        [json.loads(line) for line in (tmp_path / name).read_bytes().splitlines()]
        for name in ("a.jsonl", "b.jsonl")
    )
    assert sum(row[COLUMN] is not None for row in spoiled_rows) == 90
    kept = [row for row in spoiled_rows if row[COLUMN] is None]
    assert all({"text": row["text"], "label": row["label"]} in rows for row in kept)
