"""What a user asks of selecting, checked as far as it can be before there are scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from euds.errors import OptionError, did_you_mean
from euds.scores import SCORE_COLUMNS, canonical_score
from euds.selection.coverage import needs_rows
from euds.selection.groups import CLUSTERS
from euds.selection.interval import Budget, Interval, parse_budget, parse_interval
from euds.selection.quotas import Quota, parse_quota
from euds.selection.repeats import NearDuplicates, check_near_duplicates
from euds.selection.rules import Rule, rule_named

__all__ = [
    "DEFAULT_KEEP",
    "Request",
    "budget_of",
    "check_request",
    "check_target",
    "intervals_of",
    "read_request",
]

DEFAULT_KEEP = 0.16
"""The share behind the EUDS paper's headline, 84 % less data (arXiv 2602.17465)."""


@dataclass(frozen=True)
class Request:
    """What is asked of selecting, read.

    Parameters
    ----------
    rule : Rule
        The rule.
    intervals : sequence of Interval
        The intervals given, without ``middle``.
    budget : Budget or None
        None for all that qualify.
    quota : Quota or None
        How the budget is divided.
    near_duplicates : {"auto", "drop", "keep", "embedding"}
        What becomes of them.
    soft : bool
        Whether rows are drawn, the likelier the better they stand.
    """

    rule: Rule
    intervals: Sequence[Interval]
    budget: Budget | None
    quota: Quota | None
    near_duplicates: NearDuplicates
    soft: bool

    @property
    def vectors_for(self) -> str | None:
        """What needs sentence vectors, in words; None if nothing does."""
        if "vectors" in self.rule.needs:
            return f"the rule {self.rule.name}"
        if self.quota is not None and self.quota.column == CLUSTERS:
            return "the quota of clusters"
        if self.near_duplicates == "embedding":
            return "finding near-duplicates by embedding"
        return None


def read_request(
    *,
    rule: str,
    keep: float | str | None,
    keep_tokens: int | None,
    interval: str | Sequence[str],
    near_duplicates: NearDuplicates,
    quota: str | None,
    soft: bool,
    score_names: tuple[str, ...],
) -> Request:
    """Read what `select` is asked for.

    Raises
    ------
    OptionError
        If it makes no sense, or does not go together.
    """
    intervals = intervals_of(interval)
    chosen = rule_named(rule, score_names)
    budget = budget_of(chosen, intervals, keep=keep, keep_tokens=keep_tokens)
    check_near_duplicates(near_duplicates)
    request = Request(
        rule=chosen,
        intervals=intervals,
        budget=budget,
        quota=None if quota is None else parse_quota(quota),
        near_duplicates=near_duplicates,
        soft=soft,
    )
    if chosen.name == "full" and (quota or soft or near_duplicates in ("drop", "embedding")):
        raise OptionError(
            "the rule full keeps every row",
            got="a quota, a soft interval, or near-duplicates to drop",
            next_step="choose another rule, such as random",
        )
    if quota is not None and budget is None:
        raise OptionError(
            "a quota divides a budget, and there is none", next_step="give one, such as --keep 16%"
        )
    if soft:
        _check_soft(request)
    return request


def _check_soft(request: Request) -> None:
    rule, budget = request.rule, request.budget
    if rule.is_draw or rule.needs_rows:
        raise OptionError(
            f"the rule {rule.name} has no order that a soft interval could follow",
            next_step="choose a rule with ranks, such as igse",
        )
    if any(one.column is None for one in request.intervals):
        raise OptionError(
            "a soft interval has no bounds in ranks",
            next_step="leave out the interval, or give one in raw values: ie=2.5:4.0",
        )
    if budget is None or budget.unit == "tokens":
        raise OptionError(
            "a soft interval needs to know how many rows to keep",
            got="a budget in tokens, or none beside the interval",
            expected="a share or a number of rows, such as --keep 16%",
        )


def check_request(
    *,
    rule: str,
    keep: float | str | None,
    keep_tokens: int | None,
    interval: str | Sequence[str],
    entropies: Sequence[str],
    near_duplicates: NearDuplicates = "auto",
    quota: str | None = None,
    soft: bool = False,
) -> None:
    """Check what can be checked of a request before there are scores; see `select`.

    Raises
    ------
    OptionError
        If a rule, score, interval, quota or budget makes no sense.
    """
    request = read_request(
        rule=rule,
        keep=keep,
        keep_tokens=keep_tokens,
        interval=interval,
        near_duplicates=near_duplicates,
        quota=quota,
        soft=soft,
        score_names=SCORE_COLUMNS,
    )
    named = [canonical_score(name) for name in entropies]
    for name in [*named, *(one.column for one in request.intervals if one.column is not None)]:
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
