"""From a pool and a test set to a proof of several rules: hold out, score, select, prove."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from euds.errors import OptionError
from euds.ledger import Ledger
from euds.pool import Pool
from euds.progress import Progress
from euds.proof.arms import FULL, RANDOM
from euds.proof.holdout import HoldOut, hold_out
from euds.proof.prove import Proof, make_proof_settings, prove
from euds.proof.tasks import proof_task_named
from euds.proof.trained import TrainingStore
from euds.scores import SCORE_COLUMNS, ScoreTable, scorer_of
from euds.scoring import SCORERS, score
from euds.selection.interval import parse_budget
from euds.selection.rules import Rule, rule_named
from euds.selection.select import select
from euds.selection.selection import Selection
from euds.store import Store
from euds.vectors import Vectors, vectors_of

__all__ = ["ProvenRules", "check_rules", "prove_rules"]


@dataclass(frozen=True)
class ProvenRules:
    """What a proof of rules made on its way.

    Parameters
    ----------
    held : HoldOut
        Pool and test set, held apart.
    table : ScoreTable
        The scores of the pool.
    selections : tuple of Selection
        What each rule chose at each budget.
    proof : Proof
        What was found.
    """

    held: HoldOut
    table: ScoreTable
    selections: tuple[Selection, ...]
    proof: Proof


def check_rules(rules: Sequence[str], keeps: Sequence[float | str]) -> list[Rule]:
    """Return the rules to prove, once each; everything and random are arms anyway.

    Raises
    ------
    OptionError
        If there is no such rule or budget.
    """
    for keep in keeps:
        parse_budget(keep)
    named = {one.name: one for one in (rule_named(rule, SCORE_COLUMNS) for rule in rules)}
    chosen = [rule for name, rule in named.items() if name not in (FULL, RANDOM)]
    if not chosen or not keeps:
        raise OptionError(
            "there is nothing to prove",
            got=", ".join(rules) or "no rule",
            expected="rules such as igse,ie,ge,se; full and random are compared with anyway",
        )
    return chosen


def prove_rules(
    pool: Pool,
    test: Pool | float,
    *,
    rules: Sequence[str] = ("igse", "length"),
    keeps: Sequence[float | str] = (0.16,),
    scoring: Mapping[str, Any] | None = None,
    proving: Mapping[str, Any],
    remove_near_duplicates: bool = True,
    progress: Progress,
    ledger: Ledger | None = None,
    store: Store | None = None,
    trainings: TrainingStore | None = None,
) -> ProvenRules:
    """Hold out the test set, score the pool, select by each rule, and prove.

    Parameters
    ----------
    pool : Pool
        The samples with their labels.
    test : Pool or float
        The test set, or the share of the pool to split off as one.
    rules : sequence of str
        The rules to prove.
    keeps : sequence of float or str
        The budgets to prove each at: shares or numbers of rows.
    scoring, proving : mapping of str
        Fields of `euds.scoring.ScoreSettings` and of `euds.proof.prove.ProofSettings`.
    remove_near_duplicates : bool
        Whether near-duplicates of test rows are taken out of the pool.
    progress : Progress
        Is told what happens.
    ledger : Ledger, optional
        Gets the seconds of each stage.
    store, trainings : Store and TrainingStore, optional
        Where measurements and trainings are kept; the user's by default.
    """
    settings = make_proof_settings(**proving)
    chosen = check_rules(rules, keeps)
    spent = ledger if ledger is not None else Ledger()
    closed = proof_task_named(settings.task).kind == "class"
    with spent.stage("near-duplicates"):
        held = hold_out(
            pool,
            test,
            closed_labels=closed,
            remove_near_duplicates=remove_near_duplicates,
            seed=settings.seed,
        )
    for reason, rows in held.taken_out.items():
        progress.note(f"{rows:,} rows taken out: {reason}")
    progress.note(f"{len(held.pool):,} rows to select from, {len(held.test):,} to test on")
    with spent.stage("scoring"):
        table = _scored(
            held.pool, chosen, {"task": settings.task, **(scoring or {})}, progress, store
        )
    with spent.stage("vectors"):
        vectors = _vectors(held.pool, chosen, settings.encoder, progress, store)
    selections, seconds = [], []
    for keep in keeps:
        for rule in chosen:
            started = time.perf_counter()
            with spent.stage("selecting"):
                selections.append(
                    select(
                        held.pool,
                        table,
                        keep=keep,
                        rule=rule.name,
                        vectors=vectors,
                        seed=settings.seed,
                    )
                )
            seconds.append(time.perf_counter() - started)
    proof = prove(
        held.pool,
        selections,
        test=held,
        scores=table,
        vectors=vectors,
        selecting_seconds=seconds,
        ledger=spent,
        store=trainings,
        progress=progress,
        **proving,
    )
    return ProvenRules(held, table, tuple(selections), proof)


def _scored(
    pool: Pool,
    rules: Sequence[Rule],
    scoring: Mapping[str, Any],
    progress: Progress,
    store: Store | None,
) -> ScoreTable:
    """Score what the rules need, and nothing else."""
    needed = {
        scorer_of(name)
        for rule in rules
        for name in (SCORERS if rule.scores is None else rule.scores)
    }
    if not needed:
        return ScoreTable(pool.frame.select("id"), {"pool": pool.fingerprint})
    names = [name for name in SCORERS if name in needed]
    return score(pool, names, store=store, progress=progress, **scoring)


def _vectors(
    pool: Pool, rules: Sequence[Rule], encoder: str, progress: Progress, store: Store | None
) -> Vectors | None:
    if not any("vectors" in rule.needs for rule in rules):
        return None
    return vectors_of(pool.texts, encoder=encoder, store=store, progress=progress)
