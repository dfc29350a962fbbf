"""The proof from selections to results, with a trainer that takes no time."""

import itertools
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import euds
from euds.errors import InputError, OptionError
from euds.pool.pool import Pool, Texts
from euds.progress import Ledger, SilentProgress
from euds.proof.experiment import Experiment, samples_of
from euds.proof.pipeline import check_rules, prove_rules
from euds.proof.tasks import proof_task_named
from euds.proof.training import trainers
from euds.proof.training.trained import TrainingStore
from euds.scoring.scores import ScoreTable
from tests.proof.toy import UnseededWords, Words, labelled_pool


@pytest.fixture(scope="module")
def pool():
    return labelled_pool(300)


@pytest.fixture(scope="module")
def test():
    return labelled_pool(200, start=1000)


@pytest.fixture(scope="module")
def table(pool):
    rng = np.random.default_rng(0)
    frame = pool.frame.select("id").with_columns(
        ie=pl.Series(rng.normal(size=300)), words=pl.Series(rng.integers(5, 50, 300))
    )
    return ScoreTable(frame, {"spent_seconds": {"ie": 12.0}})


@pytest.fixture
def trainer(monkeypatch):
    words = Words()
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: words)
    return words


@pytest.fixture
def store(tmp_path):
    return TrainingStore(tmp_path / "trained")


def prove(pool, test, table, store, *rules, **settings):
    """Prove rules at 60 rows, or selections."""
    chosen = [
        euds.select(pool, table, rule=rule, keep=60) if isinstance(rule, str) else rule
        for rule in rules
    ]
    return euds.prove(
        pool,
        chosen,
        test=test,
        scores=table,
        store=store,
        progress=SilentProgress(),
        task="topic",
        trainer="words",
        **settings,
    )


def whole(trainer):
    """Return the trainings without the short ones that tell how long it will take."""
    return [one for one in trainer.made if one["rows"] != 64]


def test_every_arm_is_trained_with_every_seed_and_tested_once(pool, test, table, store, trainer):
    proof = prove(pool, test, table, store, "ie", seeds=3)
    results = proof.results
    assert [arm["name"] for arm in results["arms"]] == ["full", "random", "ie"]
    assert sorted((one["rows"], one["seed"]) for one in whole(trainer)) == sorted(
        itertools.chain.from_iterable([(300, seed), (60, seed), (60, seed)] for seed in range(3))
    )
    assert all(len(arm["runs"]) == 3 for arm in results["arms"])
    json.dumps(results, allow_nan=False)


def test_the_accuracy_is_that_of_the_answers(pool, test, table, store, trainer):
    results = prove(pool, test, table, store, "ie", seeds=2).results
    assert results["test"]["majority_points"] == 50
    # By another route: train once more by hand and count.
    samples = samples_of(pool, test)
    course = trainer.load(None, samples, None)
    right = test.frame.sort("key")["label"].to_list()
    fit, ask = np.arange(300), np.arange(300, 500)
    answers = course.run(fit, ask, seed=1, settings={"smoothing": 1.0}).answers
    correct = sum(one == other for one, other in zip(answers, right, strict=True))
    full = results["arms"][0]
    assert full["runs"][1]["points"]["accuracy"] == pytest.approx(100 * correct / 200)
    assert full["metrics"]["accuracy"]["mean_points"] == pytest.approx(
        np.mean([run["points"]["accuracy"] for run in full["runs"]])
    )


def test_a_second_proof_with_one_more_rule_trains_only_the_new_arm(
    pool, test, table, store, trainer
):
    first = prove(pool, test, table, store, "ie", seeds=3).results
    made = len(whole(trainer))
    second = prove(pool, test, table, store, "ie", "length", seeds=3).results
    assert len(whole(trainer)) - made == 3
    assert second["arms"][2]["runs"][0]["reused"]
    assert not second["arms"][3]["runs"][0]["reused"]
    for old, new in zip(first["arms"], second["arms"], strict=False):
        assert old["metrics"] == new["metrics"]


