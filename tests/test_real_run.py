"""The whole job with real models on real data, small enough for every run of the tests."""

import json

import pytest

import euds
from euds.progress import SilentProgress
from euds.reading import datasets
from euds.scoring.store.disk import Store

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def tweets(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tweets.jsonl"
    datasets.write("tweets", path, rows=60)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


def score(pool, scores, store, **settings):
    return euds.score(pool, scores, store=store, progress=SilentProgress(), **settings)


@pytest.fixture(scope="module")
def scored(tweets, store):
    pool = euds.read(tweets)
    return pool, score(pool, ["ie", "ge", "se"], store, task="sentiment")


def test_three_entropies_of_real_tweets_are_sensible(scored):
    _, table = scored
    assert table.frame["ge"].drop_nulls().is_between(0.5, 8).all()
    assert (table.frame["ge_nll"] > table.frame["ge"] * 0.5).all()
    # Three options: entropy at most ln 3.
    assert table.frame["se"].drop_nulls().is_between(0, 1.0987).all()
    assert table.provenance["se"]["prompt_information_nats"][0]["nats"] > 0.05
    assert table.frame["se"].n_unique() > 0.9 * len(table.frame)


def test_the_subset_is_rows_of_the_input(scored, tweets, tmp_path):
    pool, table = scored
    chosen = euds.select(pool, table, keep=0.16)
    written = chosen.write(tmp_path / "subset.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(written) == 10
    lines = tweets.read_text(encoding="utf-8").splitlines()
    assert set(written) <= set(lines)


def test_a_second_scoring_asks_the_models_nothing(scored, store):
    pool, table = scored
    again = score(pool, ["ie", "ge", "se"], store, task="sentiment")
    assert again.frame.equals(table.frame)
    assert sum(stage["measured"] for stage in again.provenance["stages"]) == 0


@pytest.mark.slow
def test_another_batch_size_moves_no_row(tmp_path):
    datasets.write("tweets", tmp_path / "tweets.jsonl", rows=150)
    pool = euds.read(tmp_path / "tweets.jsonl")
    tables = [
        score(pool, ["ie", "ge", "se"], Store(tmp_path / name), task="sentiment", **settings)
        for name, settings in (("first", {}), ("second", {"batch_tokens": 64}))
    ]
    first, second = (set(euds.select(pool, one, keep=0.16).ids) for one in tables)
    assert first == second


def test_answers_to_questions_are_sampled_and_grouped(tmp_path, store):
    path = tmp_path / "questions.jsonl"
    datasets.write("disfl-qa", path, rows=6)
    pool = euds.read(path, label="label")
    table = score(
        pool, ["se"], store, task="answer", answers=4, max_new_tokens=8, max_context_tokens=64
    )
    assert table.frame["se"].null_count() == 0
    assert table.frame["se_meanings"].is_between(1, 4).all()
    assert table.provenance["se"]["mode"] == "answer"
    # SNNE of K = 4 lies between that of four equal and four unrelated answers.
    assert table.frame["se"].is_between(-2.1, -1.0).all()


def test_continuations_need_no_task(scored, store):
    pool, _ = scored
    few = euds.read(pool.frame.select("text").head(6))
    table = score(few, ["se"], store, answers=4, max_new_tokens=8)
    assert table.provenance["se"]["mode"] == "continuation"
    assert table.frame["se"].null_count() == 0


def test_data_sets_convert_to_plain_rows(tmp_path):
    path = tmp_path / "boolq.jsonl"
    datasets.write("boolq-dev", path, rows=3)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert {"text", "context", "label"} <= set(row)
        assert row["label"] in ("yes", "no")
