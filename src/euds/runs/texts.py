"""Runs that keep no texts: where a command needs them, the input is read once more."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from euds.errors import InputError, UserError
from euds.files.addresses import has_secrets

if TYPE_CHECKING:
    from euds.pool.pool import Pool

__all__ = ["with_texts"]

_STDIN = "-"


def with_texts(pool: "Pool", inputs: Sequence[str], run: Path) -> "Pool":
    """Return the pool of a run with its texts, which are read from its input if it keeps none.

    Raises
    ------
    InputError
        If the input is not to be had, or is not what the run was made of.
    """
    if pool.has_texts:
        return pool
    if _STDIN in inputs:
        raise _not_to_be_had(run, "an input that was read from standard input")
    if any(map(has_secrets, inputs)):
        raise _not_to_be_had(run, "an address with a name, a password or a query, never recorded")
    from euds.reading import read

    source = pool.source
    # What tells itself, by a mark or by being UTF-8, need not be told.
    tells_itself = source.bom or source.encoding == "utf-8"
    try:
        whole = read(
            *inputs,
            text=source.text,
            context=source.context,
            label=source.label,
            id=source.id,
            encoding=None if tells_itself else source.encoding,
            max_rejected=1.0,
        )
    except UserError as error:
        raise _not_to_be_had(run, str(error).splitlines()[0]) from error
    found = _rows_of(pool, whole)
    if found is None:
        raise _not_to_be_had(run, f"other rows in {', '.join(inputs)}")
    return found


def _rows_of(pool: "Pool", whole: "Pool") -> "Pool | None":
    """Return the rows of an input that a pool is made of, in its order; None if one is missing."""
    places = whole.rows.select("id", "key").with_row_index("at")
    rows = pool.rows.select("id", "key").join(
        places, on=["id", "key"], how="left", maintain_order="left"
    )["at"]
    if rows.has_nulls():
        return None
    return replace(
        pool,
        rows=whole.rows[rows],
        wording=whole.wording.arrange(rows),
        raw=whole.raw.arrange(rows),
        source=whole.source,
    )


def _not_to_be_had(run: Path, got: str) -> InputError:
    return InputError(
        "this needs the texts, and the run keeps none (--no-texts)",
        where=str(run),
        got=got,
        expected="the input of the run, unchanged and where it was",
        next_step="put it back, or go where it is; or run 'euds run' again: its scores are kept",
    )
