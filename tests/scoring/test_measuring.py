"""Measuring: nothing twice, whole shards, and a killed run goes on with the same shards."""

import threading
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import polars as pl
import pytest

from euds.pool.pool import Texts
from euds.progress import SilentProgress
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import Measurer, cut_shards
from euds.scoring.scorers.base import recipe_id, recipe_of
from euds.scoring.store.disk import Store


@dataclass(frozen=True)
class Lengths:
    """Measures the length of a text, and remembers in a list what it was asked."""

    name: ClassVar[str] = "lengths"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = 10

    unit: str = "characters"
    asked: list = field(default_factory=list, compare=False, metadata={"recipe": False})
    die_after: int | None = field(default=None, metadata={"recipe": False})

    def work(self, texts):
        return 1000 * texts.frame["text"].str.len_bytes()  # as if a model had a lot to read

    def load(self):
        def measure(texts):
            if self.die_after is not None and len(self.asked) >= self.die_after:
                raise KeyboardInterrupt
            self.asked.append(texts.keys)
            return texts.frame.select("key", n=pl.col("text").str.len_chars())

        return measure


@pytest.fixture
def measurer(tmp_path):
    return Measurer(Store(tmp_path), LocalEngine(), SilentProgress())


def some_texts(count=95, start=0):
    numbers = range(start, start + count)
    return Texts.of([f"{'x' * (index % 37)} number {index}" for index in numbers])


def test_each_text_is_measured_once_in_this_run_and_every_later_one(measurer):
    texts = some_texts()
    first, second = Lengths(), Lengths()
    rows = measurer(first, texts)
    assert rows["key"].to_list() == texts.keys
    assert rows["n"].to_list() == [len(text) for text in texts.texts]
    assert measurer(second, texts).equals(rows)
    assert second.asked == []
    assert [stage.measured for stage in measurer.stages] == [95, 0]


def test_a_pool_that_grew_costs_what_was_added(measurer):
    measurer(Lengths(), some_texts(50))
    grown = Lengths()
    measurer(grown, some_texts(57))
    assert sum(map(len, grown.asked)) == 7


def test_another_parameter_measures_anew(measurer):
    measurer(Lengths(), some_texts(5))
    other = Lengths(unit="bytes")
    measurer(other, some_texts(5))
    assert len(other.asked) == 1


def test_a_killed_run_goes_on_with_the_same_shards(tmp_path, measurer):
    texts = some_texts(400)
    whole = Lengths()
    Measurer(Store(tmp_path / "other"), LocalEngine(), SilentProgress())(whole, texts)
    killed, resumed = Lengths(die_after=4), Lengths()
    one_by_one = Measurer(measurer.store, LocalEngine(workers=1), SilentProgress())
    with pytest.raises(KeyboardInterrupt):
        one_by_one(killed, texts)
    one_by_one(resumed, texts)
    assert len(killed.asked) == 4
    assert sorted(killed.asked + resumed.asked) == sorted(whole.asked)


def test_a_killed_run_with_several_workers_loses_no_more_than_the_shards_in_work(
    tmp_path, measurer
):
    texts = some_texts()
    killed, resumed = Lengths(die_after=6), Lengths()
    side_by_side = Measurer(measurer.store, LocalEngine(workers=2), SilentProgress())
    with pytest.raises(KeyboardInterrupt):
        side_by_side(killed, texts)
    rows = side_by_side(resumed, texts)
    assert len(killed.asked) == 6
    # Two were in work, one waited, and one was not stored yet: the rows of two others are there.
    assert sum(map(len, resumed.asked)) <= 95 - (5 + 10)
    assert rows["n"].to_list() == [len(text) for text in texts.texts]


def test_few_texts_are_cut_into_enough_shards_for_several_workers(measurer):
    asked = Lengths()
    measurer(asked, some_texts(40))
    assert [len(keys) for keys in asked.asked] == [8] * 5


def test_workers_measure_side_by_side(tmp_path):
    at_once = threading.Barrier(3, timeout=20)

    class Meeting(Lengths):
        def load(self):
            measure = super().load()

            def measure_together(texts):
                at_once.wait()  # passes only if three shards are in work
                return measure(texts)

            return measure_together

    texts = some_texts(90)  # nine shards
    rows = Measurer(Store(tmp_path), LocalEngine(workers=3), SilentProgress())(Meeting(), texts)
    assert rows["n"].to_list() == [len(text) for text in texts.texts]


def test_shards_hold_texts_of_like_length_and_every_text_once():
    texts = some_texts(95)
    shards = list(cut_shards(texts, 10))
    assert sorted(key for shard in shards for key in shard.keys) == texts.keys
    ranges = sorted((min(map(len, one.texts)), max(map(len, one.texts))) for one in shards)
    assert all(first[1] <= second[0] + 1 for first, second in pairwise(ranges))


def test_a_measurement_that_loses_rows_is_our_bug_and_is_noticed(measurer):
    class Forgetful(Lengths):
        def load(self):
            measure = super().load()
            return lambda texts: measure(texts).head(1)

    with pytest.raises(AssertionError, match="rows out"):
        measurer(Forgetful(), some_texts(5))


def test_a_recipe_holds_what_a_model_is_and_not_how_fast_it_runs():
    @dataclass(frozen=True)
    class Reference:
        name: str
        fingerprint: str

    @dataclass(frozen=True)
    class Asks(Lengths):
        model: Reference = Reference("one", "abc")

    one, other = Asks(), Asks(model=Reference("another name", "abc"))
    assert recipe_of(one)["parameters"] == {"unit": "characters", "model": "abc"}
    assert recipe_id(recipe_of(one)) == recipe_id(recipe_of(other))


def test_what_measuring_cost_is_known_to_a_later_run_too(measurer):
    texts = some_texts()
    measurer(Lengths(), texts)
    measurer(Lengths(), texts)
    first, second = measurer.stages
    assert 0 < first.spent_seconds <= first.seconds
    assert second.measured == 0
    assert second.spent_seconds == pytest.approx(first.spent_seconds)


def test_rows_of_an_older_store_cost_what_the_others_did(measurer):
    texts = some_texts()
    old = Lengths().load()(texts.select(texts.keys[:20]))
    measurer.store.add(recipe_of(Lengths()), old)
    measurer(Lengths(), texts.select(texts.keys[:20]))
    measurer(Lengths(), texts)
    unknown, known = measurer.stages
    assert unknown.spent_seconds is None
    assert known.measured == 75
    assert 0 < known.spent_seconds <= known.seconds * 95 / 75
