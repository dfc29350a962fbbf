"""Pools with made-up entropies, for which every text that is asked about is counted."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from euds.pool.pool import Pool, Texts
from euds.progress import SilentProgress
from euds.scoring.scorers.base import ScoreColumns
from euds.scoring.scores import ScoreTable
from euds.selection.cascade.course import Course
from euds.selection.cascade.fates import Fates, needed_scores
from euds.selection.cascade.sources import Answer
from euds.selection.request import check_request
from tests.conftest import make_pool


class MadeUp:
    """Gives true scores by key, and remembers which it was asked for."""

    def __init__(
        self, name: str, truth: Mapping[str, float], *, cost: float = 1.0, seconds: float = 1.0
    ) -> None:
        self.name, self.cost, self.trials = name, cost, 0
        self.bounds: dict[str, tuple[float, float]] = {}
        self._truth, self._seconds = truth, seconds
        self.asked: set[str] = set()

    def ask(self, texts: Texts, sample: Texts) -> Answer:
        assert set(sample.keys) <= set(texts.keys)
        self.asked |= set(texts.keys)
        frame = pl.DataFrame(
            {"key": texts.keys, self.name: [self._truth[key] for key in texts.keys]}
        ).with_columns(pl.lit(None, pl.String).alias(f"{self.name}_reason"))
        return Answer(ScoreColumns(frame, {}), self._seconds * len(texts), 0.0)


class World:
    """A pool with vectors, length, information entropy and made-up `ge` and `se`."""

    def __init__(
        self,
        rows: int,
        *,
        seed: int = 0,
        noise: float = 0.0,
        near_repeats: int = 0,
        dimensions: int = 6,
    ) -> None:
        rng = np.random.default_rng(seed)
        texts = [f"text {seed} {index} of many" for index in range(rows - near_repeats)]
        long = " ".join(f"word{number}" for number in range(40))
        texts += [f"{long} {index}" for index in range(near_repeats)]
        self.pool: Pool = make_pool(texts)
        self.keys = self.pool.texts.keys
        self.vectors = rng.normal(size=(rows, dimensions)).astype(np.float32)
        told = self.vectors.astype(np.float64) @ rng.normal(size=(dimensions, 2))
        told = told / told.std(axis=0) * np.sqrt(1 - noise) + np.sqrt(noise) * rng.normal(
            size=(rows, 2)
        )
        self.truth = {"ge": told[:, 0], "se": told[:, 1]}
        self.known = pl.DataFrame(
            {
                "key": self.keys,
                "characters": rng.integers(20, 200, rows),
                "words": rng.integers(4, 40, rows).astype(float),
                "ie": rng.normal(size=rows),
            }
        )

    def source(self, name: str, **options: float) -> MadeUp:
        truth = dict(zip(self.keys, self.truth[name].tolist(), strict=True))
        return MadeUp(name, truth, **options)

    def table(self) -> ScoreTable:
        """Return the complete scores."""
        scored = self.known.drop("characters").with_columns(
            **{name: pl.Series(one) for name, one in self.truth.items()}
        )
        frame = self.pool.frame.select("id", "key").join(
            scored, on="key", how="left", maintain_order="left"
        )
        return ScoreTable(frame.drop("key"))

    def fates(self, *, seed: int = 0, **asked: object) -> Fates:
        entropies = ("ie", "ge", "se")
        request = check_request(
            **{"rule": None, "keep": None, "keep_tokens": None, "interval": None, **asked},
            entropies=entropies,
        )
        ranked, _ = needed_scores(request, entropies, entropies)
        return Fates(self.pool, self.known.drop("characters"), request, ranked, seed=seed)

    def course(
        self,
        rule: str = "se",
        *,
        share: float = 0.3,
        seconds: float | None = None,
        seed: int = 0,
        costs: Mapping[str, float] | None = None,
    ) -> tuple[Course, dict[str, MadeUp]]:
        costs = costs or {}
        sources = {name: self.source(name, cost=costs.get(name, 1.0)) for name in ("ge", "se")}
        needed = {"igse": ("ge", "se"), "uncertain": ("se",)}.get(rule, (rule,))
        course = Course(
            Texts(self.pool.texts.frame),
            self.known,
            self.vectors,
            list(sources.values()),
            needed,
            self.fates(rule=rule, keep=0.16, near_duplicates="keep", seed=seed),
            share=share,
            seconds=seconds,
            spent=0.0,
            seed=seed,
            progress=SilentProgress(),
        )
        return course, sources

    def kept(self, rule: str, *, seed: int = 0) -> np.ndarray:
        """Return what complete scores keep."""
        fates = self.fates(rule=rule, keep=0.16, near_duplicates="keep", seed=seed)
        return fates.kept(self.truth, None)
