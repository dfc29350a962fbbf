"""What README.md promises: its commands and examples run, and "What you can rely on" holds."""

from __future__ import annotations

import gzip
import json
import random
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
import zstandard

from tests.promises.commands import Place
from tests.promises.golden.pools import POOLS
from tests.promises.golden.runs import real_place

PAGE = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
READING = ("--text", "review", "--label", "stars", "--model", "toy", "--task", "sentiment")
RULE = ("--rule", "igse", "--no-report")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Sixty reviews, and a run of them."""
    place = Place(tmp_path_factory.mktemp("readme"))
    POOLS["films"](place.folder)
    place.euds("run", "films.jsonl", *READING, *RULE, "--keep", 12, "--out", "run")
    return place


@pytest.fixture
def place(made, tmp_path):
    """A copy of it all."""
    shutil.copytree(made.folder, tmp_path / "place")
    return Place(tmp_path / "place")


def write_reviews(place):
    """Write a pool whose class a word tells, large enough to prove something on."""
    rng = random.Random(6)
    with (place / "reviews.jsonl").open("w") as stream:
        for index in range(300):
            label = ("good", "bad")[index % 2]
            words = [rng.choice(("cat", "film", "book", "mat", label)) for _ in range(9)]
            row = {"review": f"{' '.join(words)} {index}", "stars": label}
            stream.write(json.dumps(row) + "\n")


def shell_blocks():
    """Return the commands of README's sections for users, without comments."""
    blocks = re.findall(r"```\n(pip install.*?)```", PAGE, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("euds ")]


@pytest.mark.models
def test_the_commands_of_the_page_run_as_they_stand(tmp_path, encoder):
    place = real_place(tmp_path)  # selecting with labels needs sentence vectors
    # The input is small, and the models are the small ones; all else is the page's.
    write_reviews(place)
    more = {
        "run": ["--model", "toy"],
        "pilot": ["--train-encoder", encoder],
        "prove": [
            *("--model", "toy", "--train-encoder", encoder),
            *("--trainer", "probe", "--seeds", 2, "--rules", "igse"),
        ],
    }
    ran = []
    for line in shell_blocks():
        words = shlex.split(line)[1:]
        if words[0] == "models":
            continue  # fetches
        if words[0] == "why":
            words[-1] = sorted(place.kept())[0]
        if words[0] == "select":
            words = [str(min(20, int(one))) if one == "5000" else one for one in words]
        done = place.euds(*words, *more.get(words[0], []), check=None)
        assert done.exit_code == 0, f"{line}\n{done.said}"
        ran.append(words[0])
    assert {"pilot", "run", "select", "show", "why", "stability", "verify", "replay", "prove"} <= {
        *ran
    }


