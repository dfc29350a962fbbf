"""The arms of a proof: what was selected, and the baselines of the same size."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from euds.errors import OptionError
from euds.pool.pool import Pool, Texts
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors
from euds.selection.request import AUTO
from euds.selection.rules.registry import Rule, rule_named
from euds.selection.select import select
from euds.selection.selection import Selection

__all__ = [
    "FEWEST_ROWS",
    "FULL",
    "RANDOM",
    "Arm",
    "Basis",
    "check_trainable",
    "drawn_arm",
    "make_arms",
    "same_rows_arm",
    "share_of",
]

FULL, RANDOM = "full", "random"
FEWEST_ROWS = 8


@dataclass(frozen=True)
class Arm:
    """A rule at a budget, trained in a proof.

    Parameters
    ----------
    name : str
        The rule, with ``@30%`` behind it where there are several budgets.
    rule : str
        The rule.
    keep : float
        The share of the pool's rows that it keeps.
    selections : tuple of Selection
        One a seed. A rule that draws has its own draw for each; any other the same for all.
    uses_labels : bool
        Whether the rule looked at labels.
    selecting_seconds : float
        What one selecting took, without scoring and vectors.
    """

    name: str
    rule: str
    keep: float
    selections: tuple[Selection, ...]
    uses_labels: bool
    selecting_seconds: float

    @property
    def rows(self) -> int:
        """The number of rows kept; that of the first draw, which differs only by token budgets."""
        return len(self.selections[0])


@dataclass(frozen=True)
class Basis:
    """What selections were made from, beside the pool; None for what is not at hand.

    Parameters
    ----------
    scores : ScoreTable or None
        The scores.
    vectors : Vectors or None
        The sentence vectors.
    target : Texts or None
        Texts like those that matter.
    """

    scores: ScoreTable | None = None
    vectors: Vectors | None = None
    target: Texts | None = None

    def check(self, rule: Rule) -> None:
        """Check that a rule can draw again from this.

        Raises
        ------
        OptionError
            If something that it needs is not at hand.
        """
        needed = {
            "scores": rule.scores != () and self.scores is None,
            "vectors": "vectors" in rule.needs and self.vectors is None,
            "target": "target" in rule.needs and self.target is None,
        }
        lacking = [name for name, lacks in needed.items() if lacks]
        if lacking:
            raise OptionError(
                f"the rule {rule.name} draws anew for every seed, from what it drew from first",
                got="no " + ", no ".join(lacking),
                next_step="give prove(...) the same " + " and ".join(f"{one}=" for one in lacking),
            )


def make_arms(
    pool: Pool,
    chosen: Sequence[Selection],
    *,
    seeds: Sequence[int],
    seconds: Sequence[float] = (),
    basis: Basis | None = None,
) -> list[Arm]:
    """Return the arms: everything, random subsets of each size, and what was chosen.

    Parameters
    ----------
    pool : Pool
        The pool that all selections are of.
    chosen : sequence of Selection
        What is to be proven. Selections by rules that draw are drawn again for every seed.
    seeds : sequence of int
        The seeds of the proof.
    seconds : sequence of float
        What each selecting took; zero where it is not known.
    basis : Basis, optional
        What the selections were made from; needed where a rule draws from more than the pool.

    Raises
    ------
    OptionError
        If a selection is of another pool, too small to train on, or cannot be drawn again.
    """
    for selection in chosen:
        check_trainable(pool, selection)
    # By the number of rows the share that was asked for: 83 of 1,669 rows are the 5 % asked for.
    shares = {len(one): share_of(one) for one in chosen if one.settings["rule"] != FULL}
    baselines = [drawn_arm(pool, RANDOM, rows, seeds, keep=shares[rows]) for rows in sorted(shares)]
    _check_sizes(chosen, shares)
    others = [
        _arm_of(pool, selection, seeds, taken, basis or Basis())
        for selection, taken in zip(chosen, [*seconds, *[0.0] * len(chosen)], strict=False)
        if selection.settings["rule"] not in (FULL, RANDOM)
    ]
    full = _arm_of(pool, select(pool, rule=FULL, guards=False), seeds, 0.0, Basis())
    return _named_apart([full, *baselines, *others], several_sizes=len(shares) > 1)


def check_trainable(pool: Pool, selection: Selection) -> None:
    """Refuse a selection that is of another pool, or too small to train on.

    Raises
    ------
    OptionError
        If it is.
    """
    if selection.pool is not pool and selection.pool.fingerprint != pool.fingerprint:
        raise OptionError(
            "a selection is of another pool than the one given",
            got=f"rule {selection.settings['rule']!r} on {len(selection.pool):,} rows",
            expected=f"a selection from the pool of {len(pool):,} rows",
        )
    if len(selection) < FEWEST_ROWS:
        raise OptionError(
            "an arm is too small to train on",
            where=f"rule {selection.settings['rule']}",
            got=f"{len(selection)} rows",
            expected=f"at least {FEWEST_ROWS}",
            next_step="raise --keep",
        )


def _check_sizes(chosen: Sequence[Selection], shares: Mapping[int, float]) -> None:
    """Refuse arms of different sizes that make no curve: the differences would be of size."""
    rules = {(one.settings["rule"], len(one)) for one in chosen if one.settings["rule"] != FULL}
    if len(rules) != len(shares) * len({rule for rule, _ in rules}):
        raise OptionError(
            "the selections are of different sizes",
            got=", ".join(f"{rule} {rows:,} rows" for rule, rows in sorted(rules)),
            expected="one size for all rules, or each rule at each of several sizes",
            next_step="select with keep= a share or a number of rows",
        )


def share_of(selection: Selection) -> float:
    """Return the share that was asked for; where rows or tokens were, the share kept."""
    asked = selection.settings["keep"]
    if asked is not None and asked["unit"] == "share":
        return float(asked["amount"])
    return len(selection) / len(selection.pool)


def drawn_arm(
    pool: Pool,
    rule: str,
    rows: int,
    seeds: Sequence[int],
    *,
    keep: float,
    basis: Basis | None = None,
    always_keep: Sequence[str] = (),
) -> Arm:
    """Return an arm that has a draw of its own for each seed."""
    basis = basis or Basis()
    basis.check(rule_named(rule))
    started = time.perf_counter()
    selections = tuple(
        select(
            pool,
            rule=rule,
            keep=rows,
            seed=seed,
            always_keep=always_keep,
            near_duplicates="keep",
            guards=False,
            **vars(basis),
        )
        for seed in seeds
    )
    return Arm(
        name=rule,
        rule=rule,
        keep=keep,
        selections=selections,
        uses_labels=rule_named(rule).uses_labels,
        selecting_seconds=(time.perf_counter() - started) / len(seeds),
    )


def _arm_of(
    pool: Pool, selection: Selection, seeds: Sequence[int], seconds: float, basis: Basis
) -> Arm:
    """Return the arm of a selection; a rule that draws has a draw of its own for each seed."""
    settings = selection.settings
    rule = rule_named(settings["rule"], tuple(settings["scores"]))
    if rule.is_draw and settings["interval"] in ([AUTO], ["middle"]):
        return drawn_arm(
            pool,
            rule.name,
            len(selection),
            seeds,
            keep=share_of(selection),
            basis=basis,
            always_keep=settings["always_keep"],
        )
    return same_rows_arm(selection, seeds, seconds)


def same_rows_arm(selection: Selection, seeds: Sequence[int], seconds: float = 0.0) -> Arm:
    """Return an arm that trains on this very selection with each seed, whatever its rule."""
    return Arm(
        name=_spoken(selection),
        rule=selection.settings["rule"],
        keep=share_of(selection),
        selections=(selection,) * len(seeds),
        uses_labels=selection.settings["uses_labels"],
        selecting_seconds=seconds,
    )


def _spoken(selection: Selection) -> str:
    """Return the rule, with the interval that it was given."""
    intervals = [one for one in selection.settings["interval"] if one not in (AUTO, "middle")]
    return " ".join([selection.settings["rule"], *intervals])


def _named_apart(arms: list[Arm], *, several_sizes: bool) -> list[Arm]:
    """Give every arm a name of its own."""
    named: dict[str, Arm] = {}
    for arm in arms:
        name = arm.name
        if several_sizes and arm.rule != FULL:
            name = f"{name}@{arm.keep * 100:.3g}%"
        repeat = 2
        while name in named:
            name, repeat = f"{name.partition(' (')[0]} ({repeat})", repeat + 1
        named[name] = Arm(**{**vars(arm), "name": name})
    return list(named.values())
