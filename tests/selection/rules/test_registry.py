"""The contract of every rule: exact budgets, reasons, no dependence on order, no unasked labels."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from euds.errors import InputError, ModelNotFoundError, OptionError
from euds.pool.pool import Pool, Texts
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors
from euds.selection.request import check_target
from euds.selection.rules.registry import REASONS, RULES, rule_descriptions, rule_named
from euds.selection.select import check_request, select
from tests.conftest import make_pool
from tests.selection.pools import rich_pool, shuffled, unit_vectors, vectors_for

BUDGETED = [name for name in RULES if name != "full"]
LABEL_FREE = [name for name, rule in RULES.items() if not rule.uses_labels]
LABEL_AWARE = [name for name, rule in RULES.items() if rule.uses_labels]
TARGET = Texts.of(["a text that matters", "number 7", "text number eight"])


def relabelled(pool: Pool, labels: list[str | None]) -> Pool:
    frame = pool.frame.with_columns(label=pl.Series(labels, dtype=pl.String))
    return Pool.of(frame, pool.records, pool.source)


@pytest.mark.parametrize("rule", BUDGETED)
@pytest.mark.parametrize(("keep", "expected"), [(0.16, 24), ("1", 1), (130, 130)])
def test_a_budget_in_rows_is_met_exactly_and_no_row_is_kept_twice(rule, keep, expected):
    pool, table, vectors = rich_pool()
    selection = select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET)
    assert len(selection) == len(set(selection.ids)) == expected
    keys = pool.frame.filter(pl.col("id").is_in(selection.ids))["key"]
    assert keys.n_unique() == expected


@pytest.mark.parametrize("rule", BUDGETED)
def test_all_that_can_be_kept_can_be_kept_and_not_one_row_more(rule):
    pool, table, vectors = rich_pool()
    most = 135 if rule in LABEL_AWARE else 140
    assert len(select(pool, table, rule=rule, keep=most, vectors=vectors, target=TARGET)) == most
    with pytest.raises(OptionError, match="cannot be met") as caught:
        select(pool, table, rule=rule, keep=most + 1, vectors=vectors, target=TARGET)
    assert f"--keep {most}" in str(caught.value)
    assert ("5 without a label" in str(caught.value)) == (rule in LABEL_AWARE)


@pytest.mark.parametrize("rule", BUDGETED)
def test_a_budget_in_tokens_is_met_within_a_row_or_refused_with_the_way_out(rule):
    pool, table, vectors = rich_pool()
    arguments = {"rule": rule, "keep_tokens": 900, "vectors": vectors, "target": TARGET}
    if RULES[rule].needs_rows:
        with pytest.raises(OptionError, match="how many rows") as caught:
            select(pool, table, **arguments)
        assert "k-center" in str(caught.value)
        return
    spent = table.frame.filter(pl.col("id").is_in(select(pool, table, **arguments).ids))
    assert 900 - 60 < spent["ge_tokens"].sum() <= 900


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_rows_changes_nothing(rule):
    pool, table, vectors = rich_pool()
    keep = None if rule == "full" else 0.2
    first = select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET)
    other_pool, other_table = shuffled(pool, table, seed=7)
    second = select(other_pool, other_table, rule=rule, keep=keep, vectors=vectors, target=TARGET)
    assert first.frame.sort("id").equals(second.frame.sort("id"))


@pytest.mark.parametrize("rule", RULES)
def test_one_seed_is_one_selection_and_only_draws_differ_by_seed(rule):
    pool, table, vectors = rich_pool()
    keep = None if rule == "full" else 0.2
    first, again, other = (
        select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET, seed=seed).ids
        for seed in (1, 1, 2)
    )
    assert first == again
    if RULES[rule].is_draw:
        assert first != other
    elif rule not in ("el2n", "bws", "k-means", "semdedup", "longest", "shortest"):
        # El2n's model goes through the rows in a seeded order; clusters begin at rows drawn by lot,
        # and lots decide between texts of equal length.
        assert first == other


@pytest.mark.parametrize("rule", RULES)
def test_every_dropped_row_has_a_reason_and_no_kept_row_has(rule):
    pool, table, vectors = rich_pool()
    keep = None if rule == "full" else 0.2
    frame = select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET).frame
    assert frame.filter("kept")["reason"].drop_nulls().is_empty()
    reasons = set(frame.filter(~pl.col("kept"))["reason"])
    assert None not in reasons
    scores = ("above", "below", "unusable: ")
    assert all(one in REASONS or one == "duplicate" or one.startswith(scores) for one in reasons)


@pytest.mark.parametrize("rule", RULES)
def test_inclusion_adds_up_to_the_rows_kept(rule):
    pool, table, vectors = rich_pool()
    keep = None if rule == "full" else 0.2
    selection = select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET)
    assert selection.frame["inclusion"].sum() == pytest.approx(len(selection))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_shown_what_it_asked_for_and_nothing_else(rule, monkeypatch):
    shown = []
    watched = RULES[rule]

    def watch(candidates):
        shown.append(candidates)
        return watched.prefer(candidates)

    monkeypatch.setitem(RULES, rule, replace(watched, prefer=watch))
    pool, table, vectors = rich_pool()
    selection = select(pool, table, rule=rule, vectors=vectors, target=TARGET)
    (candidates,) = shown
    needs, takes = watched.needs, watched.takes
    assert (candidates.labels is not None) == ("labels" in needs)
    for name in ("vectors", "texts", "target"):
        assert (getattr(candidates, name) is not None) == (name in takes)
    assert set(candidates.values) == (set(watched.scores) if "values" in needs else set())
    assert selection.settings["uses_labels"] == ("labels" in needs)
    if candidates.labels is None:
        assert not any("label" in str(value) for value in vars(candidates).values())


@pytest.mark.parametrize("rule", LABEL_FREE)
def test_labels_change_nothing_for_a_rule_that_does_not_use_them(rule):
    pool, table, vectors = rich_pool()
    keep = None if rule == "full" else 0.2
    first = select(pool, table, rule=rule, keep=keep, vectors=vectors, target=TARGET)
    for labels in ([None] * len(pool), [f"label {index % 7}" for index in range(len(pool))]):
        other = select(
            relabelled(pool, labels), table, rule=rule, keep=keep, vectors=vectors, target=TARGET
        )
        assert first.frame.equals(other.frame)


@pytest.mark.parametrize("rule", LABEL_AWARE)
def test_rows_without_a_label_are_no_candidates_of_a_rule_that_uses_labels(rule):
    pool, table, vectors = rich_pool()
    frame = select(pool, table, rule=rule, keep=0.2, vectors=vectors, target=TARGET).frame
    assert frame.filter(reason="no label")["id"].to_list() == pool.frame["id"][40:45].to_list()
    nowhere = relabelled(pool, [None] * len(pool))
    with pytest.raises(OptionError, match="no row has one"):
        select(nowhere, table, rule=rule, vectors=vectors, target=TARGET)


@pytest.mark.parametrize("rule", LABEL_AWARE)
def test_of_equal_texts_one_with_a_label_stands_for_all(rule):
    pool = make_pool(["same"] * 3 + list("vwxyz"), labels=[None, "b", "a", *"ababa"])
    vectors = vectors_for(pool, np.repeat(unit_vectors(6), [3, 1, 1, 1, 1, 1], axis=0))
    table = ScoreTable(pool.frame.select("id", ie=pl.int_range(pl.len()).cast(pl.Float64)))
    frame = select(pool, table, rule=rule, keep="6", vectors=vectors, target=TARGET).frame
    assert frame["kept"].to_list() == [False, True, False] + [True] * 5
    assert frame["duplicate_of"][0] == frame["duplicate_of"][2] == "00001"


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if "vectors" in rule.needs])
def test_without_an_encoder_the_error_says_how_to_get_one(rule):
    pool, table, vectors = rich_pool()
    with pytest.raises(ModelNotFoundError, match="euds models get"):
        select(pool, table, rule=rule, target=TARGET)
    some = Vectors(vectors.keys[1:], vectors.array[1:], None)
    with pytest.raises(InputError, match="no vector"):
        select(pool, table, rule=rule, vectors=some)


@pytest.mark.parametrize("rule", BUDGETED)
def test_rows_that_must_stay_stay_and_count(rule):
    pool, table, vectors = rich_pool()
    always = ["00000", "00041"]  # the second has no label
    arguments = {"rule": rule, "vectors": vectors, "target": TARGET, "always_keep": always}
    selection = select(pool, table, keep=20, **arguments)
    assert len(selection) == 20
    assert set(always) <= set(selection.ids)
    assert set(select(pool, table, keep=2, **arguments).ids) == set(always)


CHOOSING = ["k-means", "k-center", "semdedup", "dsir", "bws"]
DRAWING = ["random", "random-stratified", "ccs", "ccs-el2n"]


@pytest.mark.parametrize("rule", [*CHOOSING, *DRAWING])
def test_rules_without_an_order_of_ranks_choose_inside_an_interval_of_raw_values(rule):
    pool, table, vectors = rich_pool()
    arguments = {"rule": rule, "interval": "ie=0:", "vectors": vectors, "target": TARGET}
    selection = select(pool, table, keep=20, **arguments)
    scores = table.frame.filter(pl.col("id").is_in(selection.ids))["ie"]
    assert len(scores) == 20
    assert scores.min() >= 0
    if rule in CHOOSING:  # among the rows inside, not by a draw of equals
        assert set(selection.frame["inclusion"]) == {0.0, 1.0}
    with pytest.raises(OptionError, match="no ranks"):
        select(pool, table, rule=rule, interval="0.2:0.4", keep=5, vectors=vectors, target=TARGET)


@pytest.mark.parametrize("rule", [name for name in BUDGETED if not RULES[name].needs_rows])
def test_an_interval_without_rows_is_an_error_of_the_family(rule):
    pool, table, vectors = rich_pool()
    for budget in ({"keep": 5}, {"keep_tokens": 50}, {}):
        with pytest.raises(OptionError):
            select(
                pool, table, rule=rule, interval="ie=100:", vectors=vectors, target=TARGET, **budget
            )


def test_descriptions_name_every_rule_and_mark_those_that_use_labels():
    told = rule_descriptions()
    assert list(told) == list(RULES)
    assert [name for name, text in told.items() if "(uses labels)" in text] == LABEL_AWARE
    assert [
        *(
            "auto-labels",
            "auto-labels-plain",
            "random-stratified",
            "el2n",
            "ccs-el2n",
            "bws",
            "moderate",
        )
    ] == LABEL_AWARE


@pytest.mark.parametrize("rule", RULES)
def test_a_request_for_every_rule_can_be_checked_before_there_are_scores(rule):
    rest = {"keep_tokens": None, "interval": "middle", "entropies": ["ie"]}
    check_request(rule=rule, keep=None if rule == "full" else 0.1, **rest)
    if rule_named(rule).needs_rows:
        with pytest.raises(OptionError, match="how many rows"):
            check_request(rule=rule, keep=None, **{**rest, "interval": "ie=2:5"})


def test_a_rule_that_needs_a_target_says_how_to_give_one():
    pool, table, _ = rich_pool()
    with pytest.raises(OptionError, match="texts like those that matter") as caught:
        select(pool, table, rule="dsir")
    assert "--target FILE" in str(caught.value)
    settings = select(pool, table, rule="dsir", target=TARGET).settings
    assert settings["target"] == {"texts": 3, "fingerprint": TARGET.fingerprint}
    assert select(pool, table, rule="ge", target=TARGET).settings["target"] is None
    with pytest.raises(OptionError, match="no rule that looks at it"):
        check_target([RULES["ge"], RULES["k-center"]], is_given=True)
    check_target([RULES["ge"], RULES["dsir"]], is_given=True)
