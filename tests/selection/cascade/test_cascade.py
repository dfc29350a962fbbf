"""The whole cascade with the toy model: what is in the table, in the store, and what is told."""

import io
import json
import random

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import euds
from euds.cli.options import CascadeOptions
from euds.errors import OptionError
from euds.pool.pool import Pool, Texts
from euds.progress import SilentProgress
from euds.reporting.listings import rows_of, show_rows
from euds.runs.folder import RunFolder
from euds.scoring.prompts import Template
from euds.scoring.score import score
from euds.scoring.scorers.semantic_options import OptionLogProbs, SemanticOptionsScorer
from euds.scoring.scores import ScoreTable
from euds.scoring.store.disk import Store
from euds.selection.cascade import course as course_module
from euds.selection.cascade.cascade import cascade_scores
from euds.selection.cascade.spending import parse_seconds
from euds.selection.cascade.telling import early_advice, sentences_of
from tests.cli.test_cli import WORDS
from tests.cli.test_cli import euds as command
from tests.conftest import make_pool
from tests.selection.cascade.made_up import World
from tests.selection.pools import unit_vectors, vectors_for

ROWS = 220
TOY = {"model": "toy", "task": "sentiment", "options": ("good", "bad"), "prompts": ("{text}",)}


@pytest.fixture(scope="module")
def pool():
    rng = random.Random(4)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(5, 30))) for _ in range(ROWS - 5)]
    return make_pool([*texts, *texts[:5]], labels=[rng.choice("ab") for _ in range(ROWS)])


@pytest.fixture(scope="module")
def vectors(pool):
    array = unit_vectors(ROWS)
    array[-5:] = array[:5]
    return vectors_for(pool, array)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(course_module, "_DRAWS", 10)


class Notes(SilentProgress):
    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


def cascaded(pool, vectors, folder, **options):
    asked = {"rule": "igse", "keep": 0.16, "share": 0.5, "progress": SilentProgress(), **options}
    return euds.cascade(pool, vectors=vectors, store=Store(folder), **asked, **TOY)


def test_the_store_holds_what_was_measured_and_nothing_that_was_predicted(pool, vectors, tmp_path):
    found = cascaded(pool, vectors, tmp_path)
    frame = found.table.frame.join(pool.frame.select("id", "key"), on="id")
    for name in ("ge", "se"):
        sources = frame[f"{name}_source"].value_counts().to_dict(as_series=False)
        assert sorted(sources[f"{name}_source"]) == ["measured", "predicted"]
        measured = set(frame.filter(pl.col(f"{name}_source") == "measured")["key"])
        assert len(measured) == found.results["measured"][name]
        held = set()
        for folder in tmp_path.iterdir():
            wanted = "token-entropies" if name == "ge" else "option-log-probs"
            if folder.name.startswith(wanted):
                for file in folder.glob("*.parquet"):
                    held |= set(pl.read_parquet(file)["key"])
        assert held == measured
    # All that comes with an entropy is predicted with it, so that another rule can go by it.
    numbers = frame.select("ge", "ge_nll", "ge_gap", "ge_hes", "ge_tokens", "se", "se_option")
    assert numbers.null_count().sum_horizontal().item() == 0
    assert frame["ge_cut"].is_null().equals(frame["ge_source"] == "predicted")


def test_what_was_measured_is_what_scoring_everything_gives(pool, vectors, tmp_path):
    found = cascaded(pool, vectors, tmp_path / "some").table.frame
    whole = score(
        pool, ["ie", "ge", "se"], store=Store(tmp_path / "all"), progress=SilentProgress(), **TOY
    ).frame
    assert found["ie"].equals(whole["ie"])
    measured = (found["ge_source"] == "measured").to_numpy()
    assert found["ge"].to_numpy()[measured] == pytest.approx(whole["ge"].to_numpy()[measured])
    measured = (found["se_source"] == "measured").to_numpy()
    # Of the sample's mean, not the pool's, the baseline of the answers is an estimate.
    own, true = found["se"].to_numpy()[measured], whole["se"].to_numpy()[measured]
    assert np.corrcoef(own, true)[0, 1] > 0.95


