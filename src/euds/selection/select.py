"""Selecting: candidates, ranks, a rule's order of preference, the budget, and the reasons.

Everything is computed on distinct texts in the order of their keys, and ties are broken by a seeded
hash of the text: the order of the input cannot change what is kept. Nor can any label, unless the
rule says that it uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from euds.errors import OptionError
from euds.pool.pool import Pool, Texts
from euds.progress import default_progress
from euds.scoring.scores import ScoreTable, canonical_score, scorer_of
from euds.scoring.vectors import Vectors
from euds.selection.bulk import SCORES, Bulk, bulk_of
from euds.selection.deciding import NEAR_DUPLICATE, Case, Decision, decide
from euds.selection.diagnosis import MOST_TIES, diagnose
from euds.selection.groups import LANGUAGE, OPTION, check_column, groups_of, is_label
from euds.selection.guards import MOST_DETECTED, Shares, language_shares, option_shares
from euds.selection.repeats import (
    MOST_CHARACTERS,
    Against,
    NearDuplicates,
    against_names,
    is_too_much_text,
    rows_against,
    stand_ins_by_cosine,
    stand_ins_by_words,
)
from euds.selection.request import AUTO, DEFAULT_KEEP, Request, check_request, check_target
from euds.selection.rows import (
    complete_of,
    distinct_rows,
    drawn_lots,
    numbers_of,
    take_out,
    with_completeness,
    with_ranks,
)
from euds.selection.rules.preference import Candidates
from euds.selection.rules.ranks import tied_share
from euds.selection.rules.registry import Rule
from euds.selection.selection import Selection
from euds.selection.sentence_vectors import vectors_for
from euds.selection.spending import rows_left
from euds.selection.usability import usability_of, usability_warnings

__all__ = ["DEFAULT_KEEP", "check_request", "select"]

Numbers = NDArray[np.int64]


def select(
    pool: Pool,
    scores: ScoreTable | None = None,
    *,
    keep: float | str | None = None,
    keep_tokens: int | None = None,
    rule: str | None = None,
    interval: str | Sequence[str] | None = None,
    entropies: Sequence[str] = ("ie", "ge", "se"),
    always_keep: Sequence[str] = (),
    near_duplicates: NearDuplicates = "auto",
    against: Against = (),
    quota: str | None = None,
    guards: bool = True,
    keep_unusable: bool = False,
    soft: bool = False,
    use_labels: bool = False,
    seed: int = 0,
    vectors: Vectors | Literal[False] | None = None,
    target: Texts | None = None,
) -> Selection:
    """Choose the rows to keep; no label is looked at unless the rule or the quota says so.

    Parameters
    ----------
    pool : Pool
        The samples.
    scores : ScoreTable, optional
        Their scores; rules that work on no score need none.
    keep : float or str, optional
        A share such as 0.16 or ``"16%"``, or a whole number of rows. By default 0.16, or all rows
        inside the interval if one is given.
    keep_tokens : int, optional
        A number of tokens instead: never exceeded, and missed by less than one row.
    rule : str, optional
        A name of `euds.selection.rules.registry.RULES`, or any score column, to keep its middle. By
        default ``auto``, which looks for an interval; where one is given, ``igse``.
    interval : str or sequence of str, optional
        ``auto``; ``middle``; ``low:high`` in ranks of the rule's score; ``column=low:high`` in raw
        values. By default what the rule does by itself.
    entropies : sequence of str
        The columns that the ``igse`` rules combine, as far as they are scored.
    always_keep : sequence of str
        Ids of rows that must stay; they count towards the budget.
    near_duplicates : {"auto", "drop", "keep", "embedding"}
        What becomes of rows that nearly repeat another: dropped by the words they share or by their
        sentence vectors, and kept last of all if the budget cannot be met without them; or kept as
        any other. ``auto`` is ``drop``, but in pools of more than 100 MB of text ``keep``.
    against : Pool, Texts or a sequence of them
        What the subset must not overlap with, such as a test set: near-duplicates of these texts
        are taken out of the pool first. Labels of these are not looked at.
    quota : str, optional
        ``COLUMN=proportional``, ``equal`` or ``sqrt``: the budget is divided among the values of a
        column of the input, of ``label`` (which uses labels), of ``se_option`` (the model's own
        answer), of ``language``, or among ``clusters`` of sentence vectors.
    guards : bool
        Whether, without a quota, a subset that leans to a language or to an answer of the model is
        selected again with the pool's shares.
    keep_unusable : bool
        Whether rows outside the bulk of the pool (`euds.selection.bulk`) are kept like any others.
        If not, the rules ``auto`` and ``igse-joint`` keep them last of all.
    soft : bool
        Whether rows are drawn with probabilities that fall off from the middle, and are nowhere
        zero, instead of kept inside an interval.
    use_labels : bool
        Whether the automatic rule may look at the labels of the pool.
    seed : int
        Decides between rows that the rule holds equal, and of what is drawn.
    vectors : Vectors or False, optional
        Sentence vectors of the pool's texts; by default they are made, or taken from the store,
        where something needs them. The automatic rule does without where no encoder is installed,
        or with False.
    target : Texts, optional
        Texts like those that matter, for the rules that need them.

    Returns
    -------
    Selection

    Raises
    ------
    OptionError
        If the budget cannot be met exactly, a rule, score or interval is unknown, or the rule needs
        labels or a target and there is none.
    InputError
        If a text of the pool has none of the vectors given.
    MissingExtraError, ModelNotFoundError
        If vectors have to be made, and there is no encoder.
    """
    request = check_request(
        rule=rule,
        keep=keep,
        keep_tokens=keep_tokens,
        interval=interval,
        entropies=entropies,
        near_duplicates=near_duplicates,
        quota=quota,
        soft=soft,
        use_labels=use_labels,
        score_names=() if scores is None else scores.names,
    )
    table = scores or ScoreTable(pool.rows.select("id"))
    chosen = request.rule
    raw = [one.column for one in request.intervals if one.column is not None]
    table.require(raw)
    uses_labels = _uses_labels(request, pool, table)
    target = target if "target" in chosen.needs else None
    check_target([chosen], is_given=target is not None)

    made, without_vectors = _vectors(request, pool, table, vectors)
    table = _of_use(table, request, entropies)
    rows = distinct_rows(
        pool,
        table,
        always_keep,
        distinct=chosen.name != "full",
        show_labels=uses_labels,
    )
    rows = take_out(rows, rows_against(pool, against), table.frame.drop("id").columns)
    names, left_out = _scores_to_rank(chosen, entropies, table, rows)
    rows = with_ranks(rows, names, length_free=chosen.length_free)
    in_bulk = [name for name in _scores_of_bulk(entropies) if name in rows.columns]
    if chosen.one_score_will_do and in_bulk and not raw:
        rows = with_completeness(rows, in_bulk, one_will_do=True)
    else:
        rows = with_completeness(rows, [*names, *raw])
    case, bulk, shown = _case(
        request, rows, names, pool, in_bulk,
        keep_unusable=keep_unusable, seed=seed, vectors=made, target=target,
    )  # fmt: skip
    decision = _by_quota(request, case, pool, shown)
    languages, leaning = _leaning(request, case, decision, pool) if guards else (None, [])
    if leaning and (groups := _groups_to_guard(leaning, case, pool)) is not None:
        decision = decide(case, groups)
        languages = language_shares(rows, decision.kept, pool)

    if not decision.kept.any():
        raise OptionError(
            "no row would be kept",
            got=f"{len(pool):,} rows read, {case.candidates.rows:,} distinct and scored",
            next_step="raise the budget or widen the interval",
        )
    budget = request.budget
    settings = {
        "rule": chosen.name,
        "scores": list(names),
        # Also what was scored and then not used, because it was tied: it had to be scored first.
        "looked_at": sorted({*names, *left_out, *raw}),
        "interval": _interval_told(chosen, interval),
        "keep": None if budget is None else {"amount": budget.amount, "unit": budget.unit},
        "always_keep": sorted(always_keep),
        "near_duplicates": near_duplicates,
        "against": against_names(against),
        "quota": quota,
        "guards": guards,
        "keep_unusable": keep_unusable,
        "soft": soft,
        "seed": seed,
        "uses_labels": uses_labels,
        "target": None
        if target is None
        else {"texts": len(target), "fingerprint": target.fingerprint},
    }
    diagnosis = diagnose(
        rows, kept=decision.kept, names=names, left_out=left_out, languages=languages
    )
    if without_vectors is not None:
        diagnosis["warnings"].append(
            f"rows were drawn from all of the bulk and not alike from its clusters: there are no "
            f"sentence vectors, since {without_vectors}"
        )
    diagnosis["usability"] = usability_of(rows, bulk, decision.kept, pool)
    diagnosis["warnings"] += _warnings(request, case, decision, pool, leaning)
    diagnosis["warnings"] += usability_warnings(diagnosis["usability"], used=case.bulk is not None)
    diagnosis.update(case.preference.notes)
    frame = _selection_frame(pool, case, bulk, decision)
    return Selection(pool, frame, settings, diagnosis)


def _vectors(
    request: Request, pool: Pool, table: ScoreTable, given: Vectors | Literal[False] | None
) -> tuple[Vectors | None, str | None]:
    """Return the vectors, given or made, or why there are none where they would be of use."""
    if given is False:
        if request.must_have_vectors:
            raise OptionError(
                f"{request.vectors_for} needs sentence vectors",
                got="vectors=False",
                next_step="leave it out: they are made",
            )
        return None, None if request.vectors_for is None else "none were to be made"
    if given is not None:
        return given, None
    progress = default_progress()
    try:
        return vectors_for(request, pool, table, progress=progress)
    finally:
        progress.close()


def _of_use(table: ScoreTable, request: Request, entropies: Sequence[str]) -> ScoreTable:
    """Return the columns that selecting may look at: of millions of rows each one counts."""
    ranked = request.rule.scores
    used = {
        *([canonical_score(name) for name in entropies] if ranked is None else ranked),
        *(one.column for one in request.intervals),
        *("id", "words", "ge_tokens", OPTION, *SCORES),
    }
    return ScoreTable(table.frame.select(name for name in table.frame.columns if name in used))


def _interval_told(rule: Rule, interval: str | Sequence[str] | None) -> list[str]:
    """Return the intervals as settings: what was given, else what the rule does by itself."""
    if interval is None:
        return [AUTO if rule.name.startswith(AUTO) else "middle"]
    return [interval] if isinstance(interval, str) else list(interval)


def _uses_labels(request: Request, pool: Pool, table: ScoreTable) -> bool:
    """Check what the pool must have; return whether labels are used."""
    who = f"the rule {request.rule.name}"
    uses_labels = request.rule.uses_labels
    if request.quota is not None:
        check_column(request.quota.column, pool.source, table.frame.columns)
        if is_label(request.quota.column, pool.source) and not uses_labels:
            who, uses_labels = "the quota", True
    if uses_labels and not pool.label_names:
        raise OptionError(
            f"{who} uses labels, and no row has one",
            next_step="name the column of the label when reading: --label COLUMN",
        )
    return uses_labels


def _scores_to_rank(
    rule: Rule, entropies: Sequence[str], table: ScoreTable, rows: pl.DataFrame
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return the scores a rule works on, and those left out of IGSE, with their share of ties."""
    if rule.scores is not None:
        table.require(rule.scores)
        return rule.scores, {}
    wanted = [canonical_score(name) for name in entropies]
    there = [name for name in wanted if name in table.names]
    if not there:
        table.require(wanted)
    ties = {name: tied_share(numbers_of(rows, name)) for name in there}
    left_out = {name: share for name, share in ties.items() if share > MOST_TIES}
    if len(left_out) == len(there):  # nothing would be left to select by
        left_out = {}
    return tuple(name for name in there if name not in left_out), left_out


