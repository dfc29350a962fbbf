"""The automatic rules: strata, windows, the criterion, and the search."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from euds.scoring.scores import ScoreTable
from euds.selection.rules.automatic import automatic, automatic_with_labels, with_combinations
from euds.selection.rules.clustering import interleaved, strata_of
from euds.selection.rules.criteria import Draws, reduced, search
from euds.selection.rules.preference import Candidates
from euds.selection.rules.probe_accuracy import ProbeAccuracy
from euds.selection.rules.ranks import mid_ranks
from euds.selection.rules.registry import RULES
from euds.selection.rules.ridge import Ridge, agreement
from euds.selection.rules.windows import EDGE, Window, windows_over
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import unit_vectors, vectors_for


def lots(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(rows).astype(np.uint64)


def candidates(vectors: np.ndarray, keep: int, **details) -> Candidates:
    rows = len(vectors)
    rng = np.random.default_rng(5)
    found = Candidates(
        open=np.ones(rows, dtype=bool),
        stays=np.zeros(rows, dtype=bool),
        keep=keep,
        lots=lots(rows),
        seed=0,
        ranks={name: mid_ranks(rng.normal(size=rows)) for name in ("ie", "ge")},
        vectors=vectors,
    )
    return replace(found, **details)


def blobs(rows: int, *, classes: int = 3, wrong: float = 0.0, seed: int = 0):
    """Return unit vectors around as many centres, their classes, and which labels are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=rows)
    vectors = 1.2 * np.eye(8)[truth] + 0.45 * rng.normal(size=(rows, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    is_wrong = rng.random(rows) < wrong
    labels = np.where(is_wrong, (truth + rng.integers(1, classes, size=rows)) % classes, truth)
    return vectors.astype(np.float32), labels, is_wrong


def test_any_beginning_holds_the_shares_of_the_groups():
    groups = np.repeat([0, 1, 2], [600, 300, 100])
    order = np.argsort(interleaved(groups, lots(1000), seed=3))
    for rows in (10, 50, 333):
        counts = np.bincount(groups[order[:rows]], minlength=3)
        assert np.abs(counts - rows * np.array([0.6, 0.3, 0.1])).max() <= 1.5


def test_rows_of_small_groups_are_as_likely_to_be_among_the_first():
    groups = np.repeat(np.arange(40), [1, 2, 3, 4] * 10)
    firsts = np.zeros(len(groups))
    for seed in range(2000):
        firsts[interleaved(groups, lots(len(groups), seed), seed=seed) < 0.16] += 1
    by_size = [firsts[np.bincount(groups)[groups] == size].mean() / 2000 for size in (1, 2, 3, 4)]
    # Standard error of the smallest: sqrt(0.16 * 0.84 / 20,000) = 0.0026.
    assert by_size == pytest.approx([0.16] * 4, abs=0.01)


def test_strata_are_the_clusters_where_there_are_clear_ones(monkeypatch):
    centres = np.eye(5, dtype=np.float32)
    own = np.repeat(np.arange(5), 40)
    vectors = centres[own] + np.random.default_rng(0).normal(scale=0.01, size=(200, 5))
    found = strata_of(vectors.astype(np.float32), 200, lots=lots(200), seed=0)
    # No stratum holds rows of two clusters, and there are never more strata than rows kept.
    assert all(len(set(own[found == one])) == 1 for one in set(found.tolist()))
    assert len(set(strata_of(vectors.astype(np.float32), 4, lots=lots(200), seed=0).tolist())) <= 4
    monkeypatch.setattr("euds.selection.rules.clustering._FITTED_ON", 100)
    some = strata_of(vectors.astype(np.float32), 200, lots=lots(200), seed=0)
    assert all(len(set(own[some == one])) == 1 for one in set(some.tolist()))


@pytest.mark.parametrize("keep", [0.01, 0.16, 0.5, 0.77, 0.9, 1.0])
def test_every_window_has_room_for_the_budget(keep):
    for window in windows_over(["ie"], keep):
        assert 0 <= window.low < window.high <= 1 + 1e-9
        assert window.high - window.low >= min(1, 1.25 * keep) - 1e-9
    widest = windows_over(["ie"], keep)[0]
    assert (widest.low, widest.high) in [(EDGE, 1 - EDGE), (0.0, 1.0)]


def test_reducing_changes_no_product_where_all_axes_are_kept():
    vectors = unit_vectors(40, 16)
    rows = reduced(vectors)
    np.testing.assert_allclose(rows @ rows.T, vectors @ vectors.T, atol=1e-5)


def test_the_probe_is_ridge_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    vectors, classes, _ = blobs(120)
    features, fit, ask = vectors.astype(float), np.arange(80), np.arange(80, 120)
    peer = linear.Ridge(alpha=0.7).fit(features[fit], np.eye(3)[classes[fit]])
    found = Ridge(features, classes, 0.7).outputs(fit, ask)
    np.testing.assert_allclose(found, peer.predict(features[ask]), atol=1e-9)


def test_wrong_labels_agree_least():
    vectors, labels, is_wrong = blobs(600, wrong=0.2)
    found = agreement(Ridge(vectors.astype(float), labels, 1.0), np.arange(600), seed=0)
    assert (found[is_wrong] < 0).mean() > 0.85
    assert (found[~is_wrong] < 0).mean() < 0.15


def test_agreement_is_judged_by_probes_that_did_not_see_the_row():
    # Labels by lot can be learnt by heart from as many dimensions, but not be told from the others.
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(150, 90)), rng.integers(2, size=150)
    found = agreement(Ridge(features, labels, 0.1), np.arange(150), seed=0)
    assert 0.3 < (found > 0).mean() < 0.7


@pytest.mark.parametrize("rows", [6, 12, 40])
def test_rows_left_out_in_closed_form_are_as_left_out_one_by_one(rows):
    for seed in range(10):
        vectors, classes, _ = blobs(60, wrong=0.3, seed=seed)
        ridge = Ridge(vectors.astype(float), classes, 0.4)
        fit, ask = np.arange(5, 5 + rows), np.arange(60)
        expected = [ridge.right(fit[fit != row], np.array([row]))[0] for row in ask]
        assert ridge.right_left_out(fit, ask).tolist() == expected
        assert not ridge.right_left_out(fit, fit).all()


def test_no_row_is_asked_about_that_was_trained_on_and_fresh_rows_are_kept_for_last(monkeypatch):
    vectors, labels, _ = blobs(300)
    ranks = {"ie": mid_ranks(np.random.default_rng(1).random(300))}
    draws = Draws(ranks, np.zeros(300, dtype=np.int64), 0.2, 0, labels)
    calls: list[tuple[set[int], set[int]]] = []
    plain, left_out = Ridge.outputs, Ridge.right_left_out

    def watched(self, fit, ask):
        calls.append((set(fit.tolist()), set(ask.tolist())))
        return plain(self, fit, ask)

    def also_watched(self, fit, ask):
        searching.update(fit.tolist(), ask.tolist())
        with monkeypatch.context() as within:  # it takes rows that were trained on out again
            within.setattr(Ridge, "outputs", plain)
            return left_out(self, fit, ask)

    searching: set[int] = set()
    monkeypatch.setattr(Ridge, "outputs", watched)
    monkeypatch.setattr(Ridge, "right_left_out", also_watched)
    probe = ProbeAccuracy(draws, vectors.astype(float))
    window = Window("ie", 0.1, 0.9)
    for number in range(probe.rounds):
        probe.worth(window, number)
        probe.worth(Window("agreement", 0.1, 0.9), number)
    searching.update(*(fit | ask for fit, ask in calls))
    probe.gains([Window("agreement", 0.1, 0.9, equal=True)], window)
    assert all(not fit & ask for fit, ask in calls)
    (fresh,) = {frozenset(ask) for _, ask in calls[-9:]}
    assert len(fresh) == 60
    assert not fresh & searching


def test_every_class_counts_the_same_but_for_the_tiniest():
    # Nine rows of ten are of one class, which cannot be told from the other.
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [270, 30])
    draws = Draws({"ie": rng.random(300)}, np.zeros(300, dtype=np.int64), 0.3, 0, labels)
    probe = ProbeAccuracy(draws, rng.normal(size=(300, 3)) * 0.01)
    worths = [probe.worth(Window("ie", 0.0, 1.0), number) for number in range(8)]
    assert np.mean(worths) == pytest.approx(50, abs=5)  # and 90 if rows counted the same


