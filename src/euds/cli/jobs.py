"""What several commands do: read and score, select, prove, and fill the run folder."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euds.cli.options import (
    OutputOptions,
    ProvingOptions,
    ReadingOptions,
    ReportOptions,
    ScoringOptions,
    SelectingOptions,
    read_ids,
    split_names,
)
from euds.cli.output import print_line, stdout_console, tell
from euds.cli.recording import command_line, request_recorded, target_recorded
from euds.errors import OptionError
from euds.files.addresses import last_name, on_record
from euds.runs.texts import with_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from euds.pool.pool import Pool, Texts
    from euds.progress import Ledger, Progress
    from euds.proof.prove import Proof
    from euds.runs.folder import RunFolder
    from euds.scoring.engines.base import Engine
    from euds.scoring.scores import ScoreTable
    from euds.selection.selection import Selection

__all__ = [
    "ablate_and_show",
    "default_folder",
    "finish",
    "progress_for",
    "prove_and_write",
    "read_against",
    "read_and_score",
    "read_like_inputs",
    "read_target",
    "request_of",
    "select_rows",
    "share_in",
    "stability_and_show",
]


def read_and_score(
    inputs: list[str],
    reading: ReadingOptions,
    scoring: ScoringOptions,
    output: OutputOptions,
    out: Path | None,
    selecting: SelectingOptions | None = None,
    *,
    engine: "Engine",
    prepare: "Callable[[Pool, Ledger], Pool] | None" = None,
    beside: str | None = None,
    cascade: Mapping[str, Any] | None = None,
    request: "Callable[[], Mapping[str, Any]] | None" = None,
    held_out: "Callable[[], Mapping[str, Any] | None] | None" = None,
    only: "Callable[[], tuple[str, ...] | None] | None" = None,
) -> "tuple[Ledger, RunFolder, Pool, ScoreTable]":
    """Read and score the input, and save both in the run folder.

    What will be selected by is checked as soon as the input is read, and what its rule works on is
    scored too where no default would. ``prepare`` returns the rows of the input that are scored.
    ``beside`` is a file that is read as well and must not be written over. With ``cascade``, its
    settings, models are asked what decides the selection that ``request`` returns. ``held_out``
    tells what was set apart of the rows, and ``only`` the scores that suffice after all, if not
    what was asked for is needed.
    """
    from dataclasses import asdict

    from euds.progress import Ledger
    from euds.reading import read
    from euds.runs.folder import RunFolder
    from euds.runs.replaying.recording import reading_recorded, scoring_recorded
    from euds.scoring.score import score as score_pool

    ledger = Ledger()
    with ledger.stage("reading"):
        pool = read(*inputs, **asdict(reading))
    if selecting is not None:
        _check_columns(pool, selecting)
    folder = RunFolder.create(out or default_folder(inputs), inputs=inputs, test=beside)
    progress = progress_for(quiet=output.quiet)
    progress.note(f"{len(pool):,} rows read, {pool.rejected.height:,} rejected")
    was_read = reading_recorded(inputs, asdict(reading), pool)
    if prepare is not None:
        pool = prepare(pool, ledger)
    if only is not None and (few := only()) is not None:
        scores, cascade = few, None
    else:
        scores = split_names(scoring.scores) or _default_scores(scoring.task, progress)
        scores = (*scores, *_extra_scores(None if selecting is None else selecting.rule))
    settings = _scoring_settings(scoring, output.seed)
    try:
        with ledger.stage("scoring"):
            wanted = {} if request is None else request()
            if cascade is not None and wanted.get("rule") == "full":
                progress.note("every row is kept, so no model is asked what to keep")
                scores, cascade = ("ie",), None
            if cascade is None:
                table = score_pool(pool, scores, engine=engine, progress=progress, **settings)
            else:
                from euds.selection.cascade.cascade import cascade_scores

                table = cascade_scores(
                    pool,
                    scores,
                    selecting=wanted,
                    engine=engine,
                    progress=progress,
                    **cascade,
                    **settings,
                )
    finally:
        progress.close()
    table.provenance["inputs"] = [on_record(one) for one in inputs]
    table.provenance["request"] = {
        "reading": was_read,
        "held_out": None if held_out is None else held_out(),
        "scoring": scoring_recorded(table),
    }
    with ledger.stage("writing"):
        folder.save_scored(pool, table, texts=not output.no_texts)
    return ledger, folder, pool, table


def _check_columns(pool: "Pool", selecting: SelectingOptions) -> None:
    from euds.selection.groups import check_column
    from euds.selection.quotas import parse_quota
    from euds.writing import check_weights

    if selecting.quota is not None:
        check_column(parse_quota(selecting.quota).column, pool.source)
    if selecting.weights:
        check_weights(pool)


def _default_scores(task: str | None, progress: "Progress") -> tuple[str, ...]:
    if task is not None:
        return ("ie", "ge", "se")
    progress.note(
        "semantic entropy is left out: name the --task (sentiment, topic, yes-no, answer), or ask "
        "for --scores ie,ge,se to compare continuations of the texts"
    )
    return ("ie", "ge")


def _extra_scores(rule: str | None) -> tuple[str, ...]:
    """Return the scores of a rule that are made only if asked for."""
    from euds.scoring.score import SCORERS
    from euds.scoring.scores import SCORE_COLUMNS, scorer_of
    from euds.selection.rules.registry import rule_named

    needed = () if rule is None else rule_named(rule, SCORE_COLUMNS).scores or ()
    return tuple(name for name in needed if scorer_of(name) not in SCORERS)


def default_folder(inputs: list[str], ending: str = "euds") -> Path:
    """Return the run folder's default name: that of the first input, and an ending.

    >>> default_folder(["data/reviews.jsonl.gz"]).name
    'reviews-euds'
    >>> default_folder(["https://host/data/reviews.csv?token=a/b"]).name
    'reviews-euds'
    """
    if inputs[0] == "-":
        return Path(f"stdin-{ending}")
    name = re.sub(r"(\.[a-z]+)?(\.gz|\.zst)?$", "", last_name(inputs[0]), flags=re.IGNORECASE)
    return Path(f"{name.replace('*', '') or 'pool'}-{ending}")


def request_of(selecting: SelectingOptions) -> dict[str, Any]:
    """Return what `select` is asked for, checked as far as it can be without scores."""
    from euds.selection.request import check_request, check_target

    request: dict[str, Any] = {
        "keep": _rows_or_share(selecting),
        "keep_tokens": selecting.keep_tokens,
        "rule": selecting.rule,
        "interval": selecting.interval,
        "entropies": split_names(selecting.entropies),
        "near_duplicates": selecting.near_duplicates,
        "quota": selecting.quota,
        "soft": selecting.soft,
        "use_labels": selecting.use_labels,
    }
    asked = check_request(**request)
    check_target([asked.rule], is_given=selecting.target is not None)
    return {
        **request,
        "always_keep": read_ids(selecting.always_keep),
        "guards": not selecting.no_guards,
        "keep_unusable": selecting.keep_unusable,
    }


def _rows_or_share(selecting: SelectingOptions) -> str | int | None:
    """Return the budget in rows or as a share; one in seconds is one in rows."""
    seconds, row_seconds = selecting.keep_seconds, selecting.row_seconds
    if seconds is None:
        if row_seconds is not None:
            raise OptionError(
                "the seconds of a row are told, and not how many there are",
                where="--row-seconds",
                next_step="give a budget in seconds too: --keep-seconds 600",
            )
        return selecting.keep
    if selecting.keep is not None or selecting.keep_tokens is not None:
        raise OptionError(
            "two budgets were given", expected="one of --keep, --keep-tokens and --keep-seconds"
        )
    if row_seconds is None:
        raise OptionError(
            "a budget in seconds needs to know what training takes a row",
            where="--keep-seconds",
            expected="--row-seconds 0.05, all epochs together",
            next_step="or 'euds run', which times fine-tuning here",
        )
    from euds.proof.planning.training_time import rows_in_time

    return rows_in_time(seconds, row_seconds)


def read_against(
    selecting: SelectingOptions, *, text: str | None, context: str | None
) -> "list[Pool]":
    """Read the files that the subset must not overlap with."""
    wishes = {"text": text, "context": context}
    return [_read_other("--against", path, wishes) for path in selecting.against or ()]


def select_rows(
    pool: "Pool",
    table: "ScoreTable",
    request: dict[str, Any],
    output: OutputOptions,
    ledger: "Ledger",
    *,
    target: "Texts | None",
    engine: "Engine | None" = None,
) -> "tuple[Selection, dict[str, Any] | None]":
    """Select; vectors are made first, so that the ledger tells what they cost.

    Returns also which vectors they are, as the manifest records it.
    """
    from euds.runs.replaying.recording import vectors_recorded
    from euds.selection.request import check_asked
    from euds.selection.select import select
    from euds.selection.sentence_vectors import vectors_for

    asked = check_asked(request, score_names=table.names)
    vectors = None
    if asked.vectors_for is not None:
        progress = progress_for(quiet=output.quiet)
        try:
            with ledger.stage("vectors"):
                vectors, _ = vectors_for(asked, pool, table, engine=engine, progress=progress)
        finally:
            progress.close()
    with ledger.stage("selecting"):
        found = select(pool, table, **request, vectors=vectors, target=target, seed=output.seed)
    return found, vectors_recorded(vectors)


def read_target(path: str | None, pool: "Pool") -> "Texts | None":
    """Read target texts from the columns that the pool's came from; their labels stay behind."""
    from euds.errors import InputError
    from euds.reading import read

    if path is None:
        return None
    source = pool.source
    try:
        return read(path, text=source.text, context=source.context).texts
    except InputError as error:
        error.where = ": ".join(filter(None, (f"--target {on_record(path)}", error.where)))
        raise


