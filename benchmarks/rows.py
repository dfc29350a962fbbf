"""How long and how much memory reading, IE, selecting and writing take for many short rows.

    python benchmarks/rows.py [--rows 100000] [--most 10000000] [--only select|comparisons]

Rows are words drawn from the words of the ``tweets`` data set, as many as its rows have.

1. Information entropy, all cores, against a plain loop on one core; the two in turn.
2. From a file to a selected file, against DSIR. It is there after:
   pip install --no-deps --target build/peers data-selection==1.0.3 nltk regex joblib tqdm
3. Whole runs of more and more rows, and selecting once more from each: how time and memory grow;
   and runs of long rows, forty times as many words in each: texts should take no memory.
4. Selecting from a million scores that are there: in Python, and the command with all that it
   writes, without the subset, without subset and report.

Whole processes are measured by the operating system's own accounting. Writes results/rows.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rows_peers import (
    GET_DSIR,
    PEERS,
    dsir_is_there,
    plain_information_entropy,
    plain_words,
)

import euds
from euds.pool.pool import Texts
from euds.progress import SilentProgress
from euds.reading import datasets
from euds.runs.folder import RunFolder
from euds.scoring.scorers.information import InformationScorer, split_words

RESULTS = Path(__file__).parent / "results" / "rows.json"
ROUNDS = 5
LONG_RUN_ROWS = 1_000_000
"""Runs of so many rows are made once; of so many rows is selected in several ways."""
KEEP = 0.16
TARGET_ROWS = 2_000
MOST_WORDS = 128
LONG_ROWS = (100_000, 1_000_000)
TIMES_AS_LONG = 40


def write_rows(path: Path, rows: int, *, times_as_long: int = 1) -> None:
    """Write made-up rows whose words and lengths are those of the tweets, or so much longer."""
    source = path.with_name("tweets.jsonl")
    datasets.write("tweets", source)
    with source.open(encoding="utf-8") as stream:
        texts = [json.loads(line)["text"].split() for line in stream]
    words = [word for text in texts for word in text]
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as stream:
        for index in range(rows):
            text = " ".join(rng.choices(words, k=times_as_long * len(rng.choice(texts))))
            stream.write(json.dumps({"number": index, "text": text}) + "\n")


def measured(*arguments: str) -> dict[str, float]:
    """Run the command line once; return seconds and the peak memory of the process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "euds", *arguments, "--quiet"], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"euds {' '.join(arguments)} failed")
    # A process starts as a copy of this one, and that counts too.
    if usage.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        sys.exit("this process is larger than the one that was to be measured")
    unit = 1 if platform.system() == "Darwin" else 1024
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss * unit / 2**20),
    }


def median_of(rounds: int, *arguments: str) -> dict[str, float]:
    """Run the command line several times; return the median of each figure."""
    runs = [measured(*arguments) for _ in range(rounds)]
    medians = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
    return {"runs": rounds, **medians}


def rounds_for(rows: int) -> int:
    """Return how often a whole process is run."""
    return 1 if rows >= LONG_RUN_ROWS else ROUNDS


