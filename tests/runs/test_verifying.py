"""A run folder that was changed in any way is told of: a line a problem, never a traceback."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import euds
from euds.cli.app import app
from euds.errors import StoreError
from euds.files import plain
from euds.pool.pool import Pool
from euds.runs.folder import RunFolder
from euds.runs.manifest import checksum_of
from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from tests.promises.hostile import too_deep

WORDS = ["the", "a", "film", "was", "good", "bad", "very", "plot", "actor", "dull", "cold"]
FILES = ("pool.parquet", "scores.parquet", "selection.parquet", "subset.jsonl", "rejected.jsonl")


def write_films(path: Path, rows: int = 120) -> None:
    rng = random.Random(0)
    with path.open("w") as stream:
        for number in range(rows):
            text = " ".join(rng.choices(WORDS, k=rng.randint(5, 40)))
            row = {"n": number, "review": text, "stars": rng.choice(["good", "bad"])}
            stream.write(json.dumps(row) + "\n")
        stream.write("not json\n")


def command(*arguments: object, exit_code: int = 0) -> str:
    """Give a command in this process, and return what it prints."""
    ran = CliRunner().invoke(app, [str(one) for one in arguments])
    assert ran.exit_code == exit_code, ran.output
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.output
    return ran.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with everything that the toy model can give, made once."""
    folder = tmp_path_factory.mktemp("made")
    write_films(folder / "films.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EUDS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        options = ("--text", "review", "--label", "stars", "--model", "toy", "--task", "sentiment")
        command("run", "films.jsonl", *options, "--rule", "igse", "--out", "run", "--quiet")
        command("stability", "run", "--seeds", 1, "--quiet")
    return folder / "run"


@pytest.fixture
def run(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "run"))


def problems(run: Path) -> list[str]:
    return [str(one) for one in euds.verify(run).problems]


def edit(run: Path, change: Callable[[dict], object], *, resealed: bool = False) -> None:
    """Change the manifest, with its checksum made anew or not."""
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    if resealed:
        manifest["manifest_checksum"] = checksum_of(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest, indent=2))


def reseal(run: Path) -> None:
    """Make all checksums anew, as somebody does who means to deceive."""
    folder = RunFolder(run)
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["checksums"]
    folder.save_manifest(manifest)


def test_a_run_as_it_was_written_is_sound(made):
    found = euds.verify(made)
    assert found.problems == ()
    assert (found.rows, found.files, found.notes) == (120, 7, ())
    assert "sound (7 files as they were written, 120 rows)" in command("verify", made)
    assert command("verify", made, "--quiet") == ""
    told = json.loads(command("verify", made, "--json"))
    assert (told["is_sound"], told["problems"]) == (True, [])


# Each takes the folder and a generator of random numbers, and does one thing to it.


def flip(run, rng):
    path = run / rng.choice([*FILES[:4], "report.html", "stability.json"])
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(run, rng):
    path = run / rng.choice([*FILES, "report.html", "stability.json", "manifest.json"])
    os.truncate(path, rng.randrange(path.stat().st_size))


def lengthen(run, rng):
    path = run / rng.choice([*FILES, "report.html", "stability.json", "manifest.json"])
    with path.open("ab") as stream:
        stream.write(bytes([rng.randrange(33, 127)]))


def delete(run, rng):
    (run / rng.choice([*FILES, "report.html", "stability.json", "manifest.json"])).unlink()


def swap(run, rng):
    one, other = rng.sample([*FILES, "report.html"], 2)
    (run / one).rename(run / "aside")
    (run / other).rename(run / one)
    (run / "aside").rename(run / other)


def rename(run, rng):
    name = rng.choice([*FILES, "report.html", "stability.json", "manifest.json"])
    (run / name).rename(run / rng.choice([f"{name}.old", f".{name}", name.upper(), "subset.csv"]))


def stranger(run, rng):
    name = rng.choice(["notes.txt", "subset-2.jsonl", "subset.csv", "results.json", ".env", "x\ny"])
    if rng.random() < 0.3:
        (run / f"{name}.d").mkdir()
    else:
        (run / name).write_text("mine")