def test_the_order_of_the_rows_and_the_labels_change_nothing(pool, vectors, tmp_path):
    first = cascaded(pool, vectors, tmp_path / "one")
    order = np.random.default_rng(0).permutation(ROWS)
    mixed = Pool.of(
        pool.frame[order].with_columns(label=pl.lit("c")), pool.records[order], pool.source
    )
    other = cascaded(mixed, vectors, tmp_path / "other")
    for name in ("table", "selection"):
        one, two = (getattr(each, name).frame.sort("id") for each in (first, other))
        assert one.equals(two)
    assert first.results["overlap"] == other.results["overlap"]


def test_the_same_again_asks_the_model_nothing(pool, vectors, tmp_path):
    first = cascaded(pool, vectors, tmp_path)
    again = cascaded(pool, vectors, tmp_path)
    assert again.table.frame.equals(first.table.frame)
    assert sum(one["measured"] for one in again.table.provenance["stages"]) == 0
    stages = first.table.provenance["stages"]
    assert {one["texts"] for one in stages if one["stage"] == "token-entropies"} == {
        first.results["measured"]["ge"]
    }


def test_equal_runs_make_equal_files_and_the_mark_stays(pool, vectors, tmp_path):
    for name in ("one", "two"):
        cascaded(pool, vectors, tmp_path / name).table.save(tmp_path / f"{name}.parquet")
    one, two = ((tmp_path / f"{name}.parquet").read_bytes() for name in ("one", "two"))
    assert one == two
    loaded = ScoreTable.load(tmp_path / "one.parquet")
    assert loaded.provenance["cascade"]["predicted"]["se"] > 0
    assert "ge_source" not in loaded.names


def test_without_vectors_length_and_information_entropy_must_do(pool, tmp_path, monkeypatch):
    from euds.selection.cascade import cascade as module

    monkeypatch.setattr(module, "_vectors", lambda texts, measurer: None)
    table = cascade_scores(
        pool,
        ["ie", "ge"],
        selecting={"rule": "ge", "keep": 0.2},
        store=Store(tmp_path),
        progress=SilentProgress(),
        model="toy",
    )
    assert table.frame["ge"].null_count() == 0
    assert "se" not in table.frame.columns


