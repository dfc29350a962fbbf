"""README.md to the letter: bytes, addresses, budgets, labels, batches, length."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.promises.commands import SECONDS, Place
from tests.promises.golden.pools import POOLS

READING = ("--text", "review", "--label", "stars", "--task", "sentiment")
QUIET = ("--no-report", "--quiet")
IE = ("--scores", "ie", "--rule", "ie", *QUIET)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def told(place: Place, *words: object) -> dict:
    return json.loads(place.euds(*words, *QUIET, "--json").stdout)


# The subset comes in the input's own format, order and encoding, other columns untouched.


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [
        ("utf-8", b"\xef\xbb\xbf", ()),
        ("utf-16-le", b"\xff\xfe", ()),
        ("utf-16-be", b"\xfe\xff", ()),
        ("utf-32-le", b"\xff\xfe\0\0", ()),
        ("cp1252", b"", ("--encoding", "cp1252")),
    ],
)
def test_the_subset_has_the_inputs_encoding(place, encoding, mark, said):
    lines = [f'n;{n},"naïve ""{n}"",\n  {"long " * (n % 5)}é",  {n / 7}\r\n' for n in range(40)]
    header = "id,text,other\r\n"
    (place / "pool.csv").write_bytes(mark + (header + "".join(lines)).encode(encoding))
    place.euds("run", "pool.csv", *said, *IE, "--id", "id", "--keep", 9, "--out", "run")
    kept = place.kept()
    assert len(kept) == 9
    expected = header + "".join(one for one in lines if one.partition(",")[0] in kept)
    assert (place / "run/subset.csv").read_bytes() == mark + expected.encode(encoding)


def test_files_of_a_folder_keep_their_names_and_bytes(place):
    POOLS["news"](place.folder)
    (place / "nachrichten/sport/00.txt").write_bytes(b"\xef\xbb\xbfTor!\r\nWieder ein Tor \t\n\n")
    first = (place / "nachrichten/sport/00.txt").read_bytes()
    place.euds(
        *("run", "nachrichten", "--scores", "ie", "--rule", "ie", *QUIET, "--keep", 29),
        *("--out", "run"),
    )
    there = files_of(place / "nachrichten")
    found = files_of(place / "run/subset")
    assert len(found) == 29
    assert found.items() <= there.items()
    assert found.get("sport/00.txt", first) == first


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        one.relative_to(folder).as_posix(): one.read_bytes()
        for one in folder.rglob("*")
        if one.is_file()
    }


def test_chats_come_back_as_they_were(place):
    POOLS["chats"](place.folder)
    place.euds("run", "chats.jsonl", *IE, "--keep", 9, "--out", "run")
    lines = (place / "chats.jsonl").read_bytes().splitlines(keepends=True)
    chosen = place.selection()["kept"].to_list()
    assert (place / "run/subset.jsonl").read_bytes() == b"".join(
        line for line, kept in zip(lines, chosen, strict=True) if kept
    )
    assert sum(chosen) == 9


def test_addresses_are_read_and_hold_measurements(place):
    POOLS["films"](place.folder)
    content = (place / "films.jsonl").read_bytes()
    (place / "data").mkdir()
    (place / "data/a.jsonl.gz").write_bytes(gzip.compress(content))
    words = ("--text", "review", "--model", "toy", "--rule", "igse", "--keep", 9)
    asked = place.command(
        "run", f"file://{place / 'data'}/*.jsonl.gz", *words, *QUIET, "--json", "--out", "there"
    )
    store = {"EUDS_STORE": f"file://{place / 'elsewhere'}"}
    ran = []
    for _ in range(2):
        ended = subprocess.run(
            asked,
            cwd=place.folder,
            env={**place.environment(), **store},
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        ran.append(json.loads(ended.stdout)["measured"])
    assert ran == [60, 0]
    assert list((place / "elsewhere").rglob("*.parquet"))
    place.euds("run", "films.jsonl", *words, *QUIET, "--out", "here")
    subset = gzip.decompress((place / "there/subset.jsonl.gz").read_bytes())
    assert subset == (place / "here/subset.jsonl").read_bytes()


# Budgets are met exactly, and there is a reason for every row.


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Place:
    place = Place(tmp_path_factory.mktemp("scored"))
    POOLS["films"](place.folder)
    place.euds("score", "films.jsonl", *READING, "--model", "toy", "--quiet", "--out", "run")
    return place


@pytest.mark.parametrize(
    "rule", ["auto", "igse", "igse-and", "igse-dist", "ge", "longest", "random"]
)
def test_a_budget_is_met_exactly_and_no_model_is_asked(scored, rule):
    for keep, rows in (("1", 1), ("7", 7), ("0.25", 15), ("55%", 33), ("60", 60)):
        summary = told(scored, "select", "run", "--rule", rule, "--keep", keep, "--out", rule)
        assert summary["rows"]["kept"] == len(scored.kept(rule)) == rows
        assert summary["measured"] == 0
        lines = (scored / rule / "subset.jsonl").read_bytes().splitlines()
        assert len(lines) == rows
        fates = scored.selection(rule)
        assert fates.height == 60
        assert (fates["reason"].is_null() == fates["kept"]).all()
        counted = fates.filter(~pl.col("kept"))["reason"].value_counts()
        assert dict(counted.iter_rows()) == summary["rows"]["dropped"]


# What must not matter.


def scores_of(place: Place, run: str) -> dict:
    """Return the scores of each row, by what belongs to it and is no label."""
    frame = pl.read_parquet(place / run / "scores.parquet")
    return {row["id"]: row for row in frame.sort("id").iter_rows(named=True)}


def test_a_rows_own_label_reaches_no_scorer(place):
    POOLS["films"](place.folder)
    rows = [json.loads(line) for line in (place / "films.jsonl").read_text("utf-8").splitlines()]
    # The text is last: the end is all that the toy model looks at.
    asked = ("--model", "toy", "--prompt", "One of {options}. {text}", "--quiet")
    place.euds("score", "films.jsonl", *READING, *asked, "--out", "run")
    first = scores_of(place, "run")
    shutil.rmtree(place / "cache")  # or nothing would be measured again
    labels = [row["stars"] for row in rows]
    turned = [
        {**row, "stars": label} for row, label in zip(rows, labels[1:] + labels, strict=False)
    ]
    assert turned != rows
    (place / "films.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turned))
    place.euds("score", "films.jsonl", *READING, *asked, "--out", "turned")
    assert scores_of(place, "turned") == first
    assert len({row["se"] for row in first.values()}) > 1


def test_how_many_tokens_go_through_a_model_together_changes_no_row(place):
    from tests.promises.tiny_models import save_varied_language_model  # loads torch

    model = save_varied_language_model(place / "model")
    POOLS["films"](place.folder)
    kept = []
    for number, tokens in enumerate((16, 100, 5000)):
        place.euds(
            *("run", "films.jsonl", *READING[:2], "--model", model, "--batch-tokens", tokens),
            *("--max-tokens", 32, "--rule", "ge", "--keep", 12, *QUIET, "--out", f"run-{number}"),
        )
        shutil.rmtree(place / "cache")
        kept.append((place / f"run-{number}/subset.jsonl").read_bytes())
    assert kept[0] == kept[1] == kept[2]


# Length is taken out, and the summary shows by how much.


def test_ranks_are_free_of_length_and_the_summary_shows_both_correlations(place):
    rng = random.Random(5)
    with (place / "pool.jsonl").open("w") as stream:
        for _ in range(400):
            many = rng.randint(5, 60)
            # The longer a text, the rarer its words.
            words = [f"w{int(rng.random() ** 2 * 8 * many)}" for _ in range(many)]
            stream.write(json.dumps({"text": " ".join(words)}) + "\n")
    summary = told(place, "run", "pool.jsonl", *IE[:4], "--keep", 60, "--out", "run")
    rows = pl.read_parquet(place / "run/scores.parquet").select("id", "ie", "words")
    rows = rows.join(place.selection().select("id", "rank_ie"), on="id")
    raw, ranked = rows.select(
        pl.corr("ie", "words", method="spearman"),
        ranked=pl.corr("rank_ie", "words", method="spearman"),
    ).row(0)
    assert abs(raw) > 0.5
    assert abs(ranked) < 0.1
    assert summary["scores"]["ie"]["length_spearman_raw"] == pytest.approx(raw)
    assert summary["scores"]["ie"]["length_spearman_rank"] == pytest.approx(ranked)
    shown = place.euds("select", "run", "--rule", "ie", "--keep", 60, *QUIET).stdout
    (line,) = (one for one in shown.splitlines() if one.startswith("ie "))
    assert line.split()[-2:] == [f"{raw:+.2f}", f"{ranked:+.2f}"]
