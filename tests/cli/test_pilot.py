"""`euds pilot`, and `euds run --pilot`, with a tiny random encoder and the toy language model."""

from __future__ import annotations

import json
import random
import shlex
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import euds
from euds.cli.app import app
from euds.cli.options import ReadingOptions
from euds.cli.pilot import PilotOptions, _Asking, _next
from euds.progress import SilentProgress
from tests.cli.test_prove import WORDS, write_rows
from tests.runs.test_verifying import command

READ = ("--text", "review", "--label", "stars")


@pytest.fixture
def folder(tmp_path, empty_cache, monkeypatch):
    write_rows(tmp_path / "films.jsonl", 700, seed=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewrite(path, change):
    """Change every row of a file of JSONL, which may also leave it out."""
    rows = [
        change(number, json.loads(one)) for number, one in enumerate(path.read_text().splitlines())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row is not None))


def without_labels(path):
    rewrite(path, lambda _, row: {"review": row["review"]})


def pilot(encoder, *more, inputs=("films.jsonl", *READ), exit_code=0):
    options = ("--train-encoder", encoder, "--precision", "float32", "--draws", 2, "--quiet")
    return command("pilot", *inputs, *options, *more, exit_code=exit_code)


def refused(*arguments):
    ran = CliRunner().invoke(app, [str(one) for one in arguments])
    assert ran.exit_code == 2, ran.output
    assert ran.stdout == ""
    return " ".join(ran.stderr.split())


def run(*more, inputs="films.jsonl", exit_code=0):
    asked = (*READ, "--task", "sentiment", "--model", "toy", "--out", "run", "--quiet")
    return command("run", inputs, *asked, "--precision", "float32", *more, exit_code=exit_code)


def kept(name="run"):
    return set(pl.read_parquet(f"{name}/selection.parquet").filter("kept")["id"])


def manifest(name="run"):
    return json.loads(Path(name, "manifest.json").read_text())


def test_what_is_shown_is_what_python_finds_and_the_command_can_be_given(folder, encoder):
    shown = pilot(encoder, "--keep", "20%", "--margin", 20)
    found = euds.pilot(
        euds.read("films.jsonl", text="review", label="stars"),
        keep=0.2,
        margin_points=20,
        draws=2,
        encoder=str(encoder),
        precision="float32",
        progress=SilentProgress(),
    ).results
    assert shown.splitlines()[0] == found["sentence"]
    assert found["rows"] == [70, 140, 280]
    lines = [line.split() for line in shown.splitlines()]
    curve = {line[0]: line[1] for line in lines if line and line[0] in ("none", "70", "140", "280")}
    reached = [found["majority_points"], *found["accuracy_points"]]
    assert [float(one) for one in curve.values()] == pytest.approx(reached, abs=0.051)
    assert "those of the pool were used" in shown
    assert "the budget" in shown

    assert found["can_help"] == "no"
    asked = shlex.split(shown.splitlines()[-1])
    assert asked == shlex.split(
        "euds run films.jsonl --text review --label stars --keep 20% --rule random --scores ie"
    )
    summary = json.loads(command(*asked[1:], "--quiet", "--json", "--out", "random"))
    assert summary["rows"]["kept"] == 140
    assert summary["settings"]["rule"] == "random"
    assert summary["measured"] == 0


def test_json_tells_all_of_it(folder, encoder):
    told = json.loads(pilot(encoder, "--keep", 140, "--json"))
    assert told["uses_labels"] is True
    assert told["source"] == "labels"
    assert told["pool_rows"] == 700
    assert told["budget_rows"] == 140
    assert told["seconds"]["pilot"] > 0
    assert told["command"].startswith("euds ")


def test_in_a_run_without_labels_the_models_answers_stand_for_them(folder, encoder):
    without_labels(folder / "films.jsonl")
    scoring = ("score", "films.jsonl", "--text", "review", "--task", "sentiment", "--model", "toy")
    scoring = (*scoring, "--options", "good,bad", "--out", "run", "--no-texts", "--quiet")
    command(*scoring)
    assert "700 answers of the language model, 1 different ones" in refused("pilot", "run")
    command(*scoring, "--prompt", "{text}")
    options = pl.read_parquet("run/scores.parquet")["se_option"]
    told = json.loads(pilot(encoder, "--json", inputs=["run"]))
    assert (told["source"], told["uses_labels"]) == ("model", False)
    # The majority is among 2,000 rows at most, here all that are distinct.
    largest = options.value_counts()["count"].max() / options.count()
    assert told["majority_points"] == pytest.approx(100 * largest)
    shown = pilot(encoder, "--margin", 40, "--keep", "20%", inputs=["run"])
    assert "the language model's answers stand for them" in shown
    # What the toy answers hangs on the last word, which this encoder cannot tell.
    assert shown.startswith("unknown: ")
    assert "euds pilot run --keep 280 --margin 40" in shown.splitlines()[-1]


