"""How fast texts are scored, against the plain loops and against the machine's own arithmetic.

    python benchmarks/speed.py [--rounds 5] [--cases ge,se,...]

Each case runs both sides in turn, so that a machine that slows down slows both, and compares
medians. Writes results/speed.json, which docs/speed.md is made of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
import transformers
from naive_lm import NaiveLM
from scipy.stats import spearmanr

from euds.models import load_language_model, resolve_precision
from euds.models.sources import ModelReference, resolve
from euds.pool.pool import Texts
from euds.reading import datasets
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import cut_shards, rows_per_shard
from euds.scoring.prompts import Template
from euds.scoring.scorers.base import Instrument, Measurement
from euds.scoring.scorers.generative import TokenEntropies
from euds.scoring.scorers.semantic_answers import SampledAnswers
from euds.scoring.scorers.semantic_options import OptionLogProbs

RESULTS = Path(__file__).parent / "results" / "speed.json"
MODEL = "smollm2-135m"
TOPICS = ("business", "entertainment", "politics", "sports", "tech")


@dataclass(frozen=True)
class Case:
    """Two ways to do the same work.

    Parameters
    ----------
    name : str
        What is done.
    ours, theirs : callable
        Do it once; they return how much they did.
    unit : str
        What is counted.
    target : float
        The ratio of rates that is aimed at.
    notes : dict
        What a reader should know.
    """

    name: str
    ours: Callable[[], float]
    theirs: Callable[[], float]
    unit: str
    target: float
    notes: dict[str, Any]


def measure(
    measurement: Measurement, texts: Sequence[str], *, workers: int | None = None
) -> pl.DataFrame:
    """Measure texts as a run does, without the store."""
    pool = Texts.of(list(texts))
    shards = cut_shards(pool, rows_per_shard(measurement, pool))
    return pl.concat(LocalEngine(workers).run(measurement, shards))


def rate(work: Callable[[], float]) -> float:
    """Do some work once and return how much was done a second."""
    started = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - started)


def compared(case: Case, rounds: int) -> dict[str, Any]:
    """Run both sides in turn and return their median rates."""
    case.ours()  # models are loaded, memory is there
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(rate(case.ours))
        theirs.append(rate(case.theirs))
    return {
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "unit": case.unit,
        "ratio": statistics.median(ours) / statistics.median(theirs),
        "ratios": [one / other for one, other in zip(ours, theirs, strict=True)],
        "target": case.target,
        **case.notes,
    }


def texts_of(folder: Path, name: str, rows: int) -> list[str]:
    """Return distinct texts of a data set."""
    path = folder / f"{name}.jsonl"
    datasets.write(name, path)
    with path.open(encoding="utf-8") as stream:
        texts = dict.fromkeys(json.loads(line)["text"] for line in stream)
    return [text for text in texts if text.strip()][:rows]


def matrix_operations(seconds: float = 1.0, *, precision: str = "auto") -> float:
    """Multiply large matrices for a while, by default in the scorers' precision.

    Returns
    -------
    float
        The operations: two for each element of each product.
    """
    dtype = getattr(torch, resolve_precision(precision))
    rows = torch.randn(2048, 2048).to(dtype)
    weights = torch.randn(2048, 2048).to(dtype)
    started, products = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        torch.nn.functional.linear(rows, weights)
        products += 1
    return products * 2.0 * 2048**3


def generative(pool: Sequence[str]) -> list[Case]:
    """GE against the plain float32 loop, and against what the arithmetic allows."""
    reference = resolve(MODEL)
    precision = resolve_precision()
    measurement = TokenEntropies(reference, precision)
    naive = NaiveLM(reference, torch.float32)
    mine = measure(measurement, pool).sort("key")
    exact = measure(TokenEntropies(reference, "float32"), pool).sort("key")
    tokens = int(mine["ge_tokens"].sum())
    keys = {text: key for key, text in Texts.of(list(pool)).frame.select("key", "text").iter_rows()}
    theirs = dict(
        zip([keys[text] for text in pool], naive.token_entropies(pool, max_tokens=128), strict=True)
    )
    apart = np.abs(np.array([theirs[key] for key in exact["key"]]) - exact["ge"].to_numpy()).max()
    notes = {
        "tokens": tokens,
        "largest difference in float32, nats": float(apart),
        "Spearman of bfloat16 to float32": float(spearmanr(mine["ge"], exact["ge"])[0]),
    }
    body = sum(
        weights.numel()
        for name, weights in naive.model.named_parameters()
        if "embed" not in name and weights.ndim == 2
    )
    operations = 2 * (body + naive.model.get_output_embeddings().weight.numel())

    def ours() -> float:
        measure(measurement, pool)
        return tokens

    def plain() -> float:
        naive.token_entropies(pool, max_tokens=128)
        return tokens

    def floor() -> float:
        return matrix_operations() / float(operations)

    return [
        Case(
            "GE over a plain float32 loop, batches of 16 by length",
            ours,
            plain,
            "tokens",
            3.5,
            notes,
        ),
        Case(
            "GE share of the matrix rate, body and head counted",
            ours,
            floor,
            "tokens",
            0.70,
            {"operations a token": operations},
        ),
    ]


def workers(pool: Sequence[str]) -> list[Case]:
    """Compare a worker a core with operations split over the cores, alone and in company."""
    measurement = TokenEntropies(resolve(MODEL), resolve_precision())

    def work(workers: int | None, *, in_company: bool) -> float:
        with other_program() if in_company else nullcontext():
            return int(measure(measurement, pool, workers=workers)["ge_tokens"].sum())

    return [
        Case(
            f"GE with a worker a core over operations split over the cores, {company}",
            partial(work, None, in_company=in_company),
            partial(work, 1, in_company=in_company),
            "tokens",
            1.0,
            {},
        )
        for company, in_company in (("idle machine", False), ("one core taken", True))
    ]


def batches(pool: Sequence[str]) -> list[Case]:
    """Compare other batch sizes with the default one."""
    measurement = TokenEntropies(resolve(MODEL), resolve_precision())

    def work(measurement: TokenEntropies) -> float:
        return int(measure(measurement, pool)["ge_tokens"].sum())

    return [
        Case(
            f"GE with the default batches over {tokens:,} tokens a batch",
            partial(work, measurement),
            partial(work, replace(measurement, batch_tokens=tokens)),
            "tokens",
            0.95,
            {},
        )
        for tokens in (256, 1024)
    ]


@contextmanager
def other_program() -> Iterator[None]:
    """Let another program keep one core busy."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@dataclass(frozen=True)
