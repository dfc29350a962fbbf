"""Tasks, and the prompts that put a text to a language model.

A template is plain text with ``{text}``, and where they help ``{context}`` and ``{options}``. A
plain template is continued by the model as it stands; a chat template is put to the model as a
user's message. Which of a task's templates is used is decided on the pool itself, without labels
(`euds.scoring.scorers.semantic_options`), because a prompt that the model does not follow makes
semantic entropy noise.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from euds.errors import OptionError, did_you_mean

__all__ = ["TASKS", "Task", "Template", "task_named", "user_template"]

_FIELDS = ("text", "context", "options")


@dataclass(frozen=True)
class Template:
    """A prompt with places for a text, its context and the options.

    Parameters
    ----------
    pattern : str
        The prompt, with ``{text}`` and optionally ``{context}`` and ``{options}``.
    chat : bool
        Whether it is put as a user's message, through the model's chat template.
    """

    pattern: str
    chat: bool = False

    def __post_init__(self) -> None:
        names = [name for _, name, _, _ in _parse(self.pattern) if name is not None]
        unknown = sorted(set(names) - set(_FIELDS))
        if unknown or "text" not in names:
            raise OptionError(
                "a prompt template has the wrong fields",
                got=repr(self.pattern),
                expected="{text}, and if you like {context} and {options}; {{ for a plain brace",
            )

    def fill(self, text: str, *, context: str | None, options: Sequence[str] = ()) -> str:
        """Return the prompt for one text."""
        values = {"text": text, "context": context or "", "options": _enumeration(options)}
        filled = "".join(
            literal + (values[name] if name is not None else "")
            for literal, name, _, _ in _parse(self.pattern)
        )
        return filled.strip()  # an absent context leaves its line break behind


def _parse(pattern: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise OptionError(
            "a prompt template cannot be read",
            got=repr(pattern),
            expected=str(error),
            next_step="write {{ and }} for plain braces",
        ) from error


def _enumeration(options: Sequence[str]) -> str:
    """Return ``a, b or c``."""
    if len(options) < 2:
        return "".join(options)
    return f"{', '.join(options[:-1])} or {options[-1]}"


@dataclass(frozen=True)
class Task:
    """What the subset will be used for, as far as prompts go.

    Parameters
    ----------
    name : str
        The name on the command line.
    mode : {"label", "answer"}
        Whether answers come from a closed set, or are free and sampled.
    templates : tuple of Template
        The built-in prompts.
    options : tuple of str
        The closed set when neither options nor labels are given.
    """

    name: str
    mode: Literal["label", "answer"]
    templates: tuple[Template, ...]
    options: tuple[str, ...] = ()


TASKS = {
    task.name: task
    for task in (
        Task(
            "sentiment",
            "label",
            (
                Template("Review: {text}\nSentiment:"),
                Template("{text}\nThe sentiment of this text is"),
                Template("Text: {text}\nSentiment ({options}):"),
                Template(
                    "Is the sentiment of this text {options}? Answer with one word.\n\n{text}",
                    chat=True,
                ),
            ),
        ),
        Task(
            "topic",
            "label",
            (
                Template("{text}\nThis news article is about"),
                Template("{text}\nThis text is about"),
                Template("Text: {text}\nTopic ({options}):"),
                Template(
                    "Which topic is this text about: {options}? Answer with one word.\n\n{text}",
                    chat=True,
                ),
            ),
        ),
        Task(
            "yes-no",
            "label",
            (
                Template("{context}\nQuestion: {text}\nAnswer:"),
                Template("{context}\nQuestion: {text}\nAnswer ({options}):"),
                Template("{context}\n\nQuestion: {text}\nAnswer with {options}.", chat=True),
            ),
            options=("no", "yes"),
        ),
        Task(
            "answer",
            "answer",
            (
                Template("{context}\n\nQuestion: {text}\nAnswer in a few words.", chat=True),
                Template("{context}\nQuestion: {text}\nAnswer:"),
            ),
        ),
    )
}


def task_named(name: str) -> Task:
    """Return the task of that name.

    Raises
    ------
    OptionError
        If there is none.
    """
    if name not in TASKS:
        raise OptionError(
            f"there is no task {name!r}",
            expected=", ".join(TASKS),
            next_step=did_you_mean(name, TASKS),
        )
    return TASKS[name]


def user_template(pattern: str) -> Template:
    """Return a user's own template; ``chat:`` in front puts it as a user's message."""
    if pattern.startswith("chat:"):
        return Template(pattern.removeprefix("chat:").lstrip(), chat=True)
    return Template(pattern)
