"""How large an encoder is, told without loading its weights."""

from __future__ import annotations

from typing import Any

from euds.errors import ModelError
from euds.models.extras import lm_extra, quiet_transformers, readable_load_errors
from euds.models.sources import ModelReference

__all__ = ["encoder_parameters"]


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
