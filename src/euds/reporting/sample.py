"""The few rows that the page itself holds: for the points of its scatters and for its table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from euds.pool.pool import Pool
from euds.runs.summary import shorten
from euds.scoring.scores import ScoreTable
from euds.selection.selection import Selection

__all__ = ["MOST_SAMPLED", "Sample", "draw_sample"]

MOST_SAMPLED = 400
"""The page never holds more rows than this, however large the pool is."""

_ID_CHARACTERS = 40
_TEXT_CHARACTERS = 160
_DIGITS = 5


@dataclass(frozen=True)
class Sample:
    """Some rows of the pool, as plain data.

    Parameters
    ----------
    rows : list of dict
        ``row`` (a number, from 0), ``id``, ``fate`` (``kept``, ``dropped``, or ``scored`` where
        nothing was selected), ``reason``, the scores, ``words``, and ``text`` unless left out.
    scores : tuple of str
        The scores that the rows have.
    has_words : bool
        Whether the rows have ``words``, their length.
    has_text : bool
        Whether the rows have their text.
    pool_rows : int
        The number of rows that they were drawn from.
    """

    rows: list[dict[str, Any]]
    scores: tuple[str, ...]
    has_words: bool
    has_text: bool
    pool_rows: int


def draw_sample(
    pool: Pool,
    table: ScoreTable,
    selection: Selection | None,
    *,
    scores: Sequence[str],
    texts: bool,
) -> Sample:
    """Draw at most `MOST_SAMPLED` rows, those whose text has the smallest hash.

    Parameters
    ----------
    pool : Pool
        The samples.
    table : ScoreTable
        Their scores.
    selection : Selection or None
        What was chosen.
    scores : sequence of str
        The columns of the table to show.
    texts : bool
        Whether the texts may be shown. If not, nothing of them is in the result.
    """
    has_words = "words" in table.frame.columns
    columns = [*scores, *(["words"] if has_words and "words" not in scores else [])]
    # The key is a hash already, so its order has nothing to do with what a text says.
    drawn = (
        pool.rows.select("id", "key")
        .with_row_index("at")
        .bottom_k(MOST_SAMPLED, by=["key", "id"])
        .sort("key", "id")
    )
    drawn = drawn.with_columns(pool.wording.take(drawn["at"], columns=["text"]))
    is_drawn = pl.col("id").is_in(drawn["id"])  # few rows are found faster than all are looked up
    scored = table.frame.select("id", *columns).filter(is_drawn)
    rows = drawn.join(scored, on="id", how="left", maintain_order="left")
    if selection is None:
        rows = rows.with_columns(fate=pl.lit("scored"), reason=pl.lit(None, dtype=pl.String))
    else:
        fates = selection.frame.filter(is_drawn).select(
            "id",
            "reason",
            fate=pl.when("kept").then(pl.lit("kept")).otherwise(pl.lit("dropped")),
        )
        rows = rows.join(fates, on="id", how="left", maintain_order="left")
    return Sample(
        rows=[
            {
                "row": number,
                "id": shorten(row["id"], _ID_CHARACTERS),
                "fate": row["fate"],
                "reason": row["reason"],
                **{name: _rounded(row[name]) for name in columns},
                **({"text": shorten(row["text"], _TEXT_CHARACTERS)} if texts else {}),
            }
            for number, row in enumerate(rows.iter_rows(named=True))
        ],
        scores=tuple(scores),
        has_words=has_words,
        has_text=texts,
        pool_rows=len(pool),
    )


def _rounded(value: float | None) -> float | None:
    """Return a number that JSON can hold, with no more digits than a screen can show."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")