def test_a_killed_proof_goes_on_with_the_trainings_left(
    pool, test, table, store, trainer, monkeypatch
):
    dying = Words(die_after=5)
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: dying)
    with pytest.raises(KeyboardInterrupt):
        prove(pool, test, table, store, "ie", seeds=3)
    # Two of the six were the short ones that tell how long it will take.
    kept = len(list(store.root.glob("*.zst")))
    assert kept == 5 - 2
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: trainer)
    interrupted = prove(pool, test, table, store, "ie", seeds=3).results
    assert len(whole(trainer)) == 9 - kept
    fresh = TrainingStore(store.root / "fresh")
    at_once = prove(pool, test, table, fresh, "ie", seeds=3).results
    assert interrupted["comparisons"] == at_once["comparisons"]


def test_the_same_seed_gives_the_same_results_in_any_order_of_rows(
    pool, test, table, store, trainer
):
    shuffled = pool.frame.with_row_index("row").sample(fraction=1, shuffle=True, seed=3)
    order = shuffled["row"].to_list()
    other = Pool.of(pool.frame[order], pool.records[order], pool.source)
    first = prove(pool, test, table, store, "ie", seeds=2).results
    fresh = TrainingStore(store.root / "fresh")
    second = prove(other, test, table, fresh, "ie", seeds=2).results
    for name in ("comparisons", "verdicts", "headline"):
        assert first[name] == second[name]


def test_permuted_test_labels_give_chance(pool, test, table, store, trainer):
    labels = test.frame["label"].sample(fraction=1, shuffle=True, seed=1)
    permuted = Pool.of(test.frame.with_columns(label=labels), test.records, test.source)
    results = prove(pool, permuted, table, store, "ie", seeds=3).results
    for arm in results["arms"]:
        # Two balanced classes, 200 rows: four standard errors are 14 points.
        assert abs(arm["metrics"]["accuracy"]["mean_points"] - 50) < 14
    assert any("the task was not learnt" in warning for warning in results["warnings"])


def test_no_label_of_the_test_set_reaches_a_trainer(pool, test):
    samples = samples_of(pool, test)
    assert set(samples.labels[300:]) == {None}
    assert samples.labels[:300] == pool.frame.sort("key")["label"].to_list()


def test_equal_steps_take_as_many_steps_as_everything(pool, test, table, store, trainer):
    prove(pool, test, table, store, "ie", seeds=1, regime="steps")
    steps = {one["steps"] for one in whole(trainer)}
    assert steps == {trainer.steps_of(300)}


def test_settings_are_tuned_on_rows_of_the_random_arm_and_no_test_row(
    pool, test, table, store, monkeypatch
):
    seen = []

    class Watching(Words):
        def load(self, task, samples, progress):
            course = super().load(task, samples, progress)
            run = course.run

            def watched(fit, ask, **rest):
                seen.append((set(fit.tolist()), set(ask.tolist()), rest))
                return run(fit, ask, **rest)

            object.__setattr__(course, "run", watched)
            return course

    watching = Watching(smoothings=(1e-9, 1.0, 1e9))
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: watching)
    results = prove(pool, test, table, store, "ie", seeds=2).results
    random = set(euds.select(pool, rule="random", keep=60, seed=0).ids)
    order = pool.frame.sort("key")["id"].to_list()
    rows = {order.index(one) for one in random}
    tuning = seen[2:5]  # after the two short ones that tell the time
    for fit, ask, _ in tuning:
        assert fit | ask == rows
        assert not fit & ask
        assert len(ask) == 15
    (tuned,) = results["settings"]["tuned"]
    assert tuned["rows"] == 60
    assert len(tuned["tried"]) == 3
    best = max(tuned["tried"], key=lambda one: one["points"])
    assert tuned["smoothing"] == best["smoothing"]
    assert {rest["settings"]["smoothing"] for _, _, rest in seen[5:]} == {best["smoothing"]}


def test_a_trainer_without_a_seed_trains_equal_rows_once(pool, test, table, store, monkeypatch):
    unseeded = UnseededWords()
    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: unseeded)
    results = prove(pool, test, table, store, "ie", seeds=4).results
    # full and ie once, random for each of its draws
    assert sorted(one["rows"] for one in unseeded.made) == [60] * 5 + [300]
    full, random, _ = results["arms"]
    assert len({run["points"]["accuracy"] for run in full["runs"]}) == 1
    assert len({run["points"]["accuracy"] for run in random["runs"]}) > 1