def prove_and_write(
    inputs: list[str],
    test: str,
    keeps: tuple[str, ...],
    proving: ProvingOptions,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    report: ReportOptions,
    output: OutputOptions,
    out: Path | None,
) -> None:
    """Prove, write everything into the run folder, and show what was found."""
    from dataclasses import asdict, replace

    from euds.pool.pool import Pool
    from euds.progress import Ledger
    from euds.proof.arms import share_of
    from euds.proof.pipeline import check_rules, prove_rules
    from euds.proof.prove import Proof, make_proof_settings
    from euds.proof.tasks import proof_task_named
    from euds.reading import read
    from euds.reporting.terminal import show_proof
    from euds.runs.folder import RunFolder
    from euds.runs.replaying.recording import (
        again_recorded,
        hold_out_recorded,
        other_recorded,
        reading_recorded,
        scoring_recorded,
        vectors_recorded,
    )
    from euds.scoring.score import SCORERS
    from euds.selection.request import check_target

    rules = split_names(proving.rules)
    entropies = split_names(scoring.scores) or SCORERS
    settings = _proof_settings(proving, scoring, output.seed)
    make_proof_settings(**settings)  # a mistake should not cost the time of reading
    check_target(check_rules(rules, keeps), is_given=proving.target is not None)
    ledger = Ledger()
    with ledger.stage("reading"):
        pool = read(*inputs, **asdict(reading))
        share = share_in(test, option="--test")
        asked = share if share is not None else _read_other("--test", test, asdict(reading))
        target = read_target(proving.target, pool)
    was_read = reading_recorded(inputs, asdict(reading), pool)
    folder = RunFolder.create(
        out or default_folder(inputs, "proof"),
        inputs=inputs,
        test=test if share is None else None,
    )
    progress = progress_for(quiet=output.quiet)
    progress.note(f"{len(pool):,} rows read, {pool.rejected.height:,} rejected")
    if isinstance(asked, Pool) and asked.rejected.height:
        progress.note(f"{asked.rejected.height:,} rows of the test set rejected: {_first(asked)}")
    try:
        proven = prove_rules(
            pool,
            asked,
            rules=rules,
            keeps=keeps,
            entropies=entropies,
            scoring=_scoring_settings(scoring, output.seed),
            proving=settings,
            remove_near_duplicates=not proving.keep_near_duplicates,
            sample=proving.sample,
            target=target,
            progress=progress,
            ledger=ledger,
        )
    finally:
        progress.close()
    results = {
        **proven.proof.results,
        "command": command_line(),
        "subset": {
            "rule": proven.subset.settings["rule"],
            "keep": share_of(proven.subset),
            "rows": len(proven.subset),
        },
    }
    part = other_recorded(test, asdict(reading), asked.texts) if isinstance(asked, Pool) else asked
    request = {
        "reading": was_read,
        "held_out": hold_out_recorded(
            part,
            closed_labels=proof_task_named(str(scoring.task)).kind == "class",
            remove_near_duplicates=not proving.keep_near_duplicates,
            sample=proving.sample,
            seed=output.seed,
        ),
        "scoring": scoring_recorded(proven.table),
    }
    table = replace(
        proven.table,
        provenance={
            **proven.table.provenance,
            **{"inputs": [on_record(one) for one in inputs], "test": on_record(test)},
            "request": request,
        },
    )
    folder.save_scored(proven.held.pool, table, texts=not output.no_texts)
    finish(
        folder,
        proven.held.pool,
        table,
        proven.subset,
        ledger,
        output,
        inputs,
        report=report,
        proof=Proof(results),
        left_out=proven.held.left_out(pool),
        asked=again_recorded(
            proven.subset,
            target=target_recorded(proving.target, proven.held.pool, target),
            vectors=vectors_recorded(proven.vectors, proving.train_encoder),
        ),
        base=Path.cwd(),
    )
    if output.as_json:
        print_line(json.dumps(results, ensure_ascii=False))
    else:
        show_proof(results, folder.path, stdout_console())


