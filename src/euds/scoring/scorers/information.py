"""Information entropy (IE): how rare and how varied the words of a text are; no model needed.

Texts are cut into words by one regular expression, in chunks. Of each only its words as numbers are
kept, in a temporary file once they are many, and how often the pool has each word. Then the
numbers become scores. Counts are integers and the sums over them are exact (see
`euds.scoring.entropy`), so that no score depends on chunks, threads or the order of the texts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool.pool import Texts, text_key
from euds.pool.records import MOST_IN_MEMORY, TemporaryFile
from euds.scoring import entropy
from euds.scoring.scorers.base import Measure, ScoreColumns
from euds.scoring.scorers.characters import CharacterCounts

__all__ = ["WORD", "InformationScorer", "split_words"]

# Scripts that put no space between words. Script extensions, so that marks which several of them
# share, such as the Japanese prolonged sound mark, are in.
_UNSPACED = (
    r"\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}"
    r"\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}"
)
_LETTER = rf"[\w--[{_UNSPACED}]]"
_PICTURE = r"\p{Extended_Pictographic}[\p{M}\p{Emoji_Modifier}]*"

WORD = "|".join(
    [
        rf"{_LETTER}+(?:['’]{_LETTER}+)*",  # letters, digits, marks, "_"; with inner apostrophes
        rf"[{_UNSPACED}]\p{{M}}*",  # each character of an unspaced script, with its marks
        r"\p{Regional_Indicator}{2}",  # a flag
        rf"{_PICTURE}(?:\x{{200D}}{_PICTURE})*",  # an emoji, joined ones included
        r"[^\s\w\p{Cc}\p{Cf}]\p{M}*",  # any other visible character: punctuation, symbols
    ]
)
"""What a word is: a regular expression in the syntax of Rust's ``regex``, for lower-cased text."""

Item = TypeVar("Item")
Made = TypeVar("Made")
_FEWEST_WORDS = 4
_MOST_WORDS = 100_000
_TOO_SHORT = f"fewer than {_FEWEST_WORDS} words"
_FEWEST_TEXTS, _MOST_TEXTS = 10_000, 50_000  # in a chunk
_BYTES_PER_CHUNK = 2_000_000
_MOST_THREADS = 8  # each holds the words of one chunk
# Words are shorter than this on average, so that the beginning of a long text is mostly enough.
_CHARACTERS_PER_WORD = 10
_CHARACTERS_COUNTED = 6  # of English a word and its space


@dataclass(frozen=True)
class InformationScorer:
    """Scores texts by the information entropy of their words; ignores contexts and models.

    Words are lower-cased and found by `WORD`; only the first ``max_tokens`` of a text count, for
    its scores and for the pool's word counts alike. The pool is that of the distinct texts, however
    many contexts a text stands in: IE is about the text itself.

    ``ie``
        Leave-one-out cross-entropy under the pool's own word frequencies
        (`euds.scoring.entropy.word_cross_entropy`), in nats per word: how rare the words are.
    ``ie_plugin``
        Plug-in entropy (`euds.scoring.entropy.word_entropy`), in nats: how varied the words are.
        Largely a measure of length.
    ``ie_norm``
        ``ie_plugin / ln(words)``, between 0 and 1.
    ``ie_char``
        Leave-one-out cross-entropy of the characters (`euds.scoring.scorers.characters`), lower
        case, in nats per character: how unlike the pool's the spelling is. Six characters count for
        each word that does.
    ``words``, ``ie_cut``
        Number of words counted, and whether the text had more.
    ``ie_reason``
        Null, or why the scores of words are null: texts with fewer than 4 words have none.

    Parameters
    ----------
    max_tokens : int
        How many words of a text count, from its beginning; 4 to 100,000.
    alpha : float
        What is added to each count of the pool's word frequencies; positive.

    Raises
    ------
    OptionError
        If a parameter is out of range.

    Examples
    --------
    >>> texts = Texts.of(["the film was good", "the film was bad", "zounds what a hoot"])
    >>> scores = InformationScorer().score(texts, measure=None)
    >>> scores.frame.sort("ie")["ie"].round(2).to_list()
    [2.69, 2.69, 4.49]
    """

    name: ClassVar[str] = "ie"

    max_tokens: int = 128
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if not _FEWEST_WORDS <= self.max_tokens <= _MOST_WORDS:
            raise OptionError(
                "the number of words that count is out of range",
                where="max_tokens",
                got=str(self.max_tokens),
                expected=f"{_FEWEST_WORDS} to {_MOST_WORDS}",
            )
        if not 0 < self.alpha < float("inf"):
            raise OptionError(
                "what is added to word counts must be positive",
                where="alpha",
                got=str(self.alpha),
                expected="a number above 0, such as 0.1",
            )

    def score(self, texts: Texts, measure: Measure | None) -> ScoreColumns:
        """Score each text; ``measure`` is not used."""
        keys = _keys_of(texts)
        is_first = keys["text_key"].is_first_distinct()
        pool, chunks = _Counts(), _ChunksAside()
        characters = CharacterCounts(_CHARACTERS_COUNTED * self.max_tokens)
        count_chunk = partial(_count_chunk, max_words=self.max_tokens)
        for chunk in _mapped(count_chunk, _slices(texts, is_first)):
            chunks.add(pool.with_codes(chunk))
        for some in _slices(texts, is_first):
            characters.add(some)
        score_chunk = partial(_score_chunk, pool=pool, alpha=self.alpha)
        scores = pl.concat(_mapped(score_chunk, chunks))
        spelt = _mapped(characters.cross_entropy, _slices(texts, is_first))
        by_character = pl.Series("ie_char", np.concatenate(list(spelt)), nan_to_null=True)
        scores = scores.insert_column(scores.columns.index("words"), by_character)
        if is_first.all():
            frame = keys.select("key").hstack(scores)
        else:
            scored = scores.hstack([keys["text_key"].filter(is_first)])
            frame = keys.join(scored, on="text_key", how="left", maintain_order="left")
            frame = frame.drop("text_key")
        return ScoreColumns(frame, _notes(scores, pool))


