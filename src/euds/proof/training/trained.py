"""Trainings that were made are kept: a killed proof, or one with one more rule, trains the rest.

::

    <cache>/trained/v1/<hash of everything that decides a training>.json.zst

What decides a training is the trainer's recipe, the rows and labels it is trained on, the rows that
it answers, the settings, the number of steps and the seed. The rule that chose the rows does not:
two rules that keep the same rows share a training. What is written are answers: names of classes,
or words of the contexts; and how the keys of the rows begin, so that it can be told which outcomes
concern a text.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from euds.errors import StoreError
from euds.files.atomic import sync_folder, write_bytes_atomically
from euds.files.damage import DamagedFileError, parse_json
from euds.files.environment import cache_dir
from euds.files.locks import locked
from euds.proof.training.protocol import Outcome, Samples, Settings
from euds.scoring.store.disk import removing

__all__ = ["TakenOutcomes", "Training", "TrainingStore"]

_LOG = logging.getLogger(__name__)
_KEY_DIGITS = 16  # half of a key: by chance two texts share it once in 2 ** 64
_SUFFIX = ".json.zst"


@dataclass(frozen=True)
class Training:
    """One training to be made: on which rows, with which seed, to answer which rows.

    Parameters
    ----------
    fit, ask : ndarray of int
        Row numbers of the samples.
    seed : int
        The seed; always 0 for a trainer whose seed changes nothing.
    steps : int or None
        Optimiser steps; None for the trainer's number of epochs.
    settings : mapping of str to float
        What was tuned.
    """

    fit: NDArray[np.int64]
    ask: NDArray[np.int64]
    seed: int
    steps: int | None
    settings: Settings

    def digest(self, recipe: dict[str, Any], samples: Samples) -> str:
        """Return a hash of everything that decides the outcome."""
        content = {
            "recipe": recipe,
            "classes": samples.classes,
            "fit": [(samples.keys[row], samples.labels[row]) for row in self.fit.tolist()],
            "ask": [samples.keys[row] for row in self.ask.tolist()],
            "seed": self.seed,
            "steps": self.steps,
            "settings": dict(self.settings),
        }
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

    def keys(self, samples: Samples) -> list[str]:
        """Return the keys of all rows that it is trained on or answers."""
        return [samples.keys[row] for row in (*self.fit.tolist(), *self.ask.tolist())]


@dataclass(frozen=True)
class TakenOutcomes:
    """Which outcomes were taken out, or would be.

    Parameters
    ----------
    outcomes : int
        Outcomes of trainings on some of the keys, or that answer some of them.
    unreadable : int
        Files that could not be read, so that nobody can tell which rows they are about.
    unfinished : int
        Files that a process was writing when it was killed.
    untold : int
        Outcomes of an earlier version, which do not tell their rows; taken out only if asked for.
    """

    outcomes: int = 0
    unreadable: int = 0
    unfinished: int = 0
    untold: int = 0


@dataclass(frozen=True)
class TrainingStore:
    """Outcomes of trainings on disk, by the hash of what decides them.

    Parameters
    ----------
    root : pathlib.Path
        The folder; made when something is first added.
    """

    root: Path

    @classmethod
    def default(cls) -> TrainingStore:
        """Return the user's store: in ``EUDS_CACHE``, else in the platform's cache folder."""
        return cls(cache_dir() / "trained" / "v1")

    def get(self, digest: str) -> Outcome | None:
        """Return an outcome, or None if that training was not made yet."""
        path = self._path(digest)
        try:
            return _outcome(_content_of(path))
        except FileNotFoundError:
            return None
        except (
            OSError,
            zstandard.ZstdError,
            ValueError,
            LookupError,
            TypeError,
            OverflowError,
        ) as error:
            _LOG.warning("%s is damaged (%s): this training is made again", path, error)
            return None

    def add(self, digest: str, outcome: Outcome, *, keys: Sequence[str] | None = None) -> None:
        """Keep an outcome, atomically, with the keys of the rows that it concerns.

        Raises
        ------
        StoreError
            If it cannot be written. What was added before stays.
        """
        words = sorted(set(outcome.answers))
        number = {word: index for index, word in enumerate(words)}
        content = {
            "words": words,
            "answers": [number[answer] for answer in outcome.answers],
            "steps": outcome.steps,
            "training_seconds": outcome.training_seconds,
            "answering_seconds": outcome.answering_seconds,
        }
        if keys is not None:
            content["keys"] = _beginnings(keys)
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        data = compressor.compress(json.dumps(content, ensure_ascii=False).encode())
        with locked(self.root, alone=False, make=True):
            write_bytes_atomically(self._path(digest), data)

    def take_out(
        self, keys: Sequence[str], *, untold: bool = False, dry_run: bool = False
    ) -> TakenOutcomes:
        """Take out the outcomes that concern some rows, and files that cannot be read.

        Parameters
        ----------
        keys : sequence of str
            The keys of the rows.
        untold : bool
            Whether outcomes that do not tell their rows go as well.
        dry_run : bool
            Whether to count only.

        Raises
        ------
        StoreError
            If a file cannot be read or taken away. The same call again goes on.
        """
        wanted = set(_beginnings(keys))
        counts = {"outcomes": 0, "unreadable": 0, "unfinished": 0, "untold": 0}
        if not self.root.is_dir():
            return TakenOutcomes()
        with locked(self.root, alone=True):
            for path in self._own_files():
                kind = _kind(path, wanted)
                if kind is None:
                    continue
                counts[kind] += 1
                if not dry_run and (kind != "untold" or untold):
                    with removing(path):
                        path.unlink(missing_ok=True)
            sync_folder(self.root)
        return TakenOutcomes(**counts)

    def _own_files(self) -> list[Path]:
        return sorted(
            entry
            for entry in self.root.iterdir()
            if entry.name.endswith((_SUFFIX, ".partial"))
            and entry.is_file()
            and not entry.is_symlink()
        )

    def _path(self, digest: str) -> Path:
        return self.root / f"{digest}{_SUFFIX}"


def _beginnings(keys: Sequence[str]) -> list[str]:
    return sorted({key[:_KEY_DIGITS] for key in keys})


def _kind(path: Path, wanted: set[str]) -> str | None:
    """Return what becomes of a file where some rows are to go; None if it is not about them."""
    if path.name.endswith(".partial"):
        return "unfinished"
    try:
        told = _content_of(path).get("keys")
    except (zstandard.ZstdError, ValueError, AttributeError):
        return "unreadable"
    if told is None:
        return "untold"
    return None if wanted.isdisjoint(told) else "outcomes"


def _content_of(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            "the outcome of a training cannot be read",
            where=str(path),
            got=error.strerror or str(error),
            next_step="mend its permissions, or remove it to have the training made again",
        ) from error
    # The checksum that zstd writes tells a damaged file from a whole one. In one go it would
    # believe the size that the file says it has.
    frame = zstandard.ZstdDecompressor().decompressobj()
    content = parse_json(frame.decompress(data))
    if not frame.eof:
        raise DamagedFileError("the file is cut short")
    return content


def _outcome(content: Any) -> Outcome:
    """Return what a file says; whatever is wrong with it is an exception."""
    words = content["words"]
    answers = tuple(words[index] for index in content["answers"])
    seconds = [content["training_seconds"], content["answering_seconds"]]
    if not all(isinstance(answer, str) for answer in answers):
        raise DamagedFileError("answers that are no text")
    return Outcome(answers, int(content["steps"]), *map(float, seconds))
