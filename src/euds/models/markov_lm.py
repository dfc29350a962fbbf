"""A language model small enough to be known exactly.

A first-order Markov chain over a few words: the next word depends on the last one alone. Every
continuation up to a length can be listed with its probability, so every entropy that the package
estimates has an exact value here. It ships for tests, for documentation and for a dry run without a
download.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from euds.errors import OptionError
from euds.models.protocols import OptionScores, SampledText, TokenStatistics, uniform_streams

__all__ = ["MarkovLM"]

_WORD = re.compile(r"\S+")
_WORDS = ("the", "a", "film", "book", "cat", "was", "is", "very", "good", "bad", "and")
_END_WEIGHT = 60


@dataclass(frozen=True, eq=False)
class MarkovLM:
    """A Markov chain over words; implements `euds.models.protocols.LanguageModel`.

    A token is a word between white space. A word that is not in the vocabulary stands for one that
    is, chosen by a hash, so that any text can be scored.

    Parameters
    ----------
    vocabulary : tuple of str
        The words.
    start : ndarray of float64, shape (words + 1,)
        Probability of each word at the beginning; the last entry is the end.
    transitions : ndarray of float64, shape (words, words + 1)
        Probability of each word, or of the end, after each word.
    """

    vocabulary: tuple[str, ...]
    start: NDArray[np.float64]
    transitions: NDArray[np.float64]

    def __post_init__(self) -> None:
        words = len(self.vocabulary)
        if self.start.shape != (words + 1,) or self.transitions.shape != (words, words + 1):
            raise ValueError("start and transitions do not fit the vocabulary")
        if (self._rows < 0).any() or not np.allclose(self._rows.sum(axis=1), 1.0, atol=1e-12):
            raise ValueError("start and transitions must be probabilities")

    @classmethod
    def default(cls) -> MarkovLM:
        """Return the model called ``toy``.

        Its weights are squares of small numbers from a hash, so no library's version changes them.
        """
        weights = np.array(
            [
                [_weight(before, after) for after in _WORDS] + [_END_WEIGHT]
                for before in ("", *_WORDS)
            ],
            dtype=np.float64,
        )
        weights[0, -1] = 0.0  # a continuation has at least one word
        rows = weights / weights.sum(axis=1, keepdims=True)
        return cls(_WORDS, rows[0], rows[1:])

    @property
    def fingerprint(self) -> str:
        """A hash of the parameters: 32 hexadecimal digits."""
        digest = hashlib.blake2b("\n".join(self.vocabulary).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self._rows).tobytes())
        return digest.hexdigest()

    @property
    def has_chat_template(self) -> bool:
        """False: a Markov chain holds no conversation."""
        return False

    def truncate(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Return each text cut after its first ``max_tokens`` words."""
        return [_first_words(text, max_tokens) for text in texts]

    def token_statistics(
        self,
        texts: Sequence[str],
        contexts: Sequence[str | None],
        *,
        max_tokens: int,
        max_context_tokens: int,
    ) -> list[TokenStatistics]:
        """Return the statistics of each text's words; see `LanguageModel.token_statistics`."""
        found = []
        for text, context in zip(texts, contexts, strict=True):
            words, before = self.tokens(text), self.tokens(context or "")
            kept = words[:max_tokens]
            seen = before[max(0, len(before) - max_context_tokens) :]
            rows = self._rows[[self._row(seen), *(word + 1 for word in kept[:-1])][: len(kept)]]
            found.append(
                TokenStatistics(
                    entropy_nats=entr(rows).sum(axis=1).astype(np.float32),
                    nll_nats=-_log(rows[np.arange(len(kept)), kept]).astype(np.float32),
                    cut=len(kept) < len(words) or len(seen) < len(before),
                )
            )
        return found

    def option_log_probs(
        self, prompts: Sequence[str], options: Sequence[str], *, chat: bool = False
    ) -> OptionScores:
        """Return the log-probability of each option; see `LanguageModel.option_log_probs`.

        Raises
        ------
        OptionError
            If an option has no words, or ``chat`` is asked for.
        """
        _refuse_chat(chat=chat)
        words = [self.tokens(option) for option in options]
        for option, tokens in zip(options, words, strict=True):
            if not tokens:
                raise OptionError("an option has no tokens", got=repr(option))
        log_probs = [
            [self._log_prob(self._row(self.tokens(prompt)), tokens) for tokens in words]
            for prompt in prompts
        ]
        return OptionScores(
            np.array(log_probs, dtype=np.float64).reshape(len(prompts), len(options)),
            np.array([len(tokens) for tokens in words], dtype=np.int64),
        )

    def sample(
        self,
        prompts: Sequence[str],
        *,
        count: int,
        max_new_tokens: int,
        seeds: Sequence[int],
        temperature: float = 1.0,
        chat: bool = False,
        stop_at_newline: bool = False,
    ) -> list[list[SampledText]]:
        """Draw continuations of each prompt; see `LanguageModel.sample`.

        No word holds a line break, so ``stop_at_newline`` changes nothing.

        Raises
        ------
        OptionError
            If ``temperature`` is not above 0, or ``chat`` is asked for.
        """
        _refuse_chat(chat=chat)
        if temperature <= 0:
            raise OptionError("a temperature must be above 0", got=str(temperature))
        heated = np.exp(_log(self._rows) / temperature)
        levels = (heated / heated.sum(axis=1, keepdims=True)).cumsum(axis=1)
        return [
            [
                self._draw(self._row(self.tokens(prompt)), levels, uniforms)
                for uniforms in uniform_streams(seed, count=count, steps=max_new_tokens)
            ]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def tokens(self, text: str) -> list[int]:
        """Return the index of each word of a text in the vocabulary."""
        return [self._index(word) for word in text.split()]

    def continuations(
        self, prompt: str, *, max_new_tokens: int
    ) -> Iterator[tuple[str, float, float]]:
        """Yield every continuation of a prompt that `sample` can draw.

        Yields
        ------
        text : str
            The words, without the end.
        probability : float
            Of drawing it: it ended by itself, or has ``max_new_tokens`` words.
        entropies : float
            Sum of the entropies of the predictions along it, in nats.
        """
        yield from self._grow(self._row(self.tokens(prompt)), (), 1.0, 0.0, max_new_tokens)

    def sequence_entropy(self, prompt: str, *, max_new_tokens: int) -> float:
        """Return the exact entropy of the continuations of a prompt, in nats."""
        everything = self.continuations(prompt, max_new_tokens=max_new_tokens)
        return float(entr([probability for _, probability, _ in everything]).sum())

    def semantic_entropy(
        self, prompt: str, meaning: Callable[[str], Hashable], *, max_new_tokens: int
    ) -> float:
        """Return the exact entropy over the meanings of the continuations, in nats.

        Parameters
        ----------
        prompt : str
            What is continued.
        meaning : callable
            From a continuation's text to what it means.
        max_new_tokens : int
            Where a continuation is cut.
        """
        mass: dict[Hashable, float] = defaultdict(float)
        for text, probability, _ in self.continuations(prompt, max_new_tokens=max_new_tokens):
            mass[meaning(text)] += probability
        return float(entr(list(mass.values())).sum())

    @property
    def _rows(self) -> NDArray[np.float64]:
        """The distribution at the start, then those after each word, shape ``(words + 1, ...)``."""
        return np.vstack([self.start, self.transitions])

    @property
    def _end(self) -> int:
        return len(self.vocabulary)

    def _row(self, tokens: Sequence[int]) -> int:
        """Return the row of the distribution that follows some words."""
        return tokens[-1] + 1 if tokens else 0

    def _index(self, word: str) -> int:
        if word in self.vocabulary:
            return self.vocabulary.index(word)
        return _hash(word) % len(self.vocabulary)

    def _log_prob(self, row: int, tokens: Sequence[int]) -> float:
        rows = [row, *(token + 1 for token in tokens[:-1])]
        return float(_log(self._rows[rows, tokens]).sum())

    def _draw(
        self, row: int, levels: NDArray[np.float64], uniforms: NDArray[np.float64]
    ) -> SampledText:
        """Draw one continuation by inverting the distribution function of each row."""
        words: list[str] = []
        log_prob = 0.0
        for uniform in uniforms:
            token = int(np.searchsorted(levels[row], uniform * levels[row, -1], side="right"))
            log_prob += float(_log(self._rows[row, token]))
            if token == self._end:
                return SampledText(" ".join(words), log_prob, len(words) + 1)
            words.append(self.vocabulary[token])
            row = token + 1
        return SampledText(" ".join(words), log_prob, len(words))

    def _grow(
        self, row: int, words: tuple[str, ...], probability: float, entropies: float, left: int
    ) -> Iterator[tuple[str, float, float]]:
        if left == 0:
            yield " ".join(words), probability, entropies
            return
        after = entropies + float(entr(self._rows[row]).sum())
        for token in np.flatnonzero(self._rows[row]):
            grown = probability * float(self._rows[row, token])
            if token == self._end:
                yield " ".join(words), grown, after
            else:
                longer = (*words, self.vocabulary[token])
                yield from self._grow(int(token) + 1, longer, grown, after, left - 1)


def _weight(before: str, after: str) -> int:
    # Never zero: every text can be scored in a dry run.
    return (1 + _hash(f"{before} {after}") % 12) ** 2


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):  # an impossible word has log-probability -inf
        logs: NDArray[np.float64] = np.log(values)
    return logs


def _first_words(text: str, count: int) -> str:
    words = list(_WORD.finditer(text))
    return text if len(words) <= count else text[: words[count - 1].end() if count else 0]


def _refuse_chat(*, chat: bool) -> None:
    if chat:
        raise OptionError(
            "the toy model has no chat template", next_step="use a plain prompt, or another model"
        )
