"""Models of the Hugging Face hub: what its cache holds, and downloads that a user asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from euds.errors import ModelNotFoundError
from euds.models.extras import lm_extra

__all__ = ["hub_folder", "is_hub_name"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", flags=re.ASCII)
_ALLOWED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",
    "*.jinja",
    "*.model",
)
_IGNORED = ("consolidated*", "original/*", "onnx/*", "openvino/*", "coreml/*")
_TRUE = frozenset({"1", "on", "yes", "true"})


def is_hub_name(name: str) -> bool:
    """Return whether a name has the form ``owner/name``.

    >>> is_hub_name("HuggingFaceTB/SmolLM2-135M"), is_hub_name("./model"), is_hub_name("a/b/c")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def hub_folder(name: str, *, purpose: str = "a model of the Hugging Face hub") -> Path:
    """Return the folder of a hub model: from the hub's own cache, else downloaded.

    Only safetensors, tokenizer and text files are asked for; nothing that would be unpickled.

    Parameters
    ----------
    name : str
        ``owner/name``.
    purpose : str
        What the missing package is named for, if the hub's client is not installed.

    Raises
    ------
    ModelNotFoundError
        If it is not in the cache and cannot be downloaded, or ``HF_HUB_OFFLINE`` is set.
    """
    with lm_extra(purpose):
        from huggingface_hub import snapshot_download

    options: dict[str, Any] = {"allow_patterns": list(_ALLOWED), "ignore_patterns": list(_IGNORED)}
    try:
        folder = Path(snapshot_download(name, local_files_only=True, **options))
        # A snapshot of which only the configuration was ever asked for is there, but no model.
        if any(folder.glob("*.safetensors")):
            return folder
    except (OSError, ValueError):
        pass
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        raise ModelNotFoundError(
            f"the hub model {name!r} is not on this machine, and HF_HUB_OFFLINE is set",
            next_step="unset HF_HUB_OFFLINE, or give the folder of a copy",
        )
    try:
        return Path(snapshot_download(name, **options))
    except (OSError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelNotFoundError(
            f"the hub model {name!r} cannot be fetched",
            got=lines[0],
            next_step=(
                "check the name and the connection, give the folder of a copy, or use a model that "
                "comes from a package index (`euds models` lists them)"
            ),
        ) from error