def ablate_and_show(
    inputs: list[str],
    test: str,
    keep: str,
    proving: ProvingOptions,
    reading: ReadingOptions,
    scoring: ScoringOptions,
    output: OutputOptions,
) -> None:
    """Train rules, rows as long as theirs and random rows, and show what length alone gives."""
    from dataclasses import asdict

    from euds.progress import Ledger
    from euds.proof.ablation import ablate
    from euds.proof.pipeline import check_rules
    from euds.proof.prove import make_proof_settings
    from euds.reading import read
    from euds.scoring.score import SCORERS

    rules = split_names(proving.rules)
    settings = _proof_settings(proving, scoring, output.seed)
    make_proof_settings(**settings)  # a mistake should not cost the time of reading
    check_rules(rules, (keep,))
    ledger = Ledger()
    with ledger.stage("reading"):
        pool = read(*inputs, **asdict(reading))
        share = share_in(test, option="--test")
        asked = share if share is not None else _read_other("--test", test, asdict(reading))
    progress = progress_for(quiet=output.quiet)
    try:
        found = ablate(
            pool,
            asked,
            rules=rules,
            keep=keep,
            entropies=split_names(scoring.scores) or SCORERS,
            scoring=_scoring_settings(scoring, output.seed),
            proving=settings,
            remove_near_duplicates=not proving.keep_near_duplicates,
            sample=proving.sample,
            progress=progress,
            ledger=ledger,
        )
    finally:
        progress.close()
    if output.as_json:
        print_line(json.dumps(found, ensure_ascii=False))
        return
    warnings = [f"warning: {one}" for one in found["warnings"]]
    for line in (*found["sentences"], *warnings, found["scope"]):
        print_line(line)


