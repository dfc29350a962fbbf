"""What there is to say of rows outside the bulk: how many, of what sort, what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool.pool import Pool
from euds.selection.bulk import Bulk
from euds.selection.groups import OPTION
from euds.selection.languages import UNKNOWN, languages_of
from euds.selection.rows import drawn_lots

__all__ = ["usability_of", "usability_warnings"]

Bools = NDArray[np.bool_]

_MANY = 1 / 3  # of the pool
_MOST_SORTS = 6
_FEWEST_OF_A_KIND = 20  # rows of a file, a language or an answer, to speak of what it loses
_MOST_LOST = 0.5
_NONE = "zxx"  # ISO 639's code for what is no language
_SAMPLE = 1_000  # rows whose language is told


def usability_of(
    rows: pl.DataFrame, bulk: Bulk | None, kept: Bools, pool: Pool
) -> dict[str, Any] | None:
    """Describe the rows outside the bulk; None where no bulk was found.

    Parameters
    ----------
    rows : polars.DataFrame
        One row a distinct text, see `euds.selection.rows`; the complete ones have been judged.
    bulk : Bulk or None
        Where the bulk lies.
    kept : ndarray of bool, shape (rows,)
        Which are kept.
    pool : Pool
        What they are rows of.

    Returns
    -------
    dict or None
        ``scores`` and ``left_out``; ``judged``, ``unusable`` and ``kept`` (numbers of rows: judged,
        outside, outside and yet kept); ``background`` (its estimated share); ``looks_clean``;
        ``sorts`` (by what is odd about them: number, number kept, the id of one); ``ranges`` (of
        each score in the bulk); ``losing`` (files, languages and answers that lose most of their
        rows).
    """
    if bulk is None:
        return None
    complete = rows.filter("complete")
    kept = kept[rows["complete"].to_numpy()]
    outside = complete.select("id", "key", reason=bulk.reason, kept=pl.Series(kept))
    outside = outside.filter(pl.Series(bulk.far)).sort("key", "id")
    sorts = (
        outside.group_by("reason", maintain_order=True)
        .agg(rows=pl.len(), kept=pl.col("kept").sum(), example=pl.col("id").first())
        .sort("rows", "reason", descending=[True, False])
        .with_columns(reason=pl.col("reason").str.split(": ").list.last())
    )
    return {
        "scores": list(bulk.scores),
        "left_out": dict(bulk.left_out),
        "judged": complete.height,
        "unusable": outside.height,
        "kept": int(outside["kept"].sum()),
        "background": bulk.background,
        "looks_clean": not bulk.is_dirty,
        "sorts": sorts.head(_MOST_SORTS).to_dicts(),
        "ranges": {name: list(one) for name, one in bulk.ranges.items()},
        "losing": _losing(complete, bulk.far, pool) if bulk.is_dirty else [],
    }


def usability_warnings(found: Mapping[str, Any] | None, *, used: bool) -> list[str]:
    """Return what a user should know, with the way round.

    Parameters
    ----------
    found : mapping or None
        What `usability_of` found.
    used : bool
        Whether the rows outside were kept last of all.
    """
    if found is None:
        return []
    warnings = []
    share = found["unusable"] / max(found["judged"], 1)
    if used and found["kept"]:
        warnings.append(
            f"{found['kept']:,} rows that look unusable were kept: the budget asks for more rows "
            f"than the others are; a smaller --keep does without them"
        )
    if not used and not found["looks_clean"]:
        warnings.append(
            f"{share:.0%} of the rows look unusable, and this selection keeps them like any "
            f"others; the rules auto and igse-joint keep them last, without --keep-unusable"
        )
    if used and share > _MANY:
        warnings.append(
            f"{share:.0%} of the rows look unusable: look at some ('euds show RUN --unusable'); "
            f"if they are what you want, --keep-unusable keeps them like any others"
        )
    if used:
        warnings += [
            f"{one['lost']:.0%} of the rows of {one['kind']} {one['value']} look unusable, and "
            f"{share:.0%} of all; --keep-unusable keeps them like any others"
            for one in found["losing"]
        ]
    return warnings


def _losing(complete: pl.DataFrame, far: Bools, pool: Pool) -> list[dict[str, Any]]:
    """Return the files, languages and answers that lose most of their rows; none if it is one."""
    at = complete["at"]
    sample = np.sort(np.argsort(drawn_lots(complete, 0))[:_SAMPLE])
    texts = pool.wording.take(at.gather(sample), columns=["text"])["text"].to_list()
    parts = [
        ("the file", pool.rows["file"].gather(at), far),
        ("the language", pl.Series(languages_of(texts)), far[sample]),
    ]
    if OPTION in complete.columns:
        parts.append(("the answer", complete[OPTION], far))
    found = []
    for kind, values, outside in parts:
        table = pl.DataFrame({"value": values, "far": outside}).drop_nulls()
        counted = table.group_by("value").agg(rows=pl.len(), lost=pl.col("far").mean())
        large = counted.filter(
            pl.col("rows") >= _FEWEST_OF_A_KIND, ~pl.col("value").is_in([UNKNOWN, _NONE])
        )
        losing = large.filter(pl.col("lost") > _MOST_LOST).sort("value")
        if large.height > 1:
            found += [{"kind": kind, **one} for one in losing.to_dicts()]
    return found
