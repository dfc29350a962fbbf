"""Trainings that were made are kept: a killed proof, or one with one more rule, trains the rest.

::

    <cache>/trained/v1/<hash of everything that decides a training>.json.zst

What decides a training is the trainer's recipe, the rows and labels it is trained on, the rows that
it answers, the settings, the number of steps and the seed. The rule that chose the rows does not:
two rules that keep the same rows share a training. What is written are answers: names of classes,
or words of the contexts.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from euds.atomic import write_bytes_atomically
from euds.damage import DamagedFileError, parse_json
from euds.locations import cache_dir
from euds.proof.training import Outcome, Samples, Settings

__all__ = ["Training", "TrainingStore"]

_LOG = logging.getLogger(__name__)


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
            return _outcome(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, zstandard.ZstdError, ValueError, LookupError, TypeError) as error:
            _LOG.warning("%s is damaged (%s): this training is made again", path, error)
            return None

    def add(self, digest: str, outcome: Outcome) -> None:
        """Keep an outcome, atomically."""
        words = sorted(set(outcome.answers))
        number = {word: index for index, word in enumerate(words)}
        content = {
            "words": words,
            "answers": [number[answer] for answer in outcome.answers],
            "steps": outcome.steps,
            "training_seconds": outcome.training_seconds,
            "answering_seconds": outcome.answering_seconds,
        }
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        data = compressor.compress(json.dumps(content, ensure_ascii=False).encode())
        write_bytes_atomically(self._path(digest), data)

    def _path(self, digest: str) -> Path:
        return self.root / f"{digest}.json.zst"


def _outcome(data: bytes) -> Outcome:
    """Return what a file says; whatever is wrong with it is an exception."""
    # The checksum that zstd writes tells a damaged file from a whole one. In one go it would
    # believe the size that the file says it has.
    frame = zstandard.ZstdDecompressor().decompressobj()
    content = parse_json(frame.decompress(data))
    if not frame.eof:
        raise DamagedFileError("the file is cut short")
    words = content["words"]
    answers = tuple(words[index] for index in content["answers"])
    seconds = [content["training_seconds"], content["answering_seconds"]]
    if not all(isinstance(answer, str) for answer in answers):
        raise DamagedFileError("answers that are no text")
    return Outcome(answers, int(content["steps"]), *map(float, seconds))
