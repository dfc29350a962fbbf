"""`euds prove` and `euds curve` from the outside, with a tiny random encoder."""

import json
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.test_cli import euds

WORDS = {"good": ["good", "very", "film", "cat"], "bad": ["bad", "not", "book", "mat"]}


def write_rows(path, rows, *, seed, labels=("good", "bad")):
    rng = random.Random(seed)
    with path.open("w") as stream:
        for index in range(rows):
            label = labels[index % len(labels)]
            own, other = WORDS[label], WORDS["bad" if label == "good" else "good"]
            words = [rng.choice(own if rng.random() < 0.8 else other) for _ in range(9)]
            row = {"review": f"{' '.join(words)} {seed} {index}", "stars": label}
            stream.write(json.dumps(row) + "\n")


@pytest.fixture
def folder(tmp_path, empty_cache):
    write_rows(tmp_path / "films.jsonl", 160, seed=1)
    write_rows(tmp_path / "test.jsonl", 80, seed=2)
    return tmp_path


def prove(folder, encoder, *more, command="prove", test="test.jsonl", check=0):
    return euds(
        *(command, "films.jsonl", "--test", test, "--text", "review", "--label", "stars"),
        *("--task", "sentiment", "--model", "toy", "--train-encoder", encoder),
        *("--train-tokens", 32, "--precision", "float32", "--out", "proof"),
        *more,
        cwd=folder,
        check=check,
    )


def test_a_proof_leaves_verdict_report_and_subset(folder, encoder):
    ran = prove(folder, encoder, "--trainer", "probe", "--seeds", "3", "--rules", "igse,length")
    run = folder / "proof"
    assert {path.name for path in run.iterdir()} == {
        "pool.parquet",
        "scores.parquet",
        "selection.parquet",
        "subset.jsonl",
        "rejected.jsonl",
        "results.json",
        "held_out.parquet",
        "report.html",
        "table.md",
        "figures",
        "manifest.json",
    }
    results = json.loads((run / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ["full", "random", "igse", "length"]
    assert results["command"].startswith("euds prove films.jsonl --test test.jsonl")
    assert len((run / "subset.jsonl").read_text().splitlines()) == round(0.16 * 160)
    # What is said first is on the terminal and on the page.
    for sentence in results["headline"]:
        assert sentence in ran.stdout
    page = (run / "report.html").read_text()
    assert results["headline"][0].partition("(")[0] in page
    assert re.search(r"full +160 +\d", ran.stdout)
    assert str(run.name) in ran.stdout

    # One more rule: only its training is new.
    again = prove(
        folder, encoder, "--trainer", "probe", "--seeds", "3", "--rules", "igse,length,ie", "--json"
    )
    second = json.loads(again.stdout)
    reused = {arm["name"]: {run["reused"] for run in arm["runs"]} for arm in second["arms"]}
    assert reused == {
        "full": {True},
        "random": {True},
        "igse": {True},
        "length": {True},
        "ie": {False},
    }
    assert second["ledger"]["arms"][2]["selecting_seconds"] > 0


def test_no_text_is_on_the_page_if_none_should_be(folder, encoder):
    row = {"review": "a very secretword <script>alert(1)</script>", "stars": "good"}
    with (folder / "films.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    common = ("--trainer", "probe", "--seeds", "2", "--rules", "ie", "--keep", "1.0")
    prove(folder, encoder, *common)
    page = (folder / "proof" / "report.html").read_text()
    assert "secretword" in page
    assert "<script>alert(1)" not in page
    prove(folder, encoder, *common, "--no-texts")
    assert "secretword" not in (folder / "proof" / "report.html").read_text()


def test_a_killed_proof_goes_on_where_it_was(folder, encoder, empty_cache):
    options = (
        *("--trainer", "fine-tune", "--seeds", "4", "--rules", "ie", "--epochs", "1"),
        *("--learning-rate", "0.001", "--keep", "0.5", "--no-report"),
    )
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "euds", "prove", "films.jsonl", "--test", "test.jsonl"),
            *("--text", "review", "--label", "stars", "--task", "sentiment", "--model", "toy"),
            *("--train-encoder", str(encoder), "--train-tokens", "32"),
            *("--precision", "float32", "--out", "proof", *options),
        ],
        cwd=folder,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    trained = empty_cache / "trained" / "v1"
    deadline = time.monotonic() + 120
    while len(list(trained.glob("*.zst"))) < 3:
        assert process.poll() is None, "the proof ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(trained.glob("*.zst")))
    assert kept < 12
    assert not (folder / "proof" / "manifest.json").exists()
    results = json.loads(prove(folder, encoder, *options, "--json").stdout)
    reused = [run["reused"] for arm in results["arms"] for run in arm["runs"]]
    assert len(reused) == 12
    assert sum(reused) == kept
    assert len(list(trained.glob("*.zst"))) == 12


def test_a_test_set_with_other_columns_is_told_apart_from_the_pool(folder, encoder):
    (folder / "other.jsonl").write_text('{"text": "a b c d", "label": "good"}\n' * 40)
    ran = prove(folder, encoder, "--trainer", "probe", test="other.jsonl", check=2)
    assert "--test other.jsonl" in ran.stderr
    assert "no column 'review'" in ran.stderr


def test_a_test_file_in_the_run_folder_is_left_alone(folder, encoder):
    (folder / "proof").mkdir()
    (folder / "test.jsonl").rename(folder / "proof" / "subset.jsonl")
    ran = prove(folder, encoder, "--trainer", "probe", test="proof/subset.jsonl", check=2)
    assert "holds its own input" in ran.stderr
    assert (folder / "proof" / "subset.jsonl").exists()


def test_a_curve_ends_with_the_smallest_budget_that_is_as_good(folder, encoder):
    ran = prove(
        folder,
        encoder,
        *("--trainer", "probe", "--seeds", "2", "--rules", "ie", "--keeps", "10%,50%"),
        *("--margin", "60"),
        command="curve",
        test="0.4",
    )
    assert "smallest share as good as full, ie: 0.1 of the rows" in ran.stdout
    results = json.loads((folder / "proof" / "results.json").read_text())
    assert [one["rule"] for one in results["curve"]] == ["random", "ie"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--test", "1.5"], "share between 0 and 1"),
        (["--test", "nothing.jsonl"], "nothing.jsonl"),
        (["--rules", "igsee"], "did you mean 'igse'"),
        (["--trainer", "wizard"], "fine-tune, probe"),
        (["--train-cost", "cheap"], "7B"),
        (["--keep", "0.001", "--trainer", "probe"], "a budget of 0.1 or more"),
        (["--train-encoder", "nowhere"], "nowhere"),
        (["--task", "topics"], "did you mean 'topic'"),
    ],
)
def test_mistakes_are_told_with_the_next_step(folder, encoder, options, told):
    ran = prove(folder, encoder, *options, check=2)
    assert told in ran.stderr
    assert not (folder / "proof" / "results.json").exists()


