"""The options of the command line, in groups that several commands share.

A group is a dataclass whose fields are typer options; `grouped` lets a command take whole groups as
parameters. So every option is written down once, wherever it is used.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

__all__ = [
    "CascadeOptions",
    "EngineOptions",
    "LabelOptions",
    "OutputOptions",
    "ProvingOptions",
    "ReadingOptions",
    "ReportOptions",
    "ScoringOptions",
    "SelectingOptions",
    "grouped",
    "read_ids",
    "split_names",
]


def _option(panel: str, help_text: str, *names: str, **details: Any) -> Any:
    # A default that is no plain value stands at the end of the help, after a bar.
    text, _, default = help_text.partition(" | ")
    if default:
        details["show_default"] = default
    return typer.Option(*names, help=text, rich_help_panel=panel, **details)


_read = functools.partial(_option, "Reading")
_score = functools.partial(_option, "Scoring")
_cascade = functools.partial(_option, "Cascade")
_engine = functools.partial(_option, "Engine")
_select = functools.partial(_option, "Selecting")
_prove = functools.partial(_option, "Proving")
_label = functools.partial(_option, "With labels")
_output = functools.partial(_option, "Output")


Target = Annotated[
    str | None,
    _select(
        "Texts like those that matter, for the rule dsir: a file like INPUT. No label is used."
    ),
]


@dataclass(frozen=True)
class ReadingOptions:
    """How the input is read."""

    text: Annotated[
        str | None,
        _read("Column of the text, or a template such as '{passage} {question}'."),
    ] = None
    context: Annotated[
        str | None, _read("Column or template of what the text is conditioned on.")
    ] = None
    label: Annotated[
        str | None,
        _read(
            "Column of the label. Its distinct names may serve as options; a row's own label "
            "reaches no scorer."
        ),
    ] = None
    id: Annotated[str | None, _read("Column of the id.")] = None
    encoding: Annotated[
        str | None,
        _read("Text encoding, for example cp1252. | UTF-8, or by byte order mark"),
    ] = None
    max_rejected: Annotated[
        float, _read("Share of rows that may be unusable before the run stops.", min=0, max=1)
    ] = 0.01


@dataclass(frozen=True)
class ScoringOptions:
    """What is scored, and with which models."""

    scores: Annotated[
        str | None,
        _score(
            "Entropies to score: some of ie,ge,se; ge_ifd, for texts with a context. | ie,ge; with "
            "--task ie,ge,se"
        ),
    ] = None
    task: Annotated[
        str | None,
        _score("sentiment, topic, yes-no or answer: how semantic entropy is had."),
    ] = None
    options: Annotated[
        str | None,
        _score("Closed set of answers, comma separated. | the distinct label names"),
    ] = None
    prompt: Annotated[
        list[str] | None,
        _score(
            "Your own prompt with {text}, and if you like {context} and {options}; 'chat:' in "
            "front for a chat message. Repeatable."
        ),
    ] = None
    calibration: Annotated[
        str, _score("Of the options' probabilities: mean, content-free or none.")
    ] = "mean"
    model: Annotated[
        str,
        _score("Language model: an alias ('euds models'), a folder, a .gguf file or a hub name."),
    ] = "smollm2-135m"
    encoder: Annotated[
        str, _score("Sentence encoder that tells whether sampled answers mean the same.")
    ] = "minilm-l6"
    entailment: Annotated[
        str | None, _score("Entailment model to compare answers with, instead of the encoder.")
    ] = None
    precision: Annotated[str, _score("auto, float32 or bfloat16.")] = "auto"
    max_tokens: Annotated[
        int, _score("Score a text's first so many tokens: what training will see.", min=1)
    ] = 128
    max_context_tokens: Annotated[int, _score("The same for the context.", min=0)] = 256
    answers: Annotated[int, _score("Sampled answers a text, where they are needed.", min=2)] = 10
    max_new_tokens: Annotated[int, _score("Tokens of a sampled answer.", min=1)] = 20
    batch_tokens: Annotated[
        int | None,
        _score("Tokens put through a model together: speed, not results. | by device", min=1),
    ] = None


@dataclass(frozen=True)
class CascadeOptions:
    """Whether everything is scored, or what decides."""

    cascade: Annotated[
        bool,
        _cascade(
            "Ask models only about texts that decide what is kept, and predict the rest; says how "
            "much of the selection stays.",
            "--cascade",
        ),
    ] = False
    cascade_share: Annotated[
        float | None,
        _cascade(
            "The share that may be asked of the questions that scoring everything takes. | 0.25",
            min=0,
            max=1,
        ),
    ] = None
    time: Annotated[
        str | None,
        _cascade("What scoring may take instead, such as 30m, by what the measured texts took."),
    ] = None
    train_cost: Annotated[
        float | None,
        _cascade("Seconds that one training on the whole pool takes you: can scoring pay?"),
    ] = None

    def settings(self) -> dict[str, Any] | None:
        """Return the settings of a cascade, None where there is none."""
        if not self.cascade:
            for name in ("cascade_share", "time", "train_cost"):
                if getattr(self, name) is not None:
                    from euds.errors import OptionError

                    option = f"--{name.replace('_', '-')}"
                    raise OptionError(
                        f"{option} is about a cascade, and none was asked for",
                        where=option,
                        next_step="add --cascade, or leave it out",
                    )
            return None
        from euds.selection.cascade.spending import parse_seconds

        settings: dict[str, Any] = {"train_seconds": self.train_cost}
        if self.cascade_share is not None:
            settings["share"] = self.cascade_share
        if self.time is not None:
            settings["seconds"] = parse_seconds(self.time)
        return settings


@dataclass(frozen=True)
class EngineOptions:
    """Where models run."""

    engine: Annotated[
        str, _engine("local: on this machine; ray: on a Ray cluster, or Ray on this machine.")
    ] = "local"
    ray_address: Annotated[
        str | None,
        _engine(
            "The cluster: HOST:PORT of its head, or auto on one of its machines. | Ray is started "
            "here"
        ),
    ] = None
    ray_workers: Annotated[
        int | None,
        _engine("Workers, each with a model of its own. | as many as there is room for", min=1),
    ] = None
    threads_per_worker: Annotated[
        int | None, _engine("Cores for each worker of Ray. | 1", min=1)
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        _engine("GPUs for each worker of Ray. | 1 if the cluster has any, else 0", min=0),
    ] = None


@dataclass(frozen=True)
class SelectingOptions:
    """What is kept."""

    keep: Annotated[
        str | None,
        _select(
            "A share (0.16, 16%) or a number of rows (500); 'euds run' also takes auto: the "
            "smallest share that suffices by the labels. | 0.16, or all inside the interval"
        ),
    ] = None
    keep_tokens: Annotated[
        int | None, _select("A number of tokens: never more, short by under one row.", min=1)
    ] = None
    keep_seconds: Annotated[
        float | None,
        _select(
            "As many rows as are trained on in so many seconds; see --row-seconds.",
        ),
    ] = None
    row_seconds: Annotated[
        float | None,
        _select(
            "Seconds that your training takes a row, all epochs together. | 'euds run' times "
            "fine-tuning of --train-encoder on this machine, with labels"
        ),
    ] = None
    rule: Annotated[
        str | None,
        _select(
            "auto, igse, igse-and, igse-dist, ie, ge, se, perplexity, length, any score column; "
            "longest, shortest, perplexity-high, perplexity-low, hes, uncertain, ifd, ccs, dsir; "
            "k-means, k-center, semdedup; random, full; with labels auto-labels, "
            "auto-labels-plain, random-stratified, el2n, ccs-el2n, bws, moderate. | auto; "
            "beside an interval or --soft igse"
        ),
    ] = None
    use_labels: Annotated[
        bool,
        _select(
            "Let the automatic rule look at the labels of the pool: it compares windows by what a "
            "probe learns from them.",
            "--use-labels",
        ),
    ] = False
    interval: Annotated[
        list[str] | None,
        _select(
            "auto: it is looked for; middle; ranks such as 0.3:0.7; raw values such as "
            "ie_plugin=2.5:4.0. Repeatable. | auto"
        ),
    ] = None
    entropies: Annotated[str, _select("What the igse rules combine, as far as it is scored.")] = (
        "ie,ge,se"
    )
    always_keep: Annotated[
        str | None, _select("Rows that must stay: ids, comma separated, or @FILE with one a line.")
    ] = None
    target: Target = None
    near_duplicates: Annotated[
        str,
        _select(
            "Rows that nearly repeat another: drop, keep, embedding (drop by sentence vectors), or "
            "auto: drop in pools of up to 100 MB of text."
        ),
    ] = "auto"
    against: Annotated[
        list[str] | None,
        _select(
            "A file, such as a test set, whose near-duplicates are taken out of the pool first. "
            "Repeatable."
        ),
    ] = None
    quota: Annotated[
        str | None,
        _select(
            "COLUMN=proportional, equal or sqrt: divide the budget among the values of a column, "
            "of label (uses labels), se_option, language, or among clusters."
        ),
    ] = None
    no_guards: Annotated[
        bool,
        _select(
            "Leave a subset that leans to a language or an answer of the model as it is.",
            "--no-guards",
        ),
    ] = False
    keep_unusable: Annotated[
        bool,
        _select(
            "Keep rows that look unusable (outside the bulk of all entropies) like any others.",
            "--keep-unusable",
        ),
    ] = False
    soft: Annotated[
        bool,
        _select(
            "Draw rows, the likelier the nearer to the middle, none with probability 0.", "--soft"
        ),
    ] = False
    weights: Annotated[
        bool,
        _select(
            "Add a column euds_weight to the subset: 1 / inclusion, 1 on average.", "--weights"
        ),
    ] = False


@dataclass(frozen=True)
class ProvingOptions:
    """What is trained, and what it is compared with."""

    rules: Annotated[
        str,
        _prove(
            "Rules to prove, comma separated, of those that 'euds select --rule' knows. Random and "
            "full are always compared with."
        ),
    ] = "auto,length"
    target: Target = None
    trainer: Annotated[
        str,
        _prove(
            "fine-tune (the whole encoder) or probe (a logistic head on the frozen encoder; takes "
            "seconds)."
        ),
    ] = "fine-tune"
    train_encoder: Annotated[
        str, _prove("Encoder to train: an alias, a folder or a hub name (bert-base-uncased).")
    ] = "minilm-l6"
    seeds: Annotated[
        int, _prove("Trainings of each arm; random subsets are drawn anew.", min=1)
    ] = 5
    regime: Annotated[
        str, _prove("epochs (equal for all arms: cost) or steps (equal: worth of the rows).")
    ] = "epochs"
    margin: Annotated[float, _prove("Loss in points that still counts as 'as good'.")] = 1.0
    epochs: Annotated[int, _prove("Passes through the rows.", min=1)] = 3
    batch_size: Annotated[int, _prove("Rows a step.", min=1)] = 16
    train_tokens: Annotated[
        int, _prove("Train on a row's first so many tokens, context included.", min=8)
    ] = 128
    learning_rate: Annotated[
        float | None, _prove("A fixed one. | the best for random rows, on a part held out of them")
    ] = None
    train_cost: Annotated[
        str | None,
        _prove(
            "What training your own model costs: seconds a row and epoch (0.05s) or its parameters "
            "(7B); the ledger then counts for it too."
        ),
    ] = None
    keep_near_duplicates: Annotated[
        bool,
        _prove(
            "Leave pool rows that are near-duplicates of test rows where they are, and only warn.",
            "--keep-near-duplicates",
        ),
    ] = False
    sample: Annotated[
        int | None,
        _prove(
            "Prove on so many rows of a large pool, drawn by a hash of their texts. | all rows",
            min=1,
        ),
    ] = None


@dataclass(frozen=True)
class LabelOptions:
    """What a run may ask the labels; without these options it looks at none."""

    certify: Annotated[
        bool,
        _label(
            "Write the subset only if a test on rows set aside shows that it is not worse than "
            "random rows by the margin; else write random rows, in the pool's shares of labels.",
            "--certify",
        ),
    ] = False
    pilot: Annotated[
        bool,
        _label(
            "First find out whether selecting can help; if it cannot, keep random rows and ask no "
            "language model. See 'euds pilot'.",
            "--pilot",
        ),
    ] = False
    alpha: Annotated[
        float, _label("Chance, at most, that --certify lets a subset pass that is worse.")
    ] = 0.05
    validation: Annotated[
        str,
        _label("What --certify tests on: a share of INPUT to set aside, or a file like INPUT."),
    ] = "0.2"
    margin: Annotated[
        float,
        _label(
            "Points from which on a loss or gain counts, for --certify, --pilot and --keep auto."
        ),
    ] = 1.0
    trainer: Annotated[
        str, _label("probe (a logistic head on the frozen encoder) or fine-tune (all of it).")
    ] = "probe"
    train_encoder: Annotated[
        str, _label("Encoder to train: an alias, a folder or a hub name (bert-base-uncased).")
    ] = "minilm-l6"
    seeds: Annotated[int, _label("Trainings; random rows are drawn anew for each.", min=1)] = 5


@dataclass(frozen=True)
class ReportOptions:
    """The page for people."""

    no_report: Annotated[bool, _output("Write no report.html.", "--no-report")] = False


@dataclass(frozen=True)
class OutputOptions:
    """What is shown."""

    seed: Annotated[
        int, _output("Of every draw: sampled answers, and rows of equal standing.", min=0)
    ] = 0
    as_json: Annotated[bool, _output("Print machine-readable results.", "--json")] = False
    no_texts: Annotated[
        bool,
        _output(
            "Write no text, context or row's label into the run folder, and print none: there is "
            "no subset; selection.parquet has the ids of the kept rows.",
            "--no-texts",
        ),
    ] = False
    quiet: Annotated[bool, _output("No progress on stderr.", "--quiet", "-q")] = False


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options as parameters; typer sees their fields."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            parameters.append(
                parameter.replace(
                    annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY
                )
            )
            continue
        kinds = get_type_hints(kind, include_extras=True)
        parameters.extend(
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=one.default,
                annotation=kinds[one.name],
            )
            for one in fields(kind)
        )

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        arguments = {
            name: kind(**{one.name: given.pop(one.name) for one in fields(kind)})
            for name, kind in groups.items()
        }
        command(**arguments, **given)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in parameters}
    return flat


def split_names(text: str | None) -> tuple[str, ...]:
    """Return the names of a comma separated list, without the blanks around them.

    >>> split_names("ie, ge"), split_names(None)
    (('ie', 'ge'), ())
    """
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def read_ids(text: str | None) -> Sequence[str]:
    """Return ids from a comma separated list, or from ``@FILE`` with one id a line."""
    if text is None or not text.startswith("@"):
        return split_names(text)
    from euds.errors import InputError

    path = Path(text[1:])
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "the file of ids cannot be read",
            where=str(path),
            got=str(error),
            expected="one id a line, in UTF-8",
        ) from error
    return tuple(line.strip() for line in lines if line.strip())
