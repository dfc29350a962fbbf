"""What `euds pilot` does: whether selecting can help, and which command to give next."""

import json
import shlex
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from euds.cli.jobs import progress_for
from euds.cli.options import ReadingOptions
from euds.cli.output import print_line, stdout_console
from euds.errors import InputError, OptionError
from euds.files.addresses import on_record
from euds.runs.texts import with_texts

if TYPE_CHECKING:
    from euds.pool.pool import Pool
    from euds.scoring.scores import ScoreTable

__all__ = ["PilotOptions", "pilot_and_show"]

_PANEL = "Pilot"
_OUTPUT = "Output"
_AS_READ = ReadingOptions()


@dataclass(frozen=True)
class PilotOptions:
    """What the pilot asks, and how sure it wants to be."""

    keep: Annotated[
        str,
        typer.Option(
            help="The budget: a share (0.16, 16%) or a number of rows (500).",
            rich_help_panel=_PANEL,
        ),
    ] = "16%"
    task: Annotated[
        str | None,
        typer.Option(
            help="sentiment, topic or yes-no: for the command to give next; to a probe all are "
            "the same.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    margin: Annotated[
        float,
        typer.Option(help="Gain in points from which on it counts.", rich_help_panel=_PANEL),
    ] = 1.0
    draws: Annotated[
        int,
        typer.Option(
            min=2, help="How often all random rows are drawn anew.", rich_help_panel=_PANEL
        ),
    ] = 5
    train_encoder: Annotated[
        str,
        typer.Option(
            help="Frozen encoder of the probe: an alias, a folder or a hub name.",
            rich_help_panel=_PANEL,
        ),
    ] = "minilm-l6"
    train_tokens: Annotated[
        int,
        typer.Option(
            min=8,
            help="Train on a row's first so many tokens, context included.",
            rich_help_panel=_PANEL,
        ),
    ] = 128
    precision: Annotated[
        str, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=_PANEL)
    ] = "auto"
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.", rich_help_panel=_PANEL)] = 0
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object.", rich_help_panel=_OUTPUT)
    ] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="No progress on stderr.", rich_help_panel=_OUTPUT),
    ] = False


def pilot_and_show(inputs: list[str], reading: ReadingOptions, options: PilotOptions) -> None:
    """Run the pilot on files or on a scored run, and show what it found and what to do next.

    Raises
    ------
    OptionError
        If what is asked makes no sense.
    InputError
        If there is nothing to learn from: no labels, and no answers of a language model.
    """
    run = _run_in(inputs)
    _check(reading, options, run)
    from euds.progress import Ledger
    from euds.proof.planning.pilot import pilot
    from euds.reporting.terminal import show_pilot

    ledger = Ledger()
    with ledger.stage("reading"):
        pool, table = _read(inputs, reading, run)
    _check_something_is_left_out(pool, options.keep)
    progress = progress_for(quiet=options.quiet)
    try:
        found = pilot(
            pool,
            keep=options.keep,
            scores=table,
            margin_points=options.margin,
            draws=options.draws,
            seed=options.seed,
            encoder=options.train_encoder,
            max_tokens=options.train_tokens,
            precision=options.precision,
            ledger=ledger,
            progress=progress,
        ).results
    finally:
        progress.close()
    asking = _Asking([on_record(one) for one in inputs], reading, options, run)
    if found["source"] is None:
        raise _nothing_to_learn(pool, table, asking)
    advice, command = _next(found, asking, pool_rows=len(pool))
    told = {
        **found,
        "pool_rows": len(pool),
        "uses_labels": found["source"] == "labels",
        "advice": advice,
        "command": command,
        "seconds": ledger.seconds,
    }
    if options.as_json:
        print_line(json.dumps(told, ensure_ascii=False))
    else:
        show_pilot(told, stdout_console())


def _run_in(inputs: list[str]) -> Path | None:
    """Return the run folder that was named, None where files were."""
    folder = Path(inputs[0])
    return folder if len(inputs) == 1 and (folder / "pool.parquet").is_file() else None


def _check(reading: ReadingOptions, options: PilotOptions, run: Path | None) -> None:
    """Refuse what makes no sense before anything is read."""
    from euds.proof.planning.learning_curve import check_margin
    from euds.proof.tasks import proof_task_named
    from euds.selection.request import parse_budget

    if run is not None and (given := _flags(reading)):
        raise OptionError(
            "a run is read as it was made",
            where=str(run),
            got=shlex.join(given),
            next_step="leave these out, or name the input instead of the run",
        )
    check_margin(options.margin)
    parse_budget(options.keep)
    if options.task is not None and proof_task_named(options.task).kind != "class":
        raise OptionError(
            "a pilot needs answers that are classes",
            where="--task",
            got=options.task,
            expected="sentiment, topic or yes-no",
            next_step="to know how many rows free answers need: euds curve",
        )


def _check_something_is_left_out(pool: "Pool", keep: str) -> None:
    from euds.selection.request import parse_budget

    if (rows := parse_budget(keep).rows(len(pool))) >= len(pool):
        raise OptionError(
            "the budget leaves no row out, so there is nothing to select",
            where="--keep",
            got=f"{keep}, {rows:,} of {len(pool):,} rows",
            expected="fewer rows than there are",
        )


