"""The real language model: transformers on a CPU or a GPU.

What makes it fast without changing a number: sequences go through the network end to end, without
padding; only positions that predict a token asked about go through the LM head, and the logits of a
block of the vocabulary are reduced while they are in the cache; a prompt is run once, and all its
options, or all its draws, branch off its keys and values.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from euds.errors import ModelError, OptionError
from euds.models.attention import COLUMNS
from euds.models.batching import batches_of, equal_length_batches, filled, rows_needed
from euds.models.branches import branched_log_probs, tail_tokens
from euds.models.extras import quiet_transformers, readable_load_errors
from euds.models.hardware import Precision
from euds.models.network import Network
from euds.models.protocols import OptionScores, SampledText, TokenStatistics, uniform_streams
from euds.models.sampling import Draws, draw_batch, texts_before_end
from euds.models.tokens import Tokens

__all__ = ["TransformersLM"]

_BATCH_TOKENS = {"cpu": 512, "cuda": 16_384}
# A step after the prompts has few tokens a row, so it likes more rows than reading does.
_PROMPT_BATCHES = 4
_DRAWN_PER_STEP = {"cpu": 160, "cuda": 4_096}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TransformersLM:
    """A causal language model of transformers; implements `euds.models.protocols.LanguageModel`.

    Parameters
    ----------
    network : Network
        The loaded model.
    tokens : Tokens
        Its tokenizer.
    batch_tokens : int
        Tokens that go through the body together. It changes speed and not numbers.
    """

    network: Network
    tokens: Tokens
    batch_tokens: int

    @classmethod
    def load(
        cls, folder: Path, *, precision: Precision, batch_tokens: int | None = None
    ) -> TransformersLM:
        """Load model and tokenizer from a folder.

        Parameters
        ----------
        folder : pathlib.Path
            With safetensors, ``config.json`` and a tokenizer.
        precision : {"float32", "bfloat16"}
            What the network computes in. Entropies and probabilities are reduced in float32.
        batch_tokens : int, optional
            By default what was found fastest on such a device.

        Raises
        ------
        ModelError
            If transformers cannot load it, or only by running code that comes with it.
        """
        from transformers import AutoTokenizer

        network = Network.load(folder, precision=precision)
        with quiet_transformers(), readable_load_errors(str(folder)):
            tokenizer = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
            tokens = Tokens.of_model(tokenizer, network.model)
        return cls(network, tokens, batch_tokens or _BATCH_TOKENS[network.device.type])

    @property
    def has_chat_template(self) -> bool:
        """Whether prompts can be put to the model as a user's message (``chat=True``)."""
        return self.tokens.has_chat_template

    def truncate(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Return each text cut after its first ``max_tokens`` tokens."""
        return self.tokens.truncate(texts, max_tokens=max_tokens)

    def token_statistics(
        self,
        texts: Sequence[str],
        contexts: Sequence[str | None],
        *,
        max_tokens: int,
        max_context_tokens: int,
    ) -> list[TokenStatistics]:
        """Return the statistics of each text's tokens; see `LanguageModel.token_statistics`.

        Where beginning, context and text do not fit into the model's positions, the context gives
        way first.
        """
        limit = self._max_positions
        sequences, starts, cuts = [], [], []
        for text_ids, context_ids in zip(
            self.tokens.encode(texts),
            self.tokens.encode([context or "" for context in contexts]),
            strict=True,
        ):
            text = text_ids[: min(max_tokens, limit - 1)]
            kept = min(max_context_tokens, limit - 1 - len(text))
            context = context_ids[max(0, len(context_ids) - kept) :]
            sequences.append((self.tokens.start_id, *context, *text))
            starts.append(1 + len(context))
            cuts.append(len(text) < len(text_ids) or len(context) < len(context_ids))
        return [
            TokenStatistics(entropies, nlls, cut)
            for (entropies, nlls), cut in zip(self._read(sequences, starts), cuts, strict=True)
        ]

    def option_log_probs(
        self, prompts: Sequence[str], options: Sequence[str], *, chat: bool = False
    ) -> OptionScores:
        """Return the log-probability of each option; see `LanguageModel.option_log_probs`.

        Raises
        ------
        OptionError
            If an option has no tokens, or ``chat`` is asked of a model without a chat template.
        ModelError
            If a prompt is longer than the model's positions.
        """
        option_ids = self.tokens.encode_after(options)
        for option, ids in zip(options, option_ids, strict=True):
            if not ids:
                raise OptionError("an option has no tokens", got=repr(option))
        encoded = self.tokens.prompts(prompts, chat=chat)
        self._check_room(encoded, later=max(map(len, option_ids), default=0))
        distinct = list(dict.fromkeys(encoded))
        if tail_tokens(option_ids) == 0 or self.network.packs:
            found = self._branched(distinct, option_ids)
        else:
            found = self._apart(distinct, option_ids)
        places = {ids: place for place, ids in enumerate(distinct)}
        return OptionScores(
            found[[places[ids] for ids in encoded]],
            np.array([len(ids) for ids in option_ids], dtype=np.int64),
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

        Raises
        ------
        OptionError
            If ``temperature`` is not above 0, or ``chat`` is asked of a model without a chat
            template.
        ModelError
            If a prompt is longer than the model's positions.
        """
        if temperature <= 0:
            raise OptionError("a temperature must be above 0", got=str(temperature))
        encoded = self.tokens.prompts(prompts, chat=chat)
        self._check_room(encoded, later=max_new_tokens)
        is_end = self._ends(stop_at_newline=stop_at_newline)
        drawn: list[list[SampledText]] = [[] for _ in prompts]
        for batch in equal_length_batches(
            [len(ids) for ids in encoded],
            batch_tokens=_PROMPT_BATCHES * self.batch_tokens,
            most_rows=max(1, _DRAWN_PER_STEP[self.network.device.type] // count),
            round_to=COLUMNS if self.network.packs else 1,
        ):
            members = filled(batch, rows_needed(count))
            uniforms = np.stack(
                [
                    uniform_streams(seeds[index], count=count, steps=max_new_tokens)
                    for index in members
                ]
            )
            with torch.inference_mode():
                draws = draw_batch(
                    self.network,
                    [encoded[index] for index in members],
                    uniforms,
                    batch_tokens=self.batch_tokens,
                    is_end=is_end,
                    temperature=temperature,
                )
            for row, index in enumerate(batch):
                drawn[index] = self._texts(draws, row)
        return drawn

    @property
    def _max_positions(self) -> int:
        limit = self.network.max_positions
        return sys.maxsize if limit is None else limit

    def _check_room(self, prompts: Sequence[Sequence[int]], *, later: int) -> None:
        longest = max(map(len, prompts), default=0) + later
        if longest > self._max_positions:
            raise ModelError(
                "a prompt is longer than the model can read",
                got=f"{longest} tokens with what follows it",
                expected=f"at most {self._max_positions}",
                next_step="use a smaller --max-tokens, or a model with a longer context",
            )

    def _read(
        self, sequences: Sequence[tuple[int, ...]], starts: Sequence[int]
    ) -> list[tuple[Floats, Floats]]:
        """Return entropies and surprises of each sequence's tokens, from a start on."""
        nothing = np.empty(0, dtype=np.float32)
        found = [(nothing, nothing)] * len(sequences)
        asked = [index for index, ids in enumerate(sequences) if len(ids) > starts[index]]
        # The last token predicts nothing that is asked for, so it need not be read.
        lengths = [len(sequences[index]) - 1 for index in asked]
        mixed = self.network.packs
        for batch in batches_of(lengths, batch_tokens=self.batch_tokens, mixed=mixed):
            members = [asked[place] for place in filled(batch, rows_needed(lengths[batch[0]]))]
            rows = [sequences[index] for index in members]
            # Copies that only fill up are not asked about.
            counts = [len(sequences[index]) - starts[index] for index in members[: len(batch)]]
            places, following = _asked(rows, counts)
            with torch.inference_mode():
                features = self.network.read([ids[:-1] for ids in rows])
                entropies, nlls = self.network.token_statistics(
                    features[places.to(features.device)], following
                )
            parts = zip(members, _split(entropies, counts), _split(nlls, counts), strict=False)
            for index, row_entropies, row_nlls in parts:
                found[index] = row_entropies, row_nlls
        return found

    def _branched(
        self, prompts: Sequence[tuple[int, ...]], options: Sequence[Sequence[int]]
    ) -> NDArray[np.float64]:
        """Score options as branches of each prompt, shape ``(prompts, options)``."""
        found = np.empty((len(prompts), len(options)))
        tails = tail_tokens(options)
        lengths = [len(ids) for ids in prompts]
        batches: Iterable[NDArray[np.intp]] = [np.arange(len(prompts))] if prompts else []
        if tails:  # the prompts' caches are kept, so there must not be too many at a time
            batches = equal_length_batches(
                lengths,
                batch_tokens=_PROMPT_BATCHES * self.batch_tokens,
                most_rows=max(1, self.batch_tokens // tails),
                round_to=COLUMNS,
            )
        for batch in batches:
            members = filled(batch, rows_needed(tails)) if tails else batch
            with torch.inference_mode():
                scores = branched_log_probs(
                    self.network,
                    [prompts[index] for index in members],
                    options,
                    batch_tokens=self.batch_tokens,
                )
            found[batch] = scores[: len(batch)].cpu().numpy()
        return found

    def _apart(
        self, prompts: Sequence[tuple[int, ...]], options: Sequence[Sequence[int]]
    ) -> NDArray[np.float64]:
        """Score each prompt with each option as a text of its own, shape ``(prompts, options)``."""
        sequences = [(*prompt, *option) for prompt in prompts for option in options]
        starts = [len(prompt) for prompt in prompts for _ in options]
        nlls = [nll.sum(dtype=np.float64) for _, nll in self._read(sequences, starts)]
        return -np.array(nlls).reshape(len(prompts), len(options))

    def _ends(self, *, stop_at_newline: bool) -> NDArray[np.bool_]:
        """Return which tokens end a continuation, shape ``(vocabulary,)``."""
        ends = np.zeros(self.tokens.vocabulary, dtype=bool)
        ends[list(self.tokens.end_ids)] = True
        return ends | self.tokens.holds_line_break if stop_at_newline else ends

    def _texts(self, draws: Draws, row: int) -> list[SampledText]:
        return [
            SampledText(self.tokens.decode(ids), float(log_prob), int(length))
            for ids, log_prob, length in zip(
                texts_before_end(draws, row),
                draws.log_prob_nats[row],
                draws.lengths[row],
                strict=True,
            )
        ]


def _split(values: torch.Tensor, counts: Sequence[int]) -> list[Floats]:
    return np.split(values.cpu().numpy(), np.cumsum(counts)[:-1])


def _asked(
    rows: Sequence[Sequence[int]], counts: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is asked about sequences that are read end to end, without their last tokens.

    Parameters
    ----------
    rows : sequence of sequence of int
    counts : sequence of int
        How many tokens at the end of each of the first rows are asked about.

    Returns
    -------
    places : Tensor of int64
        The positions that predict these tokens.
    following : Tensor of int64
        The tokens.

    Examples
    --------
    >>> [tensor.tolist() for tensor in _asked([(0, 5, 6), (0, 7, 8, 9)], [2, 1])]
    [[0, 1, 4], [5, 6, 9]]
    """
    ends = np.cumsum([len(row) - 1 for row in rows])
    asked = list(zip(ends, rows, counts, strict=False))
    return (
        torch.tensor([place for end, _, count in asked for place in range(end - count, end)]),
        torch.tensor([token for _, row, count in asked for token in row[len(row) - count :]]),
    )
