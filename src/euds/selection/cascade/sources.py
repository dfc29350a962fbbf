"""The entropies that cost model time, as a cascade asks for them: of some texts, and again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from euds.pool.pool import Texts
from euds.scoring.measuring import Measurer, StageRecord
from euds.scoring.scorers.base import ScoreColumns, Scorer
from euds.scoring.scorers.semantic_answers import SemanticAnswersScorer
from euds.scoring.scorers.semantic_options import SemanticOptionsScorer

__all__ = ["TRIED", "Answer", "ModelSource", "Source", "merged_stages"]

TRIED = 200
"""The texts that prompts are tried on where everything is scored."""

_SAMPLING = 10.0  # what sampled answers cost, in readings of the text


@dataclass(frozen=True)
class Answer:
    """The scores of some texts, and what they cost in this run or an earlier one.

    Parameters
    ----------
    columns : ScoreColumns
        The scores, by key.
    seconds : float
        What was measured of these texts took.
    trial_seconds : float
        What the choice of a prompt took beside.
    """

    columns: ScoreColumns
    seconds: float
    trial_seconds: float


class Source(Protocol):
    """Gives one entropy of texts."""

    @property
    def name(self) -> str:
        """``ge`` or ``se``."""

    @property
    def cost(self) -> float:
        """What a text costs, in readings of the text: rough, and the same on every machine."""

    @property
    def trials(self) -> int:
        """How often each text of the sample is read beside, to choose a prompt."""

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Where the values of a column end, if they do."""

    def ask(self, texts: Texts, sample: Texts) -> Answer:
        """Return the scores of texts, as those of a pool that the sample is a random part of."""


@dataclass
class ModelSource:
    """An entropy that a scorer gives through the store."""

    scorer: Scorer
    measurer: Measurer

    @property
    def name(self) -> str:
        """The scorer's name."""
        return self.scorer.name

    @property
    def cost(self) -> float:
        """10 for sampled answers, else 1."""
        return _SAMPLING if isinstance(self.scorer, SemanticAnswersScorer) else 1.0

    @property
    def trials(self) -> int:
        """One for each prompt but the best."""
        if isinstance(self.scorer, SemanticOptionsScorer):
            return len(self.scorer.candidates) - 1
        return 0

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Of entropies in the strict sense: they are not negative."""
        if isinstance(self.scorer, SemanticOptionsScorer):
            return {"se": (0.0, math.log(len(self.scorer.candidates[0].options)))}
        return dict.fromkeys(("ge", "ge_nll", "ge_hes", "se_discrete"), (0.0, math.inf))

    def ask(self, texts: Texts, sample: Texts) -> Answer:
        """Score the texts; what the store holds is taken from it."""
        before = len(self.measurer.stages)
        if isinstance(self.scorer, SemanticOptionsScorer):
            columns = self.scorer.score(texts, self.measurer, sample=sample)
            tried = len(self.scorer.candidates)
        else:
            columns, tried = self.scorer.score(texts, self.measurer), 0
        stages = self.measurer.stages[before:]
        # After the trials come the texts; of a closed set the sample is looked at once more.
        own = stages[tried : tried + 1] if tried else stages
        beside = [one for one in stages[:tried] if one.recipe != own[0].recipe]
        return Answer(columns, _spent(own), _spent(beside))


def _spent(stages: Sequence[StageRecord]) -> float:
    return sum(one.spent_seconds or 0.0 for one in stages)


def merged_stages(stages: Sequence[StageRecord]) -> list[dict[str, Any]]:
    """Return one record a recipe: texts in the end, and all that was measured in this run."""
    merged: dict[str, dict[str, Any]] = {}
    for one in stages:
        name = repr(one.recipe)
        held = merged.get(name)
        if held is None:
            merged[name] = {
                "stage": one.stage,
                "recipe": one.recipe,
                "texts": one.texts,
                "measured": one.measured,
                "seconds": one.seconds,
                "spent_seconds": one.spent_seconds,
            }
            continue
        held["measured"] += one.measured
        held["seconds"] += one.seconds
        if one.texts >= held["texts"]:
            held["texts"], held["spent_seconds"] = one.texts, one.spent_seconds
    return list(merged.values())
