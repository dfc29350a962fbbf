"""Where ``euds`` keeps files of its own, and what it runs on: versions, system, processor."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import platformdirs

from euds.errors import OptionError
from euds.files.addresses import local_name

__all__ = ["cache_dir", "package_versions", "store_place", "this_machine"]

_PACKAGES = ("euds", "numpy", "polars", "scipy", "scikit-learn", "torch", "transformers")


def cache_dir() -> Path:
    """Return the folder for what can be fetched or computed again; it need not exist yet.

    It is the environment variable ``EUDS_CACHE`` if that is set, else the platform's own place for
    caches.

    Raises
    ------
    OptionError
        If ``EUDS_CACHE`` is an address: models and data sets are read from a disk.
    """
    chosen = os.environ.get("EUDS_CACHE")
    if not chosen:
        return Path(platformdirs.user_cache_dir("euds"))
    local = local_name(chosen)
    if local is None:
        raise OptionError(
            "the cache cannot be at an address: models are read from a disk",
            where="EUDS_CACHE",
            got=chosen,
            expected="a folder",
            next_step="set EUDS_STORE to the address: what was measured is then kept there",
        )
    return Path(local).expanduser()


def store_place() -> str | None:
    """Return the folder or address that measurements are kept at, None where the cache has them.

    It is the environment variable ``EUDS_STORE``.
    """
    return os.environ.get("EUDS_STORE") or None


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    versions = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        # Extras may not be installed.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def this_machine() -> dict[str, Any]:
    """Return what a reader of a manifest should know of this machine."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }
