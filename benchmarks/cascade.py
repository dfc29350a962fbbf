"""What a cascade keeps of what complete scores keep, and what it costs.

    python benchmarks/cascade.py [--pools "tweets;bbc-news"] [--rules igse,auto,se] [--seeds 3]
                                 [--folder DIR]

On the pools of `pools.py` whose task a probe learns, but the one that differs from tweets in its
labels only, which no cascade sees; and on tweets without a task, where answers are sampled.

Each pool is scored in full once (what the store holds is not measured again). Then a cascade
scores it anew at 10, 25 and 50 % of the questions, with several seeds for its sample: it finds its
answers in the store, and what they took to measure is what it costs. Its selection of 16 % is
compared with that from complete scores; so are one that leaves the last entropy out, and the share
that any two selections of that size have in common by chance. Predictions are compared with what
was left out: their order, and how many lie within the bar that was to hold 90 %.

The automatic rule takes seconds for each selection, so it is run with one seed; so is a pool whose
answers are sampled, since another seed would draw other answers.

Writes results/cascade.json; pools and rules that are not asked for stay as they are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pools
from automatic import LEARNT
from proofs import Step, load

from euds.pool.pool import Pool
from euds.progress import SilentProgress, TerminalProgress
from euds.reading import datasets, read
from euds.scoring.score import score
from euds.scoring.scores import PREDICTED, ScoreTable
from euds.scoring.vectors import Vectors, vectors_of
from euds.selection.cascade.cascade import Cascade, cascade
from euds.selection.rules.ranks import spearman
from euds.selection.select import select
from euds.selection.stability import expected_jaccard

RESULTS = Path(__file__).parent / "results" / "cascade.json"
SAMPLED = "tweets, sampled continuations"
POOLS: dict[str, str | None] = {
    **{name: pools.POOLS[name].task for name in LEARNT if name != "noise"},
    SAMPLED: None,
}
_SAMPLED_ROWS = 500
RULES = ("igse", "auto")
SHARES = (0.1, 0.25, 0.5)
KEEP = 0.16
ENTROPIES = ("ie", "ge", "se")


def pool_named(name: str, folder: Path) -> Pool:
    """Return the rows of a pool."""
    if name != SAMPLED:
        return load(Step(name, name, (), (), {}), folder)[0]
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "pool.jsonl"
        datasets.write("tweets", path, rows=_SAMPLED_ROWS)
        return read(path)


def kept_texts(pool: Pool, ids: list[str]) -> set[str]:
    """Return the keys of the texts kept."""
    return set(pool.frame.filter(pool.frame["id"].is_in(ids))["key"])


def likeness(kept: set[str], full: set[str]) -> dict[str, float]:
    """Return what two selections share: of the second, and as a Jaccard similarity."""
    return {
        "share_of_kept": len(kept & full) / len(full),
        "jaccard": len(kept & full) / len(kept | full),
    }


def predictions(found: Cascade, complete: ScoreTable) -> dict[str, dict[str, float | None]]:
    """Return how far what was predicted is from what was left out."""
    table = found.table.frame
    told = {}
    for name in found.results["measured"]:
        guessed = (table[f"{name}_source"] == PREDICTED).fill_null(value=False)
        own = table[name].filter(guessed).cast(float).to_numpy()
        true = complete.frame[name].filter(guessed).cast(float).to_numpy()
        bar = found.results["probe"][name]["bar"]
        told[name] = {
            "spearman": spearman(own, true),
            "within_bar": None
            if bar is None or not len(own)
            else float((np.abs(own - true) <= bar).mean()),
        }
    return told


def once(
    pool: Pool,
    complete: ScoreTable,
    full: set[str],
    vectors: Vectors,
    *,
    task: str | None,
    rule: str,
    share: float,
    seed: int,
) -> dict[str, Any]:
    """Return what one cascade gave."""
    found = cascade(
        pool,
        ENTROPIES,
        keep=KEEP,
        rule=rule,
        share=share,
        seed=seed,
        vectors=vectors,
        progress=SilentProgress(),
        **({} if task is None else {"task": task}),
    )
    # The seed also decides ties and draws: what complete scores keep with the same one.
    if seed:
        again = select(pool, complete, keep=KEEP, rule=rule, vectors=vectors, seed=seed)
        full = kept_texts(pool, again.ids)
    results = found.results
    return {
        "seed": seed,
        **likeness(kept_texts(pool, found.selection.ids), full),
        "expected": results["overlap"]["expected"],
        "sample": results["sample"],
        "measured": results["measured"],
        "undecided": results["undecided"],
        "predictions": predictions(found, complete),
        "seconds": results["seconds"],
    }


def of_pool(name: str, rules: list[str], seeds: int, folder: Path) -> dict[str, Any]:
    """Return what cascades gave on one pool."""
    task = POOLS[name]
    pool = pool_named(name, folder)
    progress = TerminalProgress()
    settings = {} if task is None else {"task": task}
    try:
        complete = score(pool, ENTROPIES, progress=progress, **settings)
        vectors = vectors_of(pool.texts, progress=progress)
    finally:
        progress.close()
    spent = complete.provenance["spent_seconds"]
    texts = len(pool.texts)
    found: dict[str, Any] = {
        "texts": texts,
        "task": task,
        "full_seconds": spent["ge"] + spent["se"],
        "seconds": spent,
        "vector_seconds": vectors.seconds,
        "rules": {},
    }
    for rule in rules:
        chosen = select(pool, complete, keep=KEEP, rule=rule, vectors=vectors)
        full = kept_texts(pool, chosen.ids)
        kept = len(full)
        told: dict[str, Any] = {
            "by_chance": {
                "share_of_kept": kept / texts,
                "jaccard": expected_jaccard(kept, kept, texts),
            },
            "shares": {},
        }
        if rule in ("igse", "auto"):
            without = select(
                pool, complete, keep=KEEP, rule=rule, vectors=vectors, entropies=ENTROPIES[:2]
            )
            told["without_se"] = likeness(kept_texts(pool, without.ids), full)
        for share in SHARES:
            told["shares"][str(share)] = [
                once(
                    *(pool, complete, full, vectors),
                    task=task,
                    rule=rule,
                    share=share,
                    seed=seed,
                )
                for seed in range(1 if rule == "auto" or task is None else seeds)
            ]
            shown = [round(one["share_of_kept"], 3) for one in told["shares"][str(share)]]
            print(f"{name}: {rule} at {share:.0%} of the questions keeps {shown}", flush=True)
        found["rules"][rule] = told
    return found


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", default=None, help="semicolons between")
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-pools"))
    given = parser.parse_args()
    results: dict[str, Any] = {"keep": KEEP, "pools": {}}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text("utf-8"))
    for name in given.pools.split(";") if given.pools else POOLS:
        found = of_pool(name, given.rules.split(","), given.seeds, given.folder)
        held = results["pools"].get(name, {"rules": {}})
        found["rules"] = {**held["rules"], **found["rules"]}
        results["pools"] = {
            one: found if one == name else results["pools"][one]
            for one in POOLS
            if one == name or one in results["pools"]
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
