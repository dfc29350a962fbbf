"""The automatic rules against random rows, other rules, and the best window in hindsight.

    python benchmarks/automatic.py [--pools bbc-news,tweets] [--seeds 5] [--folder DIR]
                                   [--fine-tune]

On every pool of `pools.py` whose task a probe learns, keeping 5, 16 and 30 %: `euds prove` with a
logistic head on the frozen encoder compares `auto`, `auto-labels` and the usual rules with random
rows, and the automatic rules with each of the others. Then windows over each entropy, each pair and
IGSE are trained on; the best one on one half of the test rows is scored on the other half (and the
other way round), and what the automatic rules lose against it is their regret. Hindsight has seen
test labels: it is a yardstick, and no rule. DSIR needs texts to look like: it is given those of a
fifth of the pool, drawn by lot, since the test rows may choose nothing.

With --fine-tune three pools are fine-tuned on instead, keeping 16 %.

Scores and trainings are kept in the cache. Writes results/automatic/<pool>.json, and
results/automatic/fine-tuned-<pool>.json.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pools
from numpy.typing import NDArray
from proofs import EPOCHS, Step, load, run

from euds.pool.pool import Pool, Texts
from euds.progress import Ledger, SilentProgress, TerminalProgress
from euds.proof.experiment import Experiment
from euds.proof.pipeline import ProvenRules, prove_rules
from euds.proof.tasks import proof_task_named
from euds.proof.training.trained import TrainingStore
from euds.proof.training.trainers import TrainerOptions, trainer_named
from euds.proof.verdict import compare
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import vectors_of
from euds.selection.rules.ranks import spearman, tied_share
from euds.selection.rules.registry import rule_named
from euds.selection.rules.windows import Window, windows_over
from euds.selection.select import select
from euds.selection.selection import Selection

RESULTS = Path(__file__).parent / "results" / "automatic"
LEARNT = (
    *("bbc-news", "tweets", "privacy-qa", "machine-made"),
    *("near-duplicates", "noise", "imbalance"),
)
AUTOMATIC = ("auto", "auto-labels")
OTHERS = (
    *("igse", "length", "perplexity", "ccs", "k-means", "k-center"),
    *("dsir", "random-stratified", "bws", "ccs-el2n"),
)
FINE_TUNED = ("bbc-news", "tweets", "noise")
FINE_TUNED_RULES = (*AUTOMATIC, "igse", "k-means", "bws")
_FINE_TUNED_ROWS, _FINE_TUNED_TEST_ROWS = 1_500, 1_000
BOUNDS = ("low_points", "high_points")
SHARES = (0.05, 0.16, 0.3)
ENTROPIES = ("ie", "ge", "se")
PAIRS = tuple("+".join(pair) for pair in combinations(ENTROPIES, 2))
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
            target=target_of(pool),
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
        **against_others(proven, task, seeds),
        "dependence": dependence(proven.held.pool, proven.table),
    }


def fine_tune(name: str, folder: Path, seeds: int) -> dict[str, Any]:
    """Return what fine-tuning on 16 % of a pool gave."""
    task = pools.POOLS[name].task
    proving = {
        **{"task": task, "trainer": "fine-tune", "seeds": seeds},
        **{"epochs": EPOCHS, "max_tokens": 64},
    }
    rows = (_FINE_TUNED_ROWS, _FINE_TUNED_TEST_ROWS)
    step = Step(f"fine-tuned-{name}", name, FINE_TUNED_RULES, ("16%",), proving, *rows)
    found = run(step, folder)
    told = {key: found[key] for key in ("arms", "comparisons", "warnings")}
    for arm in told["arms"]:
        del arm["runs"]
    return {"pool": name, "task": task, "seeds": seeds, "metric": found["task"]["metric"], **told}


def target_of(pool: Pool) -> Texts:
    """Return the texts of a fifth of the pool."""
    part = np.random.default_rng(0).permutation(len(pool)) % 5 == 0
    return pool.take(part).texts


def against_others(proven: ProvenRules, task: str, seeds: int) -> dict[str, Any]:
    """Compare the automatic rules with each other rule and with hindsight, row by row."""
    pool, test, table = proven.held.pool, proven.held.test, proven.table
    vectors, target = vectors_of(pool.texts), target_of(pool)
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

    def chosen_by(
        rule: str,
        share: float,
        seed: int,
        *,
        interval: str | None = None,
        entropies: tuple[str, ...] = ENTROPIES,
    ) -> Selection:
        named = rule_named(rule)
        return select(
            pool,
            table,
            rule=rule,
            keep=share,
            interval=interval,
            entropies=entropies,
            seed=seed,
            vectors=vectors if "vectors" in named.takes else None,
            target=target if "target" in named.needs else None,
            near_duplicates="keep",
            guards=False,
        )

    def right(chosen: Selection) -> Floats:
        settings = {"inverse_regularisation": tuned[len(chosen)]["inverse_regularisation"]}
        outcome = experiment.course.run(
            experiment.rows_of(chosen.ids), experiment.test_rows, seed=0, settings=settings
        )
        return np.asarray(np.array(outcome.answers) == labels, dtype=np.float64)

    def inside(window: Window, share: float) -> Selection:
        names = ENTROPIES if window.score == "igse" else tuple(window.score.split("+"))
        return chosen_by(
            "igse" if len(names) > 1 else window.score,
            share,
            0,
            interval=f"{window.low:.4f}:{min(1.0, window.high):.4f}",
            entropies=names,
        )

    regrets, rivals, seconds = [], [], []
    for share in SHARES:
        windows = windows_over(["igse", *ENTROPIES, *PAIRS], share)
        hindsight = np.stack([right(inside(one, share)) for one in windows])
        rights = {}
        for rule in (*AUTOMATIC, *OTHERS, "random"):
            draws = range(seeds) if rule_named(rule).is_draw else [0] * seeds
            started = time.perf_counter()
            selections = [chosen_by(rule, share, seed) for seed in draws]
            seconds.append(
                {
                    "rule": rule,
                    "keep": share,
                    "seconds": (time.perf_counter() - started) / len(selections),
                }
            )
            rights[rule] = np.stack([right(one) for one in selections])
        regrets += [
            {"rule": rule, "keep": share, **regret(hindsight, rights[rule].mean(axis=0))}
            for rule in (*AUTOMATIC, "igse", "random")
        ]
        regrets[-1]["best_of_all_test_rows"] = str(windows[int(hindsight.mean(axis=1).argmax())])
        for rule in AUTOMATIC:
            for other in (*OTHERS, "random"):
                (one,) = compare(
                    {rule: rights[rule]}, rights[other], against=other, margin_points=1
                )
                told = one.to_dict()
                rivals.append(
                    {
                        "rule": rule,
                        "against": other,
                        "keep": share,
                        **{key: told[key] for key in ("difference_points", *BOUNDS)},
                    }
                )
    return {"regret": regrets, "rivals": rivals, "selecting": seconds}


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
    told = select(
        pool, table, rule="igse", keep=0.16, near_duplicates="keep", guards=False
    ).diagnosis["scores"]
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
    parser.add_argument("--pools", help=f"of {', '.join(LEARNT)}; comma separated")
    parser.add_argument("--fine-tune", action="store_true", help="fine-tune, on three pools")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("benchmark-pools"))
    asked = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if asked.fine_tune:
        for name in asked.pools.split(",") if asked.pools else FINE_TUNED:
            found = fine_tune(name, asked.folder, asked.seeds)
            path = RESULTS / f"fine-tuned-{name}.json"
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return
    for name in asked.pools.split(",") if asked.pools else LEARNT:
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
