"""An encoder with a new head, as it is before a training."""

from __future__ import annotations

import contextlib
import copy
import importlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from euds.errors import ModelError
from euds.models.checking import check_size
from euds.models.extras import quiet_transformers, readable_load_errors
from euds.models.network import attention_on, best_device
from euds.proof.training.goals import Goal

__all__ = ["InitialModel", "global_random_state_kept", "load_tokenizer"]


@dataclass(frozen=True)
class InitialModel:
    """An encoder with a head, as it is before a training.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        It is copied for each training, and never trained itself.
    new_modules : sequence of str
        The names of the modules that the checkpoint says nothing of: they are made by the seed.
    padded : transformers.DataCollatorWithPadding
        Fills rows up to the longest of a batch.
    device : torch.device
        Where training takes place.
    """

    model: Any
    new_modules: Sequence[str]
    padded: Any
    device: torch.device

    @classmethod
    def load(cls, folder: Path, goal: Goal, tokenizer: Any) -> InitialModel:
        """Load the weights, in float32.

        Raises
        ------
        ModelError
            If transformers cannot load them, or not with that head.
        """
        transformers: Any = importlib.import_module("transformers")
        device = best_device()
        with (
            global_random_state_kept(),
            quiet_transformers(),
            readable_load_errors(str(folder)),
        ):
            auto = getattr(transformers, goal.head)
            check_size(auto, folder)
            model, found = auto.from_pretrained(
                folder,
                **goal.options,
                dtype=torch.float32,
                attn_implementation=attention_on(device),
                ignore_mismatched_sizes=True,  # the head of another task has other classes
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        made_up = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
        body = f"{model.base_model_prefix}."
        _require_body(made_up, body, where=str(folder))
        head = {name for name, _ in model.named_parameters() if not name.startswith(body)}
        modules = sorted({name.rpartition(".")[0] for name in head | made_up})
        padded = transformers.DataCollatorWithPadding(tokenizer)
        return cls(model.to(device), modules, padded, device)

    def fresh(self, seed: int) -> Any:
        """Return a copy to train; the seed decides the weights that the checkpoint lacks.

        It sets torch's global random state.
        """
        model = copy.deepcopy(self.model)
        torch.manual_seed(seed)
        for name in self.new_modules:
            model._init_weights(model.get_submodule(name))
        return model

    def stacked(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        """Return rows of one length as tensors."""
        return {
            name: torch.tensor([row[name] for row in rows], device=self.device) for name in rows[0]
        }


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of an encoder, to pad and cut at the end and to know the longest row.

    Raises
    ------
    ModelError
        If transformers cannot load it, or it cannot pad or tell where a token came from.
    """
    from transformers import AutoConfig, AutoTokenizer

    with quiet_transformers(), readable_load_errors(str(folder)):
        tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        config: Any = AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    if not tokenizer.is_fast or tokenizer.pad_token is None:
        lacks = "padding token" if tokenizer.is_fast else "tokenizer.json"
        raise ModelError(f"the model's tokenizer has no {lacks}", where=str(folder))
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return tokenizer


def _require_body(made_up: set[str], body: str, *, where: str) -> None:
    """Refuse a checkpoint that lacks a part of the encoder; a pooling layer may be new."""
    lacking = sorted(name for name in made_up if name.startswith(body) and "pooler" not in name)
    if lacking:
        raise ModelError(
            "the checkpoint lacks weights of the encoder, or has them in another shape",
            where=where,
            got=f"{lacking[0]} and {len(lacking) - 1:,} more",
        )


@contextlib.contextmanager
def global_random_state_kept() -> Iterator[None]:
    """Put back the random state of Python, NumPy and torch: the Trainer sets all three."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
