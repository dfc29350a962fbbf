"""Whole runs of input from addresses: what is recorded of them, and whether they come again."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import fsspec
import pytest
from typer.testing import CliRunner

from euds.cli.app import app
from euds.cli.recording import command_line
from tests.runs.test_verifying import command, write_films

CANARY = "canary7f3a"
TOY = ("--text", "review", "--label", "stars", "--model", "toy", "--quiet")
# For a file system in memory all of it is the path; nothing is asked for a password.
SECRET = f"memory://me:{CANARY}@data/films.jsonl?token={CANARY}"
ON_RECORD = "memory://***@data/films.jsonl?***"


@pytest.fixture
def memory(tmp_path, empty_cache, monkeypatch):
    """A file system in memory with an input, under an address with secrets too; returns it."""
    monkeypatch.chdir(tmp_path)
    write_films(Path("films.jsonl"))
    filesystem = fsspec.filesystem("memory")
    filesystem.put("films.jsonl", "/data/films.jsonl")
    filesystem.put("films.jsonl", SECRET.removeprefix("memory:/"))
    Path("films.jsonl").unlink()
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


def run(*arguments, exit_code=0):
    """Give a command as if it stood on a command line; return all that it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["euds", *arguments])
        ran = CliRunner().invoke(app, list(arguments))
    assert ran.exit_code == exit_code, ran.output
    return ran.output


def manifest():
    return json.loads(Path("run/manifest.json").read_text())


def test_a_run_from_an_address_comes_again(memory):
    run("run", "memory://data/*.jsonl", *TOY, "--no-report", "--out", "run")
    assert manifest()["inputs"] == ["memory://data/*.jsonl"]
    again = json.loads(command("replay", "run", "--json", "--quiet", "--out", "replayed"))
    assert again["replayed"]
    assert again["problems"] == []
    assert again["reading"]["rows"] == {"run": 120, "here": 120}
    assert again["selection"]["from_scores_here"]["rows"] == 0


def test_the_folder_is_called_like_the_file(memory):
    run("run", SECRET, *TOY, "--no-report", "--scores", "ie", "--rule", "ie")
    assert Path("films-euds/manifest.json").exists()


def test_a_replay_sees_that_the_input_changed(memory):
    run("run", "memory://data/films.jsonl", *TOY, "--no-report", "--out", "run")
    memory.pipe("/data/films.jsonl", memory.cat("/data/films.jsonl") + b'{"review": "one more"}\n')
    again = json.loads(
        command("replay", "run", "--json", "--quiet", "--out", "replayed", exit_code=1)
    )
    (problem,) = again["problems"]
    assert "memory://data/films.jsonl: the input is not what the run read" in problem


def test_the_command_in_manifests_and_reports_has_no_secrets(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["euds", "run", SECRET, f"--test={SECRET}", "a b?c=d"])
    told = shlex.split(command_line())
    assert told == ["euds", "run", ON_RECORD, f"--test={ON_RECORD}", "a b?c=d"]


def test_a_replay_asks_for_an_address_that_was_not_recorded_whole(memory):
    run("run", SECRET, *TOY, "--no-report", "--out", "run")
    said = run("replay", "run", exit_code=2)
    assert "a name, a password or a query in its address" in said
    assert "--pool ADDRESS" in said
    said = run("replay", "run", "--pool", SECRET, "--quiet", "--out", "replayed")
    assert "run: replayed" in said
    memory.pipe(SECRET.removeprefix("memory:/"), b'{"review": "another", "stars": "good"}\n')
    said += run("replay", "run", "--pool", SECRET, "--quiet", "--out", "replayed", exit_code=1)
    assert "the input is not what the run read" in said
    assert CANARY not in said + Path("replayed/replay.json").read_text()


def test_a_run_without_texts_reads_its_address_again(memory):
    options = (*TOY, "--no-report", "--no-texts", "--out", "run")
    run("run", "memory://data/films.jsonl", *options)
    run("select", "run", "--keep", "7", "--quiet", "--no-report")
    shutil.rmtree("run")
    run("run", SECRET, *options)
    said = run("select", "run", "--keep", "7", "--quiet", "--no-report", exit_code=2)
    assert "an address with a name, a password or a query" in said


def test_a_run_may_not_be_written_over_a_file_address(memory, tmp_path):
    (tmp_path / "in").mkdir()
    write_films(tmp_path / "in" / "films.jsonl")
    address = f"file://{tmp_path}/in/films.jsonl"
    said = run("run", address, *TOY, "--out", "in", exit_code=2)
    assert "the run folder holds its own input" in said


def test_a_file_address_is_found_again_where_the_command_was_given(memory, tmp_path, monkeypatch):
    write_films(tmp_path / "films.jsonl")
    run("run", "file://films.jsonl", *TOY, "--no-report", "--out", "run")
    monkeypatch.chdir(tmp_path.parent)
    assert "run: replayed" in run("replay", str(tmp_path / "run"), "--quiet")
