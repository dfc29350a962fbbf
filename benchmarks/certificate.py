"""How often `euds certify` lets a subset pass that is worse than random rows, and one that is not.

    python benchmarks/certificate.py [--quick]

Made-up pools whose truth is known. Two arms answer every validation row with every seed: the
subset, and random rows that are drawn anew for each seed. An answer is right if a normal number is
above 0; it is the sum of a part that the arms share (how hard the row is), one of the arm, one of
the single training, and the luck of the seed or draw, scaled so that an arm's accuracy has the
wanted standard deviation over seeds. A probe has no seed: the subset then answers alike under all,
and only the draws have luck. Random rows reach 90 %; the subset exactly a margin of one point less,
where letting it pass is an error, or so much more that it should pass. The truths of a cell share
their random numbers.

Writes results/certificate.json, the same bytes for the same --seed and versions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from coverage import ACCURACY, OF_ANSWER, OF_ARM, SHARED, luck, threshold
from numpy.typing import NDArray
from scipy.stats import binomtest

from euds.proof.certify import ALPHA, non_inferiority

RESULTS = Path(__file__).parent / "results" / "certificate.json"

TRAINERS = ("probe", "fine-tune")
SEEDS = (3, 5, 10, 20)
SPREADS = (0.0, 0.3, 1.0, 2.0)
ROWS = (200, 500, 1_000, 2_000)
ALPHAS = (0.01, 0.05, 0.10)
MARGIN_POINTS = 1.0
BOUNDARY = -MARGIN_POINTS
EFFECTS = (-0.5, 0.0, 0.5, 1.0, 2.0)
POWER_SEEDS = 5
"""The seeds that the effects are tried with."""

Bools = NDArray[np.bool_]


def answers(
    rng: np.random.Generator,
    number: int,
    seeds: int,
    rows: int,
    *,
    spread: float,
    trainer: str,
    truths: tuple[float, ...],
) -> tuple[dict[float, Bools], Bools]:
    """Return right and wrong answers (pools, seeds, rows): by truth of the subset, of the draws.

    Parameters
    ----------
    spread : float
        Standard deviation over seeds of an arm's accuracy, in points.
    trainer : {"probe", "fine-tune"}
        Whether the subset's trainings are all the same.
    truths : tuple of float
        The subset's accuracy minus that of the draws, in points.
    """

    def normal(*size: int, variance: float) -> NDArray[np.float32]:
        return rng.standard_normal(size, np.float32) * np.float32(math.sqrt(variance))

    shared = normal(number, 1, rows, variance=SHARED)
    trainings = {"draws": seeds, "subset": 1 if trainer == "probe" else seeds}
    parts = {
        arm: shared
        + normal(number, 1, rows, variance=OF_ARM)
        + normal(number, distinct, rows, variance=OF_ANSWER)
        for arm, distinct in trainings.items()
    }
    lucks = {arm: normal(number, distinct, 1, variance=1) for arm, distinct in trainings.items()}

    def right(arm: str, accuracy: float, *, has_luck: bool) -> Bools:
        sd = luck(accuracy, spread / 100) if has_luck else 0.0
        found = parts[arm] > -(lucks[arm] * sd + threshold(accuracy, sd))
        return np.broadcast_to(found, (number, seeds, rows))

    subset = {
        truth: right("subset", ACCURACY + truth / 100, has_luck=trainer != "probe")
        for truth in truths
    }
    return subset, right("draws", ACCURACY, has_luck=True)


def simulate(
    rng: np.random.Generator,
    seeds: int,
    rows: int,
    *,
    spread: float,
    trainer: str,
    truths: tuple[float, ...],
    number: int,
    alphas: tuple[float, ...] = (ALPHA,),
) -> dict[tuple[float, float], int]:
    """Return how many of so many pools are certified, by truth and level."""
    certified = dict.fromkeys(itertools.product(truths, alphas), 0)
    batch = max(1, 400_000 // (seeds * rows))
    for start in range(0, number, batch):
        size = min(batch, number - start)
        subsets, draws = answers(
            rng, size, seeds, rows, spread=spread, trainer=trainer, truths=truths
        )
        for truth, one in itertools.product(truths, range(size)):
            found = non_inferiority(subsets[truth][one], draws[one], margin=MARGIN_POINTS / 100)
            for alpha in alphas:
                certified[truth, alpha] += replace(found, alpha=alpha).is_certified
    return certified


def rate(certified: int, number: int) -> dict[str, float]:
    """Return a rate with its 95 % interval (Clopper and Pearson 1934, *Biometrika* 26:404)."""
    interval = binomtest(certified, number).proportion_ci(0.95, method="exact")
    return {
        "rate": round(certified / number, 4),
        "low": round(float(interval.low), 4),
        "high": round(float(interval.high), 4),
    }


def summary(cells: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """Return what the document quotes."""
    found = {}
    for alpha in ALPHAS:
        wrong = [one for one in cells if (one["true_points"], one["alpha"]) == (BOUNDARY, alpha)]
        found[str(alpha)] = {
            "cells": len(wrong),
            "pooled": rate(sum(cell["certified"] for cell in wrong), number * len(wrong)),
            "highest": max(wrong, key=lambda cell: cell["rate"]),
            "above_alpha": sum(cell["rate"] > alpha for cell in wrong),
            "surely_above_alpha": sum(cell["low"] > alpha for cell in wrong),
        }
    return found


def main() -> None:
    """Simulate, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", type=int, default=2_000, help="made-up pools a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="50 pools a cell; nothing is kept")
    options = parser.parse_args()
    number = 50 if options.quick else options.pools
    started = time.perf_counter()
    cells: list[dict[str, Any]] = []
    grid = itertools.product(TRAINERS, SEEDS, SPREADS, ROWS)
    for index, (trainer, seeds, spread, rows) in enumerate(grid):
        # A stream for each cell, so that a cell does not depend on those before it.
        rng = np.random.default_rng((options.seed, index))
        truths = (BOUNDARY, *(EFFECTS if seeds == POWER_SEEDS else ()))
        counts = simulate(
            *(rng, seeds, rows),
            spread=spread,
            trainer=trainer,
            truths=truths,
            number=number,
            alphas=ALPHAS,
        )
        cells += [
            {
                "trainer": trainer,
                "seeds": seeds,
                "spread_points": spread,
                "rows": rows,
                "true_points": truth,
                "alpha": alpha,
                "certified": certified,
                **rate(certified, number),
            }
            for (truth, alpha), certified in counts.items()
        ]
    result = {
        "pools": number,
        "seed": options.seed,
        "alphas": ALPHAS,
        "margin_points": MARGIN_POINTS,
        "accuracy": ACCURACY,
        "power_seeds": POWER_SEEDS,
        "summary": summary(cells, number),
        "cells": cells,
    }
    print(json.dumps(result["summary"], indent=2))
    print(f"{time.perf_counter() - started:.0f} seconds")
    if not options.quick:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
