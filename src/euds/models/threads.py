"""How the cores of a machine are shared out.

Torch by default splits each operation over all cores and waits for the slowest of them. Operations
on a few hundred positions are short, and where another program takes a core for a moment, all wait
for it. Several threads that each do whole batches on one core have nothing to wait for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TOKENIZING", "cores_shared_out"]

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
