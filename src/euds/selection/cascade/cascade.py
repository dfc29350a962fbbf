"""Scores for a selection: measured where they decide what is kept, predicted elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import MissingExtraError, ModelNotFoundError, OptionError
from euds.pool.pool import Pool, Texts
from euds.progress import Progress, default_progress
from euds.scoring.engines.base import Engine
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import Measurer
from euds.scoring.score import make_settings, scorer_names, tuned_scorers
from euds.scoring.scorers.base import Scorer
from euds.scoring.scores import MEASURED, PREDICTED, ScoreTable
from euds.scoring.store.contents import MeasurementStore
from euds.scoring.store.disk import Store
from euds.scoring.vectors import Vectors, vectors_of
from euds.selection.cascade.course import Course, Outlook, questions
from euds.selection.cascade.fates import OPTION, Fates, needed_scores
from euds.selection.cascade.probe import LEVEL
from euds.selection.cascade.sources import TRIED, ModelSource, merged_stages
from euds.selection.cascade.spending import check_share
from euds.selection.cascade.telling import early_advice, sentences_of
from euds.selection.repeats import Against
from euds.selection.request import Request, check_request
from euds.selection.select import select
from euds.selection.selection import Selection

__all__ = ["Cascade", "cascade", "cascade_scores"]

DEFAULT_SHARE = 0.25
_ENCODER = "minilm-l6"


@dataclass(frozen=True)
class Cascade:
    """Scores of which some are predicted, and what was chosen by them.

    Parameters
    ----------
    table : ScoreTable
        The scores. ``ge_source`` and ``se_source`` say whether each is measured or predicted.
    selection : Selection
        What is kept.
    results : dict
        How many texts were measured, how well the probe predicts, what the selection is expected to
        share with that from complete scores, what it cost; under ``sentences`` the same for people.
    """

    table: ScoreTable
    selection: Selection
    results: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join(self.results["sentences"])


def cascade(
    pool: Pool,
    scores: Sequence[str] = ("ie", "ge", "se"),
    *,
    keep: float | str | None = None,
    rule: str | None = None,
    interval: str | Sequence[str] | None = None,
    selecting: Mapping[str, Any] | None = None,
    share: float = DEFAULT_SHARE,
    seconds: float | None = None,
    train_seconds: float | None = None,
    seed: int = 0,
    vectors: Vectors | None = None,
    store: MeasurementStore | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Cascade:
    """Score where it decides what is kept, predict the rest, and select.

    Parameters
    ----------
    pool : Pool
        The samples.
    scores : sequence of str
        Which entropies: of ``ie``, ``ge``, ``se``.
    keep, rule, interval
        As for `euds.select`.
    selecting : mapping, optional
        Its other options.
    share : float
        Of the questions to models that scoring everything takes: at most so many are asked. A
        sample of 40 texts is always measured in full.
    seconds : float, optional
        What scoring may take instead, by what the measured texts took, in this run or earlier.
    train_seconds : float, optional
        What one training on the whole pool takes you: it is told whether scoring can pay.
    seed : int
        Of the sample, of sampled answers, and between rows that the rule holds equal.
    vectors : Vectors, optional
        Sentence vectors of the pool's texts; by default made, or taken from the store. Without an
        encoder the probe does without.
    store : MeasurementStore, optional
        Where measurements are kept; the user's store by default. Predictions never enter it.
    engine : Engine, optional
        Where texts are measured; this process by default.
    progress : Progress, optional
        Is told what happens; by default bars on stderr where that is a terminal, else silence.
    **settings
        The fields of `euds.scoring.score.ScoreSettings`.

    Returns
    -------
    Cascade

    Raises
    ------
    OptionError
        If an option makes no sense, or no model has a part in the selection.
    """
    asked = {"keep": keep, "rule": rule, "interval": interval, **(selecting or {})}
    _plan(scores, asked, share=share, seconds=seconds, train_seconds=train_seconds)
    shown = progress or default_progress()
    measurer = Measurer(store or Store.default(), engine or LocalEngine(), shown)
    try:
        vectors = vectors or _vectors(pool.texts, measurer)
    finally:
        shown.close()
    table = cascade_scores(
        pool,
        scores,
        selecting=asked,
        share=share,
        seconds=seconds,
        train_seconds=train_seconds,
        seed=seed,
        vectors=vectors,
        store=store,
        engine=engine,
        progress=progress,
        **settings,
    )
    selection = select(pool, table, **asked, seed=seed, vectors=vectors)
    results = {**table.provenance["cascade"], **table.provenance["cascade_spent"]}
    return Cascade(table, selection, results)


def cascade_scores(
    pool: Pool,
    scores: Sequence[str] = ("ie", "ge", "se"),
    *,
    selecting: Mapping[str, Any],
    share: float = DEFAULT_SHARE,
    seconds: float | None = None,
    train_seconds: float | None = None,
    seed: int = 0,
    vectors: Vectors | None = None,
    store: MeasurementStore | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> ScoreTable:
    """Return the scores that a selection needs, as `cascade` makes them, without selecting.

    What is told of them is in ``provenance["cascade"]``, and what depends on the clock in
    ``provenance["cascade_spent"]``.

    Parameters
    ----------
    pool, scores, share, seconds, train_seconds, seed, vectors, store, engine, progress, **settings
        As for `cascade`.
    selecting : mapping
        What `euds.select` is going to be asked.
    """
    plan = _plan(scores, selecting, share=share, seconds=seconds, train_seconds=train_seconds)
    chosen = make_settings(**settings, seed=seed)
    shown = progress or default_progress()
    measurer = Measurer(store or Store.default(), engine or LocalEngine(), shown)
    try:
        scorers, provenance = tuned_scorers(pool, plan.asked, chosen, measurer)
        vectors = vectors or _vectors(pool.texts, measurer)
        return _scored(
            *(pool, plan, scorers, measurer, provenance, vectors),
            seconds=seconds,
            train_seconds=train_seconds,
            seed=seed,
            share=share,
        )
    finally:
        shown.close()


@dataclass(frozen=True)
class _Plan:
    """What is asked of a cascade, checked."""

    asked: Sequence[str]
    request: Request
    ranked: tuple[str, ...]
    needed: tuple[str, ...]
    always_keep: Sequence[str]
    against: Against


def _plan(
    scores: Sequence[str],
    selecting: Mapping[str, Any],
    *,
    share: float,
    seconds: float | None,
    train_seconds: float | None,
) -> _Plan:
    check_share(share)
    for name, one in (("seconds", seconds), ("train-seconds", train_seconds)):
        if one is not None and not 0 < one < float("inf"):
            raise OptionError(f"the {name} make no sense", got=f"{one:g}", expected="above 0")
    asked = scorer_names(scores)
    if "ge_ifd" in asked:
        raise OptionError(
            "a cascade cannot predict instruction-following difficulty",
            got=", ".join(scores),
            expected="some of ie, ge, se",
        )
    known = {
        *("rule", "keep", "keep_tokens", "interval", "entropies", "near_duplicates"),
        *("quota", "soft", "use_labels"),
    }
    entropies = selecting.get("entropies") or ("ie", "ge", "se")
    request = check_request(
        **{
            "rule": None,
            "keep": None,
            "keep_tokens": None,
            "interval": None,
            **{name: value for name, value in selecting.items() if name in known},
            "entropies": entropies,
        }
    )
    if request.budget is not None and request.budget.unit == "tokens":
        raise OptionError(
            "a budget in tokens needs the length of every text in the model's tokens",
            where="--cascade",
            got="texts that the model is not asked about",
            next_step="give a number of rows or a share: --keep 16%",
        )
    ranked, raw = needed_scores(request, entropies, asked)
    return _Plan(
        asked,
        request,
        ranked,
        tuple(dict.fromkeys((*ranked, *raw))),
        selecting.get("always_keep") or (),
        selecting.get("against") or (),
    )


def _vectors(texts: Texts, measurer: Measurer) -> Vectors | None:
    try:
        return vectors_of(
            texts,
            encoder=_ENCODER,
            store=measurer.store,
            engine=measurer.engine,
            progress=measurer.progress,
        )
    except (MissingExtraError, ModelNotFoundError):
        return None


def _scored(
    pool: Pool,
    plan: _Plan,
    scorers: Sequence[Scorer],
    measurer: Measurer,
    provenance: dict[str, Any],
    vectors: Vectors | None,
    *,
    seconds: float | None,
    train_seconds: float | None,
    seed: int,
    share: float,
) -> ScoreTable:
    texts = pool.texts
    scored = texts.frame.select("key", characters=pl.col("text").str.len_chars())
    provenance["spent_seconds"] = {}
    parts = []
    for scorer in scorers:
        if scorer.name != "ie":
            continue
        started = time.perf_counter()
        columns = scorer.score(texts, measurer)
        provenance["spent_seconds"]["ie"] = time.perf_counter() - started
        provenance["ie"] = columns.notes
        parts.append(columns.frame)
        scored = scored.join(columns.frame, on="key", how="left", maintain_order="left")
    fates = Fates(
        pool,
        scored.drop("characters"),
        plan.request,
        plan.ranked,
        always_keep=plan.always_keep,
        against=plan.against,
        seed=seed,
    )
    sources = [ModelSource(one, measurer) for one in scorers if one.name != "ie"]
    vector_seconds = 0.0 if vectors is None else vectors.seconds or 0.0
    course = Course(
        texts,
        scored,
        None if vectors is None else vectors.of(texts.keys),
        sources,
        [one for one in plan.needed if one not in scored.columns],
        fates,
        share=share,
        seconds=seconds,
        spent=vector_seconds,
        seed=seed,
        progress=measurer.progress,
    )
    course.measure_sample()
    for note in _early(course, pool, plan, train_seconds):
        measurer.progress.note(note)
    outlook = course.go_on()
    guesses = course.guesses()
    filled, options = course.filled(guesses), course.filled_options()
    frame = pool.rows.select("id", "key")
    for part in parts:
        frame = frame.join(part, on="key", how="left", maintain_order="left")
    for source in sources:
        answer = course.answers[source.name]
        provenance[source.name] = answer.columns.notes
        provenance["spent_seconds"][source.name] = answer.seconds + answer.trial_seconds
        part = completed(
            texts.keys,
            source.name,
            answer.columns.frame,
            {name: filled[name] for name in course.columns[source.name]},
            held=course.held[source.name],
            tokens=course.tokens if source.name == "ge" else None,
            options=options if source.name == "se" else None,
            option_names=course.option_names,
        )
        frame = frame.join(part, on="key", how="left", maintain_order="left")
    provenance["stages"] = merged_stages(measurer.stages)
    told, spent = _told(
        course,
        outlook,
        kept_share=_kept_share(plan.request, len(pool)),
        vector_seconds=vector_seconds,
        train_seconds=train_seconds,
    )
    told["share"], told["seconds_allowed"], told["seed"] = share, seconds, seed
    provenance["cascade"], provenance["cascade_spent"] = told, spent
    return ScoreTable(frame.drop("key"), provenance)


def completed(
    keys: Sequence[str],
    name: str,
    measured: pl.DataFrame,
    filled: Mapping[str, NDArray[np.float64]],
    *,
    held: NDArray[np.bool_],
    tokens: NDArray[np.float64] | None,
    options: NDArray[np.int64] | None,
    option_names: Sequence[str],
) -> pl.DataFrame:
    """Return a scorer's columns for all texts: as they were measured, and predicted elsewhere.

    The column ``<name>_source`` says which; it is null where there is no score.
    """
    frame = pl.DataFrame({"key": keys, "_held": held}).join(
        measured, on="key", how="left", maintain_order="left"
    )
    predicted = ~pl.col("_held")
    frame = frame.with_columns(
        pl.when(predicted).then(pl.Series(values)).otherwise(pl.col(column)).alias(column)
        for column, values in filled.items()
    )
    if tokens is not None and "ge_tokens" in frame.columns:
        counted = pl.Series(tokens).cast(pl.Int64)
        frame = frame.with_columns(
            ge_tokens=pl.when(predicted).then(counted).otherwise(pl.col("ge_tokens"))
        )
    if options is not None and OPTION in frame.columns:
        guessed = pl.Series([option_names[one] if one >= 0 else None for one in options])
        frame = frame.with_columns(
            pl.when(predicted).then(guessed).otherwise(pl.col(OPTION)).alias(OPTION)
        )
    source = pl.when(predicted).then(pl.lit(PREDICTED)).otherwise(pl.lit(MEASURED))
    return frame.with_columns(
        pl.when(pl.col(name).is_not_null()).then(source).alias(f"{name}_source")
    ).drop("_held")


def _early(
    course: Course,
    pool: Pool,
    plan: _Plan,
    train_seconds: float | None,
) -> list[str]:
    """Return what should be known once it is known what a text costs: whether it can pay."""
    kept = _kept_share(plan.request, len(pool))
    if train_seconds is None or kept is None or course.sample.all():
        return []
    rows = len(course.texts)
    allowance = course.allowance
    a_text = course.seconds_a_text
    spent = course.seconds_spent
    for name in allowance.costs:  # at most: as if all that is left went into one of them
        more = min(allowance.left / allowance.costs[name], rows - course.held[name].sum())
        spent = max(spent, course.seconds_spent + more * a_text[name])
    return early_advice(spent, train_seconds * (1 - kept))


def _kept_share(request: Request, rows: int) -> float | None:
    budget = request.budget
    return None if budget is None else min(1.0, budget.rows(rows) / max(rows, 1))


def _told(
    course: Course,
    outlook: Outlook,
    *,
    kept_share: float | None,
    vector_seconds: float,
    train_seconds: float | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was done and what is to be expected, and what depends on the clock."""
    rows = len(course.texts)
    guesses = course.guesses()
    measured = {name: int(one.sum()) for name, one in course.held.items()}
    tried = min(TRIED, rows)
    asked = sum(
        one.cost * (measured[one.name] + one.trials * course.trial_rows) for one in course.sources
    )
    low, high = np.quantile(outlook.shared, [0.05, 0.95])
    told: dict[str, Any] = {
        "texts": rows,
        "sample": int(course.sample.sum()),
        "rounds": course.rounds,
        "measured": measured,
        "predicted": {name: rows - one for name, one in measured.items()},
        "undecided": outlook.undecided,
        "questions_share": asked / questions(rows, course.sources, tried=tried),
        "probe": {
            name: {
                "spearman": guesses[name].spearman,
                "bar": guesses[name].bar if np.isfinite(guesses[name].bar) else None,
                "level": LEVEL,
                "rows_apart": len(guesses[name].apart),
            }
            for name in guesses
        },
        "overlap": {
            "rule": course.fates.rule,
            "expected": float(outlook.shared.mean()),
            "low": float(low),
            "high": float(high),
            "jaccard": float(outlook.jaccard.mean()),
        },
    }
    a_text = course.seconds_a_text
    trials = sum(one.trial_seconds for one in course.answers.values())
    spent = vector_seconds + sum(one.seconds + one.trial_seconds for one in course.answers.values())
    full = sum(a_text.values()) * rows + trials * tried / max(course.trial_rows, 1)
    clock = {
        "seconds": spent,
        "vector_seconds": vector_seconds,
        "full_seconds": full,
        "saved_seconds": full - spent,
        "seconds_a_text": a_text,
        "train_seconds": train_seconds,
        "training_saved_seconds": None
        if train_seconds is None or kept_share is None
        else train_seconds * (1 - kept_share),
    }
    sentences, warnings, costs = sentences_of(told, clock)
    told["sentences"], told["warnings"] = sentences, warnings
    clock["costs"] = costs
    return told, clock
