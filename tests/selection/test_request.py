"""What is meant by a rule, an interval, or neither."""

import numpy as np
import polars as pl
import pytest

from euds.errors import OptionError
from euds.scoring.scores import ScoreTable
from euds.selection import sentence_vectors
from euds.selection.request import rule_asked
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import rich_pool


@pytest.mark.parametrize(
    ("rule", "interval", "options", "meant"),
    [
        (None, [], {}, "auto"),
        (None, ["auto"], {}, "auto"),
        ("igse", ["auto"], {}, "auto"),
        ("auto-labels", ["auto"], {}, "auto-labels"),
        (None, [], {"use_labels": True}, "auto-labels"),
        ("bws", [], {"use_labels": True}, "bws"),
        (None, ["middle"], {}, "igse"),
        (None, ["0.3:0.7"], {}, "igse"),
        (None, ["ie=2:5"], {}, "igse"),
        (None, [], {"soft": True}, "igse"),
        ("ge", [], {}, "ge"),
        ("ge", ["0.3:0.7"], {}, "ge"),
    ],
)
def test_rule_and_interval_go_together(rule, interval, options, meant):
    options = {"soft": False, "use_labels": False, **options}
    assert rule_asked(rule, interval, **options, score_names=()).name == meant


@pytest.mark.parametrize(
    ("rule", "interval", "options", "told"),
    [
        ("ge", ["auto"], {}, "--entropies ge"),
        (None, ["auto", "ie=2:5"], {}, "goes with nothing else"),
        ("igse", [], {"use_labels": True}, "looks at no labels"),
        (None, ["0.3:0.7"], {"use_labels": True}, "looks at no labels"),
    ],
)
def test_what_does_not_go_together_is_refused(rule, interval, options, told):
    options = {"soft": False, "use_labels": False, **options}
    with pytest.raises(OptionError, match=told):
        rule_asked(rule, interval, **options, score_names=())


def test_with_no_flag_at_all_the_automatic_rule_keeps_16_percent():
    pool, table, vectors = rich_pool()
    selection = select(pool, table, vectors=vectors)
    assert len(selection) == round(0.16 * len(pool))
    assert selection.settings["rule"] == "auto"
    assert selection.settings["interval"] == ["auto"]
    assert selection.diagnosis["usability"]["judged"] == 140
    assert not selection.settings["uses_labels"]


def test_without_an_encoder_rows_are_drawn_from_the_whole_bulk():
    rows = 400
    pool = make_pool([f"text {index:03d}" for index in range(rows)])
    scores = np.random.default_rng(3).normal(size=rows)
    scores[:20] += 20
    table = ScoreTable(pl.DataFrame({"id": pool.frame["id"], "ie": scores}))
    counts = np.zeros(rows)
    for seed in range(100):
        selection = select(pool, table, keep=0.16, seed=seed)
        counts += selection.frame["kept"].to_numpy()
    found = selection.diagnosis["usability"]
    assert found["background"] == pytest.approx(0.05, abs=0.01)
    assert counts[:20].sum() == 0
    inside = counts > 0
    assert inside.sum() == pytest.approx(400 * 0.95**2, abs=5)
    # Each is drawn with probability 64 / 361: mean 17.7, deviation 3.8.
    assert counts[inside].min() > 3
    (warning,) = [one for one in selection.diagnosis["warnings"] if "sentence vectors" in one]
    assert "euds models get minilm-l6" in warning


def test_vectors_of_a_large_pool_are_not_made_unasked(monkeypatch):
    asked = []

    def make(texts, **_):
        asked.append(len(texts))
        raise AssertionError("made")

    monkeypatch.setattr(sentence_vectors, "vectors_of", make)
    monkeypatch.setattr(sentence_vectors, "MOST_FOR_NOTHING", 100)
    pool, table, _ = rich_pool()
    cheap = ScoreTable(table.frame.select("id", "ie", "words"))
    selection = select(pool, cheap, keep=10)
    assert any("would have to read all" in one for one in selection.diagnosis["warnings"])
    assert not asked
    with pytest.raises(AssertionError, match="made"):
        select(pool, table, keep=10)  # a model has read every text: vectors are cheap beside that
