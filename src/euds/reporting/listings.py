"""Tables for the eye: rows of a run, models and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.table import Table

from euds.errors import InputError, OptionError, did_you_mean
from euds.progress import verbatim
from euds.runs.folder import RunFolder
from euds.runs.summary import shorten
from euds.scoring.scores import PREDICTED

if TYPE_CHECKING:
    from euds.models.sources import KnownModel
    from euds.reading.datasets import Dataset

__all__ = ["rows_of", "show_datasets", "show_models", "show_rows"]

_SHOWN_SCORES = ("words", "ie", "ge", "se", "se_option")


def rows_of(
    folder: RunFolder,
    *,
    kept: bool | None = None,
    unusable: bool = False,
    reason: str | None = None,
    contains: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """Return rows of a run with text, scores, fate and ranks.

    Parameters
    ----------
    folder : RunFolder
        The run.
    kept : bool, optional
        Only kept rows, or only dropped ones.
    unusable : bool
        Only rows outside the bulk, the farthest first.
    reason : str, optional
        Only rows dropped for this reason.
    contains : str, optional
        Only rows whose text contains this, as it stands; not where a run keeps no texts.
    sort : str, optional
        The column to sort by, with a minus in front for descending.
    limit : int, optional
        The most rows to return.
    """
    pool, table = folder.load_scored()
    if contains is not None and not pool.has_texts:
        raise InputError(
            "no text can be looked for: the run keeps none (--no-texts)",
            where=str(folder.path),
            next_step="look in the input, and ask 'euds why' about its rows",
        )
    rows = (
        pool.rows.select("id", "file", "line", "label")
        .with_row_index("at")
        .join(table.frame, on="id", how="left", maintain_order="left")
        .join(folder.load_selection(pool), on="id", how="left", maintain_order="left")
    )
    if kept is not None:
        rows = rows.filter(pl.col("kept") == kept)
    if unusable:
        far = rows.filter("unusable") if "unusable" in rows.columns else rows.clear()
        rows = far.sort("distance", "id", descending=[True, False])
    if reason is not None:
        _check_known(reason, rows["reason"].drop_nulls().unique().to_list(), "reason")
        rows = rows.filter(pl.col("reason") == reason)
    if contains is not None:
        parts = pool.wording.parts(columns=["text"])
        has_it = pl.concat(part["text"].str.contains(contains, literal=True) for part in parts)
        rows = rows.filter(has_it.gather(rows["at"]))
    if sort is not None:
        column = sort.removeprefix("-")
        _check_known(column, ["text", *rows.drop("at").columns], "column")
        if column == "text":
            rows = rows.with_columns(pool.wording.take(rows["at"], columns=["text"]))
        rows = rows.sort(column, descending=sort.startswith("-"), nulls_last=True)
    rows = rows if limit is None else rows.head(limit)
    texts = pool.wording.take(rows["at"], columns=["text"])["text"]
    rows = rows.drop("at", "text", strict=False)
    return rows.insert_column(rows.columns.index("label"), texts)


def _check_known(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        raise OptionError(
            f"there is no {what} {name!r}",
            expected=", ".join(sorted(known)) or "none: no row was dropped",
            next_step=did_you_mean(name, known),
        )


def show_rows(rows: pl.DataFrame, console: Console) -> None:
    """Print rows, one line each; a predicted score has a tilde; without texts, where they are."""
    scores = [name for name in _SHOWN_SCORES if name in rows.columns]
    # The text gives way where there is little room, and nothing else does.
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("id", no_wrap=True)
    for name in scores:
        table.add_column(name, no_wrap=True, justify="left" if name == "se_option" else "right")
    table.add_column("fate", no_wrap=True)
    has_texts = not rows["text"].has_nulls()
    table.add_column("text" if has_texts else "place", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in rows.iter_rows(named=True):
        values = [(row[name], row.get(f"{name}_source") == PREDICTED) for name in scores]
        table.add_row(
            verbatim(shorten(row["id"])),
            *(
                f"{'~' if is_guess else ''}{value:.3f}"
                if isinstance(value, float)
                else verbatim(str(value if value is not None else "-"))
                for value, is_guess in values
            ),
            "[green]kept[/]" if row["kept"] else f"[red]{verbatim(row['reason'])}[/]",
            verbatim(shorten(row["text"]) if has_texts else f"{row['file']}:{row['line']}"),
        )
    console.print(table)


def show_models(models: Sequence[KnownModel], console: Console) -> None:
    """Print the models that have a name, and whether they are on this machine."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "what", "size", "licence", "here", "from"):
        table.add_column(name)
    for one in models:
        table.add_row(
            one.name,
            one.description,
            f"{one.size_bytes / 1e6:,.0f} MB" if one.size_bytes else "-",
            one.licence or "-",
            "yes" if one.present else f"no: euds models get {one.name}",
            verbatim(one.source),
        )
    console.print(table)


def show_datasets(datasets: Sequence[Dataset], console: Console) -> None:
    """Print the data sets that have a name."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "rows", "what", "licence"):
        table.add_column(name)
    for one in datasets:
        table.add_row(one.name, f"{one.rows:,}", one.description, one.licence)
    console.print(table)
    console.print("Write one with: euds data NAME -o FILE", highlight=False)
