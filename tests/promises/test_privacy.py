"""The promises of docs/privacy.md, each tested through commands and the files that they leave."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import fsspec
import polars as pl
import pytest
import zstandard

import euds
from tests.promises.commands import Place
from tests.promises.marks import (
    WORDS,
    everything_in,
    files_in,
    holding,
    keys_of,
    mark,
    shown,
    write_pool,
)
from tests.promises.tiny_models import save_encoder, save_language_model

KINDS = {
    "text": "texts",
    "context": "contexts",
    "label": "labels",
    "column": "other columns",
    "file": "file names",
}
OTHERS = ("test", "against", "target")
PAGE = Path(__file__).parents[2] / "docs" / "privacy.md"
INPUT = f"{mark('file')}.jsonl"
READING = ("--text", "review", "--context", "film", "--label", "stars")
TOY = (*READING, "--model", "toy", "--quiet")
ROWS = 100


def kinds_in(told: str) -> set[str]:
    return {kind for kind in (*KINDS, *OTHERS) if mark(kind) in told}


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """An encoder, and a language model that says a text whatever it is asked."""
    folder = tmp_path_factory.mktemp("models")
    save_encoder(folder / "encoder")
    save_language_model(folder / "saying", saying=mark("text"))
    return folder


# ---- where texts are -------------------------------------------------------------------------


class Work:
    """Commands of every kind on a pool with marks, and where the marks are then."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.place, self.printed = Place(folder), {}
        self.encoder, self.model = models / "encoder", models / "saying"
        write_pool(folder / INPUT, ROWS, kind="text", seed=1, refused=1)
        for kind in OTHERS:
            write_pool(folder / f"{kind}.jsonl", 40, kind=kind, seed=len(kind))
        (folder / "tmp").mkdir()

    def __call__(self, command, *given):
        with mock.patch.object(tempfile, "tempdir", str(self.place / "tmp")):
            ran = self.place.euds(command, *given)
        self.printed[command] = self.printed.get(command, "") + ran.stdout + ran.stderr
        return ran

    def everything(self, *more):
        sentiment, probe = ("--task", "sentiment", *more), self.probe
        self("run", INPUT, *TOY, *sentiment, "--against", "against.jsonl", "--target",
             "target.jsonl", "--rule", "dsir", "--max-rejected", 0.1, "--out", "run")  # fmt: skip
        self("score", INPUT, *READING, "--max-rejected", 0.1, "--quiet", "--scores", "ie,se",
             "--model", self.model, "--answers", 2, "--max-new-tokens", 3, "--encoder",
             self.encoder, *more, "--out", "scored")  # fmt: skip
        self("select", "run", "--rule", "ge", "--keep", 20, "--quiet", *more, "--out", "selected")
        self("prove", INPUT, *TOY, *sentiment, *probe, "--out", "proof")
        self("curve", INPUT, *TOY, *sentiment, *probe, "--keeps", "0.2,0.5", "--no-report",
             "--out", "curve")  # fmt: skip
        self("show", "run")
        self("show", "run", "--json", "--limit", 0)
        self("why", "run", pl.read_parquet(self.place / "run" / "pool.parquet")["id"][0])
        self("stability", "selected", "--seeds", 1, "--quiet")
        return self

    @property
    def probe(self):
        return ("--test", "test.jsonl", "--trainer", "probe", "--train-encoder", self.encoder,
                "--train-tokens", 32, "--precision", "float32", "--seeds", 2, "--rules", "length",
                "--max-rejected", 0.1)  # fmt: skip

    def files(self, *parts):
        """Return the files of runs, of the cache or for a while, by their places on the page."""
        found = {}
        for path in files_in(self.place.folder.joinpath(*parts)):
            where = path.relative_to(self.place.folder).parts
            if len(where) > 1:
                found.setdefault(place_of(where), []).append(path)
        return found

    def found(self):
        """Return the kinds of marks by place."""
        places = {
            place: set().union(*(kinds_in(shown(path)) for path in paths))
            for place, paths in self.files().items()
        }
        said = {f"printed by `{name}`": kinds_in(told) for name, told in self.printed.items()}
        curve = said.pop("printed by `curve`")  # the page has no line for it: it is a `prove`
        assert curve <= said["printed by `prove`"]
        # What draws figures is put aside once a process, so perhaps by another test.
        return {"`report/`": set(), **places, **said}


def place_of(where):
    """Return what the page calls a place."""
    top, name = where[0], where[1]
    if top == "tmp":
        return "temporary"
    if top == "cache":
        kind = re.sub("[0-9a-f]{16}$", "*", where[3]) if name == "store" else ""
        return f"`{name}/{kind}`"
    return f"`{'figures/' if len(where) > 2 else re.sub('^subset[.].*', 'subset.*', name)}`"


def table_of_page():
    lines = PAGE.read_text("utf-8").partition("| place |")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def promised():
    """Return what the page's table says: kinds by place, with texts and without."""
    heads = dict(zip(KINDS.values(), KINDS, strict=True))
    whole, bare = {}, {}
    for place, *cells, without in table_of_page():
        whole[place] = {kind for kind, cell in zip(KINDS, cells, strict=True) if cell}
        if without != "not written":
            told = () if without == "nothing" else without.split(", ")
            bare[place] = {heads[one] for one in told}
    return whole, bare


