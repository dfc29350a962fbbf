"""A trainer without a network: naive Bayes over words, in a few lines, with a seed if wanted."""

from collections import Counter
from dataclasses import dataclass, field
from math import log
from typing import ClassVar

import numpy as np
import polars as pl

from euds.pool.pool import POOL_SCHEMA, Pool, Source, text_key
from euds.proof.training.protocol import Outcome


@dataclass(frozen=True)
class WordsCourse:
    samples: object
    trainer: object
    preparing_seconds: float = 0.5
    forward_seconds_a_row: float | None = None

    def run(self, fit, ask, *, seed, settings, steps=None):
        self.trainer.made.append({"rows": len(fit), "seed": seed, "steps": steps, **settings})
        if self.trainer.die_after is not None and len(self.trainer.made) > self.trainer.die_after:
            raise KeyboardInterrupt
        assert all(self.samples.labels[row] is not None for row in fit)
        rng = np.random.default_rng(seed)
        words = {label: Counter() for label in self.samples.classes}
        rows = Counter()
        for row in fit:
            if self.trainer.is_seeded and rng.random() < self.trainer.forgets:
                continue
            label = self.samples.labels[row]
            rows[label] += 1
            words[label].update(self.samples.texts[row].split())
        answers = tuple(self._answer(row, words, rows, settings["smoothing"]) for row in ask)
        return Outcome(answers, steps or self.trainer.steps_of(len(fit)) or 7, 2.0, 0.25)

    def _answer(self, row, words, rows, smoothing):
        def likelihood(label):
            total = sum(words[label].values()) + smoothing * 50
            text = self.samples.texts[row].split()
            return log(rows[label] + smoothing) + sum(
                log((words[label][word] + smoothing) / total) for word in text
            )

        return max(sorted(words), key=likelihood)


@dataclass(frozen=True)
class Words:
    """Trains naive Bayes; remembers what it was asked to train."""

    name: ClassVar[str] = "words"
    version: ClassVar[int] = 1
    is_seeded: ClassVar[bool] = True

    forgets: float = 0.2
    smoothings: tuple = (1.0,)
    trained_parameters: int = 1_000_000
    made: list = field(default_factory=list, compare=False, metadata={"recipe": False})
    die_after: int | None = field(default=None, metadata={"recipe": False})

    @property
    def grid(self):
        return tuple({"smoothing": one} for one in self.smoothings)

    def steps_of(self, rows):
        return 3 * -(-rows // 16)

    def load(self, task, samples, progress):
        return WordsCourse(samples, self)


@dataclass(frozen=True)
class UnseededWords(Words):
    is_seeded: ClassVar[bool] = False

    def steps_of(self, rows):
        return None


def labelled_pool(rows, *, start=0, classes=("cold", "warm"), seed=0, noise=0.45):
    """Make texts of ten words, each drawn from its class's own half of the words or, often, not."""
    rng = np.random.default_rng([seed, start])
    texts, labels = [], []
    for index in range(start, start + rows):
        label = classes[index % len(classes)]
        own = [f"{label}{number}" for number in range(20)]
        other = [f"word{number}" for number in range(20)] + [
            f"{one}{number}" for one in classes if one != label for number in range(20)
        ]
        drawn = [rng.choice(other if rng.random() < noise else own) for _ in range(10)]
        texts.append(" ".join([f"id{index}", *drawn]))
        labels.append(label)
    frame = pl.DataFrame(
        {
            "id": [f"{index:05d}" for index in range(start, start + rows)],
            "key": [text_key(text) for text in texts],
            "text": texts,
            "context": [None] * rows,
            "label": labels,
            "file": ["pool.jsonl"] * rows,
            "line": list(range(1, rows + 1)),
        },
        schema=POOL_SCHEMA,
    )
    records = pl.DataFrame({"record": [f'{{"n": {index}}}' for index in range(rows)]})
    return Pool.of(frame, records, Source("jsonl", ".jsonl", text="text", label="label"))