def replace_with_another_kind(run, rng):
    path = run / rng.choice([*FILES, "report.html", "stability.json", "manifest.json"])
    content = path.read_bytes()
    path.unlink()
    kind = rng.choice(["pipe", "folder", "link", "loop", "device", "socket"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(run)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
        os.chdir(here)
    else:
        outside = run.parent / f"outside-{path.name}"
        outside.write_bytes(content)  # the very same content
        path.symlink_to(outside)


def leaves(value, path=()):
    """Yield the path of everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inside:
        yield (*path, name)
        if isinstance(one, dict | list):
            yield from leaves(one, (*path, name))


def holder(manifest, path):
    for name in path[:-1]:
        manifest = manifest[name]
    return manifest, path[-1]


def edit_a_field(run, rng):
    def change(manifest):
        into, name = holder(manifest, rng.choice(list(leaves(manifest))))
        before = into[name]
        others = [None, True, 0, -1, 1e400, "", "x", [], {}, [[]], {"a": {}}, "../x", 10**30]
        into[name] = rng.choice(
            [one for one in others if one != before or type(one) is not type(before)]
        )

    edit(run, change)


def drop_a_field(run, rng):
    def change(manifest):
        into, name = holder(manifest, rng.choice(list(leaves(manifest))))
        del into[name]

    edit(run, change)


MUTATIONS = (
    *(flip, truncate, lengthen, delete, swap, rename, stranger),
    *(replace_with_another_kind, edit_a_field, drop_a_field),
)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda one: one.__name__)
def test_every_random_change_is_told(made, tmp_path, mutate):
    rng = random.Random(mutate.__name__)
    for number in range(24):
        run = Path(shutil.copytree(made, tmp_path / str(number)))
        mutate(run, rng)
        found = problems(run)
        assert found, f"change {number} by {mutate.__name__} was not seen"
        assert all(one.isprintable() for one in found)


def test_white_space_and_the_order_of_fields_change_nothing(run):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(dict(reversed(manifest.items()))))
    assert problems(run) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe{\x00}\x00", "not in UTF-8"),
        (b"[]", "expected: a JSON object"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"manifest_version": ' + b"9" * 5_000 + b"}", "cannot be read"),
        (b'{"manifest_version": true}', "tells no version"),
        (b'{"manifest_version": 2}', "made by a newer euds"),
        (b'{"manifest_version": 1}', "no such field"),
        (b'{"manifest_version": 1, "checksums": {"pool.parquet": 5}}', "32 hexadecimal digits"),
    ],
)
def test_a_manifest_may_be_anything(run, content, told):
    (run / "manifest.json").write_bytes(content)
    assert told in "\n".join(problems(run))
    assert told in command("verify", run, exit_code=1)


def test_a_huge_manifest_is_not_read(run):
    with (run / "manifest.json").open("wb") as stream:
        stream.truncate(10**12)
    (found,) = problems(run)
    assert "too long" in found


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "subset/../../secret", "a/../x", "C:secret", "", ".", "a\0b"],
)
def test_names_that_lead_out_of_the_folder_are_not_looked_at(run, name):
    (run.parent / "secret").write_text("x")
    edit(run, lambda one: one["checksums"].update({name: "0" * 32}), resealed=True)
    (found,) = problems(run)
    assert "leads out of the folder" in found


def test_a_link_to_a_folder_is_not_followed(run):
    outside = run.parent / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("secret")
    (run / "figures").symlink_to(outside)
    edit(run, lambda one: one["checksums"].update({"figures/a.txt": "0" * 32}), resealed=True)
    found = "\n".join(problems(run))
    assert "figures/a.txt: the file is missing" in found
    assert "figures: a link that this run did not write" in found


def test_what_is_no_plain_file_is_not_even_opened(run, monkeypatch):
    for name in ("pool.parquet", "manifest.json"):
        (run / name).unlink()
        os.mkfifo(run / name)

    def opened(path, *_, **__):
        raise AssertionError(path)

    monkeypatch.setattr(plain.os, "open", opened)
    assert "this is a pipe, not a file" in "\n".join(problems(run))
    with pytest.raises(StoreError, match="a pipe"):
        plain.digest_of(run / "pool.parquet")


def test_no_folder_is_the_users_mistake(tmp_path):
    ran = CliRunner().invoke(app, ["verify", str(tmp_path / "nowhere")])
    assert ran.exit_code == 2
    with pytest.raises(euds.EudsError, match="no run folder"):
        euds.verify(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no such file" in "\n".join(problems(tmp_path / "empty"))


def test_what_a_killed_run_left_is_a_note(run):
    (run / ".subset.jsonl.0123456789ab.partial").write_text("x")
    found = euds.verify(run)
    assert found.is_sound
    assert "left by a run that was killed" in found.notes[0]


def test_strangers_without_number_are_counted(run):
    for number in range(30):
        (run / f"{number}.txt").touch()
    found = problems(run)
    assert len(found) == 21
    assert "10 more" in found[-1]


# From here on all checksums are made anew, so that only what the files say can tell.


def change_parquet(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    metadata = pl.read_parquet_metadata(path)
    kept = {name: value for name, value in metadata.items() if name.startswith("euds.")}
    change(pl.read_parquet(path)).write_parquet(path, metadata=kept or None)


def of_row(column, value, row=0):
    """Return a change that puts one value into a column."""

    def change(frame):
        values = frame[column].to_list()
        values[row] = value
        return frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))

    return change


CHANGES = [
    ("pool.parquet", of_row("text", "another text"), "key of their text"),
    ("pool.parquet", of_row("id", "another"), "fingerprint"),
    ("pool.parquet", lambda frame: frame.head(100), "not as many"),
    ("pool.parquet", lambda frame: frame.drop("key"), "cannot be read"),
    ("pool.parquet", of_row("file", None), "without an id"),
    ("scores.parquet", of_row("ge", float("nan")), "no finite ge"),
    ("scores.parquet", of_row("se", None), "neither se nor a reason"),
    ("scores.parquet", of_row("id", "another"), "not those of the pool"),
    ("scores.parquet", lambda frame: frame.reverse(), "another order"),
    ("selection.parquet", of_row("kept", None), "not decided"),
    ("selection.parquet", of_row("reason", None, 1), "neither kept nor have a reason"),
    ("selection.parquet", of_row("inclusion", 2.0), "probability of inclusion"),
    ("selection.parquet", of_row("duplicate_of", "nobody"), "repeat one that is not there"),
    ("selection.parquet", lambda frame: frame.head(7), "not those of the pool"),
    ("selection.parquet", lambda frame: frame.drop("kept"), "no such column"),
]


@pytest.mark.parametrize(("name", "change", "told"), CHANGES, ids=[one[2] for one in CHANGES])
def test_files_that_contradict_each_other_are_told(run, name, change, told):
    change_parquet(run / name, change)
    reseal(run)
    assert told in "\n".join(problems(run))


@pytest.mark.parametrize(
    "name", ["pool.parquet", "scores.parquet", "selection.parquet", "held_out.parquet"]
)
def test_a_table_that_would_end_its_reader_is_told(run, name):
    (run / name).write_bytes(too_deep())
    reseal(run)
    assert any(one.startswith(name) and "nested too deeply" in one for one in problems(run))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one["pool"].update(rows=7), "rows are not as many"),
        (lambda one: one["pool"].update(fingerprint="0" * 32), "fingerprint that manifest.json"),
        (lambda one: one.update(inputs=["others.jsonl"]), "inputs are not those"),
        (lambda one: one["provenance"]["settings"].update(model="x"), "provenance: settings"),
        (lambda one: one["provenance"].update(stages=3), "cannot be read"),
        (lambda one: one["summary"]["rows"].update(kept=0), "rows kept"),
        (lambda one: one["summary"]["rows"].update(rejected=0), "rows rejected"),
        (lambda one: one["summary"].update(rows=0), "no such field"),
        (lambda one: one["checksums"].pop("scores.parquet"), "no checksum of a file"),
    ],
)
def test_a_manifest_that_contradicts_the_files_is_told(run, change, told):
    edit(run, change, resealed=True)
    assert told in "\n".join(problems(run))


def test_one_problem_is_one_problem(run):
    (run / "held.txt").write_text("a stranger")
    assert str(euds.verify(run)).endswith(": 1 problem (7 files as they were written, 120 rows)")


def test_a_subset_with_another_row_is_told(run):
    lines = (run / "subset.jsonl").read_text().splitlines(keepends=True)
    others = (run.parent / "other.jsonl", lines[:-1], lines[::-1], [*lines, lines[0]])
    for content in others[1:]:
        (run / "subset.jsonl").write_text("".join(content))
        reseal(run)
        assert "not those that the selection keeps" in "\n".join(problems(run))


def test_damage_that_has_a_right_checksum_is_no_traceback(run, capfd):
    for name in ("pool.parquet", "scores.parquet", "selection.parquet", "rejected.jsonl"):
        before = (run / name).read_bytes()
        (run / name).write_bytes(before[: len(before) // 2] or b"{")
        reseal(run)
        assert f"{name}" in "\n".join(problems(run))
        (run / name).write_bytes(before)


def pool_of(path: Path, **wishes) -> Pool:
    return euds.read(path, max_rejected=0.5, **wishes)


FORMATS = {
    "a.csv": 'text,n\r\n"two\r\nlines",1\r\nplain words,2\r\n"a ""quoted"" row",3\r\nlast,4\r\n',
    "a.tsv": "text\tn\nsome words\t1\nmore words\t2\nthird row\t3\nfourth row\t4\n",
    "a.jsonl": '{"text": "one row"}\n {"text":"\\u00e4"} \n{"text": "third"}\n{"text": "x y"}\n',
}


@pytest.mark.parametrize("weights", [False, True], ids=["plain", "weights"])
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", FORMATS)
def test_subsets_of_every_text_format_are_compared(tmp_path, name, ending, weights):
    import gzip

    import zstandard

    content = FORMATS[name].encode("utf-16")
    packed = {"": content, ".gz": gzip.compress(content), ".zst": zstandard.compress(content)}
    (tmp_path / f"{name}{ending}").write_bytes(packed[ending])
    run = write_run(tmp_path / f"{name}{ending}", tmp_path / "run", weights=weights)
    assert problems(run) == []
    subset = run / f"subset{Path(name).suffix}{ending}"
    whole = tmp_path / "whole"
    whole.mkdir()
    pool = RunFolder(run).load_pool()
    select(pool, rule="random", keep=3, near_duplicates="keep", seed=5).write(
        whole / subset.name, weights=weights
    )
    written = subset.read_bytes()
    shutil.copy(whole / subset.name, subset)
    reseal(run)
    assert "not those that the selection keeps" in "\n".join(problems(run))
    if not ending:
        more = ("last row,4\r\n" if name == "a.csv" else "x\n").encode("utf-16-le")
        subset.write_bytes(written + more)
        reseal(run)
        assert "not those that the selection keeps" in "\n".join(problems(run))


def write_run(path: Path, run: Path, *, weights: bool = False) -> Path:
    """Write a run without scores of a file's rows, by hand."""
    pool = pool_of(path)
    folder = RunFolder.create(run)
    table = ScoreTable(pool.frame.select("id"), {"pool": pool.fingerprint, "inputs": [str(path)]})
    folder.save_scored(pool, table)
    chosen = select(pool, table, rule="random", keep=2, near_duplicates="keep")
    subset = folder.save_selection(chosen, weights=weights)
    folder.save_manifest(
        {
            "inputs": [str(path)],
            "pool": {"rows": len(pool), "fingerprint": pool.fingerprint},
            "provenance": table.provenance,
            "request": {},
            "summary": {
                "rows": {"rejected": pool.rejected.height, "kept": 2, "dropped": chosen.reasons},
                "settings": {**chosen.settings, "weights": weights},
                "files": {"subset": str(subset)},
            },
        }
    )
    return run


def test_a_parquet_subset_is_compared(tmp_path):
    frame = pl.DataFrame(
        {"text": ["one", "two", "three", "four"], "x": [1.5, float("nan"), None, 2], "l": [[1]] * 4}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    for weights in (False, True):
        run = write_run(tmp_path / "a.parquet", tmp_path / f"run-{weights}", weights=weights)
        assert problems(run) == []
        change_parquet(run / "subset.parquet", lambda rows: rows.with_columns(x=0.5))
        reseal(run)
        assert "not those that the selection keeps" in "\n".join(problems(run))


def test_a_folder_s_subset_is_compared(tmp_path):
    for name in "abcd":
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / ".x.txt").write_bytes(f"words of {name}\r\n".encode("utf-16"))
    run = write_run(tmp_path / "in", tmp_path / "run")
    assert problems(run) == []
    assert euds.verify(run).files == 6
    (one, _) = (run / "subset").rglob("*.txt")
    one.write_text("changed")
    assert "not the one that the run wrote" in "\n".join(problems(run))
    reseal(run)
    assert "not those that the selection keeps" in "\n".join(problems(run))
    one.unlink()
    reseal(run)
    assert "not those that the selection keeps" in "\n".join(problems(run))


def test_a_run_folder_s_name_is_no_pattern(made, tmp_path):
    run = Path(shutil.copytree(made, tmp_path / "run[1]"))
    assert problems(run) == []
    assert len(RunFolder.open(run).load_pool()) == 120
