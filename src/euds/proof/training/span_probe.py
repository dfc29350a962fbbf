"""The probe for questions whose answer is words of a context: the part that needs torch.

The encoder reads question and context as one sequence, once. What is trained are two directions in
the space of its token states: how far a token lies along the first says how much it looks like the
beginning of the answer, along the second like its end. The first token of the sequence stands for
no answer. Each of the two is a choice of one token among those of a row, so the likelihood is that
of a conditional logit (McFadden 1974), convex in the weights; a bias would cancel. Alignment and
the choice of a span are those of fine-tuning (`euds.proof.training.goals`).

An encoder that was trained for sentence vectors alone does not bring question and answer together
in its token states: with MiniLM on Disfl-QA the probe does no better than always saying that there
is no answer. An encoder that was trained to read pairs may do better; that was not measured.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from euds.errors import ModelError, OptionError
from euds.models.batching import equal_length_batches, filled, rows_needed
from euds.models.protocols import Encoder
from euds.models.transformers_encoder import TransformersEncoder
from euds.progress import Progress, TimeLeft
from euds.proof.training.goals import SpanGoal, TokenisedRow, tokenised
from euds.proof.training.initial_model import load_tokenizer
from euds.proof.training.protocol import (
    MOST_ITERATIONS,
    REGULARISATION,
    Outcome,
    Rows,
    Samples,
    Settings,
)

__all__ = ["SpanProbe", "fit_directions"]

_STAGE = "token-states"
_MOST_BYTES = 4 * 2**30
_FLAT = 1e-4  # the largest derivative of the mean loss at the end, as in the probe of classes

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SpanProbe:
    """Two linear directions on frozen token states; implements `Course`.

    Parameters
    ----------
    goal : SpanGoal
        Where the answers are, and what an answer is called.
    rows : sequence of TokenisedRow
        The samples, cut into tokens.
    states : ndarray of float16, shape (tokens of all rows, dimensions)
        For each row the state of its first token, then of its context's tokens, of length 1.
    begins : ndarray of int64, shape (rows + 1,)
        Where the states of each row begin; at last, how many there are.
    preparing_seconds : float
        Wall-clock time of cutting and reading.
    """

    goal: SpanGoal
    rows: Sequence[TokenisedRow]
    states: NDArray[np.float16]
    begins: NDArray[np.int64]
    preparing_seconds: float

    @classmethod
    def load(
        cls,
        folder: Path,
        encoder: Encoder,
        samples: Samples,
        progress: Progress,
        *,
        max_tokens: int,
    ) -> SpanProbe:
        """Read every question with its context, and keep the states that may be pointed at.

        Raises
        ------
        OptionError
            If the states would not fit into memory.
        ModelError
            If the tokenizer cannot tell where a token came from, or a state is not finite.
        """
        if not isinstance(encoder, TransformersEncoder):
            raise ModelError("the encoder does not show the states of its tokens")
        started = time.perf_counter()
        tokenizer = load_tokenizer(folder)
        limit = min(max_tokens, tokenizer.model_max_length)
        rows = tokenised(tokenizer, samples.texts, samples.contexts, max_tokens=limit)
        goal = SpanGoal(samples, rows)
        if goal.unreachable:
            progress.note(
                f"{goal.unreachable:,} answers are not in the first {limit} tokens of their row "
                f"and are trained as 'no answer'"
            )
        sizes = [1 + len(row.context_tokens) for row in rows]
        begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        states = _states(encoder, rows, begins, progress)
        return cls(goal, rows, states, begins, time.perf_counter() - started)

    @property
    def forward_seconds_a_row(self) -> float | None:
        """What one pass of a row through the encoder took."""
        return self.preparing_seconds / max(1, len(self.rows))

    def run(
        self, fit: Rows, ask: Rows, *, seed: int, settings: Settings, steps: int | None = None
    ) -> Outcome:
        """Solve for the two directions on the rows ``fit`` and answer the rows ``ask``.

        Neither the seed nor the number of steps changes anything.
        """
        started = time.perf_counter()
        candidates = np.concatenate([self._states_of(row) for row in fit.tolist()])
        sizes = np.diff(self.begins)[fit]
        chosen = np.array([self._chosen(row) for row in fit.tolist()])
        directions, taken = fit_directions(
            candidates.astype(np.float32), sizes, chosen, c=settings[REGULARISATION]
        )
        trained = time.perf_counter()
        answers = tuple(self._answer(row, directions) for row in ask.tolist())
        return Outcome(answers, taken, trained - started, time.perf_counter() - trained)

    def _states_of(self, row: int) -> NDArray[np.float16]:
        return self.states[self.begins[row] : self.begins[row + 1]]

    def _chosen(self, row: int) -> tuple[int, int]:
        """Return where a row's answer begins and ends among its states; 0 and 0 for no answer."""
        span = self.goal.targets(row)
        before = self.rows[row].context_start - 1
        first, last = span["start_positions"], span["end_positions"]
        return (first - before, last - before) if last else (0, 0)

    def _answer(self, row: int, directions: NDArray[np.float32]) -> str:
        logits = np.full((2, len(self.rows[row])), -np.inf, dtype=np.float32)
        begin, end = self.rows[row].context_span
        logits[:, [0, *range(begin, end)]] = (
            self._states_of(row).astype(np.float32) @ directions
        ).T
        first, last = torch.from_numpy(logits)[:, None]
        output = SimpleNamespace(start_logits=first, end_logits=last)
        return self.goal.answers(output, [row])[0]


