"""Which arithmetic a model computes in on this machine."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal, cast

from euds.errors import OptionError

__all__ = ["Precision", "may_have_gpu", "resolve_precision"]

Precision = Literal["float32", "bfloat16"]

_PRECISIONS = ("auto", "float32", "bfloat16")
_CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows' Linux


def resolve_precision(precision: str = "auto") -> Precision:
    """Return the precision meant: for ``auto`` bfloat16 where the hardware has it, else float32.

    Bfloat16 is fast on processors with AVX512-BF16 or AMX and on GPUs; elsewhere it is emulated,
    and slower than float32. Whether a language model can afford it is told by
    `euds.models.trial.try_out`.

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
