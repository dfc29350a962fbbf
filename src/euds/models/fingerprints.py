"""What a model is, whatever it is called and wherever it lies: a hash of its files' contents."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from euds.errors import ModelError, StoreError
from euds.files.atomic import write_bytes_atomically
from euds.files.damage import FILE_DAMAGE, parse_json
from euds.files.environment import cache_dir
from euds.files.packages import checksum

__all__ = ["file_checksums", "folder_fingerprint", "gguf_fingerprint", "model_files"]

# What decides a model's numbers. A README or the logs of a training run beside it do not.
_PATTERNS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",  # SentencePiece vocabularies
    "modules.json",
    "1_Pooling/config.json",
)


def model_files(folder: Path) -> list[Path]:
    """Return the files of a folder that make the model what it is, sorted by name."""
    found: set[Path] = set()
    for pattern in _PATTERNS:
        found.update(path for path in folder.glob(pattern) if path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def folder_fingerprint(folder: Path) -> str:
    """Return the fingerprint of the model in a folder: 32 hexadecimal digits.

    It is a BLAKE2b hash over the sorted names of the model's files and the SHA-256 of their
    contents, so a copy elsewhere has the same fingerprint, and any other weight, setting or
    vocabulary gives another.

    Raises
    ------
    ModelError
        If the folder holds no file of a model.
    """
    files = model_files(folder)
    if not files:
        raise ModelError("the folder holds no model", where=str(folder), expected="safetensors")
    names = (path.relative_to(folder).as_posix() for path in files)
    return _combine(zip(names, file_checksums(files), strict=True))


def gguf_fingerprint(sha256: str) -> str:
    """Return the fingerprint of a model that was converted from a GGUF file.

    It hashes the GGUF file and not what it was converted to: another version of the converter may
    write other bytes for the same weights.
    """
    return _combine([("gguf", sha256)])


def _combine(parts: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, sha256 in parts:
        digest.update(f"{name}\0{sha256}\n".encode())
    return digest.hexdigest()


def file_checksums(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of each file; one that has not changed since last time is not read again.

    Size and time of change decide whether a file is the same. The table of what is known lies in
    the cache; where that cannot be written, every file is read every time.
    """
    table = _read_table()
    checksums = []
    changed = False
    for path in paths:
        status = path.stat()
        mark = [status.st_size, status.st_mtime_ns]
        place = str(path.resolve())
        entry = table.get(place)
        if not (isinstance(entry, list) and len(entry) == len(mark) + 1 and entry[:2] == mark):
            entry = table[place] = [*mark, checksum(path)]
            changed = True
        checksums.append(str(entry[2]))
    if changed:
        table = {place: entry for place, entry in table.items() if Path(place).exists()}
        with contextlib.suppress(StoreError):  # only time is lost
            write_bytes_atomically(_table_path(), json.dumps(table, indent=0).encode())
    return checksums


def _table_path() -> Path:
    return cache_dir() / "models" / "checksums.json"


def _read_table() -> dict[str, Any]:
    try:
        table = parse_json(_table_path().read_bytes())
    except FILE_DAMAGE:
        return {}
    return table if isinstance(table, dict) else {}
