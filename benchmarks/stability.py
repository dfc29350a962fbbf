"""How much of a selection stays when what should not matter changes, on real pools.

    python benchmarks/stability.py [--pools bbc-news,tweets] [--folder DIR]

Keeps 16 % of each pool by several rules and selects again with other seeds, other samples of the
pool, other variants of an entropy, and from scores of the same texts cut after 64 tokens instead of
128. Scores are kept in the cache. Writes results/stability.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pools
from proofs import Step, load

import euds
from euds.files.environment import cache_dir
from euds.progress import TerminalProgress
from euds.scoring.vectors import vectors_of
from euds.selection.stability import stability

RESULTS = Path(__file__).parent / "results" / "stability.json"
RULES = ("auto", "auto-labels", "igse", "ie", "ge", "se", "ccs", "k-means", "length", "random")
KEEP = 0.16
SHORT_TOKENS = 64


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Return what stays of each rule's selection on one pool."""
    task = pools.POOLS[name].task
    pool, _ = load(Step(f"stability-{name}", name, RULES, (), {"task": task}), folder)
    progress = TerminalProgress()
    try:
        scores, shorter = (
            euds.score(pool, ["ie", "ge", "se"], task=task, progress=progress, **settings)
            for settings in ({}, {"max_tokens": SHORT_TOKENS})
        )
        vectors = vectors_of(pool.texts, progress=progress)
    finally:
        progress.close()
    found = {}
    for rule in RULES:
        chosen = euds.select(pool, scores, rule=rule, keep=KEEP, vectors=vectors)
        others = {f"{SHORT_TOKENS} tokens": shorter}
        told = stability(chosen, scores, others=others, vectors=vectors).to_dict()
        found[rule] = {part: told[part] for part in ("texts", "is_draw", "by_source")}
        print(name, rule, told["by_source"], flush=True)
    return {"rows": len(pool), "rules": found}


def main() -> None:
    """Measure every pool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", default="bbc-news,tweets")
    parser.add_argument("--folder", type=Path, default=cache_dir() / "benchmarks")
    arguments = parser.parse_args()
    found = {name: measure(name, arguments.folder) for name in arguments.pools.split(",")}
    told = {"keep": KEEP, "short_tokens": SHORT_TOKENS, "pools": found}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