def test_what_scoring_cost_is_charged_to_the_rules_that_used_it(pool, test, table, store, trainer):
    ledger = Ledger()
    results = prove(
        pool, test, table, store, "ie", seeds=2, train_cost="0.5s", ledger=ledger
    ).results
    full, random, ie = results["arms"]
    assert random["seconds"]["scoring"] == 0
    assert ie["seconds"]["scoring"] == 12
    # The toy takes 2 s to train and 0.25 s to answer, and half a second once for all 500 rows.
    assert full["seconds"]["training"] == pytest.approx(2 + 0.5 * 300 / 500)
    assert full["seconds"]["evaluating"] == pytest.approx(0.25 + 0.5 * 200 / 500)
    target = {one["arm"]: one for one in results["ledger"]["target"]["arms"]}
    assert target["full"]["total_seconds"] == pytest.approx(0.5 * 300 * 3)
    assert target["random"]["total_seconds"] == pytest.approx(
        0.5 * 60 * 3 + random["seconds"]["selecting"]
    )
    assert target["ie"]["break_even_trainings"] == pytest.approx(
        (12 + ie["seconds"]["selecting"]) / (0.5 * 240 * 3)
    )
    assert ledger.seconds["training"] == pytest.approx(2.0 * 6)
    again = Ledger()
    prove(pool, test, table, store, "ie", seeds=2, train_cost="0.5s", ledger=again)
    assert again.seconds["training"] == 0


def proof_names(results):
    """Return the rules that the headline speaks of, one a sentence."""
    return [line.partition(":")[0] for line in results["headline"] if ": " in line]


def test_several_budgets_give_a_curve(pool, test, table, store, trainer):
    chosen = [euds.select(pool, table, rule="ie", keep=keep) for keep in (30, 120, 240)]
    results = prove(pool, test, table, store, *chosen, seeds=3, margin_points=30).results
    curves = {one["rule"]: one for one in results["curve"]}
    assert [one["rows"] for one in curves["ie"]["points"]] == [30, 120, 240, 300]
    assert [one["keep"] for one in curves["random"]["points"]] == [0.1, 0.4, 0.8, 1.0]
    assert [one["rows"] for one in results["settings"]["tuned"]] == [30, 120, 240]
    assert proof_names(results) == ["ie"]
    # The smallest budget from which on every larger one was found as good.
    held = [
        one["keep"]
        for one in results["verdicts"]
        if one["rule"] == "ie"
        and one["against"] == "full"
        and one["decision"] in ("better", "as good")
    ]
    assert curves["ie"]["smallest_as_good"] == min(held)


def test_a_class_that_an_arm_lacks_is_reported(pool, test, store, trainer):
    cold = (pool.frame["label"] == "cold").cast(float)
    table = ScoreTable(pool.frame.select("id").with_columns(ie=cold, words=1.0))
    chosen = [euds.select(pool, table, interval="ie=0.5:2", keep=60)]
    results = prove(pool, test, None, store, *chosen, seeds=2).results
    assert any("keeps no row of warm" in warning for warning in results["warnings"])
    assert results["arms"][2]["classes"]["warm"] == {"pool": 0.5, "kept": 0.0}


def test_where_entropy_lost_that_comes_first(pool, test, store, trainer):
    # Only one class is kept: half of the test rows must be wrong.
    cold = (pool.frame["label"] == "cold").cast(float)
    table = ScoreTable(pool.frame.select("id").with_columns(ie=cold, words=1.0))
    chosen = [
        euds.select(pool, table, rule="ie", interval="ie=0.5:2", keep=60),
        euds.select(pool, table, rule="length", keep=60),
    ]
    proof = prove(pool, test, None, store, *chosen, seeds=3)
    assert "worse" in proof.headline[0]
    assert proof.headline[0].startswith("ie")
    assert {one["decision"] for one in proof.verdicts if one["rule"] == "ie"} == {"worse"}


def test_near_duplicates_of_test_rows_must_leave_before_anything_is_selected(
    pool, test, table, store, trainer
):
    leaked = Pool.of(
        pl.concat([test.frame, pool.frame.head(40)]),
        pl.concat([test.records, pool.records.head(40)]),
        test.source,
    )
    with pytest.raises(OptionError, match="before anything is selected") as caught:
        prove(pool, leaked, table, store, "ie", seeds=2)
    assert "40 near-duplicate" in str(caught.value)
    held = euds.hold_out(pool, leaked)
    assert len(held.pool) == 260
    proof = prove(held.pool, held, table, store, "ie", seeds=2)
    assert proof.results["pool"]["taken_out"] == dict(held.taken_out)


