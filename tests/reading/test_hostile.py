"""Inputs made to do harm: each ends soon, in bounded memory, with rows refused or a clear error."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import polars as pl
import pytest

from euds.errors import InputError, OptionError, did_you_mean
from euds.files import parquet as parquet_metadata
from euds.files.parquet import check_counts, metadata_of
from euds.reading import read

GOOD = b'{"text": "good"}\n'


def test_many_small_objects_are_not_deep(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a", "wide": [' + b", ".join([b"[{}]"] * 2_000) + b"]}\n")
    assert len(read(path)) == 1


def test_a_hint_takes_no_long_time():
    started = time.perf_counter()
    did_you_mean("a" * 1_000_000, ["ab" * 1_000_000, *(f"name {at}" for at in range(1_000_000))])
    assert time.perf_counter() - started < 2


def test_columns_without_a_name(tmp_path):
    (tmp_path / "a.csv").write_text(",label\nhello,x\n")
    assert read(tmp_path / "a.csv", text="").texts.texts == ["hello"]
    (tmp_path / "a.jsonl").write_text('{"": "hello"}\n')
    assert read(tmp_path / "a.jsonl", text="").texts.texts == ["hello"]


def test_a_key_that_occurs_twice_counts_as_the_last(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "first", "text": "second"}\n')
    assert read(tmp_path / "a.jsonl").texts.texts == ["second"]


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", "b"])])
def test_categories_are_text(tmp_path, dtype):
    table = pl.DataFrame({"text": ["a", "b"]}).cast(dtype)
    table.write_parquet(tmp_path / "a.parquet")
    assert sorted(read(tmp_path / "a.parquet").texts.texts) == ["a", "b"]


def nested(levels: int) -> pl.DataFrame:
    dtype: pl.DataType = pl.Int32()
    for level in range(levels):
        dtype = pl.List(dtype) if level % 2 else pl.Struct({"a": dtype, "b": pl.String})
    return pl.DataFrame({"text": ["a"], "deep": pl.Series([None], dtype=dtype)})


@pytest.mark.parametrize("levels", [0, 1, 2, 7, 40])
def test_the_depth_of_a_table_is_told_by_its_last_bytes(levels):
    """A list takes two levels more than what it holds, a struct one."""
    table = io.BytesIO()
    nested(levels).write_parquet(table)
    table.seek(3)
    assert metadata_of(table).depth == 1 + levels // 2 * 3 + levels % 2
    assert table.tell() == 3
    assert metadata_of(io.BytesIO(table.getvalue()[:-1])) is None


def test_a_list_of_a_table_that_is_longer_than_the_file_asks_for_no_memory(tmp_path):
    table = io.BytesIO()
    pl.DataFrame({"text": ["a"]}).write_parquet(table)
    data = table.getvalue()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    at = footer.index(b"\x19")  # the list of columns: its length stands in half a byte
    for claimed in (10**6, 2**31, 2**60):
        number = b""
        while claimed:
            number += bytes([claimed & 127 | (128 if claimed > 127 else 0)])
            claimed >>= 7
        longer = footer[: at + 1] + b"\xfc" + number + footer[at + 2 :]
        path = tmp_path / "a.parquet"
        path.write_bytes(data[: -8 - length] + longer + len(longer).to_bytes(4, "little") + b"PAR1")
        with pytest.raises(InputError, match="longer than what holds it"):
            read(path)


def test_a_list_of_millions_of_nothing_is_given_up_soon(monkeypatch):
    monkeypatch.setattr(parquet_metadata, "_MOST_STEPS", 10_000)
    count = 50_000  # empty structs, a byte each
    length = bytes([count & 127 | 128, count >> 7 & 127 | 128, count >> 14])
    footer = b"\x15\x02\x19\xfc" + length + bytes(count) + b"\x00"
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(parquet_metadata.ImpossibleMetadataError, match="too many parts"):
        metadata_of(io.BytesIO(data))


def test_a_column_of_empty_headers_is_given_up_at_the_first(monkeypatch):
    reads = []

    class Watched(io.BytesIO):
        def read(self, *size):
            reads.append(size)
            return super().read(*size)

    chunk = parquet_metadata.Chunk(start=0, size=100_000, values=1)
    with pytest.raises(parquet_metadata.ImpossibleMetadataError, match="no header"):
        check_counts(Watched(bytes(100_000)), parquet_metadata.Metadata(1, (1,), (chunk,)))
    assert len(reads) < 10


def number_field(value: int) -> bytes:
    """Return a number as the next field of a struct, in Thrift's compact protocol."""
    left = 2 * value if value >= 0 else -2 * value - 1
    found = b"\x15"  # 32 bits; one of 64 begins with 0x16
    while left > 127:
        found += bytes([left & 127 | 128])
        left >>= 7
    return found + bytes([left])


