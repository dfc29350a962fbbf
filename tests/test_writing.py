"""Subsets are the input's own lines, and nothing of the user's is overwritten."""

from __future__ import annotations

import gzip
import json
import os
import time

import polars as pl
import pytest
import zstandard

from euds.errors import InputError, OptionError
from euds.reading import read
from euds.writing import write_rejected, write_subset

LINES = [
    b'{"text": "a",  "x": [1, 2]}',
    b' {"x": NaN, "text":"\\u00e9"}',
    b'{"text": "broken',
    b'{"text": "caf\xc3\xa9"}',
    b'{"text": "a",  "x": [1, 2]}',
]


@pytest.fixture
def pool(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\r\n".join(LINES))
    return read(tmp_path / "a.jsonl", max_rejected=0.2)


def test_lines_are_written_as_they_were_in_the_order_of_the_input(pool, tmp_path):
    ids = pool.frame["id"]
    assert write_subset(pool, [ids[3], ids[1]], tmp_path / "s.jsonl") == tmp_path / "s.jsonl"
    assert (tmp_path / "s.jsonl").read_bytes() == LINES[1] + b"\r\n" + LINES[4] + b"\r\n"
    write_subset(pool, ids, tmp_path / "s.ndjson")
    kept = [LINES[n] + b"\r\n" for n in (0, 1, 3, 4)]
    assert (tmp_path / "s.ndjson").read_bytes() == b"".join(kept)


def test_nothing_kept_is_an_empty_file(pool, tmp_path):
    write_subset(pool, [], tmp_path / "s.jsonl")
    assert (tmp_path / "s.jsonl").read_bytes() == b""


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_compressed_subsets_are_the_same_bytes_every_time(pool, tmp_path, monkeypatch, suffix):
    paths = [tmp_path / name / f"s.jsonl.{suffix}" for name in ("one", "two")]
    write_subset(pool, pool.frame["id"], paths[0])
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1_000)
    write_subset(pool, pool.frame["id"], paths[1])
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    if suffix == "gz":
        content = gzip.decompress(first)
    else:
        content = zstandard.ZstdDecompressor().decompressobj().decompress(first)
    assert content.split(b"\r\n")[:2] == LINES[:2]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.tsv.zst"])
def test_the_header_is_written_as_it_was(tmp_path, name):
    separator = "," if "csv" in name else "\t"
    header = '"text",n' if "csv" in name else "text\tn"
    content = "\ufeff" + "\r\n".join([header, f"ä{separator}1", "", f"b{separator}2"])
    raw = content.encode("utf-16-le")
    if name.endswith("gz"):
        raw = gzip.compress(raw)
    elif name.endswith("zst"):
        raw = zstandard.compress(raw)
    (tmp_path / name).write_bytes(raw)
    pool = read(tmp_path / name)
    out = tmp_path / f"s{pool.source.suffix}".replace(".gz", "").replace(".zst", "")
    write_subset(pool, [pool.frame["id"][1]], out)
    assert out.read_bytes() == f"\ufeff{header}\r\nb{separator}2\r\n".encode("utf-16-le")


