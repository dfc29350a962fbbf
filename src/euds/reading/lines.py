"""Physical lines of text files: encodings, byte order marks, line ends, and lines out of bounds."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from euds.errors import InputError, OptionError
from euds.reading.inputs import Input
from euds.reading.rows import RAW_CHARACTERS, RECORD_BYTES, BadRow, Cause
from euds.reading.streams import DAMAGE, damage_error, read_chunks

__all__ = ["Line", "TextStyle", "agree", "cut", "decode", "read_lines", "sniff"]

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Names that leave the byte order to the mark, and what they mean where there is none.
_BY_MARK = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_LONGEST_MARK = 4


@dataclass(frozen=True)
class TextStyle:
    """How a text file is written.

    Parameters
    ----------
    encoding : str
        As Python names it, with its byte order.
    bom : bool
        Whether the file begins with a byte order mark.
    newline : str
        The end of the first line.
    """

    encoding: str
    bom: bool
    newline: str = "\n"


class Line(NamedTuple):
    """One line: its number, its text, and the line end that followed it, if any."""

    number: int
    text: str
    end: str


def sniff(start: bytes, encoding: str | None) -> TextStyle:
    """Return the encoding of a file that begins with ``start``; UTF-8 unless told otherwise.

    Raises
    ------
    OptionError
        If there is no such encoding.
    """
    asked = None if encoding is None else _canonical(encoding)
    for mark, found in _MARKS.items():
        agrees = asked is None or asked == found or (asked in _BY_MARK and found[:5] == asked[:5])
        if start.startswith(mark) and agrees:
            return TextStyle(found, bom=True)
    if asked is None:
        return TextStyle("utf-8", bom=False)
    return TextStyle(_BY_MARK.get(asked, asked), bom=False)


def decode(raw: bytes, encoding: str) -> str | tuple[str, Cause]:
    """Return the text, or why there is none and what the cause is."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        byte = raw[error.start] if error.start < len(raw) else 0
        return (
            f"byte {error.start + 1} of the line, 0x{byte:02X}, is not valid {encoding.upper()}",
            "encoding",
        )
    if "\0" in text:
        return f"character {text.index(chr(0)) + 1} of the line is NUL", "zero bytes"
    # Some encodings write one character in two ways; what is read must be what is written back.
    if encoding != "utf-8" and text.encode(encoding, "replace") != raw:
        return f"the bytes are not the usual {encoding.upper()} for this text", "encoding"
    return text


def cut(raw: bytes, encoding: str) -> str:
    """Return the start of a bad line as text, with undecodable bytes escaped."""
    return raw[: 4 * RAW_CHARACTERS].decode(encoding, "backslashreplace")[:RAW_CHARACTERS]


def read_lines(source: Input, encoding: str | None) -> tuple[TextStyle, Iterator[Line | BadRow]]:
    """Return the style of a text file, and its lines without their ends.

    A line that cannot be decoded, holds a NUL, or is too long is a `BadRow`. Lines end in LF or
    CR LF; in a file without any LF they end in CR.

    Raises
    ------
    InputError
        If the file cannot be opened or, later, breaks off.
    """
    chunks = read_chunks(source)
    try:
        start = b""
        while len(start) < _LONGEST_MARK and (chunk := next(chunks, b"")):
            start += chunk
    except DAMAGE as error:
        raise damage_error(source, error, complete_lines=0) from error
    style = sniff(start, encoding)
    if style.bom:
        start = start[len("\ufeff".encode(style.encoding)) :]
    splitter = _Splitter(source, style.encoding, chunks, start)
    return TextStyle(style.encoding, style.bom, splitter.newline), splitter.lines()


