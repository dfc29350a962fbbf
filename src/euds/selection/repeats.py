"""Rows that nearly repeat others: of the pool, or of texts that it must not overlap with."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool.pool import Pool, Texts
from euds.selection.near_duplicates import near_duplicates_of, stand_ins

__all__ = [
    "MOST_CHARACTERS",
    "Against",
    "NearDuplicates",
    "against_names",
    "check_near_duplicates",
    "is_too_much_text",
    "rows_against",
    "stand_ins_by_cosine",
    "stand_ins_by_words",
]

NearDuplicates = Literal["auto", "drop", "keep", "embedding"]
Against = Pool | Texts | Sequence[Pool | Texts]
Numbers = NDArray[np.int64]

MOST_CHARACTERS = 100_000_000
"""``auto`` looks for near-duplicates in pools of up to so much text."""

SAME_MEANING = 0.95
"""The least cosine of near-duplicates by sentence vectors."""

_ROWS_PER_CLUSTER = 5_000
_MOST_COMPARED = 50_000
_BLOCK = 1_024
_FOUND = {"key": pl.String, "taken_out": pl.String}


def check_near_duplicates(wanted: str) -> None:
    """Refuse a way to treat near-duplicates that there is none of."""
    if wanted not in get_args(NearDuplicates):
        raise OptionError(
            "near-duplicates cannot be treated like that",
            got=repr(wanted),
            expected=", ".join(get_args(NearDuplicates)),
        )


def is_too_much_text(pool: Pool) -> bool:
    """Return whether looking for near-duplicates would take long next to the rest of a run."""
    return pool.text_bytes > MOST_CHARACTERS


def stand_ins_by_words(rows: pl.DataFrame, pool: Pool) -> Numbers:
    """Return for each row the number of the row that stands for it, by shared word 3-shingles.

    Rows that must stay stand first, then those with the lowest keys: neither the order of the file
    nor any score has a say.

    Parameters
    ----------
    rows : polars.DataFrame
        ``at`` (the place in the pool) and ``must``, sorted by key.
    """
    order = _order(rows)
    texts = pool.wording.take(rows["at"].gather(order))
    return _numbered(stand_ins(texts["text"], texts["context"]), order)


def stand_ins_by_cosine(rows: pl.DataFrame, vectors: NDArray[np.float32]) -> Numbers:
    """Return for each row the number of the row that stands for it, by sentence vectors.

    Up to 50,000 rows are compared each with each; of more only those in one k-means cluster are, as
    SemDeDup does (Abbas et al. 2023, arXiv 2303.09540), so that pairs across the border of two
    clusters are missed.

    Parameters
    ----------
    rows : polars.DataFrame
        ``must``; sorted by key.
    vectors : ndarray of float32, shape (rows, dimensions)
        Vectors of length 1.
    """
    order = _order(rows)
    ordered = vectors[order]
    found = np.arange(len(order))
    clusters = _clusters(ordered)
    by_cluster = np.argsort(clusters, kind="stable")
    borders = np.flatnonzero(np.diff(clusters[by_cluster])) + 1
    for members in np.split(by_cluster, borders):
        found[members] = members[_stand_ins_within(ordered[members])]
    return _numbered(found, order)


def _order(rows: pl.DataFrame) -> Numbers:
    return np.argsort(~rows["must"].to_numpy(), kind="stable")


def _numbered(found: Numbers, order: Numbers) -> Numbers:
    """Return stand-ins by the rows' own numbers, given by places in an order of the rows."""
    numbers = np.empty_like(found)
    numbers[order] = order[found]
    return numbers


def _stand_ins_within(vectors: NDArray[np.float32]) -> Numbers:
    """Let each vector stand for the similar ones behind it, unless another stands for it."""
    found = np.arange(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = start + np.flatnonzero(
            found[start : start + _BLOCK] == np.arange(start, min(start + _BLOCK, len(vectors)))
        )
        similar = vectors[block] @ vectors[start:].T >= SAME_MEANING
        for number, likes in zip(block.tolist(), similar, strict=True):
            if found[number] != number:
                continue
            behind = start + np.flatnonzero(likes)
            behind = behind[behind > number]
            found[behind[found[behind] == behind]] = number
    return found


def _clusters(vectors: NDArray[np.float32]) -> NDArray[np.int32]:
    if len(vectors) <= _MOST_COMPARED:
        return np.zeros(len(vectors), dtype=np.int32)
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    number = math.ceil(len(vectors) / _ROWS_PER_CLUSTER)
    model = MiniBatchKMeans(number, batch_size=10_000, n_init=1, random_state=0)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels: NDArray[np.int32] = model.fit_predict(vectors)
    return labels


def rows_against(pool: Pool, against: Against) -> pl.DataFrame:
    """Return the keys of the pool that are near-duplicates of other texts, and why they go.

    Only texts and contexts are looked at, never labels.

    Parameters
    ----------
    pool : Pool
        What is looked through.
    against : Pool, Texts or a sequence of them
        What it must not overlap with.

    Returns
    -------
    polars.DataFrame
        ``key`` and ``taken_out``, a reason that names the file of the others.
    """
    given = _listed(against)
    if not given:
        return pl.DataFrame(schema=_FOUND)
    found = [pl.DataFrame(schema=_FOUND)]
    texts = pool.texts
    for others, name in zip(given, against_names(against), strict=True):
        pairs = near_duplicates_of(texts, others.texts if isinstance(others, Pool) else others)
        reason = pl.lit(f"near-duplicate of {name}")
        found.append(pairs.select("key").unique().with_columns(taken_out=reason))
    # Who is in several is in the first.
    return pl.concat(found).unique("key", keep="first", maintain_order=True)


def against_names(against: Against) -> list[str]:
    """Return what texts that the pool must not overlap with are called: by their files."""
    names = []
    for others in _listed(against):
        files = others.rows["file"].unique(maintain_order=True) if isinstance(others, Pool) else ()
        named = [PurePath(file).name for file in files]
        names.append(", ".join(named[:1]) + (", ..." if len(named) > 1 else "") or "texts given")
    return names


def _listed(against: Against) -> list[Pool | Texts]:
    return [against] if isinstance(against, Pool | Texts) else list(against)
