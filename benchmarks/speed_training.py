"""How fast rows are trained on and texts are read, against the usual tools for it.

    pip install --no-deps --target build/peers lmppl==0.3.2
    python benchmarks/speed_training.py [--rounds 5] [--cases fine_tuning,perplexity]

Fine-tuning as `euds prove` does it is compared with the `Trainer` of transformers as it comes, in
float32 with rows of a fixed length, and with rows as long as the longest of their batch. Token
statistics are compared with the package lmppl, which computes the same mean negative
log-likelihood; without it that case is left out. Both sides have the same torch threads and run in
turn; medians are compared. Writes results/speed_training.json, if there were five rounds or more.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from naive_training import NaiveTraining, Padding
from numpy.typing import NDArray
from scipy.stats import spearmanr
from speed import MODEL, Case, machine, measure, texts_of, told

from euds.models import load_language_model, resolve_precision
from euds.models.extras import quiet_transformers
from euds.models.sources import resolve
from euds.pool.pool import Texts, text_key
from euds.progress import SilentProgress
from euds.proof.tasks import proof_task_named
from euds.proof.training.protocol import Samples
from euds.proof.training.trainers import TrainerOptions, trainer_named
from euds.reading import datasets
from euds.scoring.scorers.generative import TokenEntropies

RESULTS = Path(__file__).parent / "results" / "speed_training.json"
PEERS = Path(__file__).parent.parent / "build" / "peers"
LMPPL = "lmppl==0.3.2"
LMPPL_BATCH = 16  # by default it takes all texts at once, whatever the memory
FEWEST_ROUNDS = 5

Floats = NDArray[np.float64]


def on(threads: int, work: Callable[[], float]) -> Callable[[], float]:
    """Return the same work, with so many torch threads before and after it."""

    def run() -> float:
        torch.set_num_threads(threads)
        done = work()
        if torch.get_num_threads() != threads:
            raise RuntimeError(f"the work began with {threads} threads and changed that")
        return done

    return run


def rows_of(folder: Path, name: str, rows: int) -> tuple[list[str], list[str]]:
    """Return texts and labels of rows of a data set, drawn by a hash of their text."""
    path = folder / f"{name}-{rows}.jsonl"
    datasets.write(name, path, rows=rows)
    with path.open(encoding="utf-8") as stream:
        found = [json.loads(line) for line in stream]
    return [row["text"] for row in found], [row["label"] for row in found]


def fine_tuning(texts: Sequence[str], labels: Sequence[str]) -> Iterator[Case]:
    """Yield one epoch of fine-tuning against the plain Trainer, with two ways to pad.

    Cutting into tokens and loading are not timed on either side.
    """
    options = TrainerOptions()
    trainer = trainer_named("fine-tune", options)
    samples = Samples(
        keys=[text_key(text, None) for text in texts],
        texts=texts,
        contexts=[None] * len(texts),
        labels=labels,
    )
    course = trainer.load(proof_task_named("sentiment"), samples, SilentProgress())
    everything, nothing = np.arange(len(texts)), np.arange(0)
    steps = math.ceil(len(texts) / options.batch_size)
    threads = torch.get_num_threads()

    def ours() -> float:
        outcome = course.run(everything, nothing, seed=0, settings=trainer.grid[0], steps=steps)
        return outcome.steps * len(texts) / steps

    def case(name: str, padding: Padding, target: float) -> Case:
        folder = resolve(options.encoder).folder
        assert folder is not None, "an encoder with weights"
        naive = NaiveTraining(folder, texts, labels, max_tokens=options.max_tokens, padding=padding)
        naive.run(batch_size=options.batch_size, steps=1)  # what is loaded late is there

        def theirs() -> float:
            return naive.run(batch_size=options.batch_size, steps=steps) * len(texts) / steps

        lengths = [sum(row["attention_mask"]) for row in naive.rows]
        notes = {
            "rows": len(texts),
            "batch size": options.batch_size,
            "steps": steps,
            "tokens a row, mean": float(np.mean(lengths)),
            "tokens of the longest row": max(lengths),
            "cut or filled to, tokens": options.max_tokens,
            "our precision": resolve_precision(options.precision),
            "their precision": "float32",
            "threads": threads,
        }
        return Case(name, on(threads, ours), on(threads, theirs), "rows", target, notes)

    yield case("fine-tuning over the Trainer's defaults", "max_length", 2.5)
    yield case("fine-tuning over the Trainer with dynamic padding", "longest of the batch", 1.0)


def load_lmppl() -> Any:
    """Return lmppl's module for causal models, or None if it is not installed."""
    if not (PEERS / "lmppl" / "ppl_recurrent_lm.py").is_file():
        return None
    # The package's own __init__ imports the client of a paid service: an empty one takes its place.
    package = types.ModuleType("lmppl")
    package.__path__ = [str(PEERS / "lmppl")]
    sys.modules["lmppl"] = package
    before = dict(os.environ)
    module: Any = importlib.import_module("lmppl.ppl_recurrent_lm")
    os.environ.clear()  # it sets OMP_NUM_THREADS=1, and tokenizers to one thread
    os.environ.update(before)
    module.internet_connection = lambda: False  # it would ask a web site; the model is a folder
    module.tqdm = iter  # no bars
    # transformers 5 does not know the argument use_auth_token any more.
    module.transformers = types.SimpleNamespace(
        AutoTokenizer=transformers.AutoTokenizer,
        AutoConfig=transformers.AutoConfig,
        AutoModelForCausalLM=types.SimpleNamespace(from_pretrained=_load_without_token),
    )
    return module


