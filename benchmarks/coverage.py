"""How often the intervals of `euds.proof.statistics` hold the truth, and how often verdicts err.

    python benchmarks/coverage.py [--quick]

Made-up proofs whose truth is known. Each of two arms answers every test row rightly if a normal
number is above 0; it is the sum of a part that the arms share (how hard the row is), one of the arm
(what its subset taught it), one of the single answer, and the seed's luck. Accuracy is 90 % for the
reference and 89, 90 or 91 % for the arm; the seed's luck is scaled so that an arm's own accuracy
has the wanted standard deviation over seeds. The three truths share their random numbers.

Five intervals are compared: the one of `euds`, Satterthwaite's on the same mean squares, t over the
means of the seeds, t over test rows averaged over seeds, and the bootstrap of seeds and of test
rows (percentiles; the same rows are drawn for all seeds). Writes results/coverage.json, the same
bytes for the same --seed and versions.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from euds.proof.statistics import Estimate, difference_of, mean_of
from euds.proof.verdict import decide

RESULTS = Path(__file__).parent / "results" / "coverage.json"

SEEDS = (3, 5, 10)
SPREADS = (0.0, 0.3, 1.0, 2.0)
ROWS = (200, 1_000, 5_000)
TRUTHS = (-1.0, 0.0, 1.0)

ACCURACY = 0.90
MARGIN_POINTS = 1.0
SHARED, OF_ARM, OF_ANSWER = 0.75, 0.10, 0.15
"""Variances of the parts of the normal number but for the seed's luck; they add up to 1."""

KINDS = ("euds", "satterthwaite", "over seeds", "over rows", "bootstrap", "one arm")
RESAMPLES = 500
BAND = (0.93, 0.97)

Floats = NDArray[np.float64]


@functools.cache
def luck(accuracy: float, spread: float) -> float:
    """Return the sd of the seed's luck that gives accuracies of this sd over seeds."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def surplus(sd: float) -> float:
        accuracies = ndtr(threshold(accuracy, sd) + sd * nodes)
        return math.sqrt(weights @ (accuracies - accuracy) ** 2) - spread

    return float(brentq(surplus, 1e-9, 2)) if spread else 0.0


def threshold(accuracy: float, sd: float) -> float:
    """Return the mean of a normal number of variance 1 + sd**2 that is above 0 so often."""
    return float(ndtri(accuracy)) * math.sqrt(1 + sd**2)


def proofs(
    rng: np.random.Generator, number: int, seeds: int, rows: int, *, spread: float
) -> tuple[dict[float, NDArray[np.bool_]], NDArray[np.bool_]]:
    """Return right and wrong answers (proofs, seeds, rows): by truth of the arm, of the reference.

    Parameters
    ----------
    spread : float
        Standard deviation over seeds of one arm's accuracy, in points.
    """
    shape = (number, seeds, rows)

    def normal(*size: int, variance: float) -> NDArray[np.float32]:
        return rng.standard_normal(size, np.float32) * np.float32(math.sqrt(variance))

    shared = normal(number, 1, rows, variance=SHARED)
    parts = [
        shared + normal(number, 1, rows, variance=OF_ARM) + normal(*shape, variance=OF_ANSWER)
        for _ in range(2)
    ]
    lucks = [normal(number, seeds, 1, variance=1) for _ in range(2)]

    def answers(arm: int, accuracy: float) -> NDArray[np.bool_]:
        sd = luck(accuracy, spread / 100)
        return np.asarray(parts[arm] > -(lucks[arm] * sd + threshold(accuracy, sd)))

    arms = {truth: answers(0, ACCURACY + truth / 100) for truth in TRUTHS}
    return arms, answers(1, ACCURACY)


def over_seeds(differences: Floats) -> tuple[float, float]:
    """Return the plain t interval over the means of the seeds."""
    return t_interval(differences.mean(axis=1))


def over_rows(differences: Floats) -> tuple[float, float]:
    """Return the plain t interval over the test rows, averaged over the seeds."""
    return t_interval(differences.mean(axis=0))


def satterthwaite(estimate: Estimate) -> tuple[float, float]:
    """Return the interval with one t quantile, of degrees that match two moments of the variance.

    Nor is its variance ever less than what rows or residual alone imply.
    """
    parts = estimate.mean_squares
    seeds, items = parts.seeds, parts.items
    variance = max(parts.seed, parts.residual) + max(parts.item - parts.residual, 0)
    doubt = (
        parts.seed**2 / (seeds - 1)
        + parts.item**2 / (items - 1)
        + parts.residual**2 / ((seeds - 1) * (items - 1))
    )
    half = stdtrit(variance**2 / doubt, 0.975) * math.sqrt(variance / (seeds * items))
    return estimate.mean - half, estimate.mean + half


def t_interval(values: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent values."""
    half = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - half, values.mean() + half


class Bootstrap:
    """The 95 % percentile interval over resampled seeds and resampled test rows.

    How often a seed or row is drawn does not depend on the data, so that one set of draws serves
    all proofs of one size.
    """

    def __init__(self, rng: np.random.Generator, seeds: int, rows: int) -> None:
        self.of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
        draws = rng.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES) / rows
        self.of_rows = draws.astype(np.float32)

    def __call__(self, differences: Floats) -> tuple[float, float]:
        """Return the interval of one proof's differences (seeds, rows)."""
        by_seed = self.of_rows @ differences.T.astype(np.float32)
        low, high = np.quantile((by_seed * self.of_seeds).sum(axis=1), (0.025, 0.975))
        return float(low), float(high)


