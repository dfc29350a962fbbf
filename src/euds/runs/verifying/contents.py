"""What the files of a run say of each other: one pool, its scores, the selection from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from euds.files.damage import read_parquet
from euds.files.plain import open_plain
from euds.pool.pool import REJECTED_SCHEMA, Pool, text_key
from euds.pool.records import Records
from euds.runs.folder import MANIFEST, POOL, REJECTED, SCORES, SELECTION
from euds.runs.verifying.problems import Told
from euds.scoring.scores import ScoreTable, without_times

__all__ = ["check_pool", "check_rejected", "check_scores", "check_selection"]

_SCORERS = ("ie", "ge", "se", "ge_ifd")
_SELECTION_SCHEMA = {
    "id": pl.String(),
    "kept": pl.Boolean(),
    "reason": pl.String(),
    "inclusion": pl.Float64(),
    "duplicate_of": pl.String(),
}


def check_pool(root: Path, manifest: Mapping[str, Any], told: Told) -> Pool | None:
    """Check the pool against itself and the manifest, and return it if it can be read."""
    pool = None
    with told.reading(POOL):
        loaded = Pool.load(root / POOL)
        # A copy does not have the fingerprint that was saved beside the rows: it is made anew.
        pool = replace(loaded)
        rows, asked = pool.rows, manifest["pool"]
        told.differ("the pool's rows are not as many", POOL, got=len(pool), expected=asked["rows"])
        for name, fingerprint in ((MANIFEST, asked["fingerprint"]), (POOL, loaded.fingerprint)):
            told.differ(
                f"the samples do not have the fingerprint that {name} tells",
                POOL,
                got=pool.fingerprint,
                expected=fingerprint,
            )
        needed = ("id", "key", "file", "line")
        lacks = pl.any_horizontal(pl.col(needed).is_null())
        _tell_rows(told, POOL, rows, lacks, f"rows lack one of {', '.join(needed)}")
        _tell_rows(told, POOL, rows, rows["id"].is_duplicated(), "rows share their id")
        if not pool.has_texts:  # a run with --no-texts: there is nothing that could have its key
            for table in (pool.wording, pool.raw):
                _read_through(table)
            return pool
        _tell_rows(told, POOL, rows, _has_other_key(pool), "rows do not have the key of their text")
    return pool


def _read_through(table: Records) -> None:
    """Have all parts of a table checked; those of a large one are when they are read."""
    for _ in table.parts():
        pass


def _has_other_key(pool: Pool) -> pl.Series:
    """Return for each row whether its key is not that of its text."""
    found = [pl.Series([], dtype=pl.Boolean)]
    row = 0
    for part in pool.wording.parts():
        keys = [
            None if text is None else text_key(text, context)
            for text, context in part.select("text", "context").iter_rows()
        ]
        own = pool.rows["key"].slice(row, part.height)
        found.append(own.ne_missing(pl.Series(keys, dtype=pl.String)))
        row += part.height
    return pl.concat(found)


def check_rejected(root: Path, manifest: Mapping[str, Any], told: Told) -> None:
    """Check the rows that were refused."""
    rows = 0
    with told.reading(REJECTED), open_plain(root / REJECTED) as stream:
        for line in stream:
            rows += 1
            row = json.loads(line.decode("utf-8"))
            if not isinstance(row, dict) or row.keys() != REJECTED_SCHEMA.keys():
                told.problem(
                    "content",
                    "a line is no refused row",
                    f"{REJECTED}:{rows}",
                    expected=f"an object of {', '.join(REJECTED_SCHEMA)}",
                )
                return
        _check_count(told, manifest, REJECTED, "rejected", rows)


def check_scores(root: Path, manifest: Mapping[str, Any], pool: Pool | None, told: Told) -> None:
    """Check that the scores are the pool's, and that each is a number or has a reason."""
    with told.reading(SCORES):
        table = ScoreTable.load(root / SCORES)
        _check_origin(table.provenance, manifest, told)
        frame = table.frame
        if pool is not None:
            _check_ids(told, SCORES, frame, pool)
            told.differ(
                "the scores were made from another pool",
                SCORES,
                got=table.provenance.get("pool"),
                expected=pool.fingerprint,
            )
        for name in (one for one in table.names if frame[one].dtype.is_float()):
            is_wrong = frame[name].is_not_null() & ~frame[name].is_finite()
            _tell_rows(told, SCORES, frame, is_wrong, f"rows have no finite {name}")
        for name in (one for one in _SCORERS if one in frame.columns):
            if f"{name}_reason" in frame.columns:
                is_wrong = frame[name].is_null() != frame[f"{name}_reason"].is_not_null()
                what = f"rows have neither {name} nor a reason why not, or both"
                _tell_rows(told, SCORES, frame, is_wrong, what)


