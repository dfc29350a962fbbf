"""What the head on top of an encoder is trained for: classes, or words of a context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from euds.proof.spans import (
    Span,
    best_span,
    find_answer,
    has_answer,
    no_answer_word,
    tokens_of_characters,
)
from euds.proof.tokenised import TokenisedRow
from euds.proof.training import Samples

__all__ = ["ClassGoal", "Goal", "SpanGoal"]

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
