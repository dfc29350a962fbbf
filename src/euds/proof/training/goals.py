"""Rows as an encoder reads them, and what its head learns: classes, or words of a context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from euds.proof.training.protocol import Samples
from euds.proof.training.spans import (
    Span,
    best_span,
    find_answer,
    has_answer,
    no_answer_word,
    tokens_of_characters,
)

__all__ = ["ClassGoal", "Goal", "SpanGoal", "TokenisedRow", "tokenised"]


# The rows of a proof as an encoder reads them, cut into tokens once for all trainings.


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


_NO_ANSWER: Span = (0, 0)  # token 0 as the first and the last of the answer


class Goal(Protocol):
    """What the head on top of the encoder is trained for."""

    head: str
    """The class of transformers that puts such a head on an encoder."""

    options: dict[str, Any]
    """What its configuration must say."""

    def targets(self, row: int) -> dict[str, int]:
        """Return what the model is to say of a row of the pool, as it takes it."""

    def answers(self, output: Any, rows: Sequence[int]) -> list[str]:
        """Return what the model's output says of rows, in their order."""


class ClassGoal:
    """One class a row; implements `Goal`.

    All classes of the pool have an output, also those that a subset lacks: the arms are asked the
    same question.

    Parameters
    ----------
    samples : Samples
        The labels.
    """

    head = "AutoModelForSequenceClassification"

    def __init__(self, samples: Samples) -> None:
        self.classes = samples.classes
        self.labels = samples.labels
        self.number = {label: index for index, label in enumerate(self.classes)}
        self.options = {
            "num_labels": len(self.classes),
            "problem_type": "single_label_classification",  # one class alone is no regression
        }

    def targets(self, row: int) -> dict[str, int]:
        """Return the number of the row's class."""
        label = self.labels[row]
        assert label is not None, "a row without a label cannot be trained on"
        return {"labels": self.number[label]}

    def answers(self, output: Any, rows: Sequence[int]) -> list[str]:
        """Return the likeliest class of each row."""
        return [self.classes[index] for index in output.logits[: len(rows)].argmax(-1).tolist()]


class SpanGoal:
    """The words of the context that answer a question, if there are any; implements `Goal`.

    An answer that is not in the context, as far as it is read, is trained as no answer.

    Parameters
    ----------
    samples : Samples
        The contexts and labels.
    rows : sequence of TokenisedRow
        The same, cut into tokens.
    """

    head = "AutoModelForQuestionAnswering"

    def __init__(self, samples: Samples, rows: Sequence[TokenisedRow]) -> None:
        self.samples = samples
        self.rows = rows
        self.options: dict[str, Any] = {"num_labels": 2}  # the first token, and the last
        self.no_answer = no_answer_word(samples.labels)
        self.spans = [self._span(row) for row in range(len(rows))]

    @property
    def unreachable(self) -> int:
        """How many answers are not found in the context, or only where it was cut."""
        return sum(
            span == _NO_ANSWER and label is not None and has_answer(label)
            for span, label in zip(self.spans, self.samples.labels, strict=True)
        )

    def targets(self, row: int) -> dict[str, int]:
        """Return the first and the last token of the row's answer."""
        span = self.spans[row]
        assert span is not None, "a row without a label cannot be trained on"
        return {"start_positions": span[0], "end_positions": span[1]}

    def answers(self, output: Any, rows: Sequence[int]) -> list[str]:
        """Return the likeliest words of each row's context, as they are written there."""
        first, last = (
            logits.float().cpu().numpy() for logits in (output.start_logits, output.end_logits)
        )
        return [self._words(row, first[at], last[at]) for at, row in enumerate(rows)]

    def _span(self, row: int) -> Span | None:
        """Return the tokens that answer a row: None where there is no label to tell."""
        label, context = self.samples.labels[row], self.samples.contexts[row]
        if label is None:
            return None
        place = find_answer(label, context or "") if has_answer(label) else None
        if place is None:
            return _NO_ANSWER
        held = tokens_of_characters(place, self.rows[row].context_tokens)
        if held is None:
            return _NO_ANSWER
        start = self.rows[row].context_start
        return start + held[0], start + held[1]

    def _words(self, row: int, first: Any, last: Any) -> str:
        one = self.rows[row]
        span = best_span(first, last, context=one.context_span)
        if span is None:
            return self.no_answer
        start = one.context_tokens[span[0] - one.context_start][0]
        stop = one.context_tokens[span[1] - one.context_start][1]
        return (self.samples.contexts[row] or "")[start:stop].strip()
