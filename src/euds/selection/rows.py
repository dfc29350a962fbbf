"""The rows that can be kept: one a distinct text, with their scores and ranks, sorted by key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool.pool import Pool
from euds.scoring.scores import ScoreTable
from euds.selection.rules.ranks import length_free_ranks, mid_ranks

__all__ = [
    "complete_of",
    "distinct_rows",
    "drawn_lots",
    "numbers_of",
    "take_out",
    "with_completeness",
    "with_ranks",
]

Floats = NDArray[np.float64]
_LOTS_AT_ONCE = 500_000


def distinct_rows(
    pool: Pool,
    table: ScoreTable,
    always_keep: Sequence[str],
    *,
    distinct: bool,
    show_labels: bool,
) -> pl.DataFrame:
    """Return one row a distinct text, sorted by key: id, scores, whether it must stay.

    ``at`` is the number of the row in the pool.

    Parameters
    ----------
    pool : Pool
        The samples.
    table : ScoreTable
        Their scores.
    always_keep : sequence of str
        Ids of the rows that must stay.
    distinct : bool
        Whether repeats are left out; if not, every sample has its row.
    show_labels : bool
        Whether there is a column ``label``.

    Raises
    ------
    OptionError
        If a row that must stay is not in the pool.
    """
    ids = pool.rows["id"]
    must = ids.is_in(pl.Series(always_keep, dtype=pl.String))
    unknown = sorted(set(always_keep) - set(ids.filter(must)))
    if unknown:
        raise OptionError(
            "a row that must stay is not in the pool",
            got=", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else ""),
            expected=f"ids such as {ids[0]!r}",
        )
    shown = ["id", "key", "label"] if show_labels else ["id", "key"]
    rows = pool.rows.select(*shown, must=must)
    if "words" not in table.frame.columns:  # what length there is to go by
        rows = rows.with_columns(characters=pool.characters)
    rows = _with_scores(rows, table).with_row_index("at")
    if not distinct:
        return rows.sort("key", "id")
    # Of equal rows one stands for all: one that must stay, else the one with the smallest id; where
    # labels are used, one that has a label.
    lacks_label = [pl.col("label").is_null()] if show_labels else []
    rows = rows.sort("key", ~pl.col("must"), *lacks_label, "id")
    repeats = (pl.col("key") == pl.col("key").shift()).fill_null(value=False)
    return rows.filter(~repeats | pl.col("must"))


def _with_scores(rows: pl.DataFrame, table: ScoreTable) -> pl.DataFrame:
    if table.frame["id"].equals(rows["id"]):  # the pool that was scored: nothing to look up
        return rows.hstack(table.frame.drop("id").get_columns())
    return rows.join(table.frame, on="id", how="left", maintain_order="left")


def take_out(rows: pl.DataFrame, found: pl.DataFrame, scores: Sequence[str]) -> pl.DataFrame:
    """Take rows out of the competition, unless they must stay: nothing depends on them any more.

    Parameters
    ----------
    rows : polars.DataFrame
        What `distinct_rows` gave.
    found : polars.DataFrame
        ``key`` and ``taken_out``, why.
    scores : sequence of str
        All columns of scores. The rows lose them, so that they count in no rank.
    """
    if not found.height:
        return rows.with_columns(taken_out=pl.lit(None))
    rows = rows.join(found, on="key", how="left", maintain_order="left")
    rows = rows.with_columns(taken_out=pl.when(~pl.col("must")).then("taken_out"))
    return rows.with_columns(pl.when(pl.col("taken_out").is_null()).then(pl.col(*scores)))


def with_ranks(
    rows: pl.DataFrame, names: Sequence[str], *, length_free: bool = True
) -> pl.DataFrame:
    """Add ``rank_<score>`` for each score, free of length unless it is to stay in.

    Where semantic entropy is one of them and the model chose among options, all are also free of
    its own answer: what is ranked is how a row stands among those with the same answer. Without it
    a score does not depend on whether the model was ever asked.
    """
    groups = None
    if "se" in names and "se_option" in rows.columns:
        groups = rows["se_option"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    for name in names:
        values = numbers_of(rows, name)
        length = _length_for(name, rows) if length_free else None
        if length is None:
            ranks = mid_ranks(values)
        else:
            ranks = length_free_ranks(values, length, groups=groups)
        rows = rows.with_columns(pl.Series(f"rank_{name}", ranks).fill_nan(None))
    return rows


def with_completeness(
    rows: pl.DataFrame, scores: Sequence[str], *, one_will_do: bool = False
) -> pl.DataFrame:
    """Add ``lacks``, why a row cannot be judged (null if it can), and ``complete``, that it can.

    Rows lack a score, or all of them where one will do; or a label where there is a column of
    labels; or they were taken out.
    """
    missing = [pl.col(name).is_null() for name in scores]
    if one_will_do:
        missing = [pl.all_horizontal(missing)] * len(missing)
    lacking = [
        pl.col("taken_out"),
        *(
            pl.when(one).then(pl.lit(f"unscored {name}"))
            for name, one in zip(scores, missing, strict=True)
        ),
    ]
    if "label" in rows.columns:
        lacking.append(pl.when(pl.col("label").is_null()).then(pl.lit("no label")))
    rows = rows.with_columns(lacks=pl.coalesce(lacking).cast(pl.String))
    return rows.with_columns(complete=pl.col("lacks").is_null())


def complete_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the complete rows; where all are, it costs no copy."""
    return rows if rows["complete"].all() else rows.filter("complete")


def drawn_lots(rows: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Return a seeded hash of each row's key: a random order that no file order can change."""
    start = pl.col("key").str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64)
    # Some at a time: each is a text on the way.
    parts = [part.select(start)["key"] for part in rows.select("key").iter_slices(_LOTS_AT_ONCE)]
    keys = pl.concat(parts).to_numpy() if parts else np.empty(0, dtype=np.uint64)
    mixed = keys ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    # The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def numbers_of(rows: pl.DataFrame, name: str) -> Floats:
    """Return a column as floats, NaN where there is none."""
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _length_for(name: str, rows: pl.DataFrame) -> Floats | None:
    """Return the length to take out of a score, in the score's own tokens; None for a length."""
    if name in ("words", "ge_tokens"):
        return None
    for column in ("ge_tokens", "words") if name.startswith("ge") else ("words", "ge_tokens"):
        if column in rows.columns:
            return np.nan_to_num(numbers_of(rows, column))
    return numbers_of(rows, "characters")