def test_the_python_examples_of_the_page_run(place, encoder, capsys):
    write_reviews(place)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    code = "".join(blocks).replace('task="sentiment"', 'task="sentiment", model="toy"')
    # The toy model trains nothing: a probe on the small encoder does.
    probe = f'task="sentiment", trainer="probe", encoder={str(encoder)!r}, seeds=2'
    code = code.replace('scores=scores, task="sentiment", model="toy"', f"scores=scores, {probe}")
    with place.entered():
        exec(code, {})  # the page's own lines
    kept = (place / "subset.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(kept) == round(0.16 * 300)
    assert "random" in capsys.readouterr().out  # the verdict


@pytest.mark.parametrize(("suffix", "pack"), [
    ("", bytes), (".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress),
])  # fmt: skip
@pytest.mark.parametrize("name", ["csv", "tsv", "jsonl", "parquet"])
def test_the_subset_is_in_the_inputs_own_format_order_and_bytes(tmp_path, name, suffix, pack):
    rows = pl.DataFrame({
        "n": range(40),
        "text": [f"row {index} of a pool, naïve; {'long ' * (index % 7)}" for index in range(40)],
        "other": [None if index % 3 else index / 7 for index in range(40)],
    })  # fmt: skip
    place = Place(tmp_path)
    plain = tmp_path / f"plain.{name}"
    if name == "parquet":
        if suffix:
            pytest.skip("Parquet is compressed inside")
        rows.write_parquet(plain)
    elif name == "jsonl":
        rows.write_ndjson(plain)
    else:
        rows.write_csv(plain, separator="\t" if name == "tsv" else ",")
    pool = tmp_path / f"pool.{name}{suffix}"
    pool.write_bytes(pack(plain.read_bytes()))
    place.euds("run", pool.name, "--scores", "ie", "--rule", "ie", "--keep", 9, "--no-report")
    (subset,) = (tmp_path / "pool-euds").glob("subset*")
    assert subset.name == f"subset.{name}{suffix}"
    kept = {int(one["n"]) for one in rows_of(subset, name)}
    assert len(kept) == 9
    if name == "parquet":
        assert pl.read_parquet(subset).equals(rows.filter(pl.col("n").is_in(sorted(kept))))
        return
    lines = plain.read_bytes().splitlines(keepends=True)
    header, lines = (lines[:1], lines[1:]) if name != "jsonl" else ([], lines)
    expected = b"".join([*header, *(line for n, line in enumerate(lines) if n in kept)])
    assert unpacked(subset) == expected


def unpacked(path):
    content = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(content)
    return (
        zstandard.ZstdDecompressor().decompressobj().decompress(content)
        if (path.suffix == ".zst")
        else content
    )


def rows_of(path, name):
    if name == "parquet":
        return pl.read_parquet(path).to_dicts()
    if name == "jsonl":
        return pl.read_ndjson(unpacked(path)).to_dicts()
    return pl.read_csv(unpacked(path), separator="\t" if name == "tsv" else ",").to_dicts()


def test_a_pipe_is_read_too(place):
    content = (place / "films.jsonl").read_bytes()
    place.process(
        *("run", "-", "--text", "review", "--scores", "ie", "--rule", "ie", "--keep", 5),
        *("--no-report", "--out", "piped"),
        stdin=content,
    )
    kept = (place / "piped" / "subset.jsonl").read_bytes().splitlines()
    assert len(kept) == 5
    assert set(kept) <= set(content.splitlines())


def test_no_row_vanishes(place):
    good = (place / "films.jsonl").read_text(encoding="utf-8").splitlines()
    bad = {3: '{"review": 7', 8: '{"stars": "good"}', 20: '{"review": ""}'}
    for at, line in bad.items():
        good.insert(at - 1, line)
    (place / "mixed.jsonl").write_text("\n".join(good) + "\n", encoding="utf-8")
    place.euds(
        *("run", "mixed.jsonl", *READING, *RULE, "--keep", 5, "--max-rejected", 0.2),
        *("--out", "mixed"),
    )
    lines = (place / "mixed" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    rejected = [json.loads(line) for line in lines]
    assert [(one["file"], one["line"]) for one in rejected] == [
        ("mixed.jsonl", at) for at in sorted(bad)
    ]
    assert all(one["reason"] for one in rejected)
    selection = place.selection("mixed")
    assert selection.height + len(rejected) == len(good)
    assert (selection["reason"].is_null() == selection["kept"]).all()
    assert selection["kept"].sum() == 5


def measured(ran):
    return json.loads(ran.stdout)["measured"]


def test_nothing_is_scored_twice(place):
    again = ("run", "films.jsonl", *READING, *RULE, "--json")
    assert measured(place.euds(*again, "--keep", 7, "--out", "run")) == 0
    assert measured(place.euds("select", "run", "--rule", "ge", "--keep", 9, "--json")) == 0
    grown = (place / "films.jsonl").read_text(encoding="utf-8")
    for index in range(10):
        grown += json.dumps({"review": f"never seen before, film {index}", "stars": "good"}) + "\n"
    (place / "films.jsonl").write_text(grown, encoding="utf-8")
    first = measured(place.euds(*again, "--out", "grown"))
    # Each new row once for GE, and once for each prompt.
    assert first % 10 == 0
    assert 0 < first <= 10 * 5


def test_a_killed_run_goes_on_and_ends_the_same(place):
    rng = random.Random(4)
    with (place / "many.jsonl").open("w") as stream:
        for index in range(4000):
            words = " ".join(
                rng.choices(
                    ["a", "good", "bad", "film", "with", "the", "plot", "and", "never"], k=30
                )
            )
            stream.write(json.dumps({"review": f"{words} {index}", "stars": "good"}) + "\n")
    words = ("run", "many.jsonl", *READING[:2], "--model", "toy", "--scores", "ge", "--rule", "ge",
             "--keep", 50, "--no-report")  # fmt: skip
    process = subprocess.Popen(
        place.command(*words, "--out", "killed"),
        cwd=place.folder, env=place.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    store = place / "cache" / "store" / "v1"
    before = set(store.rglob("*.parquet"))
    while len(set(store.rglob("*.parquet")) - before) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = measured(place.euds(*words, "--out", "killed", "--json"))
    assert 0 < rest < 4000
    shutil.rmtree(place / "cache")
    place.euds(*words, "--out", "whole")
    name = "selection.parquet"
    assert (place / "killed" / name).read_bytes() == (place / "whole" / name).read_bytes()


@pytest.mark.parametrize("change", ["order", "removed labels", "permuted labels"])
def test_what_must_not_matter_changes_no_row(place, change):
    rows = [json.loads(line) for line in (place / "films.jsonl").read_text("utf-8").splitlines()]
    if change == "order":
        random.Random(1).shuffle(rows)
    else:
        labels = [one["stars"] for one in rows]
        random.Random(2).shuffle(labels)
        for row, label in zip(rows, labels, strict=True):
            row["stars"] = label
    lines = [json.dumps(one, ensure_ascii=False) for one in rows]
    (place / "films.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # Of the labels only their names count; without any, they are given.
    names = ["--options", ",".join(sorted({one["stars"] for one in rows}))]
    reading = [*READING[:2], *READING[4:], *names] if change == "removed labels" else READING
    place.euds("run", "films.jsonl", *reading, *RULE, "--keep", 12, "--out", "other")
    assert texts_of(place, "other") == texts_of(place, "run")
    for run in ("run", "other"):  # nor where rows are drawn
        place.euds("select", run, "--rule", "random", "--keep", 12, "--no-report")
    assert texts_of(place, "other") == texts_of(place, "run")


def texts_of(place, run):
    lines = (place / run / "subset.jsonl").read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["review"] for line in lines}
