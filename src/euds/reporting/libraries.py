"""The JavaScript that draws the figures: Vega, Vega-Lite and Vega-Embed in one script."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

import vl_convert

from euds.errors import StoreError
from euds.files.atomic import write_bytes_atomically
from euds.files.environment import cache_dir

__all__ = ["vega_script"]

_SNIPPET = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def vega_script() -> str:
    """Return the libraries as a script that defines ``vegaEmbed`` and no other name.

    vl-convert takes seconds to bundle them, so the bundle is kept in the cache, under its version
    and its hash; a file that does not match its hash is made again.
    """
    folder = cache_dir() / "report"
    prefix = f"vega-{version('vl-convert-python')}-"
    for path in sorted(folder.glob(f"{prefix}*.js")):
        script = _read(path)
        if script is not None and path.name == f"{prefix}{_digest(script)}.js":
            return script
    script = _bundle()
    # A cache that cannot be written costs time, not the report.
    with contextlib.suppress(StoreError):
        write_bytes_atomically(folder / f"{prefix}{_digest(script)}.js", script.encode())
    return script


def _bundle() -> str:
    bundle = vl_convert.javascript_bundle(_SNIPPET)
    # Nothing in the bundle may end the script element that will hold it.
    return "(() => {\n" + bundle.replace("</script", "<\\/script") + "\n})();\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None


def _digest(script: str) -> str:
    return hashlib.blake2b(script.encode(), digest_size=16).hexdigest()
