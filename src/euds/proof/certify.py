"""A certificate that a subset is not worse than random rows, or random rows instead of it.

The subset and draws of random rows of its size, in the pool's shares of labels, are trained and
answer a validation part that nothing was chosen on. The subset is handed out only if a one-sided
test there rejects, at level alpha, that it is worse than such draws by the margin or more. Else a
draw is handed out. So a subset that loses the margin or more is handed out with a probability of
at most alpha (``benchmarks/certificate.py``; Learn-then-Test with one hypothesis, Angelopoulos et
al. 2021, arXiv 2110.01052).

The level holds for one question. Another one put to the same rows is counted and told: that any of
k such certificates is wrong has a probability of at most k times alpha.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from euds.errors import InputError, OptionError, StoreError
from euds.files.atomic import write_bytes_atomically
from euds.files.damage import FILE_DAMAGE, first_line, parse_json
from euds.files.environment import cache_dir
from euds.pool.pool import Pool
from euds.progress import Ledger, Progress
from euds.proof.arms import FULL, check_trainable, drawn_arm, same_rows_arm, share_of
from euds.proof.experiment import settings_of, trainer_recipe
from euds.proof.holdout import HoldOut
from euds.proof.prove import ProofSettings, held_apart, make_proof_settings, scope_of, train_arms
from euds.proof.results import dependence_warnings
from euds.proof.statistics import Estimate, difference_of
from euds.proof.tasks import proof_task_named
from euds.proof.training.trained import TrainingStore
from euds.proof.training.trainers import trainer_named
from euds.selection.selection import Selection

__all__ = [
    "ALPHA",
    "FALLBACK",
    "LEAST_ROWS",
    "STRICTNESS",
    "Certificate",
    "QuestionLog",
    "certify",
    "check_alpha",
    "non_inferiority",
]

ALPHA = 0.05
STRICTNESS = 0.7
LEAST_ROWS = 200
FALLBACK = "random-stratified"


@dataclass(frozen=True)
class NonInferiority:
    """The test that a subset is not worse than random rows by a margin, and what it found.

    Parameters
    ----------
    difference : Estimate
        The subset's mean score minus that of the random rows.
    margin : float
        The loss from which on it counts, in scores: 0.01 is a point.
    alpha : float
        The level.
    """

    difference: Estimate
    margin: float
    alpha: float

    @property
    def bound(self) -> float:
        """What the true difference lies above, but for a probability of alpha."""
        return self.difference.interval(1 - 2 * STRICTNESS * self.alpha)[0]

    @property
    def p(self) -> float:
        """The p-value of a loss of the margin or more, for a comparison with alpha."""
        return min(self.difference.p_greater(-self.margin) / STRICTNESS, 1.0)

    @property
    def is_certified(self) -> bool:
        """Whether a loss of the margin is excluded: the bound lies above, or p is below alpha."""
        return self.bound > -self.margin


def non_inferiority(
    scores: ArrayLike, drawn: ArrayLike, *, margin: float, alpha: float = ALPHA
) -> NonInferiority:
    """Test whether a subset loses the margin or more against random rows.

    Parameters
    ----------
    scores, drawn : array_like, shape (seeds, rows)
        Scores in [0, 1] of the two arms on the validation rows, paired.
    margin, alpha : float
        See `NonInferiority`.
    """
    return NonInferiority(difference_of(scores, drawn), margin, alpha)


@dataclass(frozen=True)
class Certificate:
    """The decision, and the selection that it hands out.

    Parameters
    ----------
    delivered : Selection
        The selection that was tested, or random rows of its size.
    results : dict
        What was found, as ``docs/certifying.md`` describes it; plain values.
    """

    delivered: Selection
    results: dict[str, Any]

    @property
    def is_certified(self) -> bool:
        """Whether the selection that was tested is the one handed out."""
        return bool(self.results["certified"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be read before the certificate is used."""
        return tuple(self.results["warnings"])

    def __str__(self) -> str:
        return str(self.results["sentence"])


