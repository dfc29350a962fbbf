"""A subset is handed out if it is certainly not worse than random rows; else random rows are."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import euds
from euds.errors import InputError, OptionError, StoreError
from euds.pool.pool import Pool
from euds.progress import Ledger, SilentProgress
from euds.proof.certify import FALLBACK, QuestionLog, non_inferiority
from euds.proof.training import trainers
from euds.proof.training.protocol import Samples
from euds.proof.training.trained import TrainingStore
from euds.scoring.scores import ScoreTable
from tests.proof.toy import UnseededWords, Words, labelled_pool

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def held():
    return euds.hold_out(labelled_pool(700), 0.5)


@pytest.fixture(scope="module")
def table(held):
    """Scores by which the middle is as good as any rows (ie), or all of one class (ge)."""
    pool = held.pool
    rng = np.random.default_rng(0)
    is_cold = pool.frame["label"] == "cold"
    noise = pl.Series(rng.uniform(0, 0.1, len(pool)))
    frame = pool.frame.select("id").with_columns(
        ie=pl.Series(rng.normal(size=len(pool))),
        # The middle third is cold, and warm rows lie on both sides of it.
        ge=pl.select(
            pl.when(is_cold)
            .then(noise)
            .otherwise(noise + pl.Series(rng.choice([-5, 5], len(pool))))
        ).to_series(),
        words=1.0,
    )
    return ScoreTable(frame)


@pytest.fixture
def trainer(monkeypatch):
    words = Words()
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: words)
    return words


@pytest.fixture
def places(tmp_path):
    return {
        "store": TrainingStore(tmp_path / "trained"),
        "questions": QuestionLog(tmp_path / "asked"),
        "progress": SilentProgress(),
    }


def certify(held, table, places, rule="ie", *, keep=100, **settings):
    chosen = euds.select(held.pool, table, rule=rule, keep=keep) if isinstance(rule, str) else rule
    given = {"task": "topic", "trainer": "words", "margin_points": 8.0, **settings}
    return euds.certify(held.pool, chosen, validation=held, **places, **given), chosen


def test_a_subset_as_good_as_random_rows_is_handed_out_as_it_is(held, table, places, trainer):
    ledger = Ledger()
    certificate, chosen = certify(held, table, {**places, "ledger": ledger})
    assert certificate.is_certified
    assert certificate.delivered is chosen
    assert str(certificate).startswith("certified: ie at ")
    found = certificate.results
    assert found["delivered"] == "ie"
    assert found["bound_points"] > -8
    assert found["p"] < 0.05
    assert found["points"]["tested"] - found["points"][FALLBACK] == pytest.approx(
        found["difference_points"]
    )
    assert ledger.seconds["training"] > 0
    json.dumps(found, allow_nan=False)


def test_a_subset_that_is_worse_gives_way_to_random_rows_of_its_size(held, table, places, trainer):
    certificate, chosen = certify(held, table, places, "ge")
    assert not certificate.is_certified
    assert certificate.delivered is not chosen
    assert certificate.delivered.settings["rule"] == FALLBACK
    assert len(certificate.delivered) == len(chosen)
    labels = held.pool.frame.filter(pl.col("id").is_in(certificate.delivered.ids))["label"]
    share = (held.pool.frame["label"] == "cold").mean()
    assert abs((labels == "cold").sum() - 100 * share) < 1
    assert str(certificate).startswith("not certified, so random-stratified rows are handed out")


def test_neither_arm_trains_on_validation_rows_and_both_are_asked_all_of_them(
    held, table, places, trainer
):
    certificate, chosen = certify(held, table, places, seeds=3)
    assert set(chosen.ids).isdisjoint(held.test.frame["id"])
    assert set(certificate.delivered.ids) <= set(held.pool.frame["id"])
    # By another route: train on the subset by hand, with its labels, and count.
    rows = held.pool.frame.filter(pl.col("id").is_in(chosen.ids)).sort("key")
    asked = held.test.frame.sort("key")
    samples = Samples(
        [*rows["key"], *asked["key"]],
        [*rows["text"], *asked["text"]],
        [None] * (len(rows) + len(asked)),
        [*rows["label"], *[None] * len(asked)],
    )
    course = trainer.load(None, samples, None)
    points = []
    for seed in range(3):
        ask = np.arange(len(rows), len(samples))
        outcome = course.run(np.arange(len(rows)), ask, seed=seed, settings={"smoothing": 1.0})
        points.append(100 * np.mean(np.array(outcome.answers) == asked["label"].to_numpy()))
    assert certificate.results["points"]["tested"] == pytest.approx(np.mean(points))
    assert certificate.results["validation"]["rows"] == len(held.test)


def test_the_settings_are_tuned_on_the_random_rows(held, table, places, monkeypatch):
    words = Words(smoothings=(0.1, 1.0, 5.0))
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: words)
    certificate, _ = certify(held, table, places, seeds=2)
    tried = certificate.results["tuned"]["tried"]
    assert [one["smoothing"] for one in tried] == [0.1, 1.0, 5.0]
    best = max(tried, key=lambda one: one["points"])
    assert certificate.results["tuned"]["smoothing"] == best["smoothing"]


def test_what_is_tested_is_what_is_handed_out_also_where_the_rule_draws(
    held, table, places, monkeypatch
):
    words = UnseededWords()
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: words)
    certificate, chosen = certify(held, table, places, "random", seeds=4)
    assert certificate.is_certified
    assert certificate.delivered.ids == chosen.ids
    # One training of the subset serves all seeds, and each seed draws other random rows.
    assert len([one for one in words.made if one["rows"] == 100]) == 1 + 4


def test_a_smaller_alpha_asks_for_more(held, table, places, trainer):
    bounds = [
        certify(held, table, places, alpha=alpha)[0].results["bound_points"]
        for alpha in (0.2, 0.05, 0.001)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert len(set(bounds)) == 3


def test_another_question_to_the_same_rows_is_told_and_the_same_one_is_not(
    held, table, places, trainer
):
    first = certify(held, table, places)[0]
    second = certify(held, table, places, "ge")[0]
    again = certify(held, table, places)[0]
    assert [one.results["validation"]["earlier_questions"] for one in (first, second, again)] == [
        *(0, 1, 0)
    ]
    assert not first.warnings
    assert "1 other question was put to these validation rows" in second.warnings[0]
    assert "0.1 at most" in second.warnings[0]
    assert again.results == first.results


def test_a_log_that_cannot_be_read_is_not_taken_for_an_empty_one(held, tmp_path):
    log = QuestionLog(tmp_path)
    log.ask(held.test, "one")
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    with pytest.raises(StoreError, match="asked before"):
        log.ask(held.test, "another")


def test_a_selection_from_the_whole_pool_is_refused(held, table, places, trainer):
    pool = labelled_pool(700)
    chosen = euds.select(pool, rule="random", keep=100)
    with pytest.raises(OptionError, match="another pool"):
        certify(held, table, places, chosen)
    with pytest.raises(OptionError, match="before anything is selected"):
        euds.certify(pool, chosen, validation=held, task="topic", trainer="words", **places)


def test_without_labels_there_is_no_certificate(held, table, places, trainer):
    bare = Pool.of(
        held.pool.frame.with_columns(label=pl.lit(None, pl.String)),
        held.pool.records,
        held.pool.source,
    )
    with pytest.raises(InputError, match="no labels"):
        euds.hold_out(bare, 0.2)


@pytest.mark.parametrize(
    ("rule", "given", "message"),
    [
        ("ie", {"alpha": 0.5}, "level of a certificate"),
        ("ie", {"alpha": 0.0}, "level of a certificate"),
        ("random-stratified", {}, "needs no certificate"),
        ("ie", {"margin_points": 0}, "margin makes no sense"),
        ("ie", {"task": None}, "what is to be learnt"),
        ("ie", {"keep": 5}, "too small to train on"),
    ],
)
def test_what_makes_no_sense_is_refused(held, table, places, trainer, rule, given, message):
    with pytest.raises(OptionError, match=message):
        certify(held, table, places, rule, **given)


def test_a_validation_part_that_is_too_small_is_refused(places, trainer):
    few = euds.hold_out(labelled_pool(400), 0.3)
    chosen = euds.select(few.pool, rule="random", keep=100)
    with pytest.raises(InputError, match="too small for a certificate") as caught:
        certify(few, None, places, chosen)
    assert "--validation" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.05, 0.2]), st.floats(-0.1, 0.1))
def test_the_bound_and_the_p_value_decide_alike(seed, alpha, shift):
    rng = np.random.default_rng(seed)
    drawn = rng.random((4, 60)) < 0.8
    scores = rng.random((4, 60)) < 0.8 + shift
    found = non_inferiority(scores, drawn, margin=0.05, alpha=alpha)
    assert found.is_certified == (found.p < alpha)


def test_with_one_answer_for_all_seeds_it_is_a_one_sided_t_test_over_rows():
    rng = np.random.default_rng(5)
    scores, drawn = (np.tile(rng.random(80) < share, (3, 1)) for share in (0.85, 0.8))
    found = non_inferiority(scores, drawn, margin=0.02, alpha=0.05)
    difference = scores[0].astype(float) - drawn[0]
    expected = stats.ttest_1samp(difference, -0.02, alternative="greater")
    # At 0.7 of the level, see euds.proof.certify.
    assert found.p == pytest.approx(expected.pvalue / 0.7)
    assert found.bound == pytest.approx(expected.confidence_interval(1 - 0.7 * 0.05).low)


@pytest.fixture(scope="module")
def simulation():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(
        "certificate_benchmark", BENCHMARKS / "certificate.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("trainer", ["probe", "fine-tune"])
@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_a_subset_that_is_worse_by_the_margin_passes_seldom(simulation, trainer, spread):
    number = 400
    counts = simulation.simulate(
        np.random.default_rng(7),
        *(5, 300),
        spread=spread,
        trainer=trainer,
        truths=(simulation.BOUNDARY, 2.0),
        number=number,
    )
    wrong, passed = counts[simulation.BOUNDARY, 0.05], counts[2.0, 0.05]
    # At most alpha, give or take what chance does to so few pools; and the test can pass at all.
    assert stats.binomtest(wrong, number, 0.05, alternative="greater").pvalue > 1e-3
    assert passed > 5 * max(wrong, 5)


def test_the_made_up_pools_are_as_true_as_they_say(simulation):
    subsets, draws = simulation.answers(
        np.random.default_rng(3), 60, 5, 2000, spread=1.0, trainer="probe", truths=(-1.0, 2.0)
    )
    assert draws.mean() == pytest.approx(0.90, abs=0.004)
    assert subsets[-1.0].mean() == pytest.approx(0.89, abs=0.004)
    assert subsets[2.0].mean() == pytest.approx(0.92, abs=0.004)
    assert (subsets[-1.0] == subsets[-1.0][:, :1]).all()
    assert draws.mean(axis=2).std(axis=1, ddof=1).mean() == pytest.approx(0.011, abs=0.003)