@pytest.fixture(scope="module")
def worked(tmp_path_factory, models):
    return Work(tmp_path_factory.mktemp("worked"), models).everything()


@pytest.fixture(scope="module")
def bare(tmp_path_factory, models):
    return Work(tmp_path_factory.mktemp("bare"), models).everything("--no-texts")


def test_texts_are_where_the_page_says(worked):
    found, expected = worked.found(), promised()[0]
    del expected["printed by `forget`"]
    assert found == expected


def test_without_texts_there_is_what_the_page_says(bare):
    found, expected = bare.found(), promised()[1]
    del expected["printed by `forget`"]
    assert found == expected


def rows_marked(told: str, kind: str) -> set[int]:
    """Return the numbers of the rows whose mark of a kind is there."""
    return {int(row) for row in re.findall(rf"{mark(kind)}(\d+)\.", told)}


def test_a_subset_holds_kept_rows_and_no_others(worked):
    run = worked.place / "run"
    pool = pl.read_parquet(run / "pool.parquet")
    kept = pool.filter(pl.col("id").is_in(list(worked.place.kept())))
    told = (run / "subset.jsonl").read_text()
    expected = {int(re.search(r"text(\d+)", text)[1]) for text in kept["text"]}
    assert 0 < len(expected) < ROWS
    for kind in ("text", "context", "column"):
        assert rows_marked(told, kind) == expected


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A run of more rows than a report shows, each text far longer than what is shown of it."""
    place = Place(tmp_path_factory.mktemp("long"))
    with (place / "in.jsonl").open("w") as stream:
        for row in range(450):
            text = f"{mark('text')}{row}. {'word ' * 300}{mark('end')} {row}"
            stream.write(json.dumps({"review": text}) + "\n")
        for _ in range(2):
            stream.write(f"no json {'x' * 900} {mark('near')} {'x' * 200} {mark('far')}\n")
    ran = place.euds("run", "in.jsonl", "--text", "review", "--model", "toy", "--out", "run",
                     "--keep", 0.3, "--near-duplicates", "keep")  # fmt: skip
    return place, ran


def test_of_a_refused_row_a_thousand_characters_are_kept(long):
    place, _ = long
    told = (place / "run" / "rejected.jsonl").read_text()
    refused = [json.loads(line) for line in told.splitlines()]
    assert [len(row["raw"]) for row in refused] == [1000, 1000]
    assert all(mark("near") in row["raw"] for row in refused)
    assert all(mark("far") not in told for told in map(shown, files_in(place / "run")))


def test_a_report_shows_up_to_400_rows_shortened(long):
    page = (long[0] / "run" / "report.html").read_text("utf-8")
    assert 300 < len(rows_marked(page, "text")) <= 400
    assert mark("end") not in page


def test_what_is_printed_is_shortened_and_of_a_few_rows(long):
    place, ran = long
    row = pl.read_parquet(place / "run" / "pool.parquet").row(0, named=True)
    printed = [ran, place.euds("select", "run", "--keep", 30, "--rule", "ie", "--no-report")]
    for one in printed:
        assert 0 < len(rows_marked(one.stdout + one.stderr, "text")) < 40
    why = place.euds("why", "run", row["id"])
    assert len(rows_marked(why.stdout, "text")) == 1
    printed += [why, place.euds("show", "run", "--limit", 0)]
    assert len(rows_marked(printed[-1].stdout, "text")) == 450
    for one in printed:
        assert mark("end") not in one.stdout + one.stderr
    whole = place.euds("show", "run", "--json", "--limit", 0).stdout
    assert whole.count(mark("end")) == 450


@pytest.mark.parametrize("command", ["show", "why"])
def test_without_texts_it_is_told_where_a_row_is(bare, command):
    row = pl.read_parquet(bare.place / "run" / "pool.parquet").row(7, named=True)
    given = ("--limit", 0) if command == "show" else (row["id"],)
    told = bare.place.euds(command, "run", *given).said.replace(" ", "")
    assert f"{INPUT}:{row['line']}" in told or f"{INPUT},line{row['line']}" in told


def test_without_texts_selection_has_the_id_and_kept_of_every_row(bare):
    selection, pool = (
        pl.read_parquet(bare.place / "run" / name) for name in ("selection.parquet", "pool.parquet")
    )
    assert len(selection) == ROWS
    assert set(selection["id"]) == set(pool["id"])
    assert selection["kept"].dtype == pl.Boolean
    assert 0 < selection["kept"].sum() < ROWS
    assert not list(bare.place.folder.glob("*/subset*"))


def test_the_same_rows_are_kept_without_texts(tmp_path, models):
    work = Work(tmp_path, models)
    asked = ("--rule", "ge", "--keep", 30, "--quota", "label=equal", "--no-report", "--quiet")
    run = (INPUT, *TOY, "--max-rejected", 0.1, *asked)
    work("run", *run, "--out", "whole")
    work("run", *run, "--no-texts", "--out", "bare")
    work("select", "bare", *asked, "--out", "again")
    kept = [work.place.kept(one) for one in ("whole", "bare", "again")]
    assert len(kept[0]) == 30
    assert kept[0] == kept[1] == kept[2]
    assert not (work.place / "again" / "subset.jsonl").exists()  # what had none gets none


def test_a_run_can_lose_its_texts_later(tmp_path, models):
    work = Work(tmp_path, models)
    work("run", INPUT, *TOY, "--max-rejected", 0.1, "--no-report", "--out", "run")
    held = {"text", "context", "column"}
    assert held <= set().union(*(kinds_in(shown(path)) for path in files_in(work.place / "run")))
    work("select", "run", "--keep", 12, "--no-texts", "--no-report", "--quiet")
    for path in files_in(work.place / "run"):
        assert not held & kinds_in(shown(path)), path
        assert not path.name.startswith("subset")


@pytest.mark.parametrize("change", ["gone", "other rows", "other texts", "an other order"])
@pytest.mark.parametrize("command", ["select", "stability"])
def test_what_needs_texts_needs_the_input_of_the_run(tmp_path, models, change, command):
    place = Work(tmp_path, models).place
    place.euds("run", INPUT, *TOY, "--id", "more", "--max-rejected", 0.1, "--rule", "igse",
               "--no-texts", "--no-report", "--out", "run")  # fmt: skip
    lines = (place / INPUT).read_text().splitlines(keepends=True)
    if change == "gone":
        (place / INPUT).unlink()
    elif change == "other texts":  # under the same ids
        (place / INPUT).write_text("".join(lines).replace(f"{mark('text')}0.", "another"))
    else:
        (place / INPUT).write_text("".join(lines[1:] if change == "other rows" else lines[::-1]))
    given = ("--keep", 20, "--no-report") if command == "select" else ("--seeds", 1)
    ran = place.euds(command, "run", *given, "--quiet", check=None)
    if change == "an other order":  # the same rows, so the same run
        assert ran.exit_code == 0, ran.said
    else:
        assert ran.exit_code == 2, ran.said
        assert "this needs the texts, and the run keeps none (--no-texts)" in ran.said


FORMATS = {
    "chat.jsonl": [json.dumps({"messages": [{"role": "user", "content": "why {0}"},
                                            {"role": "assistant", "content": "since {0} is"}]})],
    "comma.csv": ["text,stars", '"a ""film"" {0}",good'],
    "latin.csv": ["text,stars", "a caf\u00e9 {0},bad"],
    "marked.tsv": ["\ufefftext\tstars", "a film {0}\tgood"],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_the_input_of_every_format_can_be_read_once_more(tmp_path, name):
    place = Place(tmp_path)
    *head, line = FORMATS[name]
    lines = [*head, *(line.replace("{0}", f"{'very ' * row}good") for row in range(12))]
    encoding = {"latin.csv": "cp1252", "marked.tsv": "utf-16-le"}.get(name, "utf-8")
    (place / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    given = ("--encoding", "cp1252") if encoding == "cp1252" else ()
    place.euds("score", name, *given, "--model", "toy", "--scores", "ie", "--no-texts", "--quiet",
               "--out", "run")  # fmt: skip
    place.euds("select", "run", "--keep", 5, "--no-report", "--quiet")
    assert len(place.kept()) == 5


def test_rows_cannot_be_looked_for_by_their_words_without_texts(bare):
    ran = bare.place.euds("show", "run", "--contains", "good", check=2)
    assert "the run keeps none" in ran.said


def test_without_texts_a_models_answers_are_in_the_store_until_they_are_forgotten(
    bare, tmp_path, monkeypatch
):
    place = Place(shutil.copytree(bare.place.folder, tmp_path / "bare"))

    def answers():
        files = (place / "cache" / "store").rglob("sampled-answers-*/*.parquet")
        return [path for path in files if mark("text") in shown(path)]

    assert answers()
    shutil.rmtree(place / "scored")
    assert answers()
    place.euds("forget", INPUT, *READING, "--max-rejected", 0.1)
    assert answers() == []


def test_nothing_elsewhere_points_into_a_run_folder(worked, tmp_path):
    """A run folder is removed like any folder: commands go on without it."""
    place = Place(shutil.copytree(worked.place.folder, tmp_path / "here"))
    name = f"canary-{random.Random(0).random()}"
    run = ("run", INPUT, *TOY, "--max-rejected", 0.1, "--no-report", "--out")
    place.euds(*run, name)
    kept = place.kept(name)
    for path in (place / "cache").rglob("*"):
        assert not path.is_symlink()
        assert not path.is_file() or name not in shown(path), path
    shutil.rmtree(place / name)
    place.euds(*run, "again")
    assert place.kept("again") == kept


# ---- the places themselves -------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the place on Linux")
def test_the_cache_is_where_the_page_says(tmp_path, monkeypatch):
    write_pool(tmp_path / "in.jsonl", 12, kind="text", seed=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "EUDS_CACHE", "EUDS_STORE"):
        monkeypatch.delenv(name, raising=False)
    pool = euds.read("in.jsonl", text="review")
    euds.score(pool, ["ge"], model="toy")
    here = tmp_path / "home" / ".cache" / "euds"
    assert {path.name for path in here.iterdir()} >= {"store"}
    monkeypatch.setenv("EUDS_CACHE", str(tmp_path / "mine"))
    before = everything_in(here)
    euds.score(pool, ["ge"], model="toy")
    assert list((tmp_path / "mine" / "store").rglob("*.parquet"))
    assert everything_in(here) == before


@pytest.fixture
def memory():
    """A file system in memory, empty before and after."""
    filesystem = fsspec.filesystem("memory")

    def clear():
        filesystem.store.clear()
        filesystem.pseudo_dirs[:] = [""]

    clear()
    yield filesystem
    clear()


@pytest.fixture
def elsewhere(memory, tmp_path, monkeypatch):
    """A folder to work in, with the store at an address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EUDS_STORE", "memory://bucket/euds")
    write_pool(tmp_path / "in.jsonl", 20, kind="text", seed=0)
    return memory


