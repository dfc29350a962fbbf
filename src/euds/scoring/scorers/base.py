"""The two things a scorer is made of: measurements, which are kept, and scores, which are derived.

A `Measurement` asks a model something about each text on its own: the entropies along the text, the
log-probability of each option, ten sampled answers. That costs model time, depends on nothing but
the text and the measurement's parameters, and is therefore kept for ever in the store.

A `Scorer` turns measurements into named columns of numbers for one pool. That costs next to
nothing and may look at the pool as a whole (word counts, the mean over all texts), so it is done
anew every time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Protocol

import polars as pl

from euds.models.protocols import LanguageModel
from euds.pool.pool import Texts

__all__ = [
    "NOT_FINITE",
    "Instrument",
    "Measure",
    "Measurement",
    "ScoreColumns",
    "Scorer",
    "about_tokens",
    "batch_option",
    "cut_to_size",
    "recipe_id",
    "recipe_of",
]

NOT_FINITE = "the model gave a value that is not finite"
"""The reason of a score that a model spoilt."""

BYTES_PER_TOKEN = 4
"""About as many as a tokenizer of today makes a token of, in English."""

Instrument = Callable[[Texts], pl.DataFrame]
"""A loaded measurement: texts in; ``key`` and its columns out, one row a text, in any order."""


class Measurement(Protocol):
    """A question put to a model about each text; a frozen dataclass of plain parameters.

    The dataclass fields, with `name` and `version`, are the recipe. `version` goes up whenever the
    same parameters would give other numbers.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    rows_per_shard: ClassVar[int]

    def load(self) -> Instrument:
        """Load the model and return the function that measures."""

    def work(self, texts: Texts) -> pl.Series:
        """Return about how many tokens the model reads for each text; tells the time left."""


Measure = Callable[[Measurement, Texts], pl.DataFrame]
"""Measures what the store does not hold yet and returns all rows, sorted by ``key``."""


@dataclass(frozen=True)
class ScoreColumns:
    """What a scorer returns.

    Parameters
    ----------
    frame : polars.DataFrame
        ``key``, float columns, and ``<name>_reason``: null where the score is there, else why not.
    notes : dict
        What a reader of the scores should know: the prompt that was chosen, rows cut, ...
    """

    frame: pl.DataFrame
    notes: dict[str, Any]


class Scorer(Protocol):
    """Turns texts into named columns of numbers; a frozen dataclass of plain parameters."""

    name: ClassVar[str]

    def score(self, texts: Texts, measure: Measure) -> ScoreColumns:
        """Score each text; a score that cannot be had is null and has a reason."""


def cut_to_size(
    model: LanguageModel, texts: Texts, *, max_tokens: int, max_context_tokens: int
) -> tuple[list[str], list[str]]:
    """Return texts and contexts cut to so many of the model's tokens; no context is empty."""
    contexts = [context or "" for context in texts.contexts]
    return (
        model.truncate(texts.texts, max_tokens=max_tokens),
        model.truncate(contexts, max_tokens=max_context_tokens),
    )


def about_tokens(
    texts: Texts, *, max_tokens: int, max_context_tokens: int = 0, beside: float = 0
) -> pl.Series:
    """Return about how many tokens texts and contexts have where they are cut, and those beside."""
    length = [
        (pl.col(name).str.len_bytes().fill_null(0) / BYTES_PER_TOKEN).clip(upper_bound=most)
        for name, most in (("text", max_tokens), ("context", max_context_tokens))
    ]
    return texts.frame.select(length[0] + length[1] + beside).to_series()


def batch_option() -> Any:
    """Return a dataclass field for the batch size, which is no part of a recipe.

    None leaves it to the model, which knows what is fast on its device.
    """
    return field(default=None, metadata={"recipe": False})


def recipe_of(measurement: Measurement) -> dict[str, Any]:
    """Return the recipe: all that decides a measurement's numbers, apart from the text."""
    parameters: dict[str, Any] = {}
    for parameter in fields(measurement):  # type: ignore[arg-type]  # a protocol cannot say so
        if not parameter.metadata.get("recipe", True):
            continue
        value = getattr(measurement, parameter.name)
        # A model enters by what it is, not by the name or folder it was found under.
        parameters[parameter.name] = getattr(value, "fingerprint", value)
        if is_dataclass(parameters[parameter.name]):
            parameters[parameter.name] = asdict(parameters[parameter.name])
    return {"name": measurement.name, "version": measurement.version, "parameters": parameters}


def recipe_id(recipe: dict[str, Any]) -> str:
    """Return a short name for a recipe: its measurement's name and a hash of everything in it."""
    canonical = json.dumps(recipe, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return f"{recipe['name']}-{hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()}"
