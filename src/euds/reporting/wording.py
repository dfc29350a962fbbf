"""Numbers as a reader of the report sees them. A value that there is no number for is a dash."""

from __future__ import annotations

import math

from euds.progress import format_seconds
from euds.runs.summary import shorten

__all__ = [
    "NOTHING",
    "between",
    "capital_sentence",
    "count",
    "duration",
    "one_line",
    "points",
    "share",
    "signed_points",
    "times",
    "visible",
]

NOTHING = "–"
_LONGEST_LINE = 400


def points(value: float | None) -> str:
    """Return points with one decimal place.

    >>> points(93.14), points(None)
    ('93.1', '–')
    """
    return NOTHING if value is None else f"{value:.1f}"


def signed_points(value: float | None) -> str:
    """Return a difference in points, always with its sign.

    >>> signed_points(0.84), signed_points(-1.2), signed_points(-0.001)
    ('+0.8', '−1.2', '0.0')
    """
    if value is None:
        return NOTHING
    rounded = round(value, 1)
    return "0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "−")


def between(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Return an interval in points.

    >>> between(-1.2, 0.3, signed=True), between(91.0, 92.5), between(None, 1.0)
    ('−1.2 to +0.3', '91.0 to 92.5', '–')
    """
    if low is None or high is None:
        return NOTHING
    spoken = signed_points if signed else points
    return f"{spoken(low)} to {spoken(high)}"


def share(value: float | None) -> str:
    """Return a share in per cent, with as many digits as it needs.

    >>> share(0.16), share(0.004), share(1.5), share(None)
    ('16 %', '0.4 %', '150 %', '–')
    """
    if value is None:
        return NOTHING
    percent = value * 100
    return f"{percent:,.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def duration(seconds: float | None) -> str:
    """Return a duration for people.

    >>> duration(75), duration(None)
    ('1 min 15 s', '–')
    """
    return NOTHING if seconds is None else format_seconds(seconds)


def count(value: float | None) -> str:
    """Return a whole number with separators.

    >>> count(2225), count(None)
    ('2,225', '–')
    """
    return NOTHING if value is None else f"{value:,.0f}"


def times(value: float | None) -> str:
    """Return after how many trainings something pays.

    >>> times(1.2), times(12.0), times(None)
    ('2', '12', 'never')
    """
    return "never" if value is None else f"{math.ceil(round(value, 6)):,}"


def visible(text: str) -> str:
    r"""Return a text in which characters that cannot be seen are spelled out.

    >>> print(visible("a\u202eb\tc"))
    a\u202eb\tc
    """
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode()
        for one in text
    )


def one_line(value: object) -> str:
    r"""Return a value of the user's as one line without control and direction characters.

    >>> one_line("a\u202eb\nc"), one_line(3)
    ('a b c', '3')
    """
    return shorten(str(value), _LONGEST_LINE)


def capital_sentence(text: str) -> str:
    """Return words as a sentence: a capital in front, a full stop behind; nothing stays nothing."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""
