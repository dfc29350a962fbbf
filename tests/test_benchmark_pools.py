"""The benchmarks' pools are what they say; the slow ones are made of a few rows here."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from euds.pool.pool import Texts, text_key
from euds.selection.near_duplicates import near_duplicates_of
from tests.conftest import loaded_script


@pytest.fixture(scope="module")
def pools():
    with loaded_script("benchmarks/pools.py") as module:
        yield module


@pytest.fixture(scope="module")
def tweets(pools):
    return pools.POOLS["tweets"].build(None)


@pytest.fixture(scope="module")
def bbc_news(pools):
    return pools.POOLS["bbc-news"].build(None)


def texts_of(rows) -> Texts:
    return Texts.of([row["text"] for row in rows], [row.get("context") for row in rows])


def test_tweets_are_drawn_by_a_hash_and_apart(tweets, pools):
    assert (len(tweets.pool), len(tweets.test)) == (4000, 4000)
    last = max(text_key(row["text"]) for row in tweets.pool)
    assert last < min(text_key(row["text"]) for row in tweets.test)
    assert set(tweets.pool[0]) == {"text", "label"}


def test_a_fifth_of_the_noisy_labels_are_wrong(tweets, pools, monkeypatch):
    monkeypatch.setattr(pools, "_tweets", lambda _: tweets)
    noisy = pools.POOLS["noise"].build(None)
    assert [row["text"] for row in noisy.pool] == [row["text"] for row in tweets.pool]
    changed = Counter(
        (one["label"], other["label"])
        for one, other in zip(tweets.pool, noisy.pool, strict=True)
        if one["label"] != other["label"]
    )
    assert changed.total() == 800
    assert len(changed) == 6
    assert noisy.test == tweets.test
    assert pools.POOLS["noise"].build(None) == noisy


def test_the_other_classes_are_a_tenth_of_the_largest(tweets, pools, monkeypatch):
    monkeypatch.setattr(pools, "_tweets", lambda _: tweets)
    pool = pools.POOLS["imbalance"].build(None).pool
    before = Counter(row["label"] for row in tweets.pool)
    (largest, most), *others = Counter(row["label"] for row in pool).most_common()
    assert most == before[largest] == max(before.values())
    assert [count for _, count in others] == [most // 10] * 2


def test_edited_copies_are_near_duplicates_and_no_duplicates(bbc_news, pools, monkeypatch):
    monkeypatch.setattr(pools, "_bbc_news", lambda _: bbc_news)
    split = pools.POOLS["near-duplicates"].build(None)
    assert split.pool[: len(bbc_news.pool)] == bbc_news.pool
    copies = split.pool[len(bbc_news.pool) :]
    assert len(copies) / len(split.pool) == pytest.approx(0.3, abs=0.001)
    originals = {row["text"] for row in bbc_news.pool}
    assert not originals & {row["text"] for row in copies}
    some = texts_of(copies[:100])
    assert near_duplicates_of(some, texts_of(bbc_news.pool))["key"].n_unique() == len(some) == 100


def test_an_edit_takes_away_doubles_or_swaps(pools):
    words = [f"w{number}" for number in range(50)]
    for seed in range(20):
        once = pools.edited(" ".join(words), share=0.0, rng=np.random.default_rng(seed)).split()
        assert once != words
        assert abs(len(once) - 50) <= 1
        assert sorted(once) == sorted(words) or len(once) != 50
        assert set(once) <= set(words)
        assert len(set(once)) >= 49


def test_privacy_qa_shares_no_clause(pools):
    split = pools.POOLS["privacy-qa"].build(None)
    assert (len(split.pool), len(split.test)) == (2500, 2500)
    assert not {row["context"] for row in split.pool} & {row["context"] for row in split.test}


def test_disfl_qa_shares_no_passage(pools):
    split = pools.POOLS["disfl-qa"].build(None)
    assert (len(split.pool), len(split.test)) == (700, 300)
    assert not {row["context"] for row in split.pool} & {row["context"] for row in split.test}


def test_machine_made_texts_are_kept(pools, monkeypatch, tmp_path):
    asked = []

    class Writer:
        def truncate(self, texts, *, max_tokens):
            return [" ".join(text.split()[:max_tokens]) for text in texts]

        def sample(self, prompts, *, count, max_new_tokens, seeds):
            asked.append((prompts, seeds))
            return [[SimpleNamespace(text=f" and so on, {seed}")] for seed in seeds]

    monkeypatch.setattr(pools, "load_language_model", lambda *_, **__: Writer())
    monkeypatch.setattr(pools, "resolve", lambda _: SimpleNamespace(fingerprint="f"))
    rows = [{"text": " ".join("abcdefghijklmnop"), "label": "tech"}, {"text": "x", "label": "arts"}]
    cache = tmp_path / "made.json"
    texts = pools._machine_texts(rows, cache)
    ((prompts, seeds),) = asked
    assert prompts == ["News about tech:\na b c d e f g h i j k l", "News about arts:\nx"]
    assert len(set(seeds)) == 2
    assert texts == [f"a b c d e f g h i j k l and so on, {seeds[0]}", f"x and so on, {seeds[1]}"]
    assert pools._machine_texts(rows, cache) == texts
    assert len(asked) == 1
    pools._machine_texts(rows[:1], cache)
    assert len(asked) == 2


def test_written_files_are_read_as_they_were_built(pools, monkeypatch, tmp_path):
    from euds.reading import read

    split = pools.Split(
        [{"text": "one é", "context": "c", "label": "yes"}], [{"text": "other", "label": "no"}]
    )
    toy = pools.BenchmarkPool("toy", "topic", "two", lambda _: split)
    monkeypatch.setitem(pools.POOLS, "toy", toy)
    pools.write("toy", tmp_path / "new")
    pool = read(tmp_path / "new" / "pool.jsonl")
    assert pool.frame.select("text", "context", "label").to_dicts() == split.pool
    assert len(read(tmp_path / "new" / "test.jsonl")) == 1
    leaking = pools.BenchmarkPool("toy", "topic", "", lambda _: pools.Split(split.test, split.test))
    monkeypatch.setitem(pools.POOLS, "toy", leaking)
    with pytest.raises(ValueError, match="near-duplicates of test rows"):
        pools.write("toy", tmp_path / "new")
