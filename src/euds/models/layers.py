"""Whether a model's settings can be true of its weights, told before anything is built of them.

A damaged or hostile file may speak of a billion layers, and building them would take all memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from euds.damage import FILE_DAMAGE, parse_json
from euds.errors import ModelError
from euds.models.gguf_header import check_gguf_header
from euds.models.memory import read_header, stored_parameters

__all__ = ["check_gguf_layers", "check_layers", "check_size"]

_CLAIM = "the model's settings are not those of its weights"
_AGAIN = "copy or download the model again"
_MOST_DESCRIBED = 2  # parameters for one that is there: some are used twice, a head may be new
_DESCRIBED_ANYWAY = 1_000_000


def check_layers(folder: Path) -> None:
    """Check that ``config.json`` speaks of no more layers than the folder has tensors.

    What cannot be read is left to whoever loads the model, who tells more.

    Raises
    ------
    ModelError
        If it does.
    """
    try:
        settings = parse_json((folder / "config.json").read_bytes())
        tensors = sum(len(read_header(path)) for path in folder.glob("*.safetensors"))
    except (*FILE_DAMAGE, ModelError):
        return
    _check(max(_layers(settings), default=0), tensors, where=folder / "config.json")


def check_size(auto: Any, folder: Path) -> None:
    """Check that the settings in a folder describe no much larger model than the weights are of.

    Settings that leave the sizes out describe a model of some usual size, which may be larger than
    the memory. Nothing is allocated for it here. Quantised weights are not judged: they are packed.

    Raises
    ------
    ModelError
        If they do.
    """
    import torch
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if getattr(config, "quantization_config", None) is not None:
        return
    with torch.device("meta"):  # shapes without numbers
        model = auto.from_config(config, trust_remote_code=False)
    described = sum(one.numel() for one in model.parameters())
    there = stored_parameters(folder)
    if described > _MOST_DESCRIBED * there + _DESCRIBED_ANYWAY:
        raise ModelError(
            _CLAIM,
            where=str(folder / "config.json"),
            got=f"settings of {described:,} parameters, and weights of {there:,}",
            next_step=_AGAIN,
        )


def check_gguf_layers(path: Path) -> None:
    """Check that a GGUF file speaks of no more layers than it has tensors, and of their widths.

    Raises
    ------
    ModelError
        If it does.
    """
    from gguf import GGUFReader

    check_gguf_header(path)

    reader = GGUFReader(path)
    told = {name: field.contents() for name, field in reader.fields.items()}
    architecture = told.get("general.architecture")
    own = {
        name: size
        for name in ("block_count", "embedding_length", "feed_forward_length")
        if type(size := told.get(f"{architecture}.{name}")) is int
    }
    for name in ("block_count", "embedding_length"):
        if name not in own:  # a model of some usual size would be built, whatever the weights are
            raise ModelError(
                _CLAIM, where=str(path), got=f"no {architecture}.{name}", next_step=_AGAIN
            )
    _check(own.pop("block_count"), len(reader.tensors), where=path)
    widths = {int(size) for tensor in reader.tensors for size in tensor.shape}
    for name, width in own.items():
        if width not in widths:
            raise ModelError(
                _CLAIM,
                where=str(path),
                got=f"{name} {width:,}, and no tensor of that width",
                next_step=_AGAIN,
            )


def _check(layers: int, tensors: int, *, where: Path) -> None:
    if layers > tensors:
        raise ModelError(
            _CLAIM,
            where=str(where),
            got=f"{layers:,} layers, and {tensors:,} tensors",
            expected="at least one tensor a layer",
            next_step=_AGAIN,
        )


def _layers(settings: Any) -> Iterator[int]:
    """Yield every number of layers in a configuration, whatever its architecture calls it."""
    if not isinstance(settings, dict):
        return
    for name, value in settings.items():
        if type(value) is int and "layer" in name:
            yield value
        elif name.endswith("_config"):
            yield from _layers(value)
