"""Inputs made to do harm: each ends soon, in bounded memory, with rows refused or a clear error."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import zstandard

from euds.errors import InputError, OptionError, did_you_mean
from euds.files import parquet as parquet_metadata
from euds.files.parquet import check_counts, metadata_of
from euds.reading import read

GOOD = b'{"text": "good"}\n'
MIB = 1 << 20

# In a process of its own, whose memory is that of reading alone.
MEASURED = """
import json, re, sys, time
from pathlib import Path
from euds.reading import read

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

read("small.jsonl")
before = peak()
found = {}
for name in sys.argv[1:]:
    started = time.perf_counter()
    pool = read(name, max_rejected=1)
    found[name] = [len(pool), pool.rejected["reason"].to_list(), time.perf_counter() - started]
print(json.dumps({"MiB": peak() - before, "found": found}))
"""


def long_line(path: Path, start: bytes, end: bytes) -> None:
    """Write a line of 1 GiB between a good row and another."""
    filler = b"x" * MIB
    pieces = (start, *[filler] * 1024, end)
    if path.suffix == ".gz":
        # Members that follow each other are one file, and the filler is compressed but once.
        packed = {piece: gzip.compress(piece) for piece in set(pieces)}
        path.write_bytes(b"".join(packed[piece] for piece in pieces))
    elif path.suffix == ".zst":
        with path.open("wb") as stream, zstandard.ZstdCompressor().stream_writer(stream) as packer:
            for piece in pieces:
                packer.write(piece)
    else:
        with path.open("wb") as stream:
            stream.write(start)
            stream.seek(1024 * MIB, os.SEEK_CUR)  # zero bytes that take no room on the disk
            stream.write(end)
            stream.truncate()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_a_line_of_a_gigabyte_is_refused_soon_and_in_little_memory(tmp_path):
    (tmp_path / "small.jsonl").write_bytes(GOOD)
    json_line = (GOOD + b'{"text": "', b'"}\n' + GOOD)
    long_line(tmp_path / "plain.jsonl", *json_line)
    long_line(tmp_path / "bomb.jsonl.gz", *json_line)
    long_line(tmp_path / "bomb.jsonl.zst", *json_line)
    long_line(tmp_path / "quoted.csv", b'text\ngood\n"', b'"\ngood\n')
    (tmp_path / "folder").mkdir()
    long_line(tmp_path / "folder" / "long.txt", b"", b"")
    (tmp_path / "folder" / "1.txt").write_text("good")
    (tmp_path / "folder" / "2.txt").write_text("good as well")
    assert (tmp_path / "bomb.jsonl.zst").stat().st_size < MIB
    names = ["plain.jsonl", "bomb.jsonl.gz", "bomb.jsonl.zst", "quoted.csv", "folder"]
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED, *names],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    told = json.loads(finished.stdout)
    assert told["MiB"] < 128, "a line of 16 MiB, what it was put together from, and a piece more"
    for name, (samples, reasons, seconds) in told["found"].items():
        what = "file" if name == "folder" else "line"
        assert samples == 2, name
        assert reasons == [f"the {what} is longer than 16,777,216 bytes"], name
        assert seconds < 30, name


@pytest.mark.timeout(60)
def test_nesting_has_a_limit_that_does_not_depend_on_the_caller(tmp_path):
    def row(depth: int) -> bytes:
        return b'{"text": "%d", "deep": %s}\n' % (depth, b"[" * depth + b"]" * depth)

    def from_below(path: Path, calls: int) -> list[str]:
        return from_below(path, calls - 1) if calls else read(path, max_rejected=1).texts.texts

    path = tmp_path / "a.jsonl"
    # The object itself is a level; equal rows are read once more when they are numbered.
    path.write_bytes(b"".join(row(depth) * 2 for depth in (1, 498, 499, 500, 800, 100_000)))
    for calls in (0, 200):
        assert sorted(from_below(path, calls)) == ["1", "498", "499"]
    reasons = read(path, max_rejected=1).rejected["reason"].unique().to_list()
    assert reasons == [
        "the JSON is nested too deeply: more than 500 objects or arrays in each other"
    ]


def test_many_small_objects_are_not_deep(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a", "wide": [' + b", ".join([b"[{}]"] * 2_000) + b"]}\n")
    assert len(read(path)) == 1


@pytest.mark.timeout(60)
def test_a_hundred_thousand_columns(tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    (tmp_path / "a.csv").write_text(",".join([*names, "text"]) + "\n" + "," * 100_000 + "hello\n")
    (tmp_path / "b.csv").write_text(",".join([*names, "other"]) + "\n" + "," * 100_000 + "hello\n")
    (tmp_path / "twice.csv").write_text(",".join([*names, *names]) + "\n")
    assert read(tmp_path / "a.csv").texts.texts == ["hello"]
    for call in (
        lambda: read(tmp_path / "b.csv", text="texts"),
        lambda: read(tmp_path / "b.csv"),
        lambda: read(tmp_path / "a.csv", tmp_path / "b.csv"),
        lambda: read(tmp_path / "twice.csv"),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert len(str(caught.value)) < 2_000, "a message is for people"
        assert "more" in str(caught.value)


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


ODD = {
    "decimal": [decimal.Decimal("1.5")],
    "duration": [datetime.timedelta(1)],
    "time": [datetime.time(1)],
    "date": [datetime.date(2020, 1, 1)],
    "bytes": [b"\xff"],
    "list": [[1]],
    "struct": [{"a": [{"b": 1}]}],
    "null": [None],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("role", ["text", "context", "label", "id"])
def test_odd_types_of_a_table_are_refused_row_by_row(tmp_path, kind, role):
    table = pl.DataFrame({"body": ["a"], "odd": ODD[kind]})
    table.write_parquet(tmp_path / "a.parquet")
    options = {"text": "body"} | {role: "odd"}
    if kind == "null" and role in ("context", "label"):
        assert len(read(tmp_path / "a.parquet", **options)) == 1
        return
    with pytest.raises(InputError, match="1 of 1 rows cannot be used"):
        read(tmp_path / "a.parquet", **options)


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


def too_deep() -> bytes:
    """Return a table; to read it would end the process, and so would to write it with Polars."""
    names = [name.encode() for name in ("schema", "text", *"x" * 3_000)]
    elements = [
        b"\x48" + bytes([len(name)]) + name + (b"\x15\x04\x00" if at == 0 else b"\x15\x02\x00")
        if at != 1
        else b"\x15\x0c\x38\x04text\x00"
        for at, name in enumerate(names)
    ]
    number = len(elements)
    count = bytes([number & 127 | 128, number >> 7])
    footer = b"\x15\x02\x19\xfc" + count + b"".join(elements) + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def test_a_table_that_is_nested_too_deeply_is_refused_and_not_read(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(too_deep())
    with path.open("rb") as stream:
        assert metadata_of(stream).depth == 3_000
    with pytest.raises(InputError, match="nested too deeply"):
        read(path)


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


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz", "a.parquet"])
def test_a_named_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="no regular file"):
        read(tmp_path / name)


@pytest.mark.timeout(30)
def test_a_device_is_not_read(tmp_path):
    (tmp_path / "a.jsonl").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no regular file"):
        read(tmp_path / "a.jsonl")


@pytest.mark.timeout(30)
def test_a_folder_is_left_neither_by_links_nor_for_pipes_and_devices(tmp_path, monkeypatch):
    outside = tmp_path / "secret.txt"
    outside.write_text("a secret")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.txt").write_text("good")
    (folder / "inside.txt").symlink_to("sub/good.txt")
    (folder / "outside.txt").symlink_to(outside)
    (folder / "zero.txt").symlink_to("/dev/zero")
    (folder / "dangling.txt").symlink_to("nowhere")
    (folder / "itself.txt").symlink_to("itself.txt")
    (folder / "up").symlink_to("..")
    (folder / "sub" / "round").symlink_to(".")
    os.mkfifo(folder / "pipe.txt")
    monkeypatch.chdir(folder)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.txt")
    pool = read(folder, max_rejected=1)
    assert pool.frame["file"].to_list() == [f"{folder}/inside.txt", f"{folder}/sub/good.txt"]
    reasons = {Path(row["file"]).stem: row["reason"] for row in pool.rejected.to_dicts()}
    out, special = "leads out of the folder", "no regular file"
    assert out in reasons["outside"]
    assert out in reasons["zero"]
    assert special in reasons["pipe"]
    assert special in reasons["socket"]
    assert "No such file" in reasons["dangling"]
    assert "symbolic links" in reasons["itself"]
    assert "secret" not in str(pool.rejected.drop("file", "reason").to_dicts())


def test_a_folder_named_by_a_link_is_read(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("good")
    (tmp_path / "link").symlink_to("real")
    assert read(tmp_path / "link").texts.texts == ["good"]


# ---- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a" * 5_000 + ".jsonl", "a\udc00b.jsonl", "~no-such-user/a.jsonl"]
)
def test_names_that_no_file_can_have(name):
    with pytest.raises(InputError, match="there can be no file") as caught:
        read(name)
    assert len(str(caught.value)) < 500
    str(caught.value).encode()  # and it can be shown


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