def test_it_is_told_early_that_scoring_cannot_pay(pool, vectors, tmp_path):
    progress = Notes()
    found = cascaded(pool, vectors, tmp_path, train_seconds=1e-6, progress=progress)
    assert any("cheaper to train on everything" in one for one in progress.told)
    assert "less than scoring costs" in found.results["costs"][-1]
    progress = Notes()
    found = cascaded(pool, vectors, tmp_path, train_seconds=1e6, progress=progress)
    assert progress.told == []
    assert found.results["costs"][-1].endswith("more than scoring costs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "no share"),
        ({"seconds": 0.0}, "make no sense"),
        ({"selecting": {"keep_tokens": 500}, "keep": None}, "budget in tokens"),
        ({"rule": "k-center"}, "nothing that a model measures"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    pool, vectors, tmp_path, options, message
):
    with pytest.raises(OptionError, match=message):
        cascaded(pool, vectors, tmp_path, **options)
    assert not any(tmp_path.iterdir())


def test_a_random_sample_stands_for_the_pool_in_prompt_and_baseline(tmp_path):
    from euds.models.sources import resolve
    from euds.scoring.engines.local import LocalEngine
    from euds.scoring.measuring import Measurer

    texts = Texts.of([" ".join(random.Random(n).choices(WORDS, k=6)) for n in range(40)])
    measure = Measurer(Store(tmp_path), LocalEngine(), SilentProgress())
    scorer = SemanticOptionsScorer(
        tuple(
            OptionLogProbs(resolve("toy"), "float32", Template(pattern), ("bad", "good"))
            for pattern in ("{text}", "{text} the")
        )
    )
    some = Texts(texts.frame[:7])
    whole = scorer.score(texts, measure).frame
    part = scorer.score(some, measure, sample=texts).frame
    assert part["se"].to_list() == pytest.approx(whole["se"][:7].to_list())
    alone = scorer.score(some, measure).frame
    assert alone["se"].to_list() != pytest.approx(whole["se"][:7].to_list())


def test_a_warning_says_what_cannot_be_saved():
    world = World(260, noise=1.0)
    from euds.selection.cascade.cascade import _told

    course, _ = world.course("se")
    course.measure_sample()
    told, clock = _told(
        course, course.go_on(), kept_share=0.16, vector_seconds=0.0, train_seconds=None
    )
    assert told["overlap"]["expected"] < 0.7
    assert len(told["warnings"]) == 1
    assert "leave out --cascade" in told["warnings"][0]
    sure = {**told, "overlap": {**told["overlap"], "expected": 0.99}}
    assert sentences_of(sure, clock)[1] == []
    drawn = {**sure, "overlap": {**sure["overlap"], "rule": "auto"}}
    (warning,) = sentences_of(drawn, clock)[1]
    assert "by chance" in warning


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 min", 120)]
)
def test_durations(text, seconds):
    assert parse_seconds(text) == seconds
    for wrong in ("soon", "0m", "-3s", "3 weeks", "1.2.3s"):
        with pytest.raises(OptionError, match="cannot be read"):
            parse_seconds(wrong)


def test_advice_compares_what_scoring_costs_with_what_it_saves():
    assert early_advice(10, 20) == []
    (advice,) = early_advice(20, 10)
    assert "up to 20 s" in advice


def test_the_command_line(tmp_path, empty_cache):
    rng = random.Random(0)
    with (tmp_path / "films.jsonl").open("w") as stream:
        for _ in range(200):
            text = " ".join(rng.choices(WORDS, k=rng.randint(5, 40)))
            stream.write(json.dumps({"text": text}) + "\n")
    given = ("films.jsonl", "--model", "toy", "--task", "sentiment", "--out", "run")
    given = (*given, "--options", "good,bad")
    more = ("--rule", "igse", "--keep", "0.2", "--no-report", "--train-cost", "1000")
    ran = command("run", *given, *more, "--cascade", "--cascade-share", "0.5", cwd=tmp_path)
    assert "Cascade " in ran.stdout
    assert "of what complete scores keep by rule igse" in ran.stdout
    table = pl.read_parquet(tmp_path / "run" / "scores.parquet")
    assert set(table["se_source"]) == {"measured", "predicted"}
    again = command("select", "run", "--rule", "ge", "--keep", "20", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["cascade"]["predicted"]["ge"] > 0
    row = table.filter(pl.col("se_source") == "predicted")["id"][0]
    assert ", predicted" in command("why", "run", row, cwd=tmp_path).stdout
    shown = io.StringIO()
    show_rows(rows_of(RunFolder(tmp_path / "run")), Console(file=shown, width=400))
    assert 0 < shown.getvalue().count("~") <= 2 * 200
    scored = command("score", *given, "--cascade", "--time", "1h", "--json", cwd=tmp_path)
    assert json.loads(scored.stdout)["cascade"]["overlap"]["rule"] == "auto"


@pytest.mark.parametrize(
    "options", [{"time": "3m"}, {"cascade_share": 0.2}, {"train_cost": 3.0}], ids=str
)
def test_options_of_a_cascade_without_one_are_refused(options):
    with pytest.raises(OptionError, match="about a cascade") as caught:
        CascadeOptions(**options).settings()
    assert "add --cascade" in str(caught.value)
    assert CascadeOptions().settings() is None
    settings = CascadeOptions(cascade=True, **options).settings()
    (told,) = (one for one in settings.values() if one is not None)
    assert told in (180, 0.2, 3)
