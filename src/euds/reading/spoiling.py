"""Rows that nobody can train on, put into a pool in the place of others: to see what notices them.

Real pools hold such rows, but there nobody knows which they are. Each kind is made by a seeded
generator from phrases in ``spoiling.json``, or out of the pool's own rows.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from euds.errors import OptionError, did_you_mean

__all__ = ["COLUMN", "KINDS", "Labels", "Lengths", "spoil"]

COLUMN = "unusable"
"""The column that names what kind of unusable row this is; null in the others."""

Lengths = Literal["both", "own", "replaced"]
Labels = Literal["random", "replaced"]
Texts = Sequence[str]
Rng = np.random.Generator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_KEYS = "asdfghjklöä;qwertyuiopzxcvbnm"
_DIGITS = "0123456789"


def spoil(
    rows: Sequence[Mapping[str, Any]],
    share: float,
    *,
    kinds: Sequence[str] | None = None,
    lengths: Lengths = "both",
    labels: Labels = "random",
    strangers: Texts = (),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the rows with a share of them replaced by unusable ones, all kinds alike.

    Parameters
    ----------
    rows : sequence of mapping
        Rows with a ``text`` and, where there is one, a ``label``; what else they have stays.
    share : float
        Of the rows to replace, from 0 to 1.
    kinds : sequence of str, optional
        Of `KINDS`; all by default, ``off-topic`` only where there are strangers.
    lengths : {"both", "own", "replaced"}
        Whether a row is as long as its kind usually is, or as the row it replaces, or half of them
        this and half that.
    labels : {"random", "replaced"}
        Whether an unusable row has any label of the pool, or that of the row it replaces.
    strangers : sequence of str
        Fluent texts about something else, for ``off-topic``.
    seed : int
        Of all that is drawn.

    Returns
    -------
    list of dict
        In the order of the rows, each with the kind in the column `COLUMN`, None in usable ones.

    Raises
    ------
    OptionError
        If a kind is unknown or lacks strangers, or the share is none.
    """
    chosen = _checked(kinds, strangers)
    if not 0 <= share <= 1:
        raise OptionError("the share of unusable rows is none", got=str(share), expected="0 to 1")
    rng = np.random.default_rng(seed)
    clean = [str(row["text"]) for row in rows]
    names = sorted({str(row["label"]) for row in rows if row.get("label") is not None})
    spoiled = [{**row, COLUMN: None} for row in rows]
    places = rng.permutation(len(rows))[: round(share * len(rows))]
    for number, place in enumerate(places.tolist()):
        kind = chosen[number % len(chosen)]
        make, shortest, longest = KINDS[kind]
        # Every kind has as many rows of either length.
        like_replaced = {"both": number // len(chosen) % 2 == 1, "own": False, "replaced": True}
        own = int(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
        length = len(clean[place]) if like_replaced[lengths] else own
        source = strangers if kind == "off-topic" else clean
        row = spoiled[place]
        row |= {"text": _cut(make(rng, length, source), length), COLUMN: kind}
        if labels == "random" and names:
            row["label"] = str(rng.choice(names))
    return spoiled


def _checked(kinds: Sequence[str] | None, strangers: Texts) -> list[str]:
    chosen = [kind for kind in KINDS if kind != "off-topic" or strangers]
    for kind in kinds or ():
        if kind not in KINDS:
            raise OptionError(
                f"there is no kind of unusable row {kind!r}",
                expected=", ".join(KINDS),
                next_step=did_you_mean(kind, KINDS),
            )
        if kind not in chosen:
            raise OptionError(f"{kind} rows need texts about something else")
    return list(kinds) if kinds else chosen


def _cut(text: str, length: int) -> str:
    """Cut at the last space before the length, if there is one in the second half."""
    if len(text) <= length:
        return text
    space = text.rfind(" ", max(length // 2, 1), length)
    return text[: space if space > 0 else max(length, 1)]


def _grown(piece: Callable[[], str], length: int, *, joined_by: str) -> str:
    """Join pieces until they are long enough."""
    pieces = [piece()]
    while sum(map(len, pieces)) + len(pieces) * len(joined_by) < length:
        pieces.append(piece())
    return joined_by.join(pieces)


@functools.cache
def _phrases() -> Any:
    return json.loads(files("euds.reading").joinpath("spoiling.json").read_text(encoding="utf-8"))


def _one(rng: Rng, among: Sequence[Any]) -> Any:
    return among[int(rng.integers(len(among)))]


def _word(rng: Rng, letters: str, shortest: int, longest: int) -> str:
    return "".join(_one(rng, letters) for _ in range(int(rng.integers(shortest, longest + 1))))


def _number(rng: Rng) -> str:
    return str(int(np.exp(rng.uniform(0, 9))))


class _Filled(dict[str, str]):
    """What stands for each blank of a template, drawn anew at each mention."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng

    def __missing__(self, blank: str) -> str:
        rng = self._rng
        makers: dict[str, Callable[[], str]] = {
            "n": lambda: _number(rng),
            "year": lambda: str(rng.integers(1998, 2026)),
            "hex": lambda: _word(rng, _DIGITS + "abcdef", 4, 8),
            "ip": lambda: ".".join(str(rng.integers(1, 255)) for _ in range(4)),
            "time": lambda: "2025-{:02}-{:02} {:02}:{:02}:{:02}".format(
                *(int(rng.integers(low, high)) for low, high in _CLOCK)
            ),
            "name": lambda: str(_one(rng, _phrases()["names"])),
            "user": lambda: _word(rng, _LETTERS, 4, 9) + _number(rng),
            "tag": lambda: "#" + _word(rng, _LETTERS, 3, 9),
            "code": lambda: _word(rng, _LETTERS.upper(), 4, 4) + _number(rng),
            "link": lambda: f"http://{_word(rng, _LETTERS, 2, 4)}.co/{_word(rng, _LETTERS, 5, 8)}",
        }
        return makers[blank]()


_CLOCK = ((1, 13), (1, 29), (0, 24), (0, 60), (0, 60))


def _from_templates(name: str, joined_by: str) -> Callable[[Rng, int, Texts], str]:
    def make(rng: Rng, length: int, _: Texts) -> str:
        return _grown(
            lambda: str(_one(rng, _phrases()[name])).format_map(_Filled(rng)),
            length,
            joined_by=joined_by,
        )

    return make


def _sentences(rng: Rng, slots: Sequence[Sequence[str]], length: int) -> str:
    return _grown(lambda: " ".join(_one(rng, slot) for slot in slots) + ".", length, joined_by=" ")


def _foreign(rng: Rng, length: int, _: Texts) -> str:
    languages = _phrases()["languages"]
    return _sentences(rng, languages[_one(rng, sorted(languages))], length)


def _mojibake(rng: Rng, length: int, _: Texts) -> str:
    """Read UTF-8 as Latin-1: each Cyrillic letter becomes two characters."""
    return _sentences(rng, _phrases()["mojibake"], length // 2).encode().decode("latin-1")


def _base64(rng: Rng, length: int, _: Texts) -> str:
    return base64.b64encode(rng.bytes(max(1, length * 3 // 4))).decode()


def _letter_salad(rng: Rng, length: int, _: Texts) -> str:
    return _grown(lambda: _word(rng, _KEYS, 2, 10), length, joined_by=" ")


def _markup(rng: Rng, length: int, texts: Texts) -> str:
    def element() -> str:
        tag, words = _one(rng, _phrases()["tags"]), _one(rng, texts).split()
        start = int(rng.integers(len(words))) if words else 0
        own = f'class="{_word(rng, _LETTERS, 3, 8)}-{_number(rng)}"'
        return f"<{tag} {own}>{' '.join(words[start : start + 2])}</{tag}>"

    return _grown(element, length, joined_by="")


def _tickers(rng: Rng, length: int, _: Texts) -> str:
    def quote() -> str:
        price, change = np.exp(rng.normal(4, 1)), rng.normal(0, 2)
        return f"{_word(rng, _LETTERS.upper(), 3, 4)} {price:.2f} {change:+.2f}%"

    return _grown(quote, length, joined_by=" ")


def _table(rng: Rng, length: int, _: Texts) -> str:
    def line() -> str:
        cells = [f"{np.exp(rng.normal(3, 2)):.{rng.integers(3)}f}" for _ in range(6)]
        return "| " + " | ".join([_one(rng, _phrases()["names"]), *cells]) + " |"

    return _grown(line, length, joined_by="\n")


def _fragments(rng: Rng, length: int, texts: Texts) -> str:
    """Mix crumbs of a page with beginnings of its stories that break off."""

    def crumb() -> str:
        if rng.random() < 2 / 3:
            return str(_one(rng, _phrases()["crumbs"])).format_map(_Filled(rng))
        return " ".join(_one(rng, texts).split()[: int(rng.integers(2, 6))]) + " ..."

    return _grown(crumb, length, joined_by=_one(rng, [" > ", " | ", "\n", " "]))


def _shuffled(rng: Rng, length: int, texts: Texts) -> str:
    words = _grown(lambda: _one(rng, texts), length, joined_by=" ")[: length + 20].split()
    return " ".join(words[index] for index in rng.permutation(len(words)).tolist())


def _looped(rng: Rng, length: int, texts: Texts) -> str:
    """Repeat a phrase, as language models do that are stuck."""
    words = _one(rng, texts).split() or ["the"]
    start, stuck = int(rng.integers(len(words))), int(rng.integers(3, 9))
    phrase = " ".join(words[start : start + stuck])
    return _grown(lambda: phrase, length, joined_by=" ")


def _as_they_are(rng: Rng, length: int, texts: Texts) -> str:
    return _grown(lambda: _one(rng, texts), length, joined_by=" ")


# How each kind is made, and how many characters long it usually is.
KINDS: dict[str, tuple[Callable[[Rng, int, Texts], str], int, int]] = {
    "notices": (_from_templates("notices", " "), 80, 800),
    "base64": (_base64, 60, 2_000),
    "letter-salad": (_letter_salad, 10, 300),
    "markup": (_markup, 100, 2_000),
    "logs": (_from_templates("logs", "\n"), 70, 1_500),
    "tickers": (_tickers, 30, 400),
    "foreign": (_foreign, 60, 1_500),
    "mojibake": (_mojibake, 60, 1_000),
    "fragments": (_fragments, 20, 200),
    "shuffled": (_shuffled, 60, 1_500),
    "code": (_from_templates("code", "\n"), 60, 1_500),
    "tables": (_table, 60, 1_500),
    "looped": (_looped, 80, 1_500),
    "bots": (_from_templates("bots", " "), 50, 140),
    "off-topic": (_as_they_are, 60, 1_500),
}
"""How each kind of unusable row is made, and between how many characters it usually has."""