def test_selections_from_the_whole_pool_are_refused_with_a_hold_out_of_it(
    pool, table, store, trainer
):
    held = euds.hold_out(pool, 0.3)
    chosen = euds.select(pool, table, rule="ie", keep=60)
    with pytest.raises(OptionError, match="before anything is selected"):
        euds.prove(
            pool,
            [chosen],
            test=held,
            store=store,
            progress=SilentProgress(),
            task="topic",
            trainer="words",
        )


def test_a_score_that_was_left_out_for_ties_is_charged_for_all_the_same(pool, test, store, trainer):
    rng = np.random.default_rng(1)
    frame = pool.frame.select("id").with_columns(
        ie=pl.Series(rng.normal(size=300)), ge=pl.Series(rng.integers(0, 3, 300) * 1.0), words=1.0
    )
    table = ScoreTable(frame, {"spent_seconds": {"ie": 12.0, "ge": 1000.0}})
    chosen = euds.select(pool, table, rule="igse", keep=60)
    assert chosen.settings["scores"] == ["ie"]
    results = prove(pool, test, table, store, chosen, seeds=2).results
    assert results["arms"][2]["seconds"]["scoring"] == 1012


def test_an_unknown_cost_is_a_warning_and_not_nothing(pool, test, table, store, trainer):
    chosen = euds.select(pool, table, rule="ie", keep=60)
    results = prove(pool, test, None, store, chosen, seeds=2).results
    assert results["arms"][2]["seconds"]["total"] is None
    assert any("what ie cost is not known" in warning for warning in results["warnings"])


def test_equal_steps_save_no_training(pool, test, table, store, trainer):
    results = prove(
        pool, test, table, store, "ie", seeds=1, regime="steps", train_cost="0.5s"
    ).results
    for one in results["ledger"]["target"]["arms"]:
        assert one["training_seconds"] == pytest.approx(0.5 * 300 * 3)


def test_selections_of_different_sizes_that_make_no_curve_are_refused(pool, table, store, trainer):
    chosen = [
        euds.select(pool, table, rule="ie", keep=60),
        euds.select(pool, table, rule="length", keep=70),
    ]
    with pytest.raises(OptionError, match="different sizes"):
        euds.prove(pool, chosen, test=labelled_pool(100, start=2000), task="topic", store=store)


def test_an_easy_task_with_few_rows_of_the_rare_class_is_learnt(pool, table, store, trainer):
    # 96.7 % of the test rows are of one class, and the model is right on nearly all.
    frame = labelled_pool(1000, start=5000, noise=0.0)
    rare = frame.frame["label"] == "cold"
    mask = (~rare | (rare.cum_sum() <= 17)).to_numpy()
    test = frame.take(mask)
    results = prove(pool, test, table, store, "ie", seeds=2).results
    assert results["test"]["majority_points"] > 96
    assert results["arms"][0]["metrics"]["accuracy"]["mean_points"] > 99
    assert not any("not learnt" in warning for warning in results["warnings"])


def test_a_training_that_failed_is_told(pool, test, table, store, monkeypatch):
    class Failing(Words):
        def load(self, task, samples, progress):
            course = super().load(task, samples, progress)
            run = course.run

            def failing(fit, ask, *, seed, **rest):
                outcome = run(fit, ask, seed=seed, **rest)
                if seed != 1 or len(fit) != 300:
                    return outcome
                return replace(outcome, answers=("cold",) * len(ask))

            object.__setattr__(course, "run", failing)
            return course

    monkeypatch.setitem(trainers.TRAINERS, "words", lambda options: Failing())
    results = prove(pool, test, table, store, "ie", seeds=3).results
    told = [warning for warning in results["warnings"] if "failed" in warning]
    assert len(told) == 1
    assert told[0].startswith("1 of the 3 trainings of full failed")


