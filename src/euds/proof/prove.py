"""The proof, from selections to results: arms, trainings, statistics, costs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euds.errors import (
    MissingExtraError,
    ModelNotFoundError,
    OptionError,
    check_settings,
    did_you_mean,
)
from euds.files.environment import package_versions
from euds.pool.pool import Pool, Texts
from euds.progress import Ledger, Progress, default_progress
from euds.proof import results as found
from euds.proof.arms import FULL, RANDOM, Arm, Basis, make_arms
from euds.proof.costs import (
    arm_costs,
    ledger_rows,
    parse_train_cost,
    peak_memory_mib,
    target_ledger,
)
from euds.proof.experiment import Experiment, Run, settings_of
from euds.proof.holdout import HoldOut, hold_out
from euds.proof.tasks import proof_task_named
from euds.proof.training.protocol import Settings
from euds.proof.training.trained import TrainingStore
from euds.proof.training.trainers import TrainerOptions, trainer_named
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors, vectors_of
from euds.selection.near_duplicates import Groups
from euds.selection.rules.registry import RULES
from euds.selection.selection import Selection

__all__ = [
    "Proof",
    "ProofSettings",
    "TrainedArms",
    "held_apart",
    "make_proof_settings",
    "prove",
    "scope_of",
    "train_arms",
]

CONFIDENCE = 0.95
_REGIMES = ("epochs", "steps")


@dataclass(frozen=True)
class ProofSettings:
    """Everything that decides a proof, apart from the pool, the test set and the selections.

    Parameters
    ----------
    task : str
        ``sentiment``, ``topic``, ``yes-no`` or ``answer``.
    trainer : {"fine-tune", "probe"}
        The whole encoder is trained, or a logistic head on the frozen one: the quick look.
    seeds : int
        How many seeds. Random subsets are drawn anew for each.
    seed : int
        The first of them.
    regime : {"epochs", "steps"}
        All arms go through their rows equally often (what is saved), or take equally many steps
        (what the rows are worth).
    margin_points : float
        The loss, in points, that still counts as "as good".
    train_cost : str, optional
        What training your own model costs: ``0.05s`` a row and epoch, or its parameters, ``7B``.
    encoder, epochs, batch_size, max_tokens, precision, learning_rate
        See `euds.proof.training.trainers.TrainerOptions`.
    """

    task: str
    trainer: str = "fine-tune"
    seeds: int = 5
    seed: int = 0
    regime: str = "epochs"
    margin_points: float = 1.0
    train_cost: str | None = None
    encoder: str = "minilm-l6"
    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 128
    precision: str = "auto"
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        proof_task_named(self.task)
        if self.seeds < 1:
            raise OptionError("a proof needs a seed", got=str(self.seeds), expected="at least 1")
        if self.regime not in _REGIMES:
            raise OptionError(
                f"there is no regime {self.regime!r}",
                expected=" or ".join(_REGIMES),
                next_step=did_you_mean(self.regime, _REGIMES),
            )
        if not 0 < self.margin_points < 100:
            raise OptionError(
                "the margin makes no sense",
                got=str(self.margin_points),
                expected="points above 0, such as 1.0",
            )
        if self.train_cost is not None:
            parse_train_cost(self.train_cost)

    @property
    def trainer_options(self) -> TrainerOptions:
        """What the trainer is told."""
        names = TrainerOptions.__dataclass_fields__
        return TrainerOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Proof:
    """What a proof found.

    Parameters
    ----------
    results : dict
        The document that `docs/results.md` describes.
    """

    results: dict[str, Any]

    @property
    def headline(self) -> tuple[str, ...]:
        """The verdicts in words, what matters most first."""
        return tuple(self.results["headline"])

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """Each rule against everything and against random, with the decision and the sentence."""
        return list(self.results["verdicts"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be read before the verdicts are used."""
        return tuple(self.results["warnings"])

    def __str__(self) -> str:
        return "\n".join(self.headline)


