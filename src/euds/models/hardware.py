"""What this machine has for a model: fast arithmetic, memory, cores, and a name for all that."""

from __future__ import annotations

import functools
import math
import operator
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Literal, cast

from euds.errors import ModelError, OptionError
from euds.files.damage import FILE_DAMAGE, DamagedFileError, first_line, parse_json

__all__ = [
    "TOKENIZING",
    "Precision",
    "cores_shared_out",
    "describe_machine",
    "float32_bytes",
    "free_bytes",
    "may_have_gpu",
    "read_header",
    "resolve_precision",
    "stored_parameters",
]


Precision = Literal["float32", "bfloat16"]

_PRECISIONS = ("auto", "float32", "bfloat16")
_CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows' Linux


def resolve_precision(precision: str = "auto") -> Precision:
    """Return the precision meant: for ``auto`` bfloat16 where the hardware has it, else float32.

    Bfloat16 is fast on processors with AVX512-BF16 or AMX and on GPUs; elsewhere it is emulated,
    and slower than float32. Whether a language model can afford it is told by
    `euds.models.tuning.try_out`.

    Raises
    ------
    OptionError
        If ``precision`` is none of the three words.
    """
    if precision not in _PRECISIONS:
        raise OptionError(
            "there is no such precision", got=precision, expected=", ".join(_PRECISIONS)
        )
    if precision == "auto":
        return "bfloat16" if _has_fast_bfloat16() else "float32"
    return cast("Precision", precision)


@functools.lru_cache(maxsize=1)
def _has_fast_bfloat16() -> bool:
    """Return whether bfloat16 is worth it; look at the system first, as importing torch is slow."""
    flags = _cpu_flags()
    if flags is not None and flags & _CPU_FLAGS:
        return True
    if not may_have_gpu():
        return False
    try:
        import torch
    except ModuleNotFoundError:
        return False
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())


def may_have_gpu() -> bool:
    """Return whether torch could find a GPU here; False is certain, and known without torch."""
    return _cpu_flags() is None or any(Path(device).exists() for device in _GPU_DEVICES)


def _cpu_flags() -> frozenset[str] | None:
    """Return the processor's flags as Linux lists them, or None where it does not."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = (line.partition(":") for line in text.splitlines())
    for name, _, value in lines:
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


# Which machine this is, as far as a model's speed and rounding depend on it.

_CPU_LIST = Path("/proc/cpuinfo")
_NVIDIA_LIST = Path("/proc/driver/nvidia/gpus")


def describe_machine() -> dict[str, str | int | list[str]]:
    """Return processor, cores, GPUs and the version of torch.

    It is read from the system wherever that is possible, as importing torch is slow.
    """
    return {
        "processor": _processor(),
        "cores": _cores(),
        "gpus": _gpus(),
        "torch": metadata.version("torch"),
    }


def _processor() -> str:
    return _named("model name", _CPU_LIST) or platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[str]:
    """Return the names of the GPUs, in the system's order."""
    listed = sorted(_NVIDIA_LIST.glob("*/information"))
    if listed:
        return [_named("Model", path) or "" for path in listed]
    if not may_have_gpu():
        return []
    import torch

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def _named(name: str, path: Path) -> str | None:
    """Return the value of the first line ``name: value`` of a system's file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)


# Whether a model fits into memory, told before it is loaded.

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


# How the cores of a machine are shared out.
#
# Torch by default splits each operation over all cores and waits for the slowest of them.
# Operations on a few hundred positions are short, and where another program takes a core for a
# moment, all wait for it. Several threads that each do whole batches on one core have nothing to
# wait for.

TOKENIZING = threading.Lock()
"""Held while a tokenizer is called, because it takes its options by changing itself."""

_MOST_WORKERS = 16  # each has activations, keys and values of its own


@contextmanager
def cores_shared_out(workers: int | None = None) -> Iterator[int]:
    """Let each thread that is started inside compute on its own share of the cores.

    Parameters
    ----------
    workers : int, optional
        How many threads will be started; by default as many as are of use.

    Yields
    ------
    int
        How many threads to start: 1 where models run on a GPU, which does one thing at a time, or
        where no model that was loaded computes with torch.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.cuda.is_available():
        yield workers or 1
        return
    cores = torch.get_num_threads()
    workers = workers or min(cores, _MOST_WORKERS)
    # New threads begin with what was last set; the setting of this thread is put back at the end.
    torch.set_num_threads(max(1, cores // workers))
    try:
        yield workers
    finally:
        torch.set_num_threads(cores)
