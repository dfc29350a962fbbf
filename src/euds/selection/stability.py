"""How far a selection is luck: how much of it stays when what should not matter changes.

The selection is made again with other seeds, on other samples of the pool, with other variants of
its entropies, and from other score tables (of another model, prompt or truncation). What both keep
is told as a Jaccard similarity of texts, and corrected for chance as Cohen's kappa is: 0 is what
two draws of these sizes would share, 1 the same selection. No model is asked anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import hypergeom

from euds.errors import OptionError
from euds.pool.pool import Pool
from euds.progress import Progress, SilentProgress
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors
from euds.selection.request import check_asked, open_to, request_of
from euds.selection.rules.registry import Rule, rule_named
from euds.selection.select import select
from euds.selection.selection import Selection
from euds.selection.sentence_vectors import vectors_for

__all__ = ["LUCK", "SOURCES", "Overlap", "Stability", "expected_jaccard", "stability"]

LUCK = 0.2
"""Below this a selection is called luck: a convention, that of "slight" agreement for kappa."""

SOURCES = {
    "seed": "another seed",
    "sample": "nine tenths of the pool",
    "variant": "another variant of an entropy",
    "scores": "other scores",
}
"""What is changed, by kind."""

_SAMPLE_SHARE = 0.9
_VARIANTS = {
    "ie": ("ie_plugin", "ie_norm"),
    "ge": ("ge_nll", "ge_gap"),
    "se": ("se_chao_shen", "se_discrete"),
}


@dataclass(frozen=True)
class Overlap:
    """What a selection and one made otherwise have in common.

    Parameters
    ----------
    source : str
        What was changed, a key of `SOURCES`.
    change : str
        The change itself.
    texts : int
        Texts that the other selection keeps.
    shared : int
        Texts that both keep.
    jaccard : float
        Shared texts as a share of those that either keeps.
    by_chance : float
        What two independent draws of these sizes are expected to have.
    corrected : float
        ``(jaccard - by_chance) / (1 - by_chance)``; 1 where both keep everything.
    """

    source: str
    change: str
    texts: int
    shared: int
    jaccard: float
    by_chance: float
    corrected: float


@dataclass(frozen=True)
class Stability:
    """How far a selection stays when what should not matter changes.

    Parameters
    ----------
    rule : str
        The rule of the selection.
    is_draw : bool
        Whether the rule draws by lot, so that another seed is meant to keep other rows.
    texts : int
        Distinct texts that it keeps.
    overlaps : tuple of Overlap
        One for each selection that was made again.
    """

    rule: str
    is_draw: bool
    texts: int
    overlaps: tuple[Overlap, ...]

    def medians(self) -> dict[str, dict[str, float]]:
        """Return by source how many were made, and median and lowest of each similarity."""
        told = {}
        for source in SOURCES:
            of_it = [one for one in self.overlaps if one.source == source]
            if of_it:
                jaccard = [one.jaccard for one in of_it]
                corrected = [one.corrected for one in of_it]
                told[source] = {
                    "selections": len(of_it),
                    "jaccard_median": float(np.median(jaccard)),
                    "jaccard_lowest": min(jaccard),
                    "corrected_median": float(np.median(corrected)),
                    "corrected_lowest": min(corrected),
                }
        return told

    @property
    def warnings(self) -> list[str]:
        """What is mostly luck."""
        return [
            f"with {SOURCES[source]} most of this subset is exchanged (chance-corrected Jaccard "
            f"{told['corrected_median']:.2f}, below {LUCK}): which rows were kept is mostly luck"
            + (
                ", as the rule draws by lot; it is the kind of rows that stays"
                if self.is_draw and source != "variant"
                else ""
            )
            for source, told in self.medians().items()
            if told["corrected_median"] < LUCK
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rule": self.rule,
            "is_draw": self.is_draw,
            "texts": self.texts,
            "by_source": self.medians(),
            "overlaps": [asdict(one) for one in self.overlaps],
            "warnings": self.warnings,
        }


def stability(
    selection: Selection,
    scores: ScoreTable,
    *,
    others: Mapping[str, ScoreTable] | None = None,
    seeds: int = 5,
    vectors: Vectors | None = None,
    progress: Progress | None = None,
) -> Stability:
    """Select again in other ways, and tell how much of a selection stays.

    Parameters
    ----------
    selection : Selection
        What is looked at.
    scores : ScoreTable
        The scores that it was made from.
    others : dict of str to ScoreTable, optional
        Other scores of the same pool, by what is to be said of them: of another model, say.
    seeds : int
        How many other seeds, and how many samples of the pool, are tried.
    vectors : Vectors, optional
        Sentence vectors of the pool's texts; by default made, or taken from the store, where the
        rule looks at them.
    progress : Progress, optional
        Is told of the making of vectors.

    Returns
    -------
    Stability

    Raises
    ------
    OptionError
        If the selection cannot be made again from what it knows (a target it was given), or other
        scores are of another pool.
    """
    settings = selection.settings
    if seeds < 1:
        raise OptionError("too few seeds", got=str(seeds), expected="at least 1")
    if settings["target"] is not None:
        raise OptionError(
            "a selection for a target cannot be made again without the target",
            got=f"the rule {settings['rule']}",
            next_step="select with another rule",
        )
    others = others or {}
    for name, table in others.items():
        if set(table.frame["id"]) != set(scores.frame["id"]):
            raise OptionError("the other scores are of another pool", where=name)
    pool = open_to(selection)
    rule = rule_named(settings["rule"], scores.names)
    request = request_of(settings, rule, pool_rows=len(selection.pool))
    if vectors is None:
        asked = check_asked(request, score_names=scores.names)
        vectors, _ = vectors_for(asked, pool, scores, progress=progress or SilentProgress())

    first = _keys_kept(selection)
    overlaps = []
    for source, change, part, table, changed in _changes(
        pool, scores, rule, request, others=others, seeds=seeds, seed=settings["seed"]
    ):
        again = select(part, table, **changed, vectors=vectors)
        overlaps.append(
            _overlap(source, change, first, _keys_kept(again), among=set(part.rows["key"]))
        )
    return Stability(rule.name, rule.is_draw or bool(settings["soft"]), len(first), tuple(overlaps))


def expected_jaccard(first: int, second: int, among: int) -> float:
    """Return the Jaccard similarity that two independent draws are expected to have.

    Parameters
    ----------
    first, second : int
        Their sizes.
    among : int
        What they are drawn from.

    >>> round(expected_jaccard(1, 1, 4), 4), expected_jaccard(3, 3, 3)
    (0.25, 1.0)
    """
    shared = np.arange(max(0, first + second - among), min(first, second) + 1)
    chances = hypergeom.pmf(shared, among, first, second)
    return float((chances * shared / np.maximum(first + second - shared, 1)).sum())


def _changes(
    pool: Pool,
    scores: ScoreTable,
    rule: Rule,
    request: dict[str, Any],
    *,
    others: Mapping[str, ScoreTable],
    seeds: int,
    seed: int,
) -> Iterator[tuple[str, str, Pool, ScoreTable, dict[str, Any]]]:
    """Yield source, change, pool, scores and request of each selection to make."""
    for other in range(seed + 1, seed + 1 + seeds):
        yield "seed", f"seed {other}", pool, scores, {**request, "seed": other}
    for number in range(seeds):
        part = _sample(pool, number, stays=request["always_keep"])
        smaller = {**request, "seed": seed}
        for name in ("keep", "keep_tokens"):
            if request[name] is not None:
                smaller[name] = max(1, round(request[name] * _SAMPLE_SHARE))
        frame = scores.frame.filter(pl.col("id").is_in(part.rows["id"].implode()))
        table = ScoreTable(frame, scores.provenance)
        yield "sample", f"sample {number}", part, table, smaller
    if rule.scores is None:
        for entropies in _variants(request["entropies"], scores.names):
            asked = {**request, "seed": seed, "entropies": entropies}
            yield "variant", ", ".join(entropies), pool, scores, asked
    for name, table in others.items():
        yield "scores", name, pool, table, {**request, "seed": seed}


def _sample(pool: Pool, number: int, *, stays: list[str]) -> Pool:
    """Return nine tenths of the pool's texts, equal texts together, with what must stay."""
    keys = pool.rows["key"].unique().sort()
    chosen = np.random.default_rng(number).random(len(keys)) < _SAMPLE_SHARE
    in_it = pool.rows["key"].is_in(keys.filter(pl.Series(chosen)).implode())
    return pool.take(in_it | pool.rows["id"].is_in(stays))


def _variants(entropies: list[str], there: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the entropies with one exchanged for another variant of it, as far as it is scored."""
    for number, name in enumerate(entropies):
        for variant in _VARIANTS.get(name, ()):
            if variant in there:
                yield [*entropies[:number], variant, *entropies[number + 1 :]]


def _keys_kept(selection: Selection) -> set[str]:
    return set(selection.pool.rows.filter(selection.frame["kept"])["key"])


def _overlap(
    source: str, change: str, first: set[str], second: set[str], *, among: set[str]
) -> Overlap:
    """Compare what two selections keep of the texts that both could keep."""
    first = first & among
    shared = len(first & second)
    either = len(first | second)
    jaccard = shared / either if either else 1.0
    by_chance = expected_jaccard(len(first), len(second), len(among))
    return Overlap(
        source,
        change,
        texts=len(second),
        shared=shared,
        jaccard=jaccard,
        by_chance=by_chance,
        corrected=(jaccard - by_chance) / (1 - by_chance) if by_chance < 1 else 1.0,
    )
