"""Writing the report of a run, or of a run and its proof.

::

    RUN/
        report.html        everything on one page that fetches nothing
        table.md           verdicts and arms, as Markdown     (with a proof)
        figures/*.svg      the page's figures, one file each  (with a proof)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euds.errors import MissingExtraError
from euds.files.atomic import atomic_write, write_bytes_atomically
from euds.pool.pool import Pool
from euds.scoring.scores import ScoreTable
from euds.selection.selection import Selection

if TYPE_CHECKING:
    from euds.reporting.figures import Section

__all__ = ["REPORT_NAMES", "write_report"]

REPORT_NAMES = ("report.html", "table.md", "figures")
"""What may be written into the folder."""


def write_report(
    folder: Path,
    *,
    pool: Pool,
    table: ScoreTable | None,
    selection: Selection | None,
    summary: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    texts: bool = True,
    command: str | None = None,
) -> list[Path]:
    """Write ``report.html``, and with a proof ``table.md`` and ``figures/*.svg``.

    Parameters
    ----------
    folder : pathlib.Path
        Where to. What is there of an earlier report is replaced, each file as a whole.
    pool : Pool
        What was read.
    table : ScoreTable or None
        Its scores; sections about scores are left out without them.
    selection : Selection or None
        What was chosen.
    summary : mapping
        What `euds.runs.summary.summarise` returns, with ``seconds`` by stage if they are known.
    results : mapping or None
        The proof's results, as described in ``docs/results.md``.
    texts : bool
        Whether texts of the pool may be on the page (at most `euds.reporting.sample.MOST_SAMPLED`,
        shortened). If not, none is in any of the files.
    command : str, optional
        The command that makes all this again; that of the results by default.

    Returns
    -------
    list of pathlib.Path
        The files that were written.

    Raises
    ------
    MissingExtraError
        If the packages of the extra ``report`` are not installed.
    StoreError
        If a file cannot be written.
    """
    with _report_extra():
        from euds.reporting.figures import svg_of
        from euds.reporting.opening import open_report
        from euds.reporting.page import render_page
        from euds.reporting.pool_figures import pool_sections, shown_scores
        from euds.reporting.proof_figures import proof_sections
        from euds.reporting.sample import draw_sample
        from euds.reporting.tables import comparison_table, ledger_tables, origin_tables
    scores = shown_scores(table, selection) if table is not None else ()
    sample = None
    if table is not None and scores:
        sample = draw_sample(pool, table, selection, scores=scores, texts=texts)
    sections: list[Section] = [
        *(proof_sections(results) if results is not None else []),
        *pool_sections(pool, table, selection, sample=sample, summary=summary, results=results),
    ]
    page = render_page(
        opening=open_report(pool, selection, summary=summary, results=results),
        comparisons=comparison_table(results) if results is not None else None,
        sections=sections,
        sample=sample,
        ledger=ledger_tables(summary, results),
        origin=origin_tables(pool, table, selection, results=results),
        command=command or (results or {}).get("command"),
    )
    written = [folder / "report.html"]
    write_bytes_atomically(written[0], page.encode())
    if results is None:
        return written

    from euds.reporting.markdown import markdown_table

    written.append(folder / "table.md")
    write_bytes_atomically(written[-1], markdown_table(results).encode())
    figures = [one for section in sections for one in section.figures]
    with atomic_write(folder / "figures") as aside:
        aside.mkdir()
        for one in figures:
            (aside / f"{one.name}.svg").write_bytes(svg_of(one).encode())
    written += [folder / "figures" / f"{one.name}.svg" for one in figures]
    return written


@contextlib.contextmanager
def _report_extra() -> Iterator[None]:
    """Import packages of the extra ``report`` inside; a missing one becomes one clear sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or "altair"
        if package.partition(".")[0] == "euds":  # a mistake of ours, not of the installation
            raise
        raise MissingExtraError(package, extra="report", purpose="the report") from error
