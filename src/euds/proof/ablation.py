"""How much of a rule's gain over random rows is the length of the texts it keeps.

Beside the rule and random rows a third arm is trained: rows at random that are as long as the
rule's. The pool is divided into bins of equal count by length, and from each bin as many rows are
drawn as the rule keeps of it, anew for each seed. Then::

    rule - random = (rule - matched) + (matched - random)

where the second part is what length alone gives, and the first what the rule gives beside it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from euds.pool.pool import Pool
from euds.progress import Ledger, Progress
from euds.proof.arms import RANDOM, Arm, check_trainable, drawn_arm, same_rows_arm, share_of
from euds.proof.experiment import settings_of
from euds.proof.pipeline import choose
from euds.proof.prove import make_proof_settings, scope_of, train_arms
from euds.proof.results import dependence_warnings
from euds.proof.statistics import Estimate, difference_of
from euds.proof.tasks import proof_task_named
from euds.proof.training.trained import TrainingStore
from euds.scoring.score import SCORERS
from euds.scoring.store.contents import MeasurementStore
from euds.selection.selection import Selection

__all__ = ["LENGTH_BINS", "ablate", "length_matched"]

LENGTH_BINS = 20
_CONFIDENCE = 0.95


def length_matched(pool: Pool, selection: Selection, *, seed: int) -> Selection:
    """Draw rows at random whose lengths are distributed as those of a selection.

    Parameters
    ----------
    pool : Pool
        The pool that the selection is of.
    selection : Selection
        What is to be matched.
    seed : int
        Of the draw.

    Returns
    -------
    Selection
        As many rows, each text once; of each bin of length as many as the selection has.
    """
    rows = (
        pool.frame.select("id", "key", words=pl.col("text").str.count_matches(r"\S+"))
        .with_columns(kept=pl.col("id").is_in(selection.ids))
        .sort("key", ~pl.col("kept"), "id")
        .unique("key", keep="first", maintain_order=True)
    )
    # Bins of equal count have the same edges on the length as on its logarithm.
    words, kept = rows["words"].to_numpy(), rows["kept"].to_numpy()
    edges = np.unique(np.quantile(words, np.linspace(0, 1, LENGTH_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, words, side="right")
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(np.flatnonzero(bins == one), int(kept[bins == one].sum()), replace=False)
        for one in np.unique(bins)
    ]
    ids = rows["id"].gather(np.sort(np.concatenate(drawn)))
    is_drawn = pool.rows["id"].is_in(ids.implode())
    frame = pool.rows.select(
        "id",
        kept=is_drawn,
        reason=pl.when(is_drawn).then(None).otherwise(pl.lit("over budget")),
    )
    settings = {**selection.settings, "rule": _matched(selection.settings["rule"]), "seed": seed}
    return Selection(pool, frame, settings)


def ablate(
    pool: Pool,
    test: Pool | float,
    *,
    rules: Sequence[str] = ("igse", "length"),
    keep: float | str = 0.16,
    entropies: Sequence[str] = SCORERS,
    scoring: Mapping[str, Any] | None = None,
    proving: Mapping[str, Any],
    remove_near_duplicates: bool = True,
    sample: int | None = None,
    progress: Progress,
    ledger: Ledger | None = None,
    store: MeasurementStore | None = None,
    trainings: TrainingStore | None = None,
) -> dict[str, Any]:
    """Tell for each rule how much of its gain over random rows is length alone.

    Parameters
    ----------
    pool, test, rules, entropies, scoring, proving, remove_near_duplicates, sample
        See `euds.proof.pipeline.prove_rules`.
    keep : float or str
        The budget.
    progress, ledger, store, trainings
        The same.

    Returns
    -------
    dict
        What ``docs/proving.md`` describes; plain values.
    """
    spent = ledger if ledger is not None else Ledger()
    settings = make_proof_settings(**proving)
    chosen = choose(
        pool,
        test,
        rules=rules,
        keeps=(keep,),
        entropies=entropies,
        scoring=scoring,
        proving=proving,
        remove_near_duplicates=remove_near_duplicates,
        sample=sample,
        progress=progress,
        ledger=spent,
        store=store,
    )
    held = chosen.held
    seeds = range(settings.seed, settings.seed + settings.seeds)
    of_rules, matched = [], []
    for selection, seconds in zip(chosen.selections, chosen.seconds, strict=True):
        check_trainable(held.pool, selection)
        of_rules.append(same_rows_arm(selection, seeds, seconds))
        matched.append(_matched_arm(held.pool, selection, seeds))
    share = share_of(chosen.selections[0])
    random = drawn_arm(held.pool, RANDOM, of_rules[0].rows, seeds, keep=share)
    trained = train_arms(
        held.pool,
        held.test,
        [random, *of_rules, *matched],
        settings,
        ledger=spent,
        store=trainings,
        progress=progress,
    )
    metric = proof_task_named(settings.task).metric
    with spent.stage("comparing"):
        scores = {
            name: one[metric] for name, one in trained.experiment.scores(trained.runs).items()
        }
    found = [
        {
            "rule": arm.name,
            "words": {
                "pool": _mean_words(held.pool, None),
                "rule": _mean_words(held.pool, arm.selections[0]),
                "matched": _mean_words(held.pool, like.selections[0]),
            },
            "points": {
                "rule": 100 * float(scores[arm.name].mean()),
                "matched": 100 * float(scores[like.name].mean()),
                "random": 100 * float(scores[RANDOM].mean()),
            },
            "gain": _described(difference_of(scores[arm.name], scores[RANDOM])),
            "beside_length": _described(difference_of(scores[arm.name], scores[like.name])),
            "of_length": _described(difference_of(scores[like.name], scores[RANDOM])),
        }
        for arm, like in zip(of_rules, matched, strict=True)
    ]
    return {
        "sentences": [_sentence(one) for one in found],
        "rules": found,
        "metric": metric,
        "confidence": _CONFIDENCE,
        "keep": share,
        "rows": random.rows,
        "test_rows": len(held.test),
        "seeds": list(seeds),
        "trainer": settings_of(trained.experiment.trainer),
        "scope": scope_of(settings, held.pool, held.test),
        "warnings": [*held.warnings, *dependence_warnings(held.test)],
        "seconds": dict(spent.seconds),
    }


def _matched(rule: str) -> str:
    return f"as long as {rule}"


def _matched_arm(pool: Pool, selection: Selection, seeds: Sequence[int]) -> Arm:
    started = time.perf_counter()
    draws = tuple(length_matched(pool, selection, seed=seed) for seed in seeds)
    return Arm(
        name=_matched(selection.settings["rule"]),
        rule=_matched(selection.settings["rule"]),
        keep=share_of(selection),
        selections=draws,
        uses_labels=selection.settings["uses_labels"],
        selecting_seconds=(time.perf_counter() - started) / len(seeds),
    )


def _mean_words(pool: Pool, selection: Selection | None) -> float:
    texts = pool.frame["text"]
    if selection is not None:
        texts = texts.filter(pool.rows["id"].is_in(selection.ids))
    return float(texts.str.count_matches(r"\S+").to_numpy().mean())


def _described(difference: Estimate) -> dict[str, float]:
    low, high = difference.interval(_CONFIDENCE)
    return {
        "points": 100 * difference.mean,
        "low_points": 100 * low,
        "high_points": 100 * high,
    }


def _sentence(found: Mapping[str, Any]) -> str:
    def spoken(part: str) -> str:
        one = found[part]
        return (
            f"{one['points']:+.1f} points ({one['low_points']:+.1f} to {one['high_points']:+.1f})"
        )

    return (
        f"{found['rule']} against random: {spoken('gain')}, of which length alone "
        f"{spoken('of_length')}, the rest {spoken('beside_length')} (95 %)"
    )