def fit_directions(
    states: NDArray[np.float32],
    sizes: NDArray[np.int64],
    chosen: NDArray[np.int64],
    *,
    c: float,
) -> tuple[NDArray[np.float32], int]:
    """Return the directions that make the chosen candidates likeliest, and the iterations taken.

    They minimise 1/2 the squared length of both directions plus ``c`` times the negative
    log-likelihood of all choices, where the candidates of a row compete by a softmax.

    Parameters
    ----------
    states : ndarray of float32, shape (candidates of all rows, dimensions)
        The candidates of each row, one row after another.
    sizes : ndarray of int, shape (rows,)
        How many candidates each row has; at least one.
    chosen : ndarray of int, shape (rows, 2)
        Which of a row's candidates begins the answer, and which ends it.
    c : float
        The weight of the likelihood against the penalty.

    Returns
    -------
    directions : ndarray of float32, shape (dimensions, 2)
    iterations : int
    """
    rows, width = len(sizes), states.shape[1]
    begins = np.cumsum(sizes) - sizes
    row_of = np.repeat(np.arange(rows), sizes)
    right = begins[:, None] + chosen
    is_right = np.zeros((len(states), 2))
    np.put_along_axis(is_right, right, 1.0, axis=0)

    def mean_loss(weights: Floats) -> tuple[float, Floats]:
        """Return the objective over c x rows, which no number of rows scales, and its slope."""
        directions = weights.reshape(width, 2)
        logits = (states @ directions.astype(np.float32)).astype(np.float64)
        logits -= np.maximum.reduceat(logits, begins, axis=0)[row_of]
        exponentials = np.exp(logits)
        totals = np.add.reduceat(exponentials, begins, axis=0)
        loss = np.log(totals).sum() - np.take_along_axis(logits, right, axis=0).sum()
        errors = (exponentials / totals[row_of] - is_right).astype(np.float32)
        slope = (states.T @ errors).astype(np.float64) + directions / c
        penalty = 0.5 / c * float((directions**2).sum())
        return (float(loss) + penalty) / rows, slope.ravel() / rows

    found = minimize(
        mean_loss,
        np.zeros(2 * width),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_ITERATIONS, "gtol": _FLAT, "ftol": 64 * np.finfo(float).eps},
    )
    return found.x.reshape(width, 2).astype(np.float32), int(found.nit)


def _states(
    encoder: TransformersEncoder,
    rows: Sequence[TokenisedRow],
    begins: NDArray[np.int64],
    progress: Progress,
) -> NDArray[np.float16]:
    """Return the states of each row's first token and of its context's, scaled to length 1."""
    width = encoder.model.config.hidden_size
    needed = 2 * int(begins[-1]) * width
    if needed > _MOST_BYTES:
        raise OptionError(
            "the states of all tokens would not fit into memory",
            got=f"{needed / 2**30:.1f} GiB for {len(rows):,} rows",
            expected=f"at most {_MOST_BYTES / 2**30:.0f} GiB",
            next_step="use a smaller pool, a smaller --train-tokens, or --trainer fine-tune",
        )
    states = np.empty((int(begins[-1]), width), dtype=np.float16)
    lengths = [len(row) for row in rows]
    progress.begin(_STAGE, rows=len(rows), held=0)
    time_left = TimeLeft(sum(lengths))
    for batch in equal_length_batches(lengths, batch_tokens=encoder.batch_tokens):
        started = time.perf_counter()
        members = [rows[row].inputs for row in filled(batch, rows_needed(lengths[batch[0]]))]
        inputs = {
            name: torch.tensor([one[name] for one in members], device=encoder.model.device)
            for name in members[0]
        }
        with torch.inference_mode():
            found = encoder.model(**inputs).last_hidden_state.float()
            scaled = torch.nn.functional.normalize(found, dim=-1).cpu().numpy()
        for row, one in zip(batch.tolist(), scaled, strict=False):
            begin, end = rows[row].context_span
            states[begins[row]] = one[0]
            states[begins[row] + 1 : begins[row + 1]] = one[begin:end]
        seconds = time.perf_counter() - started
        left = time_left.after(sum(lengths[row] for row in batch), seconds=seconds)
        progress.advance(_STAGE, rows=len(batch), seconds=seconds, left=left)
    progress.end(_STAGE)
    if not np.isfinite(states).all():
        raise ModelError("the encoder gave a token state that is not finite")
    return states
