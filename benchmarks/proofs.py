"""The protocol of `euds prove` on real data and on pools where selecting should help if anywhere.

    python benchmarks/proofs.py [--tier 1|2] [--pools bbc-news,tweets] [--seeds 10] [--folder DIR]

Tier 1 probes: every pool, keeping 5, 16, 30 and 50 %, all rules, ten seeds, a logistic head on the
frozen encoder. Tier 2 fine-tunes: one pool for each kind of task, keeping 16 %, the arms full,
random, length and igse, five seeds, equal epochs; equal steps on one of them.

What it will take is measured and said first. Scores and trainings are kept in the cache, so the
same command goes on after an interruption. Writes results/proofs/<step>.json, a file a step; the
page in docs/ is made from them by proofs_page.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pools

from euds.models import load_language_model
from euds.models.sources import resolve
from euds.pool.pool import Pool
from euds.progress import Ledger, SilentProgress, TerminalProgress, format_seconds
from euds.proof.experiment import samples_of
from euds.proof.pipeline import prove_rules
from euds.proof.tasks import proof_task_named
from euds.proof.training.trainers import TrainerOptions, trainer_named
from euds.reading import read

RESULTS = Path(__file__).parent / "results" / "proofs"
ENTROPIES = ("igse", "igse-and", "igse-dist", "ie", "ie_plugin", "ge", "se")
BASELINES = ("length", "perplexity", "k-means", "k-center")
LABEL_AWARE = ("random-stratified", "el2n")
KEEPS = ("5%", "16%", "30%", "50%")
EPOCHS = 3
_SAMPLE = 16  # rows that the language model is timed on


@dataclass(frozen=True)
class Step:
    """One proof of the benchmark.

    Parameters
    ----------
    name : str
        The name of its file.
    pool : str
        The pool.
    rules, keeps : tuple of str
        What is proven, at which budgets.
    proving : dict
        The settings of the proof.
    most_pool_rows, most_test_rows : int or None
        The pool and the test set are cut to so many rows, in the order of a hash.
    """

    name: str
    pool: str
    rules: tuple[str, ...]
    keeps: tuple[str, ...]
    proving: dict[str, Any]
    most_pool_rows: int | None = None
    most_test_rows: int | None = None


def steps(seeds: dict[int, int]) -> list[Step]:
    """Return all steps; ``seeds`` says how many by tier."""
    found = []
    for name, pool in pools.POOLS.items():
        closed = proof_task_named(pool.task).kind == "class"
        rules = (*ENTROPIES, *BASELINES, *(LABEL_AWARE if closed else ()))
        proving = {"task": pool.task, "trainer": "probe", "seeds": seeds[1]}
        found.append(Step(f"1-probe-{name}", name, rules, KEEPS, proving))
    for name, regime, tokens, rows in (
        ("privacy-qa", "epochs", 64, 1500),
        ("bbc-news", "epochs", 64, 1000),
        ("tweets", "epochs", 48, 1000),
        ("tweets", "steps", 48, 500),
    ):
        proving = {
            "task": pools.POOLS[name].task,
            "trainer": "fine-tune",
            "seeds": seeds[2],
            "regime": regime,
            "epochs": EPOCHS,
            "max_tokens": tokens,
        }
        step = f"2-fine-tune-{name}-{regime}"
        found.append(Step(step, name, ("igse", "length"), ("16%",), proving, rows, 1000))
    return found


def cut(pool: Pool, rows: int | None) -> Pool:
    """Return the rows of the smallest keys."""
    if rows is None or len(pool) <= rows:
        return pool
    last = pool.frame["key"].sort()[rows - 1]
    return pool.take(pool.frame["key"] <= last)


def load(step: Step, folder: Path) -> tuple[Pool, Pool]:
    """Make the pool's files if they are not there, and read them."""
    files = [folder / step.pool / name for name in ("pool.jsonl", "test.jsonl")]
    if not all(file.exists() for file in files):
        pools.write(step.pool, folder / step.pool)
    pool, test = (read(str(file)) for file in files)
    return cut(pool, step.most_pool_rows), cut(test, step.most_test_rows)


def run(step: Step, folder: Path) -> dict[str, Any]:
    """Make one step and return its results, without what can be told from the rest."""
    pool, test = load(step, folder)
    progress = TerminalProgress()
    ledger = Ledger()
    try:
        proven = prove_rules(
            pool,
            test,
            rules=step.rules,
            keeps=step.keeps,
            proving=step.proving,
            progress=progress,
            ledger=ledger,
        )
    finally:
        progress.close()
    results = proven.proof.results
    for arm in results["arms"]:
        arm["runs"] = [{"seed": one["seed"], "points": one["points"]} for one in arm["runs"]]
    return {"step": step.name, "benchmark_pool": step.pool, **results}


def estimates(planned: Sequence[Step], folder: Path) -> Iterator[tuple[Step, float]]:
    """Yield a rough time in seconds for each step, from rates measured now.

    Scores that the store holds already and trainings made earlier are counted as if they were not
    there: it is the time of a first run.
    """
    model = load_language_model(resolve("smollm2-135m"))
    scored: set[str] = set()
    for step in planned:
        pool, test = load(step, folder)
        rng = np.random.default_rng(0)
        sample = pool.take(np.isin(np.arange(len(pool)), rng.permutation(len(pool))[:_SAMPLE]))
        seconds = 0.0
        if step.pool not in scored:  # generative and semantic entropy read every text once
            scored.add(step.pool)
            started = time.perf_counter()
            model.token_statistics(
                sample.frame["text"].to_list(),
                sample.frame["context"].to_list(),
                max_tokens=128,
                max_context_tokens=256,
            )
            a_pass = (time.perf_counter() - started) / len(sample) * len(pool)
            sampled = 10 if step.proving["task"] == "answer" else 1
            seconds += a_pass * (1 + sampled)
        if step.proving["trainer"] == "fine-tune":
            seconds += _fine_tuning_seconds(step, pool, test)
        yield step, seconds


def _fine_tuning_seconds(step: Step, pool: Pool, test: Pool) -> float:
    options = TrainerOptions(epochs=EPOCHS, max_tokens=step.proving["max_tokens"])
    trainer = trainer_named("fine-tune", options)
    samples = samples_of(pool, test)
    course = trainer.load(proof_task_named(step.proving["task"]), samples, SilentProgress())
    rows = np.arange(min(64, len(pool)))
    for _ in range(2):
        pilot = course.run(rows, rows, seed=0, settings=trainer.grid[0], steps=8)
    full = trainer.steps_of(len(pool)) or 0
    part = full if step.proving["regime"] == "steps" else round(0.16 * full)
    arms = 2 + len(step.rules)
    trained = step.proving["seeds"] * (full + (arms - 1) * part) + len(trainer.grid) * part
    answered = step.proving["seeds"] * arms * len(test)
    return (
        trained * pilot.training_seconds / pilot.steps
        + answered * pilot.answering_seconds / len(rows)
    )


def main() -> None:
    """Say the hours, then make every step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tier", type=int, choices=(1, 2), help="only this tier")
    parser.add_argument("--pools", help="only these, comma separated")
    parser.add_argument("--seeds", type=int, help="instead of 10 (tier 1) and 5 (tier 2)")
    parser.add_argument("--folder", type=Path, default=Path("benchmark-pools"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    seeds = {1: given.seeds or 10, 2: given.seeds or 5}
    chosen = set(given.pools.split(",")) if given.pools else set(pools.POOLS)
    planned = [
        step
        for step in steps(seeds)
        if step.pool in chosen and (given.tier is None or step.name.startswith(str(given.tier)))
    ]
    total = 0.0
    print("A first run takes about (probes and selecting take a few minutes more a pool):")
    for step, seconds in estimates(planned, given.folder):
        total += seconds
        print(f"  {step.name:34} {format_seconds(seconds)}", flush=True)
    print(f"  {'together':34} {format_seconds(total)}", flush=True)
    given.results.mkdir(parents=True, exist_ok=True)
    for step in planned:
        started = time.perf_counter()
        results = run(step, given.folder)
        path = given.results / f"{step.name}.json"
        path.write_text(json.dumps(results, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{step.name}: {format_seconds(time.perf_counter() - started)}", flush=True)
        for line in results["headline"]:
            print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
