"""Names of files that may be addresses: ``s3://bucket/rows.jsonl``, and what of one is on record.

Only what begins with ``scheme://`` is an address (or with ``scheme::`` and one after it, as
``simplecache::s3://bucket/rows.jsonl``), so that a file's name may hold a colon.
"""

from __future__ import annotations

import re
from pathlib import Path

from euds.errors import HIDDEN, without_secrets

__all__ = ["has_secrets", "is_address", "last_name", "local_name", "on_record", "schemes"]

# A scheme of one letter would be a drive of Windows.
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9]+::)*[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = re.compile(r"(?:file|local)://")


def is_address(name: str) -> bool:
    """Return whether a name is that of something that does not lie on this machine's disks.

    >>> is_address("s3://bucket/rows.jsonl"), is_address("notes: a://b.jsonl")
    (True, False)
    """
    return local_name(name) is None


def local_name(name: str) -> str | None:
    """Return the path that a name stands for, None where it is the address of something elsewhere.

    >>> local_name("file:///data/rows.jsonl"), local_name("a:b.jsonl"), local_name("s3://b/c")
    ('/data/rows.jsonl', 'a:b.jsonl', None)
    """
    local = _LOCAL.match(name)
    if local and "::" not in name:
        return name[local.end() :]
    return None if _ADDRESS.match(name) else name


def schemes(address: str) -> list[str]:
    """Return the schemes of an address, the outermost first.

    >>> schemes("zip://rows.jsonl::simplecache::s3://bucket/rows.zip")
    ['zip', 'simplecache', 's3']
    """
    parts = [part.partition("://") for part in address.split("::")]
    return [part[0] for part in parts if part[1] or part[0].isalpha()]


def on_record(name: str) -> str:
    """Return a name as it is told and recorded: an address without what may be secret in it.

    >>> on_record("https://me:secret@host/rows.csv?token=secret"), on_record("what?a=b")
    ('https://***@host/rows.csv?***', 'what?a=b')
    """
    return without_secrets(name) if is_address(name) else name


def has_secrets(recorded: str) -> bool:
    """Return whether a recorded name lacks something that was taken out of it.

    >>> has_secrets("https://host/rows.csv?***"), has_secrets("https://host/rows.csv")
    (True, False)
    """
    return is_address(recorded) and (f"{HIDDEN}@" in recorded or f"?{HIDDEN}" in recorded)


def last_name(name: str) -> str:
    """Return the last part of a path or an address, without a query.

    >>> last_name("https://host/data/rows.csv?token=a/b"), last_name("data/rows.csv")
    ('rows.csv', 'rows.csv')
    """
    local = local_name(name)
    if local is not None:
        return Path(local).name
    return on_record(name).removesuffix(f"?{HIDDEN}").rstrip("/").rpartition("/")[2]