def _read(
    inputs: list[str], reading: ReadingOptions, run: Path | None
) -> "tuple[Pool, ScoreTable | None]":
    if run is None:
        from euds.reading import read

        return read(*inputs, **asdict(reading)), None
    from euds.runs.folder import RunFolder

    pool, table = RunFolder(run).load_scored()
    return with_texts(pool, table.provenance["inputs"], run), table


def _flags(reading: ReadingOptions) -> list[str]:
    """Return the options of reading as they were given."""
    parts = []
    for one in fields(reading):
        value = getattr(reading, one.name)
        if value != getattr(_AS_READ, one.name):
            parts += [f"--{one.name.replace('_', '-')}", str(value)]
    return parts


@dataclass(frozen=True)
class _Asking:
    """Says commands about the same rows."""

    inputs: list[str]
    reading: ReadingOptions
    options: PilotOptions
    run: Path | None

    def say(self, verb: str, *more: str, keep: str | None = None, task: bool = False) -> str:
        """Return a command to copy: with the budget, and with the task where it was told."""
        parts = ["euds", verb, *self.inputs, *_flags(self.reading)]
        if task and self.options.task is not None and self.run is None:
            parts += ["--task", self.options.task]
        return shlex.join([*parts, "--keep", keep or self.options.keep, *more])

    def random_rows(self) -> str:
        """Return the command that keeps random rows, and asks no model for it."""
        if self.run is not None:
            return self.say("select", "--rule", "random")
        return self.say("run", "--rule", "random", "--scores", "ie")

    def again(self, rows: int) -> str:
        """Return the same question about another budget."""
        return self.say("pilot", *self._terms(), keep=str(rows), task=True)

    def proof(self) -> str:
        """Return the command that trains on what would be selected, and on random rows."""
        how = ("--test", "0.2", "--trainer", "probe", "--rules", "auto,auto-labels")
        return self.say("prove", *how, *self._terms(), task=True)

    def _terms(self) -> list[str]:
        """Return the margin and the encoder, where they are not the default."""
        given = {"--margin": "margin", "--train-encoder": "train_encoder"}
        return [
            part
            for option, name in given.items()
            if getattr(self.options, name) != getattr(PilotOptions, name)
            for part in (option, str(getattr(self.options, name)))
        ]


def _next(found: dict[str, Any], asking: _Asking, *, pool_rows: int) -> tuple[str, str]:
    """Return what to do next: a sentence and a command."""
    by_labels = found["source"] == "labels"
    labels = ["--use-labels"] if by_labels else []
    if found["can_help"] == "no":
        return (
            "keep random rows: scores can hardly pay here, so no language model need be asked",
            asking.random_rows(),
        )
    if found["can_help"] == "unknown":
        doubled = 2 * found["budget_rows"]
        if found["rows"][-1] >= doubled and doubled < pool_rows:
            return (
                "a probe learns next to nothing from so few rows; ask about a larger budget",
                asking.again(doubled),
            )
        return (
            "nothing here says that some rows are better than others, and random ones cost nothing",
            asking.random_rows(),
        )
    certain = found["can_help"] == "yes"
    if asking.run is not None:
        return (
            "the scores are there, so selecting by them costs next to nothing"
            + ("; it may look at the labels too" if by_labels else ""),
            asking.say("select", *labels),
        )
    if not certain and asking.options.task is not None:
        return (
            "it may or may not pay; a proof on rows held apart tells",
            asking.proof(),
        )
    how = "select, and let it look at the labels too"
    unsure = "it may or may not pay (with --task this names a proof that tells); "
    return (how if certain else unsure + how, asking.say("run", *labels, task=True))


def _nothing_to_learn(pool: "Pool", table: "ScoreTable | None", asking: _Asking) -> InputError:
    from euds.proof.planning.learning_curve import LEAST_LABELLED

    got = (
        f"{pool.rows['label'].count():,} of {len(pool):,} rows with a label, "
        f"{len(pool.label_names):,} different ones"
    )
    if table is not None:
        answers = table.frame["se_option"] if "se_option" in table.frame.columns else None
        got += (
            "; no answers of a language model to choose from a closed set"
            if answers is None
            else f"; {answers.count():,} answers of the language model, "
            f"{answers.drop_nulls().n_unique():,} different ones"
        )
    if asking.run is None or table is None:
        inputs, reading = asking.inputs, asking.reading
    else:
        inputs, reading = table.provenance["inputs"], _as_recorded(table)
    out = "RUN" if asking.run is None else str(asking.run)
    bare = [*inputs, *_flags(replace(reading, label=None))]
    label = shlex.join(["euds", "pilot", *bare, "--label", "COLUMN"])
    score = shlex.join(["euds", "score", *bare, "--task", "topic", "--options", "A,B,C"])
    return InputError(
        "the pilot has nothing to learn from",
        where=", ".join(asking.inputs),
        got=got,
        expected=f"{LEAST_LABELLED} distinct texts or more with a label, in two classes or more "
        "with ten rows each in the mean",
        next_step=f"name the column of labels: {label}\n"
        f"            or let a language model answer instead: {score} "
        f"--out {shlex.quote(out)}, then: euds pilot {shlex.quote(out)}",
    )


def _as_recorded(table: "ScoreTable") -> ReadingOptions:
    """Return how the input of a run was read, as far as the run recorded it."""
    asked = table.provenance.get("request", {}).get("reading", {})
    names = [one.name for one in fields(ReadingOptions)]
    return replace(_AS_READ, **{name: asked[name] for name in names if name in asked})