def test_a_class_of_few_rows_counts_for_less():
    # Two classes that are told apart, and ten rows of which each has a class of its own.
    labels = np.concatenate([np.repeat([0, 1], 150), np.arange(2, 12)])
    features = np.eye(2)[np.minimum(labels, 1)] + np.random.default_rng(0).normal(size=(310, 2)) / 9
    draws = Draws({"ie": np.linspace(0, 1, 310)}, np.zeros(310, dtype=np.int64), 0.3, 0, labels)
    probe = ProbeAccuracy(draws, features)
    # The ten, never right, weigh as much as the two together; if each were a class, five times.
    worths = [probe.worth(Window("ie", 0.0, 1.1), number) for number in range(8)]
    assert np.mean(worths) == pytest.approx(50, abs=12)


def test_of_many_draws_the_best_is_used():
    vectors, labels, _ = blobs(400, wrong=0.1)
    ranks = {"ie": np.random.default_rng(0).random(400)}
    draws = Draws(ranks, np.zeros(400, dtype=np.int64), 0.03, 0, labels)
    features = vectors.astype(float)
    window, everything = Window("ie", 0.02, 0.98), np.arange(400)
    used, number = ProbeAccuracy(draws, features).best_draw([window])
    ridge = Ridge(features, labels, 1.0)

    def worth(rows):
        return np.mean(ridge.right(rows, np.setdiff1d(everything, rows)))

    worths = [worth(draws.draw(window, everything, one)) for one in range(20)]
    assert used == window
    assert worth(draws.draw(used, everything, number)) > np.quantile(worths, 0.7)


