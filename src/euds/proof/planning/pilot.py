"""Whether selecting can help at a budget, from a short learning curve on the pool's own labels.

Probes are trained on a half of the budget's rows, on as many rows as the budget, and on twice as
many, all drawn at random (`euds.proof.planning.learning_curve`). What the last doubling gains says
how much rows are still worth:

=============  ===================================================================================
regime         when
=============  ===================================================================================
``saturated``  the gain is certainly below the margin: even twice the rows would not be noticed,
               so better rows hardly can be, and random ones will do
``scarce``     the gain is `STEEP` or more of what was learnt, the accuracy above always giving the
               most frequent label: the rows do not suffice yet for what is easy
``abundant``   it is less than that
``unknown``    there is nothing to learn from, or next to nothing was learnt
=============  ===================================================================================

Where rows are scarce easy ones are worth more than random ones, where they are abundant less
(after Sorscher et al. 2022, arXiv 2206.14486). `STEEP` lies between the two in simulations of a
teacher and a student (``benchmarks/regime.py``). It speaks of a probe and of random rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from euds.errors import OptionError
from euds.pool.pool import Pool
from euds.progress import Ledger, Progress
from euds.proof.arms import FEWEST_ROWS
from euds.proof.planning.learning_curve import (
    LEAST_LABELLED,
    LearningCurve,
    check_margin,
    curve_of,
    labelled_rows,
    largest_size,
)
from euds.proof.statistics import difference_of
from euds.scoring.scores import ScoreTable
from euds.scoring.store.contents import MeasurementStore
from euds.selection.request import parse_budget

__all__ = ["MOST_ROWS", "STEEP", "Pilot", "pilot", "regime_of"]

STEEP = 0.15
MOST_ROWS = 5_000
"""A probe on more rows takes minutes, and what a doubling gains only becomes less."""

_CONFIDENCE = 0.95
_LEARNT_POINTS = 2.0


@dataclass(frozen=True)
class Pilot:
    """What the pilot found.

    Parameters
    ----------
    results : dict
        What `docs/regime.md` describes; plain values.
    """

    results: dict[str, Any]

    @property
    def regime(self) -> str:
        """``scarce``, ``abundant``, ``saturated`` or ``unknown``."""
        return str(self.results["regime"])

    @property
    def can_help(self) -> str:
        """Whether selecting can help: ``yes``, ``no``, ``cannot tell`` or ``unknown``."""
        return str(self.results["can_help"])

    def __str__(self) -> str:
        return str(self.results["sentence"])


def pilot(
    pool: Pool,
    *,
    keep: float | str = 0.16,
    scores: ScoreTable | None = None,
    margin_points: float = 1.0,
    draws: int = 5,
    seed: int = 0,
    encoder: str = "minilm-l6",
    max_tokens: int = 128,
    precision: str = "auto",
    store: MeasurementStore | None = None,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> Pilot:
    """Tell whether the pool is scarce, abundant or saturated for a budget.

    Labels are used: the pool's own, where at least `LEAST_LABELLED` distinct texts have one, else
    the language model's likeliest option in ``scores``, and the result says which.

    Parameters
    ----------
    pool : Pool
        The samples. A test set has no part in this.
    keep : float or str
        The budget: a share or a number of rows.
    scores : ScoreTable, optional
        Scores with ``se_option``, for a pool without labels.
    margin_points : float
        The gain in points from which on it counts.
    draws : int
        How often all random rows are drawn anew.
    seed : int
        Of the draws.
    encoder, max_tokens, precision
        The frozen encoder of the probe, see `euds.proof.training.trainers.TrainerOptions`.
    store : MeasurementStore, optional
        Where vectors are kept; the user's store by default.
    ledger : Ledger, optional
        Gets the seconds, vectors included, under ``pilot``.
    progress : Progress, optional
        Is told what happens; by default bars on stderr where that is a terminal, else silence.

    Returns
    -------
    Pilot

    Raises
    ------
    OptionError
        If the budget or the margin makes no sense, or the budget is too small to train on.
    """
    check_margin(margin_points)
    budget = parse_budget(keep).rows(len(pool))
    if budget < 2 * FEWEST_ROWS:
        raise OptionError(
            "the budget is too small for a pilot",
            got=f"{budget:,} rows",
            expected=f"at least {2 * FEWEST_ROWS}",
            next_step="raise the budget",
        )
    rows, source = labelled_rows(pool, scores)
    if source is None:
        return Pilot(_unknown(budget, margin_points))
    most = min(2 * budget, largest_size(rows.height), MOST_ROWS)
    curve = curve_of(
        rows,
        (most // 4, most // 2, most),
        stage="pilot",
        draws=draws,
        seed=seed,
        encoder=encoder,
        max_tokens=max_tokens,
        precision=precision,
        store=store,
        ledger=ledger,
        progress=progress,
    )
    return Pilot(regime_of(curve, budget=budget, margin_points=margin_points, source=source))


def regime_of(
    curve: LearningCurve, *, budget: int, margin_points: float, source: str
) -> dict[str, Any]:
    """Return what a curve of three sizes, each twice the one before, says of a budget.

    Parameters
    ----------
    curve : LearningCurve
        The curve. Where its last size is less than twice the budget, what the last doubling gains
        is more than one at the budget would, as far as gains do not grow with the rows.
    budget : int
        Rows to keep.
    margin_points : float
        The gain in points from which on it counts.
    source : {"labels", "model"}
        Where the labels come from.
    """
    gain = difference_of(curve.right[-1], curve.right[-2])
    low, high = (100 * end for end in gain.interval(_CONFIDENCE))
    learnt = 100 * (curve.accuracies[-1] - curve.majority)
    if learnt < _LEARNT_POINTS:
        regime, can_help = "unknown", "unknown"
    elif high < margin_points:
        regime, can_help = "saturated", "no"
    else:
        regime = "scarce" if 100 * gain.mean >= STEEP * learnt else "abundant"
        can_help = "yes" if low > margin_points else "cannot tell"
    results = {
        "regime": regime,
        "can_help": can_help,
        "source": source,
        "budget_rows": budget,
        "margin_points": margin_points,
        "rows": list(curve.rows),
        "accuracy_points": [100 * one for one in curve.accuracies],
        "majority_points": 100 * curve.majority,
        "gain_points": 100 * gain.mean,
        "gain_low_points": low,
        "gain_high_points": high,
        "confidence": _CONFIDENCE,
        "gain_of_learnt": gain.mean / (learnt / 100) if learnt > 0 else None,
        "draws": gain.seeds,
        "rows_asked": gain.items,
        "trainings": curve.trainings,
    }
    return {**results, "sentence": _sentence(results)}


def _unknown(budget: int, margin_points: float) -> dict[str, Any]:
    return {
        "regime": "unknown",
        "can_help": "unknown",
        "source": None,
        "budget_rows": budget,
        "margin_points": margin_points,
        "sentence": "the regime is unknown: fewer than "
        f"{LEAST_LABELLED} distinct texts have a label that is a class, and no score holds the "
        "language model's likeliest option; name --label, or score semantic entropy with a --task "
        "of closed answers",
    }


def _sentence(results: dict[str, Any]) -> str:
    half, whole = results["rows"][-2:]
    source = (
        "" if results["source"] == "labels" else ", with the language model's answers as labels"
    )
    low, high = results["gain_low_points"], results["gain_high_points"]
    gain = (
        f"from {half:,} to {whole:,} random rows a probe gains {results['gain_points']:.1f} points "
        f"({low:.1f} to {high:.1f}, {100 * results['confidence']:g} %{source})"
    )
    below = "" if whole >= 2 * results["budget_rows"] else "; no more rows could be tried"
    margin = f"the margin of {results['margin_points']:g}"
    told = {
        "yes": f"more than {margin}, so selecting can help",
        "no": f"less than {margin}, so random rows will do",
        "cannot tell": f"which may be less or more than {margin}, so it cannot be told whether "
        "selecting can help",
        "unknown": f"but reaches only {results['accuracy_points'][-1]:.1f} points where always "
        f"giving the most frequent label reaches {results['majority_points']:.1f}",
    }[results["can_help"]]
    return f"{results['regime']}: {gain}, {told}{below}"