def test_with_an_address_for_the_store_it_is_there_instead(elsewhere, tmp_path):
    pool = euds.read("in.jsonl", text="review", context="film")
    euds.score(pool, ["ie", "ge"], model="toy")
    assert [path for path in elsewhere.find("/bucket/euds") if "token-entropies-" in path]
    assert not (tmp_path / "cache" / "store").exists()


def test_forgetting_looks_at_the_address_and_in_the_cache(elsewhere, tmp_path, monkeypatch):
    pool = euds.read("in.jsonl", text="review", context="film")
    euds.score(pool, ["ge"], model="toy")
    monkeypatch.delenv("EUDS_STORE")
    euds.score(pool, ["ge"], model="toy")
    monkeypatch.setenv("EUDS_STORE", "memory://bucket/euds")
    told = euds.forget(pool, dry_run=True)
    assert told.rows == 40
    assert len(elsewhere.find("/bucket")) > 1
    done = euds.forget(pool)
    assert done.rows == 40
    known = keys_of(tmp_path / "in.jsonl")
    for path in elsewhere.find("/bucket"):
        told = elsewhere.cat(path)
        assert not any(key.encode() in told for key in known)
    assert not list((tmp_path / "cache" / "store").rglob("*.parquet"))
    euds.score(pool, ["ge"], model="toy")
    assert euds.forget_all().rows == 20
    assert elsewhere.find("/bucket") == []


