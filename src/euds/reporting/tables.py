"""Tables of the page: comparisons, the ledger, and the settings that made it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from euds.files.environment import package_versions
from euds.pool.pool import Pool
from euds.reporting.wording import (
    NOTHING,
    between,
    count,
    duration,
    one_line,
    share,
    signed_points,
    times,
)
from euds.scoring.scores import ScoreTable
from euds.selection.selection import Selection

__all__ = ["Table", "comparison_table", "ledger_tables", "origin_tables"]


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Parameters
    ----------
    title : str
        Its caption.
    head : tuple of str
        Names of the columns; empty for a list of names and values.
    rows : list of tuple of str
        The cells.
    note : str
        What a reader must know of its numbers; may be empty.
    """

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


def comparison_table(results: Mapping[str, Any]) -> Table | None:
    """Return every comparison with its interval and decision."""
    if not results["comparisons"]:
        return None
    return Table(
        "Comparisons, in points",
        (
            "arm",
            "against",
            "difference",
            "95 %",
            "detectable",
            "decision",
            "to decide",
        ),
        [
            (
                one_line(one["arm"]),
                one_line(one["against"]),
                signed_points(one["difference_points"]),
                between(one["low_points"], one["high_points"], signed=True),
                signed_points(one["smallest_detectable_points"]).lstrip("+"),
                one["decision"],
                _needed(one.get("needed")),
            )
            for one in results["comparisons"]
        ],
        "“Detectable” is the difference that this proof would have found four "
        "times in five; “to decide” is what would probably be enough where it cannot tell.",
    )


def _needed(needed: Mapping[str, Any] | None) -> str:
    if not needed:
        return ""
    ways = [
        f"{count(needed[key])} {word}"
        for key, word in (("seeds", "seeds"), ("test_rows", "test rows"))
        if needed.get(key) is not None
    ]
    return " or ".join(ways)


def ledger_tables(summary: Mapping[str, Any], results: Mapping[str, Any] | None) -> list[Table]:
    """Return where the time went: by stage, by arm, and as expected for another model."""
    ledger = (results or {}).get("ledger") or {}
    tables = []
    arms = ledger.get("arms") or []
    if arms:
        full = ledger.get("full_seconds")
        note = (
            f"Measured. Full is training and evaluating everything once: {duration(full)}."
            if full is not None
            else "Measured."
        )
        tables.append(_arms_table("By arm", arms, note))
    target = ledger.get("target")
    if target and target.get("arms"):
        tables.append(
            _arms_table(
                f"Expected, not measured, for a training cost of {one_line(target['train_cost'])}",
                target["arms"],
                "Computed from the training cost that was given"
                + (
                    f" ({target['seconds_a_row']:.3g} s a row and epoch)"
                    if target.get("seconds_a_row") is not None
                    else ""
                )
                + ", not measured; selecting as measured here.",
            )
        )
    stages = ledger.get("stages") or summary.get("seconds") or {}
    if stages:
        peak = ledger.get("peak_memory_mib")
        tables.append(
            Table(
                "By stage",
                ("stage", "time"),
                [(one_line(stage), duration(seconds)) for stage, seconds in stages.items()],
                f"Most memory used: {count(peak)} MiB." if peak is not None else "",
            )
        )
    return tables


def _arms_table(title: str, arms: Sequence[Mapping[str, Any]], note: str) -> Table:
    return Table(
        title,
        ("arm", "selecting", "one training", "in all", "share of full", "pays after"),
        [
            (
                one_line(one["arm"]),
                duration(one["selecting_seconds"]),
                duration(one["training_seconds"]),
                duration(one["total_seconds"]),
                share(one["share_of_full"]),
                _pays(one),
            )
            for one in arms
        ],
        f"{note} “Pays after” is the number of trainings that must share the subset before "
        f"selecting it has paid for itself.",
    )


def _pays(one: Mapping[str, Any]) -> str:
    if one["arm"] == "full":
        return NOTHING
    needed = one["break_even_trainings"]
    if needed is None:
        return "never"
    spoken = times(max(needed, 1.0))
    return f"{spoken} training" + ("" if spoken == "1" else "s")


def origin_tables(
    pool: Pool,
    table: ScoreTable | None,
    selection: Selection | None,
    *,
    results: Mapping[str, Any] | None,
) -> list[Table]:
    """Return the settings, the hashes and the versions behind the page."""
    proof = results or {}
    found = {
        "Selecting": selection.settings if selection is not None else {},
        "Scoring": (table.provenance.get("settings") or {}) if table is not None else {},
        "Proof": {"task": proof.get("task"), **(proof.get("settings") or {})} if proof else {},
        "Rows": _rows(pool, results),
        "Hashes": _hashes(pool, table, results),
        "Versions": proof.get("versions") or package_versions(),
        "Machine": {**(proof.get("machine") or {}), "written": proof.get("written")},
    }
    tables = [Table(title, (), _flat(values)) for title, values in found.items()]
    return [one for one in tables if one.rows]


def _rows(pool: Pool, results: Mapping[str, Any] | None) -> dict[str, Any]:
    if results is None:
        return {"pool": len(pool), "rejected": pool.rejected.height}
    return {
        "pool": results["pool"]["rows"],
        "rejected": pool.rejected.height,
        "taken out": results["pool"].get("taken_out"),
        "test": results["test"]["rows"],
    }


def _hashes(
    pool: Pool, table: ScoreTable | None, results: Mapping[str, Any] | None
) -> dict[str, Any]:
    hashes: dict[str, Any] = {"pool": pool.fingerprint}
    if results is not None:
        hashes = {
            "pool": results["pool"].get("fingerprint"),
            "test": results["test"].get("fingerprint"),
        }
    if table is not None:
        for stage in table.provenance.get("stages", []):
            recipe = stage.get("recipe", {})
            for name in ("model", "encoder", "entailment"):
                value = recipe.get("parameters", {}).get(name)
                if isinstance(value, str):
                    hashes[f"{name} of {recipe.get('name')}"] = value
    return hashes


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, ...]]:
    """Return names and values, nested names joined by a space; what is not set is left out."""
    rows: list[tuple[str, ...]] = []
    for name, value in values.items():
        full = f"{prefix}{one_line(name)}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{full} ")
        elif isinstance(value, list | tuple):
            if value:
                rows.append((full, ", ".join(map(one_line, value))))
        elif value is not None:
            rows.append((full, one_line(value)))
    return rows
