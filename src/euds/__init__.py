"""Choose the part of a text pool worth fine-tuning on, by entropy and without labels.

>>> import euds
>>> pool = euds.read("reviews.jsonl", text="review")         # doctest: +SKIP
>>> scores = euds.score(pool, ["ie", "ge"])                  # doctest: +SKIP
>>> euds.select(pool, scores, keep=0.16).write("kept.jsonl") # doctest: +SKIP

The verbs are functions of this module; nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from euds.errors import EudsError
    from euds.pool.pool import Pool
    from euds.proof.certify import Certificate, certify
    from euds.proof.holdout import HoldOut, hold_out
    from euds.proof.planning.pilot import Pilot, pilot
    from euds.proof.planning.smallest_keep import SmallestKeep, smallest_keep
    from euds.proof.planning.training_time import TrainingTime, training_time
    from euds.proof.prove import Proof, prove
    from euds.reading import read
    from euds.runs.forgetting import Forgotten, forget, forget_all
    from euds.runs.replaying.replay import Replay, replay
    from euds.runs.verifying.verify import Verification, verify
    from euds.scoring.score import score
    from euds.scoring.scores import ScoreTable
    from euds.selection.cascade.cascade import Cascade, cascade
    from euds.selection.select import select
    from euds.selection.selection import Selection
    from euds.selection.stability import Stability, stability

__all__ = [
    "Cascade",
    "Certificate",
    "EudsError",
    "Forgotten",
    "HoldOut",
    "Pilot",
    "Pool",
    "Proof",
    "Replay",
    "ScoreTable",
    "Selection",
    "SmallestKeep",
    "Stability",
    "TrainingTime",
    "Verification",
    "cascade",
    "certify",
    "forget",
    "forget_all",
    "hold_out",
    "pilot",
    "prove",
    "read",
    "replay",
    "score",
    "select",
    "smallest_keep",
    "stability",
    "training_time",
    "verify",
]

_HOMES = {
    "Cascade": "euds.selection.cascade.cascade",
    "Certificate": "euds.proof.certify",
    "EudsError": "euds.errors",
    "Forgotten": "euds.runs.forgetting",
    "HoldOut": "euds.proof.holdout",
    "Pilot": "euds.proof.planning.pilot",
    "Pool": "euds.pool.pool",
    "Proof": "euds.proof.prove",
    "Replay": "euds.runs.replaying.replay",
    "ScoreTable": "euds.scoring.scores",
    "Selection": "euds.selection.selection",
    "SmallestKeep": "euds.proof.planning.smallest_keep",
    "Stability": "euds.selection.stability",
    "TrainingTime": "euds.proof.planning.training_time",
    "Verification": "euds.runs.verifying.verify",
    "cascade": "euds.selection.cascade.cascade",
    "certify": "euds.proof.certify",
    "forget": "euds.runs.forgetting",
    "forget_all": "euds.runs.forgetting",
    "hold_out": "euds.proof.holdout",
    "pilot": "euds.proof.planning.pilot",
    "prove": "euds.proof.prove",
    "read": "euds.reading",
    "replay": "euds.runs.replaying.replay",
    "score": "euds.scoring.score",
    "select": "euds.selection.select",
    "smallest_keep": "euds.proof.planning.smallest_keep",
    "stability": "euds.selection.stability",
    "training_time": "euds.proof.planning.training_time",
    "verify": "euds.runs.verifying.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'euds' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