def test_what_is_written_into_a_command_is_where_the_page_says(tmp_path, models):
    place = Place(tmp_path)
    write_pool(place / "in.jsonl", 60, kind="text", seed=0)
    write_pool(place / "test-file-canary.jsonl", 40, kind="test", seed=1)
    place.euds("prove", "in.jsonl", *TOY, "--test", "test-file-canary.jsonl", "--task",
               "sentiment", "--trainer", "probe", "--train-encoder", models / "encoder",
               "--train-tokens", 32, "--precision", "float32", "--seeds", 2, "--rules", "length",
               "--scores", "ie", "--out", "proof")  # fmt: skip
    row = euds.read(place / "in.jsonl", text="review", id="more").frame["id"][7]
    place.euds("run", "in.jsonl", *TOY, "--id", "more", "--always-keep", row, "--keep", 5, "--task",
               "sentiment", "--prompt", "{text} prompt-canary? {options}", "--no-texts", "--out",
               "run")  # fmt: skip
    told = {path: shown(path) for path in files_in(tmp_path)}
    names = ("manifest.json", "scores.parquet", "report.html", "results.json")
    found = {path for path, one in told.items() if "test-file-canary" in one}
    assert found - {place / "test-file-canary.jsonl"} == {place / "proof" / one for one in names}
    assert row in told[place / "run" / "manifest.json"]
    prompted = {path.name for path, one in told.items() if "prompt-canary" in one}
    assert prompted == {"manifest.json", "report.html", "scores.parquet", "recipe.json"}


def test_ids_made_by_euds_are_hashes_and_your_own_are_what_you_made_them(tmp_path):
    rows = [{"text": f"{mark('text', row)} is here", "n": f"own{row}"} for row in range(9)]
    made = euds.read(pl.DataFrame(rows))
    other = euds.read(pl.DataFrame(rows[::-1]))
    of_text = dict(zip(made.frame["text"], made.frame["id"], strict=True))
    assert all(re.fullmatch("[0-9a-f]{8,64}", one) for one in of_text.values())
    assert of_text == dict(zip(other.frame["text"], other.frame["id"], strict=True))
    assert euds.read(pl.DataFrame(rows), id="n").frame["id"].to_list() == [
        f"own{row}" for row in range(9)
    ]


def test_the_store_and_trainings_know_texts_by_hashes(worked):
    known = keys_of_used(worked.place / INPUT)
    for name, length in (("store", 32), ("trained", 16)):
        told = "".join(map(shown, files_in(worked.place / "cache" / name)))
        found = [key for key in known if key[:length] in told]
        assert len(found) > ROWS / 2, name
    assert not any(key in told for key in known), "trained/ has beginnings of them alone"


def keys_of_used(path: Path) -> set[str]:
    """Return the hashes of the rows of a file that can be used."""
    used = path.with_suffix(".used")
    lines = path.read_text().splitlines(keepends=True)
    used.write_text("".join(line for line in lines if isinstance(json.loads(line)["review"], str)))
    return keys_of(used)


