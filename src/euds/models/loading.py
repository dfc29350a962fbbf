"""Loaded models, shared by all scorers of a process; and the size of one that is not loaded."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from euds.errors import ModelError
from euds.models.extras import lm_extra, quiet_transformers, readable_load_errors
from euds.models.hardware import resolve_precision
from euds.models.protocols import Encoder, EntailmentModel, LanguageModel
from euds.models.sources import ModelReference

__all__ = ["encoder_parameters", "load_encoder", "load_entailment_model", "load_language_model"]


_KEPT = 2  # a language model and an encoder: what one run uses

Key = tuple[str, str, str]
Loaded = TypeVar("Loaded")

_loaded: OrderedDict[Key, object] = OrderedDict()
_lock = threading.RLock()


def load_language_model(
    reference: ModelReference, *, precision: str = "auto", batch_tokens: int | None = None
) -> LanguageModel:
    """Return a causal language model, loaded at most once in this process.

    Parameters
    ----------
    reference : ModelReference
        From `euds.models.sources.resolve`.
    precision : {"auto", "float32", "bfloat16"}
        What it computes in; see `resolve_precision`.
    batch_tokens : int, optional
        Tokens that go through it together. It changes speed and not numbers.

    Raises
    ------
    MissingExtraError
        If torch or transformers is not installed.
    ModelError
        If it cannot be loaded.
    """
    if reference.folder is None:
        from euds.models.markov_lm import MarkovLM

        return MarkovLM.default()
    resolved = resolve_precision(precision)
    with lm_extra("a language model"):
        from euds.models.transformers_lm import TransformersLM

        folder = reference.folder
        model = _once(
            ("language", reference.fingerprint, resolved),
            lambda: TransformersLM.load(folder, precision=resolved),
        )
    if batch_tokens is None or batch_tokens == model.batch_tokens:
        return model
    return dataclasses.replace(model, batch_tokens=batch_tokens)


def load_encoder(reference: ModelReference, *, precision: str = "float32") -> Encoder:
    """Return a sentence encoder, loaded at most once in this process.

    Raises
    ------
    MissingExtraError
        If torch or transformers is not installed.
    ModelError
        If it cannot be loaded, or its pooling is not known.
    """
    folder = _weights(reference, "a sentence encoder")
    resolved = resolve_precision(precision)
    with lm_extra("a sentence encoder"):
        from euds.models.transformers_encoder import TransformersEncoder

        return _once(
            ("encoder", reference.fingerprint, resolved),
            lambda: TransformersEncoder.load(folder, precision=resolved),
        )


def load_entailment_model(reference: ModelReference) -> EntailmentModel:
    """Return an entailment model, loaded at most once in this process.

    Raises
    ------
    MissingExtraError
        If torch or transformers is not installed.
    ModelError
        If it cannot be loaded, or does not judge entailment.
    """
    folder = _weights(reference, "an entailment model")
    with lm_extra("an entailment model"):
        from euds.models.entailment import TransformersEntailment

        return _once(
            ("entailment", reference.fingerprint, "float32"),
            lambda: TransformersEntailment.load(folder),
        )


def _weights(reference: ModelReference, what: str) -> Path:
    if reference.folder is None:
        raise ModelError(
            f"the toy model is not {what}",
            got=reference.name,
            next_step="choose `exact` meaning, or name a model with weights",
        )
    return reference.folder


def _once(key: Key, load: Callable[[], Loaded]) -> Loaded:
    """Return what was loaded under ``key``, or load it and forget the one used longest ago."""
    with _lock:
        if key not in _loaded:
            # Room is made first: two large models need not be in memory at the same time.
            while len(_loaded) >= _KEPT:
                _loaded.popitem(last=False)
            _loaded[key] = load()
        _loaded.move_to_end(key)
        return cast("Loaded", _loaded[key])


# How large an encoder is, told without loading its weights.


def encoder_parameters(reference: ModelReference) -> int:
    """Return the number of parameters that every token of a text goes through.

    Those are the encoder's without its embeddings, of which a token uses one row, and without a
    pooling layer, which only the first token enters. A forward pass takes about two operations for
    each and token, a training step six.

    Raises
    ------
    MissingExtraError
        If torch or transformers is not installed.
    ModelError
        If the model is no encoder, or transformers does not know its architecture.
    """
    if reference.folder is None:
        raise ModelError("the toy model is not a sentence encoder", got=reference.name)
    with lm_extra("a sentence encoder"):
        import torch
        from transformers import AutoConfig, AutoModel
    with quiet_transformers(), readable_load_errors(str(reference.folder)):
        config = AutoConfig.from_pretrained(
            reference.folder, trust_remote_code=False, local_files_only=True
        )
        with torch.device("meta"):  # shapes without numbers
            make: Any = AutoModel.from_config  # it carries no types
            model = make(config, trust_remote_code=False)
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if "embed" not in name and "pooler" not in name
    )
