"""The score table: one row a sample, named columns of numbers, and how they were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from euds.errors import OptionError, did_you_mean
from euds.files.damage import DamagedFileError, parse_json, read_parquet, read_parquet_metadata

__all__ = [
    "MEASURED",
    "PREDICTED",
    "SCORE_COLUMNS",
    "SYNONYMS",
    "ScoreTable",
    "canonical_score",
    "scorer_of",
    "without_times",
]

_PROVENANCE_METADATA = "euds.provenance"
_TOLD = {"pool": str, "settings": dict, "stages": list, "inputs": list, "spent_seconds": dict}

MEASURED, PREDICTED = "measured", "predicted"
"""What the columns ``ge_source`` and ``se_source`` say after a cascade."""

SYNONYMS = {
    "ie_xent": "ie",
    "ge_mte": "ge",
    "se_snne": "se",
    "se_label": "se",
    "perplexity": "ge_nll",
    "length": "words",
}
"""Full names of the default variants, and everyday names, to the columns they stand for."""


SCORE_COLUMNS = (
    *("ie", "ie_plugin", "ie_norm", "ie_char", "words"),
    *("ge", "ge_nll", "ge_gap", "ge_hes", "ge_tokens", "ge_ifd"),
    *("se", "se_chao_shen", "se_discrete", "se_meanings"),
)
"""Every score that there is, whether or not a table has it."""


def canonical_score(name: str) -> str:
    """Return the column that a score's name stands for.

    >>> canonical_score("ie_xent"), canonical_score("ge_gap")
    ('ie', 'ge_gap')
    """
    return SYNONYMS.get(name, name)


def scorer_of(name: str) -> str:
    """Return the scorer that a score comes from.

    >>> scorer_of("words"), scorer_of("ge_nll"), scorer_of("ie_xent")
    ('ie', 'ge', 'ie')

    The second reading that ``ge_ifd`` takes is paid by those who ask for it.

    >>> scorer_of("ge_ifd")
    'ge_ifd'
    """
    column = canonical_score(name)
    return {"words": "ie", "ge_ifd": "ge_ifd"}.get(column, column.split("_")[0])


@dataclass(frozen=True)
class ScoreTable:
    """Scores of a pool's samples; joined by id, never by position.

    Parameters
    ----------
    frame : polars.DataFrame
        ``id``, score columns, and for each scorer ``<scorer>_reason``: null where the score is
        there, else why it is not. After a cascade also ``ge_source`` and ``se_source``: whether a
        score is measured or predicted.
    provenance : dict
        Per scorer what a reader should know (model, prompt, precision); under ``precision`` why
        the language model computes in it; under ``stages`` what was measured and how long it took;
        under ``spent_seconds`` what each scorer cost in all, in this run and earlier ones; under
        ``cascade`` what was predicted instead, and under ``cascade_spent`` what that took. Times
        are not saved.
    """

    frame: pl.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The score columns."""
        return tuple(
            name
            for name, dtype in self.frame.schema.items()
            if dtype.is_numeric() and name not in ("ge_tokens", "se_meanings")
        )

    def require(self, names: Sequence[str]) -> None:
        """Check that the table has these score columns.

        Raises
        ------
        OptionError
            If one is missing.
        """
        for name in names:
            if not self.frame.schema.get(name, pl.String()).is_numeric():
                raise OptionError(
                    f"there is no score {name!r}",
                    got=", ".join(self.names) or "no scores at all",
                    next_step=did_you_mean(name, self.names)
                    or f"score it first: --scores {scorer_of(name)}",
                )

    def save(self, path: Path) -> None:
        """Write the table to one Parquet file that `load` reads."""
        metadata = {_PROVENANCE_METADATA: json.dumps(without_times(self.provenance))}
        self.frame.write_parquet(path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> ScoreTable:
        """Read a table that `save` wrote.

        Raises
        ------
        OSError, polars.exceptions.PolarsError, ValueError
            If the file is damaged, or no score table.
        """
        told = parse_json(read_parquet_metadata(path).get(_PROVENANCE_METADATA, "{}"))
        frame = read_parquet(path)
        _check(frame, told)
        return cls(frame, told)


def _check(frame: pl.DataFrame, provenance: Any) -> None:
    """Check that a file, which may hold anything, holds a score table."""
    if not isinstance(provenance, dict) or not all(
        isinstance(provenance.get(name, kind()), kind) for name, kind in _TOLD.items()
    ):
        raise DamagedFileError("what is said of the scores is not what was written there")
    if not all(isinstance(provenance.get(name, {}), dict) for name in ("ie", "ge", "se")):
        raise DamagedFileError("what is said of a scorer is not what was written there")
    if not all(isinstance(stage, dict) for stage in provenance.get("stages", [])):
        raise DamagedFileError("what is said of the stages is not what was written there")
    if frame.schema.get("id") != pl.String or frame["id"].has_nulls():
        raise DamagedFileError("rows without an id")
    if frame["id"].is_duplicated().any():
        raise DamagedFileError("two rows have the same id")
    for name, dtype in frame.schema.items():
        reason = name.endswith("_reason") or name == "se_option"
        if reason and dtype not in (pl.String, pl.Null):
            raise DamagedFileError(f"the column {name!r} is no text")
        if name in SCORE_COLUMNS and not (dtype.is_numeric() or dtype == pl.Null):
            raise DamagedFileError(f"the column {name!r} holds no numbers")


def without_times(provenance: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs between equal runs, so that equal scores make equal files."""
    stages = [
        {name: stage[name] for name in ("stage", "recipe", "texts")}
        for stage in provenance.get("stages", [])
    ]
    timed = ("spent_seconds", "cascade_spent")
    without = {name: value for name, value in provenance.items() if name not in timed}
    return {**without, "stages": stages}
