"""The rules: each puts the candidates in an order of preference.

A rule is one function from `Candidates` to a `Preference`: whom to keep first, and for each row why
it is dropped if it is. The budget then takes rows from the front. That one form serves them all:
the middle interval of a score prefers ranks close to 1/2; three entropies that must all lie in the
middle prefer a small largest distance from 1/2, which is the joint window of exactly the right
width for any budget; k-center prefers the row farthest from those before it; random prefers none.

A rule says what it needs beside scores. It gets vectors and labels only if it says so: no other
rule can see a label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from euds.errors import OptionError, did_you_mean
from euds.scores import canonical_score
from euds.selection.coverage import k_center, k_means
from euds.selection.labelled import hardest_first, random_stratified
from euds.selection.middle import igse_and, igse_dist, igse_sum, middle_of
from euds.selection.preference import Candidates, Preference, no_preference

__all__ = ["REASONS", "RULES", "Rule", "rule_descriptions", "rule_named"]

Need = Literal["vectors", "labels"]


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
    needs : frozenset of {"vectors", "labels"}
        What it needs beside scores, and is therefore shown.
    is_draw : bool
        Whether another seed is another draw.
    needs_rows : bool
        Whether only a budget in rows will do: the rule gives a set of that size, not an order.
    """

    name: str
    description: str
    prefer: Callable[[Candidates], Preference]
    scores: tuple[str, ...] | None = ()
    needs: frozenset[Need] = frozenset()
    is_draw: bool = False
    needs_rows: bool = False

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


def _nothing_first(candidates: Candidates) -> Preference:
    return no_preference(candidates.rows)


RULES = {
    rule.name: rule
    for rule in (
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
        Rule("full", "every row", _nothing_first),
    )
}

REASONS = {
    "covered": "because a kept row is close to it",
    "not nearest to a centre": "because another row is nearer to the centre of its cluster",
    "no label": "because it has no label, which the rule needs",
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
    name = {"igse-sum": "igse"}.get(name, name)
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
