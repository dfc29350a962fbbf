"""Every exception that ``euds`` raises on purpose.

::

    EudsError                  anything below; exit code 1
    ├── UserError              the caller's mistake; exit code 2
    │   ├── InputError         a pool, file, column or encoding that cannot be used
    │   ├── OptionError        a parameter with a value that makes no sense
    │   ├── MissingExtraError  an optional dependency is not installed
    │   └── ModelNotFoundError a model's name leads to no weights on this machine
    ├── ModelError             a model is there but cannot be loaded or used
    ├── StoreError             the store or a run folder cannot be read or written
    └── EngineError            what measures texts is not to be had, or did not measure them all

A message has up to five parts: what went wrong, where, what was got, what was expected, and what
to do next. The command line prints them; nothing else in the package formats errors.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable

__all__ = [
    "HIDDEN",
    "MAKE_AGAIN",
    "EngineError",
    "EudsError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "OptionError",
    "StoreError",
    "UserError",
    "check_settings",
    "did_you_mean",
    "harmless",
    "without_secrets",
]

MAKE_AGAIN = (
    "give the command that made it again: 'euds run' or 'euds score', or 'euds select' if only a "
    "selection is damaged; what was measured is kept"
)
"""What to do about a run whose files are not what was written."""

# A path of pathlib has lost one of the two slashes. A password may hold an @.
_CREDENTIALS = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^\s/]*@")
# A question mark is a pattern's elsewhere, unless a name and a value follow it.
_QUERIES = (
    re.compile(r"(\bhttps?:/{1,2}[^\s?\"'<>]*)\?[^\s\"'<>]+"),
    re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*:/{1,2}[^\s\"'<>]*?)\?[^\s\"'<>/?#=]+=[^\s\"'<>]*"),
)
HIDDEN = "***"
"""What stands in an address where a secret may have been."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NAMES_COMPARED = 1_000
_LONGEST_NAME = 100


class EudsError(Exception):
    """The base of every error that ``euds`` raises on purpose.

    Parameters
    ----------
    what : str
        What went wrong, as one sentence without a full stop.
    where : str, optional
        The place: ``file:line``, an id, an option.
    got, expected : str, optional
        What was found there, and what would have been right.
    next_step : str, optional
        What the reader can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        got: str | None = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.what = without_secrets(what)
        self.where = where and without_secrets(where)
        self.got = got and without_secrets(got)
        self.expected = expected and without_secrets(expected)
        self.next_step = next_step and without_secrets(next_step)
        super().__init__(self.what)

    def __str__(self) -> str:
        """Return all parts of the message, one line each."""
        place = f"{self.where}: " if self.where else ""
        lines = [f"{place}{self.what}"]
        if self.got is not None:
            lines.append(f"  got:      {self.got}")
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.next_step is not None:
            lines.append(f"  next:     {self.next_step}")
        # What is quoted may hold half a character, which no file and no terminal can take.
        return "\n".join(lines).encode("utf-8", "backslashreplace").decode()


class UserError(EudsError):
    """The caller asked for something that cannot be done as asked."""

    exit_code = 2


class InputError(UserError):
    """A pool, file, column or encoding cannot be used."""


class OptionError(UserError):
    """A parameter has a value that makes no sense."""


class MissingExtraError(UserError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            next_step=f'pip install "euds[{extra}]"',
        )


class ModelNotFoundError(UserError):
    """A model's name leads to no weights on this machine."""


class ModelError(EudsError):
    """A model is there but cannot be loaded or used."""


class StoreError(EudsError):
    """The store or a run folder cannot be read or written."""


class EngineError(EudsError):
    """What measures texts is not to be had, or did not measure them all."""


def without_secrets(text: str) -> str:
    """Return a text with the names, passwords and queries in its addresses taken out.

    Messages end in logs and issues, and run folders with others, where a password or a signature
    that stood in an address has no business.

    >>> without_secrets("s3://me:secret@bucket/rows.jsonl")
    's3://***@bucket/rows.jsonl'
    >>> without_secrets("https://host/rows.jsonl?token=secret")
    'https://host/rows.jsonl?***'
    """
    text = _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)
    for query in _QUERIES:
        text = query.sub(rf"\1?{HIDDEN}", text)
    return text


def harmless(text: str, spelled: str = "\\x{:02x}") -> str:
    r"""Return a text whose control characters are spelled out: they could drive a terminal.

    >>> harmless("a\x1b[2J\tb")
    'a\\x1b[2J\tb'
    """
    return _CONTROL.sub(lambda match: spelled.format(ord(match[0])), text)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the known name closest to ``name``, or None if none is close.

    >>> did_you_mean("reveiw", ["review", "stars"])
    "did you mean 'review'?"
    """
    # Comparing takes the product of the lengths, and names may come from a file.
    short = [one for one in itertools.islice(known, _NAMES_COMPARED) if len(one) <= _LONGEST_NAME]
    close = difflib.get_close_matches(name[:_LONGEST_NAME], short, n=1)
    return f"did you mean {close[0]!r}?" if close else None


def check_settings(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a setting that there is none of.

    Raises
    ------
    OptionError
        With the names that there are, and the closest of them.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise OptionError(
                f"there is no setting {name!r}",
                expected=", ".join(names),
                next_step=did_you_mean(name, names),
            )
