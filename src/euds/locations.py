"""Where ``euds`` keeps files of its own."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """Return the folder for what can be fetched or computed again; it need not exist yet.

    It is the environment variable ``EUDS_CACHE`` if that is set, else the platform's own place for
    caches.
    """
    chosen = os.environ.get("EUDS_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("euds"))
