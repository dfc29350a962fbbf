"""Sentence vectors of texts, measured once and kept in the store.

What looks at how alike texts are takes its vectors from here: the probe of a proof, clusters,
coverage, early-training scores. The vectors see texts and contexts and no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import InputError, ModelError, OptionError
from euds.models import load_encoder, resolve_precision
from euds.models.sources import ModelReference, resolve
from euds.pool.pool import Texts
from euds.progress import Progress, SilentProgress
from euds.scoring.engines.base import Engine
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import Measurer
from euds.scoring.scorers.base import Instrument, about_tokens
from euds.scoring.store.contents import MeasurementStore
from euds.scoring.store.disk import Store

__all__ = ["DEFAULT_ENCODER", "SentenceVectors", "Vectors", "vectors_of"]

DEFAULT_ENCODER = "minilm-l6"

_FEWEST_TOKENS = 3  # the two special ones, and one of the text


@dataclass(frozen=True)
class SentenceVectors:
    """Measures the sentence vector of each text, or of text and context as one sequence.

    Parameters
    ----------
    encoder : ModelReference
        The sentence encoder.
    precision : {"float32", "bfloat16"}
        What the encoder computes in; tokens are pooled and scaled in float32 either way.
    max_tokens : int
        Where text and context together are cut, special tokens included.
    """

    name: ClassVar[str] = "sentence-vectors"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = 256

    encoder: ModelReference
    precision: str
    max_tokens: int = 128

    def load(self) -> Instrument:
        """Load the encoder; the returned function gives the column ``vector``."""
        model = load_encoder(self.encoder, precision=self.precision)

        def measure(texts: Texts) -> pl.DataFrame:
            vectors = model.encode(texts.whole, max_tokens=self.max_tokens)
            return texts.frame.select("key").with_columns(pl.Series("vector", vectors))

        return measure

    def work(self, texts: Texts) -> pl.Series:
        """Return about how many tokens are read of each text and its context."""
        most = self.max_tokens
        return about_tokens(texts, max_tokens=most, max_context_tokens=most).clip(upper_bound=most)


@dataclass(frozen=True)
class Vectors:
    """The sentence vectors of distinct texts.

    Parameters
    ----------
    keys : tuple of str
        The keys of the texts, sorted.
    array : ndarray of float32, shape (keys, dimensions)
        One vector of length 1 a key; the dot product of two is their cosine.
    seconds : float or None
        What measuring them took, in this run or earlier ones; None if the store does not know.
    """

    keys: tuple[str, ...]
    array: NDArray[np.float32]
    seconds: float | None

    def of(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of some keys in their order, shape ``(keys, dimensions)``.

        Raises
        ------
        InputError
            If a key has no vector here.
        """
        place = {key: index for index, key in enumerate(self.keys)}
        missing = [key for key in keys if key not in place]
        if missing:
            raise InputError(
                f"{len(missing):,} of {len(keys):,} texts have no vector",
                got=f"the key {missing[0]}",
                expected="keys of the texts that were measured",
                next_step="measure all texts that are asked about with vectors_of",
            )
        return self.array[[place[key] for key in keys]]


def vectors_of(
    texts: Texts,
    *,
    encoder: str | ModelReference = DEFAULT_ENCODER,
    max_tokens: int = 128,
    precision: str = "auto",
    store: MeasurementStore | None = None,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Vectors:
    """Return the sentence vector of each text; only what the store lacks is measured.

    Where the hardware has bfloat16 the encoder computes in it: about twice as fast, at a cosine
    similarity above 0.999 to the vectors in float32.

    Parameters
    ----------
    texts : Texts
        Texts, or texts with their contexts; at least one.
    encoder : str or ModelReference
        A sentence encoder, or its name; see `euds.models.sources.resolve`.
    max_tokens : int
        Where text and context together are cut, special tokens included.
    precision : {"auto", "float32", "bfloat16"}
        What the encoder computes in.
    store : MeasurementStore, optional
        Where vectors are kept; the user's store by default.
    engine : Engine, optional
        Where texts are measured; this process by default.
    progress : Progress, optional
        Is told what happens; by default nothing is.

    Raises
    ------
    OptionError
        If there are no texts, or no room for one beside the special tokens.
    ModelNotFoundError, ModelError, MissingExtraError
        If the encoder cannot be had, or gives what is no vector.
    """
    if not len(texts):
        raise OptionError("there are no texts to make vectors of", expected="at least one")
    if max_tokens < _FEWEST_TOKENS:
        raise OptionError(
            "max-tokens is too small for a vector",
            got=str(max_tokens),
            expected=f"at least {_FEWEST_TOKENS}",
        )
    measurer = Measurer(
        store or Store.default(), engine or LocalEngine(), progress or SilentProgress()
    )
    reference = resolve(encoder) if isinstance(encoder, str) else encoder
    measurement = SentenceVectors(reference, resolve_precision(precision), max_tokens)
    rows = measurer(measurement, texts)
    array = rows["vector"].to_numpy().astype(np.float32)
    if not np.isfinite(array).all():
        raise ModelError("the encoder gave a vector that is not finite", got=reference.name)
    return Vectors(tuple(rows["key"].to_list()), array, measurer.stages[-1].spent_seconds)
