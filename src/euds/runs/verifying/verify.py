"""Verify a run folder: in seconds, and without a model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from euds.errors import InputError
from euds.files.damage import read_parquet
from euds.files.plain import read_plain
from euds.pool.pool import Pool
from euds.runs.folder import (
    CERTIFICATE,
    HELD_OUT,
    MANIFEST,
    POOL,
    REJECTED,
    RESULTS,
    SCORES,
    SELECTION,
    STABILITY,
    is_subset,
)
from euds.runs.manifest import CHECKSUM, checksum_of, faults_of, parse_manifest
from euds.runs.verifying.contents import check_pool, check_rejected, check_scores, check_selection
from euds.runs.verifying.files import sound_files
from euds.runs.verifying.problems import Problem, Told
from euds.runs.verifying.subsets import check_subset

__all__ = ["Verification", "verify"]

_MOST_BYTES = 256 << 20
_RESULTS_VERSION = 1  # of the documents that are looked into; see docs/results.md


@dataclass(frozen=True)
class Verification:
    """What was found of a run folder.

    Parameters
    ----------
    run : str
        The folder.
    problems : tuple of Problem
        What is not as a run leaves it.
    notes : tuple of str
        What could not be looked at, or does no harm.
    files : int
        Files with the digest that the manifest tells.
    rows : int or None
        Rows of the pool, if it could be read.
    seconds : float
        What it took.
    """

    run: str
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    files: int
    rows: int | None
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "is_sound": self.is_sound}

    def __str__(self) -> str:
        """Return a line for each problem and note, and what was looked at."""
        lines = [str(one) for one in self.problems]
        lines += [f"note: {one}" for one in self.notes]
        number = len(self.problems)
        found = f"{number:,} problem{'s' if number > 1 else ''}" if number else "sound"
        rows = "" if self.rows is None else f", {self.rows:,} rows"
        lines.append(f"{self.run}: {found} ({self.files:,} files as they were written{rows})")
        return "\n".join(lines)


def verify(path: str | Path) -> Verification:
    """Check that a run folder is what a run wrote: files, pool, scores, selection, subset.

    No model is asked and nothing is written. Links are not followed; what is no plain file is not
    opened.

    Parameters
    ----------
    path : str or pathlib.Path
        The run folder.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        If there is no folder.
    """
    root, started, told = Path(path), time.perf_counter(), Told()
    if not root.is_dir():
        raise InputError(
            "there is no run folder here",
            where=str(path),
            next_step=f"make one with: euds run INPUT --out {path}",
        )
    sound, pool = {}, None
    manifest = _manifest(root, told)
    if manifest is not None:
        sound = sound_files(root, manifest, told)
        pool = _check_contents(root, manifest, frozenset(sound), told)
    return Verification(
        run=str(path),
        problems=tuple(told.problems),
        notes=tuple(told.notes),
        files=len(sound),
        rows=None if pool is None else len(pool),
        seconds=time.perf_counter() - started,
    )


def _manifest(root: Path, told: Told) -> dict[str, Any] | None:
    """Return the manifest if its fields are what they should be."""
    with told.reading(MANIFEST, kind="manifest"):
        found = parse_manifest(root / MANIFEST)
        faults = list(faults_of(found))
        for name, got, expected in faults:
            told.problem(
                "manifest",
                "the field is not what it should be",
                f"{MANIFEST}: {name}",
                got=got,
                expected=expected,
            )
        if CHECKSUM not in found and "request" not in found:
            told.notes.append(
                f"{MANIFEST}: an older euds wrote it without a checksum of itself, so that only "
                f"what other files say too can be checked of it"
            )
        elif not any(name == CHECKSUM for name, *_ in faults):
            told.differ(
                "the manifest is not as it was written",
                MANIFEST,
                got=found.get(CHECKSUM, f"no {CHECKSUM}"),
                expected=checksum_of(found),
            )
        return None if faults else found
    return None


def _check_contents(
    root: Path, manifest: Mapping[str, Any], sound: frozenset[str], told: Told
) -> Pool | None:
    """Look into the files that are as they were written; return the pool."""
    pool = check_pool(root, manifest, told) if POOL in sound else None
    if REJECTED in sound:
        check_rejected(root, manifest, told)
    if SCORES in sound:
        check_scores(root, manifest, pool, told)
    selection = check_selection(root, manifest, pool, told) if SELECTION in sound else None
    if pool is not None and selection is not None:
        _check_subset(root, manifest, pool, selection, sound, told)
    for name, check in _FOUND.items():
        if name in sound:
            with told.reading(name):
                check(root / name, manifest, pool, told)
    return pool


def _check_subset(
    root: Path,
    manifest: Mapping[str, Any],
    pool: Pool,
    selection: pl.DataFrame,
    sound: frozenset[str],
    told: Told,
) -> None:
    settings = manifest["summary"].get("settings")
    weights = bool(settings.get("weights")) if isinstance(settings, dict) else False
    if pool.source.format == "folder":
        names = {"subset"} if (root / "subset").is_dir() else set()
    else:
        names = {name for name in sound if is_subset(name)}
    for name in sorted(names):
        check_subset(root / name, name, pool, selection, weights=weights, told=told)


def _check_results(path: Path, manifest: Mapping[str, Any], pool: Pool | None, told: Told) -> None:
    found = _object(path)
    told.differ(
        "the results are of another version",
        RESULTS,
        got=found.get("schema_version"),
        expected=_RESULTS_VERSION,
    )
    if pool is not None:
        told.differ(
            "the proof is of another pool",
            RESULTS,
            got=found["pool"]["fingerprint"],
            expected=pool.fingerprint,
        )
    for name in ("arms", "comparisons", "verdicts"):
        if not isinstance(found.get(name), list):
            told.problem("content", f"there is no list of {name}", RESULTS)


def _check_certificate(
    path: Path, manifest: Mapping[str, Any], pool: Pool | None, told: Told
) -> None:
    if _object(path) != manifest["summary"].get("certificate"):
        told.problem(
            "content", "the certificate is not that of the manifest", CERTIFICATE, expected=MANIFEST
        )


def _check_stability(
    path: Path, manifest: Mapping[str, Any], pool: Pool | None, told: Told
) -> None:
    settings = manifest["summary"]["settings"]
    told.differ(
        "the stability is of another rule",
        STABILITY,
        got=_object(path).get("rule"),
        expected=settings["rule"],
    )


def _check_held_out(path: Path, manifest: Mapping[str, Any], pool: Pool | None, told: Told) -> None:
    frame = read_parquet(path)
    if dict(frame.schema) != {"id": pl.String(), "reason": pl.String()}:
        told.problem(
            "content", "the columns are not id and reason", HELD_OUT, got=", ".join(frame.columns)
        )
    elif pool is not None:
        both = frame["id"].is_in(pool.rows["id"].implode()).sum()
        told.differ("rows are held out and in the pool", HELD_OUT, got=f"{both:,}", expected="0")


def _object(path: Path) -> dict[str, Any]:
    found = json.loads(read_plain(path, limit=_MOST_BYTES).decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__}, not an object")  # noqa: TRY004
    return found


_FOUND: Mapping[str, Callable[[Path, Mapping[str, Any], Pool | None, Told], None]] = {
    RESULTS: _check_results,
    CERTIFICATE: _check_certificate,
    STABILITY: _check_stability,
    HELD_OUT: _check_held_out,
}