def test_parquet_keeps_its_schema(tmp_path):
    frame = pl.DataFrame(
        {
            "n": pl.Series([1, 2, 3], dtype=pl.Int8),
            "text": ["a", None, "c"],
            "label": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
            "turns": [[{"role": "user"}], [], None],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    pool = read(tmp_path / "a.parquet", max_rejected=0.5)
    write_subset(pool, [pool.frame["id"][1]], tmp_path / "s.parquet")
    written = pl.read_parquet(tmp_path / "s.parquet")
    assert written.equals(frame[2:])
    assert written.schema == frame.schema


@pytest.fixture
def folder(tmp_path):
    contents = {
        "pos/a.txt": b"A\r\n",
        "neg/b.txt": b"\xef\xbb\xbfB",
        "c.txt": "C".encode("utf-16"),
    }
    for name, content in contents.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    return tmp_path / "in", contents


def test_a_folder_keeps_paths_and_bytes(folder, tmp_path):
    pool = read(folder[0])
    assert pool.frame["text"].to_list() == ["C", "B", "A\r\n"]
    write_subset(pool, pool.frame["id"][:2], tmp_path / "out")
    found = {
        p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*.txt")
    }
    assert sorted(found) == ["c.txt", "neg/b.txt"]
    assert all(path.read_bytes() == folder[1][name] for name, path in found.items())


def test_an_earlier_subset_is_replaced_and_other_folders_are_not(folder, tmp_path):
    pool = read(folder[0])
    ids = pool.frame["id"]
    for kept in (ids[:2], ids[2:]):
        write_subset(pool, kept, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*.txt")] == ["a.txt"]
    (tmp_path / "out" / "diary.doc").write_text("mine")
    with pytest.raises(InputError, match=r"diary\.doc"):
        write_subset(pool, ids, tmp_path / "out")
    assert (tmp_path / "out" / "diary.doc").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_the_input_is_never_overwritten(folder, pool, tmp_path):
    from_folder = read(folder[0])
    with pytest.raises(InputError, match="overwrite its own input"):
        write_subset(from_folder, from_folder.frame["id"], folder[0])
    with pytest.raises(InputError, match="overwrite its own input"):
        write_subset(pool, pool.frame["id"], tmp_path / "in" / ".." / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == b"\r\n".join(LINES)
    assert (folder[0] / "pos" / "a.txt").exists()


def test_paths_that_lead_out_of_the_folder_are_refused(folder, tmp_path):
    pool = read(folder[0])
    records = pool.records.with_columns(path=pl.lit("../../outside.txt"))
    evil = type(pool).of(pool.frame, records, pool.source)
    with pytest.raises(InputError, match="leads out"):
        write_subset(evil, pool.frame["id"][:1], tmp_path / "deep" / "out")
    assert not (tmp_path / "outside.txt").exists()


@pytest.mark.parametrize("name", ["s.csv", "s", "s.parquet", "s.jsonl.bz2", "s.json"])
def test_another_format_is_an_error(pool, tmp_path, name):
    with pytest.raises(InputError, match="the input is jsonl"):
        write_subset(pool, pool.frame["id"], tmp_path / name)


def test_a_folder_cannot_become_a_file(folder, tmp_path):
    pool = read(folder[0])
    with pytest.raises(InputError, match="is a folder"):
        write_subset(pool, pool.frame["id"], tmp_path / "s.jsonl")


def test_parquet_is_not_compressed_again(tmp_path):
    pool = read(pl.DataFrame({"text": ["a"]}))
    with pytest.raises(InputError, match="the input is parquet"):
        write_subset(pool, pool.frame["id"], tmp_path / "s.parquet.gz")


def test_ids_that_are_not_in_the_pool_are_an_error(pool, tmp_path):
    with pytest.raises(InputError, match="1 ids are not in the pool") as caught:
        write_subset(pool, [pool.frame["id"][0], "nobody"], tmp_path / "s.jsonl")
    assert "'nobody'" in str(caught.value)
    assert not (tmp_path / "s.jsonl").exists()


def test_a_pool_that_was_saved_writes_the_same(pool, tmp_path):
    pool.save(tmp_path / "pool.parquet")
    again = type(pool).load(tmp_path / "pool.parquet")
    for name, one in {"a": pool, "b": again}.items():
        write_subset(one, one.frame["id"], tmp_path / f"{name}-s.jsonl")
    assert (tmp_path / "a-s.jsonl").read_bytes() == (tmp_path / "b-s.jsonl").read_bytes()


def test_rejected_rows_are_written_as_jsonl(pool, tmp_path):
    write_rejected(pool, tmp_path / "rejected.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [["file", "line", "reason", "raw"]]
    assert rows[0]["file"] == str(tmp_path / "a.jsonl")
    assert rows[0]["line"] == 3
    assert rows[0]["raw"] == '{"text": "broken'


def test_rejected_rows_with_half_surrogates_can_be_written(tmp_path):
    frame = pl.DataFrame({"text": ["ok"]})
    frame.write_ndjson(tmp_path / "a.jsonl")
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write('{"text": {"\\ud800": 1}}\n{"text": "\\ud800"}\n')
    pool = read(tmp_path / "a.jsonl", max_rejected=0.9)
    write_rejected(pool, tmp_path / "rejected.jsonl")
    assert len((tmp_path / "rejected.jsonl").read_bytes().splitlines()) == 2


def test_files_get_the_usual_permissions(pool, tmp_path):
    previous = os.umask(0o022)
    try:
        write_subset(pool, pool.frame["id"], tmp_path / "s.jsonl")
    finally:
        os.umask(previous)
    if os.name == "posix":
        assert (tmp_path / "s.jsonl").stat().st_mode & 0o777 == 0o644


def weighed(folder, path, weights, **options):
    pool = read(path, **options)
    target = folder / f"out{path.suffix}"
    write_subset(pool, pool.frame["id"], target, weights=pl.Series(weights))
    return target


def test_weights_are_a_last_field_and_the_rest_of_a_json_line_stays_as_it_was(pool, tmp_path):
    weights = pl.Series([0.25, 1.0, 2.5, 1 / 3])
    write_subset(pool, pool.frame["id"], tmp_path / "s.jsonl", weights=weights)
    lines = (tmp_path / "s.jsonl").read_bytes().split(b"\r\n")
    assert lines[0] == b'{"text": "a",  "x": [1, 2], "euds_weight": 0.25}'
    assert lines[1] == b' {"x": NaN, "text":"\\u00e9", "euds_weight": 1}'
    assert json.loads(lines[3])["euds_weight"] == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_weights_are_a_last_column_of_csv_and_tsv(separator, tmp_path):
    path = tmp_path / ("in.csv" if separator == "," else "in.tsv")
    quoted = '"two\r\nlines, ""quoted"""' if separator == "," else "two lines"
    path.write_bytes(f"text{separator}x\r\none{separator}\r\n{quoted}{separator}7".encode())
    target = weighed(tmp_path, path, [1.5, 0.5])
    expected = f"text{separator}x{separator}euds_weight\r\none{separator}{separator}1.5\r\n"
    expected += f"{quoted}{separator}7{separator}0.5\r\n"
    assert target.read_bytes() == expected.encode()
    assert read(target).source.columns == ("text", "x", "euds_weight")


def test_weights_are_a_column_of_a_table(tmp_path):
    path = tmp_path / "in.parquet"
    pl.DataFrame({"text": ["a", "b"], "x": [1, 2]}).write_parquet(path)
    found = pl.read_parquet(weighed(tmp_path, path, [1.5, 0.5]))
    assert found.to_dict(as_series=False) == {
        "text": ["a", "b"],
        "x": [1, 2],
        "euds_weight": [1.5, 0.5],
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0]])
def test_weights_must_be_as_many_as_the_rows(suffix, weights, tmp_path):
    table = pl.DataFrame({"text": ["one", "two", "three"]})
    write = table.write_ndjson if suffix == "jsonl" else table.write_parquet
    write(tmp_path / f"pool.{suffix}")
    pool = read(tmp_path / f"pool.{suffix}")
    out = tmp_path / f"subset.{suffix}"
    with pytest.raises(pl.exceptions.ShapeError):
        write_subset(pool, pool.rows["id"][:2], out, weights=pl.Series(weights))
    assert not out.exists()


def test_weights_without_a_place_are_refused(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a", "euds_weight": 2}\n')
    with pytest.raises(OptionError, match="no place for weights"):
        weighed(tmp_path, path, [1.0])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("some text")
    pool = read(tmp_path / "folder")
    with pytest.raises(OptionError, match="a folder of text files"):
        write_subset(pool, pool.frame["id"], tmp_path / "out", weights=pl.Series([1.0]))
