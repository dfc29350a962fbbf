"""Records that wait in a file: the same rows come back, and a large pool is the same pool."""

import os
import tempfile
from pathlib import Path

import polars as pl
import pytest

import euds
from euds import records
from euds.errors import StoreError
from euds.pool import Pool
from euds.records import RecordsAside, StoredRecords

TABLE = pl.DataFrame(
    {
        "number": [1, None, 3, 4, 5],
        "list": [["a"], [], None, ["b", "c"], ["ä"]],
        "kind": pl.Series(["x", "y", "x", None, "z"], dtype=pl.Categorical),
        "bytes": [b"\x00", b"", b"\xff", None, b"abc"],
    }
)


def stored(*parts: pl.DataFrame) -> StoredRecords:
    found = StoredRecords(parts[0].schema)
    for part in parts:
        found.add(part)
    return found


def test_stored_records_come_back_as_they_were(monkeypatch):
    monkeypatch.setattr(records, "_ROWS_PER_PART", 2)
    found = stored(TABLE, TABLE.reverse())
    assert found.height == 10
    assert found.schema == TABLE.schema
    assert found.read().equals(pl.concat([TABLE, TABLE.reverse()]))
    assert found.read().schema == TABLE.schema


@pytest.mark.parametrize("kept", [[0, 3, 9], [], [4], list(range(10))])
def test_a_mask_of_stored_records_is_that_of_the_table(monkeypatch, kept):
    monkeypatch.setattr(records, "_ROWS_PER_PART", 3)
    table = pl.concat([TABLE, TABLE.reverse()])
    mask = pl.Series([at in kept for at in range(10)])
    found = stored(TABLE, TABLE.reverse()).filter(mask)
    assert found.equals(table.filter(mask))
    assert found.schema == table.schema


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(pl.exceptions.ShapeError):
        stored(TABLE).filter(pl.Series([True]))


def test_few_records_stay_in_memory_and_many_do_not():
    for most_bytes, kind in ((1 << 20, pl.DataFrame), (20, StoredRecords)):
        aside = RecordsAside(most_bytes)
        for part in (TABLE[:2], TABLE[2:3], TABLE[3:]):
            aside.add(part)
        found = aside.finish()
        assert isinstance(found, kind)
        assert (found if isinstance(found, pl.DataFrame) else found.read()).equals(TABLE)


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
    found._file.seek(0)
    found._file.truncate()
    with pytest.raises(StoreError, match="cannot be read back"):
        found.read()


def rows(count: int) -> list[str]:
    # Some rows repeat others, so that ids have to be told apart by what else is in the records.
    return [
        f'{{"text": "this is text number {index % 40}", "n": {count - index}}}\n'
        for index in range(count)
    ]


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The same pool with its records in memory, and in a file."""
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(rows(100)))
    in_memory = euds.read(path)
    monkeypatch.setattr(records, "MOST_IN_MEMORY", 10)
    aside = euds.read(path)
    assert isinstance(in_memory.raw, pl.DataFrame)
    assert isinstance(aside.raw, StoredRecords)
    return in_memory, aside


def test_a_pool_is_the_same_wherever_its_records_are(both):
    in_memory, aside = both
    assert aside.frame.equals(in_memory.frame)
    assert aside.records.equals(in_memory.records)
    mask = pl.Series([at % 7 == 0 for at in range(100)])
    assert aside.take(mask).records.equals(in_memory.take(mask).records)


def test_a_pool_is_saved_and_loaded_wherever_its_records_are(both, tmp_path):
    in_memory, aside = both
    in_memory.save(tmp_path / "one.parquet")
    aside.save(tmp_path / "other.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    loaded = Pool.load(tmp_path / "one.parquet")
    assert isinstance(loaded.raw, StoredRecords)
    assert loaded.records.equals(in_memory.records)
    assert loaded.frame.equals(in_memory.frame)


def test_a_subset_is_the_same_wherever_the_records_are(both, tmp_path):
    written = []
    for name, pool in zip(("one", "other"), both, strict=True):
        table = euds.score(pool, ["ie"])
        chosen = euds.select(pool, table, keep=0.3, rule="ie", quota="n=equal")
        written.append(chosen.write(tmp_path / f"{name}.jsonl").read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 30
