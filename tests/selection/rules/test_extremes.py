"""Rules that keep one end of a score: sorted by hand."""

import numpy as np
import polars as pl
import pytest

from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from tests.conftest import make_pool

ROWS = 40


@pytest.fixture(scope="module")
def pool():
    return make_pool([f"text number {index}" for index in range(ROWS)])


@pytest.fixture(scope="module")
def table(pool):
    rng = np.random.default_rng(5)
    words = rng.permutation(ROWS) + 5
    columns = {name: words * 0.3 + rng.normal(size=ROWS) for name in ("se", "ge_nll", "ge_hes")}
    ifd = np.concatenate([np.linspace(0.2, 0.98, 25), np.linspace(1, 1.7, 15)])
    return ScoreTable(
        pool.frame.select("id").with_columns(
            words=pl.Series(words),
            ge_ifd=pl.Series(rng.permutation(ifd)),
            **{name: pl.Series(values) for name, values in columns.items()},
        )
    )


@pytest.mark.parametrize(
    ("rule", "column", "highest"),
    [
        ("longest", "words", True),
        ("shortest", "words", False),
        ("perplexity-high", "ge_nll", True),
        ("perplexity-low", "ge_nll", False),
        ("hes", "ge_hes", True),
        ("uncertain", "se", True),
    ],
)
def test_the_ends_are_those_of_the_raw_score(pool, table, rule, column, highest):
    values = dict(table.frame.select("id", column).iter_rows())
    expected = sorted(values, key=values.get, reverse=highest)[:7]
    selection = select(pool, table, rule=rule, keep=7)
    assert set(selection.ids) == set(expected)
    assert selection.reasons == {f"{'below' if highest else 'above'} {column}": ROWS - 7}
    # Its ranks are those of the score as it is, with length in it.
    ranks = selection.frame[f"rank_{column}"].to_numpy()
    order = np.argsort(np.argsort(list(values.values())))
    np.testing.assert_allclose(ranks, (order + 0.5) / ROWS)


def test_an_interval_in_ranks_is_one_of_the_raw_score(pool, table):
    selection = select(pool, table, rule="hes", interval="0.5:")
    values = table.frame["ge_hes"].to_numpy()
    kept = table.frame["id"].is_in(selection.ids).to_numpy()
    assert kept.sum() == ROWS // 2
    assert values[kept].min() > values[~kept].max()


@pytest.mark.parametrize("keep", [5, 25, 30])
def test_ifd_keeps_the_highest_below_one_and_the_rest_only_in_need(pool, table, keep):
    values = table.frame["ge_ifd"].to_numpy()
    ids = np.array(pool.frame["id"].to_list())
    below = sorted(np.flatnonzero(values < 1), key=lambda row: -values[row])
    above = sorted(np.flatnonzero(values >= 1), key=lambda row: values[row])
    selection = select(pool, table, rule="ifd", keep=keep)
    assert set(selection.ids) == set(ids[[*below, *above][:keep]])
    assert selection.reasons.get("above ge_ifd") == min(15, ROWS - keep)
    assert selection.reasons.get("below ge_ifd", 0) == max(0, 25 - keep)
