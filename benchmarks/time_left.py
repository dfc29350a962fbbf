"""How true the announced time is: real models on real rows, every shard written down.

    python benchmarks/time_left.py [--articles 400] [--tweets 600]

Token entropies of articles and tweets, and log-probabilities of options for tweets, are measured
with SmolLM2-135M into an empty store. Of each shard its work, its seconds and what was handed out
are written to results/time_left.json, under the kind of cores; tests/test_progress.py holds
what would have been announced after each shard against what then came.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import euds
from euds.models.hardware import describe_machine, resolve_precision
from euds.progress import SilentProgress, TimeLeft
from euds.reading import datasets
from euds.scoring import measuring
from euds.scoring.store.disk import Store

RESULTS = Path(__file__).parent / "results" / "time_left.json"


def recorded(rows: Path, scores: list[str], **settings: Any) -> list[dict[str, Any]]:
    """Return each stage that took more than a second: its work, and its shards in turn."""
    stages: list[dict[str, Any]] = []

    class Recording(TimeLeft):
        """Writes down each shard."""

        def __init__(self, work: float) -> None:
            super().__init__(work)
            self.stage: dict[str, Any] = {"work": round(work, 1), "shards": []}
            stages.append(self.stage)

        def after(self, work: float, *, seconds: float, begun: float = 0.0) -> float | None:
            """Write down a shard."""
            told = [round(work, 1), round(seconds, 4), round(begun, 1)]
            self.stage["shards"].append(told)
            return super().after(work, seconds=seconds, begun=begun)

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(measuring, "TimeLeft", Recording),
    ):
        pool = euds.read(rows)
        euds.score(pool, scores, store=Store(Path(folder)), progress=SilentProgress(), **settings)
    return [one for one in stages if sum(seconds for _, seconds, _ in one["shards"]) > 1]


def main() -> None:
    """Record the stages, and say how far off the first announcement of each was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=400)
    parser.add_argument("--tweets", type=int, default=600)
    asked = parser.parse_args()
    kind = "AVX512-BF16" if resolve_precision() == "bfloat16" else "AVX2"
    with tempfile.TemporaryDirectory() as folder:
        articles, tweets = Path(folder) / "articles.jsonl", Path(folder) / "tweets.jsonl"
        datasets.write("bbc-news", articles, rows=asked.articles)
        datasets.write("tweets", tweets, rows=asked.tweets)
        stages = {
            "articles, token-entropies": recorded(articles, ["ge"])[0],
            "tweets, token-entropies": recorded(tweets, ["ge"])[0],
            "tweets, option-log-probs": recorded(tweets, ["se"], task="sentiment")[0],
        }
    for name, stage in stages.items():
        left = TimeLeft(stage["work"])
        total, gone = sum(seconds for _, seconds, _ in stage["shards"]), 0.0
        for work, seconds, begun in stage["shards"]:
            gone += seconds
            told = left.after(work, seconds=seconds, begun=begun)
            if told is not None:
                print(f"{name}: after {gone:.1f} of {total:.1f} s, {told:.1f} s were announced")
                break
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found[kind] = {"machine": describe_machine(), "stages": stages}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
