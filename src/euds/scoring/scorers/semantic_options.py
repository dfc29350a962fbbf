"""Semantic entropy over a closed set of answers.

Where the possible answers are known (the classes of a topic or sentiment task, yes and no), their
meanings are the options themselves, and the entropy of the model's distribution over them needs no
sampling. The arithmetic is exact; what it measures is the uncertainty of a zero-shot classifier.

The log-probability of an option is divided by its number of tokens, so that long names are not
punished, and the pool's mean log-probability of each option is taken off ("mean" calibration), so
that a name which the model finds likely after any text does not win everywhere.

Of several prompts the one with the highest mutual information H(mean p) - mean H(p) between text
and answer is used: an estimate of how much the model's answer depends on the text, which needs no
labels (Sorensen et al. 2022, arXiv 2203.11364).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import ModelError, OptionError
from euds.models import load_language_model
from euds.models.sources import ModelReference
from euds.pool.pool import Texts
from euds.scoring.entropy import calibrate, label_entropy, mutual_information
from euds.scoring.prompts import Template
from euds.scoring.scorers.base import (
    BYTES_PER_TOKEN,
    NOT_FINITE,
    Instrument,
    Measure,
    ScoreColumns,
    about_tokens,
    batch_option,
    cut_to_size,
)

__all__ = ["Calibration", "OptionLogProbs", "SemanticOptionsScorer"]

Calibration = Literal["mean", "content-free", "none"]

_TEXTS_TO_CHOOSE_A_PROMPT = 200
_CONTENT_FREE_TEXT = "N/A"
_WEAK_INFORMATION_NATS = 0.03


@dataclass(frozen=True)
class OptionLogProbs:
    """Measures the log-probability of each option after a prompt.

    Parameters
    ----------
    model : ModelReference
        The causal language model.
    precision : {"float32", "bfloat16"}
        What the model computes in.
    template : Template
        The prompt.
    options : tuple of str
        The closed set, sorted.
    max_tokens, max_context_tokens : int
        Where text and context are cut.
    batch_tokens : int or None
        Tokens that go through the model together; changes speed, not numbers.
    """

    name: ClassVar[str] = "option-log-probs"
    version: ClassVar[int] = 2
    rows_per_shard: ClassVar[int] = 64

    model: ModelReference
    precision: str
    template: Template
    options: tuple[str, ...]
    max_tokens: int = 128
    max_context_tokens: int = 256
    batch_tokens: int | None = batch_option()

    def load(self) -> Instrument:
        """Load the model; the returned function gives lists over the options."""
        model = load_language_model(
            self.model, precision=self.precision, batch_tokens=self.batch_tokens
        )
        # A plain prompt ends without white space, so the answer begins with a space.
        lead = "" if self.template.chat else " "

        def measure(texts: Texts) -> pl.DataFrame:
            cut, contexts = cut_to_size(
                model,
                texts,
                max_tokens=self.max_tokens,
                max_context_tokens=self.max_context_tokens,
            )
            prompts = [
                self.template.fill(text, context=context, options=self.options)
                for text, context in zip(cut, contexts, strict=True)
            ]
            scores = model.option_log_probs(
                prompts, [lead + option for option in self.options], chat=self.template.chat
            )
            return pl.DataFrame(
                {
                    "key": texts.frame["key"],
                    "log_prob_nats": scores.log_prob_nats.tolist(),
                    "tokens": [scores.tokens.tolist()] * len(texts),
                },
                schema={
                    "key": pl.String,
                    "log_prob_nats": pl.List(pl.Float64),
                    "tokens": pl.List(pl.Int64),
                },
            )

        return measure

    def work(self, texts: Texts) -> pl.Series:
        """Return about how many tokens are read of each text: prompt and options too."""
        beside = len(self.template.pattern) + sum(map(len, self.options))
        return about_tokens(
            texts,
            max_tokens=self.max_tokens,
            max_context_tokens=self.max_context_tokens,
            beside=beside / BYTES_PER_TOKEN,
        )


@dataclass(frozen=True)
class SemanticOptionsScorer:
    """Scores by the entropy over a closed set of answers.

    Columns: ``se`` (nats, between 0 and the logarithm of the number of options) and ``se_option``
    (the option that the model finds likeliest).

    Parameters
    ----------
    candidates : tuple of OptionLogProbs
        One measurement a prompt; the most informative is used.
    calibration : {"mean", "content-free", "none"}
        What is taken off the log-probabilities: their mean over the pool, their value after a text
        without content (Zhao et al. 2021, arXiv 2102.09690), or nothing.
    """

    name: ClassVar[str] = "se"

    candidates: tuple[OptionLogProbs, ...]
    calibration: Calibration = "mean"

    def __post_init__(self) -> None:
        if len(self.candidates[0].options) < 2:
            raise OptionError(
                "semantic entropy over a closed set needs at least two options",
                got=", ".join(self.candidates[0].options) or "none",
                next_step="name them, for example --options positive,negative",
            )

    def score(self, texts: Texts, measure: Measure, *, sample: Texts | None = None) -> ScoreColumns:
        """Score each text with the prompt that tells most.

        Parameters
        ----------
        texts : Texts
            What to score.
        measure : callable
            Measures what the store does not hold.
        sample : Texts, optional
            Where ``texts`` is no random part of the pool, one that is: it chooses the prompt, and
            its mean is taken off. By default ``texts``.
        """
        informations = self._informations(sample or texts, measure)
        best = self.candidates[int(np.argmax(informations))]
        keys, log_probs = self._normalised(best, texts, measure)
        like = log_probs if sample is None else self._normalised(best, sample, measure)[1]
        calibrated = self._calibrated(best, log_probs, like, measure)
        finite = np.isfinite(log_probs).all(axis=1)
        frame = pl.DataFrame(
            {
                "key": keys,
                "se": np.where(finite, label_entropy(calibrated), np.nan),
                "se_option": [best.options[index] for index in calibrated.argmax(axis=1)],
                "finite": finite,
            }
        ).select(
            "key",
            se=pl.when("finite").then("se"),
            se_option=pl.when("finite").then("se_option"),
            se_reason=pl.when(~pl.col("finite")).then(pl.lit(NOT_FINITE)),
        )
        return ScoreColumns(frame, self._notes(best, informations))

    def _informations(self, texts: Texts, measure: Measure) -> list[float]:
        """Return each prompt's mutual information with a few hundred texts, in nats."""
        # Keys are hashes: the first ones are a random draw that no file order can change.
        few = Texts(texts.frame.head(_TEXTS_TO_CHOOSE_A_PROMPT))
        informations = []
        for candidate in self.candidates:
            _, log_probs = self._normalised(candidate, few, measure)
            finite = log_probs[np.isfinite(log_probs).all(axis=1)]
            informations.append(
                float(mutual_information(calibrate(finite, method="mean"))) if len(finite) else 0.0
            )
        return informations

    def _normalised(
        self, candidate: OptionLogProbs, texts: Texts, measure: Measure
    ) -> tuple[pl.Series, NDArray[np.float64]]:
        """Return keys and log-probabilities per token, shape ``(texts, options)``."""
        rows = measure(candidate, texts)
        sums = np.array(rows["log_prob_nats"].to_list(), dtype=np.float64)
        tokens = np.array(rows["tokens"].to_list(), dtype=np.float64)
        shape = (rows.height, len(candidate.options))
        return rows["key"], (sums / tokens).reshape(shape)

    def _calibrated(
        self,
        best: OptionLogProbs,
        log_probs: NDArray[np.float64],
        like: NDArray[np.float64],
        measure: Measure,
    ) -> NDArray[np.float64]:
        """Take off the baseline; where it is a mean, that of the rows ``like``."""
        if self.calibration == "content-free":
            empty = Texts.of([_CONTENT_FREE_TEXT])
            _, baseline = self._normalised(best, empty, measure)
            if not np.isfinite(baseline).all():
                raise ModelError(
                    "the model gives no finite probabilities after a text without content",
                    where=best.model.name,
                    next_step="use --calibration mean",
                )
            return calibrate(log_probs, method=baseline[0])
        finite = like[np.isfinite(like).all(axis=1)]
        if self.calibration == "mean" and like is not log_probs and len(finite):
            return calibrate(log_probs, method=finite.mean(axis=0))
        return calibrate(log_probs, method=self.calibration)

    def _notes(self, best: OptionLogProbs, informations: list[float]) -> dict[str, object]:
        strongest = max(informations)
        notes: dict[str, object] = {
            "mode": "label",
            "model": best.model.name,
            "precision": best.precision,
            "options": list(best.options),
            "calibration": self.calibration,
            "prompt": {"pattern": best.template.pattern, "chat": best.template.chat},
            "prompt_information_nats": [
                {
                    "pattern": candidate.template.pattern,
                    "chat": candidate.template.chat,
                    "nats": information,
                }
                for candidate, information in zip(self.candidates, informations, strict=True)
            ],
        }
        if strongest < _WEAK_INFORMATION_NATS:
            notes["warning"] = (
                f"no prompt makes the model's answer depend on the text (mutual information "
                f"{strongest:.3f} nats at best): semantic entropy is close to noise here. "
                f"Try --prompt with your own wording, other --options, or a larger --model."
            )
        return notes