def split_words(texts: pl.Series, *, max_words: int) -> pl.DataFrame:
    """Split texts into lower-cased words, and keep the first ones.

    Parameters
    ----------
    texts : polars.Series of String
    max_words : int
        How many words of each text to keep.

    Returns
    -------
    polars.DataFrame
        ``words``, a list of strings, and ``cut``: whether the text had more words.

    Examples
    --------
    >>> split_words(pl.Series(["Don't stop 漢字!"]), max_words=4).rows()
    [(["don't", 'stop', '漢', '字'], True)]
    """
    # The end of a beginning may split a word in two ("don't" into "don" and "'"): with two words
    # more than are kept, those that are kept are whole, and there is at least one more.
    enough = max_words + 2
    beginning = pl.col("text").str.head(_CHARACTERS_PER_WORD * enough)
    # A text is split as a whole only if its beginning may hold too few words: rows that are null
    # cost nothing, and a book costs no more than a page.
    unsure = (pl.col("beginning").str.len_bytes() < pl.col("text").str.len_bytes()) & (
        pl.col("words").list.len() < enough
    )
    whole = pl.when(unsure).then("text")
    return (
        texts.to_frame("text")
        .with_columns(beginning=beginning)
        .with_columns(words=_split(pl.col("beginning")))
        .select(words=pl.when(unsure).then(_split(whole)).otherwise("words"))
        .select(
            words=pl.col("words").list.head(max_words),
            cut=pl.col("words").list.len() > max_words,
        )
    )


