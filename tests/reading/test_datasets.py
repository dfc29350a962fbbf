"""The data sets are what they are said to be."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter

import pytest

from euds.errors import EudsError, OptionError
from euds.files import packages
from euds.reading import datasets, read
from euds.reading.datasets import DATASETS

# Counted in the packages' own files.
ROWS = {
    "bbc-news": 2_225,
    "tweets": 38_158,
    "boolq": 15_942,
    "boolq-dev": 3_270,
    "disfl-qa": 1_000,
    "privacy-qa": 10_923,
    "medmcqa": 10_333,
}
LABELS = {
    "bbc-news": {
        "sports": 511,
        "business": 510,
        "politics": 417,
        "tech": 401,
        "entertainment": 386,
    },
    "tweets": {"negative": 16_186, "neutral": 15_018, "positive": 6_954},
    "boolq": {None: 3_245, "yes": 7_907, "no": 4_790},
    "boolq-dev": {"yes": 2_033, "no": 1_237},
    "privacy-qa": {"no": 5_474, "yes": 5_449},
}


def test_an_unknown_name_suggests_a_known_one(tmp_path):
    with pytest.raises(OptionError) as caught:
        datasets.write("boolq_dev", tmp_path / "a.jsonl")
    assert "did you mean 'boolq-dev'?" in str(caught.value)
    assert "tweets" in str(caught.value)


def test_every_dataset_says_what_it_is():
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.rows == ROWS[name]
        assert dataset.description
        assert dataset.licence
        assert len(dataset.sha256) == len(dataset.package.sha256) == 64


def test_a_source_that_was_changed_is_refused(empty_cache, monkeypatch, tmp_path):
    (tmp_path / "dev.jsonl").write_text('{"question": "q", "passage": "p", "answer": "True"}\n')
    monkeypatch.setattr(packages, "locate", lambda *_, **__: None)
    member = DATASETS["boolq-dev"].member
    monkeypatch.setattr(packages, "fetch", lambda *_: {member: tmp_path / "dev.jsonl"})
    with pytest.raises(EudsError, match="not what it should be"):
        datasets.write("boolq-dev", tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize(
    ("seen", "meant"),
    [
        (b"don\xe4\xf3\xbbt", "don’t"),  # twice over
        (b"I\x8a\x97\xc8m", "I’m"),  # three times
        (b"\xe4\xf3\xechi\xe4\xf3\x9d", "“hi”"),
        (b"cheating scan\xe4\xf3_", "cheating scan…"),
        (b"fun _\xf4\xd6\xec", "fun 😜"),
        (b"great service! _\x99\x95\x8d", "great service! _ôïç"),  # a byte was lost: left alone
        (b"\xce\xa3130", "£130"),
        (b"plain_ascii __ text", "plain_ascii __ text"),
    ],
)
def test_damaged_characters_are_put_right(seen, meant):
    assert datasets._repaired(seen.decode("mac_roman")) == meant


def source_of(name: str):
    dataset = DATASETS[name]
    path = packages.locate(dataset.package, dataset.member, sha256=dataset.sha256)
    if path is None:
        pytest.fail(f"the data set {name} is not on this machine: euds data {name} --fetch")
    return path


@pytest.mark.models
@pytest.mark.parametrize("name", ROWS)
def test_rows_and_labels_are_those_of_the_source(tmp_path, name):
    source_of(name)
    path = tmp_path / "a.jsonl"
    assert datasets.write(name, path) == ROWS[name]
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(rows) == ROWS[name]
    if name in LABELS:
        assert Counter(row["label"] for row in rows) == LABELS[name]
    assert all(
        ("context" in row) == (name not in ("bbc-news", "tweets", "medmcqa")) for row in rows
    )
    pool = read(path)
    assert len(pool) == ROWS[name]
    assert pool.rejected.height == 0


@pytest.mark.models
def test_tweets_are_decoded_rightly(tmp_path):
    raw = source_of("tweets").read_bytes()
    datasets.write("tweets", tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    texts = [row["text"] for row in rows]
    assert any("Muñoz: autonomous" in text for text in texts)
    # What is plain ASCII in the source is untouched, and nothing else becomes ASCII.
    before = [row["text"] for row in csv.DictReader(io.StringIO(raw.decode("latin-1"), newline=""))]
    assert sum(text.isascii() for text in before) == 38_158 - 4_954
    for old, new in zip(before, texts, strict=True):
        assert old == new if old.isascii() else not new.isascii()
        if "\xe4\xf3\xbb" in old or "\x8a\x97\xc8" in old:
            assert "’" in new
    assert rows[0]["confidence"] == 0.7547
    assert sum(row["confidence"] is None for row in rows) > 1_000


@pytest.mark.models
def test_a_part_is_drawn_the_same_every_time(tmp_path):
    source_of("bbc-news")
    lines = {}
    for rows in (None, 50, 100, 9_999):
        written = datasets.write("bbc-news", tmp_path / "a.jsonl", rows=rows)
        lines[rows] = (tmp_path / "a.jsonl").read_bytes().splitlines()
        assert len(lines[rows]) == written == min(rows or 9_999, 2_225)
    assert lines[9_999] == lines[None]
    assert set(lines[50]) < set(lines[100])
    rest = iter(lines[None])
    assert all(line in rest for line in lines[100])  # in their own order
    labels = Counter(json.loads(line)["label"] for line in lines[100])
    assert len(labels) == 5


@pytest.mark.models
def test_one_article_is_latin_1(tmp_path):
    source_of("bbc-news")
    datasets.write("bbc-news", tmp_path / "a.jsonl")
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert "£15.8m signing" in text
    assert "\ufffd" not in text


@pytest.mark.models
@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("bbc-news", "415cbf7706c9f3e03c5653422bcf47719af93452fc62ccece26921513336a751"),
        ("tweets", "7c57065d08dbd225b7ab748916230015cb892a7564659f367b08c850535e0017"),
    ],
)
def test_the_bytes_are_the_same_everywhere(tmp_path, name, sha256):
    source_of(name)
    datasets.write(name, tmp_path / "a.jsonl")
    assert hashlib.sha256((tmp_path / "a.jsonl").read_bytes()).hexdigest() == sha256
