"""Semantic entropy of sampled answers.

The model is asked K times; answers that mean the same are put together; the entropy over the
meanings says how uncertain the model is about what to say, not merely about how to say it (Kuhn et
al. 2023, arXiv 2302.09664; Farquhar et al. 2024, Nature 630:625).

What is asked is the question of a question-answering pool (`answer`), or, where the pool has no
task, what comes after the first half of the text (`continuation`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.models import load_encoder, load_entailment_model, load_language_model
from euds.models.meaning import (
    embedding_similarities,
    entailment_similarities,
    group_by_meaning,
    normalise_answer,
)
from euds.models.protocols import SampledText
from euds.models.sources import ModelReference
from euds.pool.pool import Texts, text_key
from euds.scoring.entropy import chao_shen_entropy, discrete_semantic_entropy, snne
from euds.scoring.prompts import Template
from euds.scoring.scorers.base import (
    NOT_FINITE,
    Instrument,
    Measure,
    ScoreColumns,
    about_tokens,
    batch_option,
    cut_to_size,
)

__all__ = ["AnswerSimilarities", "SampledAnswers", "SemanticAnswersScorer"]

Meaning = Literal["exact", "embedding", "entailment"]

_TOO_SHORT = "too short to be continued"
_SAME_MEANING: dict[Meaning, float] = {"exact": 1.0, "embedding": 0.85, "entailment": 0.5}


@dataclass(frozen=True)
class SampledAnswers:
    """Draws answers to each text, or continuations of its first half.

    Parameters
    ----------
    model : ModelReference
        The causal language model.
    precision : {"float32", "bfloat16"}
        What the model computes in.
    template : Template or None
        The prompt; None asks for continuations of the text's first half.
    count : int
        Answers a text.
    max_new_tokens : int
        Where an answer is cut.
    temperature : float
        1 draws from the model's own distribution.
    seed : int
        With the text's key, the seed of its draws: they do not depend on batch, engine or order.
    max_tokens, max_context_tokens : int
        Where text and context are cut.
    batch_tokens : int or None
        Tokens that go through the model together; changes speed, not numbers.
    """

    name: ClassVar[str] = "sampled-answers"
    version: ClassVar[int] = 2
    rows_per_shard: ClassVar[int] = 32

    model: ModelReference
    precision: str
    template: Template | None
    count: int = 10
    max_new_tokens: int = 20
    temperature: float = 1.0
    seed: int = 0
    max_tokens: int = 128
    max_context_tokens: int = 256
    batch_tokens: int | None = batch_option()

    def load(self) -> Instrument:
        """Load the model; the returned function gives ``answers`` and ``log_prob_nats``."""
        model = load_language_model(
            self.model, precision=self.precision, batch_tokens=self.batch_tokens
        )
        template = self.template

        def measure(texts: Texts) -> pl.DataFrame:
            cut, contexts = cut_to_size(
                model,
                texts,
                max_tokens=self.max_tokens,
                max_context_tokens=self.max_context_tokens,
            )
            if template is None:
                prompts = [
                    "\n".join(filter(None, [context, half])) if (half := first_half(text)) else ""
                    for text, context in zip(cut, contexts, strict=True)
                ]
            else:
                prompts = [
                    template.fill(text, context=context)
                    for text, context in zip(cut, contexts, strict=True)
                ]
            asked = [index for index, prompt in enumerate(prompts) if prompt]
            drawn = model.sample(
                [prompts[index] for index in asked],
                count=self.count,
                max_new_tokens=self.max_new_tokens,
                seeds=[_text_seed(self.seed, texts.keys[index]) for index in asked],
                temperature=self.temperature,
                chat=template is not None and template.chat,
                stop_at_newline=template is not None and not template.chat,
            )
            return _answer_rows(texts, asked, drawn)

        return measure

    def work(self, texts: Texts) -> pl.Series:
        """Return about how many tokens are read and drawn for each text."""
        return about_tokens(
            texts,
            max_tokens=self.max_tokens,
            max_context_tokens=self.max_context_tokens,
            beside=self.count * self.max_new_tokens,
        )


def _answer_rows(
    texts: Texts, asked: Sequence[int], drawn: Sequence[Sequence[SampledText]]
) -> pl.DataFrame:
    answers: list[list[str]] = [[] for _ in range(len(texts))]
    log_probs: list[list[float]] = [[] for _ in range(len(texts))]
    for index, samples in zip(asked, drawn, strict=True):
        answers[index] = [sample.text for sample in samples]
        log_probs[index] = [sample.log_prob_nats for sample in samples]
    return pl.DataFrame(
        {"key": texts.frame["key"], "answers": answers, "log_prob_nats": log_probs},
        schema={
            "key": pl.String,
            "answers": pl.List(pl.String),
            "log_prob_nats": pl.List(pl.Float64),
        },
    )


def _text_seed(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest(), "big")


def first_half(text: str) -> str:
    """Return the first half of a text, cut between words where it has any; empty if it has none.

    >>> first_half("one two three four")
    'one two'
    """
    text = text.strip()
    middle = len(text) // 2
    space = text.rfind(" ", 0, middle + 1)
    return text[: space if space > 0 else middle].rstrip()


@dataclass(frozen=True)
class AnswerSimilarities:
    """Measures how alike in meaning the distinct answers to one question are.

    Its "texts" are JSON objects with ``question`` and ``answers`` (as `answer_set` writes them), so
    that the store knows a set of answers by its content, whichever text they came from.

    Parameters
    ----------
    model : ModelReference
        A sentence encoder, or an entailment model.
    meaning : {"embedding", "entailment"}
        Which of the two.
    """

    name: ClassVar[str] = "answer-similarities"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = 512

    model: ModelReference
    meaning: Literal["embedding", "entailment"]

    def load(self) -> Instrument:
        """Load the model; the returned function gives ``similarities``, row by row."""
        if self.meaning == "entailment":
            entailment = load_entailment_model(self.model)
        else:
            encoder = load_encoder(self.model)

        def measure(texts: Texts) -> pl.DataFrame:
            sets = [json.loads(text) for text in texts.texts]
            answers = [one["answers"] for one in sets]
            if self.meaning == "entailment":
                questions = [one["question"] for one in sets]
                matrices = entailment_similarities(questions, answers, entailment)
            else:
                matrices = embedding_similarities(answers, encoder)
            return pl.DataFrame(
                {
                    "key": texts.frame["key"],
                    "similarities": [matrix.ravel().tolist() for matrix in matrices],
                },
                schema={"key": pl.String, "similarities": pl.List(pl.Float64)},
            )

        return measure

    def work(self, texts: Texts) -> pl.Series:
        """Return the bytes of each set of answers."""
        return texts.frame["text"].str.len_bytes()


def answer_set(question: str | None, answers: Sequence[str]) -> str:
    """Return the distinct answers, with their question if it matters, as canonical JSON."""
    return json.dumps({"question": question, "answers": sorted(set(answers))}, ensure_ascii=True)


@dataclass(frozen=True)
class SemanticAnswersScorer:
    """Scores by the entropy over the meanings of sampled answers.

    Columns: ``se`` (SNNE, nats; Nguyen et al. 2025, arXiv 2506.00245), ``se_chao_shen`` and
    ``se_discrete`` (entropy over groups of one meaning, nats, with and without correction for
    meanings not seen), ``se_meanings`` (number of groups).

    Parameters
    ----------
    sampling : SampledAnswers
        How answers are drawn.
    meaning : {"exact", "embedding", "entailment"}
        What makes two answers alike: the same words, close vectors, or each entailing the other.
    meaning_model : ModelReference or None
        The encoder or the entailment model; None for ``exact``.
    """

    name: ClassVar[str] = "se"

    sampling: SampledAnswers
    meaning: Meaning = "embedding"
    meaning_model: ModelReference | None = None

    def score(self, texts: Texts, measure: Measure) -> ScoreColumns:
        """Score each text."""
        drawn = measure(self.sampling, texts).join(texts.frame, on="key", maintain_order="left")
        normalised = [
            [normalise_answer(answer) for answer in answers] for answers in drawn["answers"]
        ]
        similarities = self._similarities(drawn["text"].to_list(), normalised, measure)
        rows = [
            self._entropies(answers, matrix)
            for answers, matrix in zip(normalised, similarities, strict=True)
        ]
        frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row").insert_column(0, drawn["key"])
        frame = frame.with_columns(
            pl.col("se", "se_chao_shen", "se_discrete").fill_nan(None),
            se_reason=pl.when(pl.col("se").is_null())
            .then(pl.lit(_TOO_SHORT))
            .when(pl.col("se").is_nan())
            .then(pl.lit(NOT_FINITE)),
        )
        return ScoreColumns(frame, self._notes())

    def _similarities(
        self, questions: list[str], normalised: list[list[str]], measure: Measure
    ) -> list[NDArray[np.float64]]:
        """Return for each text the similarity of its distinct answers, in sorted order."""
        if self.meaning == "exact" or self.meaning_model is None:
            return [np.eye(len(set(answers))) for answers in normalised]
        measurement = AnswerSimilarities(self.meaning_model, self.meaning)
        sets = [
            answer_set(question if self.meaning == "entailment" else None, answers)
            for question, answers in zip(questions, normalised, strict=True)
        ]
        rows = measure(measurement, Texts.of([one for one in sets if json.loads(one)["answers"]]))
        by_key = dict(zip(rows["key"], rows["similarities"], strict=True))
        matrices = []
        for one, answers in zip(sets, normalised, strict=True):
            distinct = len(set(answers))
            flat = by_key[text_key(one)] if distinct else []
            matrices.append(np.array(flat, dtype=np.float64).reshape(distinct, distinct))
        return matrices

    def _entropies(
        self, answers: Sequence[str], similarity: NDArray[np.float64]
    ) -> tuple[float | None, float | None, float | None, int | None]:
        if len(answers) < 2:
            return None, None, None, None
        distinct = sorted(set(answers))
        place = np.array([distinct.index(answer) for answer in answers])
        groups = group_by_meaning(similarity, threshold=_SAME_MEANING[self.meaning])[place]
        counts = np.bincount(groups)
        return (
            float(snne(similarity[np.ix_(place, place)])),
            float(chao_shen_entropy(counts[counts > 0])),
            float(discrete_semantic_entropy(groups)),
            int((counts > 0).sum()),
        )

    def _notes(self) -> dict[str, object]:
        template = self.sampling.template
        return {
            "mode": "continuation" if template is None else "answer",
            "model": self.sampling.model.name,
            "precision": self.sampling.precision,
            "meaning": self.meaning,
            "meaning_model": self.meaning_model.name if self.meaning_model else None,
            "answers": self.sampling.count,
            "prompt": None
            if template is None
            else {"pattern": template.pattern, "chat": template.chat},
        }


_SCHEMA = {
    "se": pl.Float64,
    "se_chao_shen": pl.Float64,
    "se_discrete": pl.Float64,
    "se_meanings": pl.Int64,
}
