"""Sentence vectors from an encoder of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from euds.errors import ModelError
from euds.files.damage import FILE_DAMAGE, first_line, parse_json
from euds.models.batching import equal_length_batches, filled, rows_needed
from euds.models.checking import load_whole
from euds.models.extras import quiet_transformers, readable_load_errors
from euds.models.hardware import TOKENIZING, Precision
from euds.models.network import attention_on, best_device
from euds.models.rounding import steady_linears

__all__ = ["TransformersEncoder"]

_BATCH_TOKENS = {"cpu": 1024, "cuda": 65_536}
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})


@dataclass(frozen=True)
class TransformersEncoder:
    """A sentence encoder of transformers; implements `euds.models.protocols.Encoder`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The loaded encoder, in evaluation mode.
    tokenizer : transformers.PreTrainedTokenizerBase
        Its tokenizer.
    pool : callable
        From the vectors of a text's tokens, shape ``(texts, tokens, dimensions)``, to one vector a
        text: `mean_of_tokens` or `first_token`.
    batch_tokens : int
        Tokens that go through the model together. It changes speed and not numbers.
    """

    model: Any
    tokenizer: Any
    pool: Callable[[Tensor], Tensor]
    batch_tokens: int

    @classmethod
    def load(cls, folder: Path, *, precision: Precision) -> TransformersEncoder:
        """Load model, tokenizer and pooling from a folder.

        A folder without a ``1_Pooling`` of sentence-transformers is pooled by the mean.

        Raises
        ------
        ModelError
            If transformers cannot load it, or its vectors are made in a way that is not known.
        """
        from transformers import AutoModel, AutoTokenizer

        pool = _pooling(folder)
        device = best_device()
        with quiet_transformers(), readable_load_errors(str(folder)):
            model = load_whole(
                AutoModel,
                folder,
                use="sentence encoder",
                may_lack="pooler",  # vectors are pooled without it
                options={
                    "dtype": getattr(torch, precision),
                    "attn_implementation": attention_on(device),
                },
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        steady_linears(model.to(device))
        return cls(model.eval(), tokenizer, pool, _BATCH_TOKENS[device.type])

    def encode(self, texts: Sequence[str], *, max_tokens: int = 128) -> NDArray[np.float32]:
        """Return one vector of length 1 a text, shape ``(texts, dimensions)``.

        Parameters
        ----------
        texts : sequence of str
            The texts.
        max_tokens : int
            Where a text is cut, special tokens included.

        Raises
        ------
        ModelError
            If its tokenizer makes no token of a text, as of an empty answer.
        """
        vectors = np.empty((len(texts), self.model.config.hidden_size), dtype=np.float32)
        ids = self._ids(texts, max_tokens)
        for text, tokens in zip(texts, ids, strict=True):
            if not tokens:
                raise ModelError(
                    "the tokenizer of the encoder makes no tokens of a text",
                    got=repr(text[:100]),
                    next_step="name another encoder",
                )
        for batch in equal_length_batches(
            [len(one) for one in ids], batch_tokens=self.batch_tokens
        ):
            members = filled(batch, rows_needed(len(ids[batch[0]])))
            rows = torch.tensor([ids[index] for index in members], device=self.model.device)
            with torch.inference_mode():
                states = self.model(input_ids=rows).last_hidden_state
                pooled = self.pool(states[: len(batch)].float())
                vectors[batch] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
        return vectors

    def _ids(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        if not texts:
            return []
        with TOKENIZING:
            encoded = self.tokenizer(
                list(texts),
                truncation=True,
                max_length=min(max_tokens, self.tokenizer.model_max_length),
                split_special_tokens=True,  # "[SEP]" in a text is five characters
                return_attention_mask=False,
                return_token_type_ids=False,
            )
        return [list(ids) for ids in encoded["input_ids"]]


def mean_of_tokens(states: Tensor) -> Tensor:
    """Return the mean over a text's tokens; there are no padded ones to leave out."""
    return states.mean(dim=1)


def first_token(states: Tensor) -> Tensor:
    """Return the vector of a text's first token."""
    return states[:, 0]


def _pooling(folder: Path) -> Callable[[Tensor], Tensor]:
    """Return the pooling that sentence-transformers noted beside a model."""
    for module in _read_json(folder / "modules.json", list) or []:
        kind = str(module.get("type", "") if isinstance(module, dict) else module).rpartition(".")[
            2
        ]
        if kind not in _KNOWN_MODULES:
            raise ModelError(
                "the encoder has a layer on top that is not known here",
                where=str(folder / "modules.json"),
                got=kind,
                expected=", ".join(sorted(_KNOWN_MODULES)),
            )
    settings = _read_json(folder / "1_Pooling" / "config.json", dict)
    if settings is None:
        return mean_of_tokens
    chosen = sorted(_pooling_modes(settings))
    poolings = {"mean": mean_of_tokens, "mean_tokens": mean_of_tokens, "cls": first_token}
    poolings["cls_token"] = first_token
    if len(chosen) != 1 or chosen[0] not in poolings:
        raise ModelError(
            "the encoder pools its tokens in a way that is not known here",
            where=str(folder / "1_Pooling" / "config.json"),
            got=", ".join(chosen) or "no pooling",
            expected="mean or cls",
        )
    return poolings[chosen[0]]


def _pooling_modes(settings: dict[str, Any]) -> list[str]:
    """Return the poolings that are switched on, in the older or the newer way of writing it."""
    if "pooling_mode" in settings:
        return [str(settings["pooling_mode"])]
    prefix = "pooling_mode_"
    return [
        name.removeprefix(prefix)
        for name, chosen in settings.items()
        if name.startswith(prefix) and chosen is True
    ]


def _read_json(path: Path, kind: type[list[Any]] | type[dict[str, Any]]) -> Any:
    if not path.is_file():
        return None
    try:
        content = parse_json(path.read_bytes())
    except FILE_DAMAGE as error:
        raise ModelError("the file is no JSON", where=str(path), got=first_line(error)) from error
    if not isinstance(content, kind):
        raise ModelError(
            "the file does not say how the encoder is made up",
            where=str(path),
            got=f"a {type(content).__name__}",
            expected=f"a {kind.__name__}",
        )
    return content