def seconds_of(work: Callable[[], object]) -> float:
    """Do some work once; return how long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def information_entropy(path: Path) -> dict[str, Any]:
    """Compare the megabytes a second of the scorer with those of a plain loop."""
    texts = euds.read(path).texts
    distinct = texts.frame["text"].unique().to_list()
    megabytes = sum(len(text.encode()) for text in distinct) / 1e6
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds_of(lambda: InformationScorer().score(texts, None)))
        theirs.append(seconds_of(lambda: plain_information_entropy(distinct)))
    ours_rate = megabytes / statistics.median(ours)
    plain_rate = megabytes / statistics.median(theirs)
    return {
        "megabytes": round(megabytes, 2),
        "rounds": ROUNDS,
        "mb_per_second": round(ours_rate, 1),
        "plain_loop_mb_per_second": round(plain_rate, 1),
        "ratio": round(ours_rate / plain_rate, 2),
        **agreement(distinct),
    }


def agreement(texts: list[str]) -> dict[str, float]:
    """Return how many texts the plain loop cuts into the same words, and how their scores differ.

    Word counts are of the pool as a whole; so the scores are compared in a pool of those texts.
    """
    ours = split_words(pl.Series(texts), max_words=MOST_WORDS)["words"].to_list()
    theirs = plain_words(texts, max_words=MOST_WORDS)
    same = [
        text
        for text, our_words, their_words in zip(texts, ours, theirs, strict=True)
        if our_words == their_words
    ]
    pool = Texts.of(same)
    scores = InformationScorer().score(pool, None).frame
    ie, ie_plugin = plain_information_entropy(pool.texts)
    difference = np.abs(scores.select("ie", "ie_plugin").to_numpy() - np.array([ie, ie_plugin]).T)
    if not np.array_equal(np.isnan(ie), scores["ie"].is_null().to_numpy()):
        sys.exit("the plain loop leaves other texts unscored")
    return {
        "texts_with_the_same_words": round(len(same) / len(texts), 4),
        "largest_difference_nats": float(np.nanmax(difference)),
    }


def against_dsir(path: Path, rows: int) -> dict[str, Any]:
    """Compare the rows a second from a file of rows to a file of selected rows."""
    folder = path.parent
    keep = round(KEEP * rows)
    ours = statistics.median(
        seconds_of(lambda: select_file(path, folder / "kept.jsonl", keep)) for _ in range(ROUNDS)
    )
    result = {"rows": rows, "rounds": ROUNDS, "rows_per_second": round(rows / ours)}
    if not dsir_is_there():
        print(f"SKIPPED: no comparison with DSIR, which is not in build/peers; {GET_DSIR}")
        return {**result, "dsir": "skipped: not installed"}
    target = folder / "target.jsonl"
    with path.open(encoding="utf-8") as stream:
        target.write_text("".join(next(stream) for _ in range(TARGET_ROWS)), encoding="utf-8")
    script = Path(__file__).with_name("rows_peers.py")
    completed = subprocess.run(
        [sys.executable, str(script), str(path), str(target), str(folder / "dsir"), str(keep)],
        env={**os.environ, "PYTHONPATH": str(PEERS)},
        capture_output=True,
        text=True,
    )
    if completed.returncode:
        sys.exit(f"DSIR failed: {completed.stderr}")
    chosen = sum(
        len(part.read_text(encoding="utf-8").splitlines())
        for part in (folder / "dsir" / "chosen").rglob("*.jsonl")
    )
    if chosen != keep:
        sys.exit(f"DSIR chose {chosen} rows, not {keep}")
    theirs = json.loads(completed.stdout)["seconds"]
    return {
        **result,
        "dsir_runs": 1,
        "dsir_rows_per_second": round(rows / theirs),
        "ratio": round(theirs / ours, 1),
    }


def select_file(path: Path, out: Path, keep: int) -> None:
    """Read, score by IE, select and write, as DSIR's seconds hold it too."""
    pool = euds.read(path)
    scores = euds.score(pool, ["ie"], progress=SilentProgress())
    euds.select(pool, scores, keep=str(keep), rule="ie").write(out)


def run_command(folder: Path, name: int | str) -> tuple[str, ...]:
    """Return the whole command for a pool of some name; its run folder is ``run-<name>``."""
    pool, run = str(folder / f"{name}.jsonl"), str(folder / f"run-{name}")
    return ("run", pool, "--scores", "ie", "--rule", "ie", "--keep", str(KEEP), "--out", run)