def test_where_rows_count_alike_rare_classes_are_drawn_less_often():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [900, 100])
    vectors = np.eye(12)[labels] + 0.9 * rng.normal(size=(1000, 12))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pool = candidates(vectors, 80, labels=tuple(map(str, labels)))
    rare = {}
    for name in ("auto-labels", "auto-labels-plain"):
        kept = np.argsort(RULES[name].prefer(pool).priority, kind="stable")[:80]
        rare[name] = int(labels[kept].sum())
    assert rare["auto-labels"] == 40
    assert rare["auto-labels-plain"] < 20


def test_classes_are_drawn_alike_where_a_window_says_so():
    labels = np.repeat([0, 1, 2], [800, 150, 50])
    rng = np.random.default_rng(0)
    draws = Draws({"ie": rng.random(1000)}, rng.integers(9, size=1000), 0.2, 0, labels)
    rows = draws.draw(Window("ie", 0.0, 1.1, equal=True), np.arange(1000), 0)
    assert np.bincount(labels[rows]).tolist() == [75, 75, 50]
    plain = np.bincount(labels[draws.draw(Window("ie", 0.0, 1.1), np.arange(1000), 0)])
    assert plain[0] > 130


def test_rare_classes_are_drawn_more_often_where_that_teaches_more():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [900, 60, 40])
    vectors = 0.9 * np.eye(12)[labels] + 0.5 * rng.normal(size=(1000, 12))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    pool = candidates(vectors, 60, labels=tuple(map(str, labels)))
    preference = automatic_with_labels(pool)
    kept = np.argsort(preference.priority, kind="stable")[:60]
    assert preference.notes["search"]["chosen"]["equal"]
    assert np.bincount(labels[kept]).min() >= 18
    # Of a class as many rows are equally likely; the groups for that are the classes.
    assert len(np.unique(preference.drawn_from[kept])) == 3


