"""Every place that holds texts, found by marks in them, is the one that docs/privacy.md names."""

import gc
import io
import json
import random
import re
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
import zstandard
from typer.testing import CliRunner

from euds.cli.app import app
from euds.reporting import libraries, page
from euds.scoring.scorers import semantic_answers
from tests.runs.test_forgetting import HashedVectors

WORDS = {"good": ["good", "very", "film", "cat"], "bad": ["bad", "not", "book", "mat"]}
KINDS = {
    "text": "texts",
    "context": "contexts",
    "label": "labels",
    "column": "other columns",
    "file": "file names",
}
OTHERS = ("test", "against", "target")
PAGE = Path(__file__).parents[1] / "docs" / "privacy.md"


def mark(kind, row=""):
    return f"canary{kind}{row}"


def write(path, rows, *, kind, seed, refused=0):
    """Write rows each of whose fields has a mark of its own; the last ones cannot be used."""
    rng = random.Random(seed)
    with path.open("w") as stream:
        for index in range(rows + refused):
            own = ("good", "bad")[index % 2]
            other = "bad" if own == "good" else "good"
            words = [rng.choice(WORDS[own if rng.random() < 0.8 else other]) for _ in range(9)]
            text = f"{mark(kind, index)} {' '.join(words)} {seed} {index}"
            row = {
                "review": text if index < rows else [text],
                "film": f"{mark('context' if kind == 'text' else kind, index)} {words[0]}",
                "stars": mark("label", own),
                "more": mark("column" if kind == "text" else kind, index),
            }
            stream.write(json.dumps(row) + "\n")


def shown(path):
    """Return all that a reader could make of a file."""
    data = path.read_bytes()
    told = data.decode("latin-1") + data.decode("utf-8", "replace")
    if path.suffix == ".parquet":
        told += json.dumps(pl.read_parquet(io.BytesIO(data)).to_dict(as_series=False), default=str)
        told += json.dumps(pl.read_parquet_metadata(io.BytesIO(data)))
    elif path.suffix == ".zst":
        told += zstandard.ZstdDecompressor().decompress(data).decode()
    return told


def kinds_in(told):
    return {kind for kind in (*KINDS, *OTHERS) if mark(kind) in told}


def repeated_texts(texts, asked, drawn):
    """Take the place of a model's answers: a real model repeats what it was asked."""
    log_probs = [[-1.0, -2.0]] * len(texts)
    answers = [[text, "yes"] for text in texts.texts]
    return texts.frame.select("key").with_columns(
        answers=pl.Series(answers), log_prob_nats=pl.Series(log_probs)
    )


