"""Choose the part of a text pool worth fine-tuning on, by entropy and without labels.

>>> import euds
>>> pool = euds.read(euds.examples())                        # doctest: +SKIP

The verbs are functions of this module; nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from euds.cascading.cascade import Cascade, cascade
    from euds.errors import EudsError
    from euds.forgetting import Forgotten, forget, forget_all
    from euds.pool import Pool
    from euds.proof.certify import Certificate, certify
    from euds.proof.holdout import HoldOut, hold_out
    from euds.proof.pilot import Pilot, pilot
    from euds.proof.prove import Proof, prove
    from euds.proof.smallest_keep import SmallestKeep, smallest_keep
    from euds.proof.training_time import TrainingTime, training_time
    from euds.reading import read
    from euds.replaying.replay import Replay, replay
    from euds.scores import ScoreTable
    from euds.scoring import score
    from euds.selection.select import select
    from euds.selection.selection import Selection
    from euds.selection.stability import Stability, stability
    from euds.verifying.verify import Verification, verify

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
    "Cascade": "euds.cascading.cascade",
    "Certificate": "euds.proof.certify",
    "EudsError": "euds.errors",
    "Forgotten": "euds.forgetting",
    "HoldOut": "euds.proof.holdout",
    "Pilot": "euds.proof.pilot",
    "Pool": "euds.pool",
    "Proof": "euds.proof.prove",
    "Replay": "euds.replaying.replay",
    "ScoreTable": "euds.scores",
    "Selection": "euds.selection.selection",
    "SmallestKeep": "euds.proof.smallest_keep",
    "Stability": "euds.selection.stability",
    "TrainingTime": "euds.proof.training_time",
    "Verification": "euds.verifying.verify",
    "cascade": "euds.cascading.cascade",
    "certify": "euds.proof.certify",
    "forget": "euds.forgetting",
    "forget_all": "euds.forgetting",
    "hold_out": "euds.proof.holdout",
    "pilot": "euds.proof.pilot",
    "prove": "euds.proof.prove",
    "read": "euds.reading",
    "replay": "euds.replaying.replay",
    "score": "euds.scoring",
    "select": "euds.selection.select",
    "smallest_keep": "euds.proof.smallest_keep",
    "stability": "euds.selection.stability",
    "training_time": "euds.proof.training_time",
    "verify": "euds.verifying.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'euds' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