def test_labels_of_a_run_come_before_the_models_answers(folder, encoder):
    run("--no-report")
    told = json.loads(pilot(encoder, "--json", inputs=["run"]))
    assert told["source"] == "labels"
    assert told["accuracy_points"] == json.loads(pilot(encoder, "--json"))["accuracy_points"]
    shown = pilot(encoder, "--margin", 20, "--keep", "20%", inputs=["run"])
    asked = shlex.split(shown.splitlines()[-1])
    assert asked == shlex.split("euds select run --keep 20% --rule random")
    command(*asked[1:], "--quiet")
    assert len(kept()) == 140


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda _, row: {"review": row["review"]}, "0 of 700 rows with a label, 0 different"),
        (lambda _, row: {**row, "stars": "good"}, "700 of 700 rows with a label, 1 different"),
        (
            lambda number, row: {**row, "stars": f"so good: {number}"},
            "700 of 700 rows with a label, 700 different",
        ),
        (
            lambda number, row: row if number < 99 else {**row, "stars": None},
            "99 of 700 rows with a label, 2 different",
        ),
    ],
)
def test_where_nothing_can_be_learnt_the_error_says_what_would_help(folder, encoder, change, got):
    rewrite(folder / "films.jsonl", change)
    options = [] if "0 of 700" in got[:8] else ["--label", "stars"]
    told = refused("pilot", "films.jsonl", "--text", "review", *options, "--quiet")
    assert "nothing to learn from" in told
    assert got in told
    assert "100 distinct texts or more" in told
    assert "euds pilot films.jsonl --text review --label COLUMN" in told
    assert "euds score films.jsonl --text review --task topic --options A,B,C --out RUN" in told