class Draws:
    """Ten continuations of twenty tokens after each text, as ``generate`` draws them.

    Parameters
    ----------
    model : ModelReference
        The language model.
    """

    name: ClassVar[str] = "draws"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = SampledAnswers.rows_per_shard

    model: ModelReference

    def load(self) -> Instrument:
        """Load the model."""
        lm = load_language_model(self.model)

        def draw(texts: Texts) -> pl.DataFrame:
            drawn = lm.sample(
                texts.texts, count=10, max_new_tokens=20, seeds=list(range(len(texts)))
            )
            return texts.frame.select("key").with_columns(
                tokens=pl.Series([sum(one.tokens for one in answers) for answers in drawn])
            )

        return draw

    def work(self, texts: Texts) -> pl.Series:
        """Return the bytes of each text."""
        return texts.frame["text"].str.len_bytes()


def sampling(pool: Sequence[str]) -> list[Case]:
    """SE by ten samples of twenty tokens against ``generate``."""
    reference = resolve(MODEL)
    measurement = Draws(reference)
    lm = load_language_model(reference)
    prompts = [text for text in lm.truncate(pool, max_tokens=78) if text.strip()]
    ids = lm.tokens.prompts(prompts, chat=False)  # type: ignore[attr-defined]
    prompts = [text for text, one in zip(prompts, ids, strict=True) if 60 <= len(one) <= 80][:64]
    ids = lm.tokens.prompts(prompts, chat=False)  # type: ignore[attr-defined]
    alone = NaiveLM(reference, torch.float32)
    batched = NaiveLM(reference, torch.bfloat16)

    def ours() -> float:
        return len(measure(measurement, prompts))

    def one_at_a_time() -> float:
        few = ids[:6]
        return alone.sample(few, count=10, max_new_tokens=20, rows=1) / 10

    def in_batches() -> float:
        few = ids[:16]
        return batched.sample(few, count=10, max_new_tokens=20, rows=8) / 10

    return [
        Case(
            "SE over generate, float32, one prompt at a time",
            ours,
            one_at_a_time,
            "prompts",
            12.0,
            {"prompts": len(prompts), "prompts of theirs": 6},
        ),
        Case(
            "SE over generate, bfloat16, batches of eight",
            ours,
            in_batches,
            "prompts",
            4.0,
            {"prompts": len(prompts), "prompts of theirs": 16},
        ),
    ]


