"""Forgetting: nothing of a pool's texts stays in the cache.

What goes is every measurement of the texts, under whatever recipe; the answers that models gave to
them; their vectors; the outcomes of trainings on them; and files that are damaged, of which nobody
can tell whose rows they hold. What is of other texts stays. A kill at any moment leaves a cache
that can be used, and the same command again removes the rest.

A text is found by its key, a hash. One is known by more keys than its own: where it has a context,
some measurements read text and context apart; and how alike answers are is kept by a hash of the
answers. So answers go last: while they are there, it can be told what else has to go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import polars as pl

from euds.errors import InputError, StoreError
from euds.files.atomic import sync_folder
from euds.files.environment import cache_dir
from euds.files.locks import LOCK_NAME, locked
from euds.models.meaning import normalise_answer
from euds.pool.pool import Pool, Texts, text_key
from euds.proof.training.trained import TakenOutcomes, TrainingStore
from euds.scoring.scorers.semantic_answers import AnswerSimilarities, SampledAnswers, answer_set
from euds.scoring.store.contents import MeasurementStore, Taken
from euds.scoring.store.disk import Store, removing, stores_of_user
from euds.scoring.store.remote import RemoteStore

__all__ = ["Forgotten", "forget", "forget_all"]

_PARTS = ("store", "trained", "certified")
"""The folders of the cache that hold what came of the user's texts."""


