"""The rows of a proof as an encoder reads them, cut into tokens once for all trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from euds.proof.spans import Span

__all__ = ["TokenisedRow", "tokenised"]


@dataclass(frozen=True)
class TokenisedRow:
    """One row, cut into tokens.

    Parameters
    ----------
    inputs : dict of str to list of int
        What the model takes, by name: ``input_ids`` and, for some models, ``token_type_ids``. There
        is no mask, as there is no padding yet.
    context_start : int
        The number of the context's first token.
    context_tokens : tuple of (int, int)
        The characters of the context that each of its tokens stands for; empty for a row that is
        not a pair.
    """

    inputs: dict[str, list[int]]
    context_start: int = 0
    context_tokens: tuple[Span, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs["input_ids"])

    @property
    def context_span(self) -> Span:
        """The numbers of the context's first token, and of the first behind it."""
        return self.context_start, self.context_start + len(self.context_tokens)


def tokenised(
    tokenizer: Any,
    texts: Sequence[str],
    contexts: Sequence[str | None] | None = None,
    *,
    max_tokens: int,
) -> list[TokenisedRow]:
    """Cut texts, or pairs of a question and its context, into tokens.

    Of a pair that is too long the context is cut. Only a question that would leave the context less
    than half of the room is cut too, and gets as much of it as the context does not need.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        The encoder's tokenizer.
    texts : sequence of str
        The texts, or the questions.
    contexts : sequence of str or None, optional
        The contexts; without them the texts are read alone. None in it is an empty context.
    max_tokens : int
        The most tokens of a row, special tokens included.
    """
    if not texts:
        return []
    parts = [list(texts)]
    if contexts is not None:
        parts.append([context or "" for context in contexts])
    encoded = tokenizer(
        *parts,
        truncation="longest_first",  # leaves a question of up to half of the room whole
        max_length=max_tokens,
        split_special_tokens=True,  # "[SEP]" in a text is five characters
        return_attention_mask=False,
        return_offsets_mapping=True,
    )
    offsets = encoded.pop("offset_mapping")
    found = []
    for number in range(len(texts)):
        inputs = {name: list(values[number]) for name, values in encoded.items()}
        origins = encoded.sequence_ids(number)
        context = [index for index, origin in enumerate(origins) if origin == 1]
        places = tuple(
            (int(start), int(stop)) for start, stop in (offsets[number][i] for i in context)
        )
        found.append(TokenisedRow(inputs, context[0] if context else 0, places))
    return found
