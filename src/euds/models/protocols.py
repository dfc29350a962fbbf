"""What ``euds`` needs of a language model, of a sentence encoder and of an entailment model.

Texts go in as strings and numbers come out; tokenising, batching and devices are the model's own
business. Results never depend on what else is in the call: the same text gives the same numbers
alone or among thousands (a model that computes in a reduced precision must batch accordingly).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Encoder",
    "EntailmentModel",
    "LanguageModel",
    "OptionScores",
    "SampledText",
    "TokenStatistics",
    "uniform_streams",
]


@dataclass(frozen=True)
class TokenStatistics:
    """What a model expected at each token of one text, and how surprised it was.

    Parameters
    ----------
    entropy_nats : ndarray of float32, shape (tokens,)
        Entropy of the model's predictive distribution before each token of the text.
    nll_nats : ndarray of float32, shape (tokens,)
        Negative log-likelihood of each token of the text.
    cut : bool
        Whether the text, or its context, was longer than allowed.
    """

    entropy_nats: NDArray[np.float32]
    nll_nats: NDArray[np.float32]
    cut: bool


@dataclass(frozen=True)
class OptionScores:
    """How likely each of a closed set of continuations is after each prompt.

    Parameters
    ----------
    log_prob_nats : ndarray of float64, shape (prompts, options)
        Log-probability of the whole option given the prompt: the sum over its tokens.
    tokens : ndarray of int64, shape (options,)
        Number of tokens of each option.
    """

    log_prob_nats: NDArray[np.float64]
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class SampledText:
    """One continuation drawn from a model.

    Parameters
    ----------
    text : str
        The continuation, without the token that ended it.
    log_prob_nats : float
        Log-probability of the drawn tokens at temperature 1, the ending token included.
    tokens : int
        Number of tokens drawn, the ending token included.
    """

    text: str
    log_prob_nats: float
    tokens: int


@runtime_checkable
class LanguageModel(Protocol):
    """A causal language model."""

    @property
    def has_chat_template(self) -> bool:
        """Whether prompts can be put to the model as a user's message (``chat=True``)."""

    def truncate(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Return each text cut after its first ``max_tokens`` tokens."""

    def token_statistics(
        self,
        texts: Sequence[str],
        contexts: Sequence[str | None],
        *,
        max_tokens: int,
        max_context_tokens: int,
    ) -> list[TokenStatistics]:
        """Return the statistics of each text's tokens, given its context, in one forward pass.

        The sequence is: beginning-of-sequence token, the last ``max_context_tokens`` tokens of the
        context (those next to the text), the first ``max_tokens`` tokens of the text. Only the
        text's tokens are reported, the first one included.
        """

    def option_log_probs(
        self, prompts: Sequence[str], options: Sequence[str], *, chat: bool = False
    ) -> OptionScores:
        """Return the log-probability of each option as the continuation of each prompt.

        Options are appended as they are: a caller whose prompt does not end in white space begins
        its options with a space. With ``chat`` a prompt is put as a user's message and the option
        is the beginning of the reply.
        """

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
        """Draw ``count`` continuations of each prompt from the model's full distribution.

        A prompt's draws depend on the prompt, its seed and the parameters alone. No top-k or top-p
        filter is applied. A continuation ends with the model's end token, with a token that holds a
        line break if ``stop_at_newline``, or after ``max_new_tokens`` tokens.
        """


# Uniform numbers that belong to one draw of one prompt.


def uniform_streams(seed: int, *, count: int, steps: int) -> NDArray[np.float64]:
    """Return the uniform numbers of one prompt's draws, shape ``(count, steps)``, in [0, 1).

    More draws, or more steps, leave those that were there as they are.

    Parameters
    ----------
    seed : int
        The prompt's, not negative.
    count, steps : int
        Number of draws, and of numbers for each.

    Examples
    --------
    >>> few, many = uniform_streams(3, count=2, steps=4), uniform_streams(3, count=5, steps=9)
    >>> bool((few == many[:2, :4]).all())
    True
    """
    streams = [np.random.default_rng([seed, draw]).random(steps) for draw in range(count)]
    return np.array(streams).reshape(count, steps)


# What ``euds`` needs of a sentence encoder and of an entailment model.


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors whose dot product is a similarity of meaning."""

    def encode(self, texts: Sequence[str], *, max_tokens: int = 128) -> NDArray[np.float32]:
        """Return one vector of length 1 a text, shape ``(texts, dimensions)``."""


@runtime_checkable
class EntailmentModel(Protocol):
    """Judges whether a premise entails a hypothesis."""

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability that each premise entails its hypothesis, shape ``(pairs,)``."""
