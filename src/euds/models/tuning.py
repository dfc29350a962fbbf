"""What a language model computes in on this machine, and how much of a pool it reads at once.

Bfloat16 is about twice as fast as float32 where the hardware has it, and for most models it changes
no rank to speak of. For some it does, so a model is tried out before it is believed: a few dozen
texts are read in both precisions. In the same trial a few batch sizes are timed. What was found is
kept in the cache, for this model on this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import StoreError
from euds.files.atomic import write_bytes_atomically
from euds.files.damage import FILE_DAMAGE, parse_json
from euds.files.environment import cache_dir
from euds.models.hardware import (
    Precision,
    cores_shared_out,
    describe_machine,
    float32_bytes,
    free_bytes,
    resolve_precision,
)
from euds.models.sources import ModelReference
from euds.progress import Progress

if TYPE_CHECKING:
    from euds.models.transformers_lm import TransformersLM

__all__ = ["TRIAL_TEXTS", "Tuning", "try_out"]


# What a model is tried out on: short texts, likely and unlikely, written for this purpose.
#
# They differ in register, language and length, and some come with their words in another order as
# well, so that a model's entropies on them spread as widely as on a real pool.

_WRITTEN = (
    "The committee met on Tuesday to discuss next year's budget. After two hours the members "
    "agreed to spend more on roads and less on the new stadium.",
    "omg this phone is AMAZING!!! battery lasts 2 days, camera = wow. only con: no headphone "
    "jack lol. 10/10 would buy again",
    "Water boils at a lower temperature on a mountain, because the pressure of the air is lower "
    "there than at the level of the sea.",
    "Once upon a time there was a little girl who lived with her grandmother in a small house at "
    "the edge of the forest.",
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    "
    "return total / len(values)",
    "The tenant shall give written notice no later than thirty days before the end of the term, "
    "failing which this agreement renews for a further year.",
    "We were seated late, the soup was cold, and nobody said sorry. The cake was good, I give it "
    "that.",
    "Der Zug nach Hamburg hat heute vierzig Minuten Verspätung. Wir bitten um Entschuldigung.",
    "Preheat the oven to 180 degrees. Beat the eggs with the sugar until pale, then fold in the "
    "flour and the melted butter.",
    "Humpty Dumpty sat on a wall, Humpty Dumpty had a great fall. All the king's horses and all "
    "the king's men couldn't put Humpty together again.",
    "Elle ouvrit la fenêtre et regarda longtemps la mer sans rien dire, puis elle descendit au "
    "jardin.",
    "Heavy tails in the noise bias the estimator, yet its median converges at the usual rate once "
    "the largest residuals are trimmed.",
    "SELECT name, COUNT(*) FROM orders WHERE total > 100 GROUP BY name ORDER BY 2 DESC;",
    "Rust-red gulls unlearn the harbour; a ladder of salt climbs nowhere, counting absent rungs.",
    "Q: What is the capital of France?\nA: The capital of France is Paris.",
    "El perro duerme debajo de la mesa mientras los niños juegan en el patio con una pelota vieja.",
    "United scored twice in the final ten minutes to win the match and move up to third place in "
    "the league.",
    "Patient, 54, presents with intermittent chest pain on exertion; no fever; ECG unremarkable; "
    "started on aspirin.",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty twenty-one twenty-two twenty-three",
    "ERROR 2031-04-07 03:12:44 worker-7: connection reset by peer (attempt 3 of 5), retry in 8 s",
    "My brother, whom the neighbours that you met yesterday at the market had invited to their "
    "wedding, never came.",
    "Вчера весь день шёл дождь, и мы остались дома.",
    "Thank you for your email. I am out of the office until Monday and will answer when I am back.",
    '{"id": 4711, "tags": ["blue", "large"], "price": 12.5, "in_stock": true}',
    "Grandmaster sacrifices queen, loses on time, blames Wi-Fi; federation shrugs, sponsors of "
    "the chess boom quietly sell their boards.",
    "Il treno è partito senza di noi, e la prossima corsa è domani mattina alle sette.",
)


def _reordered(text: str) -> str:
    """Return the words in an order in which no two neighbours were neighbours.

    >>> _reordered("one two three four five six seven")
    'one four seven two five three six'
    """
    words = text.split()
    return " ".join([*words[::3], *words[1::3], *words[2::3]])


TRIAL_TEXTS = (*_WRITTEN, *map(_reordered, _WRITTEN[::2]))
"""The texts, and every second one once more with its words in another order."""


_LOG = logging.getLogger(__name__)

_FORMAT = 2  # goes up whenever the same model on the same machine is to be tried out anew
_LEAST_SPEARMAN = 0.998
_MOST_TOKENS = 64
_BATCH_TOKENS = {"cpu": (512, 1024, 2048), "cuda": (4_096, 8_192, 16_384)}
_REPEATS = {"cpu": 2, "cuda": 64}  # so that the largest batches are filled
_WORTH_A_CHANGE = 1.1


@dataclass(frozen=True)
class Tuning:
    """How a model is run on this machine.

    Parameters
    ----------
    precision : {"float32", "bfloat16"}
        What it computes in.
    batch_tokens : int or None
        Tokens that go through it together; None leaves the default. It changes speed and not
        numbers.
    why : str
        What the precision was chosen for.
    """

    precision: Precision
    batch_tokens: int | None
    why: str


def try_out(reference: ModelReference, precision: str, progress: Progress) -> Tuning:
    """Return how to run a language model; where it is not known yet, try it out.

    Nothing is tried out where there is nothing to choose: for a precision that was asked for, for
    the toy model, and where the hardware has no fast bfloat16.

    Parameters
    ----------
    reference : ModelReference
        The model.
    precision : {"auto", "float32", "bfloat16"}
        What was asked for.
    progress : Progress
        Is told that the model is tried out, and if bfloat16 is not good enough.

    Raises
    ------
    OptionError
        If there is no such precision.
    ModelError
        If the model cannot be loaded.
    """
    fastest = resolve_precision(precision)
    if precision != "auto":
        return Tuning(fastest, None, "it was asked for")
    if reference.folder is None:
        return Tuning(fastest, None, "the toy model computes nothing")
    if fastest == "float32":
        _LOG.info("%s computes in float32: no fast bfloat16 here", reference.name)
        return Tuning(fastest, None, "the hardware has no fast bfloat16")
    if find_spec("torch") is None:  # which is said when the model is needed
        return Tuning(fastest, None, "not tried out, as torch is not installed")
    key = {"format": _FORMAT, "model": reference.fingerprint, "machine": describe_machine()}
    path = _path(key)
    known = _read(path, key)
    if known is not None:
        return known
    needed, free = float32_bytes(reference.folder), free_bytes()
    if free is not None and needed > free:
        why = f"not tried out: in float32 it takes {needed / 2**30:.1f} GiB, and fewer are free"
        _LOG.info("%s computes in bfloat16, %s", reference.name, why)
        return Tuning(fastest, None, why)
    progress.note(
        f"{reference.name} is new to this machine: trying out bfloat16 and a few batch sizes, once"
    )
    tuning, found = _tried(reference.folder)
    if tuning.precision == "float32":
        progress.note(f"  {reference.name} will compute in float32: {tuning.why}")
    content = {"key": key, "tuning": asdict(tuning), "found": found}
    with contextlib.suppress(StoreError):  # only time is lost
        write_bytes_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return tuning


def _path(key: dict[str, Any]) -> Path:
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16)
    return cache_dir() / "models" / "trials" / f"{digest.hexdigest()}.json"


def _read(path: Path, key: dict[str, Any]) -> Tuning | None:
    """Return what was found earlier, None if there is nothing or it cannot be read."""
    try:
        content = parse_json(path.read_bytes())
        tuning = Tuning(**content["tuning"])
        sizes = (None, *(size for of_device in _BATCH_TOKENS.values() for size in of_device))
        intact = (
            content["key"] == key
            and tuning.precision in ("float32", "bfloat16")
            and tuning.batch_tokens in sizes
        )
    except (*FILE_DAMAGE, KeyError, TypeError):
        return None
    return tuning if intact else None


def _tried(folder: Path) -> tuple[Tuning, dict[str, Any]]:
    """Try out a model; return what is best, and the figures that say so."""
    from euds.models.transformers_lm import TransformersLM

    # One copy at a time: the first is gone before the next is loaded.
    exact = _means(TransformersLM.load(folder, precision="float32"))
    lm = TransformersLM.load(folder, precision="bfloat16")
    spearman = dict(zip(("entropy", "surprise"), _correlations(exact, _means(lm)), strict=True))
    told = ", ".join(f"{rho:.4f} of {name}" for name, rho in spearman.items())
    # Not a number is no agreement.
    agrees = all(rho >= _LEAST_SPEARMAN for rho in spearman.values())
    if not agrees:
        del lm
        lm = TransformersLM.load(folder, precision="float32")
    batch_tokens, rates = _fastest_batches(lm)
    tuning = Tuning(
        "bfloat16" if agrees else "float32",
        batch_tokens,
        f"bfloat16 ranks {len(TRIAL_TEXTS)} texts "
        f"{'as float32 does' if agrees else 'in another order than float32'} "
        f"(Spearman {told}; at least {_LEAST_SPEARMAN} is asked for)",
    )
    return tuning, {"spearman": spearman, "tokens a second": rates}


def _means(lm: TransformersLM) -> NDArray[np.float64]:
    """Return the mean entropy and the mean surprise of each text, shape ``(2, texts)``."""
    found = lm.token_statistics(
        TRIAL_TEXTS, [None] * len(TRIAL_TEXTS), max_tokens=_MOST_TOKENS, max_context_tokens=0
    )
    return np.array(
        [
            [one.entropy_nats.mean(dtype=np.float64) for one in found],
            [one.nll_nats.mean(dtype=np.float64) for one in found],
        ]
    )


def _correlations(exact: NDArray[np.float64], found: NDArray[np.float64]) -> list[float]:
    """Return Spearman's correlation row by row; not a number where it is not defined."""
    return [
        float(
            pl.select(
                pl.corr(pl.lit(pl.Series(one)), pl.lit(pl.Series(other)), method="spearman")
            ).item()
        )
        if np.isfinite([one, other]).all()
        else math.nan
        for one, other in zip(exact, found, strict=True)
    ]