@dataclass(frozen=True)
class Forgotten:
    """What was removed from the cache, or would be.

    Parameters
    ----------
    rows, folders : int
        Rows of the store, and in how many of its folders they were: one a recipe.
    unreadable, unfinished : int
        Files that are damaged, and files that a killed process left half written.
    outcomes : int
        Outcomes of trainings.
    untold : int
        Outcomes of an earlier version that do not tell their rows, and were left for that.
    links : tuple of str
        Symbolic links, which were not followed: what they lead to is as it was.
    dry_run : bool
        Whether nothing was removed in truth.
    """

    rows: int = 0
    folders: int = 0
    unreadable: int = 0
    unfinished: int = 0
    outcomes: int = 0
    untold: int = 0
    links: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether there was nothing to remove."""
        return not any((self.rows, self.unreadable, self.unfinished, self.outcomes))


def forget(
    pool: Pool | Texts,
    *,
    store: MeasurementStore | None = None,
    trainings: TrainingStore | None = None,
    untold: bool = False,
    dry_run: bool = False,
) -> Forgotten:
    """Remove all that the cache holds of a pool's texts.

    Run folders, subsets and reports are not in the cache: they stay.

    Parameters
    ----------
    pool : Pool or Texts
        The texts, read as they were for scoring: other columns make other texts.
    store : MeasurementStore, optional
        Where measurements are kept; by default the user's, on disk and at ``EUDS_STORE``.
    trainings : TrainingStore, optional
        Where outcomes of trainings are kept; the user's by default.
    untold : bool
        Whether outcomes of an earlier version, which do not tell their rows, go as well.
    dry_run : bool
        Whether to count only.

    Returns
    -------
    Forgotten
        What was removed, and what was left.

    Raises
    ------
    InputError
        If the pool is that of a run without texts.
    StoreError
        If a file cannot be read, written or removed. The same call again goes on.
    """
    if isinstance(pool, Pool) and not pool.has_texts:
        raise InputError(
            "a pool without texts does not tell all that the cache may hold of them",
            expected="the texts",
            next_step="name the input that the run was made of",
        )
    texts = pool.texts if isinstance(pool, Pool) else pool
    stores = stores_of_user() if store is None else [store]
    trained = trainings or TrainingStore.default()
    on_disk = [one.root for one in stores if isinstance(one, Store)]
    links = [link for root in (*on_disk, trained.root) for link in _links(root)]
    keys = _keys_of(texts)
    found = []
    for kept in stores:
        if isinstance(kept, Store) and _link_to(kept.root) is not None:
            continue
        answer_keys = _keys_of_answers(kept, texts)
        for folder in sorted(kept.folders(), key=_answers_last):
            of_answers = _is_of(folder, AnswerSimilarities.name)
            wanted = sorted(answer_keys if of_answers else keys)
            found.append(kept.take_out(folder, wanted, dry_run=dry_run))
    outcomes = TakenOutcomes()
    if _link_to(trained.root) is None:
        outcomes = trained.take_out(sorted(keys), untold=untold, dry_run=dry_run)
    return Forgotten(
        rows=sum(one.rows for one in found),
        folders=sum(one.rows > 0 for one in found),
        unreadable=sum(one.unreadable for one in found) + outcomes.unreadable,
        unfinished=sum(one.unfinished for one in found) + outcomes.unfinished,
        outcomes=outcomes.outcomes + (outcomes.untold if untold else 0),
        untold=0 if untold else outcomes.untold,
        links=tuple(links),
        dry_run=dry_run,
    )


def forget_all(*, dry_run: bool = False) -> Forgotten:
    """Remove all that the cache holds of anybody's texts; models and data sets stay.

    Parameters
    ----------
    dry_run : bool
        Whether to count only.

    Raises
    ------
    StoreError
        If a file cannot be read or removed. The same call again goes on.
    """
    tally = _Tally(dry_run)
    for name in _PARTS:
        tally.take_away(cache_dir() / name)
    for store in stores_of_user():
        if isinstance(store, RemoteStore):
            tally.add(store.take_all_out(dry_run=dry_run))
        elif store != Store.on_disk():  # EUDS_STORE is a folder
            tally.take_away(store.root)
    return tally.told


def _keys_of(texts: Texts) -> set[str]:
    """Return all keys that the store may know of texts, or their contexts, by."""
    keys = set(texts.keys)
    for text, context in zip(texts.texts, texts.contexts, strict=True):
        if context is not None:  # both are also read alone
            keys |= {text_key(text), text_key(context)}
    return keys


def _is_of(folder: PurePath, measurement: str) -> bool:
    return folder.name.startswith(f"{measurement}-")


def _answers_last(folder: PurePath) -> tuple[bool, str]:
    return _is_of(folder, SampledAnswers.name), folder.name


def _keys_of_answers(store: MeasurementStore, texts: Texts) -> set[str]:
    """Return the keys of the sets of answers to these texts that no other text got as well."""
    folders = store.folders()
    if not any(_is_of(folder, AnswerSimilarities.name) for folder in folders):
        return set()
    asked = dict(zip(texts.keys, texts.texts, strict=True))
    ours: set[str] = set()
    others: set[str] = set()
    for key, answers in _sampled(store, folders):
        plain = text_key(answer_set(None, answers))
        if key in asked:
            ours |= {plain, text_key(answer_set(asked[key], answers))}
        else:
            others.add(plain)
    return ours - others


def _sampled(
    store: MeasurementStore, folders: Iterable[PurePath]
) -> Iterator[tuple[str, list[str]]]:
    for folder in folders:
        if _is_of(folder, SampledAnswers.name):
            for rows in store.held(folder):
                for key, answers in rows.select("key", "answers").iter_rows():
                    yield key, [normalise_answer(answer) for answer in answers]


def _link_to(root: Path) -> Path | None:
    """Return the symbolic link on the way from the cache to a folder in it, if there is one.

    The cache itself may be one: the user said where it is.
    """
    top = cache_dir()
    inner = (root, *root.parents)
    within = inner[: inner.index(top)] if top in inner else (root,)
    return next((part for part in reversed(within) if part.is_symlink()), None)


def _links(root: Path) -> list[str]:
    """Return the symbolic links in a folder and in the folders of it, sorted."""
    if (link := _link_to(root)) is not None:
        return [str(link)]
    found = []
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        if entry.is_symlink():
            found.append(str(entry))
        elif entry.is_dir():
            found += [str(one) for one in sorted(entry.iterdir()) if one.is_symlink()]
    return found


class _Tally:
    """Takes away whole folders, and counts what was in them."""

    def __init__(self, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._taken: list[Taken] = []
        self._outcomes = 0
        self._links: list[str] = []

    @property
    def told(self) -> Forgotten:
        return Forgotten(
            rows=sum(one.rows for one in self._taken),
            folders=sum(one.rows > 0 for one in self._taken),
            unreadable=sum(one.unreadable for one in self._taken),
            unfinished=sum(one.unfinished for one in self._taken),
            outcomes=self._outcomes,
            links=tuple(self._links),
            dry_run=self._dry_run,
        )

    def add(self, taken: Iterable[Taken]) -> None:
        """Count what was taken away elsewhere."""
        self._taken += taken

    def take_away(self, folder: Path) -> None:
        """Take away a folder with all that is in it, and what a symbolic link leads to not."""
        if folder.is_symlink():
            self._links.append(str(folder))
            return
        if not folder.is_dir():
            return
        # Where a process may be writing it is waited for.
        is_used = (folder / LOCK_NAME).exists()
        with locked(folder, alone=True) if is_used else contextlib.nullcontext():
            try:
                entries = sorted(folder.iterdir())
            except OSError as error:
                raise StoreError(
                    "a folder of the cache cannot be read",
                    where=str(folder),
                    got=error.strerror or str(error),
                    next_step="mend its permissions and give the same command again",
                ) from error
            self._taken.append(self._counted(entries))
            for entry in entries:
                if entry.is_symlink() or entry.is_dir():
                    self.take_away(entry)
                elif entry.name != LOCK_NAME and not self._dry_run:
                    with removing(entry):
                        entry.unlink(missing_ok=True)
            if self._dry_run:
                return
            with removing(folder / LOCK_NAME):
                (folder / LOCK_NAME).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # a link stays, or another process makes it anew
                folder.rmdir()
        sync_folder(folder.parent)

    def _counted(self, entries: Iterable[Path]) -> Taken:
        rows = unreadable = unfinished = 0
        for entry in entries:
            if entry.is_symlink():
                continue
            if entry.name.endswith(".partial"):
                unfinished += 1
            elif entry.suffix == ".damaged":
                unreadable += 1
            elif entry.name.endswith(".json.zst"):
                self._outcomes += 1
            elif entry.suffix == ".parquet":
                try:
                    rows += pl.scan_parquet(entry).select(pl.len()).collect().item()
                except (pl.exceptions.PolarsError, OSError):
                    unreadable += 1
        return Taken(rows, unreadable, unfinished)
