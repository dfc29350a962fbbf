"""Rows that look unusable, from the outside: what the summary says, what is kept, the way round."""

import json
import random

import polars as pl
import pytest

from euds.reading.spoiling import COLUMN, spoil
from tests.promises.commands import Place

TOLD = ["the", "quick", "brown", "fox", "jumped", "over", "lazy", "dogs", "while", "rain", "fell"]
KINDS = ("letter-salad", "base64", "tables", "mojibake")


def rows(count=400, seed=0):
    rng = random.Random(seed)
    return [{"text": " ".join(rng.choices(TOLD, k=rng.randint(20, 50)))} for _ in range(count)]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def write(place, name, found):
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    (place / name).write_text("".join(lines), encoding="utf-8")


def run(place, name, *more):
    words = ("run", name, "--text", "text", "--scores", "ie", "--keep", 0.2, "--no-report")
    return place.euds(*words, *more, "--out", "run")


def kept_kinds(place):
    """Return the kinds of unusable rows among those kept, out of the subset itself."""
    kept = [json.loads(line) for line in (place / "run" / "subset.jsonl").read_bytes().splitlines()]
    return [row[COLUMN] for row in kept]


def test_a_dirty_pool_is_said_to_be_and_its_rubbish_is_not_kept(place):
    write(place, "in.jsonl", spoil(rows(), 0.3, kinds=KINDS))
    ran = run(place, "in.jsonl")
    found = json.loads(run(place, "in.jsonl", "--json").stdout)["usability"]
    assert kept_kinds(place) == [None] * 80
    assert 100 <= found["unusable"] <= 130
    assert f"{found['unusable']} rows" in ran.said
    assert "look unusable, of which 0 were kept" in ran.said
    # The advice of the summary: look at some, why, and the way round.
    listed = place.euds("show", "run", "--unusable", "--json", "--limit", 0)
    shown = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(shown) == found["unusable"]
    assert [one["distance"] for one in shown] == sorted(
        (one["distance"] for one in shown), reverse=True
    )
    assert "because it looks unusable" in place.euds("why", "run", shown[0]["id"]).stdout
    run(place, "in.jsonl", "--keep-unusable")
    assert 10 < sum(kind is not None for kind in kept_kinds(place)) < 40
    assert "keeps them like any others" in run(place, "in.jsonl", "--keep-unusable").said


def test_a_clean_pool_is_said_to_be(place):
    write(place, "in.jsonl", rows())
    ran = run(place, "in.jsonl")
    assert "looks clean" in ran.said or "none lies outside" in ran.said
    assert "unusable:" not in ran.said.partition("Folder")[2]


def test_texts_of_a_few_words_are_judged_by_what_they_have(place):
    # Half of the answers have no entropy of words; they vanished once.
    rng = random.Random(1)
    short = [{"text": rng.choice(["yes", "no", "maybe so"]) + f" {at}"} for at in range(100)]
    write(place, "in.jsonl", [*rows(100), *short])
    run(place, "in.jsonl", "--keep", 0.5)
    frame = pl.read_parquet(place / "run" / "selection.parquet")
    scores = pl.read_parquet(place / "run" / "scores.parquet")
    is_short = scores["ie"].is_null()
    assert is_short.sum() >= 90
    assert not frame["reason"].fill_null("").str.contains("unscored").any()
    kept = frame["kept"].filter(is_short).sum()
    assert 20 < kept < 80


def test_where_most_of_a_file_looks_unusable_a_warning_names_it(place):
    write(place, "good.jsonl", rows(300))
    write(place, "bad.jsonl", list(spoil(rows(120), 1, kinds=KINDS)))
    ran = place.euds("run", "good.jsonl", "bad.jsonl", "--text", "text", "--scores", "ie",
                     "--keep", 0.2, "--no-report", "--out", "run")  # fmt: skip
    assert "of the rows of the file bad.jsonl look unusable" in ran.said
    assert "--keep-unusable keeps them like any others" in ran.said
