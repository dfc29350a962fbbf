"""The rules by name: what each needs, and whether it looks at labels.

A rule is one function from `Candidates` to a `Preference`: whom to keep first, and for each row why
it is dropped if it is. The budget then takes rows from the front. That one form serves them all:
the middle interval of a score prefers ranks close to 1/2; three entropies that must all lie in the
middle prefer a small largest distance from 1/2, which is the joint window of exactly the right
width for any budget; k-center prefers the row farthest from those before it; random prefers none.

A rule says what it needs beside ranks. It gets vectors, labels, texts and the like only if it says
so: no other rule can see a label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from euds.errors import OptionError, did_you_mean
from euds.scoring.scores import canonical_score
from euds.selection.rules.automatic import automatic, automatic_with_labels
from euds.selection.rules.coverage import k_center, k_means
from euds.selection.rules.labelled import (
    best_window,
    ccs,
    ccs_el2n,
    hardest_first,
    moderate,
    random_stratified,
)
from euds.selection.rules.middle import (
    highest_first,
    igse_and,
    igse_dist,
    igse_sum,
    instruction_difficulty,
    lowest_first,
    middle_of,
    nearest_to_the_bulk,
)
from euds.selection.rules.preference import Candidates, Preference, no_preference
from euds.selection.rules.resampling import dsir
from euds.selection.rules.semantic_duplicates import semdedup

__all__ = ["REASONS", "RULES", "Rule", "rule_descriptions", "rule_named"]

Need = Literal["vectors", "labels", "values", "texts", "target"]


@dataclass(frozen=True)
class Rule:
    """A named way to select.

    Parameters
    ----------
    name : str
        The name on the command line.
    description : str
        What it keeps, for the help.
    prefer : callable
        From `Candidates` to a `Preference`.
    scores : tuple of str or None
        The score columns it needs; None takes the entropies that the caller combines.
    needs : frozenset of {"vectors", "labels", "values", "texts", "target"}
        What it needs beside ranks, and is therefore shown; ``values`` are those of its scores.
    is_better_with : frozenset of the same
        What it is shown too where it is to be had, and can do without.
    is_draw : bool
        Whether another seed is another draw.
    needs_rows : bool
        Whether only a budget in rows will do: the rule gives a set of that size, not an order.
    length_free : bool
        Whether the dependence on length is taken out of its scores before they are ranked.
    usable_first : bool
        Whether rows outside the bulk (`euds.selection.bulk`) come after all others.
    """

    name: str
    description: str
    prefer: Callable[[Candidates], Preference]
    scores: tuple[str, ...] | None = ()
    needs: frozenset[Need] = frozenset()
    is_better_with: frozenset[Need] = frozenset()
    is_draw: bool = False
    needs_rows: bool = False
    length_free: bool = True
    usable_first: bool = False

    @property
    def takes(self) -> frozenset[Need]:
        """All that it is shown beside ranks."""
        return self.needs | self.is_better_with

    @property
    def one_score_will_do(self) -> bool:
        """Whether a row that lacks some of the scores is judged by the others."""
        return self.usable_first and not self.uses_labels

    @property
    def uses_labels(self) -> bool:
        """Whether it looks at the labels of the pool."""
        return "labels" in self.needs


def _middle(column: str, name: str, description: str) -> Rule:
    return Rule(
        name,
        description,
        lambda candidates: middle_of(column, candidates.ranks[column]),
        scores=(column,),
    )


def _top(column: str, name: str, description: str) -> Rule:
    return Rule(
        name,
        description,
        lambda candidates: highest_first(column, candidates),
        scores=(column,),
        length_free=False,
    )


def _bottom(column: str, name: str, description: str) -> Rule:
    return Rule(
        name,
        description,
        lambda candidates: lowest_first(column, candidates),
        scores=(column,),
        length_free=False,
    )


def _nothing_first(candidates: Candidates) -> Preference:
    return no_preference(candidates.rows)


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "auto",
            "rows alike from all clusters of sentence vectors, out of the bulk of all entropies "
            "at once",
            automatic,
            scores=None,
            is_better_with=frozenset({"vectors"}),
            is_draw=True,
            usable_first=True,
        ),
        Rule(
            "igse-joint",
            "the rows closest to the middle of all entropies at once, by robust distance",
            nearest_to_the_bulk,
            scores=None,
            usable_first=True,
        ),
        Rule(
            "auto-labels",
            "the draw that a probe learns most from, every class counting alike",
            automatic_with_labels,
            scores=None,
            needs=frozenset({"vectors", "labels"}),
            is_draw=True,
            usable_first=True,
        ),
        Rule(
            "auto-labels-plain",
            "the same, every row counting alike",
            lambda candidates: automatic_with_labels(candidates, balanced=False),
            scores=None,
            needs=frozenset({"vectors", "labels"}),
            is_draw=True,
            usable_first=True,
        ),
        Rule(
            "igse",
            "the middle of information, generative and semantic entropy together",
            lambda candidates: igse_sum(candidates.ranks),
            scores=None,
        ),
        Rule(
            "igse-and",
            "in the middle of each of the entropies",
            lambda candidates: igse_and(candidates.ranks),
            scores=None,
        ),
        Rule(
            "igse-dist",
            "close to the middle of all entropies",
            lambda candidates: igse_dist(candidates.ranks),
            scores=None,
        ),
        _middle("ie", "ie", "the middle of information entropy"),
        _middle("ge", "ge", "the middle of generative entropy"),
        _middle("se", "se", "the middle of semantic entropy"),
        _middle("ge_nll", "perplexity", "the middle of the language model's perplexity"),
        _middle("words", "length", "the middle of text length"),
        _top("words", "longest", "the longest texts"),
        _bottom("words", "shortest", "the shortest texts"),
        _top("ge_nll", "perplexity-high", "the texts that surprise the language model most"),
        _bottom("ge_nll", "perplexity-low", "the texts that surprise the language model least"),
        _top("ge_hes", "hes", "the highest sum over the tokens of highest entropy"),
        _top("se", "uncertain", "the texts that the model's own answers are least sure about"),
        Rule(
            "ifd",
            "the highest ratio of perplexity with the context to that without it, below 1",
            instruction_difficulty,
            scores=("ge_ifd",),
            needs=frozenset({"values"}),
            length_free=False,
        ),
        Rule(
            "ccs",
            "rows spread evenly over the range of generative entropy, without the hardest",
            ccs,
            scores=("ge",),
            needs=frozenset({"values"}),
            is_draw=True,
            needs_rows=True,
            length_free=False,
        ),
        Rule(
            "dsir",
            "rows drawn to look like the texts of --target, by their words and pairs of words",
            dsir,
            needs=frozenset({"texts", "target"}),
            is_draw=True,
        ),
        Rule(
            "k-means",
            "the rows nearest to the centres of clusters of sentence vectors",
            k_means,
            needs=frozenset({"vectors"}),
            needs_rows=True,
        ),
        Rule(
            "k-center",
            "rows far from each other, so that none in the pool is far from all of them",
            k_center,
            needs=frozenset({"vectors"}),
        ),
        Rule(
            "semdedup",
            "rows unlike those of their cluster that lie farther from its centre",
            semdedup,
            needs=frozenset({"vectors"}),
        ),
        Rule("random", "rows at random", _nothing_first, is_draw=True),
        Rule(
            "random-stratified",
            "rows at random, in the pool's shares of labels",
            random_stratified,
            needs=frozenset({"labels"}),
            is_draw=True,
        ),
        Rule(
            "el2n",
            "the rows a model is most wrong about early in training, without the hardest 5 %",
            hardest_first,
            needs=frozenset({"vectors", "labels"}),
        ),
        Rule(
            "ccs-el2n",
            "rows spread evenly over the range of EL2N, without the hardest",
            ccs_el2n,
            needs=frozenset({"vectors", "labels"}),
            is_draw=True,
            needs_rows=True,
        ),
        Rule(
            "bws",
            "the window of EL2N from which a ridge regression learns most",
            best_window,
            needs=frozenset({"vectors", "labels"}),
            needs_rows=True,
        ),
        Rule(
            "moderate",
            "rows at a middle distance from the median vector of their label",
            moderate,
            needs=frozenset({"vectors", "labels"}),
        ),
        Rule("full", "every row", _nothing_first),
    )
}

_SYNONYMS = {"igse-sum": "igse", "ge_nll": "perplexity", "words": "length"}

REASONS = {
    "covered": "because a kept row is close to it",
    "not nearest to a centre": "because another row is nearer to the centre of its cluster",
    "like another": "because a row of its cluster, farther from the centre, is too much like it",
    "unlike the target": "because by the words of the target other rows were likelier in the draw",
    "no label": "because it has no label, which the rule or the quota needs",
    "not drawn": "because the draw passed it over: rows near the middle were likelier to be drawn",
    "edge of the bulk": "because it lies at the edge of the bulk, where unusable rows lie too",
    "over budget": "because the budget was full: among rows of equal standing a seeded draw "
    "decides",
}
"""The reasons that name no score, as half sentences for a row's story."""


def rule_descriptions() -> dict[str, str]:
    """Return what each rule keeps, by name; those that look at labels say so.

    >>> rule_descriptions()["random-stratified"]
    "rows at random, in the pool's shares of labels (uses labels)"
    """
    return {
        rule.name: rule.description + (" (uses labels)" if rule.uses_labels else "")
        for rule in RULES.values()
    }


def rule_named(name: str, score_names: tuple[str, ...] = ()) -> Rule:
    """Return the rule of that name; any score column is a rule that keeps its middle.

    Raises
    ------
    OptionError
        If there is none.
    """
    name = _SYNONYMS.get(name, name)
    if name in RULES:
        return RULES[name]
    column = canonical_score(name)
    if column in RULES:
        return RULES[column]
    if column in score_names:
        return _middle(column, column, f"the middle of {column}")
    known = [*RULES, *score_names]
    raise OptionError(
        f"there is no rule {name!r}",
        expected=", ".join(RULES) + ", or the name of a score",
        next_step=did_you_mean(name, known),
    )
