"""From a pool to its score table: which scorers, with which models, prompts and options."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import polars as pl

from euds.errors import OptionError, check_settings, did_you_mean
from euds.models import resolve_precision
from euds.models.sources import resolve
from euds.models.tuning import Tuning
from euds.pool.pool import Pool
from euds.progress import Progress, default_progress
from euds.scoring.engines.base import Engine
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import Measurer, StageRecord
from euds.scoring.prompts import Task, Template, task_named, user_template
from euds.scoring.scorers.base import Scorer
from euds.scoring.scorers.generative import (
    GenerativeScorer,
    InstructionDifficultyScorer,
    TokenEntropies,
)
from euds.scoring.scorers.information import InformationScorer
from euds.scoring.scorers.semantic_answers import SampledAnswers, SemanticAnswersScorer
from euds.scoring.scorers.semantic_options import Calibration, OptionLogProbs, SemanticOptionsScorer
from euds.scoring.scores import SCORE_COLUMNS, ScoreTable, canonical_score, scorer_of
from euds.scoring.store.contents import MeasurementStore
from euds.scoring.store.disk import Store

__all__ = ["SCORERS", "ScoreSettings", "score"]

SCORERS = ("ie", "ge", "se")
"""The entropies; ``ge_ifd``, which reads every text once more, is made only if asked for."""

_MOST_OPTIONS = 100


@dataclass(frozen=True)
class ScoreSettings:
    """Everything that decides the scores of a pool, apart from the pool.

    Parameters
    ----------
    task : str or None
        ``sentiment``, ``topic``, ``yes-no`` or ``answer``: sets how semantic entropy is had, and
        its prompts. None: continuations of the text.
    options : tuple of str
        The closed set of answers; empty takes the pool's distinct label names.
    prompts : tuple of str
        The user's own templates, which compete with the built-in ones.
    calibration : {"mean", "content-free", "none"}
        Of the options' log-probabilities.
    model, encoder, entailment : str or None
        Names of the language model, of the encoder that compares answers, and of an entailment
        model to compare them with instead.
    precision : {"auto", "float32", "bfloat16"}
        What the language model computes in; for ``auto`` it is tried out once on a machine (see
        `euds.models.tuning`).
    max_tokens, max_context_tokens : int
        Where text and context are cut: each scorer counts in its own tokens, words for IE.
    answers, max_new_tokens : int
        Sampled answers a text, and tokens an answer.
    seed : int
        Of the sampled answers.
    batch_tokens : int or None
        Tokens that go through a model together; changes speed, not scores. None takes the default
        or, where the model was tried out, what was fastest.
    """

    task: str | None = None
    options: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    calibration: Calibration = "mean"
    model: str = "smollm2-135m"
    encoder: str = "minilm-l6"
    entailment: str | None = None
    precision: str = "auto"
    max_tokens: int = 128
    max_context_tokens: int = 256
    answers: int = 10
    max_new_tokens: int = 20
    seed: int = 0
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise OptionError("batch-tokens is too small", got=str(self.batch_tokens))
        for name, least in (
            ("max_tokens", 1),
            ("max_context_tokens", 0),
            ("answers", 2),
            ("max_new_tokens", 1),
        ):
            if getattr(self, name) < least:
                raise OptionError(
                    f"{name.replace('_', '-')} is too small",
                    got=str(getattr(self, name)),
                    expected=f"at least {least}",
                )
        if self.calibration not in get_args(Calibration):
            raise OptionError(
                f"there is no calibration {self.calibration!r}",
                expected=", ".join(get_args(Calibration)),
            )
        if self.task is not None:
            task_named(self.task)


def score(
    pool: Pool,
    scores: Sequence[str] = ("ie", "ge"),
    *,
    store: MeasurementStore | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> ScoreTable:
    """Score every sample of a pool, without labels.

    What was measured before, in this run or any other, is taken from the store.

    Parameters
    ----------
    pool : Pool
        The samples.
    scores : sequence of str
        Which entropies: of ``ie``, ``ge``, ``se``; and ``ge_ifd``, for texts with a context.
    store : MeasurementStore, optional
        Where measurements are kept; the user's store by default.
    engine : Engine, optional
        Where texts are measured; this process by default.
    progress : Progress, optional
        Is told what happens; by default bars on stderr where that is a terminal, else silence.
    **settings
        The fields of `ScoreSettings`.

    Returns
    -------
    ScoreTable
        The columns of each scorer (see `euds.scoring.scorers`), by sample id.

    Raises
    ------
    OptionError
        If a score, task or setting is unknown, the options of a closed set are missing, or no text
        has the context that a score needs.
    """
    asked = scorer_names(scores)
    if "ge_ifd" in asked:
        _check_contexts(pool)
    chosen = make_settings(**settings)
    shown = progress or default_progress()
    measurer = Measurer(store or Store.default(), engine or LocalEngine(), shown)
    try:
        scorers, provenance = tuned_scorers(pool, asked, chosen, measurer)
        return _score(pool, scorers, measurer, provenance)
    finally:
        shown.close()


def tuned_scorers(
    pool: Pool, asked: Sequence[str], settings: ScoreSettings, measurer: Measurer
) -> tuple[list[Scorer], dict[str, Any]]:
    """Return the scorers, with the model as it is best run here, and what a reader should know."""
    # Made once before: a mistake should not cost the time of trying out the model.
    scorers = make_scorers(asked, settings, label_names=pool.label_names)
    provenance: dict[str, Any] = {"pool": pool.fingerprint, "settings": asdict(settings)}
    if {"ge", "se"} & set(asked):
        tuning = measurer.engine.try_out(
            resolve(settings.model), settings.precision, measurer.progress
        )
        provenance["precision"] = {"chosen": tuning.precision, "why": tuning.why}
        scorers = make_scorers(asked, _tuned(settings, tuning), label_names=pool.label_names)
    return scorers, provenance


def _tuned(settings: ScoreSettings, tuning: Tuning) -> ScoreSettings:
    """Return the settings with what was found out about the model; a given batch size stays."""
    return replace(
        settings,
        precision=tuning.precision,
        batch_tokens=settings.batch_tokens or tuning.batch_tokens,
    )


def _score(
    pool: Pool, scorers: Sequence[Scorer], measurer: Measurer, provenance: dict[str, Any]
) -> ScoreTable:
    texts = pool.texts
    frame = pool.rows.select("id", "key")
    provenance["spent_seconds"] = {}
    for scorer in scorers:
        started, stages = time.perf_counter(), len(measurer.stages)
        columns = scorer.score(texts, measurer)
        taken = time.perf_counter() - started
        provenance["spent_seconds"][scorer.name] = _spent(taken, measurer.stages[stages:])
        found = columns.frame[_places(frame["key"], columns.frame["key"])]
        frame = frame.hstack(found.drop("key").get_columns())
        provenance[scorer.name] = columns.notes
    provenance["stages"] = [asdict(stage) for stage in measurer.stages]
    return ScoreTable(frame.drop("key"), provenance)


def _places(keys: pl.Series, distinct: pl.Series) -> pl.Series:
    """Return for each key its place among the distinct ones.

    Those of a large pool stand in the order of its rows: then only repeats are looked up, since a
    table to look up millions of keys in takes more memory than the pool.
    """
    is_first = keys.is_first_distinct()
    known = pl.DataFrame({"key": distinct, "place": pl.arange(len(distinct), eager=True)})
    if not keys.filter(is_first).equals(distinct):
        return _looked_up(keys, known)
    places = is_first.cast(pl.Int64).cum_sum() - 1
    repeated = keys.filter(~is_first)
    if repeated.is_empty():
        return places
    known = known.filter(pl.col("key").is_in(repeated.unique().implode()))
    return places.scatter((~is_first).arg_true(), _looked_up(repeated, known))


def _looked_up(keys: pl.Series, known: pl.DataFrame) -> pl.Series:
    found = keys.to_frame("key").join(known, on="key", how="left", maintain_order="left")
    return found["place"]


def _spent(taken: float, stages: Sequence[StageRecord]) -> float:
    """Return what a scorer's scores cost in all: time now, and earlier time of what was held."""
    earlier = sum(max(0.0, (one.spent_seconds or 0.0) - one.seconds) for one in stages)
    return taken + earlier