def _fastest_batches(lm: TransformersLM) -> tuple[int | None, dict[str, float]]:
    """Return the batch size to use, None for the default, and the tokens a second of each.

    Another size than the default must be faster by a tenth, and that twice: a program that ran
    beside the first time must not decide.
    """
    default = lm.batch_tokens
    device = lm.network.device.type
    texts = TRIAL_TEXTS * _REPEATS[device]
    rates = {size: _rate(lm, size, texts) for size in _BATCH_TOKENS[device]}
    best = max(rates, key=rates.__getitem__)
    chosen = None
    if best != default and rates[best] > _WORTH_A_CHANGE * rates[default]:
        again, of_default = _rate(lm, best, texts), _rate(lm, default, texts)
        chosen = best if again > _WORTH_A_CHANGE * of_default else None
    return chosen, {str(size): round(rate, 1) for size, rate in rates.items()}


def _rate(lm: TransformersLM, batch_tokens: int, texts: Sequence[str]) -> float:
    """Return how many tokens a second are read, where every worker reads all texts, as in a run."""
    reader = replace(lm, batch_tokens=batch_tokens)
    nothing = [None] * len(texts)

    def read(_: int) -> int:
        found = reader.token_statistics(
            texts, nothing, max_tokens=_MOST_TOKENS, max_context_tokens=0
        )
        return sum(len(one.nll_nats) for one in found)

    with cores_shared_out() as workers, ThreadPoolExecutor(workers) as threads:
        started = time.perf_counter()
        tokens = sum(threads.map(read, range(workers)))
        return tokens / (time.perf_counter() - started)
