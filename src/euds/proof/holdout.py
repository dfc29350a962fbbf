"""A test set that the pool knows nothing of.

A proof is worth as much as its test set is new to the models. Rows without a label cannot be
trained on or scored; rows of the pool that are nearly the same as a test row would let a model
remember instead of know. Both are taken out before anything is selected, so that all arms choose
from the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from euds.errors import InputError, OptionError
from euds.pool.pool import Pool
from euds.selection.near_duplicates import (
    DEFAULT_THRESHOLD,
    Groups,
    near_duplicate_groups,
    near_duplicates_of,
)

__all__ = ["LEAST_POOL_ROWS", "LEAST_TEST_ROWS", "HoldOut", "hold_out"]

LEAST_POOL_ROWS = 20
LEAST_TEST_ROWS = 30

NO_LABEL = "no label"
NEAR_DUPLICATE = "near-duplicate of a test row"
NOT_SAMPLED = "not in the sample"

_NAMED_LABELS = 5


@dataclass(frozen=True)
class HoldOut:
    """A pool to train on, and a test set that it does not overlap with.

    Parameters
    ----------
    pool, test : Pool
        Rows that all have a label.
    taken_out, test_taken_out : mapping of str to int
        Rows of the pool, and of the test set, that are not used, by reason; no zeros. Rows that
        were split off as the test set are not counted.
    near_duplicates : polars.DataFrame
        ``id``, ``test_id`` and ``jaccard``, the most similar first: each row of the pool that is a
        near-duplicate of a test row, with the test row that it is most similar to. They are in
        ``pool`` only if they were to stay.
    groups : Groups or None
        What was kept together in the split; None for a test set that was given.
    warnings : tuple of str
        What should be known before the proof is believed.
    """

    pool: Pool
    test: Pool
    taken_out: Mapping[str, int]
    test_taken_out: Mapping[str, int]
    near_duplicates: pl.DataFrame
    groups: Groups | None
    warnings: tuple[str, ...]

    def left_out(self, pool: Pool) -> pl.DataFrame:
        """Return the rows of the whole pool that are not in `pool`: ``id``, ``reason``."""
        tested = self.test.rows["id"] if self.groups is not None else pl.Series(dtype=pl.String)
        return pool.rows.filter(~pl.col("id").is_in(self.pool.rows["id"].implode())).select(
            "id",
            reason=pl.when(pl.col("id").is_in(tested.implode()))
            .then(pl.lit("test set"))
            .when(pl.col("label").is_null())
            .then(pl.lit(NO_LABEL))
            .when(pl.col("id").is_in(self.near_duplicates["id"].implode()))
            .then(pl.lit(NEAR_DUPLICATE))
            .otherwise(pl.lit(NOT_SAMPLED)),
        )


def hold_out(
    pool: Pool,
    test: Pool | float,
    *,
    closed_labels: bool = True,
    threshold: float = DEFAULT_THRESHOLD,
    remove_near_duplicates: bool = True,
    sample: int | None = None,
    seed: int = 0,
) -> HoldOut:
    """Take out of the pool what must not be trained on, or split off a test set.

    Near-duplicates, exact ones among them, are found by text and context together. A share is split
    by a hash of groups: near-duplicates stay together, and so do rows with one and the same
    context, whatever the order of the rows.

    Parameters
    ----------
    pool : Pool
        What there is to select from.
    test : Pool or float
        The test set; or the share of the labelled rows, between 0 and 1, to split off. The share is
        met as closely as the groups allow.
    closed_labels : bool
        Whether labels are classes. Free answers of the test set need not be in the pool.
    threshold : float
        The least Jaccard similarity of near-duplicates, 0.5 to 1.
    remove_near_duplicates : bool
        Whether they leave the pool; if not, they are only counted in a warning.
    sample : int, optional
        How many of the pool's labelled rows there are to select from, and to split a share of, if
        not all: drawn by a hash of their texts, whatever the order of the rows.
    seed : int
        Of the sample and the split.

    Raises
    ------
    InputError
        If the pool or the test set has no labels, they have no class in common, or too few rows are
        left.
    OptionError
        If the share, the threshold or the sample is out of range.
    """
    everything = _labelled(pool, what="pool")
    labelled = _sampled(everything, sample, seed)
    taken_out = {
        NO_LABEL: len(pool) - len(everything),
        NOT_SAMPLED: len(everything) - len(labelled),
    }
    test_taken_out: dict[str, int] = {}
    groups = None
    if isinstance(test, Pool):
        held = _labelled(test, what="test set")
        test_taken_out[NO_LABEL] = len(test) - len(held)
        if closed_labels:
            _check_common_labels(labelled, held)
        left = labelled
        pairs = near_duplicates_of(left.texts, held.texts, threshold=threshold)
    else:
        _check_share(test)
        groups = near_duplicate_groups(labelled.texts, threshold=threshold, by_context=True)
        left, held = _split(labelled, groups, share=test, seed=seed)
        pairs = _pairs_across(groups, left, held)
    _check_test_size(held, was_given=isinstance(test, Pool))

    near_duplicates = _by_id(pairs, left, held)
    warnings = []
    if len(labelled) < len(everything):
        warnings.append(
            f"this is about a sample of {len(labelled):,} of {len(everything):,} rows with a "
            f"label: the same share of all of them is more rows, where it may matter less which"
        )
    if remove_near_duplicates:
        left = left.take(~left.rows["id"].is_in(near_duplicates["id"].implode()))
        taken_out[NEAR_DUPLICATE] = near_duplicates.height
    elif near_duplicates.height:
        warnings.append(
            f"{near_duplicates.height:,} rows of the pool are near-duplicates of test rows "
            f"(Jaccard {threshold:g} or more) and were left in: "
            "models may remember answers of the test set"
        )
    _check_pool_size(left, taken_out)
    warnings += _warnings(left, held, closed_labels=closed_labels)
    return HoldOut(
        pool=left,
        test=held,
        taken_out=_without_zeros(taken_out),
        test_taken_out=_without_zeros(test_taken_out),
        near_duplicates=near_duplicates,
        groups=groups,
        warnings=tuple(warnings),
    )


def _without_zeros(rows: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType({reason: count for reason, count in rows.items() if count})


def _labelled(pool: Pool, *, what: str) -> Pool:
    """Return the rows with a label; an empty one is a label, a missing one is not."""
    labelled = pool.take(pool.rows["label"].is_not_null())
    if not len(labelled):
        raise InputError(
            f"the {what} has no labels",
            where=_file_of(pool),
            got=f"{len(pool):,} rows, none with a label; columns {_listed(pool.source.columns)}",
            expected="a label on the rows that are trained on and tested with",
            next_step="name their column with --label",
        )
    return labelled


def _sampled(pool: Pool, rows: int | None, seed: int) -> Pool:
    """Return so many rows of the pool, in its order; equal texts mostly go together."""
    if rows is None or rows >= len(pool):
        return pool
    if rows < LEAST_POOL_ROWS:
        raise OptionError(
            "that sample is too small to train on",
            where="sample",
            got=str(rows),
            expected=f"{LEAST_POOL_ROWS} rows or more; some thousands tell something",
        )
    ordered = pool.rows.select(
        "id", lot=pl.Series([_hash(seed, f"sample:{key}") for key in pool.rows["key"]])
    )
    drawn = ordered.sort("lot", "id").head(rows)["id"]
    return pool.take(pool.rows["id"].is_in(drawn.implode()))


def _split(labelled: Pool, groups: Groups, *, share: float, seed: int) -> tuple[Pool, Pool]:
    """Split whole groups off, drawn by a hash of their smallest key, until the share is met."""
    sizes = (
        labelled.rows.join(groups.frame, on="key")
        .group_by("group")
        .agg(pl.col("key").min(), pl.len().alias("rows"))
    )
    drawn = _groups_for(
        [(_hash(seed, key), group, rows) for group, key, rows in sizes.iter_rows()],
        rows=round(share * len(labelled)),
    )
    group_of = labelled.rows.join(groups.frame, on="key", how="left", maintain_order="left")
    is_test = group_of["group"].is_in(drawn)
    return labelled.take(~is_test), labelled.take(is_test)


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise OptionError(
            "the share of the test set is out of range",
            where="test",
            got=str(share),
            expected="a number between 0 and 1, such as 0.2, or a test set",
        )


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=16).digest()


def _groups_for(groups: list[tuple[bytes, int, int]], *, rows: int) -> list[int]:
    """Return groups that together have as nearly as possible so many rows.

    Parameters
    ----------
    groups : list of (hash, group, rows)
        What there is. They are taken in the order of their hashes where they fit in; what then
        still lacks is made up by the smallest group left, if that is closer.
    """
    drawn, passed_over = [], []
    missing = rows
    for hash_, group, size in sorted(groups):
        if size <= missing:
            drawn.append(group)
            missing -= size
        else:
            passed_over.append((size, hash_, group))
    if passed_over:
        size, _, group = min(passed_over)
        if size - missing < missing:
            drawn.append(group)
    return drawn


def _pairs_across(groups: Groups, left: Pool, held: Pool) -> pl.DataFrame:
    """Return the near-duplicates that the split divides: pairs that were too many for one group."""
    refused = groups.refused
    both_ways = pl.concat([refused, refused.select(key="other", other="key", jaccard="jaccard")])
    return both_ways.join(left.rows, on="key", how="semi").join(
        held.rows, left_on="other", right_on="key", how="semi"
    )


def _by_id(pairs: pl.DataFrame, left: Pool, held: Pool) -> pl.DataFrame:
    """Return each row of the pool that is in a pair, with the test row most similar to it."""
    ids = left.rows.select("key", "id")
    # Of equal test rows the one with the smallest id stands for all.
    test_ids = held.rows.group_by("key").agg(test_id=pl.col("id").min())
    return (
        pairs.join(test_ids, left_on="other", right_on="key")
        .sort("jaccard", "test_id", descending=[True, False])
        .unique("key", keep="first", maintain_order=True)
        .join(ids, on="key")
        .select("id", "test_id", "jaccard")
        .sort("jaccard", "id", descending=[True, False])
    )


def _check_common_labels(pool: Pool, test: Pool) -> None:
    if set(pool.label_names).isdisjoint(test.label_names):
        raise InputError(
            "the pool and the test set have no label in common",
            where=_file_of(test),
            got=f"{_listed(test.label_names)} in the test set",
            expected=f"labels of the pool: {_listed(pool.label_names)}",
            next_step="check that --label names the right column in both files, "
            "and that both write labels in the same way",
        )


def _check_test_size(test: Pool, *, was_given: bool) -> None:
    if len(test) < LEAST_TEST_ROWS:
        raise InputError(
            "the test set is too small to tell anything",
            where=_file_of(test) if was_given else None,
            got=f"{len(test):,} rows with a label",
            expected=f"{LEAST_TEST_ROWS} or more; a few hundred make a verdict likely",
            next_step="give a larger test set"
            if was_given
            else "ask for a larger share or give a test set; near-duplicates and rows "
            "with the same context are never divided",
        )


def _check_pool_size(pool: Pool, taken_out: Mapping[str, int]) -> None:
    if len(pool) < LEAST_POOL_ROWS:
        reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in taken_out.items() if rows)
        raise InputError(
            "hardly anything of the pool is left to train on",
            got=f"{len(pool):,} rows" + (f" (taken out: {reasons})" if reasons else ""),
            expected=f"{LEAST_POOL_ROWS} or more",
            next_step="check that the pool and the test set are not the same file"
            if taken_out.get(NEAR_DUPLICATE)
            else "give a larger pool",
        )


def _warnings(pool: Pool, test: Pool, *, closed_labels: bool) -> list[str]:
    warnings = []
    tested = test.wording.read(columns=["context"])["context"].drop_nulls().unique().implode()
    shared = sum(
        part.filter(
            pl.col("context").str.strip_chars() != "", pl.col("context").is_in(tested)
        ).height
        for part in pool.wording.parts(columns=["context"])
    )
    if shared:
        warnings.append(
            f"{shared:,} rows of the pool have the same context as a test row; "
            "what they teach about it may help in the test"
        )
    if closed_labels:
        known = pl.col("label").is_in(list(pool.label_names))
        unknown = test.rows.filter(~known)["label"].value_counts().sort("label")
        if unknown.height:
            named = _listed([f"{label!r} ({rows:,})" for label, rows in unknown.iter_rows()])
            warnings.append(
                f"{unknown['count'].sum():,} test rows have a label that the pool lacks and "
                f"can only be answered wrongly: {named}"
            )
    return warnings


def _file_of(pool: Pool) -> str | None:
    return pool.rows["file"][0] if len(pool) else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_LABELS])
    more = len(names) - _NAMED_LABELS
    return f"{shown} and {more:,} more" if more > 0 else shown