def prove(
    pool: Pool,
    selections: Sequence[Selection],
    *,
    test: HoldOut | Pool | str | Path,
    scores: ScoreTable | None = None,
    vectors: Vectors | None = None,
    target: Texts | None = None,
    selecting_seconds: Sequence[float] = (),
    ledger: Ledger | None = None,
    store: TrainingStore | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Proof:
    """Train on each selection, on random rows of its size and on everything, and compare.

    Parameters
    ----------
    pool : Pool
        The pool that the selections are of; every row has a label.
    selections : sequence of Selection
        What is to be proven; of one size for a verdict, of several for a curve.
    test : HoldOut, Pool or path
        What `euds.hold_out` returned, or the test set itself. In the second case the pool must
        hold no near-duplicate of a test row, since the selections were made from it already.
    scores : ScoreTable, optional
        The scores that the selections were made from: what they cost is charged for.
    vectors : Vectors, optional
        The same for vectors.
    target : Texts, optional
        The target texts that selections were made for; rules that draw are drawn again from all of
        these.
    selecting_seconds : sequence of float
        What making each selection took.
    ledger : Ledger, optional
        Seconds of the stages before; those of the proof are added.
    store : TrainingStore, optional
        Where trainings are kept; the user's store by default.
    progress : Progress, optional
        Is told what happens; by default bars on stderr where that is a terminal, else silence.
    **settings
        The fields of `ProofSettings`; ``task`` is needed.

    Returns
    -------
    Proof

    Raises
    ------
    OptionError
        If a setting or a selection makes no sense.
    InputError
        If pool and test set do not go together.
    """
    chosen = make_proof_settings(**settings)
    task = proof_task_named(chosen.task)
    held = held_apart(pool, test, chosen)
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    spent = ledger if ledger is not None else Ledger()
    if vectors is None:
        vectors = _vectors(pool, selections, spent, progress)
    basis = Basis(scores, vectors, target)
    arms = make_arms(pool, selections, seeds=seeds, seconds=selecting_seconds, basis=basis)
    trained = train_arms(
        pool, held.test, arms, chosen, ledger=spent, store=store, progress=progress
    )
    experiment, tuned, runs = trained.experiment, trained.tuned, trained.runs
    with spent.stage("comparing"):
        matrices = experiment.scores(runs)
        findings = found.find(arms, matrices, task, held.test, margin_points=chosen.margin_points)
    costs, unknown = arm_costs(arms, runs, experiment, scores=scores, vectors=vectors)
    rows = found.arm_rows(arms, runs, matrices, costs, pool, task)
    several = len({arm.rows for arm in arms if arm.rule == RANDOM}) > 1
    target_costs = (
        target_ledger(
            arms,
            costs,
            experiment,
            runs,
            chosen.train_cost,
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
        )
        if chosen.train_cost is not None
        else None
    )
    return Proof(
        {
            "schema_version": found.SCHEMA_VERSION,
            "headline": findings.headline,
            "warnings": [
                *held.warnings,
                *findings.warnings,
                *unknown,
                *(warning for row in rows for warning in row["warnings"]),
            ],
            "uses_labels": [arm.name for arm in arms if arm.uses_labels],
            "command": None,
            "task": {"name": task.name, "metric": task.metric, "metrics": list(task.metrics)},
            "scope": scope_of(chosen, pool, held.test),
            "settings": {
                "keep": sorted({arm.keep for arm in arms if arm.rule == RANDOM}),
                "seeds": list(seeds),
                "regime": chosen.regime,
                "margin_points": chosen.margin_points,
                "confidence": CONFIDENCE,
                "encoder": chosen.encoder,
                "trainer": settings_of(experiment.trainer),
                "tuned": [
                    {"rows": rows, **settings, "tried": tried}
                    for rows, (settings, tried) in tuned.items()
                ],
            },
            "pool": found.described(pool, held.taken_out, task),
            "test": {
                **found.described(held.test, held.test_taken_out, task),
                "majority_points": found.majority_points(task, held.test),
                "groups": None if held.groups is None else _groups(held.groups),
            },
            "arms": rows,
            "comparisons": [one.to_dict() for one in findings.comparisons],
            "verdicts": findings.verdicts,
            "curve": found.curve_rows(arms, rows, findings, task.metric) if several else [],
            "ledger": {
                "stages": dict(spent.seconds),
                "full_seconds": costs[FULL].training + costs[FULL].evaluating,
                "arms": ledger_rows(arms, costs),
                "target": target_costs,
                "peak_memory_mib": peak_memory_mib(),
            },
            "versions": package_versions(),
            "machine": {
                "system": platform.platform(),
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
            },
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
    )


def _vectors(
    pool: Pool, selections: Sequence[Selection], ledger: Ledger, progress: Progress | None
) -> Vectors | None:
    """Return the vectors that a rule found by itself when it selected: it will draw from them."""
    rules = [RULES.get(one.settings["rule"]) for one in selections]
    if not any(rule is not None and "vectors" in rule.is_better_with for rule in rules):
        return None
    with ledger.stage("vectors"):
        try:
            return vectors_of(pool.texts, progress=progress)
        except (MissingExtraError, ModelNotFoundError):
            return None  # it did without, and will again


@dataclass(frozen=True)
class TrainedArms:
    """Arms, trained with every seed.

    Parameters
    ----------
    experiment : Experiment
        What trained them; it holds their answers against the labels.
    tuned : dict
        By the number of rows the settings chosen, and what was tried.
    runs : list of Run
        One an arm and seed.
    """

    experiment: Experiment
    tuned: dict[int, tuple[Settings, list[dict[str, Any]]]]
    runs: list[Run]


def train_arms(
    pool: Pool,
    test: Pool,
    arms: Sequence[Arm],
    settings: ProofSettings,
    *,
    tuned_on: str = RANDOM,
    ledger: Ledger,
    store: TrainingStore | None,
    progress: Progress | None,
) -> TrainedArms:
    """Tune the settings on the arms of one rule, then train every arm with every seed.

    Parameters
    ----------
    pool, test : Pool
        What is trained on and what is asked; they are held apart.
    arms : sequence of Arm
        The arms.
    settings : ProofSettings
        How they are trained.
    tuned_on : str
        The rule whose arms the settings are chosen on, one a size.
    ledger, store, progress
        As in `prove`; the progress is closed at the end.
    """
    seeds = range(settings.seed, settings.seed + settings.seeds)
    shown = progress or default_progress()
    try:
        with ledger.stage("preparing"):
            experiment = Experiment(
                proof_task_named(settings.task),
                trainer_named(settings.trainer, settings.trainer_options),
                pool,
                test,
                seeds,
                settings.regime,
                store or TrainingStore.default(),
                shown,
            )
            experiment.announce(arms, tuned_on=tuned_on)
        with ledger.stage("tuning"):
            tuned = {arm.rows: experiment.tune(arm) for arm in arms if arm.rule == tuned_on}
        runs = experiment.run(arms, {rows: chosen for rows, (chosen, _) in tuned.items()})
    finally:
        shown.close()
    for stage, seconds in experiment.seconds.items():
        ledger.add(stage, seconds)
    return TrainedArms(experiment, tuned, runs)


def make_proof_settings(**settings: Any) -> ProofSettings:
    """Return the settings; an unknown or missing name is the caller's mistake and says so."""
    check_settings(settings, ProofSettings.__dataclass_fields__)
    if settings.get("task") is None:
        raise OptionError(
            "what is to be learnt?",
            expected="a task: sentiment, topic, yes-no or answer",
            next_step="--task topic",
        )
    return ProofSettings(**settings)


def held_apart(pool: Pool, test: HoldOut | Pool | str | Path, settings: ProofSettings) -> HoldOut:
    """Return pool and test set held apart, or refuse: the selections are made already."""
    if isinstance(test, HoldOut):
        held, whole = test, test.pool
    else:
        held = hold_out(
            pool,
            test if isinstance(test, Pool) else _read_like(pool, test),
            closed_labels=proof_task_named(settings.task).kind == "class",
        )
        whole = held.pool
    if whole.fingerprint != pool.fingerprint or pool.rows["label"].null_count():
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in held.taken_out.items())
        raise OptionError(
            "rows have to be taken out of the pool before anything is selected from it",
            got=f"{len(pool):,} rows, where {len(whole):,} are held apart from the test set"
            + (f" ({counts} left)" if counts else ""),
            next_step="held = euds.hold_out(pool, test); select from held.pool; "
            "prove(held.pool, ..., test=held), or certify(held.pool, ..., validation=held)",
        )
    return held


def _read_like(pool: Pool, path: str | Path) -> Pool:
    """Read a test set with the columns of the pool."""
    from euds.reading import read

    source = pool.source
    return read(str(path), text=source.text, context=source.context, label=source.label)


def _groups(groups: Groups) -> dict[str, int]:
    return {
        "count": groups.count,
        "largest": groups.largest,
        "cap": groups.cap,
        "refused_pairs": groups.refused.height,
    }


def scope_of(
    settings: ProofSettings, pool: Pool, test: Pool, *, tested_on: str = "test set"
) -> str:
    """Return what a result speaks of, and what it does not, in words."""
    how = {
        "probe": f"a logistic head on the frozen encoder {settings.encoder}",
        "fine-tune": f"{settings.encoder}, fine-tuned",
    }.get(settings.trainer, f"the trainer {settings.trainer}")
    regime = ""
    if settings.trainer == "fine-tune":
        regime = (
            f" for {settings.epochs} epochs"
            if settings.regime == "epochs"
            else f" for as many steps as {settings.epochs} epochs on everything take"
        )
    return (
        f"For {how}{regime}, on this pool of {len(pool):,} rows and this {tested_on} "
        f"of {len(test):,}; not shown for other or larger models, or for other data."
    )
