"""GGUF files become safetensors, once, in the cache.

A GGUF file holds quantised weights. They are multiplied out to float32, which is exact, and kept
with the tokenizer in the form that transformers loads in a second or two.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from euds.errors import ModelError
from euds.files.atomic import atomic_write
from euds.files.damage import FILE_DAMAGE, parse_json
from euds.files.environment import cache_dir
from euds.files.packages import checksum
from euds.models.checking import check_gguf_layers, require_weights
from euds.models.extras import lm_extra, quiet_transformers, readable_load_errors
from euds.models.fingerprints import file_checksums, gguf_fingerprint, model_files

__all__ = ["conversions", "convert", "converted", "read_conversion"]

_RECORD = "converted.json"
_FORMAT = 1


def converted(gguf_sha256: str) -> Path | None:
    """Return the folder that a GGUF file was converted to, if it is there and undamaged."""
    folder = _folder(gguf_sha256)
    record = read_conversion(folder)
    if record is None:
        return None
    paths = [folder / name for name in record["files"]]
    if not all(path.is_file() for path in paths):
        return None
    return folder if file_checksums(paths) == list(record["files"].values()) else None


def convert(gguf: Path, gguf_sha256: str, *, name: str) -> Path:
    """Convert a GGUF file to a folder of safetensors and tokenizer files, and return the folder.

    Parameters
    ----------
    gguf : pathlib.Path
        The file.
    gguf_sha256 : str
        Its checksum, under which the result is kept.
    name : str
        What to call it in lists.

    Raises
    ------
    MissingExtraError
        If torch, transformers, gguf or accelerate is not installed.
    ModelError
        If transformers cannot read the file.
    """
    folder = _folder(gguf_sha256)
    with atomic_write(folder) as temporary:
        with readable_load_errors(str(gguf)):
            _dequantise(gguf, temporary)
        files = model_files(temporary)
        names = [path.relative_to(temporary).as_posix() for path in files]
        record = {
            "format": _FORMAT,
            "name": name,
            "fingerprint": gguf_fingerprint(gguf_sha256),
            "files": dict(zip(names, map(checksum, files), strict=True)),
        }
        (temporary / _RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
    return folder


def conversions() -> list[Path]:
    """Return the folders of all converted models in the cache, sorted."""
    return sorted(path.parent for path in _parent().glob(f"*/{_RECORD}"))


def read_conversion(folder: Path) -> dict[str, Any] | None:
    """Return a converted folder's record, or None if there is none that this version can read."""
    try:
        record = parse_json((folder / _RECORD).read_bytes())
    except FILE_DAMAGE:
        return None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        return None
    files = record.get("files")
    intact = isinstance(files, dict) and all(isinstance(files[name], str) for name in files)
    named = isinstance(record.get("fingerprint"), str) and isinstance(record.get("name"), str)
    return record if intact and named else None


def _parent() -> Path:
    return cache_dir() / "models"


def _folder(gguf_sha256: str) -> Path:
    return _parent() / f"gguf-{gguf_fingerprint(gguf_sha256)}"


def _dequantise(gguf: Path, target: Path) -> None:
    with lm_extra("converting a GGUF file"):
        import accelerate  # noqa: F401  (transformers needs both, and says so in other words)
        import gguf as _  # noqa: F401
        import torch
        import transformers

    check_gguf_layers(gguf)
    # Since 5.x a GGUF file stays quantised in memory unless this asks for its full weights.
    options = {}
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    # The bar over the tensors is tqdm's own, and listens to no setting of transformers.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        auto: Any = transformers.AutoModelForCausalLM
        model, found = auto.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
            local_files_only=True,
            **options,
        )
        require_weights(list(found["missing_keys"]), use="language model", where=str(gguf))
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, trust_remote_code=False, local_files_only=True
        )
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
    if not (target / "model.safetensors").is_file() and not list(target.glob("*.index.json")):
        raise ModelError("the GGUF file gave no weights", where=str(gguf))