@pytest.mark.parametrize(("contexts", "warned"), [(20, True), (200, False), (0, False)])
def test_test_rows_about_few_contexts_are_told(pool, test, table, store, trainer, contexts, warned):
    shared = [f"context {row % contexts}" if contexts else None for row in range(200)]
    about = Pool.of(
        test.frame.with_columns(context=pl.Series(shared, dtype=pl.String)),
        test.records,
        test.source,
    )
    results = prove(pool, about, table, store, "ie", seeds=2).results
    told = [warning for warning in results["warnings"] if "too short" in warning]
    assert len(told) == warned
    assert not warned or "200 test rows are about 20 contexts" in told[0]


def test_a_proof_of_baselines_alone_has_verdicts_too(pool, test, table, store, trainer):
    proof = prove(pool, test, table, store, "length", seeds=2)
    assert any(line.startswith("length at 20 %") for line in proof.headline)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "nothing"}, "no task"),
        ({"task": None}, "what is to be learnt"),
        ({"task": "topic", "seeds": 0}, "needs a seed"),
        ({"task": "topic", "regime": "hours"}, "no regime"),
        ({"task": "topic", "margin_points": 0}, "margin makes no sense"),
        ({"task": "topic", "train_cost": "much"}, "cost of a training"),
        ({"task": "topic", "sedes": 3}, "no setting 'sedes'"),
        ({"task": "topic", "trainer": "wizard"}, "no trainer"),
        ({"task": "topic", "epochs": 0}, "epochs is too small"),
    ],
)
def test_settings_that_make_no_sense_are_refused(pool, test, table, settings, message):
    chosen = euds.select(pool, table, rule="ie", keep=60)
    with pytest.raises((OptionError, InputError), match=message):
        euds.prove(pool, [chosen], test=test, progress=SilentProgress(), **settings)


def test_rules_are_checked_before_anything_is_read():
    assert [rule.name for rule in check_rules(["igse", "igse", "random", "ie"], [0.1])] == [
        "igse",
        "ie",
    ]
    with pytest.raises(OptionError, match="no rule"):
        check_rules(["igsee"], [0.1])
    with pytest.raises(OptionError, match="nothing to prove"):
        check_rules(["random"], [0.1])
    with pytest.raises(OptionError, match="budget"):
        check_rules(["ie"], ["lots"])
    assert [rule.name for rule in check_rules(["length", "words"], [0.1])] == ["length"]
    # Rules that look at one score in different ways are different rules.
    of_one_score = ["perplexity", "perplexity-low", "ge_nll", "ccs", "ge"]
    chosen = [rule.name for rule in check_rules(of_one_score, [0.1])]
    assert chosen == ["perplexity", "perplexity-low", "ccs", "ge"]


def test_rules_are_proven_from_pool_to_verdict(pool, store, trainer, tmp_path):
    proven = prove_rules(
        pool,
        0.3,
        rules=["ie_plugin", "length"],
        keeps=["20%"],
        proving={"task": "topic", "trainer": "words", "seeds": 2},
        progress=SilentProgress(),
        store=euds.scoring.score.Store(tmp_path / "store"),
        trainings=store,
    )
    assert len(proven.held.pool) + len(proven.held.test) == 300
    assert abs(len(proven.held.test) - 90) <= 3
    rows = {arm["name"]: arm["rows"] for arm in proven.proof.results["arms"]}
    expected = round(0.2 * len(proven.held.pool))
    assert rows == {
        "full": len(proven.held.pool),
        "random": expected,
        "ie_plugin": expected,
        "length": expected,
    }
    assert "near-duplicates" in proven.proof.results["ledger"]["stages"]


def test_a_target_of_test_texts_is_told(pool, store, trainer, tmp_path):
    def proven(target):
        return prove_rules(
            pool,
            0.3,
            rules=["dsir", "length"],
            keeps=["20%"],
            proving={"task": "topic", "trainer": "words", "seeds": 2},
            target=target,
            progress=SilentProgress(),
            store=euds.scoring.score.Store(tmp_path / "store"),
            trainings=store,
        )

    new = proven(Texts.of(["cold1 cold2 cold3", "cold4 cold5"]))
    assert not any("target" in warning for warning in new.proof.results["warnings"])
    settings = {one.settings["rule"]: one.settings["target"] for one in new.selections}
    assert settings["dsir"]["texts"] == 2
    assert settings["length"] is None
    arm = {one["name"]: one for one in new.proof.results["arms"]}["dsir"]
    assert arm["seconds"]["selecting"] > 0

    # The whole pool's file as the target: the part that is split off is in it.
    read = proven(pool.texts)
    rows = len(read.held.test)
    told = [one for one in read.proof.results["warnings"] if "target" in one]
    assert len(told) == 1
    assert told[0].startswith(f"{rows} of {rows} test texts are among the target texts: dsir")


