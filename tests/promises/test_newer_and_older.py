"""What a newer euds asked of a run, and what an older one lacks: statements of compatibility.md."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import euds
from tests.promises.commands import Place

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = tuple(sorted(one.name for one in FIXTURES.iterdir() if one.is_dir()))
KNOWN = 1  # the highest manifest_version that this euds knows
AGAIN = ("--no-report", "--quiet")
ASKED = ("--text", "review", "--model", "toy", "--scores", "ie,ge", "--rule", "igse", *AGAIN)


@pytest.fixture
def place(tmp_path) -> Place:
    """A folder with copies of what users have on their disks."""
    shutil.copytree(FIXTURES, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def change(run: Path, how: Callable[[dict], object]) -> None:
    """Change a manifest, and seal it as the euds that wrote it so would have."""
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["manifest_checksum"]
    how(manifest)
    for name in manifest["checksums"]:
        manifest["checksums"][name] = digest((run / name).read_bytes())
    plain = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    manifest["manifest_checksum"] = digest(plain)
    (run / "manifest.json").write_text(json.dumps(manifest, indent=2))


def ask_more(run: Path, part: str) -> None:
    """Add a part to a run's request, as a newer euds would."""

    def add(request: dict) -> None:
        for name in part.split():
            request = request[name]
        request["moonlight"] = "full"

    if part.split()[:1] in (["reading"], ["scoring"]):  # is written down beside the scores too
        scores = pl.read_parquet(run / "scores.parquet")
        beside = pl.read_parquet_metadata(run / "scores.parquet")
        told = json.loads(beside.pop("euds.provenance"))
        add(told["request"])
        beside.pop("ARROW:schema", None)
        beside["euds.provenance"] = json.dumps(told)
        scores.write_parquet(run / "scores.parquet", metadata=beside)
    change(run, lambda manifest: add(manifest["request"]))


@pytest.mark.parametrize("part", ["", "reading", "scoring", "scoring settings", "selecting"])
def test_only_a_replay_refuses_a_request_with_a_part_that_it_does_not_know(place, part):
    ask_more(place / "run-1", part)
    before = place.bytes_of("run-1")
    row = place.selection("run-1")["id"][0]
    for words in (["show"], ["why", row], ["verify"]):
        place.euds(words[0], "run-1", *words[1:])
    told = place.euds("replay", "run-1", "--quiet", check=2).said
    assert "a newer euds made this run" in told
    assert "moonlight" in told
    assert "pip install --upgrade euds" in told
    assert place.bytes_of("run-1") == before
    place.euds("stability", "run-1", "--seeds", 1, "--quiet")
    place.euds("select", "run-1", "--rule", "igse", "--keep", 5, *AGAIN)
    assert len(place.kept("run-1")) == 5


@pytest.mark.parametrize("run", RUNS)
def test_an_older_run_tells_the_fate_of_every_row(place, run):
    for row in place.selection(run).iter_rows(named=True):
        told = place.euds("why", run, row["id"]).said
        fate = "kept" if row["kept"] else "dropped"
        assert re.match(rf"Row {row['id']} \(films\.jsonl, line \d+\) was {fate}\b", told), told


@pytest.mark.parametrize("run", RUNS)
def test_an_older_run_can_be_asked_for_its_stability(place, run):
    ran = place.euds("stability", run, "--seeds", 1, "--quiet", "--json")
    assert json.loads(ran.stdout)
    assert f"{run}: sound" in place.euds("verify", run).said


def test_a_run_of_a_newer_form_is_written_anew_by_a_run_that_is_told_to(place):
    change(place / "run-1", lambda manifest: manifest.update(manifest_version=KNOWN + 1))
    assert f"{KNOWN}, the highest" in place.euds("show", "run-1", check=1).said
    place.euds("run", "films.jsonl", *ASKED, "--keep", 6, "--out", "run-1")
    assert json.loads((place / "run-1/manifest.json").read_text())["manifest_version"] == KNOWN
    assert euds.verify(place / "run-1").problems == ()


def test_fields_that_are_not_known_open_in_every_command(place):
    change(place / "run-1", lambda manifest: manifest.update(mood=["good"]))
    change(place / "run-1", lambda manifest: manifest["pool"].update(weather="fine"))
    row = place.selection("run-1")["id"][0]
    for words in (["show"], ["why", row], ["verify"], ["replay"], ["stability", "--seeds", 1]):
        place.euds(words[0], "run-1", *words[1:])
    place.euds("select", "run-1", "--rule", "igse", "--keep", 5, *AGAIN)
    assert len(place.kept("run-1")) == 5