def stability_and_show(
    run: Path, others: list[Path], *, seeds: int, quiet: bool, as_json: bool
) -> None:
    """Select again in other ways, write what stays into the run folder, and show it."""
    from euds.errors import InputError
    from euds.reporting.terminal import show_stability
    from euds.runs.folder import RunFolder
    from euds.selection.selection import Selection
    from euds.selection.stability import stability

    folder = RunFolder.open(run)
    pool, table = folder.load_scored()
    pool = with_texts(pool, table.provenance["inputs"], run)
    settings = folder.manifest.get("summary", {}).get("settings")
    if settings is None:
        raise InputError(
            "nothing was selected in this run yet",
            where=str(run),
            next_step=f"euds select {run} --keep 0.16",
        )
    progress = progress_for(quiet=quiet)
    try:
        found = stability(
            Selection(pool, folder.load_selection(pool), settings),
            table,
            others={str(other): RunFolder.open(other).load_scores() for other in others},
            seeds=seeds,
            progress=progress,
        )
    finally:
        progress.close()
    told = found.to_dict()
    path = folder.save_stability(told)
    if as_json:
        print_line(json.dumps(told, ensure_ascii=False))
    else:
        show_stability(told, path, stdout_console())


def read_like_inputs(path: str, reading: ReadingOptions, *, option: str) -> "Pool":
    """Read rows beside the pool as the pool is read; an error says which of the two it is about."""
    from dataclasses import asdict

    return _read_other(option, path, asdict(reading))


def _read_other(option: str, path: str, wishes: Mapping[str, Any]) -> "Pool":
    """Read what is not the pool; an error says which option it is about."""
    from euds.errors import InputError
    from euds.reading import read

    try:
        return read(path, **wishes)
    except InputError as error:
        error.where = ": ".join(filter(None, (f"{option} {on_record(path)}", error.where)))
        raise


def _first(pool: "Pool") -> str:
    """Return the place and the reason of the first row that was refused."""
    row = pool.rejected.row(0, named=True)
    return f"{row['file']}:{row['line']} {row['reason']}"


def share_in(text: str, *, option: str) -> float | None:
    """Return the share that rows to hold out are given as, None where it is a file."""
    try:
        share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise OptionError(
            "that share of the rows cannot be held out",
            where=option,
            got=text,
            expected="a share between 0 and 1 such as 0.2, or a file",
        )
    return share


def _proof_settings(proving: ProvingOptions, scoring: ScoringOptions, seed: int) -> dict[str, Any]:
    return {
        "task": scoring.task,
        "trainer": proving.trainer,
        "encoder": proving.train_encoder,
        "seeds": proving.seeds,
        "seed": seed,
        "regime": proving.regime,
        "margin_points": proving.margin,
        "epochs": proving.epochs,
        "batch_size": proving.batch_size,
        "max_tokens": proving.train_tokens,
        "learning_rate": proving.learning_rate,
        "precision": scoring.precision,
        "train_cost": proving.train_cost,
    }


