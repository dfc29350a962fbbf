"""Repeat a run from its manifest, here, and hold what comes of it against what the run wrote."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from euds.errors import MAKE_AGAIN, InputError, OptionError, StoreError
from euds.files.addresses import on_record
from euds.files.atomic import write_bytes_atomically
from euds.files.environment import package_versions, this_machine
from euds.models.sources import resolve
from euds.pool.pool import Pool, Texts
from euds.progress import Progress, SilentProgress
from euds.runs.folder import RunFolder
from euds.runs.replaying.comparing import compare_columns, compare_selections, other_records
from euds.runs.replaying.recording import faults_of_request, unknown_of_request
from euds.runs.replaying.sources import ChangedError, Places, held_again, other_again, read_again
from euds.runs.verifying.problems import Told
from euds.runs.verifying.verify import verify
from euds.scoring.score import score
from euds.scoring.scores import ScoreTable
from euds.scoring.store.contents import MeasurementStore
from euds.scoring.store.disk import Store
from euds.scoring.vectors import Vectors, vectors_of
from euds.selection.select import select

__all__ = ["REPLAY", "Replay", "replay"]

REPLAY = "replay.json"
_REPLAY_VERSION = 1
_PARTS = ("reading", "scoring")
_SELECTING = (
    *("rule", "keep", "keep_tokens", "interval", "entropies", "near_duplicates", "quota"),
    *("soft", "use_labels", "always_keep", "guards", "keep_unusable", "seed"),
)


@dataclass(frozen=True)
class Replay:
    """What came of repeating a run.

    Parameters
    ----------
    run : str
        The run folder.
    problems : tuple of str
        Why it did not replay, one line each.
    notes : tuple of str
        What is another here and need not matter: versions of packages, say.
    found : dict
        What was compared: ``versions``, ``models``, ``reading``, ``scores``, ``selection``; None
        for what was not come to. See ``docs/verifying.md``.
    """

    run: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_replayed(self) -> bool:
        """Whether everything came out as it was, scores within their tolerance."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "replay_version": _REPLAY_VERSION,
            "run": self.run,
            "replayed": self.is_replayed,
            "problems": list(self.problems),
            "notes": list(self.notes),
            **self.found,
        }

    def write(self, folder: str | Path) -> Path:
        """Write ``replay.json`` into a folder and return its path."""
        path = Path(folder) / REPLAY
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_bytes_atomically(path, text.encode())
        return path

    def __str__(self) -> str:
        """Return what was compared, in lines."""
        lines = [*self.problems, *(f"note: {one}" for one in self.notes), *_told(self.found)]
        said = "replayed" if self.is_replayed else "did not replay"
        return "\n".join([*lines, f"{self.run}: {said}"])


def replay(
    path: str | Path,
    *,
    pool: str | Path | None = None,
    use_store: bool = False,
    progress: Progress | None = None,
) -> Replay:
    """Repeat a run from its manifest and compare: what is read, the scores, the selection.

    The run folder is only read. Models are asked anew, into a store that is thrown away, unless
    ``use_store`` says otherwise.

    Parameters
    ----------
    path : str or pathlib.Path
        The run folder.
    pool : str or pathlib.Path, optional
        Where the input is, if it is not where it was.
    use_store : bool
        Whether measurements of the user's store count: quick, but then the model is not asked.
    progress : Progress, optional
        Is told what happens; by default nothing is.

    Returns
    -------
    Replay

    Raises
    ------
    InputError
        If there is no run, an older euds wrote it, or a file that it read is not to be had.
    StoreError
        If the run folder is damaged.
    ModelNotFoundError
        If a model of the run is not on this machine.
    """
    root = Path(path)
    folder = RunFolder.open(root)
    _check_sound(root)
    request = _request(folder)
    with tempfile.TemporaryDirectory(prefix="euds-replay-") as thrown_away:
        store: MeasurementStore
        store = Store.default() if use_store else Store(Path(thrown_away) / "store")
        shown = progress or SilentProgress()
        again = _Again(folder, request, store, shown, use_store=use_store)
        try:
            again.repeat(pool)
        finally:
            shown.close()
    problems = tuple(map(str, again.told.problems))
    return Replay(str(path), problems, tuple(again.told.notes), again.found)


def _check_sound(root: Path) -> None:
    """Refuse a damaged run: what it does not hold as it was cannot be compared with."""
    damage = [one for one in verify(root).problems if one.kind != "stranger"]
    if damage:
        raise StoreError(
            "the run folder is damaged, so there is nothing to compare with",
            where=str(root),
            got=str(damage[0]) + (f" (and {len(damage) - 1:,} more)" if damage[1:] else ""),
            next_step=f"'euds verify {root}' tells all of it; {MAKE_AGAIN}",
        )