def test_what_instruction_difficulty_costs_is_charged_to_its_rule_alone(pool, test, store, trainer):
    rng = np.random.default_rng(2)
    columns = {name: pl.Series(rng.random(300)) for name in ("ge", "ge_ifd")}
    frame = pool.frame.select("id").with_columns(words=1.0, **columns)
    table = ScoreTable(frame, {"spent_seconds": {"ie": 1.0, "ge": 10.0, "ge_ifd": 13.0}})
    results = prove(pool, test, table, store, "ge", "ifd", "ccs", seeds=2).results
    scoring = {arm["name"]: arm["seconds"]["scoring"] for arm in results["arms"]}
    assert scoring == {"full": 0, "random": 0, "ge": 10, "ifd": 13, "ccs": 10}


def test_mistakes_are_found_before_anything_is_scored(pool, tmp_path, trainer):
    def tried(**changes):
        given = {"rules": ["ie"], "keeps": [0.2], "proving": {"task": "topic"}, **changes}
        return prove_rules(pool, 0.3, progress=SilentProgress(), **given)

    # There is no model by that name, and ge would need one.
    with pytest.raises(euds.EudsError, match="nowhere"):
        tried(proving={"task": "topic", "encoder": "nowhere"}, rules=["ge"])
    with pytest.raises(OptionError, match="texts like those that matter"):
        tried(rules=["ge", "dsir"])
    with pytest.raises(OptionError, match="no rule that looks at it"):
        tried(rules=["ge"], target=Texts.of(["a text"]))
    with pytest.raises(OptionError, match="too small to train on"):
        tried(keeps=[4], proving={"task": "topic", "trainer": "words"}, rules=["ge"])


def test_budgets_too_small_to_train_on_are_left_out_of_a_curve(pool, tmp_path, store, trainer):
    proven = prove_rules(
        pool,
        0.3,
        rules=["ie_plugin"],
        keeps=["1%", "20%", "0.2", "50%"],
        proving={"task": "topic", "trainer": "words", "seeds": 2, "margin_points": 90},
        progress=SilentProgress(),
        store=euds.scoring.score.Store(tmp_path / "store"),
        trainings=store,
    )
    names = [arm["name"] for arm in proven.proof.results["arms"]]
    assert names == ["full", "random@20%", "random@50%", "ie_plugin@20%", "ie_plugin@50%"]
    # With so wide a margin the smallest is as good, and is the one to train on.
    assert len(proven.subset) == round(0.2 * len(proven.held.pool))
    left_out = proven.held.left_out(pool)
    assert set(left_out["id"]) == set(pool.frame["id"]) - set(proven.held.pool.frame["id"])
    assert set(left_out["reason"]) == {"test set"}


def test_what_a_rule_keeps_does_not_depend_on_the_others(pool, tmp_path, store, trainer):
    kept = []
    for rules in (["ie_plugin"], ["ie_plugin", "length"]):
        proven = prove_rules(
            pool,
            0.3,
            rules=rules,
            proving={"task": "topic", "trainer": "words", "seeds": 1},
            progress=SilentProgress(),
            store=euds.scoring.score.Store(tmp_path / "store"),
            trainings=store,
        )
        kept.append(proven.selections[0].ids)
    assert kept[0] == kept[1]


def test_the_experiment_numbers_rows_by_key_and_id(pool, test, store):
    experiment = Experiment(
        proof_task_named("topic"),
        Words(),
        pool,
        test,
        [0],
        "epochs",
        store,
        SilentProgress(),
    )
    order = pool.frame.sort("key")["id"].to_list()
    ids = [order[5], order[2]]
    assert experiment.rows_of(ids).tolist() == [2, 5]
    assert experiment.test_rows.tolist() == list(range(300, 500))