class Desk:
    """A folder with inputs, a cache and a folder for temporary files, and commands run in it."""

    def __init__(self, folder, encoder, patch):
        self.folder, self.encoder, self._patch = folder, encoder, patch
        self.printed = {}
        write(folder / f"{mark('file')}.jsonl", 160, kind="text", seed=1, refused=1)
        for kind in ("test", "against", "target"):
            write(folder / f"{kind}.jsonl", 60, kind=kind, seed=len(kind))
        (folder / "tmp").mkdir()
        patch.setenv("EUDS_CACHE", str(folder / "cache"))
        patch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        patch.setattr(semantic_answers, "load_encoder", lambda model: HashedVectors())
        patch.setattr(semantic_answers, "_answer_rows", repeated_texts)
        # What takes long and has no texts.
        patch.setattr(page, "vega_script", libraries.vega_script.__wrapped__)
        patch.setattr(libraries, "_bundle", lambda: "(() => {})();")
        patch.setattr(gc, "collect", lambda *given: 0)
        patch.chdir(folder)

    def __call__(self, command, *given, out=None):
        arguments = [command, *map(str, given), *(("--out", out) if out else ())]
        self._patch.setattr(sys, "argv", ["euds", *arguments])
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == 0, (arguments, ran.output, ran.exception)
        self.printed[command] = self.printed.get(command, "") + ran.stdout + ran.stderr

    @property
    def input(self):
        columns = ("--text", "review", "--context", "film", "--label", "stars")
        return (f"{mark('file')}.jsonl", *columns, "--model", "toy", "--quiet")

    def work(self, *more):
        sentiment = ("--task", "sentiment", *more)
        self("run", *self.input, *sentiment, "--against", "against.jsonl", "--target",
             "target.jsonl", "--rule", "dsir", out="run")  # fmt: skip
        self("score", *self.input, "--scores", "ie,se", "--encoder", self.encoder, *more,
             out="scored")  # fmt: skip
        self("select", "run", "--rule", "ge", "--keep", 20, "--quiet", *more, out="selected")
        self("prove", *self.input, *sentiment, "--test", "test.jsonl", "--trainer", "probe",
             "--train-encoder", self.encoder, "--train-tokens", 32, "--precision", "float32",
             "--seeds", 2, "--rules", "length", out="proof")  # fmt: skip
        self("show", "run")
        self("show", "run", "--json", "--limit", 0)
        self("why", "run", pl.read_parquet(self.folder / "run/pool.parquet")["id"][0])
        self("stability", "selected", "--seeds", 1, "--quiet")

    def forget(self):
        columns = ("--text", "review", "--context", "film", "--max-rejected", "0.1")
        for name in (self.input[0], "test.jsonl"):
            self("forget", name, *columns)

    def files(self, *parts):
        """Return the files of a run, of the cache or for a while, by their places on the page."""
        found = {}
        for path in sorted(self.folder.joinpath(*parts).rglob("*")):
            where = path.relative_to(self.folder).parts
            if path.is_file() and len(where) > 1:
                found.setdefault(place_of(where), []).append(path)
        return found

    def found(self):
        """Return the kinds of marks by place."""
        places = {
            place: set().union(*(kinds_in(path.name + shown(path)) for path in paths))
            for place, paths in self.files().items()
        }
        printed = {f"printed by `{name}`": kinds_in(told) for name, told in self.printed.items()}
        return {**places, **printed}


def place_of(where):
    """Return what the page calls a place."""
    top, name = where[0], where[1]
    if top == "tmp":
        return "temporary"
    if top == "cache":
        kind = re.sub("[0-9a-f]{16}$", "*", where[3]) if name == "store" else ""
        return f"`{name}/{kind}`"
    return f"`{'figures/' if len(where) > 2 else re.sub('^subset[.].*', 'subset.*', name)}`"


def promised():
    """Return what the page's table says: kinds by place, with texts and without."""
    table = PAGE.read_text().partition("| place |")[2].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    heads = dict(zip(KINDS.values(), KINDS, strict=True))
    whole, bare = {}, {}
    for place, *cells, without in lines[2:]:
        whole[place] = {kind for kind, cell in zip(KINDS, cells, strict=True) if cell}
        if without != "not written":
            told = () if without == "nothing" else without.split(", ")
            bare[place] = {heads[one] for one in told}
    return whole, bare


@pytest.fixture
def desk(tmp_path, encoder, monkeypatch):
    return Desk(tmp_path, encoder, monkeypatch)


def test_with_texts_they_are_where_the_page_says(desk):
    desk.work()
    found = desk.found()
    desk.forget()
    found["printed by `forget`"] = kinds_in(desk.printed["forget"])
    assert found == promised()[0]
    left = [path for some in desk.files("cache").values() for path in some if kinds_in(shown(path))]
    assert left == []


def test_without_texts_there_is_what_the_page_says(desk):
    desk.work("--no-texts")
    expected = promised()[1]
    del expected["printed by `forget`"]
    assert desk.found() == expected


def test_a_run_can_lose_its_texts_later(desk):
    desk("run", *desk.input, out="run")
    assert "text" in desk.found()["`pool.parquet`"]
    desk("select", "run", "--keep", 12, "--no-texts", "--no-report", "--quiet")
    for place, paths in desk.files("run").items():
        assert not {"text", "context", "column"} & set().union(*(kinds_in(shown(p)) for p in paths))
        assert place != "`subset.*`"


