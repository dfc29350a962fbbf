"""What a user asks of selecting, checked as far as it can be before there are scores.

Rule and interval go together. Nobody has to name either: the automatic rule looks for its own
interval. An interval that is given is one of IGSE unless another score is named, and so is a soft
one.
"""

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
    "AUTO",
    "DEFAULT_KEEP",
    "Request",
    "budget_of",
    "check_request",
    "check_target",
    "intervals_of",
    "read_request",
    "rule_asked",
]

DEFAULT_KEEP = 0.16
"""The share behind the EUDS paper's headline, 84 % less data (arXiv 2602.17465)."""

AUTO = "auto"
_WITH_LABELS = "auto-labels"


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
        """What needs sentence vectors, or is better with them, in words; None if nothing is."""
        if self.quota is not None and self.quota.column == CLUSTERS:
            return "the quota of clusters"
        if self.near_duplicates == "embedding":
            return "finding near-duplicates by embedding"
        if "vectors" in self.rule.takes:
            return f"the rule {self.rule.name}"
        return None

    @property
    def must_have_vectors(self) -> bool:
        """Whether it cannot be done without sentence vectors."""
        alone = self.vectors_for == f"the rule {self.rule.name}"
        return self.vectors_for is not None and not (
            alone and "vectors" in self.rule.is_better_with
        )


def read_request(
    *,
    rule: str | None,
    keep: float | str | None,
    keep_tokens: int | None,
    interval: str | Sequence[str] | None,
    near_duplicates: NearDuplicates,
    quota: str | None,
    soft: bool,
    use_labels: bool,
    score_names: tuple[str, ...],
) -> Request:
    """Read what `select` is asked for.

    Raises
    ------
    OptionError
        If it makes no sense, or does not go together.
    """
    parts = [interval] if isinstance(interval, str) else list(interval or ())
    chosen = rule_asked(rule, parts, soft=soft, use_labels=use_labels, score_names=score_names)
    intervals = intervals_of([one for one in parts if one != AUTO])
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


def rule_asked(
    rule: str | None,
    interval: Sequence[str],
    *,
    soft: bool,
    use_labels: bool,
    score_names: tuple[str, ...],
) -> Rule:
    """Return the rule that is meant.

    Parameters
    ----------
    rule : str or None
        A rule's name, if one was given.
    interval : sequence of str
        The intervals that were given.
    soft, use_labels : bool
        Whether a soft interval is asked for, and whether labels may be looked at.
    score_names : tuple of str
        The scores that are rules too.

    Raises
    ------
    OptionError
        If there is no such rule, or these do not go together.
    """
    looks_itself = AUTO in interval or (not interval and not soft)
    name = rule or (AUTO if looks_itself else "igse")
    if AUTO in interval:
        # "The interval of IGSE, found automatically" is what the automatic rule does.
        name = AUTO if name in ("igse", "igse-sum") else name
        if len(interval) > 1 or not name.startswith(AUTO):
            raise OptionError(
                "the automatic interval looks at all entropies, and goes with nothing else",
                got=", ".join([*interval, *([] if rule is None else [f"the rule {rule}"])]),
                next_step="leave out the rule and other intervals; --entropies ge looks at one",
            )
    if use_labels and name == AUTO:
        name = _WITH_LABELS
    chosen = rule_named(name, score_names)
    if use_labels and not chosen.uses_labels:
        raise OptionError(
            f"the rule {chosen.name} looks at no labels",
            where="--use-labels",
            expected="no rule and no interval, or a rule that looks at labels such as bws",
        )
    return chosen


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
    rule: str | None,
    keep: float | str | None,
    keep_tokens: int | None,
    interval: str | Sequence[str] | None,
    entropies: Sequence[str],
    near_duplicates: NearDuplicates = "auto",
    quota: str | None = None,
    soft: bool = False,
    use_labels: bool = False,
    score_names: tuple[str, ...] = (),
) -> Request:
    """Check what can be checked of a request before there are scores, and read it; see `select`.

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
        use_labels=use_labels,
        score_names=(*SCORE_COLUMNS, *score_names),
    )
    named = [canonical_score(name) for name in entropies]
    for name in [*named, *(one.column for one in request.intervals if one.column is not None)]:
        if name not in SCORE_COLUMNS:
            raise OptionError(
                f"there is no score {name!r}",
                expected=", ".join(SCORE_COLUMNS),
                next_step=did_you_mean(name, SCORE_COLUMNS),
            )
    return request


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


def intervals_of(interval: Sequence[str]) -> list[Interval]:
    """Return the intervals that were asked for; ``middle`` is none."""
    return [one for one in map(parse_interval, interval) if one is not None]


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
