"""What a run was asked, recorded so that it can be asked again.

::

    request
        command          as it was given
        from             where it was given, seen from the run folder: what file names start from
        reading          inputs and columns as asked, and what was read: rows, fingerprint
        held_out         what was set apart before scoring; null if nothing was
        scoring          scores, settings, the precision chosen, models with their fingerprints
        selecting        what `select` was asked; files with fingerprints; null if it was not

`reading`, `held_out` and `scoring` also lie in scores.parquet, so that a selecting that was killed
does not lose them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from euds.files.addresses import on_record
from euds.models import resolve_precision
from euds.models.sources import resolve
from euds.pool.pool import Pool, Texts
from euds.scoring.score import SCORERS
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import DEFAULT_ENCODER, Vectors
from euds.selection.request import request_of
from euds.selection.rules.registry import rule_named
from euds.selection.selection import Selection

__all__ = [
    "READING",
    "again_recorded",
    "faults_of_request",
    "hold_out_recorded",
    "other_recorded",
    "reading_recorded",
    "scoring_recorded",
    "seen_from",
    "selecting_recorded",
    "unknown_of_request",
    "vectors_recorded",
]

READING = ("text", "context", "label", "id", "encoding", "max_rejected")
"""What `euds.read` is asked beside the inputs."""


def reading_recorded(
    inputs: Sequence[str], wishes: Mapping[str, Any], pool: Pool
) -> dict[str, Any]:
    """Record how the input was read, and what came of it.

    Parameters
    ----------
    inputs : sequence of str
        As they were given; addresses are recorded without their secrets.
    wishes : mapping of str
        What `euds.read` was asked beside them.
    pool : Pool
        What was read, before anything was set apart.
    """
    return {
        "inputs": [on_record(one) for one in inputs],
        **{name: wishes.get(name) for name in READING},
        "rows": len(pool),
        "fingerprint": pool.fingerprint,
    }


def other_recorded(file: str, wishes: Mapping[str, Any], texts: Texts) -> dict[str, Any]:
    """Record a file that is no part of the pool: its name, how it was read, its texts' hash."""
    return {
        "file": on_record(file),
        **{name: wishes[name] for name in READING if name in wishes},
        "fingerprint": texts.fingerprint,
    }


def hold_out_recorded(
    part: float | Mapping[str, Any],
    *,
    closed_labels: bool,
    seed: int,
    remove_near_duplicates: bool = True,
    sample: int | None = None,
) -> dict[str, Any]:
    """Record what was set apart: a share of the rows, or a file as `other_recorded` has it."""
    return {
        "part": part if isinstance(part, float) else dict(part),
        "closed_labels": closed_labels,
        "remove_near_duplicates": remove_near_duplicates,
        "sample": sample,
        "seed": seed,
    }


def scoring_recorded(table: ScoreTable) -> dict[str, Any]:
    """Record what was scored, and with which models; they go by their content, not their names."""
    settings = table.provenance["settings"]
    models = {}
    for stage in table.provenance["stages"]:
        fingerprint = stage["recipe"]["parameters"].get("model")
        role = "model"
        if stage["stage"] == "answer-similarities":
            role = "encoder" if settings["entailment"] is None else "entailment"
        if fingerprint is not None:
            models[role] = {"name": settings[role], "fingerprint": fingerprint}
    precision = table.provenance.get("precision")
    return {
        "scores": [name for name in (*SCORERS, "ge_ifd") if name in table.provenance],
        "settings": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in settings.items()
        },
        "precision": None if precision is None else precision["chosen"],
        "models": models,
    }


def vectors_recorded(
    vectors: Vectors | None, encoder: str = DEFAULT_ENCODER
) -> dict[str, Any] | None:
    """Record which encoder the sentence vectors are of; None if there are none."""
    if vectors is None:
        return None
    return {
        "encoder": encoder,
        "fingerprint": resolve(encoder).fingerprint,
        "precision": resolve_precision(),
    }


def selecting_recorded(
    request: Mapping[str, Any],
    *,
    seed: int,
    against: Sequence[Mapping[str, Any]] = (),
    target: Mapping[str, Any] | None = None,
    vectors: Mapping[str, Any] | None = None,
    weights: bool = False,
) -> dict[str, Any]:
    """Record what `select` was asked.

    Parameters
    ----------
    request : mapping of str
        Its arguments, as far as they are plain values.
    seed : int
        The seed.
    against : sequence of mapping
        The files that the subset must not overlap with, as `other_recorded` has them.
    target : mapping, optional
        The file of the target, likewise.
    vectors : mapping, optional
        What `vectors_recorded` says.
    weights : bool
        Whether the subset has weights.
    """
    plain = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in request.items()
        if name != "against"
    }
    return {
        **plain,
        "seed": seed,
        "against": [dict(one) for one in against],
        "target": None if target is None else dict(target),
        "vectors": None if vectors is None else dict(vectors),
        "weights": weights,
    }


