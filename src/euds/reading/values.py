"""What single values are called in messages, and how plain ones become text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

__all__ = ["Unusable", "is_unicode", "kind_of", "shown_names", "text_of"]

_NAMES_SHOWN = 20
_NAME_CHARACTERS = 100

_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    bytes: "bytes",
    type(None): "null",
}


class Unusable(Exception):  # noqa: N818 - not an error: a row goes to the rejected ones
    """Why a row cannot be used; never leaves this package."""


def kind_of(value: object) -> str:
    """Return what a value is, in the words of JSON.

    >>> kind_of([1]), kind_of(None), kind_of(1.5)
    ('an array', 'null', 'a number')
    """
    return _KINDS.get(type(value), f"a value of type {type(value).__name__}")


def text_of(value: Any, *, name: str) -> str:
    """Return a string as it is, and a number or a boolean as JSON writes it.

    >>> text_of(True, name="label"), text_of(4, name="label"), text_of("x", name="label")
    ('true', '4', 'x')
    """
    if isinstance(value, str):
        if not is_unicode(value):
            raise Unusable(f"{name} holds half of a surrogate pair, which is no character")
        return value
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return json.dumps(value)
    if isinstance(value, float):
        raise Unusable(f"{name} is {value}, not a finite number")
    raise Unusable(f"{name} is {kind_of(value)}, not a string")


def is_unicode(text: str) -> bool:
    """Return whether a string can be written: JSON can escape halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_names(names: Sequence[str]) -> str:
    """Return the names of columns for a message: the first twenty, each cut, and how many more.

    >>> shown_names(["text", "label"])
    "'text', 'label'"
    """
    shown = ", ".join(repr(name[:_NAME_CHARACTERS]) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return (shown or "none") + (f" and {more:,} more" if more > 0 else "")
