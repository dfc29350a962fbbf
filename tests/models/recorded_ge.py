"""GE of a few texts, as the newest packages gave it; the oldest must give the same.

``python -m tests.models.recorded_ge`` writes ``tests/fixtures/ge.json`` anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from euds.models.loading import load_language_model
from euds.models.sources import resolve
from tests.models.texts import TEXTS

RECORDED = Path(__file__).parents[1] / "fixtures" / "ge.json"


def measured() -> dict[str, float]:
    """Return the mean token entropy of each text, in nats, by SmolLM2-135M in float32."""
    texts = TEXTS[:12]
    model = load_language_model(resolve("smollm2-135m"), precision="float32")
    found = model.token_statistics(texts, [None] * len(texts), max_tokens=128, max_context_tokens=0)
    return {
        text: round(float(one.entropy_nats.mean()), 6)
        for text, one in zip(texts, found, strict=True)
    }


if __name__ == "__main__":
    RECORDED.write_text(
        json.dumps(measured(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
