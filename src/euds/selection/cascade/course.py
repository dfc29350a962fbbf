"""The course of a cascade: a sample, a probe, and what decides, round after round.

A sample drawn by a hash of the key is measured in full. Two thirds of it train the probe; the rest
is held apart, and its errors are the error bars. Then, round after round, the rule is asked what it
keeps for many values that may be, and of the rows that it sometimes keeps and sometimes not the
most open ones are measured.

Rows held apart are treated as if they had not been measured: those that the course would have
measured next join the training part. So the ones left are like the rows that are never measured,
and their errors tell of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.pool.pool import Texts
from euds.progress import Progress
from euds.scoring.scores import scorer_of
from euds.selection.cascade.fates import OPTION, Fates
from euds.selection.cascade.guess import Guess, Scale, guess_of, picked_donors
from euds.selection.cascade.probe import features_of
from euds.selection.cascade.sources import TRIED, Answer, Source
from euds.selection.cascade.spending import Allowance
from euds.selection.rows import drawn_lots, numbers_of
from euds.selection.rules.ridge import Ridge

__all__ = ["Course", "Outlook", "questions"]

SMALLEST_SAMPLE, LARGEST_SAMPLE = 40, 500
_FEWEST_APART = 10
_DRAWS = 40
_PARTS = (1 / 3, 1 / 2, 1.0, 1.0, 1.0)  # of what is left, in each round
_CHEAP = 3.0  # times that what is left of a row costs, for an entropy to be measured alone

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Outlook:
    """What the selection is expected to share with that from complete scores, over many draws.

    Parameters
    ----------
    shared : ndarray of float, shape (draws,)
        The share of what complete scores would keep that is kept.
    jaccard : ndarray of float, shape (draws,)
        The Jaccard similarity of both.
    undecided : int
        Texts that some draws keep and others do not.
    """

    shared: Floats
    jaccard: Floats
    undecided: int


def questions(rows: int, sources: Sequence[Source], *, tried: int) -> float:
    """Return what texts cost in readings of a text, with the trials of prompts on ``tried``."""
    return sum(one.cost * (rows + one.trials * tried) for one in sources)


class Course:
    """Measures what decides.

    Parameters
    ----------
    texts : Texts
        The distinct texts.
    known : polars.DataFrame
        What is known of each without a model: ``key``, ``characters``, and where information
        entropy is scored ``words`` and ``ie``; sorted by key.
    vectors : ndarray of float32, shape (n, dimensions), or None
        Their sentence vectors.
    sources : sequence of Source
        What costs model time, in the order in which it is asked for.
    needed : sequence of str
        The columns of these that decide.
    fates : Fates
        What the rule keeps.
    share : float
        Of the questions that complete scores would take.
    seconds : float or None
        What may be spent instead; what the vectors took counts.
    spent : float
        Seconds that were spent before.
    seed : int
        Of the sample and the draws.
    progress : Progress
        Is told what happens.
    """

    def __init__(
        self,
        texts: Texts,
        known: pl.DataFrame,
        vectors: NDArray[np.float32] | None,
        sources: Sequence[Source],
        needed: Sequence[str],
        fates: Fates,
        *,
        share: float,
        seconds: float | None,
        spent: float,
        seed: int,
        progress: Progress,
    ) -> None:
        self.texts, self.sources, self.fates = texts, sources, fates
        self.answers: dict[str, Answer] = {}
        self.rounds = 0
        self._share, self._seconds, self._before = share, seconds, spent
        self._seed, self._progress = seed, progress
        self._lots = drawn_lots(known, seed)
        own = {
            one.name: [name for name in needed if scorer_of(name) == one.name] for one in sources
        }
        self._decides = [one for one in sources if own[one.name]]
        #: The columns to predict, by source: the entropy itself, and all that come with it.
        self.columns = {name: list(dict.fromkeys([name, *names])) for name, names in own.items()}
        self.needed = tuple(needed)
        rows = len(texts)
        self.held: dict[str, Bools] = {one.name: np.zeros(rows, dtype=bool) for one in sources}
        self._shown = {name: one.copy() for name, one in self.held.items()}
        self.values: dict[str, Floats] = {
            name: np.full(rows, np.nan) for names in self.columns.values() for name in names
        }
        #: The model's own answers by number, -1 where there is none; None where none are asked.
        self.options: Numbers | None = None
        self.option_names: list[str] = []
        characters = numbers_of(known, "characters")
        lengths = [np.log1p(characters)]
        if "words" in known.columns:
            lengths.append(np.log1p(numbers_of(known, "words")))
        if "ie" in known.columns:
            lengths.append(numbers_of(known, "ie"))
        self._cheap = features_of(vectors, lengths)
        self._sizes = np.column_stack(
            [np.ones(rows), characters]
            + ([np.nan_to_num(numbers_of(known, "words"))] if "words" in known.columns else [])
        )
        self.tokens: Floats | None = None

    # -----------------------------------------------------------------------------------------
    # What is measured
    # -----------------------------------------------------------------------------------------

    def measure_sample(self) -> None:
        """Measure the sample in full."""
        rows = len(self.texts)
        size = self._sample_size()
        by_lot = np.argsort(self._lots)
        self.sample = np.zeros(rows, dtype=bool)
        self.sample[by_lot[:size]] = True
        self._apart = np.zeros(rows, dtype=bool)
        self._ask_sample()
        if self._seconds is not None and size < rows:
            # Now it is known what a text costs: half of the time is for the sample.
            left = self._seconds - self.allowance.spent
            trials = sum(one.trial_seconds for one in self.answers.values()) / self.trial_rows
            more = int(left / 2 / max(sum(self.seconds_a_text.values()) + trials, 1e-9))
            if more > 0:
                size = min(max(size, min(size + more, LARGEST_SAMPLE)), rows)
                self.sample[by_lot[:size]] = True
                self._ask_sample()
        if not self.sample.all():
            self._apart[by_lot[:size:3]] = True
        for name in self._shown:
            self._shown[name] = self.sample & ~self._apart
        self.fates.look_for_ties({name: self.values[name][self.sample] for name in self.needed})
        self.needed = tuple(name for name in self.needed if name in self.fates.deciding)
        deciding = {scorer_of(name) for name in self.needed}
        self._decides = [one for one in self._decides if one.name in deciding]

    def go_on(self) -> Outlook:
        """Measure what decides, after the sample; return what is to be expected."""
        complete = bool(self.sample.all())
        for part in () if complete else _PARTS:
            allowance = self.allowance
            if not allowance.suffices:
                break
            asked = self._most_open(allowance.left * part)
            if not asked:
                break
            self.rounds += 1
            for source in self.sources:
                if source.name in asked:
                    self._ask(source, asked[source.name])
        return self._outlook()

    def _sample_size(self) -> int:
        rows = len(self.texts)
        if rows <= 2 * SMALLEST_SAMPLE:
            return rows
        if self._seconds is not None:
            return SMALLEST_SAMPLE
        paid = self._share * questions(rows, self.sources, tried=min(TRIED, rows))
        size = int(paid / 2 / questions(1, self.sources, tried=1))
        return min(max(size, SMALLEST_SAMPLE), LARGEST_SAMPLE, rows)

    def _ask_sample(self) -> None:
        for source in self.sources:
            self._ask(source, np.flatnonzero(self.sample))

    def _ask(self, source: Source, numbers: Numbers) -> None:
        """Measure some texts more; what the scorer derives from all of them is derived anew."""
        held = self.held[source.name]
        held[numbers] = True
        answer = source.ask(self._some(held), self._some(self.sample))
        self.answers[source.name] = answer
        frame = answer.columns.frame.sort("key")
        at = np.flatnonzero(held)
        for name, dtype in frame.schema.items():
            if dtype.is_float() and name not in self.values:
                self.columns[source.name].append(name)
                self.values[name] = np.full(len(held), np.nan)
        for name in self.columns[source.name]:
            self.values[name][at] = numbers_of(frame, name)
        if OPTION in frame.columns:
            self.option_names = frame[OPTION].drop_nulls().unique().sort().to_list()
            numbered = frame[OPTION].replace_strict(
                self.option_names, range(len(self.option_names)), default=-1, return_dtype=pl.Int64
            )
            self.options = np.full(len(held), -1)
            self.options[at] = numbered.fill_null(-1).to_numpy()
        if "ge_tokens" in frame.columns:
            self._count_tokens(at, np.nan_to_num(numbers_of(frame, "ge_tokens")))

    def _some(self, wanted: Bools) -> Texts:
        return Texts(self.texts.frame.filter(pl.Series(wanted)))

    def _count_tokens(self, at: Numbers, tokens: Floats) -> None:
        """Estimate the length in the model's tokens from characters and words."""
        weights, *_ = np.linalg.lstsq(self._sizes[at], tokens, rcond=None)
        estimated = np.clip(np.rint(self._sizes @ weights), 1.0, max(1.0, tokens.max(initial=1.0)))
        estimated[at] = tokens
        self.tokens = estimated

    @property
    def trial_rows(self) -> int:
        """The texts that prompts were tried on."""
        return min(TRIED, int(self.sample.sum()))

    @property
    def allowance(self) -> Allowance:
        """What may be spent, was spent, and what a text costs."""
        if self._seconds is None:
            rows = len(self.texts)
            spent = sum(
                one.cost * (int(self.held[one.name].sum()) + one.trials * self.trial_rows)
                for one in self.sources
            )
            full = questions(rows, self.sources, tried=min(TRIED, rows))
            return Allowance(
                self._share * full, spent, {one.name: one.cost for one in self._decides}
            )
        spent, costs = self.seconds_spent, self.seconds_a_text
        return Allowance(self._seconds, spent, {one.name: costs[one.name] for one in self._decides})

    @property
    def seconds_spent(self) -> float:
        """What vectors and measurements took, in this run or earlier."""
        return self._before + sum(one.seconds + one.trial_seconds for one in self.answers.values())

    @property
    def seconds_a_text(self) -> dict[str, float]:
        """What each entropy of one text took, by those that were measured."""
        return {
            name: one.seconds / max(1, int(self.held[name].sum()))
            for name, one in self.answers.items()
        }

    def _most_open(self, paid: float) -> dict[str, Numbers]:
        """Return by source the texts to measure next: those whose fate is most open."""
        guesses = self.guesses(self.needed)
        hidden = {name: ~one for name, one in self._shown.items()}
        kept = np.mean(list(self._fates(guesses, hidden, draw=2 * self.rounds + 1)), axis=0)
        openness = kept * (1 - kept)
        costs = self.allowance.costs
        left = sum(costs[one.name] * hidden[one.name] for one in self._decides)
        # One entropy alone may decide nothing: what counts is what a row costs until it is known.
        worth = np.where(left > 0, openness / np.maximum(left, 1e-12), 0.0)
        order = np.lexsort((self._lots, -np.round(worth, 12)))
        asked: dict[str, list[int]] = {one.name: [] for one in self._decides}
        spent, free = 0.0, {name: int((self._apart & one).sum()) for name, one in hidden.items()}
        for row in order[: int((worth > 0).sum())]:
            for name in self._next_of(row, hidden, costs):
                if self.held[name][row]:
                    # Held apart, and now like a row that is measured.
                    if free[name] > _FEWEST_APART:
                        free[name] -= 1
                        self._shown[name][row] = True
                    continue
                spent += costs[name]
                if spent > paid:
                    return {name: np.array(sorted(rows)) for name, rows in asked.items() if rows}
                asked[name].append(int(row))
                self._shown[name][row] = True
        return {name: np.array(sorted(rows)) for name, rows in asked.items() if rows}

    def _next_of(
        self, row: int, hidden: Mapping[str, Bools], costs: Mapping[str, float]
    ) -> list[str]:
        """Return what of a row is measured next: all at once, but what is cheap alone at first."""
        missing = [one.name for one in self._decides if hidden[one.name][row]]
        dear = sum(costs[name] for name in missing[1:])
        return missing[:1] if costs[missing[0]] * _CHEAP < dear else missing

    # -----------------------------------------------------------------------------------------
    # What is not measured
    # -----------------------------------------------------------------------------------------

    def guesses(self, among: Sequence[str] | None = None) -> dict[str, Guess]:
        """Return what the probe says of each column, or of some."""
        return {
            name: self._guess(source, name)
            for source, names in self.columns.items()
            for name in names
            if among is None or name in among
        }

    def _guess(self, source: str, name: str) -> Guess:
        bounds = next(one.bounds for one in self.sources if one.name == source)
        shown, read = self._shown[source], self._shown.get("ge")
        entropy = None
        if source != "ge" and read is not None:
            entropy = np.where(read, self.values["ge"], np.nan)
        return guess_of(
            self._cheap,
            self.values[name],
            shown=shown,
            apart=self._apart & ~shown,
            entropy=entropy,
            scale=Scale(*bounds.get(name, ())),
        )

    def guessed_options(self) -> Numbers | None:
        """Return the likeliest answer of the model for every text; None where none are asked."""
        if self.options is None:
            return None
        fit = np.flatnonzero(self._shown["se"] & (self.options >= 0))
        if not len(fit):
            return np.zeros(len(self.options), dtype=np.int64)
        # A tenth of the rows: as much as ten standardised features, that say nothing, would fit.
        ridge = Ridge(self._cheap, np.maximum(self.options, 0), penalty=len(fit) / 10)
        outputs = ridge.outputs(fit, np.arange(len(self.options)))
        return np.asarray(outputs.argmax(axis=1))

    def _fates(
        self, guesses: Mapping[str, Guess], hidden: Mapping[str, Bools], *, draw: int
    ) -> list[Bools]:
        """Return what is kept, for many values that may be where they are hidden."""
        rng = np.random.default_rng([self._seed, draw])
        rows = len(self.texts)
        # Each row meets every part of the errors once, in an order of its own.
        places = rng.random((rows, _DRAWS)).argsort(axis=1)
        points = (places + rng.random((rows, 1))) / _DRAWS
        guessed = self.guessed_options()
        found = []
        for number in range(_DRAWS):
            values, options = {}, None
            for source, names in self.columns.items():
                blank, alike = hidden[source], guessed if source == "se" else None
                for name in names:
                    if name not in self.needed:
                        continue
                    guess = guesses[name]
                    drawn = guess.likeliest
                    if len(guess.donors):
                        picked = picked_donors(guess.donors, points[:, number], alike)
                        drawn = drawn + guess.errors[picked]
                        if alike is not None:
                            options = self._answers(alike, guess.donors[picked], blank)
                    values[name] = np.where(blank, guess.scale.back(drawn), self.values[name])
            if guessed is not None and options is None:
                options = self._answers(guessed, np.arange(rows), hidden["se"])
            if self.tokens is not None:
                values["ge_tokens"] = self.tokens
            found.append(self.fates.kept(values, options))
        return found

    def _answers(self, guessed: Numbers, others: Numbers, blank: Bools) -> Numbers:
        """Return the model's own answers, where they are hidden that of the row an error is from.

        That is, if it was guessed to have the same; else the guess.
        """
        assert self.options is not None
        alike = (guessed[others] == guessed) & (self.options[others] >= 0)
        drawn = np.where(alike, self.options[others], guessed)
        return np.where(blank, drawn, self.options)

    def _outlook(self) -> Outlook:
        guesses = self.guesses(self.needed)
        own = self.fates.kept(self.filled(guesses), self.filled_options())
        hidden = {name: ~one for name, one in self.held.items()}
        if not any(one.any() for one in hidden.values()):
            return Outlook(np.ones(1), np.ones(1), 0)
        fates = np.array(self._fates(guesses, hidden, draw=0))
        kept = fates.mean(axis=0)
        shared = (fates & own).sum(axis=1)
        return Outlook(
            shared / np.maximum(fates.sum(axis=1), 1),
            shared / np.maximum((fates | own).sum(axis=1), 1),
            int(((kept > 0) & (kept < 1)).sum()),
        )

    def filled(self, guesses: Mapping[str, Guess]) -> dict[str, Floats]:
        """Return the columns with predictions where nothing was measured, and ``ge_tokens``."""
        values = {
            name: np.where(self.held[source], self.values[name], guesses[name].filled)
            for source, names in self.columns.items()
            for name in names
            if name in guesses
        }
        if self.tokens is not None:
            values["ge_tokens"] = self.tokens
        return values

    def filled_options(self) -> Numbers | None:
        """Return the model's own answers by number, guessed where it was not asked."""
        guessed = self.guessed_options()
        if guessed is None or self.options is None:
            return None
        return np.where(self.held["se"], self.options, guessed)