def again_recorded(
    selection: Selection,
    *,
    target: Mapping[str, Any] | None = None,
    vectors: Mapping[str, Any] | None = None,
    weights: bool = False,
) -> dict[str, Any]:
    """Record what `select` has to be asked for a selection that was made inside something else."""
    settings = selection.settings
    rule = rule_named(settings["rule"], tuple(settings["scores"]))
    return selecting_recorded(
        request_of(settings, rule, pool_rows=len(selection.pool)),
        seed=settings["seed"],
        target=target,
        vectors=vectors if "vectors" in rule.takes else None,
        weights=weights,
    )


def seen_from(folder: Path, place: Path) -> str:
    """Return the way from the run folder to a place, so that both can be moved together."""
    here, there = Path(os.path.realpath(folder)), Path(os.path.realpath(place))
    try:
        return Path(os.path.relpath(there, here)).as_posix()
    except ValueError:  # on another drive
        return there.as_posix()


_Shape = type | None | tuple["_Shape", ...] | list["_Shape"] | dict[str, "_Shape"]
"""A type, one of several, a list of one, or an object with these fields and perhaps others.

Older runs need not have the fields whose names end in a question mark.
"""

_TEXT: _Shape = (str, None)
_OTHER: _Shape = {"file": str, "fingerprint": str}
_READING: _Shape = {
    **dict.fromkeys(READING, _TEXT),
    **{"inputs": [str], "max_rejected": (float, int), "rows": int, "fingerprint": str},
}
_HELD_OUT: _Shape = {
    **{"part": (float, _OTHER), "closed_labels": bool, "remove_near_duplicates": bool},
    **{"seed": int, "sample?": (int, None)},
}
_SETTINGS: _Shape = {
    **dict.fromkeys(("task", "entailment"), _TEXT),
    **dict.fromkeys(("calibration", "model", "encoder", "precision"), str),
    **dict.fromkeys(("max_tokens", "max_context_tokens", "answers", "max_new_tokens", "seed"), int),
    **{"options": [str], "prompts": [str], "batch_tokens": (int, None)},
}
_SCORING: _Shape = {"scores": [str], "settings": _SETTINGS, "precision": _TEXT, "models": dict}
_SELECTING: _Shape = {
    **dict.fromkeys(("from", "rule", "quota"), _TEXT),
    **dict.fromkeys(("soft", "guards", "keep_unusable?"), bool),
    **{"keep": (str, int, float, None), "keep_tokens": (int, None), "seed": int},
    **{"interval": (str, [str], None), "entropies": [str], "always_keep": [str]},
    **{"near_duplicates": str, "against": [_OTHER], "target": (_OTHER, None)},
    "vectors": ({"encoder": str, "fingerprint": str, "precision": str}, None),
}
_REQUEST: Mapping[str, _Shape] = {
    **{"from": _TEXT, "reading": _READING, "held_out": (_HELD_OUT, None), "scoring": _SCORING},
    "selecting": (_SELECTING, None),
}


def faults_of_request(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts of a request that are not what `euds` records."""
    for name, shape in _REQUEST.items():
        if not _fits(request.get(name), shape):
            yield name
    scoring = request.get("scoring")
    models = scoring.get("models") if isinstance(scoring, dict) else None
    if isinstance(models, dict):
        for role, model in models.items():
            if not _fits(model, {"name": str, "fingerprint": str}):
                yield f"scoring: models: {role}"


def _fields(shape: _Shape, *more: str) -> dict[str, Any]:
    """Return the names of an object's fields, with nothing inside of them."""
    assert isinstance(shape, dict)
    return {name.removesuffix("?"): {} for name in (*shape, *more)}


_FILE = _fields(_OTHER, *READING)
_VECTORS: Mapping[str, Any] = {"encoder": {}, "fingerprint": {}, "precision": {}}
_KNOWN: Mapping[str, Any] = {
    "command": {},
    "from": {},
    "reading": _fields(_READING),
    "held_out": {**_fields(_HELD_OUT), "part": _FILE},
    "scoring": {**_fields(_SCORING), "settings": _fields(_SETTINGS)},
    "selecting": {
        **_fields(_SELECTING, "use_labels", "weights"),
        **{"against": _FILE, "target": _FILE, "vectors": _VECTORS},
    },
}
"""All that is recorded, with what is inside of it; nothing inside means that anything may be."""


def unknown_of_request(request: Mapping[str, Any]) -> list[str]:
    """Return the parts of a request that this euds does not know, and so could not repeat.

    >>> unknown_of_request({"scoring": {"settings": {"mood": "good"}}, "weather": "fine"})
    ['scoring: settings: mood', 'weather']
    """
    return sorted(_unknown(request, _KNOWN))


def _unknown(value: object, known: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _unknown(one, known)
    elif isinstance(value, dict):
        for name, inside in value.items():
            if name not in known:
                yield str(name)
            elif known[name]:
                yield from (f"{name}: {one}" for one in _unknown(inside, known[name]))


def _fits(value: object, shape: _Shape) -> bool:
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(one, shape[0]) for one in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            _fits(value[key], one) if (key := name.removesuffix("?")) in value else key != name
            for name, one in shape.items()
        )
    if shape is None:
        return value is None
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