def _case(
    request: Request,
    rows: pl.DataFrame,
    names: Sequence[str],
    pool: Pool,
    in_bulk: Sequence[str],
    *,
    keep_unusable: bool,
    seed: int,
    vectors: Vectors | None,
    target: Texts | None,
) -> tuple[Case, Bulk | None, NDArray[np.float32] | None]:
    """Let the rule put the candidates in order; return also the bulk and, if needed, vectors."""
    complete = complete_of(rows.drop("id", "taken_out", "lacks"))
    shown = None
    if vectors is not None and request.vectors_for is not None:
        shown = vectors.of(complete["key"].to_list())
    stays = complete["must"].to_numpy()
    is_open = ~stays
    for interval in request.intervals:
        if interval.column is not None:
            is_open &= interval.side(numbers_of(complete, interval.column)) == 0
    stand_in = np.arange(complete.height)
    if _looks_for_near_duplicates(request, pool):
        # A row outside the interval is never kept, so it stands for none inside.
        among = np.flatnonzero(is_open | stays)
        some = complete[among]
        if request.near_duplicates == "embedding" and shown is not None:
            stand_in[among] = among[stand_ins_by_cosine(some, shown[among])]
        else:
            stand_in[among] = among[stand_ins_by_words(some, pool)]
    rule = request.rule
    distinct = is_open & (stand_in == np.arange(complete.height))
    lots = drawn_lots(complete, seed)
    bulk = bulk_of(
        {name: numbers_of(complete, name) for name in in_bulk},
        fitted=(distinct | stays),
        lots=drawn_lots(complete, 0),  # where the bulk lies does not depend on the seed
    )
    sorts_out = bulk is not None and rule.usable_first and not keep_unusable
    candidates = Candidates(
        open=distinct & bulk.inside if bulk is not None and sorts_out else distinct,
        distinct=distinct,
        distance=None if bulk is None else bulk.distance,
        stays=stays,
        keep=rows_left(rows, request.budget, pool_rows=len(pool)),
        lots=lots,
        seed=seed,
        ranks={name: complete[f"rank_{name}"].to_numpy() for name in names},
        vectors=shown if "vectors" in rule.takes else None,
        labels=tuple(complete["label"]) if rule.uses_labels else None,
        values={name: numbers_of(complete, name) for name in names if "values" in rule.needs},
        texts=_whole_texts(pool.texts, complete["key"]) if "texts" in rule.needs else None,
        target=None if target is None else tuple(target.whole),
    )
    case = Case(
        rows=rows,
        candidates=candidates,
        preference=rule.prefer(candidates),
        stand_in=stand_in,
        intervals=request.intervals,
        budget=request.budget,
        pool_rows=len(pool),
        soft=request.soft,
        bulk=bulk if sorts_out else None,
    )
    return case, bulk, shown


