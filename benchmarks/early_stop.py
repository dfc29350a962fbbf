"""Whether sampling could stop early, and whether equal beginnings of answers could be shared.

    python benchmarks/early_stop.py [--prompts 40]

The answers are those that semantic entropy of sampled answers is made of: ten a question, asked as
`euds run --task answer` asks.

1. Each answer comes with its probability. Where the distinct answers drawn so far have 95 % of it
   between them, further draws can hardly change the entropy over their meanings, and might be left
   out.
2. Draws of one prompt that have drawn the same tokens so far are read one by one, at a step each.
   One step would do for all of them.

Writes results/early_stop.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pools import rows_of

from euds.models import transformers_lm
from euds.models.network import Network
from euds.models.sampling import Draws
from euds.pool.pool import Texts
from euds.progress import SilentProgress
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import Measurer
from euds.scoring.score import make_scorers, make_settings
from euds.scoring.scorers.semantic_answers import SampledAnswers, SemanticAnswersScorer
from euds.scoring.store.disk import Store

RESULTS = Path(__file__).parent / "results" / "early_stop.json"
DATASETS = ("disfl-qa", "privacy-qa")
KNOWN = 0.95
FIRST_LOOK = 5
"""Draws before it is asked whether enough is known."""


@dataclass(frozen=True)
class Drawn:
    """All draws of one prompt.

    Parameters
    ----------
    prompt_tokens : int
        The length of the prompt.
    tokens : tuple of tuple of int
        The tokens of each, in the order of the draws, the one that ended it included.
    probabilities : tuple of float
        Of each, by the model.
    """

    prompt_tokens: int
    tokens: tuple[tuple[int, ...], ...]
    probabilities: tuple[float, ...]

    def known(self, count: int) -> float:
        """Return the probability of the distinct draws among the first ``count``."""
        first = zip(self.tokens[:count], self.probabilities[:count], strict=True)
        return sum(dict(first).values())

    def enough(self, *, at_least: int) -> int:
        """Return after how many draws enough is known, looking from ``at_least`` on."""
        everything = len(self.tokens)
        looks = range(at_least, everything)
        return next((count for count in looks if self.known(count) >= KNOWN), everything)

    def steps(self, count: int) -> int:
        """Return how many tokens of the first draws are read; a draw's last token never is."""
        return sum(len(tokens) - 1 for tokens in self.tokens[:count])

    @property
    def distinct_steps(self) -> int:
        """How many tokens would be read if draws that are equal so far shared their steps."""
        beginnings = {tokens[:length] for tokens in self.tokens for length in range(1, len(tokens))}
        return len(beginnings)


@contextmanager
def recorded() -> Iterator[dict[tuple[int, ...], Drawn]]:
    """Keep what is drawn inside, by prompt; a batch filled up with copies counts each once."""
    found: dict[tuple[int, ...], Drawn] = {}
    draw_batch = transformers_lm.draw_batch

    def recording(
        network: Network, prompts: Sequence[Sequence[int]], *rest: Any, **more: Any
    ) -> Draws:
        draws = draw_batch(network, prompts, *rest, **more)
        for row, prompt in enumerate(prompts):
            if tuple(prompt) in found:
                continue
            found[tuple(prompt)] = Drawn(
                len(prompt),
                tuple(
                    tuple(tokens[:length].tolist())
                    for tokens, length in zip(draws.tokens[row], draws.lengths[row], strict=True)
                ),
                tuple(np.exp(draws.log_prob_nats[row]).tolist()),
            )
        return draws

    transformers_lm.draw_batch = recording
    try:
        yield found
    finally:
        transformers_lm.draw_batch = draw_batch


def sampling() -> SampledAnswers:
    """Return the measurement that a run makes."""
    (scorer,) = make_scorers(["se"], make_settings(task="answer"), label_names=())
    assert isinstance(scorer, SemanticAnswersScorer)
    return scorer.sampling


def drawn_for(texts: Texts) -> list[Drawn]:
    """Draw answers to all texts."""
    with tempfile.TemporaryDirectory() as folder, recorded() as found:
        Measurer(Store(Path(folder)), LocalEngine(), SilentProgress())(sampling(), texts)
    if len(found) != len(texts):
        raise ValueError(f"{len(texts)} texts made {len(found)} prompts")
    return list(found.values())


def figures(drawn: Sequence[Drawn]) -> dict[str, float]:
    """Return what could be saved, as shares."""
    draws = sum(len(one.tokens) for one in drawn)
    steps = sum(one.steps(len(one.tokens)) for one in drawn)
    prompts = sum(one.prompt_tokens for one in drawn)
    result: dict[str, float] = {
        "prompts": len(drawn),
        "draws": draws,
        "decoding steps": steps,
        "prompt tokens": prompts,
        f"prompts with {KNOWN:.0%} known after {FIRST_LOOK} draws": float(
            np.mean([one.known(FIRST_LOOK) >= KNOWN for one in drawn])
        ),
        f"median share known after {FIRST_LOOK} draws": float(
            np.median([one.known(FIRST_LOOK) for one in drawn])
        ),
        "largest share known after all draws": max(one.known(len(one.tokens)) for one in drawn),
    }
    for name, at_least in (("looking after each draw", 2), (f"after {FIRST_LOOK}", FIRST_LOOK)):
        enough = [one.enough(at_least=at_least) for one in drawn]
        kept = sum(one.steps(count) for one, count in zip(drawn, enough, strict=True))
        result[f"draws saved, {name}"] = 1 - sum(enough) / draws
        result[f"decoding steps saved, {name}"] = 1 - kept / steps
    shared = sum(one.distinct_steps for one in drawn)
    result["decoding steps saved by sharing equal beginnings"] = 1 - shared / steps
    result["all tokens read saved by sharing equal beginnings"] = (steps - shared) / (
        steps + prompts
    )
    return {name: round(value, 4) for name, value in result.items()}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=40)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    for name in DATASETS:
        rows = rows_of(name)[: given.prompts]
        texts = Texts.of([row["text"] for row in rows], [row["context"] for row in rows])
        results[name] = figures(drawn_for(texts))
        print(name, json.dumps(results[name], indent=2), flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
