"""The automatic rules against random rows, other rules, and the best window in hindsight.

    python benchmarks/automatic.py [--pools bbc-news,tweets] [--seeds 5] [--folder DIR]

On every pool of `pools.py` whose task a probe learns, keeping 5, 16 and 30 %: `euds prove` with a
logistic head on the frozen encoder compares `auto`, `auto-labels` and the usual rules with random
rows. Then windows over each entropy and IGSE are trained on; the best one on one half of the test
rows is scored on the other half (and the other way round), and what the automatic rules lose
against it is their regret. Hindsight has seen test labels: it is a yardstick, and no rule.

Scores and trainings are kept in the cache. Writes results/automatic/<pool>.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pools
from numpy.typing import NDArray
from proofs import Step, load

from euds.ledger import Ledger
from euds.pool import Pool
from euds.progress import SilentProgress
from euds.progress_bars import TerminalProgress
from euds.proof.experiment import Experiment
from euds.proof.pipeline import ProvenRules, prove_rules
from euds.proof.tasks import proof_task_named
from euds.proof.trained import TrainingStore
from euds.proof.trainers import TrainerOptions, trainer_named
from euds.scores import ScoreTable
from euds.selection.ranks import spearman, tied_share
from euds.selection.select import select
from euds.selection.windows import windows_over
from euds.vectors import Vectors, vectors_of

RESULTS = Path(__file__).parent / "results" / "automatic"
LEARNT = (
    *("bbc-news", "tweets", "privacy-qa", "machine-made"),
    *("near-duplicates", "noise", "imbalance"),
)
AUTOMATIC = ("auto", "auto-labels")
OTHERS = (
    *("igse", "length", "perplexity", "ccs", "k-means", "k-center"),
    *("random-stratified", "bws", "ccs-el2n"),
)
SHARES = (0.05, 0.16, 0.3)
ENTROPIES = ("ie", "ge", "se")
_REPEATS = 2000  # of the bootstrap

Floats = NDArray[np.float64]


def measure(name: str, folder: Path, seeds: int) -> dict[str, Any]:
    """Return what was found on one pool."""
    task = pools.POOLS[name].task
    proving = {"task": task, "trainer": "probe", "seeds": seeds}
    step = Step(f"automatic-{name}", name, (*AUTOMATIC, *OTHERS), (), proving)
    pool, test = load(step, folder)
    progress = TerminalProgress()
    try:
        proven = prove_rules(
            pool,
            test,
            rules=step.rules,
            keeps=[f"{share:.0%}" for share in SHARES],
            proving=proving,
            progress=progress,
            ledger=Ledger(),
        )
    finally:
        progress.close()
    results = proven.proof.results
    arms = [
        {key: arm[key] for key in ("name", "rule", "keep", "rows", "metrics", "seconds")}
        for arm in results["arms"]
    ]
    kept = {"pool": results["pool"]["rows"], "test": results["test"]["rows"]}
    return {
        "pool": name,
        "task": task,
        "rows": kept,
        "seeds": seeds,
        "metric": results["task"]["metric"],
        "warnings": results["warnings"],
        "arms": arms,
        "comparisons": results["comparisons"],
        "regret": regrets(proven, task, seeds),
        "dependence": dependence(proven.held.pool, proven.table),
    }


def regrets(proven: ProvenRules, task: str, seeds: int) -> list[dict[str, Any]]:
    """Return for each budget what the automatic rules lose against the best window in hindsight."""
    pool, test, table = proven.held.pool, proven.held.test, proven.table
    vectors = vectors_of(pool.texts)
    experiment = Experiment(
        proof_task_named(task),
        trainer_named("probe", TrainerOptions()),
        pool,
        test,
        range(seeds),
        "epochs",
        TrainingStore.default(),
        SilentProgress(),
    )
    labels = np.array(test.frame.sort("key", "id")["label"].to_list())
    tuned = {one["rows"]: one for one in proven.proof.results["settings"]["tuned"]}

    def right(rule: str, share: float, seed: int, interval: str, given: Vectors | None) -> Floats:
        chosen = select(
            pool,
            table,
            rule=rule,
            keep=share,
            interval=interval,
            seed=seed,
            vectors=given,
            near_duplicates="keep",
            guards=False,
        )
        settings = {"inverse_regularisation": tuned[len(chosen)]["inverse_regularisation"]}
        outcome = experiment.course.run(
            experiment.rows_of(chosen.ids), experiment.test_rows, seed=0, settings=settings
        )
        return np.asarray(np.array(outcome.answers) == labels, dtype=np.float64)

    found = []
    for share in SHARES:
        windows = windows_over(["igse", *ENTROPIES], share)
        hindsight = np.stack(
            [
                right(one.score, share, 0, f"{one.low:.4f}:{min(1.0, one.high):.4f}", None)
                for one in windows
            ]
        )
        for rule in (*AUTOMATIC, "igse", "random"):
            given = vectors if rule in AUTOMATIC else None
            draws = range(seeds if rule != "igse" else 1)
            started = time.perf_counter()
            ours = np.mean([right(rule, share, seed, "middle", given) for seed in draws], axis=0)
            seconds = (time.perf_counter() - started) / len(draws)
            found.append(
                {"rule": rule, "keep": share, **regret(hindsight, ours), "seconds": seconds}
            )
        best = int(hindsight.mean(axis=1).argmax())
        found[-1]["best_of_all_test_rows"] = str(windows[best])
    return found


def regret(windows: Floats, ours: Floats) -> dict[str, float]:
    """Return the regret in points, with a bootstrap interval over test rows.

    Parameters
    ----------
    windows : ndarray of float, shape (windows, test rows)
        Whether each test row is answered rightly after training in each window.
    ours : ndarray of float, shape (test rows,)
        How often it is after training on the rule's rows.
    """
    halves = np.random.default_rng(0).permutation(len(ours)) % 2
    difference = np.empty(len(ours))
    for half in (0, 1):
        best = windows[:, halves != half].mean(axis=1).argmax()
        difference[halves == half] = (windows[best] - ours)[halves == half]
    rng = np.random.default_rng(1)
    means = [
        100 * difference[rng.integers(len(ours), size=len(ours))].mean() for _ in range(_REPEATS)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"points": 100 * float(difference.mean()), "low": float(low), "high": float(high)}


def dependence(pool: Pool, table: ScoreTable) -> dict[str, dict[str, Any]]:
    """Return how ranks depend on length and on the model's answer, before and after, and ties."""
    told = select(pool, table, keep=0.16, near_duplicates="keep", guards=False).diagnosis["scores"]
    frame = table.frame
    return {
        name: {
            **{key: one[key] for key in one if key.startswith(("length_", "option_"))},
            "tied_share": tied_share(frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()),
            "spearman_with_words": spearman(
                frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                frame["words"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            ),
        }
        for name, one in told.items()
        if name in table.names
    }


def main() -> None:
    """Measure each pool and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", default=",".join(LEARNT))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-pools"))
    asked = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in asked.pools.split(","):
        found = measure(name, asked.folder, asked.seeds)
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        for one in found["regret"]:
            print(
                f"{name} {one['keep']:.0%} {one['rule']}: regret {one['points']:.2f} "
                f"[{one['low']:.2f}, {one['high']:.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