def make_settings(**settings: Any) -> ScoreSettings:
    """Return the settings; an unknown name is the caller's mistake and says so."""
    check_settings(settings, ScoreSettings.__dataclass_fields__)
    for name in ("options", "prompts"):
        if name in settings:
            settings[name] = tuple(settings[name])
    return ScoreSettings(**settings)


def make_scorers(
    names: Sequence[str], settings: ScoreSettings, *, label_names: tuple[str, ...]
) -> list[Scorer]:
    """Return the scorers to run. Of the labels they get the distinct names and nothing else."""
    scorers: list[Scorer] = []
    if "ie" in names:
        scorers.append(InformationScorer(max_tokens=settings.max_tokens))
    if "ge" in names:
        scorers.append(_generative(settings))
    if "ge_ifd" in names:
        scorers.append(InstructionDifficultyScorer(TokenEntropies(**_model_settings(settings))))
    if "se" in names:
        task = task_named(settings.task) if settings.task else None
        if task is not None and task.mode == "label":
            scorers.append(_semantic_options(settings, task, label_names))
        else:
            scorers.append(_semantic_answers(settings, task))
    return scorers


def _check_contexts(pool: Pool) -> None:
    contexts = (part["context"] for part in pool.wording.parts(columns=["context"]))
    if not any(some.drop_nulls().str.strip_chars().ne("").any() for some in contexts):
        raise OptionError(
            "instruction-following difficulty compares a text with and without its context",
            got="a pool without contexts",
            next_step="name their column with --context",
        )