def certify(
    pool: Pool,
    selection: Selection,
    *,
    validation: HoldOut | Pool | str | Path,
    alpha: float = ALPHA,
    selecting_seconds: float = 0.0,
    ledger: Ledger | None = None,
    store: TrainingStore | None = None,
    questions: QuestionLog | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Certificate:
    """Hand out a selection if it is certainly not worse than random rows, else random rows.

    Labels are used: to train, to test, and to draw the random rows.

    Parameters
    ----------
    pool : Pool
        The pool that the selection is of, without the validation part; every row has a label.
    selection : Selection
        What was chosen from it.
    validation : HoldOut, Pool or path
        What `euds.hold_out` returned, or labelled rows that the pool has no near-duplicates of.
        Nothing may have been chosen on them.
    alpha : float
        The probability, at most, of handing out a selection that loses the margin or more.
    selecting_seconds : float
        What making the selection took.
    ledger : Ledger, optional
        Gets the seconds of the stages.
    store : TrainingStore, optional
        Where trainings are kept; the user's store by default.
    questions : QuestionLog, optional
        What validation parts were asked before; the user's by default.
    progress : Progress, optional
        Is told what happens; by default bars on stderr where that is a terminal, else silence.
    **settings
        The fields of `euds.proof.prove.ProofSettings`; ``task`` is needed, and ``trainer`` is
        ``probe`` unless it is given.

    Returns
    -------
    Certificate

    Raises
    ------
    OptionError
        If a setting or the selection makes no sense.
    InputError
        If the pool or the validation part has no labels, they do not go together, or the latter
        has fewer than `LEAST_ROWS` rows.
    """
    check_alpha(alpha)
    chosen = make_proof_settings(**{"trainer": "probe", **settings})
    check_trainable(pool, selection)
    rule = selection.settings["rule"]
    if rule in (FALLBACK, FULL):
        raise OptionError(
            f"the rule {rule} needs no certificate",
            expected=f"a selection to compare with {FALLBACK}",
        )
    held = held_apart(pool, validation, chosen)
    if len(held.test) < LEAST_ROWS:
        raise InputError(
            "the validation part is too small for a certificate",
            got=f"{len(held.test):,} rows with a label",
            expected=f"{LEAST_ROWS} or more: with fewer the level does not hold",
            next_step="set a larger part aside, or give one: --validation",
        )
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    drawn = drawn_arm(pool, FALLBACK, len(selection), seeds, keep=share_of(selection))
    # The selection itself, also where its rule draws: what is tested is what is handed out.
    arm = same_rows_arm(selection, seeds, selecting_seconds)
    log = questions or QuestionLog.default()
    earlier = log.ask(held.test, _question(selection, chosen, alpha))
    spent = ledger if ledger is not None else Ledger()
    trained = train_arms(
        pool,
        held.test,
        [drawn, arm],
        chosen,
        tuned_on=FALLBACK,
        ledger=spent,
        store=store,
        progress=progress,
    )
    task = proof_task_named(chosen.task)
    with spent.stage("comparing"):
        scores = trained.experiment.scores(trained.runs)
        of_arm, of_drawn = (scores[one.name][task.metric] for one in (arm, drawn))
        found = non_inferiority(of_arm, of_drawn, margin=chosen.margin_points / 100, alpha=alpha)
    ((tuned, tried),) = trained.tuned.values()
    spoken = f"{arm.name} at {100 * arm.keep:.3g} %"
    return Certificate(
        selection if found.is_certified else drawn.selections[0],
        {
            "certified": found.is_certified,
            "sentence": _sentence(found, spoken, chosen, len(held.test), alpha),
            "delivered": arm.rule if found.is_certified else FALLBACK,
            "tested": {"rule": arm.rule, "keep": arm.keep, "rows": arm.rows},
            "alpha": alpha,
            "margin_points": chosen.margin_points,
            "metric": task.metric,
            "difference_points": 100 * found.difference.mean,
            "bound_points": 100 * found.bound,
            "p": found.p,
            "points": {
                "tested": 100 * float(of_arm.mean()),
                FALLBACK: 100 * float(of_drawn.mean()),
            },
            "validation": {
                "rows": len(held.test),
                "fingerprint": held.test.fingerprint,
                "earlier_questions": earlier,
            },
            "trainer": settings_of(trained.experiment.trainer),
            "regime": chosen.regime,
            "seeds": list(seeds),
            "tuned": {"rows": drawn.rows, **tuned, "tried": tried},
            "scope": scope_of(chosen, pool, held.test, tested_on="validation part"),
            "warnings": [
                *held.warnings,
                *dependence_warnings(held.test),
                *_repetition_warnings(earlier, alpha),
                *_level_warnings(alpha),
            ],
        },
    )


def check_alpha(alpha: float) -> None:
    """Refuse a level that is none.

    Raises
    ------
    OptionError
        If it is not above 0 and below 1/2.
    """
    if not 0 < alpha < 0.5:
        raise OptionError(
            "the level of a certificate is out of range",
            where="alpha",
            got=str(alpha),
            expected="a probability above 0 and below 0.5, such as 0.05",
        )


@dataclass(frozen=True)
class QuestionLog:
    """Which questions were put to which validation rows; it holds hashes and no texts.

    Parameters
    ----------
    root : pathlib.Path
        The folder; made when something is first asked.
    """

    root: Path

    @classmethod
    def default(cls) -> QuestionLog:
        """Return the user's log: in ``EUDS_CACHE``, else in the platform's cache folder."""
        return cls(cache_dir() / "certified" / "v1")

    def ask(self, validation: Pool, question: str) -> int:
        """Note a question, and return how many others were put to these rows before.

        Raises
        ------
        StoreError
            If what was asked before cannot be read.
        """
        path = self.root / f"{validation.fingerprint}.json"
        try:
            asked: Sequence[str] = parse_json(path.read_bytes())["questions"]
        except FileNotFoundError:
            asked = ()
        except (*FILE_DAMAGE, KeyError, TypeError) as error:
            raise StoreError(
                "it cannot be told what these validation rows were asked before",
                where=str(path),
                got=first_line(error),
                next_step="remove this file, and set another part aside: another --seed",
            ) from error
        if question in asked:
            return list(asked).index(question)
        content = json.dumps({"questions": [*asked, question]}) + "\n"
        write_bytes_atomically(path, content.encode())
        return len(asked)


def _question(selection: Selection, settings: ProofSettings, alpha: float) -> str:
    """Return a hash of all that decides the answer, apart from the validation part."""
    trainer = trainer_named(settings.trainer, settings.trainer_options)
    content = {
        "ids": sorted(selection.ids),
        "trainer": trainer_recipe(trainer, proof_task_named(settings.task)),
        "grid": [dict(one) for one in trainer.grid],
        "seeds": [settings.seed, settings.seeds],
        "regime": settings.regime,
        "margin": settings.margin_points,
        "alpha": alpha,
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _sentence(
    found: NonInferiority, spoken: str, settings: ProofSettings, rows: int, alpha: float
) -> str:
    bound = 100 * found.bound
    how = (
        f"one-sided {100 * (1 - alpha):g} %, {rows:,} validation rows, {settings.seeds} "
        f"seed{'s' if settings.seeds > 1 else ''}"
    )
    margin = f"{settings.margin_points:g} point{'' if settings.margin_points == 1 else 's'}"
    against = f"{FALLBACK} rows of its number"
    if found.is_certified:
        size = f"gains at least {bound:.1f}" if bound > 0 else f"loses at most {-bound:.1f}"
        return f"certified: {spoken} {size} points against {against} ({how}; margin {margin})"
    return (
        f"not certified, so {FALLBACK} rows are handed out instead: {spoken} may lose "
        f"{-bound:.1f} points against {against} ({how}; margin {margin})"
    )


def _level_warnings(alpha: float) -> list[str]:
    if alpha >= ALPHA:
        return []
    return [
        f"a level of {alpha:g} is not met by every combination of rows and seeds in simulations; "
        f"{ALPHA:g} is (docs/certifying.md)"
    ]


def _repetition_warnings(earlier: int, alpha: float) -> list[str]:
    if not earlier:
        return []
    others = f"{earlier:,} other question{'s were' if earlier > 1 else ' was'}"
    return [
        f"{others} put to these validation rows before: that any of the {earlier + 1:,} answers is "
        f"a wrong certificate has a probability of {min(1.0, (earlier + 1) * alpha):.2g} at most, "
        f"not {alpha:g}, and none is sure if an answer decided what was asked next; another --seed "
        f"sets another part aside"
    ]