class Tally:
    """What is counted about one kind of interval in one cell."""

    def __init__(self) -> None:
        self.held = self.number = 0
        self.width = 0.0

    def add(self, interval: tuple[float, float], truth: float) -> None:
        """Count an interval; ``truth`` in the same unit."""
        self.number += 1
        low, high = interval
        self.held += bool(low <= truth <= high)
        self.width += float(high - low)

    def result(self) -> dict[str, float]:
        """Return coverage and mean width in points."""
        return {
            "coverage": round(self.held / self.number, 4),
            "mean_width_points": round(100 * self.width / self.number, 2),
        }


def simulate(
    rng: np.random.Generator, seeds: int, rows: int, spread: float, *, number: int
) -> list[dict[str, object]]:
    """Return one cell for each truth.

    The bootstrap, and the interval of a single arm, are tried where the truth is 0 only.
    """
    tallies = {truth: {kind: Tally() for kind in KINDS} for truth in TRUTHS}
    decisions: dict[float, Counter[str]] = {truth: Counter() for truth in TRUTHS}
    detectable = dict.fromkeys(TRUTHS, 0.0)
    disagreement = 0.0
    bootstrap = Bootstrap(rng, seeds, rows)
    batch = max(1, 200_000 // (seeds * rows))
    for start in range(0, number, batch):
        size = min(batch, number - start)
        arms, references = proofs(rng, size, seeds, rows, spread=spread)
        for truth, one in itertools.product(TRUTHS, range(size)):
            arm, reference = arms[truth][one], references[one]
            estimate: Estimate = difference_of(arm, reference)
            low, high = estimate.interval()
            decisions[truth][decide(low, high, MARGIN_POINTS / 100)] += 1
            detectable[truth] += estimate.smallest_detectable()
            tally, true = tallies[truth], truth / 100
            tally["euds"].add((low, high), true)
            tally["satterthwaite"].add(satterthwaite(estimate), true)
            differences = arm.astype(np.float64) - reference
            tally["over seeds"].add(over_seeds(differences), true)
            tally["over rows"].add(over_rows(differences), true)
            if truth == 0:
                disagreement += float(np.mean(arm != reference))
                tally["one arm"].add(mean_of(arm).interval(), ACCURACY)
                if 2 * (start + one) < number:  # slow: half as many
                    tally["bootstrap"].add(bootstrap(differences), true)
    return [
        {
            "seeds": seeds,
            "spread_points": spread,
            "test_rows": rows,
            "true_points": truth,
            "intervals": {kind: one.result() for kind, one in tallies[truth].items() if one.number},
            "decisions": {
                name: round(decisions[truth][name] / number, 4)
                for name in ("better", "as good", "worse", "cannot tell")
            },
            "smallest_detectable_points": round(100 * detectable[truth] / number, 2),
            **({"disagreeing": round(disagreement / number, 4)} if truth == 0 else {}),
        }
        for truth in TRUTHS
    ]


def summary(cells: list[dict]) -> dict[str, object]:
    """Return what the document quotes."""

    def outside(kind: str) -> list[dict[str, float]]:
        return [
            {name: cell[name] for name in ("seeds", "spread_points", "test_rows", "true_points")}
            | {"coverage": cell["intervals"][kind]["coverage"]}
            for cell in cells
            if kind in cell["intervals"]
            and not BAND[0] <= cell["intervals"][kind]["coverage"] <= BAND[1]
        ]

    def coverages(kind: str) -> list[float]:
        return [c["intervals"][kind]["coverage"] for c in cells if kind in c["intervals"]]

    def errors(decision: str, is_wrong: dict[float, bool]) -> dict[str, float]:
        rates = [c["decisions"][decision] for c in cells if is_wrong[c["true_points"]]]
        return {"mean": round(float(np.mean(rates)), 4), "highest": max(rates)}

    return {
        "kinds": {
            kind: {
                "cells": len(coverages(kind)),
                "lowest": min(coverages(kind)),
                "highest": max(coverages(kind)),
                "below_band": sum(one < BAND[0] for one in coverages(kind)),
                "above_band": sum(one > BAND[1] for one in coverages(kind)),
            }
            for kind in KINDS
        },
        "outside_band": {kind: outside(kind) for kind in ("euds", "satterthwaite", "one arm")},
        "errors": {
            "better, truth 0 or -1": errors("better", {-1: True, 0: True, 1: False}),
            "as good, truth -1 (the margin)": errors("as good", {-1: True, 0: False, 1: False}),
            "worse, truth 0 or +1": errors("worse", {-1: False, 0: True, 1: True}),
        },
    }


def main() -> None:
    """Simulate, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proofs", type=int, default=2_000, help="made-up proofs a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="50 proofs a cell; nothing is kept")
    options = parser.parse_args()
    number = 50 if options.quick else options.proofs
    started = time.perf_counter()
    cells: list[dict[str, object]] = []
    for index, (seeds, spread, rows) in enumerate(itertools.product(SEEDS, SPREADS, ROWS)):
        # A stream for each cell, so that a cell does not depend on those before it.
        rng = np.random.default_rng((options.seed, index))
        cells += simulate(rng, seeds, rows, spread, number=number)
    result = {
        "proofs": number,
        "seed": options.seed,
        "accuracy": ACCURACY,
        "margin_points": MARGIN_POINTS,
        "confidence": 0.95,
        "band": BAND,
        "summary": summary(cells),
        "cells": cells,
    }
    print(json.dumps(result["summary"], indent=2))
    print(f"{time.perf_counter() - started:.0f} seconds")
    if not options.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
