"""Whether a model fits into memory, told before it is loaded."""

from __future__ import annotations

import math
import operator
from pathlib import Path

from euds.damage import FILE_DAMAGE, DamagedFileError, first_line, parse_json
from euds.errors import ModelError
from euds.models.precision import may_have_gpu

__all__ = ["float32_bytes", "free_bytes", "read_header", "stored_parameters"]

_FLOAT32_BYTES = 4
_HEADER_LENGTH_BYTES = 8
_MEMORY_LIST = Path("/proc/meminfo")


def float32_bytes(folder: Path) -> int:
    """Return the bytes that the weights in a folder of safetensors take in float32.

    Raises
    ------
    ModelError
        If a file is no safetensors.
    """
    return _FLOAT32_BYTES * stored_parameters(folder)


def stored_parameters(folder: Path) -> int:
    """Return how many parameters the weights in a folder of safetensors have.

    A file begins with the length of its header, and the header is JSON with the shape of each
    tensor (https://github.com/huggingface/safetensors#format).

    Raises
    ------
    ModelError
        If a file is no safetensors.
    """
    return sum(
        math.prod(shape)
        for path in folder.glob("*.safetensors")
        for shape in read_header(path).values()
    )


def read_header(path: Path) -> dict[str, list[int]]:
    """Return the shape of each tensor in a file.

    Raises
    ------
    ModelError
        If it is no safetensors.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_HEADER_LENGTH_BYTES), "little")
            if length > path.stat().st_size:
                raise DamagedFileError("the header is longer than the file")
            header = parse_json(stream.read(length))
        return {
            name: [operator.index(size) for size in entry["shape"]]
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (*FILE_DAMAGE, AttributeError, KeyError, TypeError) as error:
        raise ModelError(
            "the weights are damaged or cut short", where=str(path), got=first_line(error)
        ) from error


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