def scorer_names(scores: Sequence[str]) -> list[str]:
    """Return the scorers of some scores, each once; an unknown score is the caller's mistake."""
    names = []
    for name in scores:
        scorer = scorer_of(name)
        if canonical_score(name) not in SCORE_COLUMNS:
            raise OptionError(
                f"there is no score {name!r}",
                expected="some of ie, ge, se",
                next_step=did_you_mean(name, SCORE_COLUMNS),
            )
        if scorer not in names:
            names.append(scorer)
    if not names:
        raise OptionError("no score was asked for", expected="some of ie, ge, se")
    return names


def _model_settings(settings: ScoreSettings) -> dict[str, Any]:
    return {
        "model": resolve(settings.model),
        "precision": resolve_precision(settings.precision),
        "max_tokens": settings.max_tokens,
        "max_context_tokens": settings.max_context_tokens,
        "batch_tokens": settings.batch_tokens,
    }


def _generative(settings: ScoreSettings) -> Scorer:
    return GenerativeScorer(TokenEntropies(**_model_settings(settings)))


def _semantic_options(settings: ScoreSettings, task: Task, label_names: tuple[str, ...]) -> Scorer:
    options = closed_set(settings.options, task, label_names)
    model_settings = _model_settings(settings)
    candidates = tuple(
        OptionLogProbs(template=template, options=options, **model_settings)
        for template in _templates(settings, task)
    )
    return SemanticOptionsScorer(candidates, calibration=settings.calibration)


def _semantic_answers(settings: ScoreSettings, task: Task | None) -> Scorer:
    sampling = SampledAnswers(
        template=_templates(settings, task)[0] if task else None,
        count=settings.answers,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        **_model_settings(settings),
    )
    if settings.entailment is not None:
        return SemanticAnswersScorer(sampling, "entailment", resolve(settings.entailment))
    return SemanticAnswersScorer(sampling, "embedding", resolve(settings.encoder))


def _templates(settings: ScoreSettings, task: Task) -> tuple[Template, ...]:
    """Return the templates that this model can be asked, the user's own first."""
    own = tuple(user_template(pattern) for pattern in settings.prompts)
    chat_works = resolve(settings.model).has_chat_template
    for template in own:
        if template.chat and not chat_works:
            raise OptionError(
                f"the model {settings.model} has no chat template",
                got=repr(template.pattern),
                next_step="leave out 'chat:', or name an instruction-tuned model",
            )
    return own + tuple(template for template in task.templates if chat_works or not template.chat)


def closed_set(
    options: tuple[str, ...], task: Task, label_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the closed set of answers, sorted: given, else the label names, else the task's own.

    Raises
    ------
    OptionError
        If there is none, or it is too large to be one.
    """
    found = tuple(sorted(set(options))) or label_names or task.options
    if len(found) < 2:
        raise OptionError(
            f"the task {task.name} needs a closed set of answers",
            got=f"{len(found)} distinct label name(s)" if found else "no labels and no options",
            expected="at least two",
            next_step="name them, for example --options positive,negative",
        )
    if len(found) > _MOST_OPTIONS:
        raise OptionError(
            f"the label column has {len(found):,} distinct values, too many for a closed set",
            expected=f"at most {_MOST_OPTIONS}",
            next_step="name the column of class labels with --label, or the answers with --options",
        )
    return found
