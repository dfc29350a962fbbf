"""What a quota can be about: columns of the input, labels, answers, languages, clusters."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError, did_you_mean
from euds.pool.pool import Pool, Source
from euds.reading.delimited import split_csv, split_tsv
from euds.selection.languages import languages_of
from euds.selection.rules.clustering import clustered

__all__ = [
    "CLUSTERS",
    "LANGUAGE",
    "OPTION",
    "check_column",
    "groups_of",
    "is_label",
    "number_of_clusters",
]

CLUSTERS, LANGUAGE, OPTION = "clusters", "language", "se_option"

_MOST_CLUSTERS = 100
_NOTHING = ""


def is_label(column: str, source: Source) -> bool:
    """Return whether a column is the label, by its role or by its own name."""
    label = source.label or "label"
    return column in ("label", label) or f"{{{column}}}" in label


def check_column(column: str, source: Source, score_columns: Sequence[str] | None = None) -> None:
    """Refuse a column that there is none of; ``se_option`` only if the scores are known.

    Raises
    ------
    OptionError
        With the columns that there are.
    """
    if column in (CLUSTERS, LANGUAGE) or is_label(column, source) or column in source.columns:
        return
    if column == OPTION and (score_columns is None or OPTION in score_columns):
        return
    known = list(dict.fromkeys([*source.columns, "label", LANGUAGE, CLUSTERS, OPTION]))
    raise OptionError(
        f"there is no column {column!r} for a quota",
        expected=", ".join(known),
        next_step="score the pool with a --task that has options"
        if column == OPTION
        else did_you_mean(column, known),
    )


def groups_of(
    column: str,
    rows: pl.DataFrame,
    pool: Pool,
    *,
    vectors: NDArray[np.float32] | None,
    lots: NDArray[np.uint64],
    seed: int,
) -> NDArray[np.int64]:
    """Return the group of each row, numbered from 0; rows that lack a value make one group.

    Parameters
    ----------
    column : str
        ``label``, ``se_option``, ``language``, ``clusters``, or a column of the input.
    rows : polars.DataFrame
        The candidates, see `euds.selection.rows`.
    pool : Pool
        What they are rows of.
    vectors : ndarray of float32, shape (rows, dimensions), or None
        Sentence vectors, for ``clusters``.
    lots : ndarray of uint64, shape (rows,)
        Decide where clusters begin.
    seed : int
        Of the clusters.

    Raises
    ------
    OptionError
        If there is no such column.
    """
    check_column(column, pool.source, rows.columns)
    if column == CLUSTERS:
        if vectors is None:
            raise ValueError("clusters need vectors")
        clusters = number_of_clusters(len(vectors))
        return clustered(vectors, clusters, lots=lots, seed=seed)[0].astype(np.int64)
    if is_label(column, pool.source):
        values = rows["label"]
    elif column == OPTION:
        values = rows[OPTION]
    elif column == LANGUAGE and LANGUAGE not in pool.source.columns:
        values = pool.wording.values(
            rows["at"],
            lambda part: pl.Series(languages_of(part["text"].to_list()), dtype=pl.String),
            columns=["text"],
        )
    else:
        values = _values(column, pool, rows["at"])
    values = values.alias("value")  # what a column is called may be a pattern to Polars
    names = values.cast(pl.String).fill_null(_NOTHING).to_numpy().astype(np.str_)
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def number_of_clusters(rows: int) -> int:
    """Return the number of clusters of a quota: sqrt(n / 2), a rule of thumb, 100 at most.

    The rule is from Mardia, Kent and Bibby 1979, *Multivariate Analysis*, section 13.5. More than
    100 groups would leave too few rows of a small budget to each.

    >>> number_of_clusters(2000), number_of_clusters(1), number_of_clusters(10**6)
    (32, 1, 100)
    """
    return int(np.clip(round((rows / 2) ** 0.5), 1, _MOST_CLUSTERS))


def _values(column: str, pool: Pool, at: pl.Series) -> pl.Series:
    """Return a column of the input at some rows, out of the records as they were read."""
    if pool.source.format == "parquet":
        return pool.raw.values(at, lambda part: _as_texts(part[column]), columns=[column])
    if pool.source.format == "jsonl":
        field = _json_field(column)
    else:
        field = _delimited_field(column, pool.source)
    return pool.raw.values(
        at, lambda part: pl.Series([field(one) for one in part["record"]], dtype=pl.String)
    )


def _as_texts(values: pl.Series) -> pl.Series:
    # What is nested has no text of its own in Polars.
    return values if not values.dtype.is_nested() else pl.Series(map(str, values.to_list()))


def _json_field(column: str) -> Callable[[str], str | None]:
    def field(record: str) -> str | None:
        value: Any = json.loads(record).get(column)
        return value if value is None or isinstance(value, str) else json.dumps(value)

    return field


def _delimited_field(column: str, source: Source) -> Callable[[str], str | None]:
    place = source.columns.index(column)
    split = split_csv if source.format == "csv" else split_tsv
    return lambda record: split(record)[place] or None
