"""Keys, fingerprints, and a pool on disk."""

import hashlib

import polars as pl
import pytest

from euds.files.damage import DamagedFileError
from euds.pool.pool import Pool, Texts, text_key
from tests.conftest import make_pool

TEXTS = ["one", "two", "tö", "two"]


def test_a_fingerprint_is_of_ids_and_keys_in_any_order():
    pool = make_pool(TEXTS)
    mixed = Pool.of(pool.frame[[2, 0, 3, 1]], pool.records[[2, 0, 3, 1]], pool.source)
    assert mixed.fingerprint == pool.fingerprint
    digest = hashlib.blake2b(digest_size=16)
    for index, text in enumerate(TEXTS):
        digest.update(f"5:{index:05d}{text_key(text)}".encode())
    assert pool.fingerprint == digest.hexdigest()
    assert make_pool([*TEXTS[:3], "other"]).fingerprint != pool.fingerprint


def test_keys_tell_context_from_text():
    keys = [text_key("ab"), text_key("b", "a"), text_key("a", "b"), text_key("ab", "")]
    assert len(set(keys)) == 4
    assert all(len(key) == 32 for key in keys)


def test_a_pool_saved_and_loaded_is_the_same(tmp_path):
    pool = make_pool(TEXTS, labels=["a", None, "b", "a"])
    pool.save(tmp_path / "pool.parquet")
    loaded = Pool.load(tmp_path / "pool.parquet")
    assert loaded.frame.equals(pool.frame)
    assert loaded.records.equals(pool.records)
    assert loaded.source == pool.source


@pytest.mark.parametrize("damaged", ["\0", "g", "F", "\n", ""])
def test_a_key_that_is_no_hash_is_damage(tmp_path, damaged):
    pool = make_pool(TEXTS)
    key = pool.frame["key"][1]
    broken = pool.frame["key"].replace({key: key[:8] + damaged + key[9:]})
    Pool.of(pool.frame.with_columns(broken), pool.records, pool.source).save(
        tmp_path / "pool.parquet"
    )
    with pytest.raises(DamagedFileError, match="no hash"):
        Pool.load(tmp_path / "pool.parquet")


def test_texts_are_distinct_and_sorted_by_key():
    texts = make_pool(TEXTS).texts
    assert len(texts) == 3
    assert texts.keys == sorted(texts.keys)
    assert texts.frame.equals(Texts.of(TEXTS).frame)


def test_taking_rows_takes_their_records_along():
    pool = make_pool(TEXTS, labels=["a", None, "b", "a"])
    taken = pool.take(pl.Series([True, False, False, True]))
    assert taken.frame["text"].to_list() == ["one", "two"]
    assert taken.frame["id"].to_list() == ["00000", "00003"]
    assert taken.records["record"].to_list() == ['{"n": 0}', '{"n": 3}']
    assert taken.source == pool.source
    assert taken.rejected is pool.rejected
    assert len(pool) == 4
    with pytest.raises(pl.exceptions.PolarsError):
        pool.take(pl.Series([True, False]))


def test_a_loaded_pool_knows_its_fingerprint_and_a_part_of_it_has_its_own(tmp_path):
    pool = make_pool(TEXTS)
    pool.save(tmp_path / "pool.parquet")
    loaded = Pool.load(tmp_path / "pool.parquet")
    assert "fingerprint" in vars(loaded)  # it was not made again
    assert loaded.fingerprint == pool.fingerprint
    mask = pl.Series([True] + [False] * (len(pool) - 1))
    assert loaded.take(mask).fingerprint == pool.take(mask).fingerprint != pool.fingerprint


def test_a_pool_without_a_fingerprint_gets_one(tmp_path):
    pool = make_pool(TEXTS)
    pool.save(tmp_path / "pool.parquet")
    metadata = pl.read_parquet_metadata(tmp_path / "pool.parquet")
    source = {"euds.source": metadata["euds.source"]}  # as it was saved earlier
    pl.read_parquet(tmp_path / "pool.parquet").write_parquet(
        tmp_path / "old.parquet", metadata=source
    )
    assert Pool.load(tmp_path / "old.parquet").fingerprint == pool.fingerprint


def test_a_text_is_whole_with_its_context_after_it():
    texts = Texts.of(["why?", "because"], ["a passage", None])
    assert sorted(texts.whole) == ["because", "why?\na passage"]
    same = Texts.of(["because", "why?"], [None, "a passage"])
    assert texts.fingerprint == same.fingerprint
    assert texts.fingerprint != Texts.of(["why?", "because"]).fingerprint
