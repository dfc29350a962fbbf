"""Pools with rows that nobody can train on, to see what notices them.

The kinds of such rows are made by `euds.reading.spoiling`. Three of them, drawn by seed, are held
out: nothing about a rule is decided by looking at them.
"""

from __future__ import annotations

import numpy as np

from euds.reading.spoiling import KINDS

__all__ = ["DESIGN_KINDS", "HELD_OUT"]

HELD_OUT = tuple(
    sorted(np.random.default_rng(2026).choice(sorted(KINDS), 3, replace=False).tolist())
)
DESIGN_KINDS = tuple(kind for kind in KINDS if kind not in HELD_OUT)
