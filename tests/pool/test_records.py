"""Tables in memory, in a temporary file and in a Parquet file: the same rows, the same pool."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import euds
from euds.errors import StoreError
from euds.files import damage
from euds.files.damage import DamagedFileError
from euds.pool import records
from euds.pool.pool import Pool
from euds.pool.records import (
    HeldRecords,
    ParquetRecords,
    RecordsAside,
    StoredRecords,
    side_by_side,
    write_parquet_in_parts,
)

TABLE = pl.DataFrame(
    {
        "number": [1, None, 3, 4, 5],
        "list": [["a"], [], None, ["b", "c"], ["ä"]],
        "kind": pl.Series(["x", "y", "x", None, "z"], dtype=pl.Categorical),
        "bytes": [b"\x00", b"", b"\xff", None, b"abc"],
    }
)
LONG = pl.concat([TABLE, TABLE.reverse()])


def stored(*parts: pl.DataFrame) -> StoredRecords:
    found = StoredRecords(parts[0].schema)
    for part in parts:
        found.add(part)
    return found


@pytest.fixture(autouse=True)
def _groups_as_they_are(monkeypatch):
    """Small row groups are parts of their own, but where a test is about them."""
    monkeypatch.setattr(damage, "_ROWS_TOGETHER", 0)


def of_parquet(path: Path, table: pl.DataFrame, *, rows: int) -> ParquetRecords:
    table.write_parquet(path, row_group_size=rows)
    return ParquetRecords(path, {name: name for name in table.columns}, lambda _: None)


@pytest.fixture(params=["held", "stored", "parquet"])
def table(request, monkeypatch, tmp_path):
    """The same ten rows in each way that there is, in parts of three."""
    monkeypatch.setattr(records, "_ROWS_PER_PART", 3)
    if request.param == "held":
        return HeldRecords(LONG)
    if request.param == "stored":
        return stored(LONG)
    return of_parquet(tmp_path / "table.parquet", LONG, rows=3)


def test_rows_come_back_as_they_were(table):
    assert table.height == 10
    assert table.schema == LONG.schema
    assert table.read().equals(LONG)
    assert table.read().schema == LONG.schema
    assert [part.height for part in table.parts()] == [3, 3, 3, 1]
    assert table.rows_per_part == 3
    assert table.read(columns=["bytes", "number"]).equals(LONG.select("bytes", "number"))


@pytest.mark.parametrize("kept", [[0, 3, 9], [], [4], list(range(10))])
def test_a_mask_is_that_of_the_table(table, kept):
    mask = pl.Series([at in kept for at in range(10)], dtype=pl.Boolean)
    for found in (table.read(mask), table.keep(mask).read()):
        assert found.equals(LONG.filter(mask))
        assert found.schema == LONG.schema


@pytest.mark.parametrize("rows", [[2, 5, 9], [9, 0, 4], [7], []])
def test_rows_are_taken_in_the_order_that_is_asked_for(table, rows):
    numbers = pl.Series(rows, dtype=pl.UInt32)
    assert table.take(numbers).equals(LONG[rows])
    assert table.take(numbers, columns=["kind"]).equals(LONG.select("kind")[rows])
    assert table.arrange(numbers).read().equals(LONG[rows])


def test_a_row_may_be_taken_twice(table):
    assert table.take(np.array([3, 3, 1])).equals(LONG[[3, 3, 1]])


def test_a_mask_of_another_length_is_refused(table):
    with pytest.raises(pl.exceptions.ShapeError):
        list(table.parts(pl.Series([True])))


def test_parts_without_rows_are_not_read(monkeypatch):
    monkeypatch.setattr(records, "_ROWS_PER_PART", 3)
    table = stored(LONG)
    read = []
    part_of = table._part
    monkeypatch.setattr(
        table, "_part", lambda number, names: [read.append(number), part_of(number, names)][1]
    )
    assert table.read(pl.Series([at == 4 for at in range(10)])).height == 1
    assert read == [1]


def test_long_rows_come_in_short_parts(monkeypatch):
    monkeypatch.setattr(records, "_BYTES_PER_PART", 2_500)
    long = pl.DataFrame({"text": ["x" * 1_000] * 10})
    for found in (HeldRecords(long), stored(long)):
        assert found.rows_per_part == 2
        assert found.read().equals(long)


def test_tables_with_other_parts_go_side_by_side(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "_ROWS_PER_PART", 4)
    first = stored(TABLE[:1], TABLE[1:], TABLE.reverse())
    second = of_parquet(tmp_path / "table.parquet", LONG, rows=3)
    pairs = list(side_by_side(first, second))
    assert len(pairs) > 4
    for one, other in pairs:
        assert one.equals(other)
    assert pl.concat(one for one, _ in pairs).equals(LONG)
    mask = pl.Series([at % 3 == 0 for at in range(10)])
    masked = list(side_by_side(first, second, mask=mask))
    assert pl.concat(other for _, other in masked).equals(LONG.filter(mask))


def test_an_empty_part_is_passed_over():
    found = stored(TABLE[:1], TABLE[1:])
    found._lengths.insert(1, 0)
    found._places.insert(1, (0, 0))
    pairs = list(side_by_side(found, HeldRecords(TABLE)))
    assert pl.concat(one for one, _ in pairs).equals(TABLE)


def test_long_rows_behind_short_ones_make_short_groups(monkeypatch):
    monkeypatch.setattr(records, "_BYTES_PER_PART", 2_500)
    short, long = pl.DataFrame({"text": ["x"] * 100}), pl.DataFrame({"text": ["x" * 1_000] * 10})
    assert stored(short, long).rows_per_part == 2
    assert stored(long, short).rows_per_part == 2


def test_names_that_are_patterns_are_names(tmp_path, monkeypatch):
    table = pl.DataFrame({"*": ["a", "b"], "^n.*$": [1, 2], "n": [3, 4], "text": ["one", "two"]})
    table.write_parquet(tmp_path / "pool.parquet")
    assert euds.read(tmp_path / "pool.parquet", text="*").frame["text"].to_list() == ["a", "b"]
    for most in (1 << 20, 1):
        monkeypatch.setattr(records, "MOST_IN_MEMORY", most)
        pool = euds.read(tmp_path / "pool.parquet")
        assert pool.records.equals(table)
        pool.save(tmp_path / "saved.parquet")
        loaded = Pool.load(tmp_path / "saved.parquet")
        assert loaded.records.equals(table)
        chosen = euds.select(loaded, rule="random", keep=1, quota="^n.*$=equal")
        written = pl.read_parquet(chosen.write(tmp_path / "subset.parquet"))
        assert written.equals(table.filter(chosen.frame["kept"]))


def test_small_groups_of_a_parquet_file_are_read_together(tmp_path, monkeypatch):
    monkeypatch.setattr(damage, "_ROWS_TOGETHER", 50_000)
    path = tmp_path / "table.parquet"
    found = of_parquet(path, pl.DataFrame({"number": range(1_000)}), rows=1)
    assert [part.height for part in found.parts()] == [1_000]
    large = of_parquet(path, pl.DataFrame({"number": range(120_000)}), rows=30_000)
    assert [part.height for part in large.parts()] == [30_000] * 4


def test_small_groups_of_long_rows_are_not_read_together(tmp_path, monkeypatch):
    monkeypatch.setattr(damage, "_ROWS_TOGETHER", 50_000)
    monkeypatch.setattr(damage, "_BYTES_TOGETHER", 5_000)
    noise = pl.DataFrame({"number": np.random.default_rng(0).random(1_000)})  # 2,000 bytes a group
    found = of_parquet(tmp_path / "table.parquet", noise, rows=250)
    assert [part.height for part in found.parts()] == [500, 500]
    assert found.read().equals(noise)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from /proc")
def test_a_few_rows_do_not_keep_the_others_in_memory():
    texts = pl.DataFrame({"text": [os.urandom(2_000).hex() for _ in range(1_000)]})
    found = stored(*[texts] * 60)
    before = held_megabytes()
    few = list(found.parts(pl.Series([row % 1_000 == 0 for row in range(60_000)])))
    assert sum(part.height for part in few) == 60
    assert held_megabytes() - before < 80  # all are 240


def held_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e3
    raise AssertionError("the system does not tell")


def test_an_empty_table():
    nothing = TABLE.clear()
    for found in (HeldRecords(nothing), stored(nothing), RecordsAside(TABLE.schema).finish()):
        assert found.height == 0
        assert found.read().equals(nothing)
        assert list(found.parts()) == []


def test_few_rows_stay_in_memory_and_many_do_not(monkeypatch):
    for most_bytes, kind in ((1 << 20, HeldRecords), (20, StoredRecords)):
        monkeypatch.setattr(records, "MOST_IN_MEMORY", most_bytes)
        aside = RecordsAside(TABLE.schema)
        for part in (TABLE[:2], TABLE[2:3], TABLE[3:]):
            aside.add(part)
        found = aside.finish()
        assert type(found) is kind
        assert found.read().equals(TABLE)


@pytest.mark.skipif(os.name == "nt", reason="there a temporary file has a name")
def test_the_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = stored(TABLE)
    assert list(tmp_path.iterdir()) == []
    assert found.read().equals(TABLE)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StoreError, match="TMPDIR") as caught:
        stored(TABLE)
    assert caught.value.where == str(tmp_path / "gone")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_is_told(monkeypatch):
    monkeypatch.setattr(
        tempfile,
        "TemporaryFile",
        lambda: open("/dev/full", "r+b"),  # noqa: SIM115, PTH123
    )
    with pytest.raises(StoreError, match=r"(?s)No space left.*TMPDIR"):
        stored(TABLE)


def test_a_file_that_was_damaged_meanwhile_is_told():
    found = stored(TABLE)
    found._file._file.seek(0)
    found._file._file.truncate()
    with pytest.raises(StoreError, match=r"(?s)cannot be read back.*ends too early"):
        found.read()


def test_a_parquet_file_that_is_replaced_meanwhile_is_not_seen(tmp_path):
    path = tmp_path / "table.parquet"
    found = of_parquet(path, LONG, rows=3)
    other = tmp_path / "other.parquet"
    LONG.reverse().write_parquet(other)
    other.replace(path)
    assert found.read().equals(LONG)


def test_a_parquet_file_that_is_damaged_where_nobody_looked_yet_is_told(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    texts = pl.DataFrame({"text": [f"{at}" * 50 for at in range(100)]})
    found = of_parquet(path, texts, rows=10)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 1_000 + content[1_004:])
    with pytest.raises(StoreError, match="cannot be read") as caught:
        found.read()
    assert caught.value.where == str(path)


def test_a_part_that_does_not_pass_the_check_is_told(tmp_path, monkeypatch):
    def check(part: pl.DataFrame) -> None:
        if part["text"].has_nulls():
            raise DamagedFileError("a text is missing")

    path = tmp_path / "table.parquet"
    pl.DataFrame({"text": ["a", "b", None, "d"]}).write_parquet(path, row_group_size=2)
    found = ParquetRecords(path, {"text": "text"}, check)
    assert next(found.parts())["text"].to_list() == ["a", "b"]
    with pytest.raises(StoreError, match="a text is missing"):
        found.read()
    with pytest.raises(DamagedFileError):
        found.held_if_small()
    monkeypatch.setattr(records, "MOST_IN_MEMORY", 1)
    assert found.held_if_small() is found  # what is behind is looked at when it is asked for


def test_a_table_written_in_parts_is_the_table(tmp_path):
    path = tmp_path / "table.parquet"
    write_parquet_in_parts(
        iter([TABLE[:1], TABLE[1:], TABLE.reverse()]),
        path,
        schema=TABLE.schema,
        rows_per_group=4,
        metadata={"said": "so"},
    )
    assert pl.read_parquet(path).equals(LONG)
    assert pl.read_parquet_metadata(path)["said"] == "so"
    assert [part.height for part in of_parquet_as_it_is(path).parts()] == [4, 4, 2]


def of_parquet_as_it_is(path: Path) -> ParquetRecords:
    return ParquetRecords(path, {"number": "number"}, lambda _: None)


def test_a_table_without_rows_is_written(tmp_path):
    path = tmp_path / "table.parquet"
    write_parquet_in_parts(iter([]), path, schema=TABLE.schema, rows_per_group=1)
    assert pl.read_parquet(path).equals(TABLE.clear())


def test_what_goes_wrong_while_a_table_is_made_is_what_is_raised(tmp_path):
    def parts():
        yield TABLE
        raise StoreError("the rows cannot be read back")

    with pytest.raises(StoreError, match="the rows cannot be read back"):
        write_parquet_in_parts(
            parts(), tmp_path / "table.parquet", schema=TABLE.schema, rows_per_group=4
        )


def rows(count: int) -> list[str]:
    # Some rows repeat others, so that ids have to be told apart by what else is in the records.
    return [
        f'{{"text": "this is text number {index % 40}", "n": {count - index}}}\n'
        for index in range(count)
    ]


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The same pool in memory, and with texts and records in a file."""
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(rows(100)))
    in_memory = euds.read(path)
    monkeypatch.setattr(records, "MOST_IN_MEMORY", 10)
    aside = euds.read(path)
    for table in (in_memory.raw, in_memory.wording):
        assert isinstance(table, HeldRecords)
    for table in (aside.raw, aside.wording):
        assert isinstance(table, StoredRecords)
    return in_memory, aside