def labels(pool: Sequence[str]) -> list[Case]:
    """Label mode against scoring each option as the end of a text of its own."""
    reference = resolve(MODEL)
    precision = resolve_precision()
    template = Template("{text}\nThis news article is about")
    together = OptionLogProbs(reference, precision, template, TOPICS)
    lm = load_language_model(reference)
    cut = lm.truncate(pool, max_tokens=128)
    prompts = [template.fill(text, context=None) for text in cut]

    def ours() -> float:
        return len(measure(together, cut))

    def apart() -> float:
        # The fast reader of euds, asked about each option by itself.
        options = TokenEntropies(reference, precision, max_context_tokens=256)
        shards = [
            Texts.of([f" {option}" for _ in prompts], contexts=list(prompts)) for option in TOPICS
        ]
        for _ in LocalEngine().run(options, shards):
            pass
        return len(prompts)

    return [
        Case(
            f"SE label mode over scoring each of {len(TOPICS)} options by itself",
            ours,
            apart,
            "texts",
            0.8 * len(TOPICS),
            {"texts": len(prompts)},
        )
    ]


_PRODUCTS = ("aten::mm", "aten::addmm")
_ATTENTION = ("aten::bmm", "aten::baddbmm")


def breakdown(pool: Sequence[str]) -> dict[str, float]:
    """Return where the time of GE goes on one core, in percent, by the kind of operation."""
    lm = load_language_model(resolve(MODEL))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    nothing = [None] * len(pool)
    lm.token_statistics(pool, nothing, max_tokens=128, max_context_tokens=0)
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        started = time.perf_counter()
        lm.token_statistics(pool, nothing, max_tokens=128, max_context_tokens=0)
        seconds = time.perf_counter() - started
    torch.set_num_threads(threads)
    spent: dict[str, float] = {}
    for operation in profile.key_averages():
        spent[operation.key] = operation.self_cpu_time_total / 1e6
    products = sum(spent.get(name, 0.0) for name in _PRODUCTS)
    attention = sum(spent.get(name, 0.0) for name in _ATTENTION)
    softmax = spent.get("aten::_softmax", 0.0)
    others = sum(spent.values()) - products - attention - softmax
    parts = {
        "products with weights": products,
        "products in attention": attention,
        "softmax of attention and of the vocabulary": softmax,
        "everything else that is computed": others,
        "Python, tokenising": max(0.0, seconds - sum(spent.values())),
    }
    return {name: 100 * part / seconds for name, part in parts.items()}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default="generative,workers,batches,sampling,labels,breakdown")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results.setdefault("cases", {})
    with tempfile.TemporaryDirectory() as name:
        news = texts_of(Path(name), "bbc-news", 80)
        tweets = texts_of(Path(name), "tweets", 192)
    makers = {
        "generative": lambda: generative([*news[:48], *tweets]),
        "workers": lambda: workers([*news[:16], *tweets[:64]]),
        "batches": lambda: batches([*news[:16], *tweets[:64]]),
        "sampling": lambda: sampling(news),
        "labels": lambda: labels(news[:64]),
    }
    for chosen in given.cases.split(","):
        if chosen == "breakdown":
            results["breakdown"] = breakdown([*news[:24], *tweets[:96]])
            continue
        if chosen not in makers:
            sys.exit(f"there is no case {chosen!r}; there are {', '.join(makers)}, breakdown")
        for case in makers[chosen]():
            results["cases"][case.name] = told(case, given.rounds)
            save(results)
    results["machine"] = machine()
    save(results)


def told(case: Case, rounds: int) -> dict[str, Any]:
    """Compare both sides of a case, and print the outcome."""
    found = compared(case, rounds)
    print(
        f"{case.name}: {found['ours']:,.2f} to {found['theirs']:,.2f} {case.unit}/s, "
        f"{found['ratio']:.2f}x (aim {case.target:g}x)",
        flush=True,
    )
    return found


def machine() -> dict[str, Any]:
    """Return what a reader must know of the machine, its rate of matrix products included."""
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": resolve_precision(),
        "matrix rate, GFLOP/s": round(rate(matrix_operations) / 1e9),
        "float32 matrix rate, GFLOP/s": round(
            rate(partial(matrix_operations, precision="float32")) / 1e9
        ),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def save(results: dict[str, Any]) -> None:
    """Keep what was measured so far."""
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
