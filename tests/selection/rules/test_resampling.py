"""Importance resampling: log-ratios against plain counting, draws against their probabilities."""

import hashlib
import json
import math
import re
from collections import Counter

import numpy as np
import pytest

from euds.errors import OptionError
from euds.pool.pool import Pool, Texts
from euds.selection.rules.preference import Candidates
from euds.selection.rules.resampling import dsir, log_importance
from euds.selection.select import select
from tests.conftest import make_pool

POOL = [
    "The film was good, very good!",
    "a cat sat on the mat",
    "interest rates rose again; the bank said so",
    "don't",
    "Née à l'hôtel: 3.5% of 1,000",
    "",
    "the the the the",
]
TARGET = ["The bank raised interest rates.", "rates rose 3.5% again"]


def bag(text):
    """Count hashed words and pairs of words, as the paper describes it."""
    words = re.findall(r"[\w]+|[^\w\s]+", text.lower())
    pairs = [" ".join(words[place : place + 2]) for place in range(len(words) - 1)]
    return Counter(
        int(hashlib.sha256(one.encode("utf-8")).hexdigest(), 16) % 10_000 for one in words + pairs
    )


def by_hand(texts, target):
    pool_counts, target_counts = sum(map(bag, texts), Counter()), sum(map(bag, target), Counter())
    pool_total, target_total = sum(pool_counts.values()), sum(target_counts.values())

    def ratio(bucket):
        wanted = math.log(target_counts[bucket] / target_total + 1e-8)
        return wanted - math.log(pool_counts[bucket] / pool_total + 1e-8)

    return [sum(count * ratio(bucket) for bucket, count in bag(text).items()) for text in texts]


def test_log_ratios_are_those_of_plain_counting():
    np.testing.assert_allclose(log_importance(POOL, TARGET), by_hand(POOL, TARGET), atol=1e-9)
    assert log_importance(POOL, TARGET)[5] == 0  # no words, no evidence
    assert log_importance([], TARGET).tolist() == []
    assert log_importance(["", ""], TARGET).tolist() == [0, 0]


def test_log_ratios_are_those_of_the_authors_package(tmp_path):
    """Run where the package is: PYTHONPATH=build/peers, see `make bench-speed`."""
    package = pytest.importorskip("data_selection")
    for name, texts in (("pool", POOL), ("target", TARGET)):
        lines = (json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    peer = package.HashedNgramDSIR(
        [str(tmp_path / "pool.jsonl")],
        [str(tmp_path / "target.jsonl")],
        cache_dir=str(tmp_path / "cache"),
        num_proc=1,
        min_example_length=0,
    )
    peer.fit_importance_estimator(num_tokens_to_fit="all")
    peer.compute_importance_weights()
    theirs = np.load(tmp_path / "cache" / "log_importance_weights" / "0.npy")
    np.testing.assert_allclose(log_importance(POOL, TARGET), theirs, atol=1e-9)


def test_a_target_without_words_is_refused():
    with pytest.raises(OptionError, match="no words"):
        log_importance(POOL, ["", "  "])


def test_rows_are_drawn_in_proportion_to_their_weights():
    texts = ("one", "two", "three", "four")
    target = ("one", "one", "two", "three", "three", "three", "four", "four", "four", "four")
    weights = np.exp(by_hand(texts, target))
    np.testing.assert_allclose(weights, [0.8, 0.4, 1.2, 1.6], rtol=1e-6)
    rng = np.random.default_rng(0)
    first, second = np.zeros(4), np.zeros((4, 4))
    draws = 4_000
    for _ in range(draws):
        lots = rng.integers(0, 2**64, 4, dtype=np.uint64)
        open_ = np.ones(4, dtype=bool)
        candidates = Candidates(open_, ~open_, 2, lots, 0, texts=texts, target=target)
        order = np.argsort(dsir(candidates).priority)
        first[order[0]] += 1
        second[order[0], order[1]] += 1
    shares = weights / weights.sum()
    # Four standard errors of a share of 4,000 are at most 0.032.
    np.testing.assert_allclose(first / draws, shares, atol=0.032)
    for one in range(4):  # without replacement: the second by the weights that are left
        rest = np.delete(weights, one) / np.delete(weights, one).sum()
        error = 4 * 0.5 / math.sqrt(first[one])
        np.testing.assert_allclose(np.delete(second[one], one) / first[one], rest, atol=error)


def mixed_pool():
    rng = np.random.default_rng(0)
    vocabularies = (["rate", "bank", "fund", "bond"], ["goal", "team", "match", "coach"])
    texts = [
        f"{index} " + " ".join(rng.choice(vocabularies[index % 2], 12)) for index in range(200)
    ]
    return make_pool(texts)


def test_rows_like_the_target_are_kept():
    pool = mixed_pool()
    target = Texts.of(["the bank sold a bond", "a rate of the fund", "bond fund bank rate"])
    selection = select(pool, rule="dsir", keep=60, target=target)
    assert sum(int(one) % 2 == 0 for one in selection.ids) == 60
    assert set(selection.reasons) == {"unlike the target"}
    again = select(pool, rule="dsir", keep=60, target=target, seed=1)
    assert set(again.ids) != set(selection.ids)


def test_contexts_count_as_part_of_the_text():
    texts = [f"question {index}" for index in range(40)]
    about = ["bank rate bond" if index < 10 else "team goal match" for index in range(40)]
    pool = make_pool(texts)
    whole = Texts.of(texts, about)
    frame = pool.frame.drop("key", "context").join(whole.frame, on="text", maintain_order="left")
    pool = Pool.of(frame.select(pool.frame.columns), pool.records, pool.source)
    selection = select(
        pool, rule="dsir", keep=10, target=Texts.of(["who?"], ["the bank rate bond"])
    )
    assert set(map(int, selection.ids)) == set(range(10))