def _scoring_settings(scoring: ScoringOptions, seed: int) -> dict[str, Any]:
    from dataclasses import asdict

    settings = asdict(scoring)
    del settings["scores"]
    settings["options"] = split_names(settings["options"])
    settings["prompts"] = tuple(settings.pop("prompt") or ())
    return {**settings, "seed": seed}


def finish(
    folder: "RunFolder",
    pool: "Pool",
    table: "ScoreTable",
    selection: "Selection | None",
    ledger: "Ledger",
    output: OutputOptions,
    inputs: list[str],
    *,
    report: ReportOptions | None = None,
    weights: bool = False,
    proof: "Proof | None" = None,
    left_out: "pl.DataFrame | None" = None,
    no_subset: bool = False,
    findings: "Mapping[str, Any] | None" = None,
    asked: "Mapping[str, Any] | None" = None,
    base: Path | None = None,
) -> None:
    """Write what is left to write, the manifest last, and show the summary.

    ``findings`` are what labels were asked, by name: they go into the summary. ``asked`` is what
    `select` was asked, and ``base`` where the names of the inputs start from.
    """
    from euds.reporting.terminal import show_summary
    from euds.runs.summary import summarise

    texts = not output.no_texts
    summary = {**summarise(pool, table, selection, texts=texts), **(findings or {})}
    certificate = summary.get("certificate")
    summary["warnings"] += summary.pop("notes", [])
    summary["warnings"] += certificate["warnings"] if certificate is not None else []
    files = {"folder": str(folder.path)}
    with ledger.stage("writing"):
        if selection is not None:
            files |= _save_selection(folder, selection, output, no_subset, weights=weights)
            summary["settings"] = {**selection.settings, "weights": weights}
        if proof is not None and left_out is not None:
            files["results"] = str(folder.save_results(proof.results, left_out))
        if certificate is not None and left_out is not None:
            files["certificate"] = str(folder.save_certificate(certificate, left_out))
    if report is not None and selection is not None and not report.no_report:
        with ledger.stage("report"):
            page = _write_report(folder, pool, table, selection, summary, proof, texts=texts)
        if page is not None:
            files["report"] = page
    if pool.rejected.height:
        files["rejected"] = str(folder.path / "rejected.jsonl")
    summary["measured"] = sum(
        stage.get("measured", 0) for stage in table.provenance.get("stages", [])
    )
    summary["seconds"] = ledger.seconds
    summary["files"] = files
    folder.save_manifest(
        {
            "inputs": [on_record(one) for one in inputs],
            "pool": {"rows": len(pool), "fingerprint": pool.fingerprint},
            "provenance": {
                name: value for name, value in table.provenance.items() if name != "request"
            },
            "request": request_recorded(folder, table, asked, base),
            # The examples hold texts, which have no business in a manifest.
            "summary": {
                part: value
                for part, value in summary.items()
                if part not in ("examples", "unusable_examples")
            },
        }
    )
    if proof is not None:
        return
    if output.as_json:
        print_line(json.dumps(summary, ensure_ascii=False))
    else:
        show_summary(summary, stdout_console())


def _save_selection(
    folder: "RunFolder",
    selection: "Selection",
    output: OutputOptions,
    no_subset: bool,
    *,
    weights: bool,
) -> dict[str, str]:
    """Write what was chosen, and return what to tell of it: a path by name."""
    wanted = not (no_subset or output.no_texts)
    subset = folder.save_selection(selection, subset=wanted, weights=weights)
    if subset is not None:
        return {"subset": str(subset)}
    return {"selection": str(folder.path / "selection.parquet")} if output.no_texts else {}


def _write_report(
    folder: "RunFolder",
    pool: "Pool",
    table: "ScoreTable",
    selection: "Selection",
    summary: dict[str, Any],
    proof: "Proof | None",
    *,
    texts: bool,
) -> str | None:
    """Write the report and return the page's path; None where its packages are not installed."""
    from euds.errors import MissingExtraError
    from euds.reporting import write_report

    try:
        written = write_report(
            folder.path,
            pool=pool,
            table=table,
            selection=selection,
            summary=summary,
            results=None if proof is None else proof.results,
            texts=texts,
            command=command_line(),
        )
    except MissingExtraError as error:
        # The subset is there all the same; the page is an extra in both senses.
        tell(f"no report was written: {error}")
        return None
    return str(written[0])


def progress_for(*, quiet: bool) -> "Progress":
    """Return what a command tells its progress to."""
    from euds.progress import SilentProgress, TerminalProgress

    return SilentProgress() if quiet else TerminalProgress()
