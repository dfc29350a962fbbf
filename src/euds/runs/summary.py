"""The summary of a run, as plain data: what the command line shows and ``--json`` prints."""

from __future__ import annotations

from typing import Any

import polars as pl

from euds.pool.pool import Pool
from euds.scoring.scores import ScoreTable
from euds.selection.selection import Selection

__all__ = ["summarise"]

_EXAMPLES = 4
_EXAMPLE_CHARACTERS = 100


def summarise(
    pool: Pool, table: ScoreTable, selection: Selection | None, *, texts: bool = True
) -> dict[str, Any]:
    """Describe what was read, scored and, if anything was, selected.

    Parameters
    ----------
    pool : Pool
        What was read.
    table : ScoreTable
        Its scores.
    selection : Selection or None
        What was chosen of it.
    texts : bool
        Whether the examples may have texts.

    Returns
    -------
    dict
        ``rows``, ``cut``, ``scoring``, after a cascade ``cascade``, and with a selection
        ``scores``, ``spearman``, ``options``, ``languages``, ``warnings``, ``settings`` and
        ``usability``, ``examples`` and ``unusable_examples``; plain values that JSON can hold.
    """
    scorers = [name for name in ("ie", "ge", "se") if f"{name}_reason" in table.frame.columns]
    unscored = {name: int(table.frame[f"{name}_reason"].is_not_null().sum()) for name in scorers}
    cut = {
        name: int(table.frame[f"{name}_cut"].sum())
        for name in scorers
        if f"{name}_cut" in table.frame.columns
    }
    summary: dict[str, Any] = {
        "rows": {"read": len(pool), "rejected": pool.rejected.height, "unscored": unscored},
        "cut": {"max_tokens": table.provenance.get("settings", {}).get("max_tokens"), "rows": cut},
        "scoring": {name: table.provenance.get(name, {}) for name in scorers},
        "warnings": [
            notes["warning"]
            for name in scorers
            if "warning" in (notes := table.provenance.get(name, {}))
        ],
    }
    if (cascade := table.provenance.get("cascade")) is not None:
        spent = table.provenance.get("cascade_spent", {})
        summary["cascade"] = {**cascade, **spent}
        summary["warnings"] += cascade["warnings"]
    if selection is not None:
        summary["rows"]["kept"] = len(selection)
        summary["rows"]["dropped"] = selection.reasons
        summary["settings"] = selection.settings
        summary["warnings"] += selection.diagnosis["warnings"]
        for part in ("scores", "spearman", "options", "languages", "search", "usability"):
            summary[part] = selection.diagnosis.get(part)
        summary["examples"] = _examples(selection, texts=texts)
        summary["unusable_examples"] = (
            _unusable_examples(summary["usability"], pool) if texts else {}
        )
    return summary


def _unusable_examples(usability: dict[str, Any] | None, pool: Pool) -> dict[str, str]:
    """Return the text of one row of each sort that looks unusable, by its id."""
    ids = [] if usability is None else [sort["example"] for sort in usability["sorts"]]
    at = pool.rows.with_row_index("at").filter(pl.col("id").is_in(ids)).select("id", "at")
    texts = pool.wording.take(at["at"], columns=["text"])["text"]
    return {one: shorten(text) for one, text in zip(at["id"], texts, strict=True)}


def _examples(selection: Selection, *, texts: bool) -> list[dict[str, Any]]:
    """Return a few kept rows, and one dropped row of each of the most frequent reasons."""
    # Both have the pool's order. To find the first few is much faster than to sort all rows.
    pool = selection.pool
    rows = selection.frame.select("id", "kept", "reason").hstack(pool.rows.select("key"))
    rows = rows.with_row_index("at")
    kept = rows.filter("kept").bottom_k(_EXAMPLES, by=["key", "id"]).sort("key", "id")
    dropped = [
        rows.filter(pl.col("reason") == reason).bottom_k(1, by=["key", "id"])
        for reason in list(selection.reasons)[:_EXAMPLES]
    ]
    shown = pl.concat([kept, *dropped])
    shown = shown.with_columns(pool.wording.take(shown["at"], columns=["text"]))
    return [
        {
            "id": sample,
            "kept": is_kept,
            "reason": reason,
            **({"text": shorten(text)} if texts else {}),
        }
        for sample, is_kept, reason, text in shown.select(
            "id", "kept", "reason", "text"
        ).iter_rows()
    ]


def shorten(text: str, characters: int = _EXAMPLE_CHARACTERS) -> str:
    r"""Return a text on one line, cut with an ellipsis.

    >>> shorten("one\n two   three", 9)
    'one two …'
    """
    # Control characters could move the cursor or change the colours of a terminal.
    printable = "".join(one if one.isprintable() else " " for one in text[: characters * 4])
    line = " ".join(printable.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"
