"""Ids: the user's own, or made of the texts; they do not depend on row order or labels."""

from __future__ import annotations

import json
import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from euds.errors import InputError
from euds.pool.pool import text_key
from euds.reading import read


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_equal_samples_get_an_occurrence_number(tmp_path):
    pool = read(write(tmp_path / "a.jsonl", [{"text": "a"}] * 3 + [{"text": "b"}]))
    a, b = text_key("a")[:16], text_key("b")[:16]
    assert pool.frame["id"].to_list() == [a, f"{a}-2", f"{a}-3", b]
    assert pool.frame["key"].to_list() == [text_key("a")] * 3 + [text_key("b")]


def test_another_context_is_another_sample(tmp_path):
    rows = [{"text": "a", "context": context} for context in ("x", "y", None)]
    ids = read(write(tmp_path / "a.jsonl", rows)).frame["id"].to_list()
    assert ids == [text_key("a", context)[:16] for context in ("x", "y", None)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_shuffling_keeps_the_ids_of_rows(tmp_path, name):
    rows = [{"text": f"t{n % 4}", "label": f"l{n % 3}", "n": str(n % 10)} for n in range(40)]
    shuffled = random.Random(0).sample(rows, len(rows))
    ids = []
    for order in (rows, shuffled):
        frame = pl.DataFrame(order)
        path = tmp_path / name
        {"l": frame.write_ndjson, "v": frame.write_csv, "t": frame.write_parquet}[name[-1]](path)
        pool = read(path)
        ids.append(sorted(zip(pool.frame["id"], map(str, order), strict=True)))
    assert ids[0] == ids[1]
    assert len({id_ for id_, _ in ids[0]}) == 40


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_neither_order_nor_labels_move_an_id(tmp_path_factory, order, labels):
    folder = tmp_path_factory.mktemp("ids")
    plain = [{"text": f"t{n % 2}", "n": n, "label": n} for n in range(8)]
    other = [{"label": labels[n], "text": f"t{n % 2}", "n": n} for n in order]
    ids = []
    for rows in (plain, other):
        pool = read(write(folder / "a.jsonl", rows))
        ids.append({row["n"]: id_ for row, id_ in zip(rows, pool.frame["id"], strict=True)})
    assert ids[0] == ids[1]


def test_equal_files_are_told_apart_by_name_and_not_by_label(tmp_path):
    ids = []
    for labels in (("pos", "neg"), ("neg", "pos")):
        folder = tmp_path / labels[0]
        for name, label in zip(("a.txt", "b.txt"), labels, strict=True):
            (folder / label).mkdir(parents=True)
            (folder / label / name).write_text("same")
        pool = read(folder)
        ids.append(
            {
                path[-5:]: id_
                for path, id_ in zip(pool.records["path"], pool.frame["id"], strict=True)
            }
        )
    assert ids[0] == ids[1]


def test_a_column_id_is_used_if_all_rows_have_one(tmp_path):
    pool = read(write(tmp_path / "a.jsonl", [{"text": "a", "id": 7}, {"text": "a", "id": "x"}]))
    assert pool.frame["id"].to_list() == ["7", "x"]
    assert pool.source.id == "id"


@pytest.mark.parametrize(
    "second", [{"id": 1}, {"id": "1"}, {"id": None}, {}, {"id": 1.5}, {"id": ""}]
)
def test_a_column_id_with_gaps_or_repeats_is_not_used(tmp_path, second):
    pool = read(write(tmp_path / "a.jsonl", [{"text": "a", "id": 1}, {"text": "b", **second}]))
    assert pool.frame["id"].to_list() == [text_key("a")[:16], text_key("b")[:16]]
    assert pool.source.id is None
    assert pool.rejected.height == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("k1", "repeats the id 'k1' of {path}:1"),
        (None, "is missing"),
        ("", "is empty"),
        (1.5, "is a number, not a string or a whole number"),
        (True, "is a boolean"),
        ("\ud800", "a string, not"),
    ],
)
def test_demanded_ids_must_be_there_and_distinct(tmp_path, value, reason):
    rows = [{"text": "a", "key": "k1"}, {"text": "b", "key": value}, {"text": "c", "key": 3}]
    path = write(tmp_path / "a.jsonl", rows)
    pool = read(path, id="key", max_rejected=0.5)
    assert pool.frame["id"].to_list() == ["k1", "3"]
    assert pool.rejected["line"].to_list() == [2]
    assert reason.format(path=path) in pool.rejected["reason"][0]


def test_a_refused_row_does_not_take_its_id_away(tmp_path):
    rows = [{"text": "", "key": "k"}, {"text": "b", "key": "k"}]
    pool = read(write(tmp_path / "a.jsonl", rows), id="key", max_rejected=0.5)
    assert pool.frame.select("id", "text").rows() == [("k", "b")]


def test_repeats_across_files_name_the_first_file(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.jsonl", [{"text": name, "key": 1}])
    with pytest.raises(InputError, match=r"repeats the id '1' of .*a\.jsonl:1"):
        read(tmp_path / "a.jsonl", tmp_path / "b.jsonl", id="key")


def test_samples_beyond_one_chunk_are_kept_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("euds.reading.samples._CHUNK_ROWS", 3)
    rows = [{"text": f"t{n}"} for n in range(10)]
    pool = read(write(tmp_path / "a.jsonl", rows))
    assert pool.frame["text"].to_list() == [row["text"] for row in rows]
    assert [json.loads(record) for record in pool.records["record"]] == rows
