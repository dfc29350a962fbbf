"""What `select` has to be asked for a selection that was made before."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from euds.pool import Pool
from euds.selection.interval import Budget
from euds.selection.request import Request, check_request
from euds.selection.rules import Rule
from euds.selection.selection import Selection

__all__ = ["check_asked", "open_to", "request_of"]

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
        "soft": settings["soft"],
    }
