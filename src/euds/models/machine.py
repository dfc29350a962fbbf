"""Which machine this is, as far as a model's speed and rounding depend on it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from euds.models.precision import may_have_gpu

__all__ = ["describe_machine"]

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
