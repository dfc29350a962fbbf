"""What a user asks of selecting: rule, intervals, budget; checked before there are scores.

Rule and interval go together. Nobody has to name either: the automatic rule looks for its own
interval. An interval that is given is one of IGSE unless another score is named, and so is a soft
one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from euds.errors import OptionError, did_you_mean
from euds.pool.pool import Pool
from euds.scoring.scores import SCORE_COLUMNS, canonical_score
from euds.selection.groups import CLUSTERS
from euds.selection.quotas import Quota, parse_quota
from euds.selection.repeats import NearDuplicates, check_near_duplicates
from euds.selection.rules.coverage import needs_rows
from euds.selection.rules.registry import Rule, rule_named
from euds.selection.selection import Selection

__all__ = [
    "AUTO",
    "DEFAULT_KEEP",
    "Budget",
    "Interval",
    "Request",
    "budget_of",
    "check_asked",
    "check_request",
    "check_target",
    "intervals_of",
    "open_to",
    "parse_budget",
    "parse_interval",
    "read_request",
    "request_of",
    "rule_asked",
]


# Intervals of ranks or raw values, and budgets.


@dataclass(frozen=True)
class Interval:
    """A half-open range ``low <= x < high`` of ranks, or of the raw values of one column.

    Parameters
    ----------
    low, high : float
        The bounds; infinite where open.
    column : str or None
        The score whose raw values are meant; None for ranks of the rule's own score.
    """

    low: float
    high: float
    column: str | None = None

    def side(self, values: NDArray[np.float64]) -> NDArray[np.int8]:
        """Return -1 below the interval, 0 inside, 1 above; NaN counts as inside."""
        return np.where(values < self.low, -1, np.where(values >= self.high, 1, 0)).astype(np.int8)


def parse_interval(text: str) -> Interval | None:
    """Read an interval: ``middle`` (None), ``0.3:0.7`` in ranks, ``ie_plugin=2.5:4.0`` in nats.

    >>> parse_interval("0.3:0.7")
    Interval(low=0.3, high=0.7, column=None)
    >>> parse_interval("ie=2.5:").high
    inf
    """
    if text == "middle":
        return None
    column, separator, bounds = text.rpartition("=")
    low_text, colon, high_text = bounds.partition(":")
    try:
        low = float(low_text) if low_text else -math.inf
        high = float(high_text) if high_text else math.inf
    except ValueError:
        low = high = math.nan
    wrong = not colon or not low < high or (separator and not column)
    if not separator and not wrong:
        wrong = (low_text and not 0 <= low <= 1) or (high_text and not 0 <= high <= 1)
    if wrong:
        raise OptionError(
            "an interval cannot be read",
            got=repr(text),
            expected="middle, two ranks such as 0.3:0.7, or raw values such as ie_plugin=2.5:4.0",
        )
    return Interval(low, high, canonical_score(column) if separator else None)


@dataclass(frozen=True)
class Budget:
    """How much to keep.

    Parameters
    ----------
    amount : float
        How many.
    unit : {"share", "rows", "tokens"}
        Of what.
    """

    amount: float
    unit: Literal["share", "rows", "tokens"]

    def rows(self, pool_rows: int) -> int:
        """Return the number of rows, of a pool of ``pool_rows``; a share is rounded to the nearest.

        >>> Budget(0.16, "share").rows(2225)
        356
        """
        if self.unit == "tokens":
            raise ValueError("a budget in tokens is no number of rows")
        if self.unit == "rows":
            return int(self.amount)
        return math.floor(self.amount * pool_rows + 0.5)


def parse_budget(keep: float | str) -> Budget:
    """Read a budget: ``0.16`` or ``16%`` is a share, ``500`` is a number of rows, ``1.0`` is all.

    A number with a decimal point, up to 1, is a share; a whole number is a number of rows.

    >>> parse_budget("0.16"), parse_budget("1.0").unit, parse_budget(1).unit
    (Budget(amount=0.16, unit='share'), 'share', 'rows')
    """
    text = str(keep).strip()
    try:
        if text.endswith("%"):
            amount, whole = float(text[:-1]) / 100, False
        else:
            amount, whole = float(text), text.lstrip("+").isdigit()
    except ValueError:
        amount, whole = math.nan, False
    if whole and amount >= 1:
        return Budget(amount, "rows")
    if not whole and 0 < amount <= 1:
        return Budget(amount, "share")
    raise OptionError(
        "a budget cannot be read",
        got=repr(keep),
        expected="a share such as 0.16 or 16%, or a whole number of rows such as 500",
        next_step="'euds run --keep auto' finds one, with labels" if text == "auto" else None,
    )


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


# What `select` has to be asked for a selection that was made before.

_CHECKED = tuple(inspect.signature(check_request).parameters)


def check_asked(request: Mapping[str, Any], *, score_names: tuple[str, ...]) -> Request:
    """Check and read what `select` is asked for; what can only be told by the pool is left out."""
    asked = {name: value for name, value in request.items() if name in _CHECKED}
    return check_request(**asked, score_names=score_names)


def open_to(selection: Selection) -> Pool:
    """Return the pool without what --against took out: those texts are not to be had again."""
    reasons = [f"near-duplicate of {name}" for name in selection.settings["against"]]
    taken = selection.frame["reason"].is_in(reasons).fill_null(value=False)
    # By text: a repeat of one that was taken out is told as a duplicate.
    texts = selection.pool.rows.filter(taken)["key"]
    return selection.pool.take(~selection.pool.rows["key"].is_in(texts.implode()))


def request_of(settings: Mapping[str, Any], rule: Rule, *, pool_rows: int) -> dict[str, Any]:
    """Return what `select` has to be asked for the same selection; a share becomes rows."""
    budget = None if settings["keep"] is None else Budget(**settings["keep"])
    in_tokens = budget is not None and budget.unit == "tokens"
    interval = [one for one in settings["interval"] if one != "auto"]
    # What was looked at and left out for its ties is left out again.
    entropies = settings["looked_at"] if rule.scores is None else ("ie", "ge", "se")
    raw = {one.partition("=")[0] for one in interval if "=" in one}
    return {
        "rule": rule.name,
        "keep": None if budget is None or in_tokens else budget.rows(pool_rows),
        "keep_tokens": int(budget.amount) if budget is not None and in_tokens else None,
        "interval": interval if rule.name != "full" and interval != ["middle"] else None,
        "entropies": [name for name in entropies if name not in raw] or list(settings["scores"]),
        "always_keep": settings["always_keep"],
        "near_duplicates": settings["near_duplicates"],
        "quota": settings["quota"],
        "guards": settings["guards"],
        "keep_unusable": settings.get("keep_unusable", False),
        "soft": settings["soft"],
    }
