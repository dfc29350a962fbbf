"""How long and how much memory reading, IE, selecting and writing take for many short rows.

    python benchmarks/rows.py [--rows 100000]

Rows are words drawn from the words of the ``tweets`` data set, as many as its rows have. Whole
processes are measured by the operating system's own accounting. Writes results/rows.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from euds import datasets

RESULTS = Path(__file__).parent / "results" / "rows.json"


def write_rows(path: Path, rows: int) -> None:
    """Write made-up rows whose words and lengths are those of the tweets."""
    source = path.with_name("tweets.jsonl")
    datasets.write("tweets", source)
    with source.open(encoding="utf-8") as stream:
        texts = [json.loads(line)["text"].split() for line in stream]
    words = [word for text in texts for word in text]
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as stream:
        for index in range(rows):
            text = " ".join(rng.choices(words, k=len(rng.choice(texts))))
            stream.write(json.dumps({"number": index, "text": text}) + "\n")


def measured(*arguments: str) -> dict[str, float]:
    """Run the command line once; return seconds and the peak memory of the process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "euds", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"euds {' '.join(arguments)} failed")
    unit = 1 if platform.system() == "Darwin" else 1024
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": round(usage.ru_maxrss * unit / 2**20),
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        pool, run = Path(name) / "pool.jsonl", str(Path(name) / "run")
        write_rows(pool, rows)
        first = measured("run", str(pool), "--scores", "ie", "--keep", "0.16", "--out", run)
        again = sorted(
            (
                measured("select", run, "--rule", "ie", "--keep", keep)
                for keep in ("0.05", "0.1", "0.3", "0.5", "0.7")
            ),
            key=lambda one: one["seconds"],
        )
    result = {
        "rows": rows,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "run --scores ie": first,
        "select again, median of 5": again[2],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
