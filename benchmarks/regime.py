"""Whether `euds pilot` tells scarce, abundant and saturated pools apart, where the truth is known.

    python benchmarks/regime.py [--quick]

A teacher, a direction in d dimensions, labels rows drawn from a normal distribution; with noise,
rows close to its boundary get the other label half of the time. A student that knows the direction
roughly (cosine 0.9) tells how easy a row is: its distance from the boundary as the student sees it.
Of pools of 6 to 400 rows a dimension 16 % are kept: the easiest, the middle, the hardest, random
ones. Each is trained on by the probe of `euds prove`, at one regularisation, and asked about 4,000
new rows without noise. This is the setting of Sorscher et al. 2022 (arXiv 2206.14486).

The pilot sees the pool's labels alone. Easy rows are better than random ones where rows are scarce,
and worse where they are abundant. Writes results/regime.json, the same bytes for the same --seed
and versions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euds.proof.planning.learning_curve import measure_curve
from euds.proof.planning.pilot import STEEP, regime_of
from euds.proof.training.probing import ClassProbe
from euds.proof.training.protocol import REGULARISATION

RESULTS = Path(__file__).parent / "results" / "regime.json"

DIMENSIONS = (20, 50)
ROWS_A_DIMENSION = (6, 10, 20, 50, 100, 200, 400)
NOISES = (0.0, 0.5)
MOST_ROWS = 8_000
KEEP = 0.16
TEST_ROWS = 4_000
COSINE = 0.9
NOISE_WIDTH = 0.25
GRID = tuple({REGULARISATION: weight} for weight in (0.1, 0.5, 2.0, 10.0, 50.0, 300.0))
STUDENT = {REGULARISATION: 2.0}
MARGIN_POINTS = 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Teaching:
    """A pool labelled by a teacher, with test rows behind it."""

    features: NDArray[np.float32]
    labels: NDArray[np.str_]
    easiness: Floats
    rows: int

    @property
    def budget(self) -> int:
        """The rows to keep."""
        return round(KEEP * self.rows)

    def pilot(self, *, draws: int = 5, seed: int = 0) -> dict[str, Any]:
        """Return what the pilot says of the pool."""
        labels = self.labels[: self.rows].tolist()
        course = ClassProbe(self.features[: self.rows], tuple(labels), 0.0)
        sizes = (self.budget // 2, self.budget, 2 * self.budget)
        curve = measure_curve(course, labels, sizes, grid=GRID, draws=draws, seed=seed)
        return regime_of(curve, budget=self.budget, margin_points=MARGIN_POINTS, source="labels")

    def accuracies(self, rng: np.random.Generator) -> dict[str, float]:
        """Return the accuracy on the test rows, in points, of each way to keep rows."""
        course = ClassProbe(self.features, tuple(self.labels.tolist()), 0.0)
        easiest_first = np.argsort(-self.easiness[: self.rows])
        middle = (self.rows - self.budget) // 2
        kept = {
            "easiest": easiest_first[: self.budget],
            "middle": easiest_first[middle : middle + self.budget],
            "hardest": easiest_first[-self.budget :],
            "random": rng.permutation(self.rows)[: self.budget],
        }
        ask = np.arange(self.rows, len(self.labels))
        return {
            name: 100
            * float(
                np.mean(
                    np.array(course.run(np.sort(fit), ask, seed=0, settings=STUDENT).answers)
                    == self.labels[ask]
                )
            )
            for name, fit in kept.items()
        }


def teach(rng: np.random.Generator, rows: int, dimensions: int, *, noise: float) -> Teaching:
    """Draw a pool; ``noise`` is the chance of a wrong label right at the boundary."""
    features = rng.standard_normal((rows + TEST_ROWS, dimensions)).astype(np.float32)
    distance = features[:, 0].astype(np.float64)  # the teacher's direction is the first axis
    wrong = rng.random(len(distance)) < noise * np.exp(-np.abs(distance) / NOISE_WIDTH)
    wrong[rows:] = False
    labels = np.where((distance > 0) ^ wrong, "above", "below")
    seen = COSINE * distance + np.sqrt(1 - COSINE**2) * features[:, 1]
    return Teaching(features, labels, np.abs(seen), rows)


def main() -> None:
    """Simulate, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", type=int, default=20, help="pools a cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="2 pools a cell; nothing is kept")
    options = parser.parse_args()
    number = 2 if options.quick else options.pools
    started = time.perf_counter()
    cells: list[dict[str, Any]] = []
    grid = list(itertools.product(DIMENSIONS, ROWS_A_DIMENSION, NOISES))
    for index, (dimensions, ratio, noise) in enumerate(grid):
        if dimensions * ratio > MOST_ROWS:
            continue
        found, reached = [], []
        for pool in range(number):
            # A stream for each pool, so that it does not depend on those before it.
            rng = np.random.default_rng((options.seed, index, pool))
            teaching = teach(rng, dimensions * ratio, dimensions, noise=noise)
            found.append(teaching.pilot(seed=pool))
            reached.append(teaching.accuracies(rng))
        cells.append(
            {
                "dimensions": dimensions,
                "rows_a_dimension": ratio,
                "noise": noise,
                "regimes": dict(sorted(Counter(one["regime"] for one in found).items())),
                "can_help": dict(sorted(Counter(one["can_help"] for one in found).items())),
                "gain_points": round(float(np.mean([one["gain_points"] for one in found])), 2),
                "gain_of_learnt": round(
                    float(np.mean([one["gain_of_learnt"] for one in found])), 3
                ),
                "points": {
                    name: round(float(np.mean([one[name] for one in reached])), 2)
                    for name in reached[0]
                },
            }
        )
        print(json.dumps(cells[-1]))
    result = {
        "pools": number,
        "seed": options.seed,
        "keep": KEEP,
        "steep": STEEP,
        "margin_points": MARGIN_POINTS,
        "cells": cells,
    }
    print(f"{time.perf_counter() - started:.0f} seconds")
    if not options.quick:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
