"""Generative entropy: how open each next word is to a language model that reads the text.

One forward pass gives, before each token, the entropy of the model's prediction and, for the token
that came, its negative log-likelihood. The mean of the former is the entropy of the text (``ge``);
the mean of the latter (``ge_nll``) is the logarithm of the perplexity and not an entropy, kept as a
baseline under its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from euds.models import load_language_model
from euds.models.protocols import TokenStatistics
from euds.models.sources import ModelReference
from euds.pool.pool import Texts
from euds.scoring.entropy import high_entropy_sum
from euds.scoring.scorers.base import (
    NOT_FINITE,
    Instrument,
    Measure,
    ScoreColumns,
    about_tokens,
    batch_option,
)

__all__ = ["GenerativeScorer", "InstructionDifficultyScorer", "TokenEntropies"]

_NAN = float("nan")


@dataclass(frozen=True)
class TokenEntropies:
    """Measures a text's token entropies and likelihoods, and keeps their summaries.

    Parameters
    ----------
    model : ModelReference
        The causal language model.
    precision : {"float32", "bfloat16"}
        What the model computes in; the entropies are reduced in float32 either way.
    max_tokens, max_context_tokens : int
        Where text and context are cut.
    high_entropy_percent : float
        The share of a text's tokens that ``ge_hes`` sums over.
    batch_tokens : int or None
        Tokens that go through the model together; changes speed, not numbers.
    """

    name: ClassVar[str] = "token-entropies"
    version: ClassVar[int] = 2
    rows_per_shard: ClassVar[int] = 64

    model: ModelReference
    precision: str
    max_tokens: int = 128
    max_context_tokens: int = 256
    high_entropy_percent: float = 0.5
    batch_tokens: int | None = batch_option()

    def load(self) -> Instrument:
        """Load the model; the returned function gives the columns ``ge*`` and ``cut``."""
        model = load_language_model(
            self.model, precision=self.precision, batch_tokens=self.batch_tokens
        )

        def measure(texts: Texts) -> pl.DataFrame:
            statistics = model.token_statistics(
                texts.texts,
                texts.contexts,
                max_tokens=self.max_tokens,
                max_context_tokens=self.max_context_tokens,
            )
            rows = [self._summarise(one) for one in statistics]
            return pl.DataFrame(rows, schema=_SCHEMA, orient="row").insert_column(
                0, texts.frame["key"]
            )

        return measure

    def work(self, texts: Texts) -> pl.Series:
        """Return about how many tokens are read of each text."""
        return about_tokens(
            texts, max_tokens=self.max_tokens, max_context_tokens=self.max_context_tokens
        )

    def _summarise(self, one: TokenStatistics) -> tuple[float, float, float, int, bool]:
        tokens = len(one.entropy_nats)
        if tokens == 0:
            return _NAN, _NAN, _NAN, 0, one.cut
        return (
            float(one.entropy_nats.mean(dtype=np.float64)),
            float(one.nll_nats.mean(dtype=np.float64)),
            float(high_entropy_sum(one.entropy_nats, percent=self.high_entropy_percent)),
            tokens,
            one.cut,
        )


_SCHEMA = {
    "ge": pl.Float64,
    "ge_nll": pl.Float64,
    "ge_hes": pl.Float64,
    "ge_tokens": pl.Int64,
    "ge_cut": pl.Boolean,
}


@dataclass(frozen=True)
class GenerativeScorer:
    """Scores by generative entropy.

    Columns: ``ge`` (mean token entropy, nats), ``ge_nll`` (mean negative log-likelihood, nats),
    ``ge_gap`` (``ge_nll - ge``: surprise beyond what the model expected), ``ge_hes`` (sum over the
    tokens of highest entropy, nats), ``ge_tokens`` (tokens scored), ``ge_cut``.

    Parameters
    ----------
    measurement : TokenEntropies
        What is asked of the model.
    """

    name: ClassVar[str] = "ge"

    measurement: TokenEntropies

    def score(self, texts: Texts, measure: Measure) -> ScoreColumns:
        """Score each text."""
        rows = measure(self.measurement, texts).with_columns(ge_gap=pl.col("ge_nll") - pl.col("ge"))
        values = ["ge", "ge_nll", "ge_gap", "ge_hes"]
        finite = pl.all_horizontal(pl.col(values).is_finite())
        reason = (
            pl.when(pl.col("ge_tokens") == 0)
            .then(pl.lit("no tokens"))
            .when(~finite)
            .then(pl.lit(NOT_FINITE))
        )
        frame = rows.select(
            "key",
            *(pl.when(finite).then(pl.col(name)).alias(name) for name in values),
            "ge_tokens",
            "ge_cut",
            ge_reason=reason,
        )
        notes = {"model": self.measurement.model.name, "precision": self.measurement.precision}
        return ScoreColumns(frame, notes)


@dataclass(frozen=True)
class InstructionDifficultyScorer:
    """Scores by how little the context helps to predict the text.

    Instruction-following difficulty (Li et al. 2023, arXiv 2308.12032; with a small model Li et al.
    2024, arXiv 2402.00530): the perplexity of the text given its context, divided by that of the
    text alone. At 1 the context tells nothing; near 0 the text follows from it easily.

    Columns: ``ge_ifd``, a ratio above 0; null for a text without a context.

    Parameters
    ----------
    measurement : TokenEntropies
        What is asked of the model, with the context and again without.

    Notes
    -----
    Both readings begin with the model's token for the beginning of a text, so that the same tokens
    are counted in both. The authors' code has no such token, and does not count the first token of
    the text alone.
    """

    name: ClassVar[str] = "ge_ifd"

    measurement: TokenEntropies

    def score(self, texts: Texts, measure: Measure) -> ScoreColumns:
        """Score each text that has a context."""
        told = Texts(texts.frame.filter(pl.col("context").str.strip_chars() != ""))
        alone = Texts.of(told.texts)
        nll_given = measure(self.measurement, told).select("key", "ge_tokens", given="ge_nll")
        nll_alone = measure(self.measurement, alone).select("key", alone="ge_nll")
        by_text = alone.frame.join(nll_alone, on="key").select("text", "alone")
        ratios = (
            told.frame.join(nll_given, on="key")
            .join(by_text, on="text")
            .select("key", "ge_tokens", ratio=(pl.col("given") - pl.col("alone")).exp())
        )
        finite = pl.col("ratio").is_finite()
        frame = texts.frame.join(ratios, on="key", how="left", maintain_order="left").select(
            "key",
            ge_ifd=pl.when(finite).then("ratio"),
            ge_ifd_reason=pl.when(pl.col("ratio").is_null())
            .then(pl.lit("no context"))
            .when(pl.col("ge_tokens") == 0)
            .then(pl.lit("no tokens"))
            .when(~finite)
            .then(pl.lit(NOT_FINITE)),
        )
        notes = {"model": self.measurement.model.name, "precision": self.measurement.precision}
        return ScoreColumns(frame, notes)