LARGE = """
import os, sys
import euds
pool = euds.read("large.jsonl")
holder = sys.argv[1]
found = [os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")
         if os.path.exists(f"/proc/self/fd/{one}") or os.path.islink(f"/proc/self/fd/{one}")]
print(len(os.listdir(holder)), len([one for one in found if one.startswith(holder)]))
os.abort() if sys.argv[2] == "abort" else None
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for open files in /proc")
@pytest.mark.parametrize("ending", ["end", "abort"])
def test_texts_of_a_large_pool_are_in_files_without_a_name(tmp_path, ending):
    holder = tmp_path / "tmp"
    holder.mkdir()
    with (tmp_path / "large.jsonl").open("w") as stream:
        for row in range(40):
            stream.write(json.dumps({"text": f"{row} " + "some words " * 180_000}) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(holder), ending],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(holder), "EUDS_CACHE": str(tmp_path / "cache")},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == (0 if ending == "end" else -signal.SIGABRT), done.stderr
    named, open_ones = map(int, done.stdout.split())
    assert named == 0  # nobody else can open them
    assert open_ones > 0  # but they are there
    assert list(holder.iterdir()) == []


# ---- certificates ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certified(tmp_path_factory, models):
    place = Place(tmp_path_factory.mktemp("certified"))
    write_pool(place / "in.jsonl", 240, kind="text", seed=4)
    write_pool(place / "valid.jsonl", 240, kind="test", seed=5)
    place.euds("run", "in.jsonl", *TOY, "--task", "sentiment", "--certify", "--validation",
               "valid.jsonl", "--train-encoder", models / "encoder", "--rule", "ie",
               "--no-report", "--out", "run")  # fmt: skip
    return place


def test_a_certificate_holds_no_text_but_names_of_labels(certified):
    told = shown(certified / "run" / "certificate.json")
    assert kinds_in(told) <= {"label"}


def test_what_was_certified_is_kept_without_texts_and_keys_and_goes_with_all(certified, tmp_path):
    place = Place(shutil.copytree(certified.folder, tmp_path / "here"))
    kept = files_in(place / "cache" / "certified")
    assert kept
    assert not set().union(*(kinds_in(shown(path)) for path in kept))
    known = keys_of(place / "in.jsonl") | keys_of(place / "valid.jsonl")
    assert holding(place / "cache" / "certified", {key[:16] for key in known}) == []
    before = everything_in(place / "cache" / "certified")
    place.euds("forget", "in.jsonl", *READING)
    assert everything_in(place / "cache" / "certified") == before
    place.euds("forget", "--all")
    assert not (place / "cache" / "certified").exists()


# ---- forgetting ------------------------------------------------------------------------------

OURS = ("ours.jsonl", *READING)


def kinds_of_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).parts[0] for path in files_in(folder)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory, models):
    """A cache with all that two pools leave in it, and what of it is the other's alone.

    The other's trainings are made first: so it is known which files of trainings have no row of
    ours. Both pools are scored together, so that files of the store have rows of both.
    """
    place = Place(tmp_path_factory.mktemp("filled"))
    write_pool(place / "ours.jsonl", 60, kind="text", seed=1)
    write_pool(place / "theirs.jsonl", 60, kind="other", seed=2)
    write_pool(place / "their-test.jsonl", 30, kind="test", seed=3)
    ours, theirs = ((place / f"{name}.jsonl").read_text() for name in ("ours", "theirs"))
    (place / "both.jsonl").write_text(ours + theirs)
    probe = ("--trainer", "probe", "--train-encoder", models / "encoder", "--train-tokens", 32,
             "--precision", "float32", "--seeds", 2, "--rules", "length", "--scores", "ie",
             "--no-report")  # fmt: skip

    def prove(name, test):
        place.euds("prove", f"{name}.jsonl", *TOY, "--task", "sentiment", *probe, "--test",
                   f"{test}.jsonl", "--out", f"{name}-{test}")  # fmt: skip

    prove("theirs", "their-test")
    only_theirs = {path.name for path in files_in(place / "cache" / "trained")}
    prove("theirs", "ours")
    prove("ours", "their-test")
    score = ("score", "both.jsonl", *TOY, "--encoder", models / "encoder")
    place.euds(*score, "--scores", "ie,ge,ge_ifd,se", "--out", "scored")
    place.euds(*score, "--scores", "se", "--task", "sentiment", "--out", "sentiment")
    (place / "cache" / "models").mkdir(exist_ok=True)
    for name in ("models", "packages"):
        (place / "cache" / name).mkdir(exist_ok=True)
        (place / "cache" / name / "mine").write_text("fetched")
    return place, only_theirs - {".lock"}


@pytest.fixture
def here(filled, tmp_path):
    return Place(shutil.copytree(filled[0].folder, tmp_path / "here"))


def traces(place: Place) -> list[str]:
    """Return the files of the cache in which something of our pool is left."""
    told = {f"{mark(kind, row)}." for kind in ("text", "context") for row in range(60)}
    told |= {key[:16] for key in keys_of(place / "ours.jsonl")}
    cache = place / "cache"
    return [str(path.relative_to(cache)) for path in holding(cache, told)]


def rows_of_others(place: Place) -> dict[str, list]:
    """Return the rows of every folder of the store that are not of our pool."""
    known = keys_of(place / "ours.jsonl")
    found = {}
    for folder in sorted((place / "cache" / "store" / "v1").glob("*")):
        frames = [pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))]
        if frames and not folder.name.startswith("answer-similarities"):
            rows = pl.concat(frames).filter(~pl.col("key").is_in(list(known))).sort("key")
            found[folder.name] = rows.unique("key", maintain_order=True).rows()
    return {name: rows for name, rows in found.items() if rows}


def trainings(place: Place) -> set[str]:
    return {path.name for path in files_in(place / "cache" / "trained")} - {".lock"}


def test_the_cache_to_forget_in_has_traces_in_every_kind_of_file(here, filled):
    kinds = {re.sub("-[0-9a-f]+$", "", Path(name).parts[2]) for name in traces(here)}
    assert kinds >= {"token-entropies", "option-log-probs", "sampled-answers", "sentence-vectors"}
    assert any("trained" in name for name in traces(here))
    assert len(filled[1]) >= 6
    assert len(trainings(here)) > len(filled[1]) + 8


def test_all_of_the_texts_goes_and_nothing_else_does(here, filled):
    before = rows_of_others(here)
    assert len(before) >= 4
    told = here.euds("forget", *OURS)
    assert told.stdout.startswith("forgotten: ")
    assert traces(here) == []
    assert rows_of_others(here) == before
    # Trained on ours, or answered ours: gone. The others are all there.
    assert trainings(here) == filled[1]
    assert "nothing of these texts" in here.euds("forget", *OURS).stdout


def likenesses(place: Place) -> int:
    """Return how many rows tell how alike answers are: by hashes, which no trace tells."""
    files = (place / "cache" / "store").rglob("answer-similarities-*/*.parquet")
    return sum(len(pl.read_parquet(path)) for path in files)


def test_how_alike_answers_are_goes_with_the_answers_to_a_text(here):
    before = likenesses(here)
    here.euds("forget", *OURS)
    left = likenesses(here)
    assert 0 < left < before
    here.euds("forget", "theirs.jsonl", *READING)
    assert likenesses(here) == 0


def test_a_dry_run_tells_the_same_and_removes_nothing(here):
    before = everything_in(here / "cache")
    for what in (OURS, ("--all",)):
        told = here.euds("forget", *what, "--dry-run").stdout
        assert told.startswith("would be forgotten: ")
        assert everything_in(here / "cache") == before
    for what in (OURS, ("--all",)):
        dry = json.loads(here.euds("forget", *what, "--dry-run", "--json").stdout)
        done = json.loads(here.euds("forget", *what, "--json").stdout)
        assert (dry.pop("dry_run"), done.pop("dry_run")) == (True, False)
        assert dry == done
        assert done["rows"] > 100
        assert done["outcomes"] >= 6


def test_all_goes_but_models_and_data_sets(here):
    assert kinds_of_files(here / "cache") >= {"store", "trained", "models", "packages"}
    here.euds("forget", "--all")
    assert not {"store", "trained"} & {path.name for path in (here / "cache").iterdir()}
    for name in ("models", "packages"):
        assert (here / "cache" / name / "mine").read_text() == "fetched"
    assert "nothing of anybody's texts" in here.euds("forget", "--all").stdout


def test_the_folder_of_a_run_tells_its_texts(here):
    here.euds("score", *OURS, "--model", "toy", "--quiet", "--out", "ours")
    known = keys_of(here / "ours.jsonl")
    assert holding(here / "cache" / "store", known)
    here.euds("forget", "ours")
    assert holding(here / "cache" / "store", known) == []


def test_the_folder_of_a_proof_does_not_tell_what_it_held_out(tmp_path, models):
    place = Place(tmp_path)
    write_pool(place / "ours.jsonl", 120, kind="text", seed=1)
    place.euds("prove", "ours.jsonl", *TOY, "--task", "sentiment", "--trainer", "probe",
               "--train-encoder", models / "encoder", "--train-tokens", 32, "--precision",
               "float32", "--seeds", 2, "--rules", "length", "--scores", "ie", "--no-report",
               "--test", 0.3, "--out", "proof")  # fmt: skip
    said = place.euds("forget", "proof").stderr
    assert "the rows that proof held out are not among its pool: name its input as well" in said
    assert traces(place)
    place.euds("forget", *OURS)
    assert traces(place) == []


@pytest.mark.parametrize(
    "reading",
    [("--text", "review"), ("--text", "{review}!", "--context", "film")],
    ids=["another column", "another template"],
)
def test_texts_that_are_read_otherwise_are_other_texts(here, reading):
    """They would be the same file: what was scored with a context is not forgotten without."""
    known = {path: shown(path) for path in (here / "cache" / "store").rglob("token-*/*.parquet")}
    found = json.loads(here.euds("forget", "ours.jsonl", *reading, "--dry-run", "--json").stdout)
    scored = json.loads(here.euds("forget", *OURS, "--dry-run", "--json").stdout)
    assert known
    assert found["outcomes"] == 0
    assert found["rows"] < scored["rows"] / 3


def test_test_sets_are_inputs_of_their_own(here):
    here.euds("forget", *OURS)
    here.euds("forget", "theirs.jsonl", *READING)
    known = {key[:16] for key in keys_of(here / "their-test.jsonl")}
    assert holding(here / "cache", known)
    here.euds("forget", "their-test.jsonl", *READING)
    assert holding(here / "cache", known) == []


def test_a_text_that_another_pool_shares_goes_for_both(here):
    first = (here / "ours.jsonl").read_text().splitlines(keepends=True)[:5]
    (here / "ours.jsonl").write_text("".join(first))
    assert traces(here)
    here.euds("forget", *OURS)
    assert traces(here) == []
    stages = measured_again(here)
    assert stages["token-entropies"] == 5


def measured_again(place: Place) -> dict[str, int]:
    """Score both pools once more; return how many texts models were asked about."""
    place.euds("score", "both.jsonl", *TOY, "--scores", "ie,ge", "--out", "again")
    told = json.loads((place / "again" / "manifest.json").read_text())
    return {one["stage"]: one["measured"] for one in told["provenance"]["stages"]}


def test_what_was_forgotten_is_measured_again_and_comes_out_the_same(here):
    before = pl.read_parquet(here / "scored" / "scores.parquet").sort("id")
    here.euds("forget", *OURS)
    assert measured_again(here)["token-entropies"] == 60  # ours; theirs is found
    again = pl.read_parquet(here / "again" / "scores.parquet").sort("id")
    names = [name for name in again.columns if name in before.columns]
    assert {"ie", "ge"} <= set(names)
    assert again.select(names).equals(before.select(names))


def test_what_is_of_others_is_found_again(here, models):
    here.euds("forget", *OURS)
    here.euds("score", "theirs.jsonl", *TOY, "--encoder", models / "encoder", "--scores",
              "ie,ge,ge_ifd,se", "--out", "again")  # fmt: skip
    stages = json.loads((here / "again" / "manifest.json").read_text())["provenance"]["stages"]
    assert len(stages) > 2
    assert {one["measured"] for one in stages} == {0}


def test_damaged_and_half_written_files_go_whosever_they_are(here):
    folder = next((here / "cache" / "store" / "v1").glob("token-entropies-*"))
    hurt = sorted(folder.glob("*.parquet"))[0]
    hurt.write_bytes(hurt.read_bytes()[:-9])
    odd = [
        folder / f"{'a' * 32}.damaged",
        folder / ".x.parquet.0123456789ab.partial",
        here / "cache" / "trained" / "v1" / "d.json.zst",
        here / "cache" / "trained" / "v1" / ".e.json.zst.0123456789ab.partial",
    ]
    for path in odd:
        path.write_text(f"{mark('text')}0.")
    # A text that the cache knows nothing else of.
    (here / "ours.jsonl").write_text(json.dumps({"review": "a new one", "film": "b"}) + "\n")
    told = json.loads(here.euds("forget", "ours.jsonl", "--text", "review", "--json").stdout)
    assert (told["rows"], told["unreadable"], told["unfinished"]) == (0, 3, 2)
    assert not any(path.exists() for path in (hurt, *odd))


def test_what_a_killed_run_left_half_written_is_removed_by_the_next(here):
    run = ("score", *OURS, "--model", "toy", "--quiet", "--out", "ours")
    here.euds(*run)
    left = here / "ours" / ".pool.parquet.0123456789ab.partial"
    left.write_text(mark("text"))
    here.euds(*run)
    assert not left.exists()


def test_outcomes_of_an_earlier_version_are_told_and_go_if_asked(here, filled):
    """They have no keys of rows: so it cannot be told whose they are."""
    path = sorted((here / "cache" / "trained").rglob("*.json.zst"))[0]
    content = json.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
    assert content.pop("keys")
    old = path.with_name(f"{'0' * 32}.json.zst")
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    old.write_bytes(compressor.compress(json.dumps(content).encode()))
    assert "left: 1 outcome of trainings with an earlier version" in here.euds("forget", *OURS).said
    assert trainings(here) == {*filled[1], old.name}
    here.euds("forget", *OURS, "--trainings")
    assert trainings(here) == filled[1]


@pytest.mark.parametrize("what", [OURS, ("--all",)], ids=["pool", "all"])
@pytest.mark.parametrize("place", ["store", "store/v1", "folder", "file", "trained"])
def test_no_symbolic_link_is_followed_and_the_command_fails(here, tmp_path, what, place):
    folder = next((here / "cache" / "store" / "v1").glob("token-entropies-*"))
    of_name = {"folder": folder, "file": next(folder.glob("*.parquet"))}
    inside = of_name.get(place, here / "cache" / place)
    outside = tmp_path / "outside"
    shutil.move(inside, outside)
    inside.symlink_to(outside)
    before = everything_in(outside) if outside.is_dir() else outside.read_bytes()
    ran = here.euds("forget", *what, check=1)
    assert (everything_in(outside) if outside.is_dir() else outside.read_bytes()) == before
    assert before
    assert inside.is_symlink()
    assert f"not followed: {inside}" in ran.stdout


def test_forgetting_from_python(here, monkeypatch):
    with here.entered():
        pool = euds.read("ours.jsonl", text="review", context="film", label="stars")
        before = everything_in(here / "cache")
        told = euds.forget(pool, dry_run=True)
        assert euds.forget_all(dry_run=True).rows > told.rows > 100
        assert everything_in(here / "cache") == before
        assert euds.forget(pool).rows == told.rows
        assert traces(here) == []
        assert euds.forget_all().rows > 0
        assert not (here / "cache" / "store").exists()


# Ends the process before a file operation of a number in the cache, and counts them.
KILLING = """
import os, sys
LIMIT, CACHE, done = int(os.environ["KILL_AT"]), os.environ["EUDS_CACHE"], []
def watch(event, arguments):
    changes = event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link")
    if event == "open":
        # Read-only and without anything to create: it changes nothing.
        changes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    if changes and str(arguments[0]).startswith(CACHE) and not str(arguments[0]).endswith(".lock"):
        done.append(event)
        if len(done) == LIMIT:
            os._exit(99)
        if LIMIT > 10**6:
            sys.stderr.write(f"OPERATION {event}\\n")
