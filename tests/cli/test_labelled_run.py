"""`euds run` with what it asks labels: a certificate, an automatic budget."""

import json

import polars as pl
import pytest

from tests.cli.test_cli import euds
from tests.cli.test_prove import write_rows


@pytest.fixture
def folder(tmp_path, empty_cache):
    write_rows(tmp_path / "films.jsonl", 700, seed=1)
    write_rows(tmp_path / "more.jsonl", 260, seed=2)
    return tmp_path


def run(folder, encoder, *more, check=0, inputs="films.jsonl"):
    return euds(
        *("run", inputs, "--text", "review", "--label", "stars", "--task", "sentiment"),
        *("--model", "toy", "--scores", "ie", "--train-encoder", encoder, "--seeds", 2),
        *("--precision", "float32", "--out", "run", *more),
        cwd=folder,
        check=check,
    )


def held_out(folder):
    return pl.read_parquet(folder / "run" / "held_out.parquet")


def lines(path):
    return path.read_text().splitlines()


@pytest.mark.parametrize(("margin", "certified"), [(60, True), (0.01, False)])
def test_the_subset_or_random_rows_and_everything_says_which(folder, encoder, margin, certified):
    ran = run(folder, encoder, "--certify", "--validation", 0.4, "--keep", 100, "--margin", margin)
    run_folder = folder / "run"
    found = json.loads((run_folder / "certificate.json").read_text())
    manifest = json.loads((run_folder / "manifest.json").read_text())
    rule = "auto" if certified else "random-stratified"
    assert found["certified"] is certified
    assert found["delivered"] == rule
    assert manifest["summary"]["settings"]["rule"] == rule
    assert manifest["summary"]["certificate"] == found
    assert "certificate.json" in manifest["checksums"]
    for text in (ran.stdout, (run_folder / "report.html").read_text()):
        assert found["sentence"].partition(":")[0] in text
    assert "Labels were used to test" in (run_folder / "report.html").read_text()
    assert manifest["summary"]["seconds"]["training"] > 0

    # No row that the subset was tested on is in it, or was scored.
    aside = held_out(folder)
    assert set(aside["reason"]) == {"validation part"}
    assert aside.height == found["validation"]["rows"]
    kept = pl.read_parquet(run_folder / "selection.parquet")
    assert set(aside["id"]).isdisjoint(kept["id"])
    assert kept.height + aside.height == 700
    assert len(lines(run_folder / "subset.jsonl")) == kept["kept"].sum() == 100

    # Selecting again is about another subset: the certificate goes.
    euds("select", "run", "--keep", "50", cwd=folder)
    assert not (run_folder / "certificate.json").exists()


def test_a_validation_file_is_not_taken_from_the_input(folder, encoder):
    run(folder, encoder, "--certify", "--validation", "more.jsonl", "--keep", 100, "--no-report")
    assert held_out(folder).height == 0
    found = json.loads((folder / "run" / "certificate.json").read_text())
    assert found["validation"]["rows"] == 260
    (folder / "run" / "subset.jsonl").rename(folder / "kept.jsonl")
    (folder / "more.jsonl").rename(folder / "run" / "subset.jsonl")
    aside = run(folder, encoder, "--certify", "--validation", "run/subset.jsonl", check=2)
    assert "holds its own input" in aside.stderr


def test_an_automatic_budget_is_the_smallest_that_suffices(folder, encoder):
    summary = json.loads(
        run(folder, encoder, "--keep", "auto", "--margin", 20, "--json", "--no-report").stdout
    )
    found = summary["smallest_keep"]
    assert summary["rows"]["kept"] == found["rows"]
    assert 0 < found["keep"] < 1
    assert found["upper_loss_points"] <= 20
    assert summary["seconds"]["smallest budget"] > 0
    assert "certificate" not in summary


def test_where_no_budget_suffices_everything_is_kept(folder, encoder):
    ran = run(
        *(folder, encoder, "--keep", "auto", "--margin", 0.0001, "--no-report"),
        *("--certify", "--validation", 0.4),
    )
    assert "all are kept" in ran.stdout
    assert "nothing to certify" in ran.stdout
    aside = held_out(folder) if (folder / "run" / "held_out.parquet").exists() else None
    assert len(lines(folder / "run" / "subset.jsonl")) == 700 - (
        aside.height if aside is not None else 280
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--certify", "--alpha", "0.7"], "level of a certificate"),
        (["--certify", "--validation", "1.5"], "share between 0 and 1"),
        (["--certify", "--validation", "0.05"], "too small for a certificate"),
        (["--certify", "--rule", "random-stratified"], "needs no certificate"),
        (["--certify", "--trainer", "wizard"], "fine-tune, probe"),
        (["--keep", "auto", "--keep-tokens", "100"], "two budgets"),
        (["--keep", "auto", "--rule", "full"], "full keeps every row"),
        (["--keep", "automatic"], "budget cannot be read"),
    ],
)
def test_mistakes_are_told_with_the_next_step(folder, encoder, options, told):
    ran = run(folder, encoder, *options, check=2)
    assert told in ran.stderr
    assert not (folder / "run" / "manifest.json").exists()


def test_without_labels_the_message_names_what_to_do(folder, encoder):
    bare = [
        json.dumps({"review": json.loads(one)["review"]}) for one in lines(folder / "films.jsonl")
    ]
    (folder / "bare.jsonl").write_text("\n".join(bare) + "\n")
    for options in (["--certify"], ["--keep", "auto"]):
        ran = euds(
            *("run", "bare.jsonl", "--text", "review", "--task", "sentiment", "--scores", "ie"),
            *("--train-encoder", encoder, "--model", "toy", "--out", "run", *options),
            cwd=folder,
            check=2,
        )
        assert "--label" in ran.stderr
        assert not (folder / "run" / "scores.parquet").exists()


def test_a_budget_in_seconds_is_as_many_rows_as_are_trained_on(folder, encoder):
    run(folder, encoder, "--keep-seconds", 10, "--row-seconds", 0.25)
    assert len(lines(folder / "run" / "subset.jsonl")) == 40


def test_what_a_row_takes_is_timed_where_it_is_not_told(folder, encoder):
    ran = run(folder, encoder, "--keep-seconds", 1)
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    found = manifest["summary"]["training_time"]
    assert found["timed"]
    assert found["rows"] == int(1 / found["seconds_a_row"] + 1e-6)
    assert found["sentence"] in ran.stdout
    assert found["sentence"] in (folder / "run" / "report.html").read_text()
    assert manifest["summary"]["settings"]["keep"]["amount"] == found["rows"]
    assert manifest["summary"]["seconds"]["timing"] > 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--keep-seconds", 1, "--keep", 0.5), "two budgets"),
        (("--row-seconds", 1), "--keep-seconds 600"),
        (("--keep-seconds", -1), "make no sense"),
        (("--keep-seconds", 1, "--row-seconds", 5), "not suffice"),
    ],
)
def test_a_budget_in_seconds_that_makes_no_sense_is_refused(folder, encoder, wrong, told):
    assert told in " ".join(run(folder, encoder, *wrong, check=2).stderr.split())
