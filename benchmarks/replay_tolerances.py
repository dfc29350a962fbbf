"""How far scores of real tweets move with precision and batch size: what a replay may differ by.

    python benchmarks/replay_tolerances.py

SmolLM2-135M; each column's largest difference, and in how many rows there is one. A replay on
another machine computes in the run's own precision, so two replays in bfloat16 differ by no more
than twice what bfloat16 differs from float32 by. Writes results/replay_tolerances.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import euds
from euds.reading import datasets
from euds.runs.replaying.comparing import compare_columns
from euds.scoring.scores import ScoreTable
from euds.scoring.store.disk import Store

RESULTS = Path(__file__).parent / "results" / "replay_tolerances.json"
ROWS = 30
CHANGES = {
    "another batch size": {"precision": "float32", "batch_tokens": 512},
    "bfloat16": {"precision": "bfloat16"},
}
ASKED = {
    "options": (["ie", "ge", "se"], {"task": "sentiment", "options": ["negative", "positive"]}),
    "continuations": (["se"], {"answers": 5, "max_new_tokens": 10}),
}


def compared(pool: euds.Pool, scores: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    """Return for each change and column the largest difference, and the rows that differ."""

    def table(**more: Any) -> ScoreTable:
        with tempfile.TemporaryDirectory() as folder:
            return euds.score(pool, scores, store=Store(Path(folder)), **{**settings, **more})

    first, found = table(precision="float32"), {}
    for name, change in CHANGES.items():
        columns = compare_columns(first, table(**change), precision="float32")
        found[name] = {
            column: {"largest": one.largest, "rows": one.rows} for column, one in columns.items()
        }
    return found


def main() -> None:
    """Measure, write and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tweets.jsonl"
        datasets.write("tweets", path, rows=ROWS)
        pool = euds.read(path)
    found = {name: compared(pool, *asked) for name, asked in ASKED.items()}
    RESULTS.write_text(json.dumps({"rows": ROWS, "found": found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
