"""Pools whose every field carries a mark of its own, and what a reader of files finds of them."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from pathlib import Path

import polars as pl
import zstandard

WORDS = {"good": ["good", "very", "film", "cat"], "bad": ["bad", "not", "book", "mat"]}


def mark(kind: str, row: object = "") -> str:
    return f"canary{kind}{row}"


def write_pool(path: Path, rows: int, *, kind: str, seed: int, refused: int = 0) -> Path:
    """Write rows each of whose fields has a mark; the last ones cannot be used.

    Labels go by the words of the texts, so that a training can learn them.
    """
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as stream:
        for index in range(rows + refused):
            own = ("good", "bad")[index % 2]
            other = "bad" if own == "good" else "good"
            words = [rng.choice(WORDS[own if rng.random() < 0.8 else other]) for _ in range(9)]
            text = f"{mark(kind, f'{index}.')} {' '.join(words)} {seed} {index}"
            row = {
                "review": text if index < rows else [text],
                "film": f"{mark('context' if kind == 'text' else kind, f'{index}.')} {words[0]}",
                "stars": mark("label", own),
                "more": mark("column" if kind == "text" else kind, f"{index}."),
            }
            stream.write(json.dumps(row) + "\n")
    return path


def shown(path: Path) -> str:
    """Return all that a reader could make of a file, and its name."""
    data = path.read_bytes()
    told = data.decode("latin-1") + data.decode("utf-8", "replace")
    if path.suffix == ".parquet":
        told += json.dumps(pl.read_parquet(io.BytesIO(data)).to_dict(as_series=False), default=str)
        told += json.dumps(pl.read_parquet_metadata(io.BytesIO(data)))
    elif path.suffix == ".zst":
        told += zstandard.ZstdDecompressor().decompress(data).decode()
    return path.name + told


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return every file, to tell whether any has changed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_in(folder)}


def keys_of(path: Path, *, text: str = "review", context: str = "film") -> set[str]:
    """Return all hashes that a text or context of a file is known by; independent of euds."""

    def hashed(*parts: bytes) -> str:
        return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()

    found = set()
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        one, other = row[text].encode(), row[context].encode()
        found.add(hashed(str(len(other)).encode() + b":", other, b"|", one))
        found |= {hashed(b"|", one), hashed(b"|", other)}
    return found


def holding(folder: Path, told: set[str]) -> list[Path]:
    """Return the files in a folder in which one of many words is to be read."""
    either = re.compile("|".join(map(re.escape, sorted(told))))
    return [path for path in files_in(folder) if either.search(shown(path))]
