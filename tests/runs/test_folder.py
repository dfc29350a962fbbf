"""Run folders: files that do not belong together, or are not what was written, are refused."""

from pathlib import Path

import polars as pl
import pytest

from euds.errors import InputError, StoreError
from euds.runs.folder import RunFolder
from tests.runs.test_verifying import command, reseal, write_films


@pytest.fixture
def run(tmp_path, empty_cache) -> Path:
    write_films(tmp_path / "films.jsonl")
    asked = ("--text", "review", "--scores", "ie", "--rule", "ie", "--keep", 0.3, "--quiet")
    command("run", tmp_path / "films.jsonl", *asked, "--out", tmp_path / "run")
    return tmp_path / "run"


def rewrite(path: Path, change) -> None:
    told = pl.read_parquet_metadata(path).items()
    metadata = {name: text for name, text in told if name.startswith("euds.")}
    change(pl.read_parquet(path)).write_parquet(path, metadata=metadata)


def fewer(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.tail(-1)


def others(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(id=pl.lit("other ") + pl.col("id"))


@pytest.mark.parametrize("change", [fewer, others])
def test_files_that_do_not_belong_together_are_refused(run, change):
    folder = RunFolder(run)
    pool = folder.load_pool()
    for name, load in (
        ("scores.parquet", folder.load_scored),
        ("selection.parquet", lambda: folder.load_selection(pool)),
    ):
        content = (run / name).read_bytes()
        rewrite(run / name, change)
        reseal(run)
        with pytest.raises(InputError, match="not of one run"):
            load()
        (run / name).write_bytes(content)
        reseal(run)


def test_the_same_rows_in_another_order_are_of_one_run(run):
    folder = RunFolder(run)
    _, expected = folder.load_scored()
    rewrite(run / "scores.parquet", pl.DataFrame.reverse)
    reseal(run)
    pool, scores = folder.load_scored()
    assert scores.frame["id"].to_list() == pool.rows["id"].to_list()[::-1]
    assert scores.frame.sort("id").equals(expected.frame.sort("id"))


@pytest.mark.parametrize("name", ["pool.parquet", "scores.parquet"])
def test_a_changed_file_is_refused_with_what_makes_it_again(run, name):
    content = bytearray((run / name).read_bytes())
    content[200] ^= 255
    (run / name).write_bytes(content)
    with pytest.raises(StoreError, match="not what was written") as caught:
        RunFolder(run).load_scored()
    assert "'euds run' or 'euds score'" in caught.value.next_step