def test_a_pool_is_the_same_wherever_its_texts_are(both):
    in_memory, aside = both
    assert aside.frame.equals(in_memory.frame)
    assert aside.records.equals(in_memory.records)
    assert aside.fingerprint == in_memory.fingerprint
    assert aside.text_bytes == in_memory.text_bytes == sum(map(len, in_memory.frame["text"]))
    assert aside.characters.to_list() == [len(text) for text in in_memory.frame["text"]]
    mask = pl.Series([at % 7 == 0 for at in range(100)])
    assert aside.take(mask).frame.equals(in_memory.take(mask).frame)
    assert aside.take(mask).records.equals(in_memory.take(mask).records)


def test_its_distinct_texts_are_the_same(both):
    one, other = (pool.texts for pool in both)
    assert other.frame.equals(one.frame)
    assert len(other) == len(one) == 40
    assert other.fingerprint == one.fingerprint
    assert other.whole == one.whole
    assert pl.concat(other.parts()).sort("key").equals(one.frame)
    assert pl.concat(one.parts()).equals(one.frame)


def test_a_pool_is_saved_and_loaded_wherever_its_texts_are(both, tmp_path):
    in_memory, aside = both
    in_memory.save(tmp_path / "one.parquet")
    aside.save(tmp_path / "other.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    loaded = Pool.load(tmp_path / "one.parquet")
    assert isinstance(loaded.raw, ParquetRecords)
    assert isinstance(loaded.wording, ParquetRecords)
    assert loaded.records.equals(in_memory.records)
    assert loaded.frame.equals(in_memory.frame)
    assert loaded.has_texts
    bare = loaded.without_texts()
    bare.save(tmp_path / "bare.parquet")
    assert not Pool.load(tmp_path / "bare.parquet").has_texts


def test_files_of_pools_are_closed_with_them(both, tmp_path):
    both[1].save(tmp_path / "pool.parquet")
    loaded = Pool.load(tmp_path / "pool.parquet")
    stream = loaded.raw._stream
    del loaded
    gc.collect()
    assert stream.closed


@pytest.mark.parametrize("quota", ["n=equal", "language=equal"])
@pytest.mark.parametrize("weights", [False, True])
def test_a_subset_is_the_same_wherever_the_texts_are(both, tmp_path, quota, weights):
    written = []
    both[0].save(tmp_path / "pool.parquet")
    pools = (*both, Pool.load(tmp_path / "pool.parquet"))
    for number, pool in enumerate(pools):
        table = euds.score(pool, ["ie"])
        chosen = euds.select(pool, table, keep=0.3, rule="ie", quota=quota)
        written.append(chosen.write(tmp_path / f"{number}.jsonl", weights=weights).read_bytes())
    assert written[0] == written[1] == written[2]
    assert written[0].count(b"\n") == 30
