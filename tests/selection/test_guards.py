"""Guards: what leans is selected again with the pool's shares, and chance alone does not count."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import kruskal

from euds.scoring.scores import ScoreTable
from euds.selection import select as selecting
from euds.selection.guards import Shares
from euds.selection.languages import UNKNOWN, languages_of
from euds.selection.rules.ranks import epsilon_squared
from euds.selection.select import select
from tests.conftest import make_pool

ENGLISH = "The weather was lovely this morning and we walked along the river, number {}."
GERMAN = "Das Wetter war heute Morgen schön und wir gingen am Fluss entlang, Nummer {}."
SWAHILI = "Hali ya hewa ilikuwa nzuri asubuhi ya leo na tulitembea kando ya mto, namba {}."


def bilingual(rows: int = 200, german: int = 60):
    """Return a pool whose German rows have the lowest and highest scores: rules drop them all."""
    rng = np.random.default_rng(0)
    texts = [(GERMAN if row < german else ENGLISH).format(row) for row in range(rows)]
    scores = np.concatenate([[-9.0, 9.0] * (german // 2), rng.normal(size=rows - german)])
    pool = make_pool(texts)
    table = ScoreTable(pl.DataFrame({"id": pool.frame["id"], "ie": scores, "words": [9] * rows}))
    return pool, table


def kept_german(selection, german: int = 60) -> int:
    return int(selection.frame["kept"].head(german).sum())


def test_languages_are_told_and_short_texts_are_not_guessed():
    texts = [ENGLISH, GERMAN, SWAHILI, "今天天气很好,我们去公园散步", "", "ok", "17 %"]
    assert languages_of(texts) == ["en", "de", "sw", "zh", UNKNOWN, UNKNOWN, UNKNOWN]


def test_a_subset_that_leans_to_a_language_is_selected_again():
    pool, table = bilingual()
    options = {"rule": "ie", "keep": 40, "near_duplicates": "keep"}
    bare = select(pool, table, **options, guards=False)
    assert kept_german(bare) == 0
    assert bare.diagnosis["languages"] == {}
    selection = select(pool, table, **options)
    assert kept_german(selection) == 12  # 60 of 200, of 40
    assert len(selection) == 40
    (warning,) = [one for one in selection.warnings if "leaned" in one]
    assert "some languages (pool -> kept): de 30% -> 0%, en 70% -> 100%" in warning
    assert selection.diagnosis["languages"]["de"] == pytest.approx({"pool": 0.3, "kept": 0.3})
    assert select(pool, table, **options, quota="language=equal").frame["kept"].head(60).sum() == 20


def test_in_a_large_pool_the_guard_of_languages_only_warns(monkeypatch):
    monkeypatch.setattr(selecting, "MOST_DETECTED", 100)
    pool, table = bilingual()
    selection = select(pool, table, rule="ie", keep=40, near_duplicates="keep")
    assert kept_german(selection) == 0
    assert any("--quota language=proportional" in one for one in selection.warnings)


def test_an_answer_of_the_model_is_guarded_like_a_language():
    pool, table = bilingual()
    texts = make_pool([f"text number {row}" for row in range(200)])
    options = {"rule": "ie", "keep": 40}
    table = ScoreTable(
        table.frame.with_columns(se_option=pl.Series(["rare"] * 60 + ["usual"] * 140))
    )
    assert kept_german(select(texts, table, **options, guards=False)) == 0
    selection = select(texts, table, **options)
    assert kept_german(selection) == 12
    assert any("some answers of the model" in one for one in selection.warnings)
    # Both at once: in the cross of both each has its share.
    both = select(pool, table, **options, near_duplicates="keep")
    assert kept_german(both) == 12
    assert sum("leaned" in one for one in both.warnings) == 2


def test_draws_intervals_without_a_budget_and_quotas_are_left_alone():
    pool, table = bilingual()
    table = ScoreTable(table.frame.with_columns(se_option=pl.Series(["a"] * 60 + ["b"] * 140)))
    for options in (
        {"rule": "random", "keep": 40},
        {"rule": "ie", "interval": "ie=-1:1"},
        {"rule": "ie", "keep": 40, "quota": "se_option=equal"},
        {"rule": "full"},
    ):
        selection = select(pool, table, **options)
        assert not any("leaned" in one for one in selection.warnings)
        assert selection.diagnosis["languages"]


def shares(pool, kept, texts, chosen):
    by_value = {
        str(i): {"pool": p, "kept": k} for i, (p, k) in enumerate(zip(pool, kept, strict=True))
    }
    return Shares("language", by_value, texts, chosen)


def test_a_distance_must_be_large_and_more_than_chance():
    assert shares([0.5, 0.5], [0.62, 0.38], 1000, 1000).distance == pytest.approx(0.12)
    assert shares([0.5, 0.5], [0.62, 0.38], 1000, 1000).is_leaning
    assert not shares([0.5, 0.5], [0.59, 0.41], 1000, 1000).is_leaning
    assert not shares([0.5, 0.5], [0.62, 0.38], 1000, 10).is_leaning
    assert not Shares("language", {}, 0, 0).is_leaning


def test_chance_alone_hardly_ever_sets_off_a_guard():
    rng = np.random.default_rng(0)
    truth = np.array([0.5, 0.3, 0.1, 0.06, 0.04])
    alarms, distances, expected = 0, [], []
    for _ in range(2000):
        pool, kept = rng.multinomial(400, truth) / 400, rng.multinomial(50, truth) / 50
        one = shares(pool, kept, 400, 50)
        alarms += one.is_leaning
        distances.append(one.distance)
        expected.append(np.sqrt(truth * (1 - truth) / (2 * np.pi) * (1 / 400 + 1 / 50)).sum())
    assert alarms < 60  # 3 %
    assert np.mean(distances) == pytest.approx(np.mean(expected), rel=0.05)


def test_epsilon_squared_is_the_kruskal_wallis_statistic_over_rows_less_one():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 300)
    values = np.round(rng.normal(size=300) + 0.5 * groups, 1)  # with ties
    statistic = kruskal(*(values[groups == one] for one in range(4))).statistic
    assert epsilon_squared(values, groups) == pytest.approx(statistic / 299)
    assert epsilon_squared(np.ones(9), np.arange(9)) is None
    assert epsilon_squared(np.arange(2.0), np.arange(2)) is None


def test_the_diagnosis_tells_how_much_answers_explain_before_and_after():
    rng = np.random.default_rng(3)
    option = rng.integers(0, 2, 400)
    pool = make_pool([f"text number {row}" for row in range(400)])
    table = ScoreTable(
        pl.DataFrame(
            {
                "id": pool.frame["id"],
                "se": rng.normal(size=400) + 3 * option,
                "se_option": np.array(["no", "yes"])[option],
                "words": rng.integers(5, 60, 400),
            }
        )
    )
    told = select(pool, table, rule="se", keep=40).diagnosis["scores"]["se"]
    statistic = kruskal(*(table.frame["se"].to_numpy()[option == one] for one in (0, 1))).statistic
    assert told["option_epsilon_squared_raw"] == pytest.approx(statistic / 399)
    assert told["option_epsilon_squared_raw"] > 0.5
    assert told["option_epsilon_squared_rank"] < 0.01  # ranked within the answers
