"""Whether a model fits into memory, told before it is loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path

from euds.models.precision import may_have_gpu

__all__ = ["float32_bytes", "free_bytes"]

_FLOAT32_BYTES = 4
_HEADER_LENGTH_BYTES = 8
_MEMORY_LIST = Path("/proc/meminfo")


def float32_bytes(folder: Path) -> int:
    """Return the bytes that the weights in a folder of safetensors take in float32.

    A file begins with the length of its header, and the header is JSON with the shape of each
    tensor (https://github.com/huggingface/safetensors#format).
    """
    weights = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_HEADER_LENGTH_BYTES), "little")
            header = json.loads(stream.read(length))
        weights += sum(
            math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__"
        )
    return weights * _FLOAT32_BYTES


def free_bytes() -> int | None:
    """Return the memory that is free where models run, None where it is not known."""
    free = _free_in_the_system()
    if may_have_gpu():
        import torch

        if torch.cuda.is_available():
            on_gpu, _ = torch.cuda.mem_get_info()
            return on_gpu if free is None else min(free, on_gpu)
    return free


def _free_in_the_system() -> int | None:
    try:
        lines = _MEMORY_LIST.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None
