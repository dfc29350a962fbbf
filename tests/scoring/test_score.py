"""Scoring a whole pool: which scorers run, with which options, and what they may know."""

import polars as pl
import pytest

from euds.errors import MissingExtraError, OptionError
from euds.models import extras
from euds.pool.pool import Pool, text_key
from euds.progress import SilentProgress
from euds.scoring.prompts import task_named
from euds.scoring.score import closed_set, make_scorers, make_settings, score
from euds.scoring.scores import ScoreTable
from euds.scoring.store.disk import Store
from tests.conftest import make_pool

TEXTS = ["the film was very good", "a bad book and a cat", "the cat is good and very bad"] * 2


def scored(tmp_path, pool, scores, **settings):
    return score(pool, scores, store=Store(tmp_path), progress=SilentProgress(), **settings)


def test_scores_are_joined_by_id_and_repeats_share_theirs(tmp_path):
    table = scored(tmp_path, make_pool(TEXTS), ["ie", "ge"], model="toy")
    assert table.frame["id"].to_list() == make_pool(TEXTS).frame["id"].to_list()
    assert table.frame["ge"][:3].to_list() == table.frame["ge"][3:].to_list()
    assert table.provenance["stages"][0]["measured"] == 3


def test_labels_reach_a_scorer_as_names_only(tmp_path):
    labels = ["good", "bad", "good", "bad", "good", "bad"]
    one = scored(tmp_path, make_pool(TEXTS, labels=labels), ["se"], model="toy", task="sentiment")
    other = scored(
        tmp_path, make_pool(TEXTS, labels=labels[::-1]), ["se"], model="toy", task="sentiment"
    )
    assert one.frame.equals(other.frame)
    assert one.provenance["se"]["options"] == ["bad", "good"]


@pytest.mark.parametrize(
    ("given", "labels", "task", "expected"),
    [
        (("b", "a"), ("x", "y"), "topic", ("a", "b")),
        ((), ("x", "y"), "topic", ("x", "y")),
        ((), (), "yes-no", ("no", "yes")),
    ],
)
def test_the_closed_set_is_given_or_named_by_labels_or_the_tasks_own(given, labels, task, expected):
    assert closed_set(given, task_named(task), labels) == expected


def test_a_closed_set_of_one_or_of_thousands_is_refused():
    with pytest.raises(OptionError, match="closed set"):
        closed_set((), task_named("topic"), ("only",))
    with pytest.raises(OptionError, match="too many"):
        closed_set((), task_named("topic"), tuple(f"label {index}" for index in range(101)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modell": "toy"}, "no setting 'modell'"),
        ({"task": "topics"}, "no task 'topics'"),
        ({"calibration": "median"}, "no calibration"),
        ({"answers": 1}, "answers is too small"),
        ({"batch_tokens": 0}, "batch-tokens"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(OptionError, match=message):
        make_settings(**settings)


def test_a_chat_prompt_needs_a_chat_model():
    settings = make_settings(task="topic", model="toy", prompts=["chat: {text}"])
    with pytest.raises(OptionError, match="no chat template"):
        make_scorers(["se"], settings, label_names=("a", "b"))


def test_a_missing_extra_is_one_sentence_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match="torch") as caught, extras.lm_extra("this"):
        import torch  # noqa: F401
    assert 'pip install "euds[lm]"' in str(caught.value)


def test_a_table_saved_and_loaded_is_the_same(tmp_path):
    table = scored(tmp_path, make_pool(TEXTS), ["ie", "ge"], model="toy")
    table.save(tmp_path / "scores.parquet")
    loaded = ScoreTable.load(tmp_path / "scores.parquet")
    assert loaded.frame.equals(table.frame)
    assert loaded.provenance["ge"] == table.provenance["ge"]
    assert loaded.names == table.names


def with_contexts(pool, contexts):
    keys = [text_key(text, one) for text, one in zip(pool.frame["text"], contexts, strict=True)]
    frame = pool.frame.with_columns(
        key=pl.Series(keys), context=pl.Series(contexts, dtype=pl.String)
    )
    return Pool.of(frame, pool.records, pool.source)


def test_the_second_reading_is_made_and_paid_only_if_it_is_asked_for(tmp_path):
    pool = with_contexts(make_pool(TEXTS[:3]), ["a cat is", "the film", "a book"])
    table = scored(tmp_path, pool, ["ge"], model="toy")
    assert "ge_ifd" not in table.frame.columns
    assert len(table.provenance["stages"]) == 1
    more = scored(tmp_path, pool, ["ge", "ge_ifd"], model="toy")
    assert more.frame["ge_ifd"].null_count() == 0
    assert [one["measured"] for one in more.provenance["stages"]] == [0, 0, 3]
    spent = more.provenance["spent_seconds"]
    assert spent["ge_ifd"] > spent["ge"] > 0  # what the first reading took, and the second
    assert "ge_ifd" in scored(tmp_path, pool, ["ge_ifd"], model="toy").names


def test_a_pool_without_contexts_has_no_instruction_difficulty(tmp_path):
    for contexts in ([None] * 3, [None, "", " "]):
        with pytest.raises(OptionError, match="without its context") as caught:
            scored(tmp_path, with_contexts(make_pool(TEXTS[:3]), contexts), ["ge_ifd"], model="toy")
        assert "--context" in str(caught.value)