def _split(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.extract_all(WORD)


@dataclass(frozen=True)
class _Chunk:
    """The words of some texts as numbers, the texts laid end to end.

    Parameters
    ----------
    codes : ndarray of uint32, shape (words,)
    own_counts : ndarray of an unsigned integer type, shape (words,)
        How often each word is in its text.
    lengths : ndarray of int64, shape (texts,)
        Number of words of each text; may be 0.
    cut : ndarray of bool, shape (texts,)
    vocabulary : polars.Series of String, length V, or None
        The distinct words; a word's place is its code. None where codes are those of the pool.
    """

    codes: NDArray[np.uint32]
    own_counts: NDArray[np.unsignedinteger[Any]]
    lengths: NDArray[np.int64]
    cut: NDArray[np.bool_]
    vocabulary: pl.Series | None = None


class _Counts:
    """How often the words of all chunks together occur, by codes that hold for all of them."""

    def __init__(self) -> None:
        self.counts = np.zeros(1 << 16, dtype=np.int64)
        self.words = 0
        self._codes: dict[str, int] = {}

    @property
    def vocabulary(self) -> int:
        """The number of distinct words."""
        return len(self._codes)

    def with_codes(self, chunk: _Chunk) -> _Chunk:
        """Count a chunk's words; return it with the codes of all chunks."""
        assert chunk.vocabulary is not None
        known, words = self._codes, chunk.vocabulary.to_list()
        codes = np.array([known.setdefault(word, len(known)) for word in words], np.uint32)
        if len(known) > self.counts.size:
            self.counts = np.pad(self.counts, (0, max(self.counts.size, len(known))))
        self.counts[codes] += np.bincount(chunk.codes, minlength=codes.size)
        self.words += chunk.codes.size
        return replace(chunk, codes=codes[chunk.codes], vocabulary=None)


class _ChunksAside:
    """Chunks that wait for their scores: in memory and, once they are many, in a file."""

    def __init__(self) -> None:
        self._in_memory: list[_Chunk] = []
        self._in_file: list[list[tuple[np.dtype[Any], tuple[int, int]]]] = []
        self._bytes = 0
        self._file: TemporaryFile | None = None

    def add(self, chunk: _Chunk) -> None:
        """Add a chunk behind those that are there."""
        arrays = (chunk.codes, chunk.own_counts, chunk.lengths, chunk.cut)
        self._bytes += sum(array.nbytes for array in arrays)
        if self._bytes <= MOST_IN_MEMORY:
            self._in_memory.append(chunk)
            return
        file = self._file = self._file or TemporaryFile()
        self._in_file.append([(array.dtype, file.add(array.tobytes())) for array in arrays])

    def __iter__(self) -> Iterator[_Chunk]:
        yield from self._in_memory
        for arrays in self._in_file:
            assert self._file is not None
            codes, own_counts, lengths, cut = (
                np.frombuffer(self._file.read(*place), dtype) for dtype, place in arrays
            )
            yield _Chunk(codes, own_counts, lengths, cut)


def _keys_of(texts: Texts) -> pl.DataFrame:
    """Return ``key``, and ``text_key``: equal texts share it, whatever contexts they stand in."""
    found = [pl.DataFrame(schema={"key": pl.String, "text_key": pl.String})]
    for part in texts.parts():
        pairs = zip(part["key"], part["text"], part["context"], strict=True)
        same = part["context"].null_count() == part.height  # then texts are as distinct as keys
        text_keys = (
            part["key"]
            if same
            else pl.Series(
                [key if context is None else text_key(text) for key, text, context in pairs]
            )
        )
        found.append(part.select("key", text_key=text_keys))
    return pl.concat(found)


def _slices(texts: Texts, wanted: pl.Series) -> Iterator[pl.Series]:
    """Yield the wanted texts, some at a time."""
    row = 0
    for part in texts.parts():
        some = part["text"].filter(wanted.slice(row, part.height))
        row += part.height
        # Each chunk has its own list of words: of short texts there are more in a chunk, or the
        # lists would be longer than the texts.
        mean_bytes = max(int(some.str.len_bytes().sum()), 1) / max(len(some), 1)
        step = int(np.clip(_BYTES_PER_CHUNK / mean_bytes, _FEWEST_TEXTS, _MOST_TEXTS))
        yield from (some.slice(start, step) for start in range(0, len(some), step))
    if not row:
        yield pl.Series([], dtype=pl.String)


def _mapped(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Do some work on each item, in order, by threads that take few items in advance.

    Polars and numpy use one core each, but not Python's lock.
    """
    number = min(pl.thread_pool_size(), _MOST_THREADS)
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(number) as threads:
        for item in items:
            waiting.append(threads.submit(work, item))
            if len(waiting) > number:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _count_chunk(texts: pl.Series, *, max_words: int) -> _Chunk:
    split = split_words(texts, max_words=max_words)
    lengths = split["words"].list.len().to_numpy().astype(np.int64)
    # Nulls, because some versions of polars explode an empty list into one.
    words = split.select(word=pl.col("words").explode()).drop_nulls().with_row_index("place")
    # For each distinct word its places, in ascending order.
    places = words.group_by("word").agg("place")
    place = places["place"].explode().to_numpy()
    code = np.repeat(np.arange(places.height), places["place"].list.len().to_numpy())
    text = np.repeat(np.arange(len(texts)), lengths)[place]
    # So grouped, the repeats of a word in one text are neighbours.
    ends = np.flatnonzero(np.diff(code * len(texts) + text, append=-1)) + 1
    repeats = np.diff(ends, prepend=0)
    codes = np.empty(words.height, dtype=np.uint32)
    codes[place] = code
    own_counts = np.empty(words.height, dtype=np.min_scalar_type(max_words))
    own_counts[place] = np.repeat(repeats, repeats)
    return _Chunk(codes, own_counts, lengths, split["cut"].to_numpy(), places["word"])


def _score_chunk(chunk: _Chunk, pool: _Counts, *, alpha: float) -> pl.DataFrame:
    scored = chunk.lengths >= _FEWEST_WORDS
    lengths = chunk.lengths[scored]
    in_scored = np.repeat(scored, chunk.lengths)
    own_counts = chunk.own_counts[in_scored]
    scores = {
        "ie": entropy.word_cross_entropy(
            own_counts,
            pool.counts[chunk.codes[in_scored]],
            lengths,
            pool_words=pool.words,
            pool_vocabulary=pool.vocabulary,
            alpha=alpha,
        ),
        "ie_plugin": entropy.word_entropy(own_counts, lengths),
        "ie_norm": entropy.normalised_word_entropy(own_counts, lengths),
    }
    return pl.DataFrame(
        {
            **{name: _with_nulls(values, scored) for name, values in scores.items()},
            "words": chunk.lengths,
            "ie_cut": chunk.cut,
        }
    ).with_columns(ie_reason=pl.when(pl.col("words") < _FEWEST_WORDS).then(pl.lit(_TOO_SHORT)))


def _with_nulls(values: NDArray[np.float64], where: NDArray[np.bool_]) -> pl.Series:
    column = np.full(where.size, np.nan)
    column[where] = values
    return pl.Series(column, nan_to_null=True)


def _notes(scores: pl.DataFrame, pool: _Counts) -> dict[str, Any]:
    return {
        "pool_words": pool.words,
        "pool_vocabulary": pool.vocabulary,
        "texts_cut": int(scores["ie_cut"].sum()),
        "texts_too_short": scores["ie_reason"].count(),
    }
