"""The inputs of a run, found and read again."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euds.errors import InputError, StoreError
from euds.files.addresses import has_secrets, local_name
from euds.pool.pool import Pool
from euds.proof.holdout import hold_out
from euds.reading import read
from euds.reading.inputs import STDIN
from euds.runs.replaying.recording import READING

__all__ = ["ChangedError", "Places", "held_again", "other_again", "read_again"]

_INPUT = "an input"


class ChangedError(InputError):
    """A file of the run is there, and holds something else."""


@dataclass(frozen=True)
class Places:
    """Where the names of files may start from: where the command was given, then here.

    Parameters
    ----------
    run : pathlib.Path
        The run folder.
    given_in : str or None
        The way from it to the folder that the command was given in.
    """

    run: Path
    given_in: str | None

    def find(self, name: str, *, what: str, next_step: str) -> str | Path:
        """Return the path of a file, folder or pattern that the run read; an address as it is.

        Raises
        ------
        InputError
            If it is in none of the places, or an address of which only a part was recorded.
        """
        local = local_name(name)
        if local is None:
            return _whole(name, what=what)
        there = [] if self.given_in is None else [Path(os.path.realpath(self.run / self.given_in))]
        tried = [place / Path(local).expanduser() for place in (*there, Path())]
        for path in tried:
            if path.exists() or (glob.has_magic(str(path)) and glob.glob(str(path))):  # noqa: PTH207
                return path
        raise InputError(
            f"{what} of the run is not where it was",
            where=name,
            got="nothing at " + ", nor at ".join(dict.fromkeys(map(str, tried))),
            next_step=next_step,
        )


def _whole(address: str, *, what: str) -> str:
    """Return an address, if all of it was recorded."""
    if has_secrets(address):
        raise InputError(
            f"{what} of the run had a name, a password or a query in its address, which are never "
            "recorded",
            where=address,
            expected="the whole address",
            next_step="--pool ADDRESS"
            if what == _INPUT
            else "a run that reads a copy of it, or an address without these, can be repeated",
        )
    return address


def read_again(asked: Mapping[str, Any], places: Places, instead: str | Path | None) -> Pool:
    """Read the run's input again, or another file in its place, from the same columns.

    Raises
    ------
    InputError
        If it is not to be had, or cannot be read.
    """
    inputs: Sequence[str | Path]
    if instead is not None:
        inputs = [instead]
    elif STDIN in asked["inputs"]:
        raise InputError(
            "the run read its input from a pipe, which is gone",
            where=str(places.run),
            next_step="if you have it as a file: --pool FILE",
        )
    else:
        step = "if it was moved: --pool FILE"
        inputs = [places.find(name, what=_INPUT, next_step=step) for name in asked["inputs"]]
    return read(*inputs, **{name: asked[name] for name in READING})


def other_again(asked: Mapping[str, Any], places: Places, *, what: str) -> Pool:
    """Read a file again that is no part of the pool.

    Raises
    ------
    InputError
        If it is not to be had, cannot be read, or (`ChangedError`) holds other texts.
    """
    name = asked["file"]
    path = places.find(name, what=what, next_step="put it there again")
    pool = read(path, **{one: asked[one] for one in READING if one in asked})
    if pool.texts.fingerprint != asked["fingerprint"]:
        raise ChangedError(
            f"{what} has changed since the run",
            where=name,
            got=f"texts with the fingerprint {pool.texts.fingerprint}",
            expected=asked["fingerprint"],
            next_step="give it back the content that it had",
        )
    return pool


def held_again(asked: Mapping[str, Any], pool: Pool, places: Places) -> Pool:
    """Return the pool without what was set apart before scoring."""
    part = asked["part"]
    if isinstance(part, Mapping):
        part = other_again(part, places, what="the file of rows set apart")
    elif not isinstance(part, float):
        raise StoreError("the manifest does not say what was set apart", got=repr(part))
    return hold_out(
        pool,
        part,
        closed_labels=asked["closed_labels"],
        remove_near_duplicates=asked["remove_near_duplicates"],
        sample=asked.get("sample"),
        seed=asked["seed"],
    ).pool