def test_test_rows_in_the_pool_are_taken_out_first(folder, encoder):
    lines = (folder / "test.jsonl").read_text().splitlines()
    with (folder / "films.jsonl").open("a") as stream:
        stream.write("\n".join(lines[:30]) + "\n")
    options = ("--trainer", "probe", "--seeds", "2", "--rules", "ie", "--json", "--no-report")
    results = json.loads(prove(folder, encoder, *options).stdout)
    assert results["pool"]["rows"] == 160
    assert results["pool"]["taken_out"] == {"near-duplicate of a test row": 30}
    # The test rows may lie at an address, too.
    address = f"file://{folder}/test.jsonl"
    ran = prove(folder, encoder, *options, "--keep-near-duplicates", test=address)
    kept = json.loads(ran.stdout)
    assert kept["test"]["rows"] == results["test"]["rows"]
    assert kept["pool"]["rows"] == 190
    assert any("near-duplicate" in warning for warning in kept["warnings"])


def test_an_ablation_tells_a_line_a_rule(folder, encoder):
    ran = euds(
        *("ablate", "films.jsonl", "--test", "test.jsonl", "--text", "review", "--label", "stars"),
        *("--task", "sentiment", "--model", "toy", "--train-encoder", encoder, "--rules", "ie"),
        *("--trainer", "probe", "--seeds", 2, "--precision", "float32", "--keep", "0.3"),
        cwd=folder,
    )
    assert ran.stdout.startswith("ie against random: ")
    assert "of which length alone" in ran.stdout
