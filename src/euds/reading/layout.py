"""Which columns the text, its context, the label and the id come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from euds.errors import InputError, did_you_mean
from euds.reading.rows import Unusable, kind_of, shown_names, text_of

__all__ = ["Layout", "Wishes", "decide"]

Fields = Mapping[str, Any]
_ABSENT = object()

_CHAT = {"messages": ("role", "content"), "conversations": ("from", "value")}
# ShareGPT's names of the roles; with these the same conversation has the same key in both forms.
_ROLES = {"human": "user", "gpt": "assistant"}
_PIECE = re.compile(r"(\{\{|\}\})|\{([^{}]+)\}|([{}])")


@dataclass(frozen=True)
class Wishes:
    """The columns, or templates, that the user named; None where nothing was said."""

    text: str | None = None
    context: str | None = None
    label: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Layout:
    """Where the fields of a sample are found in a row.

    Parameters
    ----------
    text, context : str or None
        The columns or templates, as `euds.pool.pool.Source` records them.
    label : str
        The column in which the label is, if there is such a column.
    id : str or None
        The column in which the id is, if there is such a column.
    required : tuple of str
        The columns without which no row can be used.
    optional : tuple of str
        The columns of the context.
    columns : tuple of str
        All columns that are looked at.
    take : callable
        Gives the text and the context of a row's fields, or raises `Unusable`.
    """

    text: str
    context: str | None
    label: str
    id: str | None
    required: tuple[str, ...]
    optional: tuple[str, ...]
    columns: tuple[str, ...]
    take: Callable[[Fields], tuple[str, str | None]]


def decide(columns: Sequence[str], wishes: Wishes, *, chat: bool) -> Layout:
    """Decide where the fields of the samples come from.

    Parameters
    ----------
    columns : sequence of str
        The columns there are.
    wishes : Wishes
        What the user named. Without a text, these are looked for in turn: a column ``text`` (and
        then a column ``context``); ``prompt`` and ``response``; ``instruction``, perhaps
        ``input``, and ``output``; chats in ``messages`` or ``conversations``.
    chat : bool
        Whether the format can hold lists of messages.

    Raises
    ------
    InputError
        If no text can be found, or the text would contain the label.
    """
    label = wishes.label or "label"
    id_ = wishes.id or ("id" if label != "id" else None)
    text, context = _text_and_context(columns, wishes, chat=chat)
    if wishes.context is None and context == label:
        context = None
    _check_label_is_not_read(columns, label, text, context)
    take_text, required = _text_source(columns, text)
    take_context, optional = _context_source(columns, context)
    if chat and text in _CHAT:
        take = _chat_source(text, take_context if context else None)
    else:

        def take(fields: Fields) -> tuple[str, str | None]:
            return take_text(fields), take_context(fields)

    if wishes.id is not None:
        required = [*required, wishes.id]
    return Layout(
        text=text,
        context=context,
        label=label,
        id=id_,
        required=tuple(required),
        optional=tuple(optional),
        columns=tuple(dict.fromkeys([*required, *optional, label, *([id_] if id_ else [])])),
        take=take,
    )


def missing_column(name: str, columns: Sequence[str], *, option: str) -> InputError:
    """Return the error for a column that is not there."""
    return InputError(
        f"there is no column {name!r}",
        where=option,
        got=f"the columns {shown_names(columns)}",
        next_step=_separator_hint(columns) or did_you_mean(name, columns),
    )


def fields_of_template(template: str, *, option: str) -> list[str]:
    """Return the columns that a template names.

    >>> fields_of_template("{passage} {{?}} {question}", option="text")
    ['passage', 'question']
    """
    names: list[str] = []
    for brace, name, stray in _PIECE.findall(template):
        if stray:
            raise InputError(
                "the template has a brace without its partner",
                where=option,
                got=repr(template),
                expected="{column} for a column, {{ and }} for braces",
            )
        if not brace:
            names.append(name)
    if not names:
        raise InputError(
            "the template names no column", where=option, got=repr(template), expected="{column}"
        )
    return names


def _text_and_context(
    columns: Sequence[str], wishes: Wishes, *, chat: bool
) -> tuple[str, str | None]:
    """Return the columns or templates of text and context."""
    if wishes.text is not None:
        return wishes.text, wishes.context
    for text, context, needs in _defaults(columns, chat=chat):
        if needs <= set(columns):
            return text, wishes.context or context
    raise InputError(
        "it is not clear which column holds the text",
        where="text",
        got=f"the columns {shown_names(columns)}",
        expected="text; prompt and response; instruction and output; or messages",
        next_step=_separator_hint(columns)
        or "name the column with --text NAME, or a template such as --text '{title} {body}'",
    )


def _defaults(columns: Sequence[str], *, chat: bool) -> list[tuple[str, str | None, set[str]]]:
    """Return text, context, and the columns that must be there, in order of preference."""
    task = "{instruction}\n{input}" if "input" in columns else "instruction"
    found: list[tuple[str, str | None, set[str]]] = [
        ("text", "context" if "context" in columns else None, {"text"}),
        ("response", "prompt", {"prompt", "response"}),
        ("output", task, {"instruction", "output"}),
    ]
    if chat:
        found += [(name, None, {name}) for name in _CHAT]
    return found


def _separator_hint(columns: Sequence[str]) -> str | None:
    """Return what may be wrong if a whole header was taken for one column."""
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        separator = "semicolons" if ";" in columns[0] else "tabs"
        return (
            f"the header looks separated by {separator}: CSV files need commas, TSV files need "
            "tabs and the suffix .tsv"
        )
    return None


def _check_label_is_not_read(
    columns: Sequence[str], label: str, text: str, context: str | None
) -> None:
    for option, source in (("text", text), ("context", context)):
        if source is None:
            continue
        names = (
            [source] if _is_column(source, columns) else fields_of_template(source, option=option)
        )
        if label in names:
            raise InputError(
                f"the {option} would contain the label",
                where=option,
                got=f"{source!r}, where {label!r} is the label column",
                expected="scores must not know the labels",
                next_step="leave it out, or name another column with --label",
            )


def _text_source(columns: Sequence[str], source: str) -> tuple[Callable[[Fields], str], list[str]]:
    """Return how the text is taken from a row, and the columns it needs."""
    if _is_column(source, columns):
        return (lambda fields: _string(fields, source)), [source]
    names = fields_of_template(source, option="text")

    def fill(fields: Fields) -> str:
        return _fill(source, {name: _filled(fields, name) for name in names})

    return fill, names


def _context_source(
    columns: Sequence[str], source: str | None
) -> tuple[Callable[[Fields], str | None], list[str]]:
    """Return how the context is taken from a row, and the columns it looks at.

    A sample without a context is a good sample: where a template's fields are missing, they are
    left out, with the space around them.
    """
    if source is None:
        return (lambda _: None), []
    if _is_column(source, columns):
        return (lambda fields: _optional(fields, source)), [source]
    names = fields_of_template(source, option="context")

    def fill(fields: Fields) -> str | None:
        values = {name: _filled(fields, name) if fields.get(name) else "" for name in names}
        return _fill(source, values).strip() or None

    return fill, names


def _is_column(source: str, columns: Sequence[str]) -> bool:
    return source in columns or not ("{" in source or "}" in source)


def _fill(template: str, values: Mapping[str, str]) -> str:
    def piece(match: re.Match[str]) -> str:
        return match[1][0] if match[1] else values[match[2]]

    return _PIECE.sub(piece, template)


def _string(fields: Fields, name: str) -> str:
    value = fields.get(name, _ABSENT)
    if type(value) is str:
        return value
    if value is _ABSENT:
        raise Unusable(f"there is no field {name!r}")
    if value is None:
        raise Unusable(f"the field {name!r} is empty (null)")
    raise Unusable(f"the field {name!r} is {kind_of(value)}, not a string")


def _filled(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if value is None:
        raise Unusable(f"the field {name!r} of the template is missing")
    return text_of(value, name=f"the field {name!r}")


def _optional(fields: Fields, name: str) -> str | None:
    return None if fields.get(name) is None else _string(fields, name)


def _chat_source(
    column: str, take_context: Callable[[Fields], str | None] | None
) -> Callable[[Fields], tuple[str, str | None]]:
    """Return how the last answer of a chat, and what came before it, are taken from a row."""
    role, content = _CHAT[column]

    def take(fields: Fields) -> tuple[str, str | None]:
        value = fields.get(column)
        if isinstance(value, str):  # a column that is only called so
            return value, take_context(fields) if take_context else None
        if not isinstance(value, list):
            raise Unusable(f"the field {column!r} is {kind_of(value)}, not a list of messages")
        turns = [_turn(turn, number, role, content) for number, turn in enumerate(value, start=1)]
        last = max((at for at, (who, _) in enumerate(turns) if who == "assistant"), default=None)
        if last is None:
            raise Unusable(f"the chat in {column!r} has no turn of the assistant")
        earlier = "\n".join(f"{who}: {said}" for who, said in turns[:last]) or None
        return turns[last][1], take_context(fields) if take_context else earlier

    return take


def _turn(turn: Any, number: int, role: str, content: str) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise Unusable(f"message {number} is {kind_of(turn)}, not an object")
    who, said = turn.get(role), turn.get(content)
    if not isinstance(who, str) or not isinstance(said, str):
        bad, value = (role, who) if not isinstance(who, str) else (content, said)
        raise Unusable(f"the {bad!r} of message {number} is {kind_of(value)}, not a string")
    return _ROLES.get(who, who), said
