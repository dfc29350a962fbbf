"""What becomes of each row, for scores that may be.

A rule is asked again and again what it keeps, each time with other values where nothing was
measured. What is kept each time, or never, is decided; for the rest it matters what is true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool.pool import Pool
from euds.scoring.scores import ScoreTable, canonical_score, scorer_of
from euds.selection.deciding import Case, decide
from euds.selection.diagnosis import MOST_TIES
from euds.selection.repeats import Against, is_too_much_text, rows_against, stand_ins_by_words
from euds.selection.request import Request
from euds.selection.rows import (
    distinct_rows,
    drawn_lots,
    numbers_of,
    take_out,
    with_completeness,
    with_ranks,
)
from euds.selection.rules.preference import Candidates
from euds.selection.rules.ranks import tied_share
from euds.selection.rules.registry import RULES, Rule
from euds.selection.spending import rows_left

__all__ = ["OPTION", "Fates", "needed_scores"]

OPTION = "se_option"

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
_PREDICTED = ("ge", "se")


def needed_scores(
    request: Request, entropies: Sequence[str], asked: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the score columns that are ranked, and those that raw intervals speak of.

    Parameters
    ----------
    request : Request
        What is asked of selecting.
    entropies : sequence of str
        The columns that IGSE combines.
    asked : sequence of str
        The entropies that are scored.

    Raises
    ------
    OptionError
        If no model has a part in it, or one that a cascade knows nothing of.
    """
    rule = request.rule
    names = [canonical_score(one) for one in entropies] if rule.scores is None else rule.scores
    raw = [one.column for one in request.intervals if one.column is not None]
    ranked = tuple(dict.fromkeys(one for one in names if scorer_of(one) in asked))
    if "ge_ifd" in (*names, *raw):
        raise OptionError(
            "a cascade cannot predict instruction-following difficulty",
            where="--cascade",
            next_step="score without it, or with another rule",
        )
    if not any(scorer_of(one) in _PREDICTED for one in (*ranked, *raw)):
        raise OptionError(
            f"nothing that a model measures decides what the rule {rule.name} keeps",
            where="--cascade",
            got=", ".join((*ranked, *raw)) or "no score at all",
            next_step="leave out --cascade, and name the scores that it needs with --scores",
        )
    return ranked, tuple(dict.fromkeys(raw))


