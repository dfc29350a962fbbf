"""The run folder: everything one run read, scored and chose, complete once its manifest is there.

::

    RUN/
        pool.parquet         the samples, and their records as they were read
        scores.parquet       the score table
        selection.parquet    kept, reason, ranks, inclusion, by id
        subset.<as input>    the kept rows, in the input's own format; not with --no-subset
        rejected.jsonl       rows that could not be used: file, line, reason, raw
        report.html          the page for people; with a proof also table.md and figures/
        results.json         what a proof found
        certificate.json     what --certify found
        stability.json       what `euds stability` found
        held_out.parquet     rows that were not selected from, in a proof or to certify: id, reason
        manifest.json        inputs, request, settings, versions, seconds, checksums; written last

With ``--no-texts`` there is no subset, and neither the pool nor the rejected rows have texts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from euds.errors import MAKE_AGAIN, InputError, OptionError, StoreError
from euds.files.addresses import local_name, on_record
from euds.files.atomic import atomic_write, write_bytes_atomically
from euds.files.damage import UNREADABLE, DamagedFileError, first_line, read_parquet
from euds.files.environment import package_versions, this_machine
from euds.files.plain import digest_of
from euds.pool.pool import REJECTED_SCHEMA, Pool
from euds.runs.manifest import (
    MANIFEST_VERSION,
    NewerRunError,
    parse_manifest,
    read_manifest,
    with_checksum,
)
from euds.scoring.scores import ScoreTable
from euds.selection.selection import Selection
from euds.writing import write_rejected

__all__ = [
    "CERTIFICATE",
    "HELD_OUT",
    "MANIFEST",
    "POOL",
    "REJECTED",
    "RESULTS",
    "SCORES",
    "SELECTION",
    "STABILITY",
    "RunFolder",
    "is_of_a_run",
    "is_subset",
]

Loaded = TypeVar("Loaded")
_SELECTED = {
    "id": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,
    "inclusion": pl.Float64,
    "duplicate_of": pl.String,
}
POOL, SCORES, SELECTION = "pool.parquet", "scores.parquet", "selection.parquet"
REJECTED, MANIFEST = "rejected.jsonl", "manifest.json"
RESULTS, HELD_OUT, CERTIFICATE = "results.json", "held_out.parquet", "certificate.json"
STABILITY = "stability.json"
_REPORT = ("report.html", "table.md", "figures")
_FOUND = (RESULTS, CERTIFICATE, STABILITY, HELD_OUT, *_REPORT)
_SUBSET = re.compile(r"subset(\.(jsonl|ndjson|csv|tsv|tab|parquet)(\.(gz|zst))?)?")


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    """

    path: Path

    @classmethod
    def create(
        cls, path: Path, *, inputs: Sequence[str] = (), test: str | None = None
    ) -> RunFolder:
        """Make the folder, or take over one that holds an earlier run of the same inputs.

        Nothing in it is touched before `save_scored`.

        Raises
        ------
        OptionError
            If something that no run wrote is in it, a run of other inputs, or an input itself.
        """
        folder = cls(path)
        names = (*inputs, *([] if test is None else [test]))
        for one in filter(None, map(local_name, names)):
            if path.resolve() in (Path(one).resolve(), *Path(one).resolve().parents):
                raise OptionError(
                    "the run folder holds its own input",
                    where=str(path),
                    got=one,
                    next_step="name another with --out",
                )
        if path.exists() and not path.is_dir():
            raise OptionError(
                "the run folder is a file", where=str(path), next_step="name another with --out"
            )
        if folder._manifest_path.exists() and inputs:
            earlier = None
            with contextlib.suppress(StoreError):  # a damaged manifest is replaced with its run
                earlier = parse_manifest(folder._manifest_path).get("inputs")
            if isinstance(earlier, list) and earlier != [on_record(one) for one in inputs]:
                raise OptionError(
                    "the run folder holds a run of other inputs",
                    where=str(path),
                    got=", ".join(map(str, earlier)),
                    expected=", ".join(inputs),
                    next_step="name another with --out, or remove that folder first",
                )
        strangers = (
            sorted(entry.name for entry in path.iterdir() if not is_of_a_run(entry.name))
            if path.exists()
            else []
        )
        if strangers:
            raise OptionError(
                "the run folder holds files that are not of a run",
                where=str(path),
                got=", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else ""),
                expected="a new or empty folder, or that of an earlier run",
                next_step="name another with --out",
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            for leftover in path.glob(".*.partial"):  # of a run that was killed while it wrote
                folder._remove(leftover)
        except OSError as error:
            raise StoreError(
                "the run folder cannot be made",
                where=str(path),
                got=str(error),
                next_step="name another with --out",
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the folder of a run that is complete.

        Raises
        ------
        InputError
            If there is no run, or it was not finished.
        NewerRunError
            If a newer euds made it in another form.
        """
        folder = cls(path)
        if not path.is_dir():
            raise InputError(
                "there is no run folder here",
                where=str(path),
                next_step="make one with: euds run INPUT --out " + str(path),
            )
        if not folder._manifest_path.exists():
            held = ", ".join(sorted(entry.name for entry in path.iterdir())[:5])
            raise InputError(
                "this folder holds no complete run",
                where=str(path),
                got=held or "an empty folder",
                expected=MANIFEST,
                next_step="run the same 'euds run' or 'euds score' command again: it goes on "
                "where it was",
            )
        folder._check_not_newer()
        return folder

    def _check_not_newer(self) -> None:
        """Refuse a run in a form that is not known here; damage is told where it matters."""
        if self._manifest_path.exists():
            try:
                read_manifest(self._manifest_path)
            except NewerRunError:
                raise
            except StoreError:
                pass

    @property
    def _manifest_path(self) -> Path:
        return self.path / MANIFEST

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises
        ------
        StoreError
            If it cannot be read, or is of another version of euds.
        """
        return read_manifest(self._manifest_path)

    def save_scored(self, pool: Pool, table: ScoreTable, *, texts: bool = True) -> None:
        """Write pool, rejected rows and scores; what an earlier run left is taken away.

        Without texts, of the pool there are ids, keys and places only.
        """
        pool = pool if texts else pool.without_texts()
        self._remove(self._manifest_path)
        self._remove(self.path / SELECTION)
        self._remove_subset()
        self._remove_proof()
        for name in (POOL, SCORES, REJECTED):
            self._remove_link(name)
        with atomic_write(self.path / POOL) as aside:
            pool.save(aside)
        with atomic_write(self.path / SCORES) as aside:
            table.save(aside)
        write_rejected(pool, self.path / REJECTED)

    def save_selection(
        self, selection: Selection, *, subset: bool = True, weights: bool = False
    ) -> Path | None:
        """Write the selection and the subset, with weights or without; return the subset's path.

        Without a subset only that of an earlier selection is taken away, and None is returned.
        """
        self._remove(self._manifest_path)
        self._remove_subset()
        self._remove_proof()  # it was about another selection
        self._remove_link(SELECTION)
        with atomic_write(self.path / SELECTION) as aside:
            selection.frame.write_parquet(aside)
        if not subset:
            return None
        path = self.path / f"subset{selection.pool.source.suffix}"
        return selection.write(path, weights=weights)

    def save_results(self, results: dict[str, Any], left_out: pl.DataFrame) -> Path:
        """Write what a proof found, and which rows the pool was without; return the former."""
        return self._save_found(RESULTS, results, left_out)

    def save_certificate(self, results: dict[str, Any], left_out: pl.DataFrame) -> Path:
        """Write a certificate, and which rows the pool was without; return the former."""
        return self._save_found(CERTIFICATE, results, left_out)

    def save_stability(self, found: dict[str, Any]) -> Path:
        """Write how stable the selection is into a complete run; return the file."""
        manifest = self.manifest
        path = self._save_json(STABILITY, found)
        manifest["checksums"] = {**manifest["checksums"], STABILITY: digest_of(path)}
        self._write_manifest(manifest)
        return path

    def _save_found(self, name: str, found: dict[str, Any], left_out: pl.DataFrame) -> Path:
        with atomic_write(self.path / HELD_OUT) as aside:
            left_out.write_parquet(aside)
        return self._save_json(name, found)

    def _save_json(self, name: str, found: dict[str, Any]) -> Path:
        path = self.path / name
        self._remove_link(name)
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_bytes_atomically(path, text.encode())
        return path

    def _remove_proof(self) -> None:
        for name in _FOUND:
            self._remove(self.path / name)

    def _remove_subset(self) -> None:
        for stale in self.path.glob("subset*"):
            if _SUBSET.fullmatch(stale.name):
                self._remove(stale)

    def _remove(self, path: Path) -> None:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                "a file of an earlier run cannot be replaced",
                where=str(path),
                got=str(error),
                next_step="name another folder with --out",
            ) from error

    def _remove_link(self, name: str) -> None:
        """Take a link away: what is written there would else go to wherever it leads."""
        if (self.path / name).is_symlink():
            self._remove(self.path / name)

    def save_manifest(self, content: dict[str, Any]) -> None:
        """Write the manifest: the run is complete."""
        manifest = {
            "manifest_version": MANIFEST_VERSION,
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": package_versions(),
            "machine": this_machine(),
            **content,
            "checksums": {
                entry.relative_to(self.path).as_posix(): digest_of(Path(os.path.realpath(entry)))
                for entry in sorted(self.path.rglob("*"))
                if entry.is_file() and _has_checksum(entry.relative_to(self.path))
            },
        }
        self._write_manifest(manifest)

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        self._remove_link(MANIFEST)
        text = json.dumps(with_checksum(manifest), indent=2, ensure_ascii=False) + "\n"
        write_bytes_atomically(self._manifest_path, text.encode())

    def load_pool(self) -> Pool:
        """Read the pool, with its rejected rows."""
        path = self.path / REJECTED
        rejected = pl.DataFrame(schema=REJECTED_SCHEMA)
        if path.exists() and path.stat().st_size:
            rejected = self._load(REJECTED, _read_rejected)
        return self._load(POOL, lambda file: Pool.load(file, rejected=rejected))

    def load_scores(self) -> ScoreTable:
        """Read the scores."""
        return self._load(SCORES, ScoreTable.load)

    def load_scored(self) -> tuple[Pool, ScoreTable]:
        """Read pool and scores; they suffice to select, also where an earlier selecting was killed.

        Raises
        ------
        InputError
            If there are none, or they do not belong together.
        NewerRunError
            If a newer euds made the run in another form.
        """
        self._check_not_newer()
        if not ((self.path / POOL).exists() and (self.path / SCORES).exists()):
            RunFolder.open(self.path)
        pool, table = self.load_pool(), self.load_scores()
        same = table.provenance.get("pool") == pool.fingerprint
        if table.frame["id"].equals(pool.rows["id"]):  # and then they need be held only once
            table = ScoreTable(table.frame.with_columns(pool.rows["id"]), table.provenance)
        if not (same and _same_ids(pool, table.frame)):
            raise InputError(
                "the pool and the scores of this folder are not of one run",
                where=str(self.path),
                next_step="run the same 'euds run' or 'euds score' command again",
            )
        return pool, table

    def load_selection(self, pool: Pool) -> pl.DataFrame:
        """Read the frame of the selection from a pool.

        Raises
        ------
        InputError
            If nothing was selected yet, or from another pool.
        """
        if not (self.path / SELECTION).exists():
            raise InputError(
                "nothing was selected in this run yet",
                where=str(self.path),
                next_step=f"euds select {self.path} --keep 0.16",
            )
        frame = self._load(SELECTION, _read_selection)
        if not _same_ids(pool, frame):
            raise InputError(
                "the pool and the selection of this folder are not of one run",
                where=str(self.path),
                next_step=f"euds select {self.path} --keep 0.16",
            )
        return frame

    def _load(self, name: str, read: Callable[[Path], Loaded]) -> Loaded:
        path = self.path / name
        try:
            self._check_unchanged(path)
            return read(path)
        except UNREADABLE as error:
            raise StoreError(
                "a file of the run cannot be read",
                where=str(path),
                got=first_line(error),
                next_step=MAKE_AGAIN,
            ) from error

    def _check_unchanged(self, path: Path) -> None:
        """Hold a file against its checksum; a run that was killed while selecting has none yet."""
        if not self._manifest_path.exists():
            return
        expected = self.manifest["checksums"].get(path.name)
        if (
            expected is not None
            and path.exists()
            and digest_of(Path(os.path.realpath(path))) != expected
        ):
            raise StoreError(
                "a file of the run is not what was written",
                where=str(path),
                got="another checksum than in the manifest",
                next_step=MAKE_AGAIN,
            )


def _read_rejected(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ndjson(path, schema=REJECTED_SCHEMA)
    except pl.exceptions.PanicException as panic:
        raise DamagedFileError(first_line(panic)) from panic


def _read_selection(path: Path) -> pl.DataFrame:
    """Return the frame of a selection; the file may hold anything."""
    frame = read_parquet(path)
    ranks = {name: pl.Float64 for name in frame.columns if name.startswith("rank_")}
    expected = {**_SELECTED, **ranks}
    if {name: frame.schema.get(name) for name in expected} != expected:
        raise DamagedFileError("its columns are not those of a selection")
    unsaid = pl.col("reason").is_null() & ~pl.col("kept")
    if sum(frame.select("id", "kept").null_count().row(0)) or frame.filter(unsaid).height:
        raise DamagedFileError("rows without an id, a fate or a reason")
    return frame


def _same_ids(pool: Pool, frame: pl.DataFrame) -> bool:
    ids, own = frame["id"], pool.rows["id"]
    return ids.equals(own) or (len(ids) == len(own) and ids.sort().equals(own.sort()))


def is_of_a_run(name: str) -> bool:
    """Return whether an entry of a run folder is one that a run makes.

    >>> is_of_a_run("subset.csv.gz"), is_of_a_run("subset-500.csv")
    (True, False)
    """
    known = {POOL, SCORES, SELECTION, REJECTED, MANIFEST, *_FOUND}
    return name in known or is_subset(name) or name.endswith(".partial")


def is_subset(name: str) -> bool:
    """Return whether a file or folder of that name holds a run's subset."""
    return bool(_SUBSET.fullmatch(name))


def _has_checksum(path: Path) -> bool:
    # In the subset of a folder a name may well begin with a dot.
    return path.as_posix() != MANIFEST and not path.parts[0].startswith(".")
