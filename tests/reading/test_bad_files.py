"""Inputs that cannot be used at all: each is one error with where, what was got, and what next."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import polars as pl
import pytest
import zstandard

from euds.errors import InputError
from euds.reading import read

ROW = b'{"text": "some text number %d"}\n'
MANY = b"".join(ROW % number for number in range(20_000))


def error(*inputs, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(*inputs, **options)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_no_input():
    assert "no input was given" in error()


def test_a_missing_file_names_its_neighbour(tmp_path):
    (tmp_path / "reviews.jsonl").write_bytes(MANY)
    message = error(tmp_path / "reveiws.jsonl")
    assert message.startswith(f"{tmp_path}/reveiws.jsonl: there is no such file")
    assert "did you mean 'reviews.jsonl'?" in message


def test_a_pattern_without_match(tmp_path):
    assert "no file matches the pattern" in error(f"{tmp_path}/*.jsonl")


@pytest.mark.parametrize("name", ["a", "a.xlsx", "a.gz", "a.zip", "a.txt"])
def test_an_unknown_suffix(tmp_path, name):
    (tmp_path / name).write_bytes(MANY)
    message = error(tmp_path / name)
    assert "no format that can be read" in message
    assert ".jsonl, .ndjson, .csv" in message


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_json_is_to_be_converted(tmp_path, name):
    (tmp_path / name).write_text('[{"text": "a"}]')
    assert "one object a line" in error(tmp_path / name)


def test_a_folder_called_like_a_file(tmp_path):
    (tmp_path / "x.jsonl").mkdir()
    message = error(tmp_path / "x.jsonl")
    assert "this is a folder" in message
    assert "x.jsonl/*.jsonl" in message


def test_a_folder_without_texts(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(MANY)
    assert "holds no text files" in error(tmp_path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.jsonl.zst"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    message = error(tmp_path / name)
    assert str(tmp_path / name) in message


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("content", [b"text", b"text\n", b"\n\ntext\n\n"])
def test_a_header_without_rows(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "there are no rows" in error(tmp_path / name)


def test_tables_without_rows_or_columns():
    assert "there are no rows" in error(pl.DataFrame(schema={"text": pl.String}))
    assert "not clear which column" in error(pl.DataFrame())


def test_a_header_with_a_column_twice(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,text\na,b,c\n")
    message = error(tmp_path / "a.csv")
    assert message.startswith(f"{tmp_path}/a.csv:1: the header names a column twice")
    assert "'text'" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"t\xe9xt,n\na,1\n", "--encoding"),
        (b'"text,n\na,1\n', "closing quote"),
        ("text\na".encode("utf-16-le"), "--encoding utf-16"),
    ],
)
def test_a_header_that_cannot_be_read(tmp_path, content, reason):
    (tmp_path / "a.csv").write_bytes(content)
    message = error(tmp_path / "a.csv")
    assert "the header cannot be read" in message
    assert reason in message


def test_a_truncated_gzip_says_how_far_it_was_good(tmp_path):
    whole = gzip.compress(MANY, mtime=0)
    cut = whole[: len(whole) // 2]
    # Counted by another route: what zlib gets out of the first half.
    lines = zlib.decompressobj(wbits=31).decompress(cut).count(b"\n")
    (tmp_path / "a.jsonl.gz").write_bytes(cut)
    message = error(tmp_path / "a.jsonl.gz")
    assert "damaged or cut short" in message
    assert 5_000 < lines < 15_000
    assert f"after {lines:,} complete lines" in message


def test_a_truncated_zstandard_file(tmp_path):
    whole = zstandard.compress(MANY)
    (tmp_path / "a.jsonl.zst").write_bytes(whole[:-3])
    message = error(tmp_path / "a.jsonl.zst")
    assert "damaged or cut short" in message
    assert "complete lines" in message


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_damage_in_the_middle(tmp_path, suffix):
    checked = zstandard.ZstdCompressor(write_checksum=True)
    whole = bytearray(gzip.compress(MANY) if suffix == "gz" else checked.compress(MANY))
    middle = len(whole) // 2
    whole[middle : middle + 50] = bytes(50)
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(whole)
    assert "damaged or cut short" in error(tmp_path / f"a.jsonl.{suffix}")


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_not_compressed_at_all(tmp_path, suffix):
    (tmp_path / f"a.csv.{suffix}").write_text("text\na\n")
    assert "after 0 complete lines" in error(tmp_path / f"a.csv.{suffix}")


def test_compressed_parquet(tmp_path):
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(b""))
    assert "a compressed Parquet file" in error(tmp_path / "a.parquet.gz")


@pytest.mark.parametrize("keep", [0, 4, 100, -1, -9])
def test_a_truncated_parquet_file(tmp_path, keep):
    pl.DataFrame({"text": [f"text {n}" for n in range(1_000)]}).write_parquet(
        tmp_path / "a.parquet"
    )
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:keep])
    assert "the Parquet file is damaged" in error(tmp_path / "a.parquet")


def test_damage_inside_a_parquet_file(tmp_path):
    pl.DataFrame({"text": [f"text {n}" for n in range(1_000)]}).write_parquet(
        tmp_path / "a.parquet"
    )
    whole = bytearray((tmp_path / "a.parquet").read_bytes())
    whole[20:200] = bytes(180)
    (tmp_path / "a.parquet").write_bytes(whole)
    assert "the Parquet file is damaged" in error(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_an_unreadable_file(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(gzip.compress(MANY))

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(gzip, "open", refuse)
    message = error(tmp_path / name)
    assert str(tmp_path / name) in message
    assert "Permission denied" in message


def test_different_formats(tmp_path):
    for name in ("a.jsonl", "b.csv"):
        (tmp_path / name).write_bytes(MANY)
    message = error(tmp_path / "a.jsonl", tmp_path / "b.csv")
    assert "a.jsonl is jsonl" in message
    assert "b.csv is csv" in message


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_different_columns(tmp_path, suffix):
    for name, frame in {"a": {"text": ["a"]}, "b": {"text": ["b"], "n": [1]}}.items():
        table = pl.DataFrame(frame)
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path, separator="," if suffix == "csv" else "\t")
    message = error(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
    assert "different columns" in message
    assert f"a.{suffix} has" in message
    assert f"b.{suffix} has" in message


def test_different_types():
    message = error(
        pl.DataFrame({"text": ["a"], "n": [1]}), pl.DataFrame({"text": ["a"], "n": [1.5]})
    )
    assert "different columns" in message


def test_different_encodings(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}')
    (tmp_path / "b.jsonl").write_text('{"text": "b"}', encoding="utf-16")
    assert "b.jsonl is utf-16-le" in error(tmp_path / "a.jsonl", tmp_path / "b.jsonl")


def test_the_same_file_twice(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(MANY)
    assert "named twice" in error(tmp_path / "a.jsonl", f"{tmp_path}/*.jsonl")


def test_two_folders_with_the_same_file(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("a")
    assert "same relative path" in error(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("wrong", [3, None, {"text": ["a"]}, pl.LazyFrame({"text": ["a"]})])
def test_something_else(wrong):
    assert "neither a path nor a table" in error(wrong)
