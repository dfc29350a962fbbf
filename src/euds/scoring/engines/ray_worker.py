"""What runs on the machines of a Ray cluster: workers that measure shards, and a count of tries.

A shard and its rows travel as bytes of Polars' own file format, so that no type is changed on the
way. A worker answers whatever happens: with rows, or with what went wrong.
"""

from __future__ import annotations

import dataclasses
import io
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import polars as pl

from euds.errors import EudsError, ModelError
from euds.models.sources import ModelReference, relocate
from euds.models.tuning import Tuning, try_out
from euds.pool.pool import Texts
from euds.progress import SilentProgress
from euds.scoring.scorers.base import Instrument, Measurement, recipe_id, recipe_of

__all__ = ["Answer", "Attempts", "ShardWorker", "packed", "tuning_here", "unpacked"]

_MOST_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a worker says about one shard.

    Parameters
    ----------
    shard : str
        The shard's name.
    rows : bytes or None
        The measured rows, see `unpacked`; None if there are none.
    error : str or None
        Why there are none, in one line.
    fatal : bool
        Whether the worker cannot measure any shard.
    """

    shard: str
    rows: bytes | None = None
    error: str | None = None
    fatal: bool = False


def packed(frame: pl.DataFrame) -> bytes:
    """Return a frame as bytes."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def unpacked(content: bytes) -> pl.DataFrame:
    """Return the frame that `packed` was given."""
    return pl.read_ipc(io.BytesIO(content))


class Attempts:
    """Counts how often each shard was begun: one that ends its worker must not do so for ever."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, shard: str) -> int:
        """Return how often the shard was begun before."""
        self._begun[shard] += 1
        return self._begun[shard] - 1


class ShardWorker:
    """Loads a measurement's model once and measures one shard after the other.

    Parameters
    ----------
    measurement : Measurement
        What is asked of the model; its models are looked for on this machine.
    recipe : str
        The name of the measurement's recipe where it was made. Another version of the package, or
        other weights, would put other numbers under the same name.
    begin : callable
        Takes the name of a shard and returns how often it was begun before.
    threads : int
        Threads that a model computes with.
    gpu : bool
        Whether it may use a GPU.
    """

    def __init__(
        self,
        measurement: Measurement,
        recipe: str,
        begin: Callable[[str], int],
        *,
        threads: int,
        gpu: bool,
    ) -> None:
        self._begin = begin
        self._threads = threads
        self._instrument: Instrument | None = None
        # Told with the first shard: an error here would only have Ray start another worker.
        self._broken: str | None = None
        if not gpu:
            hide_gpus()
        try:
            self._instrument = _checked(measurement, recipe).load()
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller must hear of it
            self._broken = in_one_line(error)

    def __call__(self, batch: Any) -> Any:
        """Answer a table of shards (``shard``, ``texts``) with one of their `Answer`."""
        shards = pl.DataFrame(pl.from_arrow(batch))
        answers = [self._answer(*row) for row in shards.select("shard", "texts").iter_rows()]
        schema = {
            "shard": pl.String,
            "rows": pl.Binary,
            "error": pl.String,
            "fatal": pl.Boolean,
        }
        return pl.DataFrame([dataclasses.asdict(one) for one in answers], schema=schema).to_arrow()

    def _answer(self, shard: str, texts: bytes) -> Answer:
        if self._instrument is None:
            return Answer(shard, error=self._broken, fatal=True)
        begun = self._begin(shard)
        if begun >= _MOST_ATTEMPTS:
            return Answer(shard, error=f"its worker died, {begun} times")
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(self._threads)  # a setting of each thread
        try:
            return Answer(shard, rows=packed(self._instrument(Texts(unpacked(texts)))))
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller must hear of it
            return Answer(shard, error=in_one_line(error))


def tuning_here(
    reference: ModelReference, precision: str, *, gpu: bool
) -> tuple[Tuning | None, str | None]:
    """Return how a model is run on this machine, or in one line why that cannot be told."""
    if not gpu:
        hide_gpus()
    try:
        return try_out(relocate(reference), precision, SilentProgress()), None
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller must hear of it
        return None, in_one_line(error)


def hide_gpus() -> None:
    """Keep this process, which was given no GPU, off those of its machine."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def in_one_line(error: Exception) -> str:
    """Return what went wrong, for the machine that asked.

    >>> in_one_line(KeyError("ge"))
    "KeyError: 'ge'"
    """
    if isinstance(error, EudsError):
        return "; ".join(" ".join(line.split()) for line in str(error).splitlines())
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _checked(measurement: Measurement, recipe: str) -> Measurement:
    """Return the measurement with this machine's models, if it is the same measurement here."""
    models = {
        one.name: relocate(value)
        for one in dataclasses.fields(measurement)  # type: ignore[arg-type]
        if isinstance(value := getattr(measurement, one.name), ModelReference)
    }
    here = dataclasses.replace(measurement, **models)  # type: ignore[type-var]
    found = recipe_id(recipe_of(here))
    if found != recipe:
        raise ModelError(
            "the worker's version of euds measures something else",
            got=found,
            expected=recipe,
            next_step="install the same version of euds on all machines",
        )
    return here