def _scores_of_bulk(entropies: Sequence[str]) -> list[str]:
    """Return the scores that the bulk may be found by: those of the entropies that are combined."""
    scorers = {scorer_of(name) for name in entropies}
    return [name for name in SCORES if scorer_of(name) in scorers]


def _whole_texts(texts: Texts, keys: pl.Series) -> tuple[str, ...]:
    whole = dict(zip(texts.keys, texts.whole, strict=True))
    return tuple(whole[key] for key in keys)


def _looks_for_near_duplicates(request: Request, pool: Pool) -> bool:
    if request.rule.name == "full" or request.near_duplicates == "keep":
        return False
    return request.near_duplicates != "auto" or not is_too_much_text(pool)


def _by_quota(
    request: Request, case: Case, pool: Pool, vectors: NDArray[np.float32] | None
) -> Decision:
    if request.quota is None:
        return decide(case)
    groups = groups_of(
        request.quota.column,
        complete_of(case.rows),
        pool,
        vectors=vectors,
        lots=case.candidates.lots,
        seed=case.candidates.seed,
    )
    return decide(case, groups, request.quota.kind)


def _leaning(
    request: Request, case: Case, decision: Decision, pool: Pool
) -> tuple[Shares, list[Shares]]:
    """Return the shares of languages, and those shares that a guard should act on."""
    languages = language_shares(case.rows, decision.kept, pool)
    rule = request.rule
    if request.quota is not None or request.budget is None or rule.is_draw or rule.uses_labels:
        return languages, []
    both = (languages, option_shares(case.rows, decision.kept))
    return languages, [shares for shares in both if shares.is_leaning]