READ_IT = """
import sys
from euds.errors import InputError
from euds.reading import read
try:
    print(len(read(sys.argv[1])), "rows")
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (23, 23, "23 rows"),
        (23, -23, "more values than fit into it"),  # the values of the first page
        (404, -404, "an impossible size"),  # its bytes
    ],
)
def test_a_page_that_says_what_cannot_be_is_refused(tmp_path, old, new, message):
    # Polars asked for 2^61 bytes, and the process was gone; so here it has one of its own.
    stream = io.BytesIO()
    pl.DataFrame({"text": [f"text number {row}" for row in range(23)]}).write_parquet(
        stream, compression="uncompressed", statistics=False
    )
    data, before, after = stream.getvalue(), number_field(old), number_field(new)
    assert before in data[:30]
    assert len(before) == len(after)  # nothing is moved
    path = tmp_path / "a.parquet"
    path.write_bytes(data[:30].replace(before, after, 1) + data[30:])
    done = subprocess.run(
        [sys.executable, "-c", READ_IT, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if message == "23 rows" else 1)
    assert message in done.stdout + done.stderr


def test_more_rows_than_a_file_has_room_for_are_refused(tmp_path):
    stream = io.BytesIO()
    few_bytes = pl.DataFrame({"text": ["x"]}).select(pl.col("text").repeat_by(2_000_000).explode())
    few_bytes.write_parquet(stream, statistics=False, row_group_size=10**9)
    data, before, after = stream.getvalue(), number_field(2_000_000), number_field(99_000_000)
    assert len(data) < 1_000
    assert len(before) == len(after)
    many = data.replace(before[1:], after[1:])
    assert many != data
    path = tmp_path / "a.parquet"
    path.write_bytes(many)
    with pytest.raises(InputError, match="more rows than it has room for"):
        read(path)


def test_the_pages_of_files_by_another_writer_are_walked_through(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = [
        f"a text with the number {row} " + "and some more " * (row % 40) for row in range(9000)
    ]
    table = pyarrow.table(
        {
            "text": texts,
            "label": pyarrow.array([str(row % 3) for row in range(9000)]),
            "deep": [[{"a": row}, {"a": None}] * (row % 3) for row in range(9000)],
        }
    )
    for version in ("1.0", "2.0"):
        path = tmp_path / f"{version}.parquet"
        parquet.write_table(
            *(table, path),
            data_page_version=version,
            data_page_size=4_096,
            row_group_size=2_500,
            compression="zstd",
            write_page_checksum=True,
            write_page_index=True,
            use_dictionary=["label"],
        )
        assert read(path).frame["text"].to_list() == texts


def test_python_objects_in_a_table_are_an_error():
    table = pl.DataFrame({"text": ["a"], "thing": pl.Series([object()], dtype=pl.Object)})
    with pytest.raises(InputError, match="Python objects"):
        read(table)


@pytest.mark.parametrize("encoding", ["idna", "punycode", "base64", "undefined", "a\0b", "\udc00"])
def test_encodings_that_are_none_of_text_files(tmp_path, encoding):
    (tmp_path / "a.jsonl").write_bytes(GOOD + b"\xff\xfe-9999\n")
    with pytest.raises(OptionError, match="no such text encoding"):
        read(tmp_path / "a.jsonl", encoding=encoding)


# ---- files that are none ---------------------------------------------------------------------


def test_a_folder_named_by_a_link_is_read(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("good")
    (tmp_path / "link").symlink_to("real")
    assert read(tmp_path / "link").texts.texts == ["good"]


# ---- names -----------------------------------------------------------------------------------


def test_an_empty_name_is_not_the_folder_one_stands_in(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("good")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="name of the input is empty"):
        read("")


@pytest.mark.timeout(30)
def test_patterns_for_sub_folders_do_not_follow_links_round_and_round(tmp_path, monkeypatch):
    for folder in ("data/a/b", "data/.hidden", "data/c.jsonl"):
        (tmp_path / folder).mkdir(parents=True)
    for place in ("top", "a/one", "a/b/two", ".hidden/no", ".no", "c.jsonl/three"):
        (tmp_path / "data" / f"{place}.jsonl").write_bytes(GOOD)
    for place in ("a/up", "a/b/up", "a/again", "a/b/again"):
        (tmp_path / "data" / place).symlink_to("..")
    monkeypatch.chdir(tmp_path)
    below = ["data/a/b/two.jsonl", "data/a/one.jsonl"]
    every = [*below, "data/c.jsonl/three.jsonl", "data/top.jsonl"]

    def files(pattern: str) -> list[str]:
        return read(pattern).frame["file"].to_list()

    assert files("data/**/[ot]*.jsonl") == sorted(every)
    assert files("**/[ot]*.jsonl") == sorted(every)
    assert files("data/**/**/**/[ot]*.jsonl") == sorted(every)
    assert files("data/**/b/**/*.jsonl") == ["data/a/b/two.jsonl"]
    assert files("d*/**/a/**/*.jsonl") == below
    absolute = files(f"{tmp_path}/**/[ot]*.jsonl")
    assert absolute == [f"{tmp_path}/{name}" for name in sorted(every)]
