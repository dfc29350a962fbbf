"""The pools that the benchmarks prove selections on, and pools that make selecting hard.

    python benchmarks/pools.py NAME OUTDIR

Writes ``pool.jsonl`` and ``test.jsonl`` to OUTDIR: ``text``, ``context`` where there is one, and
``label``. The same rows come out everywhere. No row of a pool is a near-duplicate of a test row.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from euds.files.atomic import atomic_write
from euds.models import load_language_model
from euds.models.sources import resolve
from euds.pool.pool import Texts, text_key
from euds.proof.holdout import hold_out
from euds.reading import datasets, read
from euds.selection.near_duplicates import near_duplicates_of

__all__ = ["POOLS", "BenchmarkPool", "Split", "edited", "rows_of", "write"]

Row = dict[str, str]

SEED = 0
NOISE_SHARE = 0.2
ADDED_SHARE = 0.3  # of the pool with what was added
EDITED_SHARE = 0.02  # of the words of a copy
IMBALANCE = 10
MODEL = "smollm2-135m"
SEED_TOKENS = 12
NEW_TOKENS = 40


@dataclass(frozen=True)
class Split:
    """The rows of a pool, and those of its test set."""

    pool: list[Row]
    test: list[Row]


@dataclass(frozen=True)
class BenchmarkPool:
    """One pool with its test set.

    Parameters
    ----------
    name : str
        What it is called on the command line.
    task : str
        The task to prove it with.
    labels : str
        One line on its labels, and on what was done to the pool.
    build : callable
        Makes the rows; is given the folder where what is slow to make is kept.
    """

    name: str
    task: str
    labels: str
    build: Callable[[Path], Split]


def write(name: str, folder: Path) -> Split:
    """Write ``pool.jsonl`` and ``test.jsonl`` of a pool to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    split = POOLS[name].build(folder)
    if len(without_near_duplicates(split.pool, split.test)) < len(split.pool):
        raise ValueError(f"{name}: rows of the pool are near-duplicates of test rows")
    for file, rows in (("pool.jsonl", split.pool), ("test.jsonl", split.test)):
        with atomic_write(folder / file) as temporary:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            temporary.write_text("".join(lines), encoding="utf-8")
    return split


def rows_of(name: str) -> list[Row]:
    """Return the labelled rows of a data set, in the order of a hash of their texts.

    It is the order in which `euds.reading.datasets.write` chooses ``rows``.
    """
    dataset = datasets.DATASETS[name]
    rows: list[Row] = [
        {column: row[column] for column in ("text", "context", "label") if column in row}
        for row in dataset.convert(datasets.fetch(name))
        if row["label"] is not None
    ]
    return sorted(rows, key=lambda row: text_key(row["text"]))


def without_near_duplicates(rows: list[Row], others: Sequence[Row]) -> list[Row]:
    """Return the rows that are no near-duplicate of one of the others."""
    found = set(near_duplicates_of(_texts(rows), _texts(others))["key"])
    return [row for row in rows if _key(row) not in found]


def _texts(rows: Sequence[Row]) -> Texts:
    return Texts.of([row["text"] for row in rows], [row.get("context") for row in rows])


def _key(row: Row) -> str:
    return text_key(row["text"], row.get("context"))


# The pools as they are.


def _shared_out(name: str, *, share: float) -> Split:
    """Split a share off a data set as the test set, as `euds prove --test SHARE` does."""
    rows = rows_of(name)
    held = hold_out(read(pl.DataFrame(rows)), share, closed_labels=False, seed=SEED)
    columns = list(rows[0])
    return Split(
        held.pool.frame.select(columns).to_dicts(), held.test.frame.select(columns).to_dicts()
    )


def _bbc_news(_: Path) -> Split:
    return _shared_out("bbc-news", share=0.25)


def _disfl_qa(_: Path) -> Split:
    return _shared_out("disfl-qa", share=0.3)


def _tweets(_: Path) -> Split:
    rows = rows_of("tweets")
    test = rows[6_000:10_000]
    return Split(without_near_duplicates(rows[:6_000], test)[:4_000], test)


def _boolq(_: Path) -> Split:
    test = rows_of("boolq-dev")
    # Away from all of boolq-dev, not only from the rows that are tested on.
    return Split(without_near_duplicates(rows_of("boolq"), test)[:1_500], test[:2_000])


def _privacy_qa(_: Path) -> Split:
    """Split by clause: each is asked some fifteen questions, and pool and test share no clause.

    The pool gets the clauses that most of its first 3,500 rows, counted by hash, are about.
    """
    rows = rows_of("privacy-qa")
    first, others = rows[:3_500], rows[3_500:]
    asked_first = Counter(row["context"] for row in first)
    asked = Counter(row["context"] for row in rows)
    clauses = sorted(
        asked, key=lambda clause: (-asked_first[clause] / asked[clause], text_key(clause))
    )
    reached = np.cumsum([asked_first[clause] for clause in clauses])
    # A tenth more than needed, for near-duplicates that go.
    of_pool = set(clauses[: int(np.searchsorted(reached, 2_750)) + 1])
    test = [row for row in others if row["context"] not in of_pool][:2_500]
    pool = [row for row in first if row["context"] in of_pool]
    return Split(without_near_duplicates(pool, test)[:2_500], test)


# Pools that make selecting hard; the test set stays as it is.


