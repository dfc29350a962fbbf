"""The store keeps what was measured, notices damage, and never mixes recipes."""

import logging

import polars as pl
import pytest

from euds.scoring.store.disk import Store

RECIPE = {"name": "word-count", "version": 1, "parameters": {"language": "en"}}


def rows(*pairs):
    return pl.DataFrame(list(pairs), schema={"key": pl.String, "n": pl.Int64}, orient="row")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_is_added_comes_back_sorted_and_once(store):
    store.add(RECIPE, rows(("b", 2), ("a", 1)))
    store.add(RECIPE, rows(("b", 2), ("c", 3)))
    assert store.rows(RECIPE).rows() == [("a", 1), ("b", 2), ("c", 3)]


def test_an_empty_store_has_no_rows(store):
    assert store.rows(RECIPE) is None


def test_another_parameter_or_version_is_another_recipe(store):
    store.add(RECIPE, rows(("a", 1)))
    assert store.rows({**RECIPE, "version": 2}) is None
    assert store.rows({**RECIPE, "parameters": {"language": "de"}}) is None


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_file_is_set_aside_and_the_rest_is_kept(store, damage, caplog):
    hurt = store.add(RECIPE, rows(("a", 1)))
    store.add(RECIPE, rows(("b", 2)))
    content = bytearray(hurt.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    hurt.write_bytes(
        content[: len(content) // 2]
        if damage == "truncate"
        else (b"" if damage == "empty" else bytes(content))
    )
    with caplog.at_level(logging.WARNING):
        assert store.rows(RECIPE).rows() == [("b", 2)]
    assert "set aside" in caplog.text
    assert hurt.with_suffix(".damaged").exists()
    assert not hurt.exists()


def test_many_files_become_one(store):
    for index in range(70):
        store.add(RECIPE, rows((f"{index:03d}", index)))
    before = store.rows(RECIPE)
    store.merge(RECIPE)
    assert len(list(store.folder(RECIPE).glob("*.parquet"))) == 1
    assert store.rows(RECIPE).equals(before)


def test_the_recipe_is_written_down(store):
    store.add(RECIPE, rows(("a", 1)))
    assert '"language": "en"' in (store.folder(RECIPE) / "recipe.json").read_text()
