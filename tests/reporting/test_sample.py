"""The rows that the page holds, and the bars of its distributions."""

import math

import polars as pl
import pytest

from euds.reporting.pool_figures import pool_sections, shown_scores
from euds.reporting.sample import MOST_SAMPLED, draw_sample
from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from tests.reporting.conftest import scored_pool

SCORES = ("ie", "ge", "se")


def drawn(scored, selection, **settings):
    return draw_sample(*scored, selection, **{"scores": SCORES, "texts": True, **settings})


def test_the_rows_are_those_with_the_smallest_keys(scored, selected):
    sample = drawn(scored, selected)
    pool, _ = scored
    keys = dict(pool.frame.select("id", "key").iter_rows())
    assert [row["id"] for row in sample.rows] == sorted(keys, key=keys.get)[:MOST_SAMPLED]
    assert len(sample.rows) == MOST_SAMPLED < sample.pool_rows == len(pool)


def test_the_order_of_the_input_does_not_matter():
    texts = [f"text number {index}" for index in range(500)]
    one, other = (scored_pool(each)[0] for each in (texts, texts[::-1]))
    first, second = (
        draw_sample(pool, scores_of_length(pool), None, scores=("ie",), texts=True)
        for pool in (one, other)
    )
    assert [row["text"] for row in first.rows] == [row["text"] for row in second.rows]


def scores_of_length(pool):
    return ScoreTable(pool.frame.select("id", ie=pl.col("text").str.len_chars().cast(pl.Float64)))


def test_a_row_has_its_own_fate_and_scores(scored, selected):
    _, table = scored
    fates = {row["id"]: row for row in selected.frame.iter_rows(named=True)}
    scores = {row["id"]: row for row in table.frame.iter_rows(named=True)}
    for row in drawn(scored, selected).rows:
        assert row["fate"] == ("kept" if fates[row["id"]]["kept"] else "dropped")
        assert row["reason"] == fates[row["id"]]["reason"]
        for name in SCORES:
            expected = scores[row["id"]][name]
            assert row[name] == (None if expected is None else pytest.approx(expected, rel=1e-4))
        assert row["words"] == scores[row["id"]]["words"]


def test_a_score_that_json_cannot_hold_is_missing(scored):
    pool, table = scored
    broken = ScoreTable(table.frame.with_columns(ge=pl.lit(math.inf)))
    assert {row["ge"] for row in drawn((pool, broken), None).rows} == {None}


def test_without_texts_there_are_none(scored):
    sample = drawn(scored, None, texts=False)
    assert all("text" not in row for row in sample.rows)
    assert not sample.has_text


def test_the_scores_shown_are_the_entropies_and_what_was_selected_by(scored):
    pool, table = scored
    more = ScoreTable(
        table.frame.with_columns(ie_plugin=pl.col("ie") / 2, ge_nll=pl.col("ge"), ie_norm=0.5)
    )
    assert shown_scores(more, None) == ("ie", "ge", "se")
    by_raw = select(pool, more, rule="perplexity", interval="ie_plugin=2.5:3.5")
    assert shown_scores(more, by_raw) == ("ie", "ge", "se", "ge_nll", "ie_plugin")
    by_length = select(pool, more, rule="length")
    assert "words" not in shown_scores(more, by_length)


def figures(scored, selection, **settings):
    sections = pool_sections(
        *scored, selection, sample=drawn(scored, selection), summary={}, results=None
    )
    return {one.name: one for section in sections for one in section.figures}


def rows_with(figure, column):
    return next(rows for rows in figure.spec["datasets"].values() if column in rows[0])


def test_the_bars_count_every_row(scored, selected):
    _, table = scored
    bars = rows_with(figures(scored, selected)["distribution-se"], "pool")
    values = dict(table.frame.select("id", "se").drop_nulls().iter_rows())
    kept = set(selected.ids)
    for index, bar in enumerate(bars):
        last = index == len(bars) - 1
        inside = [
            name
            for name, value in values.items()
            if bar["from"] <= value < bar["to"] or (last and value == bar["to"])
        ]
        assert bar["pool"] == len(inside)
        assert bar["kept"] == len(kept & set(inside))


def test_the_shade_goes_from_the_smallest_to_the_largest_kept(scored, selected):
    _, table = scored
    (shade,) = rows_with(figures(scored, selected)["distribution-ie"], "low")
    kept = table.frame.filter(pl.col("id").is_in(selected.ids))["ie"]
    assert (shade["low"], shade["high"]) == (kept.min(), kept.max())


def test_an_interval_in_raw_values_is_shaded_as_given(scored):
    selection = select(*scored, rule="ie", interval="ie=6.1:6.6", keep=20)
    shown = figures(scored, selection)
    (shade,) = rows_with(shown["distribution-ie"], "low")
    assert (shade["low"], shade["high"]) == (6.1, 6.6)
    open_ended = select(*scored, rule="ie", interval="ie=6.1:", keep=20)
    (shade,) = rows_with(figures(scored, open_ended)["distribution-ie"], "low")
    assert shade["high"] == scored[1].frame["ie"].max()


def test_labels_that_look_alike_stay_apart():
    labels = ["a", "a\u200b", "", " "] * 25
    pool, table = scored_pool([f"text {index}" for index in range(100)], labels)
    bars = rows_with(
        figures((pool, table), select(pool, table, rule="igse", keep=0.5))["classes"], "share"
    )
    assert len({row["class"] for row in bars}) == 4
