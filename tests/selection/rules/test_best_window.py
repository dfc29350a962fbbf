"""Best windows, against scikit-learn's ridge regression at every start."""

import numpy as np
import pytest

from euds.selection.rules import labelled
from euds.selection.rules.ridge import ridge_weights
from euds.selection.select import select
from tests.conftest import make_pool
from tests.selection.pools import vectors_for

linear_model = pytest.importorskip("sklearn.linear_model")


@pytest.mark.parametrize("rows", [4, 9, 10, 60])
def test_weights_are_those_of_ridge_regression(rows):
    rng = np.random.default_rng(rows)
    inputs, targets = rng.normal(size=(rows, 9)), rng.normal(size=(rows, 3))
    oracle = linear_model.Ridge(alpha=0.7, fit_intercept=False).fit(inputs, targets)
    found = ridge_weights(inputs, targets, penalty=0.7)
    np.testing.assert_allclose(found, oracle.coef_.T, atol=1e-8)


def accuracy_of(inputs, labels, learnt):
    oracle = linear_model.Ridge(alpha=1.0, fit_intercept=False)
    oracle.fit(inputs[learnt], np.eye(3)[labels[learnt]])
    return (oracle.predict(inputs).argmax(axis=1) == labels).mean()


def clouds(rows, noise):
    """Return vectors around three places, their classes, and how far each row is from its place."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, rows)
    array = np.eye(12)[labels] + noise * rng.normal(size=(rows, 12))
    array = (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)
    return array, labels, np.linalg.norm(array - np.eye(12)[labels], axis=1)


@pytest.mark.parametrize("keep", [6, 20, 80])
@pytest.mark.parametrize("always_keep", [(), ("00003", "00100")])
def test_the_window_is_the_one_that_teaches_most(monkeypatch, keep, always_keep):
    array, labels, hardness = clouds(140, noise=0.5)
    pool = make_pool(
        [f"text number {row}" for row in range(140)], labels=["abc"[one] for one in labels]
    )
    by_key = dict(zip(pool.frame["key"], hardness, strict=True))
    shown = np.array([by_key[key] for key in sorted(by_key)])
    monkeypatch.setattr(labelled, "difficulty_of", lambda candidates: shown)
    selection = select(
        pool, rule="bws", keep=keep, vectors=vectors_for(pool, array), always_keep=always_keep
    )

    inputs = np.column_stack([array.astype(np.float64), np.ones(140)])
    always = [int(one) for one in always_keep]
    order = [row for row in np.argsort(hardness) if row not in always]
    size = keep - len(always)
    starts = sorted({round(part * (len(order) - size) / 20) for part in range(21)})
    windows = [order[start : start + size] for start in starts]
    best = max(windows, key=lambda rows: accuracy_of(inputs, labels, [*always, *rows]))
    assert set(map(int, selection.ids)) == {*always, *best}
    dropped = {
        "below el2n": order.index(best[0]),
        "above el2n": len(order) - size - order.index(best[0]),
    }
    assert selection.reasons == {reason: rows for reason, rows in dropped.items() if rows}


def test_where_the_hardest_are_wrong_the_window_leaves_them_out():
    array, labels, _ = clouds(300, noise=0.15)
    wrong = np.arange(0, 300, 6)
    told = labels.copy()
    told[wrong] = (told[wrong] + 1) % 3
    pool = make_pool(
        [f"text number {row}" for row in range(300)], labels=["abc"[one] for one in told]
    )
    selection = select(pool, rule="bws", keep=40, vectors=vectors_for(pool, array))
    assert not set(map(int, selection.ids)) & set(wrong.tolist())
