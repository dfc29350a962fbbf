"""What fewer bits do to GE: how far it moves, whether ranks stay, and what time is saved.

    python benchmarks/precision.py

bfloat16, which euds computes in where the processor has it, and 8-bit products (the body's linear
layers, with a scale for each token and each channel), which it does not; against float32. Writes
results/precision.json.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from speed import MODEL, texts_of

from euds.models import load_language_model
from euds.models.sources import resolve

RESULTS = Path(__file__).parent / "results" / "precision.json"
KEPT: dict[str, tuple[str, ...]] = {
    "all layers": (),
    "all but down_proj": ("down_proj",),
    "all but down_proj and o_proj": ("down_proj", "o_proj"),
}


class Int8Linear(torch.nn.Module):
    """A linear layer without bias whose product is one of integers."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        self.scale = weight.abs().amax(1) / 127
        self.weight = (weight / self.scale[:, None]).round().to(torch.int8).t()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the product, in bfloat16."""
        rows = states.reshape(-1, states.shape[-1])
        scale = rows.abs().amax(-1, keepdim=True).float().clamp_(min=1e-8) / 127
        product = torch._int_mm((rows / scale).round_().to(torch.int8), self.weight)
        found = product.float().mul_(scale).mul_(self.scale).to(torch.bfloat16)
        return found.reshape(*states.shape[:-1], -1)


def in_int8(lm: Any, kept: tuple[str, ...]) -> Any:
    """Return a model whose linear layers are in 8 bits, apart from those of some names."""
    model = copy.deepcopy(lm.network.model)
    for module in list(model.base_model.modules()):
        for name, layer in list(module.named_children()):
            if isinstance(layer, torch.nn.Linear) and name not in kept:
                setattr(module, name, Int8Linear(layer))
    return dataclasses.replace(lm, network=dataclasses.replace(lm.network, model=model))


def entropies(lm: Any, texts: list[str]) -> tuple[NDArray[np.float64], float]:
    """Return the texts' GE, and the seconds that it took."""
    started = time.perf_counter()
    nothing = [None] * len(texts)
    found = lm.token_statistics(texts, nothing, max_tokens=128, max_context_tokens=0)
    return np.array([one.entropy_nats.mean() for one in found]), time.perf_counter() - started


def main() -> None:
    """Measure, print and keep."""
    reference = resolve(MODEL)
    with tempfile.TemporaryDirectory() as name:
        pools = {
            "bbc-news": texts_of(Path(name), "bbc-news", 64),
            "tweets": texts_of(Path(name), "tweets", 300),
        }
    exact_lm = load_language_model(reference, precision="float32")
    exact = {name: entropies(exact_lm, texts)[0] for name, texts in pools.items()}
    plain = load_language_model(reference, precision="bfloat16")
    ways = {"bfloat16": plain}
    ways |= {f"int8, {name}": in_int8(plain, kept) for name, kept in KEPT.items()}
    results: dict[str, Any] = {}
    for way, lm in ways.items():
        for name, texts in pools.items():
            entropies(lm, texts[:8])
            found, seconds = entropies(lm, texts)
            results[f"{way}, {name}"] = {
                "spearman": round(float(spearmanr(found, exact[name])[0]), 4),
                "largest difference, nats": round(float(np.abs(found - exact[name]).max()), 3),
                "seconds": round(seconds, 2),
            }
            print(f"{way}, {name}: {results[f'{way}, {name}']}", flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
