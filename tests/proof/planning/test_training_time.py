"""Budgets in seconds: told, or timed."""

import pytest

import euds
from euds.errors import InputError, OptionError
from euds.proof.planning.training_time import rows_in_time, seconds_a_row
from tests.conftest import make_pool
from tests.proof.toy import Words


def labelled_pool(rows: int = 200):
    texts = [f"text number {row} of them" for row in range(rows)]
    return make_pool(texts, labels=["good" if row % 2 else "bad" for row in range(rows)])


@pytest.mark.parametrize(
    ("seconds", "row_seconds", "rows"), [(10, 0.5, 20), (10, 0.3, 33), (0.3, 0.1, 3)]
)
def test_as_many_rows_as_fit(seconds, row_seconds, rows):
    assert rows_in_time(seconds, row_seconds) == rows
    assert rows * row_seconds <= seconds * (1 + 1e-9) < (rows + 1) * row_seconds


@pytest.mark.parametrize(("seconds", "row_seconds"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1)])
def test_seconds_that_make_no_sense_are_refused(seconds, row_seconds):
    with pytest.raises(OptionError, match="make no sense"):
        rows_in_time(seconds, row_seconds)


def test_where_no_row_fits_it_is_said():
    with pytest.raises(OptionError, match="not suffice for one row"):
        rows_in_time(1, 2)


def test_what_is_told_needs_no_labels_and_no_trial():
    found = euds.training_time(make_pool(["one text", "another"]), 60, row_seconds=0.5)
    assert found.rows == 120
    assert not found.results["timed"]
    assert str(found).startswith("2 rows are trained on in about 1.0 s")


def test_a_row_takes_its_part_of_all_the_steps_of_a_training():
    trainer = Words()
    # The toy says that any training takes two seconds, so eight steps do: 0.25 a step.
    steps = trainer.steps_of(200)
    assert seconds_a_row(labelled_pool(), trainer, task="sentiment") == pytest.approx(
        0.25 * steps / 200
    )
    assert [one["steps"] for one in trainer.made] == [8, 8]
    assert {one["rows"] for one in trainer.made} == {64}


def test_without_labels_a_row_cannot_be_timed():
    with pytest.raises(InputError, match="timed with labels"):
        seconds_a_row(make_pool(["one text", "another"]), Words(), task="sentiment")
