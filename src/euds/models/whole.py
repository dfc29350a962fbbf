"""Models all of whose weights are there.

Transformers fills what a file of weights lacks with random numbers: a model without its head would
give scores that mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from euds.errors import ModelError
from euds.models.layers import check_size

__all__ = ["load_whole", "require_weights"]


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
