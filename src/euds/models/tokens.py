"""Token ids for a language model: user text is plain characters, never control tokens."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euds.errors import ModelError, OptionError
from euds.models.extras import readable_load_errors
from euds.models.hardware import TOKENIZING

__all__ = ["Tokens"]

_SENTINEL = "\u2402PROMPT\u2403"
_ANCHOR = "\n"
# Some templates name the day; a score must not depend on it.
_NO_CLOCK = "{% macro strftime_now(format) %}01 Jan 2025{% endmacro %}"


@dataclass(frozen=True)
class Tokens:
    """A tokenizer with the rules of this package.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        The model's own.
    start_id : int
        The token that begins every sequence.
    end_ids : frozenset of int
        The tokens that end a continuation.
    vocabulary : int
        Number of ids that the model knows, which may exceed the tokenizer's.
    """

    tokenizer: Any
    start_id: int
    end_ids: frozenset[int]
    vocabulary: int

    @classmethod
    def of_model(cls, tokenizer: Any, model: Any) -> Tokens:
        """Return the tokens of a loaded model.

        Raises
        ------
        ModelError
            If neither tokenizer nor configuration names a token to begin with.
        """
        settings = model.config.get_text_config()
        start = _first(
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            getattr(settings, "bos_token_id", None),
            getattr(settings, "eos_token_id", None),
        )
        if start is None:
            raise ModelError(
                "the tokenizer names no token that begins or ends a text",
                where=str(tokenizer.name_or_path),
                expected="a bos_token or an eos_token",
            )
        ends = _ids(tokenizer.eos_token_id) | _ids(getattr(settings, "eos_token_id", None))
        ends |= _ids(getattr(model.generation_config, "eos_token_id", None))
        return cls(tokenizer, start, frozenset(ends), int(settings.vocab_size))

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer knows how a user's message is put to the model."""
        return getattr(self.tokenizer, "chat_template", None) is not None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without any special token."""
        return self._ids(texts, split_special_tokens=True)

    def encode_after(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as it stands inside a sequence, after other text.

        Some tokenizers put a space before whatever they are given. That is right at the beginning
        and wrong in the middle, so there a text is encoded behind an anchor that is taken off.
        """
        if not self._adds_space:
            return self.encode(texts)
        anchor = self.encode([_ANCHOR])[0]
        anchored = self.encode([_ANCHOR + text for text in texts])
        plain = self.encode(texts)
        return [
            ids[len(anchor) :] if ids[: len(anchor)] == anchor else alone
            for ids, alone in zip(anchored, plain, strict=True)
        ]

    def prompts(self, prompts: Sequence[str], *, chat: bool) -> list[tuple[int, ...]]:
        """Return the ids of whole prompts, from the token that begins a sequence.

        Raises
        ------
        OptionError
            If ``chat`` is asked of a model without a chat template.
        ModelError
            If the chat template does not show the user's message exactly once.
        """
        if not chat:
            return [(self.start_id, *ids) for ids in self.encode(prompts)]
        before, after = self._chat_frame
        return [(*before, *ids, *after) for ids in self.encode_after(prompts)]

    def truncate(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Return each text cut after its first ``max_tokens`` tokens.

        The cut text has at most that many tokens when it is encoded again, which is fewer where the
        last token was part of a character.
        """
        lengths = [len(ids) for ids in self.encode(texts)]
        return [
            text if length <= max_tokens else self._cut(text, max_tokens)
            for text, length in zip(texts, lengths, strict=True)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some ids, without special tokens."""
        return str(
            self.tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    @functools.cached_property
    def holds_line_break(self) -> NDArray[np.bool_]:
        """Whether each id stands for text with a line break in it, shape ``(vocabulary,)``."""
        known = min(self.vocabulary, len(self.tokenizer))
        pieces = self.tokenizer.batch_decode(
            [[index] for index in range(known)], clean_up_tokenization_spaces=False
        )
        mask = np.zeros(self.vocabulary, dtype=bool)
        mask[:known] = ["\n" in piece for piece in pieces]
        return mask

    def _ids(self, texts: Sequence[str], *, split_special_tokens: bool) -> list[list[int]]:
        if not texts:
            return []
        with TOKENIZING:
            encoded = self.tokenizer(
                list(texts),
                add_special_tokens=False,
                split_special_tokens=split_special_tokens,
                return_attention_mask=False,
                verbose=False,  # no remark about texts longer than the model: they are cut later
            )
        return [list(ids) for ids in encoded["input_ids"]]

    @functools.cached_property
    def _adds_space(self) -> bool:
        """Whether the tokenizer puts a space of its own before a text."""
        together, second = self.encode(["a\na", "a"])
        return together[-len(second) :] != second

    def _cut(self, text: str, max_tokens: int) -> str:
        for kept in range(max_tokens, 0, -1):
            cut = self._beginning(text, kept)
            if len(self.encode([cut])[0]) <= max_tokens:
                return cut
        return ""

    def _beginning(self, text: str, tokens: int) -> str:
        """Return the characters that the first ``tokens`` tokens of a text stand for."""
        if not self.tokenizer.is_fast:
            return self.decode(self.encode([text])[0][:tokens])
        with TOKENIZING:
            encoded = self.tokenizer(
                text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
                verbose=False,
            )
        return text[: encoded["offset_mapping"][tokens - 1][1]]

    @functools.cached_property
    def _chat_frame(self) -> tuple[list[int], list[int]]:
        """The ids that the chat template puts before and after a user's message."""
        if not self.has_chat_template:
            raise OptionError(
                "the model has no chat template",
                where=str(self.tokenizer.name_or_path),
                next_step="use a plain prompt, or a model tuned for chat",
            )
        with readable_load_errors(str(self.tokenizer.name_or_path)):
            rendered = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": _SENTINEL}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
                chat_template=_NO_CLOCK + self.tokenizer.get_chat_template(),
            )
        before, found, after = rendered.partition(_SENTINEL)
        if not found or _SENTINEL in after:
            raise ModelError(
                "the chat template does not show the user's message exactly once",
                where=str(self.tokenizer.name_or_path),
                next_step="use a plain prompt",
            )
        # The template writes the first token itself, as its author meant it: none is added.
        (first,) = self._ids([before], split_special_tokens=False)
        (last,) = self._ids([after], split_special_tokens=False)
        return first, last


def _first(*candidates: Any) -> int | None:
    for candidate in candidates:
        for index in sorted(_ids(candidate)):
            return index
    return None


def _ids(value: Any) -> set[int]:
    """Return a configuration's token ids, which may be one, several or none."""
    if value is None:
        return set()
    return {int(one) for one in value} if isinstance(value, list | tuple) else {int(value)}
