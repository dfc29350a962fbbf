"""Whether a model's files can be true: its header, its settings, and that no weights are missing.

A damaged or hostile file may speak of a billion layers, and building them would take all memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from euds.errors import ModelError
from euds.files.damage import FILE_DAMAGE, parse_json
from euds.models.hardware import read_header, stored_parameters

__all__ = [
    "check_gguf_header",
    "check_gguf_layers",
    "check_layers",
    "check_size",
    "load_whole",
    "require_weights",
]


# Whether the header of a GGUF file fits into the file, told before its own reader opens it.
#
# That reader believes what a file says of the lengths of its lists, also of lists that end long
# after the file does, and then reads nothing for hours. The layout is that of the specification:
# https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes, by type
_LEAST = {_STRING: 8, _ARRAY: 12}  # bytes of an empty one
_DEEPEST = 4  # lists in lists; real files have none
_LEAST_PAIR, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 4 + 8


class _UnlikelyError(Exception):
    """The header cannot be what it says."""


def check_gguf_header(path: Path) -> None:
    """Check that strings, lists and tables of a header end before the file does.

    Raises
    ------
    ModelError
        If they do not. A file that is no GGUF at all is left to whoever opens it.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            return
        try:
            _Header(stream, size, _byte_order(stream)).walk()
        except (_UnlikelyError, struct.error) as error:
            raise ModelError(
                "the header of the GGUF file does not fit into the file",
                where=str(path),
                got=str(error),
                expected=f"{size:,} bytes",
                next_step="copy or download the model again",
            ) from error


def _byte_order(stream: BinaryIO) -> str:
    """Read the version, which is small: a file of the other byte order has it in the other half."""
    (version,) = struct.unpack("<I", stream.read(4))
    return ">" if version & 0xFFFF == 0 else "<"


@dataclass
class _Header:
    stream: BinaryIO
    size: int
    order: str

    def walk(self) -> None:
        """Go through all pairs of the header."""
        tensors, pairs = self._number("Q"), self._number("Q")
        self._must_fit(pairs, _LEAST_PAIR, "settings")
        for _ in range(pairs):
            self._string()
            self._value(self._number("I"), depth=0)
        self._must_fit(tensors, _LEAST_TENSOR, "tensors")

    def _value(self, kind: int, *, depth: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            self._list(depth)
        else:
            self._skip(self._width(kind))

    def _list(self, depth: int) -> None:
        if depth == _DEEPEST:
            raise _UnlikelyError(f"lists in lists, {depth + 1} deep")
        kind, count = self._number("I"), self._number("Q")
        least = _LEAST.get(kind) or self._width(kind)
        self._must_fit(count, least, "values of a list")
        if kind not in _LEAST:
            self._skip(count * least)
            return
        for _ in range(count):
            self._value(kind, depth=depth + 1)

    def _string(self) -> None:
        self._skip(self._number("Q"))

    def _number(self, code: str) -> int:
        number: int
        (number,) = struct.unpack(self.order + code, self.stream.read(struct.calcsize(code)))
        return number

    def _width(self, kind: int) -> int:
        if kind not in _WIDTHS:
            raise _UnlikelyError(f"a value of the type {kind:,}")
        return _WIDTHS[kind]

    def _skip(self, width: int) -> None:
        self._must_fit(width, 1, "bytes of a value")
        self.stream.seek(width, 1)

    def _must_fit(self, count: int, width: int, what: str) -> None:
        left = self.size - self.stream.tell()
        if count * width > left:
            raise _UnlikelyError(f"{count:,} {what}, and {left:,} bytes left for them")


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


# Models all of whose weights are there.
#
# Transformers fills what a file of weights lacks with random numbers: a model without its head
# would give scores that mean nothing.


def load_whole(
    auto: Any, folder: Path, *, use: str, options: Mapping[str, Any], may_lack: str | None = None
) -> Any:
    """Load a model of transformers from a folder of safetensors.

    Parameters
    ----------
    auto : type
        One of transformers' classes, such as ``AutoModelForCausalLM``.
    folder : pathlib.Path
        With safetensors and ``config.json``.
    use : str
        What the model is for, in the words of the message.
    options : mapping
        Further arguments for ``from_pretrained``.
    may_lack : str, optional
        What the names of weights have in common that need not be there.

    Raises
    ------
    ModelError
        If weights are not there, or the settings describe a much larger model than they are of.
    """
    check_size(auto, folder)
    model, found = auto.from_pretrained(
        folder,
        **options,
        output_loading_info=True,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )
    lacking = [name for name in found["missing_keys"] if may_lack is None or may_lack not in name]
    require_weights(lacking, use=use, where=str(folder))
    return model


def require_weights(lacking: list[str], *, use: str, where: str) -> None:
    """Refuse a model that lacks weights.

    Raises
    ------
    ModelError
        If there is any name in ``lacking``.
    """
    if lacking:
        more = f" and {len(lacking) - 1:,} more" if len(lacking) > 1 else ""
        raise ModelError(
            f"the model lacks weights, without which it is no {use}",
            where=where,
            got=f"no {min(lacking)}{more}",
            next_step=f"name a model that was saved as a {use}, or save it again as a whole",
        )