def _noise(folder: Path) -> Split:
    split = _tweets(folder)
    rng = np.random.default_rng(SEED)
    classes = sorted({row["label"] for row in split.pool})
    pool = list(split.pool)
    for index in rng.permutation(len(pool))[: round(NOISE_SHARE * len(pool))].tolist():
        others = [label for label in classes if label != pool[index]["label"]]
        pool[index] = pool[index] | {"label": str(rng.choice(others))}
    return Split(pool, split.test)


def _imbalance(folder: Path) -> Split:
    split = _tweets(folder)
    sizes = Counter(row["label"] for row in split.pool)
    largest, most = max(sizes.items(), key=lambda item: (item[1], item[0]))
    seen: Counter[str] = Counter()
    pool = []
    for row in split.pool:  # in the order of a hash: the first rows are any rows
        seen[row["label"]] += 1
        if row["label"] == largest or seen[row["label"]] <= most // IMBALANCE:
            pool.append(row)
    return Split(pool, split.test)


def _near_duplicates(folder: Path) -> Split:
    split = _bbc_news(folder)
    rng = np.random.default_rng(SEED)
    copies = [
        row | {"text": edited(row["text"], share=EDITED_SHARE, rng=rng)}
        for row in _seed_rows(split.pool, rng)
    ]
    return Split(split.pool + copies, split.test)


def _machine_made(folder: Path) -> Split:
    split = _bbc_news(folder)
    seeds = _seed_rows(split.pool, np.random.default_rng(SEED))
    texts = _machine_texts(seeds, folder / "machine-made.json")
    made = [row | {"text": text} for row, text in zip(seeds, texts, strict=True)]
    return Split(split.pool + made, split.test)


def _seed_rows(pool: list[Row], rng: np.random.Generator) -> list[Row]:
    """Draw so many rows that one made from each is the wanted share of the pool in the end."""
    count = round(len(pool) * ADDED_SHARE / (1 - ADDED_SHARE))
    return [pool[index] for index in rng.permutation(len(pool))[:count].tolist()]


def edited(text: str, *, share: float, rng: np.random.Generator) -> str:
    """Return a text with a share of its words, one at least, left out, doubled or swapped."""
    words = text.split(" ")
    for _ in range(max(1, round(share * len(words)))):
        place = int(rng.integers(len(words)))
        edit = rng.choice(["leave out", "double", "swap"]) if len(words) > 1 else "double"
        if edit == "leave out":
            del words[place]
        elif edit == "double":
            words.insert(place, words[place])
        else:
            other = place - 1 if place else 1
            words[place], words[other] = words[other], words[place]
    return " ".join(words)


def _machine_texts(seeds: Sequence[Row], cache: Path) -> list[str]:
    """Return what a small language model makes of the beginnings of articles; made only once."""
    model = resolve(MODEL)
    made_from = {
        "model": model.fingerprint,
        "tokens": [SEED_TOKENS, NEW_TOKENS],
        "keys": list(map(_key, seeds)),
    }
    if cache.exists():
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if kept["made_from"] == made_from:
            return list(kept["texts"])
    # float32: rounding differs less from machine to machine than in bfloat16.
    writer = load_language_model(model, precision="float32")
    beginnings = writer.truncate([row["text"] for row in seeds], max_tokens=SEED_TOKENS)
    drawn = writer.sample(
        [
            f"News about {row['label']}:\n{beginning}"
            for row, beginning in zip(seeds, beginnings, strict=True)
        ],
        count=1,
        max_new_tokens=NEW_TOKENS,
        seeds=[int(_key(row)[:15], 16) + SEED for row in seeds],
    )
    texts = [
        (beginning + one.text).strip() for beginning, (one,) in zip(beginnings, drawn, strict=True)
    ]
    with atomic_write(cache) as temporary:
        temporary.write_text(
            json.dumps({"made_from": made_from, "texts": texts}, ensure_ascii=False),
            encoding="utf-8",
        )
    return texts


POOLS = {
    pool.name: pool
    for pool in (
        BenchmarkPool("bbc-news", "topic", "five topics, nearly balanced", _bbc_news),
        BenchmarkPool("tweets", "sentiment", "three classes, noisy, imbalanced", _tweets),
        BenchmarkPool("boolq", "yes-no", "yes on three rows in five", _boolq),
        BenchmarkPool("privacy-qa", "yes-no", "balanced; no clause in pool and test", _privacy_qa),
        BenchmarkPool("disfl-qa", "answer", "words of the passage, or unknown", _disfl_qa),
        BenchmarkPool("noise", "sentiment", "tweets; one label in five is wrong", _noise),
        BenchmarkPool("imbalance", "sentiment", "tweets; other classes a tenth each", _imbalance),
        BenchmarkPool(
            "near-duplicates",
            "topic",
            "bbc-news with lightly edited copies: 30 % of the rows, near-duplicates of other rows",
            _near_duplicates,
        ),
        BenchmarkPool(
            "machine-made",
            "topic",
            "bbc-news with short texts of a language model, 30 %; their labels are its prompts'",
            _machine_made,
        ),
    )
}


def main() -> None:
    """Write one pool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=list(POOLS), metavar="NAME", help=", ".join(POOLS))
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    arguments = parser.parse_args()
    split = write(arguments.name, arguments.folder)
    print(f"{len(split.pool):,} rows in the pool, {len(split.test):,} in the test set")
    print(POOLS[arguments.name].labels)


if __name__ == "__main__":
    main()