class _Splitter:
    """Cuts chunks of bytes into lines; holds one line and one chunk at most."""

    def __init__(self, source: Input, encoding: str, chunks: Iterator[bytes], start: bytes) -> None:
        self._source = source
        self._encoding = encoding
        self._chunks = chunks
        self._pending = start  # what has been read and not been cut yet
        self._number = 0
        self._cr, self._lf = "\r".encode(encoding), "\n".encode(encoding)
        self._separator = self._first_separator()

    @property
    def newline(self) -> str:
        """The end of the first line; LF if it has none."""
        if self._separator == self._cr:
            return "\r"
        first = _split(self._pending, self._separator, most=1)[0]
        return "\r\n" if first.endswith(self._cr) else "\n"

    def lines(self) -> Iterator[Line | BadRow]:
        """Yield the lines."""
        while True:
            *complete, self._pending = self._cut(self._pending)
            for raw in complete:
                yield self._line(raw, ended=True)
            if len(self._pending) > RECORD_BYTES:
                yield self._too_long()
                self._skip_line()
            elif not self._read_more():
                break
        if self._pending:
            yield self._line(self._pending, ended=False)

    def _first_separator(self) -> bytes:
        """Return LF, or CR if there is a CR and no LF in as much as one line can hold."""
        while not (self._has(self._lf) or len(self._pending) > RECORD_BYTES):
            if not self._read_more():
                break
        return self._cr if self._has(self._cr) and not self._has(self._lf) else self._lf

    def _has(self, character: bytes) -> bool:
        return len(_split(self._pending, character, most=1)) > 1

    def _cut(self, data: bytes) -> list[bytes]:
        return _split(data, self._separator)

    def _read_more(self) -> bool:
        try:
            chunk = next(self._chunks, b"")
        except DAMAGE as error:
            raise damage_error(self._source, error, complete_lines=self._number) from error
        self._pending += chunk
        return bool(chunk)

    def _line(self, raw: bytes, *, ended: bool) -> Line | BadRow:
        self._number += 1
        end = self._separator if ended else b""
        if raw.endswith(self._cr) and end == self._lf:
            raw, end = raw[: -len(self._cr)], self._cr + end
        if len(raw) > RECORD_BYTES:
            return self._bad(raw, f"the line is longer than {RECORD_BYTES:,} bytes", "content")
        text = decode(raw, self._encoding)
        if isinstance(text, tuple):
            return self._bad(raw, *text)
        return Line(self._number, text, end.decode(self._encoding))

    def _too_long(self) -> BadRow:
        self._number += 1
        reason = f"the line is longer than {RECORD_BYTES:,} bytes"
        return self._bad(self._pending, reason, "content")

    def _skip_line(self) -> None:
        """Drop the rest of a line piece by piece."""
        while True:
            keep = len(self._pending) % len(self._separator)
            self._pending = self._pending[len(self._pending) - keep :]
            if not self._read_more():
                self._pending = b""
                return
            pieces = _split(self._pending, self._separator, most=1)
            if len(pieces) > 1:
                self._pending = pieces[1]
                return

    def _bad(self, raw: bytes, reason: str, cause: Cause) -> BadRow:
        return BadRow(self._source.name, self._number, reason, cut(raw, self._encoding), cause)


def _split(data: bytes, separator: bytes, *, most: int = -1) -> list[bytes]:
    """Split at a separator that may be several bytes wide and then counts at its multiples only."""
    width = len(separator)
    if width == 1:
        return data.split(separator, most)
    pieces: list[bytes] = []
    start, found = 0, data.find(separator)
    while found >= 0 and len(pieces) != most:
        if found % width == 0:
            pieces.append(data[start:found])
            start = found + width
        found = data.find(separator, found + 1)
    return [*pieces, data[start:]]


def _canonical(encoding: str) -> str:
    try:
        # Not every codec is one of text; those for host names know no way to go on after an error.
        "\n".encode(encoding, "replace")
        b"\n".decode(encoding, "backslashreplace")
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise OptionError(
            "there is no such text encoding",
            where="encoding",
            got=repr(encoding),
            expected="a name that Python knows: utf-8, utf-16, cp1252, latin-1, shift_jis, ...",
        ) from error


def agree(first: TextStyle, other: TextStyle, *, names: tuple[str, str]) -> None:
    """Check that two files can be written back in one encoding.

    Raises
    ------
    InputError
        If their encodings differ.
    """
    if first.encoding != other.encoding:
        raise InputError(
            "the inputs have different encodings",
            got=f"{names[0]} is {first.encoding}, {names[1]} is {other.encoding}",
            expected="one encoding, so that the subset can be written in it",
            next_step="read them in separate calls, or convert one of them",
        )