def _check_origin(saved: Mapping[str, Any], manifest: Mapping[str, Any], told: Told) -> None:
    """Check that scores and manifest tell the same of how the scores were made."""
    where = f"{MANIFEST}: provenance"
    with told.reading(where, kind="manifest"):
        asked = saved.get("request", {})
        here = dict(without_times(manifest["provenance"]))
        there = {name: value for name, value in saved.items() if name != "request"}
        what = "the manifest and the scores tell different things of how the scores were made"
        for name in sorted({*here, *there}):
            if here.get(name) != there.get(name):
                told.problem("content", what, f"{where}: {name}", expected=f"as in {SCORES}")
        request = manifest.get("request", {})
        for name in asked:
            if request.get(name) != asked[name]:
                told.problem(
                    "content", what, f"{MANIFEST}: request: {name}", expected=f"as in {SCORES}"
                )
        told.differ(
            "the inputs are not those of the scores",
            f"{MANIFEST}: inputs",
            got=manifest["inputs"],
            expected=saved.get("inputs"),
        )


def check_selection(
    root: Path, manifest: Mapping[str, Any], pool: Pool | None, told: Told
) -> pl.DataFrame | None:
    """Check that every row is kept or has a reason; return the selection if it can be used."""
    with told.reading(SELECTION):
        frame = read_parquet(root / SELECTION)
        for name, dtype in _SELECTION_SCHEMA.items():
            if frame.schema.get(name) != dtype:
                told.problem(
                    "content",
                    f"the column {name!r} is not what it should be",
                    SELECTION,
                    got=frame.schema.get(name, "no such column"),
                    expected=dtype,
                )
                return None
        if frame["kept"].has_nulls():
            _tell_rows(told, SELECTION, frame, frame["kept"].is_null(), "rows are not decided")
            return None
        is_wrong = frame["kept"] != frame["reason"].is_null()
        what = "rows are neither kept nor have a reason, or both"
        _tell_rows(told, SELECTION, frame, is_wrong, what)
        fits = pl.col("inclusion").is_between(0, 1) & (~pl.col("kept") | (pl.col("inclusion") > 0))
        what = "rows have no probability of inclusion, or were kept at none"
        _tell_rows(told, SELECTION, frame, ~fits.fill_null(value=False), what)
        stranger = ~pl.col("duplicate_of").is_in(frame["id"].implode())
        what = "rows repeat one that is not there"
        _tell_rows(told, SELECTION, frame, stranger.fill_null(value=False), what)
        _check_count(told, manifest, SELECTION, "kept", int(frame["kept"].sum()))
        reasons = Counter(frame.filter(~pl.col("kept"))["reason"].drop_nulls())
        _check_count(told, manifest, SELECTION, "dropped", dict(reasons))
        if pool is None or _check_ids(told, SELECTION, frame, pool):
            return None
        return frame
    return None


def _check_count(
    told: Told, manifest: Mapping[str, Any], where: str, name: str, got: object
) -> None:
    rows = manifest["summary"].get("rows")
    if not isinstance(rows, dict) or name not in rows:
        told.problem("manifest", "there is no such field", f"{MANIFEST}: summary: rows: {name}")
    else:
        told.differ(f"the rows {name} are not as many", where, got=got, expected=rows[name])


def _check_ids(told: Told, where: str, frame: pl.DataFrame, pool: Pool) -> bool:
    """Tell of rows that are not the pool's, in its order; return whether there are any."""
    ids = frame["id"]
    if ids.equals(pool.rows["id"]):
        return False
    lacking = pool.rows["id"].filter(~pool.rows["id"].is_in(ids.implode()))
    foreign = ids.filter(~ids.is_in(pool.rows["id"].implode()))
    if len(lacking) or len(foreign):
        got = f"{len(lacking):,} of the pool are not there, {len(foreign):,} there are not its"
    else:
        got = "the pool's rows in another order, or some more than once"
    told.problem("content", "the rows are not those of the pool", where, got=got)
    return True


def _tell_rows(
    told: Told, where: str, frame: pl.DataFrame, is_wrong: pl.Expr | pl.Series, what: str
) -> None:
    wrong = frame.filter(is_wrong)["id"]
    if len(wrong):
        told.problem("content", what, where, got=f"{len(wrong):,} rows, the first {wrong[0]!r}")