def test_the_draw_that_is_kept_is_the_one_that_was_judged_best(monkeypatch):
    vectors, labels, _ = blobs(500, wrong=0.2)
    closed = np.arange(500) % 7 == 0
    pool = candidates(vectors, 40, open=~closed, labels=tuple(map(str, labels)))
    draw, judged = Draws.draw, []

    def watched(self, window, among, number):
        rows = draw(self, window, among, number)
        judged.append(((window, number), len(among), rows))
        return rows

    best = ProbeAccuracy.best_draw

    def watched_best(self, windows):
        judged.clear()
        found = best(self, windows)
        chosen.extend(rows for one, among, rows in judged if one == found and among == 428)
        return found

    chosen: list[np.ndarray] = []
    monkeypatch.setattr(Draws, "draw", watched)
    monkeypatch.setattr(ProbeAccuracy, "best_draw", watched_best)
    kept = np.argsort(automatic_with_labels(pool).priority, kind="stable")[:40]
    assert set(kept) == set(np.flatnonzero(~closed)[chosen[0]])


def test_with_labels_what_gains_nothing_on_rows_set_apart_is_not_used(monkeypatch):
    vectors, labels, _ = blobs(400)
    pool = candidates(vectors, 60, labels=tuple(map(str, labels)))
    for gain, is_used in ((0.1, True), (0.0, False), (-0.1, False)):
        monkeypatch.setattr(
            ProbeAccuracy, "gains", lambda *_, gain=gain: np.array([gain, gain + 5, gain - 5])
        )
        told = automatic_with_labels(pool).notes["search"]
        assert ("is used" in told["sentence"]) is is_used
        if not is_used:
            assert told["chosen"] == {
                "score": "igse",
                "low": EDGE,
                "high": 1 - EDGE,
                "equal": False,
            }


def test_labels_that_are_wrong_are_left_out_where_there_are_many():
    vectors, labels, is_wrong = blobs(1500, wrong=0.35)
    pool = candidates(vectors, 120, labels=tuple(map(str, labels)))
    preference = automatic_with_labels(pool)
    kept = np.argsort(preference.priority, kind="stable")[:120]
    assert preference.notes["search"]["chosen"]["score"] == "agreement"
    assert is_wrong[kept].mean() < 0.12
    free = np.argsort(automatic(pool).priority, kind="stable")[:120]
    assert is_wrong[free].mean() > 0.2


def test_a_pair_is_the_combined_entropy_of_the_two():
    rng = np.random.default_rng(2)
    pool = make_pool([f"text number {row}" for row in range(300)])
    frame = pl.DataFrame({name: rng.normal(size=300) for name in ("ie", "ge", "se")})
    table = ScoreTable(frame.insert_column(0, pool.frame["id"]))
    asked = {"rule": "igse", "entropies": ("ge", "se"), "interval": "0.2:0.7", "guards": False}
    by_hand = select(pool, table, **asked)
    rows = select(pool, table, rule="igse", keep=1.0, guards=False).frame.sort("id")
    ranks = {name: rows[f"rank_{name}"].to_numpy() for name in ("ie", "ge", "se")}
    inside = Window("ge+se", 0.2, 0.7).holds(with_combinations(ranks))
    assert set(rows["id"].filter(pl.Series(inside))) == set(by_hand.ids)


def test_of_four_entropies_no_pairs_are_made():
    ranks = {name: mid_ranks(np.arange(9.0)) for name in ("ie", "ie_plugin", "ge", "se")}
    assert list(with_combinations(ranks)) == ["igse", *ranks]


def test_what_is_said_to_be_gained_with_labels_is_nothing_where_labels_mean_nothing():
    gains = []
    for seed in range(10):
        vectors, _, _ = blobs(400, seed=seed)
        labels = np.random.default_rng(seed).integers(2, size=400)
        pool = candidates(vectors, 60, labels=tuple(map(str, labels)))
        gains.append(automatic_with_labels(pool).notes["search"]["gain"])
    # One gain has a standard error of 5.6 points, 80 fresh rows; the winners of a search that
    # were not judged anew would be some ten points above nothing.
    assert abs(np.mean(gains)) < 5