def test_without_texts_the_same_rows_are_kept(desk):
    asked = ("--rule", "ge", "--keep", 30, "--quota", "label=equal", "--quiet")
    desk("run", *desk.input, *asked, out="whole")
    desk("run", *desk.input, *asked, "--no-texts", out="bare")
    desk("select", "bare", *asked, "--no-report", out="again")
    chosen = [
        (desk.folder / run / "selection.parquet").read_bytes() for run in ("whole", "bare", "again")
    ]
    assert chosen[0] == chosen[1] == chosen[2]
    assert not (desk.folder / "again" / "subset.jsonl").exists()  # what had none gets none


@pytest.mark.parametrize("change", ["gone", "other rows", "an other order"])
def test_what_needs_texts_needs_the_input_of_the_run(desk, change):
    path = desk.folder / desk.input[0]
    desk("run", *desk.input, "--no-texts", "--no-report", out="run")
    lines = path.read_text().splitlines(keepends=True)
    if change == "gone":
        path.unlink()
    else:
        path.write_text("".join(lines[1:] if change == "other rows" else lines[::-1]))
    arguments = ["select", "run", "--keep", "20", "--no-report", "--quiet"]
    ran = CliRunner().invoke(app, arguments)
    if change == "an other order":
        assert ran.exit_code == 0, ran.output
        return
    assert ran.exit_code == 2
    assert "run: this needs the texts, and the run keeps none (--no-texts)" in ran.stderr
    assert "next:     put it back" in ran.stderr


def test_texts_cannot_be_looked_for_where_there_are_none(desk):
    desk("score", *desk.input, "--scores", "ie", "--no-texts", out="run")
    desk("select", "run", "--keep", 20, "--no-report", "--quiet")
    ran = CliRunner().invoke(app, ["show", "run", "--contains", "good"])
    assert ran.exit_code == 2
    assert "the run keeps none" in ran.stderr
    ran = CliRunner().invoke(app, ["forget", "run"])
    assert "without texts" in ran.stderr


FORMATS = {
    "chat.jsonl": [json.dumps({"messages": [{"role": "user", "content": "why {0}"},
                                            {"role": "assistant", "content": "since {0} is"}]})],
    "comma.csv": ["text,stars", '"a ""film"" {0}",good'],
    "latin.csv": ["text;stars".replace(";", ","), "a caf\u00e9 {0},bad"],
    "marked.tsv": ["\ufefftext\tstars", "a film {0}\tgood"],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_read_once_more(desk, name):
    *head, line = FORMATS[name]
    lines = [*head, *(line.replace("{0}", f"{'very ' * row}good") for row in range(12))]
    encoding = {"latin.csv": "cp1252", "marked.tsv": "utf-16-le"}.get(name, "utf-8")
    (desk.folder / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    given = ("--encoding", "cp1252") if encoding == "cp1252" else ()
    desk("score", name, *given, "--scores", "ie", "--no-texts", "--quiet", out="run")
    desk("select", "run", "--keep", 5, "--no-report", "--quiet")


@pytest.mark.slow
def test_answers_that_are_words_of_contexts_are_in_no_file_but_those_of_trainings(desk):
    rng = random.Random(0)
    for name, rows, kind in (("qa.jsonl", 120, "context"), ("asked.jsonl", 60, "test")):
        with (desk.folder / name).open("w") as stream:
            for row in range(rows):
                words = rng.choices(WORDS["good"] + WORDS["bad"], k=5)
                asked = {
                    "question": f"{mark('text', row)} which {rng.choice(words)} was it?",
                    "context": f"{' '.join(words)} {mark(kind, row)} cat",
                    "answer": mark(kind, row),
                }
                stream.write(json.dumps(asked) + "\n")
    desk("prove", "qa.jsonl", "--text", "question", "--context", "context", "--label", "answer",
         "--test", "asked.jsonl", "--task", "answer", "--scores", "ie", "--rules", "length",
         "--trainer", "probe", "--train-encoder", desk.encoder, "--train-tokens", 64,
         "--precision", "float32", "--seeds", 2, "--keep", 0.3, "--quiet", "--no-texts",
         out="proof")  # fmt: skip
    holding = {place: kinds for place, kinds in desk.found().items() if kinds}
    assert set(holding) == {"`trained/`"}
    assert holding["`trained/`"] >= {"test"}