sys.addaudithook(watch)
"""


def killed(place: Place, number: int) -> subprocess.CompletedProcess[str]:
    """Forget in a process that ends at a file operation of a number."""
    watch = place / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(KILLING)
    environment = place.environment()
    paths = [str(watch), str(Path(euds.__file__).parents[1])]
    return subprocess.run(
        place.command("forget", *OURS),
        cwd=place.folder,
        env={**environment, "KILL_AT": str(number), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_killed_at_any_moment_the_same_command_again_removes_the_rest(filled, tmp_path):
    def copy(name):
        return Place(shutil.copytree(filled[0].folder, tmp_path / name))

    whole = copy("whole")
    before = rows_of_others(whole)
    ran = killed(whole, 10**9)
    assert ran.returncode == 0, ran.stderr
    operations = ran.stderr.count("OPERATION")
    assert operations > 20
    left = likenesses(whole)
    moments = [2, random.Random(0).randrange(3, operations), operations]
    for number in sorted(moments):
        place = copy(f"killed-{number}")
        assert killed(place, number).returncode == 99
        assert rows_of_others(place) == before, number  # and every file can be read
        assert filled[1] <= trainings(place)
        place.euds("forget", *OURS)
        assert traces(place) == [], number
        assert rows_of_others(place) == before, number
        assert trainings(place) == filled[1], number
        assert likenesses(place) == left, number


def test_a_process_that_scores_the_same_texts_meanwhile_writes_them_anew(here):
    """Both end well, whichever is first; the scores are those that they were."""
    before = pl.read_parquet(here / "scored" / "scores.parquet").sort("id")
    score = here.command("score", "both.jsonl", *TOY, "--scores", "ie,ge", "--out", "again")
    times = 0
    with subprocess.Popen(
        score, cwd=here.folder, env=here.environment(), stderr=subprocess.PIPE
    ) as scoring:
        while scoring.poll() is None:
            here.euds("forget", *OURS)
            times += 1
            time.sleep(0.01)
        assert scoring.returncode == 0, scoring.stderr.read()
    assert times > 3
    again = pl.read_parquet(here / "again" / "scores.parquet").sort("id")
    assert again.select("id", "ie", "ge").equals(before.select("id", "ie", "ge"))
    here.euds("forget", *OURS)
    assert traces(here) == []


# ---- answers that are words of contexts --------------------------------------------------------


def test_answers_that_are_words_of_contexts_are_in_no_file_but_those_of_trainings(tmp_path, models):
    rng = random.Random(0)
    place = Place(tmp_path)
    for name, rows, kind in (("qa.jsonl", 120, "context"), ("asked.jsonl", 60, "test")):
        with (place / name).open("w") as stream:
            for row in range(rows):
                words = rng.choices(WORDS["good"] + WORDS["bad"], k=5)
                asked = {
                    "question": f"{mark('text', row)} which {rng.choice(words)} was it?",
                    "context": f"{' '.join(words)} {mark(kind, row)} cat",
                    "answer": mark(kind, row),
                }
                stream.write(json.dumps(asked) + "\n")
    place.euds("prove", "qa.jsonl", "--text", "question", "--context", "context", "--label",
               "answer", "--test", "asked.jsonl", "--task", "answer", "--scores", "ie", "--rules",
               "length", "--model", "toy", "--trainer", "probe", "--train-encoder",
               models / "encoder", "--train-tokens", 64, "--precision", "float32", "--seeds", 2,
               "--keep", 0.3, "--quiet", "--no-texts", "--out", "proof")  # fmt: skip
    found = {}
    for path in [*files_in(place / "proof"), *files_in(place / "cache")]:
        for kind in kinds_in(shown(path)):
            found.setdefault(path.relative_to(tmp_path).parts[:2], set()).add(kind)
    assert set(found) == {("cache", "trained")}
    assert "test" in found["cache", "trained"]
