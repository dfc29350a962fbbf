"""What a user asks of selecting, checked as far as it can be before there are scores."""

from __future__ import annotations

from collections.abc import Sequence

from euds.errors import OptionError, did_you_mean
from euds.scores import SCORE_COLUMNS, canonical_score
from euds.selection.coverage import needs_rows
from euds.selection.interval import Budget, Interval, parse_budget, parse_interval
from euds.selection.rules import Rule, rule_named

__all__ = ["DEFAULT_KEEP", "budget_of", "check_request", "check_target", "intervals_of"]

DEFAULT_KEEP = 0.16
"""The share behind the EUDS paper's headline, 84 % less data (arXiv 2602.17465)."""


def check_request(
    *,
    rule: str,
    keep: float | str | None,
    keep_tokens: int | None,
    interval: str | Sequence[str],
    entropies: Sequence[str],
) -> None:
    """Check what can be checked of a request before there are scores; see `select`.

    Raises
    ------
    OptionError
        If a rule, score, interval or budget makes no sense.
    """
    intervals = intervals_of(interval)
    budget_of(rule_named(rule, SCORE_COLUMNS), intervals, keep=keep, keep_tokens=keep_tokens)
    named = [canonical_score(name) for name in entropies]
    for name in [*named, *(one.column for one in intervals if one.column is not None)]:
        if name not in SCORE_COLUMNS:
            raise OptionError(
                f"there is no score {name!r}",
                expected=", ".join(SCORE_COLUMNS),
                next_step=did_you_mean(name, SCORE_COLUMNS),
            )


def check_target(rules: Sequence[Rule], *, is_given: bool) -> None:
    """Check that there are target texts where a rule needs them, and only there.

    Raises
    ------
    OptionError
        If they are missing, or no rule looks at them.
    """
    looking = [rule.name for rule in rules if "target" in rule.needs]
    if looking and not is_given:
        raise OptionError(
            f"the rule {looking[0]} needs texts like those that matter to you",
            got="none",
            expected="a file like the input; of its labels nothing is used",
            next_step="--target FILE; in Python target=euds.read(FILE).texts",
        )
    if is_given and not looking:
        raise OptionError(
            "there is a target, and no rule that looks at it",
            got=", ".join(rule.name for rule in rules),
            next_step="leave out the target, or use the rule dsir",
        )


def intervals_of(interval: str | Sequence[str]) -> list[Interval]:
    """Return the intervals that were asked for; ``middle`` is none."""
    parts = [interval] if isinstance(interval, str) else interval
    return [one for one in map(parse_interval, parts) if one is not None]


def budget_of(
    rule: Rule, intervals: Sequence[Interval], *, keep: float | str | None, keep_tokens: int | None
) -> Budget | None:
    """Return the budget, None for all that qualify.

    Raises
    ------
    OptionError
        If it makes no sense, or not for this rule.
    """
    if rule.name == "full":
        if keep is not None or keep_tokens is not None or intervals:
            raise OptionError(
                "the rule full keeps every row", next_step="leave out the budget and the interval"
            )
        return None
    if keep is not None and keep_tokens is not None:
        raise OptionError("two budgets were given", expected="either --keep or --keep-tokens")
    if keep is not None:
        return parse_budget(keep)
    if keep_tokens is None and not intervals:
        return Budget(DEFAULT_KEEP, "share")
    if rule.needs_rows:
        raise needs_rows(rule.name)
    if keep_tokens is None:
        return None
    if keep_tokens < 1:
        raise OptionError("a budget in tokens is too small", got=str(keep_tokens))
    return Budget(keep_tokens, "tokens")
