"""Where ``euds`` keeps files of its own."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from euds.addresses import is_address, local_name
from euds.errors import OptionError

__all__ = ["cache_dir", "store_address"]


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


def store_address() -> str | None:
    """Return the address that measurements are kept at, None where they lie in the cache.

    It is the environment variable ``EUDS_STORE``.

    Raises
    ------
    OptionError
        If that is no address.
    """
    chosen = os.environ.get("EUDS_STORE")
    if chosen and not is_address(chosen):
        raise OptionError(
            "this is no address",
            where="EUDS_STORE",
            got=chosen,
            expected="an address such as s3://bucket/euds",
            next_step="for a folder on this machine set EUDS_CACHE: the store is in it",
        )
    return chosen or None