def _request(folder: RunFolder) -> Mapping[str, Any]:
    """Return what the run was asked."""
    manifest = folder.manifest
    request = manifest.get("request", {})
    lacking = [name for name in _PARTS if not isinstance(request.get(name), Mapping)]
    if "summary" in manifest and "settings" in manifest["summary"]:
        lacking += [] if isinstance(request.get("selecting"), Mapping) else ["selecting"]
    if lacking:
        made_by = manifest["versions"].get("euds", "an unknown version")
        raise InputError(
            "this run cannot be repeated: its manifest does not record what was asked",
            where=str(folder.path),
            got=f"no request for {', '.join(lacking)}; written by euds {made_by} on "
            f"{manifest['written']}",
            expected="a run folder made since manifests have a request",
            next_step="run the same command again with this euds; it can be repeated from then on",
        )
    unknown = unknown_of_request(request)
    if unknown:
        raise InputError(
            "a newer euds made this run, and asked for what this one does not know",
            where=str(folder.path),
            got=", ".join(unknown),
            next_step="pip install --upgrade euds",
        )
    faults = list(faults_of_request(request))
    if faults:
        raise StoreError(
            "the manifest's request is none that euds records",
            where=str(folder.path),
            got=", ".join(faults),
            next_step=MAKE_AGAIN,
        )
    return request  # type: ignore[no-any-return]


@dataclass
class _Again:
    """One repetition; fills in what it finds."""

    folder: RunFolder
    request: Mapping[str, Any]
    store: MeasurementStore
    progress: Progress
    use_store: bool
    told: Told = field(default_factory=Told)
    found: dict[str, Any] = field(default_factory=dict)

    def repeat(self, instead: str | Path | None) -> None:
        """Repeat everything that can be, until something makes the rest pointless."""
        self.found.update(dict.fromkeys(("versions", "models", "reading", "scores", "selection")))
        self.found["versions"], self.found["machine"] = self._versions(), self._machines()
        self.found["models"] = models = self._models()
        stored_pool, stored = self.folder.load_scored()
        try:
            pool = self._read(stored_pool, instead)
            arguments = None if pool is None else self._arguments()
        except ChangedError as error:
            self._tell(error.what, str(error.where), got=error.got, expected=error.expected)
            return
        if pool is None:
            return
        other = {role for role, one in models.items() if not one["is_same"]}
        if arguments is not None and "vectors" not in other:
            self.found["selection"] = {}
            # A run with --no-texts keeps none; what was read again is the same, as was seen.
            whole = stored_pool if stored_pool.has_texts else pool
            arguments["vectors"] = self._vectors(whole)
            self._select("from_stored_scores", whole, stored, arguments)
        if other - {"vectors"}:
            return
        if "cascade" in stored.provenance:
            self.told.notes.append(
                "the scores are those of a cascade, which are not made again: only reading and "
                "selecting were repeated"
            )
            return
        table = self._score(pool, stored)
        if arguments is not None and "vectors" not in other:
            self._select("from_scores_here", pool, table, arguments)

    def _tell(self, what: str, where: str, *, got: object = None, expected: object = None) -> None:
        self.told.problem("replay", what, where, got=got, expected=expected, next_step=None)

    def _versions(self) -> dict[str, Any]:
        """Note which packages are of another version here."""
        there, here = self.folder.manifest["versions"], package_versions()
        other = {
            name: {"run": there.get(name), "here": here.get(name)}
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name)
        }
        for name, one in other.items():
            self.told.notes.append(
                f"{name}: {one['run'] or 'not installed'} made the run, "
                f"{one['here'] or 'not installed'} is here"
            )
        return {"run": there, "here": here}

    def _machines(self) -> dict[str, Any]:
        return {"run": self.folder.manifest["machine"], "here": this_machine()}

    def _is_like_there(self) -> bool:
        """Return whether nothing is known that could make a score differ."""
        known = (self.found["versions"], self.found["machine"])
        return all(one["run"] == one["here"] for one in known)

    def _models(self) -> dict[str, Any]:
        """Compare the models under the names that the run used."""
        scoring, vectors = self.request["scoring"], self._vectors_asked()
        asked = dict(scoring["models"])
        if vectors is not None:
            asked["vectors"] = {"name": vectors["encoder"], "fingerprint": vectors["fingerprint"]}
        found = {}
        for role, one in asked.items():
            here = resolve(one["name"]).fingerprint
            found[role] = {
                "name": one["name"],
                "run": one["fingerprint"],
                "here": here,
                "is_same": here == one["fingerprint"],
            }
            if here != one["fingerprint"]:
                self._tell(
                    f"the {role} {one['name']} is another here than in the run, so it is not asked",
                    "models",
                    got=f"the fingerprint {here}",
                    expected=one["fingerprint"],
                )
        return found

    def _read(self, stored: Pool, instead: str | Path | None) -> Pool | None:
        """Read the input again, set apart what was set apart; None if it is not what it was."""
        asked, aside = self.request["reading"], self.request.get("held_out")
        places = Places(self.folder.path, self.request.get("from"))
        pool = read_again(asked, places, instead)
        found: dict[str, Any] = {
            "rows": {"run": asked["rows"], "here": len(pool)},
            "fingerprint": {"run": asked["fingerprint"], "here": pool.fingerprint},
        }
        self.found["reading"] = found
        where = ", ".join(asked["inputs"]) if instead is None else on_record(str(instead))
        if pool.fingerprint != asked["fingerprint"]:
            self._tell(
                "the input is not what the run read",
                where,
                got=f"{len(pool):,} rows with the fingerprint {pool.fingerprint}",
                expected=f"{asked['rows']:,} rows with {asked['fingerprint']}",
            )
            return None
        if aside is not None:
            pool = held_again(aside, pool, places)
            if pool.fingerprint != stored.fingerprint:
                self._tell(
                    "other rows were set apart than in the run",
                    where,
                    got=f"{len(pool):,} rows to select from, of fingerprint {pool.fingerprint}",
                    expected=f"{len(stored):,} of {stored.fingerprint}",
                )
                return None
        if not stored.has_texts:
            self.told.notes.append("the run keeps no texts: labels and records were not compared")
            return pool
        labels, records = other_records(stored, pool)
        found.update(labels_differ=labels, records_differ=records)
        for what, rows in (("labels", labels), ("records", records)):
            if rows:
                self._tell(f"the texts are the same, and {what} of {rows:,} rows are not", where)
        return pool

    def _vectors_asked(self) -> Mapping[str, Any] | None:
        asked: Mapping[str, Any] | None = (self.request.get("selecting") or {}).get("vectors")
        return asked

    def _arguments(self) -> dict[str, Any] | None:
        """Return what `select` was asked, but for vectors; None if it was not."""
        asked = self.request.get("selecting")
        if asked is None:
            return None
        places = Places(self.folder.path, asked.get("from"))
        against = [other_again(one, places, what="--against") for one in asked["against"]]
        target: Texts | None = None
        if asked["target"] is not None:
            target = other_again(asked["target"], places, what="--target").texts
        given = {name: asked[name] for name in _SELECTING if name in asked}
        return {**given, "against": against, "target": target}

    def _vectors(self, pool: Pool) -> Vectors | Literal[False]:
        """Make the sentence vectors again; where the run had none, there are none."""
        asked = self._vectors_asked()
        if asked is None:
            return False
        return vectors_of(
            pool.texts,
            encoder=asked["encoder"],
            precision=asked["precision"],
            store=self.store,
            progress=self.progress,
        )

    def _score(self, pool: Pool, stored: ScoreTable) -> ScoreTable:
        """Score again, in the precision that the run chose, and compare."""
        asked = self.request["scoring"]
        settings = {**asked["settings"], "precision": asked["precision"] or "auto"}
        table = score(pool, asked["scores"], store=self.store, progress=self.progress, **settings)
        columns = compare_columns(stored, table, precision=asked["precision"])
        stages = table.provenance["stages"]
        self.found["scores"] = {
            "precision": asked["precision"],
            "measured": sum(one["measured"] for one in stages),
            "columns": {name: one.to_dict() for name, one in columns.items()},
        }
        moved = [name for name, one in columns.items() if one.rows]
        if moved and self._is_like_there():
            self.told.notes.append(
                f"machine and packages are as in the run, and yet some values of "
                f"{', '.join(moved)} are not the very same"
            )
        for name, one in columns.items():
            if not one.is_within:
                self._tell(
                    "the scores differ by more than they may",
                    f"column {name}",
                    got=f"{one.beyond:,} rows"
                    + ("" if one.largest is None else f", the largest by {one.largest:.3g}"),
                    expected=one.tolerance.told(),
                )
        return table

    def _select(
        self, name: str, pool: Pool, table: ScoreTable, arguments: Mapping[str, Any]
    ) -> None:
        """Select again and compare; from stored scores it has to be the very same."""
        try:
            again = select(pool, table, **arguments)
        except OptionError as error:
            self._tell(f"it cannot be selected again: {error.what}", name, got=error.got)
            return
        found = compare_selections(self.folder.load_selection(pool), again.frame)
        self.found["selection"][name] = found.to_dict()
        if found.rows and name == "from_stored_scores":
            self._tell(
                "the same scores give another selection",
                "selection.parquet",
                got=f"{found.rows:,} rows with another decision or reason, such as {found.ids[0]}",
                expected="none",
            )


def _told(found: Mapping[str, Any]) -> list[str]:
    """Return what was compared, a line each."""
    lines = []
    reading, scores, selection = (found.get(name) for name in ("reading", "scores", "selection"))
    if reading is not None:
        same = reading["fingerprint"]["run"] == reading["fingerprint"]["here"]
        lines.append(
            f"Reading    {reading['rows']['here']:,} rows, {'the same' if same else 'others'}"
        )
    if scores is not None:
        for name, one in scores["columns"].items():
            if one["largest"] is not None:
                lines.append(
                    f"{name:<10} largest difference {one['largest']:.3g} (any in {one['rows']:,} "
                    f"rows; allowed {one['tolerance']['amount']:.3g})"
                )
    for name, one in (selection or {}).items():
        told = f"{one['rows']:,} rows differ, {one['kept']:,} of them in whether they are kept"
        lines.append(f"Selection  {name.replace('_', ' ')}: {told}")
    return lines
