"""Measurements that go wrong on purpose; in a module of their own, as workers import them."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl


@dataclass(frozen=True)
class Lengths:
    """Measures the length of a text, slowly, and writes down each shard that it begins.

    ``raises`` and ``dies`` are words: a shard that holds one ends in an error, or with its worker.
    """

    name: ClassVar[str] = "lengths"
    version: ClassVar[int] = 1
    rows_per_shard: ClassVar[int] = 8

    diary: Path = field(metadata={"recipe": False})
    seconds: float = field(default=0.0, metadata={"recipe": False})
    raises: str | None = field(default=None, metadata={"recipe": False})
    dies: str | None = field(default=None, metadata={"recipe": False})
    loads: bool = field(default=True, metadata={"recipe": False})

    def work(self, texts):
        return texts.frame["text"].str.len_bytes()

    def load(self):
        if not self.loads:
            raise ValueError("weights of another planet")

        def measure(texts):
            with self.diary.open("a") as stream:
                stream.write(f"{texts.fingerprint[:12]}\n")
            time.sleep(self.seconds)
            words = set(" ".join(texts.texts).split())
            if self.raises in words:
                raise ValueError("a text that cannot be measured")
            if self.dies in words:
                os._exit(1)
            return texts.frame.select(
                "key",
                n=pl.col("text").str.len_chars(),
                gpus=pl.lit(os.environ.get("CUDA_VISIBLE_DEVICES", "all")),
            )

        return measure

    def begun(self):
        """Return the names of the shards that were begun, in order."""
        return self.diary.read_text().split() if self.diary.exists() else []
