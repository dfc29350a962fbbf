"""From a pool and a test set to a proof of several rules: hold out, score, select, prove."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from euds.errors import OptionError
from euds.pool.pool import Pool, Texts
from euds.progress import Ledger, Progress
from euds.proof.arms import FEWEST_ROWS, FULL, RANDOM, share_of
from euds.proof.holdout import HoldOut, hold_out
from euds.proof.prove import Proof, make_proof_settings, prove
from euds.proof.tasks import proof_task_named
from euds.proof.training.trained import TrainingStore
from euds.proof.training.trainers import trainer_named
from euds.scoring.score import SCORERS, score
from euds.scoring.scores import SCORE_COLUMNS, ScoreTable, scorer_of
from euds.scoring.store.contents import MeasurementStore
from euds.scoring.vectors import Vectors, vectors_of
from euds.selection.request import check_target, parse_budget
from euds.selection.rules.registry import Rule, rule_named
from euds.selection.select import select
from euds.selection.selection import Selection

__all__ = ["ChosenRows", "ProvenRules", "check_rules", "choose", "prove_rules"]


@dataclass(frozen=True)
class ProvenRules:
    """What a proof of rules made on its way.

    Parameters
    ----------
    held : HoldOut
        Pool and test set, held apart.
    table : ScoreTable
        The scores of the pool.
    vectors : Vectors or None
        The sentence vectors, if a rule needs them.
    selections : tuple of Selection
        What each rule chose at each budget.
    proof : Proof
        What was found.
    """

    held: HoldOut
    table: ScoreTable
    vectors: Vectors | None
    selections: tuple[Selection, ...]
    proof: Proof

    @property
    def subset(self) -> Selection:
        """The selection to train on: the first rule's; of several budgets the smallest as good.

        Where none is as good as everything, the largest.
        """
        rule = self.selections[0].settings["rule"]
        mine = [one for one in self.selections if one.settings["rule"] == rule]
        smallest = next(
            (one["smallest_as_good"] for one in self.proof.results["curve"] if one["rule"] == rule),
            None,
        )
        return next((one for one in mine if share_of(one) == smallest), mine[-1])


def check_rules(rules: Sequence[str], keeps: Sequence[float | str]) -> list[Rule]:
    """Return the rules to prove, once each; everything and random are arms anyway.

    Raises
    ------
    OptionError
        If there is no such rule or budget.
    """
    for keep in keeps:
        parse_budget(keep)
    named = {rule.name: rule for rule in (rule_named(name, SCORE_COLUMNS) for name in rules)}
    chosen = [rule for rule in named.values() if rule.name not in (FULL, RANDOM)]
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
    rules: Sequence[str] = ("auto", "length"),
    keeps: Sequence[float | str] = (0.16,),
    entropies: Sequence[str] = SCORERS,
    scoring: Mapping[str, Any] | None = None,
    proving: Mapping[str, Any],
    remove_near_duplicates: bool = True,
    sample: int | None = None,
    target: Texts | None = None,
    progress: Progress,
    ledger: Ledger | None = None,
    store: MeasurementStore | None = None,
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
        The budgets to prove each at: shares or numbers of rows. Of several, those that are too
        small to train on are left out.
    entropies : sequence of str
        What the ``igse`` rules combine.
    scoring, proving : mapping of str
        Fields of `euds.scoring.score.ScoreSettings` and of `euds.proof.prove.ProofSettings`.
    remove_near_duplicates : bool
        Whether near-duplicates of test rows are taken out of the pool.
    sample : int, optional
        How many rows of a large pool the proof is about; see `euds.proof.holdout.hold_out`.
    target : Texts, optional
        Texts like those that matter, for the rules that need them. If test texts are among them, a
        warning says so.
    progress : Progress
        Is told what happens.
    ledger : Ledger, optional
        Gets the seconds of each stage.
    store, trainings : MeasurementStore and TrainingStore, optional
        Where measurements and trainings are kept; the user's by default.

    Raises
    ------
    OptionError, InputError, ModelNotFoundError
        If something asked for makes no sense; found out before anything is scored.
    """
    spent = ledger if ledger is not None else Ledger()
    chosen = choose(
        pool,
        test,
        rules=rules,
        keeps=keeps,
        entropies=entropies,
        scoring=scoring,
        proving=proving,
        remove_near_duplicates=remove_near_duplicates,
        sample=sample,
        target=target,
        progress=progress,
        ledger=spent,
        store=store,
    )
    proof = prove(
        chosen.held.pool,
        chosen.selections,
        test=chosen.held,
        scores=chosen.table,
        vectors=chosen.vectors,
        target=target,
        selecting_seconds=chosen.seconds,
        ledger=spent,
        store=trainings,
        progress=progress,
        **proving,
    )
    return ProvenRules(chosen.held, chosen.table, chosen.vectors, chosen.selections, proof)


@dataclass(frozen=True)
class ChosenRows:
    """What each rule chose at each budget, before anything is trained.

    Parameters
    ----------
    held : HoldOut
        Pool and test set, held apart.
    table : ScoreTable
        The scores of the pool.
    vectors : Vectors or None
        The sentence vectors, if a rule needs them.
    selections : tuple of Selection
        One a budget and rule.
    seconds : tuple of float
        What each selecting took.
    """

    held: HoldOut
    table: ScoreTable
    vectors: Vectors | None
    selections: tuple[Selection, ...]
    seconds: tuple[float, ...]