def _groups_to_guard(leaning: Sequence[Shares], case: Case, pool: Pool) -> Numbers | None:
    """Return groups whose shares must be kept, None where telling them would take too long."""
    complete = complete_of(case.rows)
    groups = np.zeros(complete.height, dtype=np.int64)
    for shares in leaning:
        if shares.column == LANGUAGE and complete.height > MOST_DETECTED:
            continue
        values = groups_of(
            shares.column,
            complete,
            pool,
            vectors=None,
            lots=case.candidates.lots,
            seed=case.candidates.seed,
        )
        groups = groups * (values.max(initial=0) + 1) + values
    return groups if groups.any() else None


def _warnings(
    request: Request, case: Case, decision: Decision, pool: Pool, leaning: Sequence[Shares]
) -> list[str]:
    warnings = []
    for shares in leaning:
        what = "languages" if shares.column == LANGUAGE else "answers of the model"
        acted = shares.column != LANGUAGE or case.candidates.rows <= MOST_DETECTED
        did = (
            "so they were selected again with the pool's shares (--no-guards leaves them as they "
            "are)"
            if acted
            else f"--quota {LANGUAGE}=proportional keeps the pool's shares"
        )
        warnings.append(f"the rows leaned to some {what} (pool -> kept): {shares.told()}; {did}")
    complete = case.rows["complete"].to_numpy()
    filling = int((case.repeats & decision.kept[complete] & ~case.candidates.stays).sum())
    if filling:
        warnings.append(
            f"{filling:,} rows that nearly repeat another were kept: without them there are fewer "
            f"rows than the budget asks for"
        )
    if request.near_duplicates == "auto" and is_too_much_text(pool):
        warnings.append(
            f"near-duplicates were not looked for in more than {MOST_CHARACTERS / 1e6:.0f} MB of "
            f"text; --near-duplicates drop looks for them all the same"
        )
    return warnings