def _load_without_token(folder: str, *, use_auth_token: bool, **options: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **options)


def lmppl_nll(model: Any, texts: Sequence[str]) -> Floats:
    """Return the mean negative log-likelihood of each text in nats, as lmppl computes it."""
    # lmppl does not predict the first token; euds predicts the text's first token after the token
    # that begins a sequence. With that token in front both predict the same ones.
    start = model.tokenizer.bos_token
    perplexities = model.get_perplexity([start + text for text in texts], batch_size=LMPPL_BATCH)
    return np.log(np.asarray(perplexities, dtype=np.float64))


def perplexity(texts: Sequence[str]) -> Iterator[Case]:
    """Yield token statistics against lmppl: each side as it comes, then in the same precision."""
    lmppl = load_lmppl()
    if lmppl is None:
        print(f"perplexity: left out; pip install --no-deps --target build/peers {LMPPL}")
        return
    reference = resolve(MODEL)
    # Texts are cut beforehand, as lmppl fills the ones that it cuts up to the limit.
    cut = load_language_model(reference).truncate(texts, max_tokens=128)
    cut = [text for text in dict.fromkeys(cut) if text.strip()]
    keys = Texts.of(cut).keys
    order = np.argsort([text_key(text, None) for text in cut])  # as Texts sorts them
    threads = torch.get_num_threads()
    precision = resolve_precision()

    def nll(computed_in: str) -> Floats:
        found = measure(TokenEntropies(reference, computed_in), cut).sort("key")
        assert found["key"].to_list() == keys
        return found["ge_nll"].to_numpy()

    def case(name: str, our_precision: str, their_precision: str, target: float) -> Case:
        with quiet_transformers():
            model = lmppl.LM(
                str(reference.folder),
                torch_dtype=getattr(torch, their_precision),
                trust_remote_code=False,  # the weights need no code of their own
            )

        def ours() -> float:
            return len(measure(TokenEntropies(reference, our_precision), cut))

        def theirs() -> float:
            return len(lmppl_nll(model, cut))

        said, mine = lmppl_nll(model, cut)[order], nll(our_precision)
        notes = {
            "texts": len(cut),
            "their batch size": LMPPL_BATCH,
            "our precision": our_precision,
            "their precision": their_precision,
            "threads": threads,
            "difference, nats, largest": float(np.abs(mine - said).max()),
            "difference, nats, median": float(np.median(np.abs(mine - said))),
            "Spearman": float(spearmanr(mine, said)[0]),
        }
        return Case(name, on(threads, ours), on(threads, theirs), "texts", target, notes)

    yield case("token statistics over lmppl, its defaults", precision, "float32", 4.0)
    if precision != "float32":
        # The same arithmetic on both sides: what the numbers agree in, and what both are fast in.
        for same in ("float32", precision):
            yield case(f"token statistics over lmppl, both {same}", same, same, 1.0)


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default="fine_tuning,perplexity")
    parser.add_argument("--rows", type=int, default=640, help="rows that are trained on")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tweets, labels = rows_of(Path(name), "tweets", given.rows)
        # Articles stand behind the tweets and not among them, which spares lmppl much padding.
        mixed = [*texts_of(Path(name), "tweets", 64), *texts_of(Path(name), "bbc-news", 16)]
    makers: dict[str, Callable[[], Iterator[Case]]] = {
        "fine_tuning": lambda: fine_tuning(tweets, labels),
        "perplexity": lambda: perplexity(mixed),
    }
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for chosen in given.cases.split(","):
        if chosen not in makers:
            sys.exit(f"there is no case {chosen!r}; there are {', '.join(makers)}")
        for case in makers[chosen]():
            results[case.name] = {**told(case, given.rounds), "rounds": given.rounds}
    results["machine"] = machine()
    if given.rounds < FEWEST_ROUNDS:
        print(f"fewer than {FEWEST_ROUNDS} rounds: nothing is kept")
        return
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