def test_a_run_without_labels_and_answers_says_how_to_get_them(folder, encoder):
    without_labels(folder / "films.jsonl")
    scoring = ("--text", "review", "--scores", "ie", "--out", "my run", "--quiet")
    command("score", "films.jsonl", *scoring)
    told = refused("pilot", "my run", "--quiet")
    assert "no answers of a language model" in told
    score = "euds score films.jsonl --text review --task topic --options A,B,C --out 'my run'"
    assert f"{score}, then: euds pilot 'my run'" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--keep", "auto"], "'euds run --keep auto' finds one"),
        (["--keep", "100%"], "leaves no row out"),
        (["--keep", "9000"], "leaves no row out"),
        (["--keep", "10"], "too small for a pilot"),
        (["--margin", "0"], "margin makes no sense"),
        (["--margin", "nan"], "margin makes no sense"),
        (["--draws", "1"], "--draws"),
        (["--task", "answer"], "answers that are classes"),
        (["--task", "sentimnet"], "did you mean 'sentiment'"),
        (["--train-encoder", "nowhere"], "there is no model"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_mistakes_are_told_with_the_next_step(folder, options, told):
    assert told in refused("pilot", "films.jsonl", *READ, "--quiet", *options)


def test_garbage_is_an_error_and_no_traceback(folder):
    rng = random.Random(4)
    (folder / "noise.jsonl").write_bytes(rng.randbytes(5000))
    assert "noise.jsonl" in refused("pilot", "noise.jsonl", "--quiet")
    assert "no such file" in refused("pilot", "nowhere.jsonl", "--quiet")
    (folder / "half").mkdir()
    (folder / "half" / "pool.parquet").write_bytes(b"PAR1" + rng.randbytes(200))
    assert "no complete run" in refused("pilot", "half", "--quiet")
    (folder / "half" / "scores.parquet").write_bytes(rng.randbytes(200))
    ran = CliRunner().invoke(app, ["pilot", "half", "--quiet"])
    assert ran.exit_code == 1
    assert "pool.parquet: a file of the run cannot be read" in ran.stderr


def test_a_run_is_not_read_otherwise(folder):
    run("--no-report", "--scores", "ie")
    told = refused("pilot", "run", "--text", "stars")
    assert "a run is read as it was made" in told
    assert "--text stars" in told


FOUND = {"source": "labels", "budget_rows": 160, "rows": [80, 160, 320]}


@pytest.mark.slow  # each command is a process
@pytest.mark.parametrize("task", [None, "topic"])
@pytest.mark.parametrize("in_run", [False, True])
@pytest.mark.parametrize("source", ["labels", "model"])
@pytest.mark.parametrize(
    ("can_help", "words"),
    [
        ("no", ["--rule", "random"]),
        ("yes", ["--keep", "16%"]),
        ("cannot tell", ["--keep", "16%"]),
        ("unknown", ["pilot", "--keep", "320"]),
    ],
)
def test_every_command_that_is_advised_is_one(tmp_path, task, in_run, source, can_help, words):
    inputs = [str(tmp_path)] if in_run else ["two words.jsonl", "more.jsonl"]
    reading = ReadingOptions() if in_run else ReadingOptions(text="{a} 'b'", max_rejected=0.5)
    options = PilotOptions(task=task, margin=2.0)
    asking = _Asking(inputs, reading, options, tmp_path if in_run else None)
    _, said = _next({**FOUND, "can_help": can_help, "source": source}, asking, pool_rows=1000)
    _, verb, *arguments = shlex.split(said)
    assert set(words) <= {verb, *arguments}
    assert ("--use-labels" in arguments) <= (source == "labels")
    # The command line itself says whether it is one of its own, and what it understands.
    parser = typer.main.get_command(app).commands[verb]
    given = parser.make_context(verb, arguments).params
    assert [str(one) for one in given.get("inputs", [given.get("run")])] == inputs
    if not in_run:
        assert (given["text"], given["max_rejected"]) == ("{a} 'b'", 0.5)
    if verb in ("pilot", "prove"):
        assert given["margin"] == 2.0
    if can_help == "no":
        assert given.get("scores", "ie") == "ie"  # random rows need no language model


def test_where_nothing_was_learnt_and_no_more_rows_can_be_tried_random_rows_cost_nothing():
    asking = _Asking(["a.jsonl"], ReadingOptions(), PilotOptions(keep="60%"), None)
    found = {**FOUND, "can_help": "unknown", "budget_rows": 600, "rows": [200, 400, 800]}
    assert "--rule random" in _next(found, asking, pool_rows=1000)[1]
    larger = replace(asking, options=PilotOptions(keep="20%"))
    found = {**FOUND, "can_help": "unknown", "budget_rows": 200, "rows": [100, 200, 400]}
    assert _next(found, larger, pool_rows=1000)[1] == "euds pilot a.jsonl --keep 400"
    assert "--rule random" in _next(found, larger, pool_rows=400)[1]


def test_a_run_keeps_random_rows_and_asks_no_model_where_selecting_cannot_help(folder, encoder):
    options = ("--pilot", "--train-encoder", encoder, "--margin", 30, "--keep", 100)
    # A model that is not there cannot have been asked.
    shown = run(*options, "--model", "nowhere")
    found = manifest()
    told = found["summary"]["pilot"]
    assert (told["can_help"], told["delivered"], told["source"]) == ("no", "random", "labels")
    assert shown.splitlines()[0] == told["sentence"]
    (warning,) = [one for one in found["summary"]["warnings"] if "pilot" in one]
    assert "instead of those of the rule auto" in warning
    assert f"warning: {warning}" in shown
    assert found["summary"]["seconds"]["pilot"] > 0
    assert found["summary"]["measured"] == 0
    assert found["request"]["scoring"]["scores"] == ["ie"]
    page = Path("run/report.html").read_text()
    for sentence in (warning, told["sentence"], "Labels decided that random rows are kept"):
        assert sentence in page
    # The rows are those that random selects; labels did not draw them.
    drawn = ("--text", "review", "--scores", "ie", "--rule", "random", "--keep", 100, "--quiet")
    command("run", "films.jsonl", *drawn, "--no-report", "--out", "drawn")
    assert kept() == kept("drawn")
    assert len(kept()) == 100

    assert euds.verify("run").problems == ()
    again = json.loads(command("replay", "run", "--json", "--quiet", "--out", "again"))
    assert again["replayed"] is True
    assert again["selection"]["from_scores_here"]["rows"] == 0


def random_for_all_that(encoder, *options):
    """Run with a pilot that says no, and return the summary."""
    shown = run("--pilot", "--train-encoder", encoder, "--margin", 30, "--no-report", *options)
    summary = manifest()["summary"]
    assert summary["settings"]["rule"] == "random"
    assert all(one in shown for one in summary["warnings"])
    return summary


def test_no_rule_and_no_cascade_is_in_the_way_of_random_rows(folder, encoder):
    asked = ("--soft", "--keep", "15%", "--quota", "stars=equal", "--cascade", "--rule", "ge")
    summary = random_for_all_that(encoder, *asked)
    assert "cascade" not in summary
    assert "of the rule ge" in " ".join(summary["warnings"])
    stars = pl.read_ndjson("run/subset.jsonl")["stars"]
    assert sorted(stars.value_counts()["count"]) == [52, 53]


@pytest.mark.slow  # a whole run
def test_random_rows_need_no_certificate(folder, encoder):
    asked = ("--certify", "--validation", 0.3, "--keep", 100, "--use-labels")
    warnings = " ".join(random_for_all_that(encoder, *asked)["warnings"])
    assert "random rows are kept, so there is nothing to certify" in warnings
    assert "of the rule auto-labels" in warnings
    assert len(kept()) == 100
    again = json.loads(command("replay", "run", "--json", "--quiet", "--out", "again"))
    assert again["replayed"] is True


def test_the_pilot_is_about_the_budget_that_was_found(folder, encoder):
    summary = random_for_all_that(encoder, "--keep", "auto")
    assert summary["pilot"]["budget_rows"] == summary["smallest_keep"]["rows"]
    assert summary["rows"]["kept"] == summary["smallest_keep"]["rows"]


def test_a_run_goes_on_as_asked_where_selecting_may_help(folder, encoder):
    options = ("--rule", "igse", "--keep", 100)
    shown = run(*options, "--pilot", "--train-encoder", encoder, "--margin", 0.01)
    found = manifest()["summary"]["pilot"]
    assert found["can_help"] in ("yes", "cannot tell")
    assert found["delivered"] is None
    assert found["sentence"] in shown
    assert "Labels were asked whether selecting can help" in Path("run/report.html").read_text()
    assert manifest()["summary"]["settings"]["rule"] == "igse"
    piloted = kept()
    run(*options, "--no-report")
    assert kept() == piloted
    assert "pilot" not in manifest()["summary"]


def test_a_run_goes_on_where_there_are_no_labels(folder, encoder):
    without_labels(folder / "films.jsonl")
    scoring = ("--text", "review", "--scores", "ie", "--quiet", "--out", "run")
    shown = command("run", "films.jsonl", *scoring, "--pilot")
    assert "the regime is unknown" in shown
    assert manifest()["summary"]["settings"]["rule"] == "auto"
    assert "Selecting looked at no label" in Path("run/report.html").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rule", "random"], "needs no pilot"),
        (["--keep-tokens", 500], "leave out --pilot or --keep-tokens"),
        (["--interval", "0.2:0.7"], "leave out --pilot or --interval"),
        (["--rule", "dsir", "--target", "films.jsonl"], "leave out --pilot or --target"),
        (["--quota", "se_option=equal"], "leave out --pilot or --quota se_option"),
        (["--keep", 10], "too small for a pilot"),
        (["--margin", 0], "margin makes no sense"),
    ],
)
def test_what_random_rows_could_not_do_goes_not_with_a_pilot(folder, options, told):
    asked = ("run", "films.jsonl", *READ, "--task", "sentiment", "--model", "toy", "--out", "run")
    assert told in refused(*asked, "--pilot", "--quiet", *options)
    assert not Path("run/scores.parquet").exists()


def test_labels_reach_the_pilot_and_no_score(folder, encoder):
    """With other labels the pilot finds another thing, and every score stays."""
    options = ("--pilot", "--train-encoder", encoder, "--no-report", "--margin", 0.01)
    asked = (*options, "--options", "good,bad", "--rule", "igse")
    run(*asked)
    first, scores = manifest()["summary"]["pilot"], pl.read_parquet("run/scores.parquet")
    rng = random.Random(8)
    rewrite(folder / "films.jsonl", lambda _, row: {**row, "stars": rng.choice([*WORDS])})
    run(*asked)
    assert manifest()["summary"]["pilot"]["accuracy_points"] != first["accuracy_points"]
    assert pl.read_parquet("run/scores.parquet").drop("id").equals(scores.drop("id"))
