"""What an earlier euds wrote can be used; what a later one wrote is refused by name or left alone.

``fixtures/run-1`` is a run folder of manifest version 1, ``fixtures/run-before-requests`` one that
was made before manifests recorded what was asked. Neither is ever made anew: they are what users
have on their disks. A change of the format adds a folder.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import euds
from euds.cli.app import app
from euds.errors import InputError
from euds.runs.manifest import MANIFEST_VERSION
from euds.scoring.store.disk import Store
from tests.runs.test_verifying import command, reseal

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = ("run-1", "run-before-requests")


@pytest.fixture
def kept(tmp_path, empty_cache):
    """A copy of the fixtures."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "kept"))


@pytest.mark.parametrize("name", RUNS)
def test_a_kept_run_can_be_shown_verified_and_selected_from(kept, name):
    run = kept / name
    rows = [json.loads(line) for line in command("show", run, "--kept", "--json").splitlines()]
    assert len(rows) == 6
    assert "was kept" in command("why", run, rows[0]["id"])
    found = euds.verify(run)
    assert found.problems == ()
    assert len(found.notes) == (name == "run-before-requests")

    before = {one: (run / one).read_bytes() for one in ("selection.parquet", "subset.jsonl")}
    command("select", run, "--rule", "igse", "--keep", 6, "--no-report", "--quiet")
    kept_before = pl.read_parquet(before["selection.parquet"])
    now = pl.read_parquet(run / "selection.parquet")  # it may have new columns
    assert now.select(kept_before.columns).equals(kept_before)
    assert (run / "subset.jsonl").read_bytes() == before["subset.jsonl"]
    command("select", run, "--rule", "ge", "--keep", 3, "--no-report", "--quiet")
    assert len((run / "subset.jsonl").read_text().splitlines()) == 3
    assert euds.verify(run).problems == ()
    assert euds.verify(run).notes == ()  # written again, it is of today


def test_a_kept_run_is_repeated_to_the_last_bit(kept):
    found = euds.replay(kept / "run-1")
    assert found.problems == ()
    assert found.found["selection"]["from_scores_here"]["rows"] == 0
    assert found.found["scores"]["columns"]["words"]["rows"] == 0


def test_a_run_without_a_request_says_why_it_cannot_be_repeated(kept):
    with pytest.raises(InputError, match="does not record what was asked") as caught:
        euds.replay(kept / "run-before-requests")
    assert "no request for reading, scoring, selecting" in str(caught.value)
    assert "written by euds 0.1.0 on 20" in str(caught.value)
    ran = CliRunner().invoke(app, ["replay", str(kept / "run-before-requests")])
    assert ran.exit_code == 2


@pytest.mark.parametrize(
    "words", [["show"], ["select"], ["verify"], ["replay"], ["stability"], ["why", "x"]]
)
def test_a_run_of_a_newer_form_says_so_and_stays_as_it_is(kept, words):
    run = kept / "run-1"
    path = run / "manifest.json"
    newer = {**json.loads(path.read_text()), "manifest_version": MANIFEST_VERSION + 1}
    path.write_text(json.dumps(newer))
    before = {one.name: one.read_bytes() for one in run.iterdir()}
    verb, *more = words
    ran = CliRunner().invoke(app, [verb, str(run), *more])
    told = ran.output.replace("\n", " ")
    assert ran.exit_code == 1
    assert "made by a newer euds" in told
    assert f"manifest_version {MANIFEST_VERSION + 1}" in told
    assert "pip install --upgrade euds" in told
    assert {one.name: one.read_bytes() for one in run.iterdir()} == before


def test_fields_that_are_not_known_do_no_harm(kept):
    """A newer euds of the same form may record more."""
    run = kept / "run-before-requests"
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "mood": ["good"]}))
    assert euds.verify(run).problems == ()
    assert "6" in command("select", run, "--rule", "igse", "--keep", 6, "--no-report", "--quiet")


def test_what_is_in_the_cache_and_not_known_is_left_alone(kept):
    cache = kept.parent / "cache"
    strangers = {
        "store/v2/token-entropies-0123456789abcdef/recipe.json": b'{"version": 9}',
        "store/v1/dreams-0123456789abcdef/recipe.json": b"{}",
        "store/v1/dreams-0123456789abcdef/x.parquet": b"not of today",
        "trained/v9/x": b"x",
    }
    for name, content in strangers.items():
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(content)
    films = kept / "films.jsonl"
    options = ("--text", "review", "--model", "toy", "--scores", "ie,ge", "--rule", "igse")
    command("run", films, *options, "--no-report", "--quiet", "--out", kept / "new")
    assert (cache / "store/v1").is_dir()
    for name, content in strangers.items():
        assert (cache / name).read_bytes() == content


def test_measurements_of_another_recipe_version_are_measured_again(tmp_path):
    store = Store(tmp_path)
    recipe = {"name": "word-count", "version": 1, "parameters": {}}
    store.add(recipe, pl.DataFrame({"key": ["a"], "n": [1]}))
    assert store.rows({**recipe, "version": 2}) is None


def test_a_store_of_an_older_version_may_lack_a_column(tmp_path):
    store = Store(tmp_path)
    recipe = {"name": "word-count", "version": 1, "parameters": {}}
    store.add(recipe, pl.DataFrame({"key": ["a"], "n": [1]}))
    store.add(recipe, pl.DataFrame({"key": ["b"], "n": [2], "_seconds": [0.5]}))
    assert store.rows(recipe).rows() == [("a", 1, None), ("b", 2, 0.5)]


def test_results_of_a_newer_form_are_told(kept):
    run = kept / "run-1"
    (run / "results.json").write_text('{"schema_version": 2}')
    reseal(run)
    assert "results are of another version; got: 2" in str(euds.verify(run))