def choose(
    pool: Pool,
    test: Pool | float,
    *,
    rules: Sequence[str],
    keeps: Sequence[float | str],
    entropies: Sequence[str],
    scoring: Mapping[str, Any] | None,
    proving: Mapping[str, Any],
    remove_near_duplicates: bool,
    sample: int | None = None,
    target: Texts | None = None,
    progress: Progress,
    ledger: Ledger,
    store: MeasurementStore | None,
) -> ChosenRows:
    """Hold out the test set, score the pool, and select by each rule; see `prove_rules`."""
    settings = make_proof_settings(**proving)
    trainer_named(settings.trainer, settings.trainer_options)
    to_choose = check_rules(rules, keeps)
    check_target(to_choose, is_given=target is not None)
    with ledger.stage("near-duplicates"):
        held = hold_out(
            pool,
            test,
            closed_labels=proof_task_named(settings.task).kind == "class",
            remove_near_duplicates=remove_near_duplicates,
            sample=sample,
            seed=settings.seed,
        )
    held = replace(held, warnings=(*held.warnings, *_target_warnings(target, held, to_choose)))
    _tell(held, progress)
    budgets = _trainable(keeps, len(held.pool), progress)
    with ledger.stage("scoring"):
        table = _scored(
            held.pool,
            to_choose,
            entropies,
            {"task": settings.task, **(scoring or {})},
            progress,
            store,
        )
    with ledger.stage("vectors"):
        vectors = _vectors(held.pool, to_choose, settings.encoder, progress, store)
    selections, seconds = [], []
    for keep, rule in itertools.product(budgets, to_choose):
        started = time.perf_counter()
        selections.append(
            select(
                held.pool,
                table,
                keep=keep,
                rule=rule.name,
                entropies=entropies,
                vectors=vectors,
                target=target,
                seed=settings.seed,
                # The arms differ in nothing but the rule, so that nothing else explains a result.
                near_duplicates="keep",
                guards=False,
            )
        )
        seconds.append(time.perf_counter() - started)
    ledger.add("selecting", sum(seconds))
    return ChosenRows(held, table, vectors, tuple(selections), tuple(seconds))


def _target_warnings(target: Texts | None, held: HoldOut, rules: Sequence[Rule]) -> list[str]:
    """Say so if texts of the test set are read for selecting."""
    if target is None:
        return []
    tested = held.test.rows["key"].unique()
    read = int(tested.is_in(pl.Series(target.keys, dtype=pl.String).implode()).sum())
    if not read:
        return []
    looking = ", ".join(rule.name for rule in rules if "target" in rule.needs)
    return [
        f"{read:,} of {len(tested):,} test texts are among the target texts: {looking} looked at "
        f"them to select, though at no label of theirs, so its result is not one for new texts"
    ]


def _tell(held: HoldOut, progress: Progress) -> None:
    for name, taken_out in (("pool", held.taken_out), ("test set", held.test_taken_out)):
        for reason, rows in taken_out.items():
            progress.note(f"{rows:,} rows taken out of the {name}: {reason}")
    if held.groups is not None:
        progress.note(
            f"split by {held.groups.count:,} groups of near-duplicates, the largest of "
            f"{held.groups.largest:,} texts; {held.groups.refused.height:,} pairs would have made "
            f"a group larger than {held.groups.cap:,} and stayed apart"
        )
    progress.note(f"{len(held.pool):,} rows to select from, {len(held.test):,} to test on")


def _trainable(
    keeps: Sequence[float | str], pool_rows: int, progress: Progress
) -> list[float | str]:
    """Return the budgets that are large enough to train on, one for each number of rows."""
    by_rows = {parse_budget(keep).rows(pool_rows): keep for keep in reversed(keeps)}
    fitting = {rows: keep for rows, keep in by_rows.items() if rows >= FEWEST_ROWS}
    if not fitting:
        raise OptionError(
            "the budget is too small to train on",
            got=f"{max(by_rows):,} of {pool_rows:,} rows",
            expected=f"at least {FEWEST_ROWS} rows",
            next_step=f"a budget of {min(1.0, 2 * FEWEST_ROWS / pool_rows):.2g} or more",
        )
    for rows in sorted(set(by_rows) - set(fitting)):
        progress.note(f"left out: the budget {by_rows[rows]}, {rows} rows are too few to train on")
    return [fitting[rows] for rows in sorted(fitting)]


def _scored(
    pool: Pool,
    rules: Sequence[Rule],
    entropies: Sequence[str],
    scoring: Mapping[str, Any],
    progress: Progress,
    store: MeasurementStore | None,
) -> ScoreTable:
    """Score what the rules need.

    Information entropy is always among it: it costs next to nothing, and brings the words that
    length is counted in, so that what one rule keeps does not depend on which others are proven.
    """
    needed = {
        scorer_of(name)
        for rule in rules
        for name in (entropies if rule.scores is None else rule.scores)
    }
    names = [name for name in (*SCORERS, "ge_ifd") if name in needed | {"ie"}]
    return score(pool, names, store=store, progress=progress, **scoring)


def _vectors(
    pool: Pool,
    rules: Sequence[Rule],
    encoder: str,
    progress: Progress,
    store: MeasurementStore | None,
) -> Vectors | None:
    if not any("vectors" in rule.takes for rule in rules):
        return None
    return vectors_of(pool.texts, encoder=encoder, store=store, progress=progress)