def growth(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """Run the whole command on pools of several sizes; the run folders stay in ``folder``."""
    results: list[dict[str, Any]] = []
    for rows in sizes:
        command = run_command(folder, rows)
        one: dict[str, Any] = {"rows": rows, **median_of(rounds_for(rows), *command)}
        one["microseconds_per_row"] = round(1e6 * one["seconds"] / rows, 1)
        one["bytes_per_row"] = round(one["peak_mib"] * 2**20 / rows)
        one["select"] = measured(*select_again(folder, rows))
        if results:  # what starting the program costs does not grow
            more = rows - results[-1]["rows"]
            seconds = one["seconds"] - results[-1]["seconds"]
            mib = one["peak_mib"] - results[-1]["peak_mib"]
            one["microseconds_per_added_row"] = round(1e6 * seconds / more, 1)
            one["bytes_per_added_row"] = round(mib * 2**20 / more)
        results.append(one)
    return results


def long_rows(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """Run the whole command on pools of long rows, and select once more from each."""
    results = []
    for rows in sizes:
        name = f"long-{rows}"
        path = folder / f"{name}.jsonl"
        write_rows(path, rows, times_as_long=TIMES_AS_LONG)
        one: dict[str, Any] = {
            "rows": rows,
            "megabytes": round(path.stat().st_size / 1e6),
            **measured(*run_command(folder, name)),
            "select": measured(*select_again(folder, name)),
        }
        path.unlink()
        shutil.rmtree(folder / f"run-{name}")
        results.append(one)
    return results


def selecting(run: Path) -> dict[str, Any]:
    """Select in this process from what is in a run folder, without writing a subset."""
    folder = RunFolder(run)
    pool = folder.load_pool()
    rounds = rounds_for(len(pool))

    def from_scores() -> None:
        euds.select(pool, folder.load_scores(), keep=KEEP, rule="ie")

    def from_folder() -> None:
        euds.select(*folder.load_scored(), keep=KEEP, rule="ie")

    return {
        "rows": len(pool),
        "rounds": rounds,
        "seconds": round(statistics.median(seconds_of(from_scores) for _ in range(rounds)), 2),
        "with_reading_the_pool_seconds": round(
            statistics.median(seconds_of(from_folder) for _ in range(rounds)), 2
        ),
    }


def select_again(folder: Path, name: int | str) -> tuple[str, ...]:
    """Return the command that selects from the scores of a run that is there."""
    return ("select", str(folder / f"run-{name}"), "--rule", "ie", "--keep", str(KEEP))


def select_command(folder: Path, rows: int) -> dict[str, Any]:
    """Run the command in a run folder: with start, subset, report and manifest, and with less."""
    command = select_again(folder, rows)
    return {
        "rows": rows,
        **median_of(ROUNDS, *command),
        "--no-subset": median_of(ROUNDS, *command, "--no-subset"),
        "--no-subset --no-report": median_of(ROUNDS, *command, "--no-subset", "--no-report"),
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="of the comparisons")
    parser.add_argument("--most", type=int, default=10_000_000, help="of the whole runs")
    parser.add_argument(
        "--only",
        choices=("select", "comparisons"),
        help="4, or 1 and 2: the other results stay as they are",
    )
    arguments = parser.parse_args()
    again = min(LONG_RUN_ROWS, arguments.most)
    sizes = sorted({min(10_000, arguments.rows), arguments.rows, again, arguments.most})
    needed = {"select": [again], "comparisons": [arguments.rows], None: sizes}[arguments.only]
    result: dict[str, Any] = {}
    if arguments.only is not None:
        result = json.loads(RESULTS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in needed:
            write_rows(folder / f"{rows}.jsonl", rows)
        # Whole processes first, while this one is small; see `measured`.
        if arguments.only is None:
            long = [rows for rows in LONG_ROWS if rows <= arguments.most]
            result = {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "polars": pl.__version__,
                "run --scores ie": growth(folder, sizes),
                "long rows": long_rows(folder, long),
            }
        if arguments.only == "select":
            measured(*run_command(folder, again))
        if arguments.only != "comparisons":
            result["select again"] = select_command(folder, again)
        if arguments.only != "select":
            path = folder / f"{arguments.rows}.jsonl"
            result["information entropy"] = information_entropy(path)
            result["from file to file"] = against_dsir(path, arguments.rows)
        if arguments.only is None:
            result["select"] = [selecting(folder / f"run-{rows}") for rows in sizes]
    save(result)


def save(result: dict[str, Any]) -> None:
    """Keep the results, and print them."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