class Fates:
    """Asks a rule what it keeps.

    The automatic rule is asked for what it keeps where no window is better than another: rows drawn
    from all but the ends of the combined entropy. Quotas, guards and labels have no say.

    Parameters
    ----------
    pool : Pool
        The samples.
    scored : polars.DataFrame
        ``key`` and what is known of every text (``words``, information entropy); sorted by key.
    request : Request
        What is asked of selecting.
    ranked : tuple of str
        The score columns that are ranked; see `needed_scores`.
    always_keep : sequence of str
        Ids of rows that must stay.
    against : Pool, Texts or a sequence of them
        What the subset must not overlap with.
    seed : int
        Decides between rows that the rule holds equal.
    """

    def __init__(
        self,
        pool: Pool,
        scored: pl.DataFrame,
        request: Request,
        ranked: tuple[str, ...],
        *,
        always_keep: Sequence[str] = (),
        against: Against = (),
        seed: int = 0,
    ) -> None:
        self._rule = _simulated(request.rule)
        self._request, self._asked = request, ranked
        self._tied = {
            name for name in ranked if name in scored.columns and _is_tied(numbers_of(scored, name))
        }
        self._ranked = ranked
        self.leave_out(())
        self._pool_rows, self._seed = len(pool), seed
        table = pool.rows.select("id", "key").join(
            scored, on="key", how="left", maintain_order="left"
        )
        rows = distinct_rows(
            pool, ScoreTable(table.drop("key")), always_keep, distinct=True, show_labels=False
        )
        columns = [name for name in scored.columns if name != "key"]
        self._rows = take_out(rows, rows_against(pool, against), columns)
        self._columns = columns
        #: The number of each row's text among the sorted keys.
        self._text = scored["key"].search_sorted(self._rows["key"]).to_numpy().astype(np.int64)
        self._texts = scored.height
        self._stand_in = np.arange(self._rows.height)
        drops = request.near_duplicates in ("drop", "embedding") or not is_too_much_text(pool)
        if request.rule.name != "full" and request.near_duplicates != "keep" and drops:
            self._stand_in = stand_ins_by_words(self._rows, pool)

    @property
    def rule(self) -> str:
        """The name of the rule."""
        return self._rule.name

    @property
    def deciding(self) -> tuple[str, ...]:
        """The scores that decide: those that are ranked, and those that raw intervals speak of."""
        raw = [one.column for one in self._request.intervals if one.column is not None]
        return tuple(dict.fromkeys((*self._ranked, *raw)))

    def look_for_ties(self, values: Mapping[str, Floats]) -> None:
        """Leave out scores that tie too many texts, as selecting does."""
        self.leave_out([name for name, one in values.items() if _is_tied(one)])

    def leave_out(self, tied: Sequence[str]) -> None:
        """Leave scores out of the combined entropy, unless nothing would be left."""
        if self._rule.scores is not None:
            return
        left = [name for name in self._asked if name not in {*self._tied, *tied}]
        self._ranked = tuple(left) or self._asked

    def kept(self, values: Mapping[str, Floats], options: Numbers | None) -> Bools:
        """Return which texts are kept, shape ``(texts,)``.

        Parameters
        ----------
        values : mapping of str to ndarray of float, shape (texts,)
            The score columns that models give, NaN where a text has none; and ``ge_tokens``.
        options : ndarray of int, shape (texts,), or None
            The model's own answers by number, negative where there is none.
        """
        rows = self._rows.with_columns(
            pl.Series(name, one[self._text]).fill_nan(None) for name, one in values.items()
        )
        if options is not None:
            answers = pl.Series(OPTION, options[self._text])
            rows = rows.with_columns(pl.when(answers >= 0).then(answers).alias(OPTION))
        rows = rows.with_columns(
            pl.when(pl.col("taken_out").is_null()).then(pl.col(*values, *self._columns))
        )
        rule = self._rule
        names = self._ranked
        rows = with_ranks(rows, names, length_free=rule.length_free)
        raw = [one.column for one in self._request.intervals if one.column is not None]
        rows = with_completeness(rows, [*names, *raw])
        complete = rows.filter("complete")
        is_open = ~complete["must"].to_numpy()
        for interval in self._request.intervals:
            if interval.column is not None:
                is_open &= interval.side(numbers_of(complete, interval.column)) == 0
        stand_in = self._among_complete(rows["complete"].to_numpy(), is_open)
        candidates = Candidates(
            open=is_open & (stand_in == np.arange(complete.height)),
            stays=complete["must"].to_numpy(),
            keep=rows_left(rows, self._request.budget, pool_rows=self._pool_rows),
            lots=drawn_lots(complete, self._seed),
            seed=self._seed,
            ranks={name: complete[f"rank_{name}"].to_numpy() for name in names},
            values={name: numbers_of(complete, name) for name in names if "values" in rule.needs},
        )
        case = Case(
            rows=rows,
            candidates=candidates,
            preference=rule.prefer(candidates),
            stand_in=stand_in,
            intervals=self._request.intervals,
            budget=self._request.budget,
            pool_rows=self._pool_rows,
            soft=self._request.soft,
        )
        kept = np.zeros(self._texts, dtype=np.bool_)
        kept[self._text[decide(case).kept]] = True
        return kept

    def _among_complete(self, complete: Bools, is_open: Bools) -> Numbers:
        """Return who stands for each complete row, by number among the complete ones.

        One that has no score, or lies outside an interval of raw values, stands for none: the
        first of those that it stood for takes its place.
        """
        number = np.cumsum(complete) - 1
        own = np.flatnonzero(complete)
        able = np.zeros(len(complete), dtype=np.bool_)
        able[own] = is_open | self._rows["must"].to_numpy()[own]
        group = self._stand_in
        first = np.full(len(complete), len(complete))
        members = np.flatnonzero(able)
        np.minimum.at(first, group[members], members)
        leader = np.where(able[group], group, first[group])
        return np.where(able[own], number[np.minimum(leader[own], len(complete) - 1)], number[own])


def _is_tied(values: Floats) -> bool:
    return tied_share(values) > MOST_TIES


def _simulated(rule: Rule) -> Rule:
    """Return the rule to ask: of the automatic ones that without labels and vectors."""
    return RULES["auto"] if rule.name.startswith("auto") else rule
