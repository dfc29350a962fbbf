"""The manifest of a run: its version, its fields, and the checksum that it has of itself.

The checksums of a run's files are in its manifest; what is in the manifest itself is told by
``manifest_checksum``, a hash over all other fields. It notices an accident and a thoughtless edit;
whoever means to deceive can compute it anew, as any of the checksums.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from euds.errors import MAKE_AGAIN, StoreError
from euds.files.plain import read_plain

__all__ = [
    "CHECKSUM",
    "MANIFEST_VERSION",
    "NewerRunError",
    "checksum_of",
    "faults_of",
    "parse_manifest",
    "read_manifest",
    "with_checksum",
]

MANIFEST_VERSION = 1
"""Goes up when a field changes its meaning or goes away; new fields do not raise it."""

CHECKSUM = "manifest_checksum"


class NewerRunError(StoreError):
    """A newer euds made the run, in a form that this one does not know."""


_MOST_BYTES = 256 << 20  # ids of rows that must stay are in it
_DIGEST = re.compile(r"[0-9a-f]{32}")


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest in a file.

    Raises
    ------
    StoreError
        If it is no plain file, no JSON object in UTF-8, of a newer version, or a field is not what
        it should be.
    """
    manifest = parse_manifest(path)
    for name, got, expected in faults_of(manifest):
        raise StoreError(
            f"the manifest's field {name!r} is not what it should be",
            where=str(path),
            got=got,
            expected=expected,
            next_step=MAKE_AGAIN,
        )
    return manifest


def parse_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest whose fields may be anything; see `read_manifest`.

    Raises
    ------
    StoreError
        If it is no plain file, no JSON object in UTF-8, or of a newer version.
    """
    content, where = read_plain(path, limit=_MOST_BYTES), str(path)
    try:
        found = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise StoreError(
            "the manifest is not in UTF-8",
            where=where,
            got=f"byte {error.start:,} is {content[error.start]:#04x}",
            next_step=MAKE_AGAIN,
        ) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(
            "the manifest cannot be read", where=where, got=str(error), next_step=MAKE_AGAIN
        ) from error
    if not isinstance(found, dict):
        raise StoreError(
            "the manifest cannot be read",
            where=where,
            got=_shown(found),
            expected="a JSON object",
            next_step=MAKE_AGAIN,
        )
    _check_version(found.get("manifest_version"), where)
    return found


def _check_version(version: object, where: str) -> None:
    # True is 1 to Python, and no version.
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise StoreError(
            "the manifest tells no version",
            where=where,
            got=f"manifest_version {_shown(version)}",
            expected=f"{MANIFEST_VERSION} or a higher number",
            next_step=MAKE_AGAIN,
        )
    if version > MANIFEST_VERSION:
        here = importlib.metadata.version("euds")
        raise NewerRunError(
            "the run was made by a newer euds, which writes its manifest in another way",
            where=where,
            got=f"manifest_version {version}",
            expected=f"{MANIFEST_VERSION}, the highest that euds {here} knows",
            next_step="pip install --upgrade euds, or run the same command again with this euds "
            "into another folder",
        )


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """Return the hash over all fields but the checksum, whatever their order and white space."""
    rest = {name: value for name, value in manifest.items() if name != CHECKSUM}
    canonical = json.dumps(rest, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def with_checksum(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest as JSON holds it, with a checksum of itself."""
    # What JSON makes of it is what is read again: tuples become lists.
    plain: dict[str, Any] = json.loads(json.dumps(manifest))
    plain.pop(CHECKSUM, None)
    return {**plain, CHECKSUM: checksum_of(plain)}


def faults_of(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each field that is not what it should be: its name, what was got and expected."""
    for name, (expected, fits, is_needed) in _FIELDS.items():
        if name not in manifest:
            if is_needed:
                yield name, "no such field", expected
        elif not fits(manifest[name]):
            yield name, _shown(manifest[name]), expected


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _of_digests(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_digest, value.values()))


def _is_pool(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_count(value.get("rows"))
        and _is_digest(value.get("fingerprint"))
    )


_Fits = Callable[[object], bool]
_FIELDS: Mapping[str, tuple[str, _Fits, bool]] = {
    "written": ("a time", _is_text, True),
    "versions": ("an object of strings", _of_texts, True),
    "machine": ("an object", _is_object, True),
    "inputs": ("a list of strings", _are_texts, True),
    "pool": ("an object with rows, a number, and fingerprint, 32 digits", _is_pool, True),
    "provenance": ("an object", _is_object, True),
    "summary": ("an object", _is_object, True),
    "request": ("an object", _is_object, False),
    "checksums": ("an object of strings of 32 hexadecimal digits", _of_digests, True),
    CHECKSUM: ("32 hexadecimal digits", _is_digest, False),
}


def _shown(value: object) -> str:
    """Return a value in a few characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = "something nested very deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."