def _selection_frame(pool: Pool, case: Case, bulk: Bulk | None, decision: Decision) -> pl.DataFrame:
    """Spread the decisions over the pool's rows; what is no candidate is a duplicate of one."""
    rows, judged = case.rows, case.preference.judged
    complete = rows["complete"].to_numpy()
    for name in judged.keys() & {
        "igse",
        "igse_joint",
        "el2n",
        "moderate",
        "agreement",
    }:  # made by the rule, no score column
        ranks = np.full(rows.height, np.nan)
        ranks[complete] = judged[name]
        rows = rows.with_columns(pl.Series(f"rank_{name}", ranks).fill_nan(None))
    distance = np.full(rows.height, np.nan)
    far = np.zeros(rows.height, dtype=bool)
    if bulk is not None:
        distance[complete], far[complete] = bulk.distance, bulk.far
    decided = rows.select(
        pl.Series("kept", decision.kept),
        decision.reason.alias("reason"),
        pl.col("^rank_.*$"),
        pl.Series("inclusion", decision.inclusion),
        pl.Series("distance", distance).fill_nan(None),
        pl.Series("unusable", far),
    )
    # By place and not by a join, which would take as much memory again.
    place = np.full(len(pool), -1)
    place[rows["at"].to_numpy()] = np.arange(rows.height)
    is_candidate = pl.Series(place >= 0)
    found = pl.select(pl.when(is_candidate).then(pl.lit(pl.Series(place)))).to_series()
    return (
        pool.rows.select("id")
        .hstack(decided.select(pl.all().gather(found)))
        .with_columns(
            kept=pl.col("kept").fill_null(value=False),
            reason=pl.when(is_candidate).then("reason").otherwise(pl.lit("duplicate")),
            inclusion=pl.col("inclusion").fill_null(0.0),
            unusable=pl.col("unusable").fill_null(value=False),
            duplicate_of=_stands_for(pool, case, decision, ~is_candidate),
        )
    )


def _stands_for(pool: Pool, case: Case, decision: Decision, repeats: pl.Series) -> pl.Series:
    """Return for each row the id of the row that stands for it, if one does."""
    rows = case.rows
    numbers = np.flatnonzero(rows["complete"].to_numpy())
    stand_in = np.arange(rows.height)
    stand_in[numbers] = numbers[case.stand_in]
    nearly = (decision.reason == NEAR_DUPLICATE).fill_null(value=False).arg_true()
    repeated = repeats.arg_true()
    # Rows are sorted by key; of equal ones the first stands for all.
    first = rows["key"].search_sorted(pool.rows["key"].gather(repeated), "left")
    found = pl.repeat(None, len(pool), dtype=pl.String, eager=True)
    found = found.scatter(rows["at"].gather(nearly), rows["id"].gather(stand_in[nearly.to_numpy()]))
    return found.scatter(repeated, rows["id"].gather(first))