class Known:
    """A criterion whose truth is known: windows near a place are worth more."""

    name = "probe"
    rounds = 8
    finalists = 2
    windows = windows_over(["ie"], 0.1)

    def __init__(self, *, lucky: bool) -> None:
        self.lucky = lucky
        self.judged = 0

    def worth(self, window: Window, round_: int) -> float:
        self.judged += 1
        return -abs((window.low + window.high) / 2 - 0.8) + 0.001 * ((round_ * 7) % 3)

    def gains(self, finalists, widest: Window) -> np.ndarray:
        return np.array([0.0, 0.1, -0.1]) + (0 if self.lucky else 3)

    def counts(self, gain: float, error: float) -> bool:
        return gain > 2 * error


def test_the_search_finds_the_best_window_and_does_not_believe_luck():
    criterion = Known(lucky=False)
    found = search(criterion)
    off = sorted(abs((one.low + one.high) / 2 - 0.8) for one in criterion.windows)
    assert [abs((one.low + one.high) / 2 - 0.8) for one in found.finalists] == off[:2]
    assert found.best == found.finalists[0]
    assert criterion.judged < 8 * len(found.trials) / 2  # halving: most are judged once
    assert max(one.rounds for one in found.trials) == 8
    doubted = search(Known(lucky=True))
    assert doubted.best == found.best
    assert doubted.finalists == (windows_over(["ie"], 0.1)[0],)
    told = doubted.as_dict(doubted.widest)
    assert "none is clearly better" in told["sentence"]
    assert str(doubted.best) in told["sentence"]


def test_what_is_nothing_has_no_sign_of_a_loss():
    found = replace(search(Known(lucky=True)), gain=-0.04)
    assert ": +0.0 points of a probe" in found.as_dict(found.widest)["sentence"]


def test_labels_that_are_no_classes_are_not_used():
    vectors, _, _ = blobs(300)
    pool = candidates(vectors, 50, labels=tuple(map(str, range(300))))
    assert automatic_with_labels(pool).notes == {}
    assert (automatic_with_labels(pool).priority == automatic(pool).priority).all()


def test_rows_are_drawn_alike_from_all_clusters():
    vectors, truth, _ = blobs(900, classes=3)
    off = []
    for seed in range(20):
        pool = candidates(vectors, 90, seed=seed, lots=lots(900, seed))
        kept = np.argsort(automatic(pool).priority, kind="stable")[:90]
        off.append(np.bincount(truth[kept], minlength=3) - 90 * np.bincount(truth) / 900)
    # Of rows drawn by lot alone the counts have a variance of 18.
    assert np.mean(np.square(off)) < 12


def test_a_rows_place_does_not_depend_on_which_others_are_usable():
    vectors, _, _ = blobs(600)
    pool = candidates(vectors, 60, distinct=np.ones(600, dtype=bool))
    is_usable = np.arange(600) % 3 > 0
    some = automatic(replace(pool, open=is_usable)).priority
    assert (some == automatic(pool).priority).all()


def test_without_vectors_the_lots_decide():
    pool = replace(candidates(unit_vectors(40), 10), vectors=None)
    kept = np.argsort(automatic(pool).priority, kind="stable")[:10]
    assert set(kept) == set(np.argsort(pool.lots)[:10])


def test_what_was_searched_is_in_the_diagnosis():
    vectors, labels, _ = blobs(200, wrong=0.2)
    names = [f"text number {row}" for row in range(200)]
    pool = make_pool(names, labels=[str(one) for one in labels])
    rng = np.random.default_rng(0)
    table = ScoreTable(
        pl.DataFrame({"id": pool.frame["id"], "ie": rng.normal(size=200), "ge": rng.random(200)})
    )
    selection = select(
        pool, table, rule="auto-labels", keep=30, vectors=vectors_for(pool, vectors), guards=False
    )
    told = selection.diagnosis["search"]
    assert told["criterion"] == "probe"
    assert {one["score"] for one in told["profile"]} == {"igse", "ie", "ge", "agreement"}
    assert len(selection) == 30
    assert selection.settings["uses_labels"]
