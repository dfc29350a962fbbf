"""What a cascade did, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from euds.progress import format_seconds

__all__ = ["ENOUGH", "early_advice", "sentences_of"]

ENOUGH = 0.95
"""The overlap with complete scores from which on a cascade is said to do."""

_NAMES = {"ge": "GE", "se": "SE"}


def sentences_of(
    told: Mapping[str, Any], clock: Mapping[str, Any]
) -> tuple[list[str], list[str], list[str]]:
    """Return what was done, what should be read before the subset is used, and what it cost.

    Parameters
    ----------
    told : mapping
        What `euds.selection.cascade.cascade` found.
    clock : mapping
        What depends on the clock.
    """
    measured = ", ".join(f"{_NAMES[name]} of {count:,}" for name, count in told["measured"].items())
    sentences = [
        f"of {told['texts']:,} texts measured: {measured}; a sample of {told['sample']:,} in full "
        f"({told['questions_share']:.0%} of the questions of complete scores)"
    ]
    if not any(told["predicted"].values()):
        return [*sentences, "nothing was left to predict"], [], _costs(clock)
    probes = [
        f"{_NAMES[name]} at Spearman {told['probe'][name]['spearman']:+.2f}"
        + (
            ""
            if told["probe"][name]["bar"] is None
            else f", {told['probe'][name]['level']:.0%} within {told['probe'][name]['bar']:.2f}"
        )
        for name in told["measured"]
    ]
    overlap = told["overlap"]
    is_auto = overlap["rule"] == "auto"
    which = (
        "where no window is better than all but the ends"
        if is_auto
        else f"by rule {overlap['rule']}"
    )
    sentences += [
        f"the probe predicts {'; '.join(probes)}",
        f"expected: {overlap['expected']:.0%} ({overlap['low']:.0%} to {overlap['high']:.0%}) of "
        f"what complete scores keep {which} is kept; {told['undecided']:,} texts are undecided",
    ]
    warnings = []
    if is_auto:
        warnings.append(
            "the automatic rule draws rows: what is expected of the cascade holds where its search "
            "settles on the same window and draw as with complete scores. Where it does not, rows "
            "of the same kind are kept, but hardly more of the same rows than by chance"
        )
    if overlap["expected"] < ENOUGH:
        warnings.append(
            f"a cascade at this budget is expected to keep only {overlap['expected']:.0%} of what "
            f"complete scores would keep: what it left out can hardly be predicted. For that "
            f"selection score everything (leave out --cascade)"
        )
    return sentences, warnings, _costs(clock)


def early_advice(spent: float, gain: float) -> list[str]:
    """Return an advice against scoring, if it will cost more than it saves in one training.

    Parameters
    ----------
    spent : float
        Seconds that scoring will have cost.
    gain : float
        Seconds that one training on what is kept saves.
    """
    if spent <= gain:
        return []
    return [
        f"scoring will cost up to {format_seconds(spent)}, and training on what is kept saves "
        f"{format_seconds(gain)}: for a single training it is cheaper to train on everything, or "
        f"on random rows, and not to score"
    ]


def _costs(clock: Mapping[str, Any]) -> list[str]:
    spent, full = clock["seconds"], clock["full_seconds"]
    costs = [
        f"scoring cost {format_seconds(spent)} (vectors {format_seconds(clock['vector_seconds'])}) "
        f"where complete scores would take about {format_seconds(full)}"
        + (f": {format_seconds(full - spent)} saved" if full > spent else ": nothing saved")
    ]
    gain = clock["training_saved_seconds"]
    if gain is None:
        return costs
    told = f"training on what is kept saves {format_seconds(gain)} a training"
    if spent < gain:
        return [*costs, f"{told}, more than scoring costs"]
    if gain <= 0:
        return [*costs, f"{told}: scoring cannot pay"]
    trainings = math.ceil(spent / gain)
    return [
        *costs,
        f"{told}, less than scoring costs: it pays from {trainings:,} trainings on the subset; for "
        f"fewer train on everything, or on random rows",
    ]
