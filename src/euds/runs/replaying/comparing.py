"""Two pools, score tables or selections of one run, held against each other.

How far scores may lie apart where one machine is not the other is a bound, not a guess: what a
language model says is rounded in the precision it computes in, in another order on other hardware.
Where nothing differs (one machine, one set of packages) all differences are expected to be 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool.pool import Pool
from euds.pool.records import side_by_side
from euds.scoring.scores import ScoreTable, scorer_of

__all__ = [
    "ColumnDifference",
    "SelectionDifference",
    "Tolerance",
    "compare_columns",
    "compare_selections",
    "other_records",
    "tolerance_of",
]

_NAMED = 5


@dataclass(frozen=True)
class Tolerance:
    """How far a column may differ.

    Parameters
    ----------
    amount : float
        The largest absolute difference; 0 for equal.
    share : float
        The share of rows that may differ by more.
    """

    amount: float
    share: float = 0.0

    def told(self) -> str:
        """Return it in words."""
        amount = f"at most {self.amount:.3g}" if self.amount else "no difference"
        return f"{amount} in {1 - self.share:.0%} of the rows" if self.share else amount


_EXACT = Tolerance(0.0)
_COUNTED = Tolerance(1e-9)  # sums of logarithms of counts

# By precision: a text's mean over its tokens; a sum over a few tokens; the entropy over options.
# Twice what they lie from float64 (float32) or float32 (bfloat16); see docs/verifying.md.
_ROUNDED = {"float32": (2e-4, 1e-3, 2e-3), "bfloat16": (0.12, 0.4, 0.12)}
# Near a tie another option is the likeliest; where a draw falls on the other side, all that follows
# is another answer. Shares of rows.
_OTHER_OPTION = {"float32": 0.01, "bfloat16": 0.1}
_OTHER_DRAW = {"float32": 0.02, "bfloat16": 1.0}


def tolerance_of(column: str, precision: str | None, *, is_drawn: bool = False) -> Tolerance:
    """Return how far a column of scores may differ between machines.

    Parameters
    ----------
    column : str
        The column.
    precision : str or None
        What the language model computes in.
    is_drawn : bool
        Whether semantic entropy is that of sampled answers.

    >>> tolerance_of("ie", None).amount, tolerance_of("ge_gap", "float32").amount
    (1e-09, 0.0004)
    """
    scorer = scorer_of(column)
    if scorer == "ie":
        return _COUNTED if column != "words" else _EXACT
    if precision not in _ROUNDED:
        return _EXACT
    of_text, of_token, of_options = _ROUNDED[precision]
    if column in ("ge", "ge_nll"):
        return Tolerance(of_text)
    if column in ("ge_gap", "ge_ifd"):  # of two means
        return Tolerance(2 * of_text)
    if column == "ge_hes":
        return Tolerance(of_token)
    if column.endswith(("_cut", "_reason", "_tokens")):
        return Tolerance(0.0, _OTHER_DRAW[precision] if scorer == "se" and is_drawn else 0.0)
    if column == "se_option":
        return Tolerance(0.0, _OTHER_OPTION[precision])
    if scorer == "se":
        return Tolerance(of_options, _OTHER_DRAW[precision] if is_drawn else 0.0)
    return _EXACT


@dataclass(frozen=True)
class ColumnDifference:
    """How far a column of two tables differs.

    Parameters
    ----------
    largest : float or None
        The largest difference; None where the values are no numbers.
    rows : int
        Rows with another value, however little it differs.
    beyond : int
        Rows that differ by more than the tolerance, or of which one has no value.
    tolerance : Tolerance
        What may differ.
    is_within : bool
        Whether no more rows are beyond the tolerance than may be.
    """

    largest: float | None
    rows: int
    beyond: int
    tolerance: Tolerance
    is_within: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare_columns(
    stored: ScoreTable, again: ScoreTable, *, precision: str | None
) -> dict[str, ColumnDifference]:
    """Compare two tables of the same samples, column by column.

    A column that is not there again differs in every row. One that was not there before, as in a
    run of an earlier version, is nothing to compare.
    """
    ids = stored.frame.select("id")
    here = ids.join(again.frame, on="id", how="left", maintain_order="left")
    mode = stored.provenance.get("se", {}).get("mode")
    found = {}
    for name in stored.frame.columns:
        if name == "id":
            continue
        tolerance = tolerance_of(name, precision, is_drawn=mode != "label")
        if name in here.columns:
            found[name] = _compared(stored.frame[name], here[name], tolerance)
        else:
            found[name] = ColumnDifference(None, ids.height, ids.height, tolerance, is_within=False)
    return found


def _compared(stored: pl.Series, again: pl.Series, tolerance: Tolerance) -> ColumnDifference:
    largest = None
    differs: NDArray[np.bool_]
    if stored.dtype.is_numeric() and again.dtype.is_numeric():
        one, other = (
            values.cast(pl.Float64).fill_null(float("nan")).to_numpy() for values in (stored, again)
        )
        apart = np.abs(one - other)
        apart[np.isnan(one) & np.isnan(other)] = 0
        differs, beyond = apart != 0, ~(apart <= tolerance.amount)
        largest = float(np.nanmax(apart, initial=0.0))
    elif stored.dtype == again.dtype:
        differs = beyond = stored.ne_missing(again).to_numpy()
    else:
        differs = beyond = np.ones(len(stored), dtype=bool)
    too_many = int(beyond.sum()) > tolerance.share * len(stored)
    return ColumnDifference(
        largest, int(differs.sum()), int(beyond.sum()), tolerance, is_within=not too_many
    )


@dataclass(frozen=True)
class SelectionDifference:
    """How far two selections of one pool differ.

    Parameters
    ----------
    rows : int
        Rows of which one is kept and the other not, or that have another reason.
    kept : int
        Rows of which one is kept and the other not.
    ids : tuple of str
        The first few of the rows that differ.
    """

    rows: int
    kept: int
    ids: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare_selections(stored: pl.DataFrame, again: pl.DataFrame) -> SelectionDifference:
    """Compare what was kept, and why the rest was not, by id."""
    both = stored.select("id", "kept", "reason").join(
        again.select("id", "kept", "reason"), on="id", how="left", maintain_order="left"
    )
    kept = both["kept"].ne_missing(both["kept_right"])
    differ = kept | both["reason"].ne_missing(both["reason_right"])
    ids = both["id"].filter(differ).head(_NAMED).to_list()
    return SelectionDifference(int(differ.sum()), int(kept.sum()), tuple(ids))


def other_records(stored: Pool, again: Pool) -> tuple[int, int]:
    """Return how many rows of two pools of the same samples have another label, another record.

    Records in another format, or with other columns, are not compared.
    """
    order = stored.rows.select("id").join(
        again.rows.select("id").with_row_index("at"), on="id", how="left", maintain_order="left"
    )["at"]
    labels = stored.rows["label"].ne_missing(again.rows["label"].gather(order))
    if stored.source.format != again.source.format or stored.raw.schema != again.raw.schema:
        return int(labels.sum()), 0
    others = 0
    for part, records in side_by_side(stored.raw, again.raw.arrange(order)):
        if not part.equals(records):
            rows = zip(part.rows(), records.rows(), strict=True)
            others += sum(_are_other(one, other) for one, other in rows)
    return int(labels.sum()), others


def _are_other(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return repr(one) != repr(other)  # NaN is not equal to itself
