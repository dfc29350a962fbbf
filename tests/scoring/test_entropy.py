"""The formulas against hand-computed values, slow loops, exact identities and known biases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from random import Random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from euds.scoring.entropy import (
    calibrate,
    chao_shen_entropy,
    cluster_counts,
    discrete_semantic_entropy,
    entropy_from_log_probabilities,
    entropy_from_logits,
    entropy_from_probabilities,
    high_entropy_sum,
    label_entropy,
    mean_nll,
    mean_token_entropy,
    miller_madow_entropy,
    mutual_information,
    normalised_entropy,
    normalised_word_entropy,
    plugin_entropy,
    snne,
    word_cross_entropy,
    word_entropy,
)

LN2 = math.log(2)
LN3 = math.log(3)

unhurried = settings(deadline=None)  # a busy machine is no failure

counts_lists = st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any)
logit_lists = st.lists(st.floats(-60, 60), min_size=1, max_size=30)
texts_as_words = st.lists(
    st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=12), min_size=1, max_size=6
)


# --- Slow oracles: one number at a time, by definition --------------------------------------------


def slow_plugin(counts: list[int]) -> float:
    n = sum(counts)
    shares = [Fraction(c, n) for c in counts if c]
    return math.fsum(-float(p) * math.log(p) for p in shares)


def slow_chao_shen(counts: list[int]) -> float:
    n = sum(counts)
    f1 = counts.count(1)
    coverage = 1 - Fraction(n - 1 if f1 == n else f1, n)
    terms = []
    for c in counts:
        q = coverage * Fraction(c, n)
        if q:
            terms.append(-float(q) * math.log(q) / float(1 - (1 - q) ** n))
    return math.fsum(terms)


def slow_cross_entropies(texts: list[list[str]], alpha: float) -> list[float]:
    pool = Counter(word for text in texts for word in text)
    scores = []
    for text in texts:
        rest = pool - Counter(text)
        total = sum(rest.values()) + alpha * len(pool)
        scores.append(math.fsum(-math.log((rest[w] + alpha) / total) for w in text) / len(text))
    return scores


def laid_end_to_end(texts: list[list[str]]) -> tuple[list[int], list[int], list[int]]:
    """Return own counts, pool counts and lengths, as the word functions take them."""
    pool = Counter(word for text in texts for word in text)
    own = [Counter(text)[word] for text in texts for word in text]
    return own, [pool[word] for text in texts for word in text], [len(text) for text in texts]


# --- From counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([4], 0.0),
        ([1, 1], LN2),
        ([2, 1, 1], 1.5 * LN2),  # 1/2 ln 2 + 2 (1/4 ln 4)
        ([3, 1], 2 * LN2 - 0.75 * LN3),  # 3/4 (ln 4 - ln 3) + 1/4 ln 4
        ([5, 0, 5, 0], LN2),
    ],
)
def test_plugin_entropy_by_hand(counts: list[int], expected: float) -> None:
    assert plugin_entropy(counts) == pytest.approx(expected, abs=1e-15)


@unhurried
@given(counts_lists)
def test_plugin_entropy_agrees_with_definition_and_scipy(counts: list[int]) -> None:
    assert plugin_entropy(counts) == pytest.approx(slow_plugin(counts), abs=1e-13)
    assert plugin_entropy(counts) == pytest.approx(scipy.stats.entropy(counts), abs=1e-13)


@unhurried
@given(counts_lists, st.randoms(use_true_random=False))
def test_plugin_entropy_is_bounded_and_blind_to_order(counts: list[int], random: Random) -> None:
    entropy = plugin_entropy(counts)
    assert 0 <= entropy <= math.log(len(counts)) + 1e-14
    shuffled = list(counts)
    random.shuffle(shuffled)
    assert plugin_entropy(shuffled) == entropy  # to the last bit


@unhurried
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=5))
def test_chain_rule_of_grouped_counts(groups: list[list[int]]) -> None:
    # H(everything) = H(groups) + the entropies within the groups, weighted by their shares.
    sizes = [sum(group) for group in groups]
    within = sum(s / sum(sizes) * plugin_entropy(g) for s, g in zip(sizes, groups, strict=True))
    everything = plugin_entropy([c for group in groups for c in group])
    assert everything == pytest.approx(plugin_entropy(sizes) + within, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([1, 1, 1], 1.0), ([3], 0.0), ([2, 2], 0.5), ([2, 1, 1], 0.75)],  # over ln 3, ln 3, ln 4, ln 4
)
def test_normalised_entropy_by_hand(counts: list[int], expected: float) -> None:
    assert normalised_entropy(counts) == pytest.approx(expected, abs=1e-15)
    assert normalised_entropy(counts) <= 1


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([4], 0.0), ([1, 1], LN2 + 1 / 4), ([2, 1, 1], 1.5 * LN2 + 2 / 8), ([2, 0, 2], LN2 + 1 / 8)],
)
def test_miller_madow_entropy_by_hand(counts: list[int], expected: float) -> None:
    assert miller_madow_entropy(counts) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # No singleton: C = 1. Two terms (1/2 ln 2) / (1 - (1/2)^4).
        ([2, 2], LN2 * 16 / 15),
        # One singleton of three: C = 2/3, q = 4/9 and 2/9.
        (
            [2, 1],
            (4 / 9 * math.log(9 / 4)) / (1 - (5 / 9) ** 3)
            + (2 / 9 * math.log(9 / 2)) / (1 - (7 / 9) ** 3),
        ),
        # Only singletons: f1 = 1 instead of 2, C = 1/2, q = 1/4 twice.
        ([1, 1], 2 * (1 / 4 * math.log(4)) / (1 - (3 / 4) ** 2)),
        ([1], 0.0),
        ([7], 0.0),
    ],
)
def test_chao_shen_entropy_by_hand(counts: list[int], expected: float) -> None:
    assert chao_shen_entropy(counts) == pytest.approx(expected, abs=1e-15)


@unhurried
@given(counts_lists)
def test_chao_shen_entropy_agrees_with_definition(counts: list[int]) -> None:
    assert chao_shen_entropy(counts) == pytest.approx(slow_chao_shen(counts), abs=1e-11)


@pytest.mark.parametrize(
    "estimate", [plugin_entropy, miller_madow_entropy, chao_shen_entropy, normalised_entropy]
)
def test_counts_may_be_stacked(estimate: Callable[..., np.ndarray]) -> None:
    stacked = np.array([[[3, 1, 0], [1, 1, 1]], [[2, 2, 2], [5, 0, 0]]])
    one_by_one = [[float(estimate(counts)) for counts in block] for block in stacked]
    np.testing.assert_allclose(estimate(stacked), one_by_one, atol=1e-15)


@pytest.mark.parametrize(
    "counts", [[], [0, 0], [-1, 2], [0.5, 0.5], [math.nan, 1], [math.inf, 1], 3, [[1, 1], [0, 0]]]
)
@pytest.mark.parametrize(
    "estimate", [plugin_entropy, miller_madow_entropy, chao_shen_entropy, normalised_entropy]
)
def test_what_cannot_be_counted_is_refused(
    estimate: Callable[..., np.ndarray], counts: object
) -> None:
    with pytest.raises(ValueError):
        estimate(counts)


def test_one_thing_has_no_normalised_entropy() -> None:
    with pytest.raises(ValueError, match="ln 1"):
        normalised_entropy([1])


# --- Words of many texts --------------------------------------------------------------------------


@unhurried
@given(texts_as_words)
def test_word_entropies_agree_with_counts_of_each_text(texts: list[list[str]]) -> None:
    own, _, lengths = laid_end_to_end(texts)
    expected = [slow_plugin(list(Counter(text).values())) for text in texts]
    np.testing.assert_allclose(word_entropy(own, lengths), expected, atol=1e-10)


@unhurried
@given(texts_as_words, st.sampled_from([0.01, 0.1, 1.0]))
def test_word_cross_entropy_agrees_with_leaving_the_text_out(
    texts: list[list[str]], alpha: float
) -> None:
    own, pool, lengths = laid_end_to_end(texts)
    vocabulary = len({word for text in texts for word in text})
    scores = word_cross_entropy(
        own, pool, lengths, pool_words=len(own), pool_vocabulary=vocabulary, alpha=alpha
    )
    np.testing.assert_allclose(scores, slow_cross_entropies(texts, alpha), atol=1e-10)


def test_word_cross_entropy_by_hand() -> None:
    # Texts "a a b" and "a c", alpha = 1, V = 3. For the first the rest is "a c": f(a) = 2/5,
    # f(b) = 1/5. For the second it is "a a b": f(a) = 3/6, f(c) = 1/6.
    scores = word_cross_entropy(
        [2, 2, 1, 1, 1], [3, 3, 1, 3, 1], [3, 2], pool_words=5, pool_vocabulary=3, alpha=1.0
    )
    expected = [(2 * math.log(5 / 2) + math.log(5)) / 3, (LN2 + math.log(6)) / 2]
    np.testing.assert_allclose(scores, expected, atol=1e-10)


def test_a_text_alone_in_its_pool_knows_no_word() -> None:
    # Nothing is left when it is left out: all words are equally likely, f = 1/V.
    scores = word_cross_entropy(
        [2, 2, 1], [2, 2, 1], [3], pool_words=3, pool_vocabulary=2, alpha=0.1
    )
    np.testing.assert_allclose(scores, [LN2], atol=1e-10)


@unhurried
@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_texts_with_equal_counts_tie_to_the_last_bit(counts: list[int], random: Random) -> None:
    words = [(kind, count) for kind, count in enumerate(counts) for _ in range(count)]
    shuffled = list(words)
    random.shuffle(shuffled)
    own = [count for _, count in words + shuffled]
    pool = [count + 7 * kind for kind, count in words + shuffled]
    lengths = [len(words), len(words)]
    for scores in (
        word_entropy(own, lengths),
        word_cross_entropy(own, pool, lengths, pool_words=10**6, pool_vocabulary=10**4, alpha=0.1),
    ):
        assert scores[0] == scores[1]


@unhurried
@given(st.lists(st.integers(2, 300), min_size=1, max_size=5))
def test_normalised_word_entropy_is_one_without_repeats_and_zero_without_variety(
    lengths: list[int],
) -> None:
    different = np.ones(sum(lengths), dtype=int)
    same = np.repeat(lengths, lengths)
    assert normalised_word_entropy(different, lengths).tolist() == [1.0] * len(lengths)
    assert normalised_word_entropy(same, lengths).tolist() == [0.0] * len(lengths)


def test_words_are_counted_in_small_integers_without_overflow() -> None:
    own = np.full(255, 255, dtype=np.uint8)
    assert word_entropy(own, np.array([255], dtype=np.uint8)).tolist() == [0.0]
    pool = np.full(255, 300, dtype=np.uint16)
    scores = word_cross_entropy(own, pool, [255], pool_words=1000, pool_vocabulary=10, alpha=0.1)
    np.testing.assert_allclose(scores, [math.log(746 / 45.1)], atol=1e-10)


def test_no_text_no_score() -> None:
    assert word_entropy([], []).shape == (0,)
    assert normalised_word_entropy([], []).shape == (0,)
    scores = word_cross_entropy([], [], [], pool_words=0, pool_vocabulary=0, alpha=0.1)
    assert scores.shape == (0,)


def test_the_longest_text_does_not_overflow() -> None:
    longest = 100_000
    own = np.ones(longest, dtype=int)
    rare = word_cross_entropy(
        own, own, [longest], pool_words=10**15, pool_vocabulary=longest, alpha=1e-300
    )
    # Each word is only in this text: f = 1e-300 / (10^15 - 10^5).
    assert rare[0] == pytest.approx(300 * math.log(10) + math.log(10**15 - longest), rel=1e-12)
    with pytest.raises(ValueError, match="at most"):
        word_entropy(np.ones(longest + 1), [longest + 1])


@pytest.mark.parametrize("lengths", [[2], [4], [3, 0], [4, -1]])
def test_lengths_must_fit_the_words(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="lengths"):
        word_entropy([1, 1, 1], lengths)


@pytest.mark.parametrize("own", [[0, 1], [1, 3]])
def test_a_word_is_in_its_text_at_least_once_and_at_most_as_often_as_words(own):
    with pytest.raises(ValueError, match="at least once"):
        word_entropy(own, [2])


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_alpha_must_be_positive(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        word_cross_entropy([1], [1], [1], pool_words=1, pool_vocabulary=1, alpha=alpha)


@pytest.mark.parametrize(("pool_count", "pool_words"), [(1, 9), (2, 1)])
def test_the_pool_must_include_the_text(pool_count: int, pool_words: int) -> None:
    with pytest.raises(ValueError, match="include"):
        word_cross_entropy(
            [2, 2], [pool_count] * 2, [2], pool_words=pool_words, pool_vocabulary=3, alpha=0.1
        )


def test_one_word_has_no_normalised_entropy() -> None:
    with pytest.raises(ValueError, match="ln 1"):
        normalised_word_entropy([1], [1])


# --- From distributions ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [1, 2, 7, 50_257])
def test_uniform_is_ln_v_and_one_hot_is_zero(options: int) -> None:
    uniform = np.zeros(options)
    one_hot = np.full(options, -np.inf)
    one_hot[options // 2] = 3.0
    assert entropy_from_logits(uniform) == pytest.approx(math.log(options), rel=1e-13)
    assert entropy_from_logits(one_hot) == 0
    assert entropy_from_log_probabilities(one_hot - 3.0) == 0
    assert entropy_from_probabilities(np.exp(one_hot - 3.0)) == 0


@unhurried
@given(logit_lists, st.floats(-1e4, 1e4))
def test_entropy_from_logits_is_bounded_and_blind_to_a_shift(
    logits: list[float], shift: float
) -> None:
    entropy = entropy_from_logits(logits)
    assert 0 <= entropy <= math.log(len(logits)) + 1e-12
    assert entropy_from_logits(np.array(logits) + shift) == pytest.approx(entropy, abs=1e-9)


@unhurried
@given(logit_lists)
def test_three_routes_to_the_same_entropy(logits: list[float]) -> None:
    top = max(logits)
    weights = [math.exp(z - top) for z in logits]
    p = np.array(weights) / math.fsum(weights)
    expected = scipy.stats.entropy(p)
    assert entropy_from_probabilities(p) == pytest.approx(expected, abs=1e-12)
    with np.errstate(divide="ignore"):
        assert entropy_from_log_probabilities(np.log(p)) == pytest.approx(expected, abs=1e-12)
    assert entropy_from_logits(logits) == pytest.approx(expected, abs=1e-12)


def test_entropy_from_logits_by_hand() -> None:
    # softmax(ln 3, 0) = (3/4, 1/4); an impossible option changes nothing.
    expected = 2 * LN2 - 0.75 * LN3
    assert entropy_from_logits([LN3, 0.0]) == pytest.approx(expected, abs=1e-15)
    assert entropy_from_logits([LN3, -np.inf, 0.0]) == pytest.approx(expected, abs=1e-15)


def test_entropy_from_logits_keeps_its_digits_far_from_zero_and_near_certainty() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=50_257)
    expected = scipy.stats.entropy(np.exp(logits))
    assert entropy_from_logits(logits - 90) == pytest.approx(expected, rel=1e-12)
    # The second option has odds of e^-40: H = q (1 + 40) + O(q^2) with q = e^-40.
    assert entropy_from_logits([1e6, 1e6 - 40]) == pytest.approx(41 * math.exp(-40), rel=1e-9)


def test_distributions_lie_along_the_named_axis() -> None:
    p = np.array([[0.5, 1.0], [0.5, 0.0]])
    np.testing.assert_allclose(entropy_from_probabilities(p, axis=0), [LN2, 0.0])
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    np.testing.assert_allclose(entropy_from_log_probabilities(log_p, axis=0), [LN2, 0.0])
    np.testing.assert_allclose(entropy_from_logits(log_p, axis=0), [LN2, 0.0])


@pytest.mark.parametrize("p", [[0.5, 0.4], [1.5, -0.5], [[1.0, 0.0], [0.2, 0.2]]])
def test_what_is_no_distribution_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        entropy_from_probabilities(p)


@pytest.mark.parametrize("log_p", [[-1.0, -1.0], [1000.0, 0.0]])
def test_what_is_no_log_distribution_is_refused(log_p: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        entropy_from_log_probabilities(log_p)


@pytest.mark.parametrize("broken", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_broken_logits_have_no_entropy_and_spoil_no_other(broken: list[float]) -> None:
    entropies = entropy_from_logits([[0.0, 0.0], broken, [0.0, 0.0]])
    np.testing.assert_allclose(entropies, [LN2, np.nan, LN2])
    assert math.isnan(mutual_information([broken, [0.0, 0.0]]))


def test_broken_probabilities_have_no_entropy_and_spoil_no_other() -> None:
    p = [[0.5, 0.5], [math.nan, 0.5]]
    np.testing.assert_allclose(entropy_from_probabilities(p), [LN2, np.nan])
    np.testing.assert_allclose(entropy_from_log_probabilities(np.log(p)), [LN2, np.nan])


# --- From a language model's statistics -----------------------------------------------------------


def test_means_are_per_token_and_in_float64() -> None:
    assert mean_token_entropy([1.0, 2.0, 6.0]) == 3.0
    assert mean_nll([0.25, 0.75]) == 0.5
    # In float32 the sum would lose the second token.
    uneven = np.array([1.0, 2.0**-30], dtype=np.float32)
    assert mean_token_entropy(uneven) == 0.5 + 2.0**-31
    assert mean_nll(uneven) == 0.5 + 2.0**-31


def test_mean_nll_of_a_text_that_matches_the_model_is_the_models_entropy() -> None:
    p = np.array([0.5, 0.25, 0.25])
    matching_text = np.repeat([0, 1, 2], [4, 2, 2])
    assert mean_nll(-np.log(p[matching_text])) == pytest.approx(1.5 * LN2, abs=1e-15)


@pytest.mark.parametrize(
    ("tokens", "percent", "summed"),
    [
        (1, 0.5, 1),
        (200, 0.5, 1),
        (201, 0.5, 2),
        (400, 0.5, 2),
        (10, 25, 3),
        (10, 100, 10),
        (10_000, 0.07, 7),  # 0.07 * 10,000 / 100 is 7.000000000000001 in floating point
    ],
)
def test_high_entropy_sum_takes_the_right_share(tokens: int, percent: float, summed: int) -> None:
    entropies = np.random.default_rng(0).permutation(tokens).astype(float)
    expected = sum(range(tokens - summed, tokens))
    assert high_entropy_sum(entropies, percent=percent) == expected


@pytest.mark.parametrize("statistic", [mean_token_entropy, mean_nll, high_entropy_sum])
def test_no_statistic_of_no_or_broken_tokens(statistic: Callable[..., float]) -> None:
    assert math.isnan(statistic([1.0, math.nan, 2.0]))
    for tokens in ([], 1.0, [[1.0]]):
        with pytest.raises(ValueError, match="at least one token"):
            statistic(tokens)


@pytest.mark.parametrize("percent", [0, -1, 101, math.nan])
def test_percent_must_be_a_share(percent: float) -> None:
    with pytest.raises(ValueError, match="percent"):
        high_entropy_sum([1.0], percent=percent)


# --- Semantic entropies ---------------------------------------------------------------------------


def test_discrete_semantic_entropy_by_hand() -> None:
    assert discrete_semantic_entropy(["yes", "no", "yes", "maybe"]) == pytest.approx(1.5 * LN2)
    assert discrete_semantic_entropy(np.array([3, 3, 3])) == 0
    assert cluster_counts([5, 9, 5, 5]).tolist() == [3, 1]
    with pytest.raises(ValueError, match="no sample"):
        discrete_semantic_entropy([])


@unhurried
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.permutations(range(6)))
def test_discrete_semantic_entropy_is_blind_to_names_and_order(
    labels: list[int], names: list[int]
) -> None:
    entropy = discrete_semantic_entropy(labels)
    assert discrete_semantic_entropy([names[label] for label in labels]) == entropy
    assert discrete_semantic_entropy(labels[::-1]) == entropy


def partitions(n: int, largest: int) -> Iterator[list[int]]:
    if n == 0:
        yield []
    for part in range(min(n, largest), 0, -1):
        for rest in partitions(n - part, part):
            yield [part, *rest]


@pytest.mark.parametrize(("samples", "values"), [(3, 3), (5, 7), (10, 39)])
def test_discrete_semantic_entropy_takes_few_values(samples: int, values: int) -> None:
    seen = set()
    for sizes in partitions(samples, samples):
        labels = [label for label, size in enumerate(sizes) for _ in range(size)]
        seen.add(round(discrete_semantic_entropy(labels), 12))
    assert len(seen) == values


def test_snne_by_hand() -> None:
    # Each row's neighbours: ln(e^1 + e^0), ln(e^1 + e^0.5), ln(e^0 + e^0.5).
    sim = [[9.0, 1.0, 0.0], [1.0, 9.0, 0.5], [0.0, 0.5, 9.0]]
    e, root = math.e, math.sqrt(math.e)
    expected = -(math.log(e + 1) + math.log(e + root) + math.log(1 + root)) / 3
    assert snne(sim) == pytest.approx(expected, abs=1e-15)
    # At tau = 1/2 similarities count twice.
    expected = -(math.log(e**2 + 1) + math.log(e**2 + e) + math.log(1 + e)) / 3
    assert snne(sim, tau=0.5) == pytest.approx(expected, abs=1e-15)


def test_snne_of_broken_similarities_is_nan_and_spoils_no_other() -> None:
    whole, broken = np.ones((2, 2)), np.array([[1.0, np.nan], [1.0, 1.0]])
    np.testing.assert_allclose(snne([whole, broken]), [-1.0, np.nan])


def test_snne_of_answers_that_are_all_alike_or_all_apart() -> None:
    alike, apart = np.ones((10, 10)), np.eye(10)
    assert snne(alike) == pytest.approx(-math.log(9) - 1)
    assert snne(apart) == pytest.approx(-math.log(9))
    np.testing.assert_allclose(snne([alike, apart]), [snne(alike), snne(apart)])


@unhurried
@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_snne_is_blind_to_order_and_to_the_diagonal(answers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sim = rng.uniform(-1, 1, (answers, answers))
    order = rng.permutation(answers)
    shuffled = sim[np.ix_(order, order)]
    np.fill_diagonal(shuffled, np.nan)
    assert snne(shuffled) == pytest.approx(snne(sim), abs=1e-12)


@pytest.mark.parametrize(
    ("sim", "tau"),
    [
        ([[1.0]], 1),
        (np.ones((2, 3)), 1),
        ([1.0, 1.0], 1),
        (np.ones((2, 2)), 0),
    ],
)
def test_snne_refuses_what_it_cannot_score(sim: object, tau: float) -> None:
    with pytest.raises(ValueError):
        snne(sim, tau=tau)  # type: ignore[arg-type]


def test_label_entropy_renormalises_over_the_options() -> None:
    # 0.03 and 0.01 of all continuations: 3/4 and 1/4 of the two options.
    assert label_entropy(np.log([0.03, 0.01])) == pytest.approx(2 * LN2 - 0.75 * LN3)


def test_mutual_information_by_hand() -> None:
    tiny = -800.0  # e^-800 is 0 in floating point
    opposed = [[0.0, tiny], [tiny, 0.0]]
    assert mutual_information(opposed) == pytest.approx(LN2)
    assert mutual_information(np.log([[0.5, 0.5], [0.5, 0.5]])) == 0
    # Members (3/4, 1/4) and (1/4, 3/4): ln 2 - H(1/4).
    two = np.log([[0.75, 0.25], [0.25, 0.75]])
    assert mutual_information(two) == pytest.approx(LN2 - (2 * LN2 - 0.75 * LN3))


@unhurried
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_mutual_information_is_the_mean_divergence_from_the_mean(
    members: int, options: int, seed: int
) -> None:
    scores = np.random.default_rng(seed).normal(scale=3, size=(members, options))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = np.mean([scipy.stats.entropy(row, p.mean(axis=0)) for row in p])
    information = mutual_information(scores)
    assert information == pytest.approx(expected, abs=1e-12)
    assert 0 <= information <= math.log(min(members, options)) + 1e-12
    np.testing.assert_array_equal(mutual_information(scores[None]), [information])


@pytest.mark.parametrize("shape", [(3,), (0, 3)])
def test_mutual_information_needs_members(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="members"):
        mutual_information(np.zeros(shape))


def test_calibrate_by_hand() -> None:
    log_probs = np.log([[0.6, 0.2], [0.3, 0.1]])
    # Nothing taken out: both rows are (3/4, 1/4).
    np.testing.assert_allclose(np.exp(calibrate(log_probs, "none")), [[0.75, 0.25]] * 2)
    # Both texts say the same, so nothing but the general liking is there to be said.
    np.testing.assert_allclose(np.exp(calibrate(log_probs)), [[0.5, 0.5]] * 2)
    # A content-free prompt with odds of 9 : 1 turns 3 : 1 into 1 : 3.
    baseline = np.log([0.9, 0.1])
    np.testing.assert_allclose(np.exp(calibrate(log_probs, baseline)), [[0.25, 0.75]] * 2)


@unhurried
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_calibrate_normalises_and_ignores_what_rows_and_options_add(
    texts: int, options: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    log_probs = rng.normal(scale=5, size=(texts, options))
    calibrated = calibrate(log_probs)
    np.testing.assert_allclose(np.exp(calibrated).sum(axis=1), 1)
    biased = log_probs + rng.normal(size=(texts, 1)) + rng.normal(scale=9, size=options)
    np.testing.assert_allclose(calibrate(biased), calibrated, atol=1e-10)


def test_calibrate_gives_broken_rows_no_part_in_the_mean() -> None:
    whole = np.log([[0.6, 0.2], [0.1, 0.3]])
    broken = np.vstack([[np.nan, 0.0], whole, [0.0, -np.inf]])
    calibrated = calibrate(broken)
    np.testing.assert_array_equal(calibrated[1:3], calibrate(whole))
    assert np.isnan(calibrated[[0, 3]]).all()


def test_calibrate_of_no_text() -> None:
    assert calibrate(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("log_probs", "method"),
    [
        ([0.0, 0.0], "mean"),
        ([[0.0, 0.0]], "median"),
        ([[0.0, 0.0]], np.zeros(3)),
        ([[0.0, 0.0]], np.array([0.0, -np.inf])),
    ],
)
def test_calibrate_refuses_what_it_cannot_calibrate(log_probs: object, method: object) -> None:
    with pytest.raises(ValueError):
        calibrate(log_probs, method)  # type: ignore[arg-type]


# --- Known biases, simulated ----------------------------------------------------------------------

LENGTHS = [16, 32, 64, 128, 256, 512]
TEXTS_PER_LENGTH = 400


def zipf_source() -> np.ndarray:
    """Return word probabilities like those of natural text: 1 / (rank + 2.7)^1.07."""
    weights = 1 / (np.arange(1, 30_001) + 2.7) ** 1.07
    return weights / weights.sum()


@pytest.fixture(scope="module")
def zipf_texts() -> dict[int, np.ndarray]:
    """Return texts of each length from one source, as arrays of word numbers."""
    rng = np.random.default_rng(20_260_217)
    source = zipf_source()
    return {n: rng.choice(len(source), size=(TEXTS_PER_LENGTH, n), p=source) for n in LENGTHS}


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def sizes_of(words: np.ndarray) -> np.ndarray:
    return np.unique(words, return_counts=True)[1]


def test_the_source_has_an_entropy_of_7_45_nats() -> None:
    assert entropy_from_probabilities(zipf_source()) == pytest.approx(7.45, abs=0.005)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (plugin_entropy, [2.71, 3.36, 3.96, 4.51, 5.02, 5.46]),
        (normalised_entropy, [0.98, 0.97, 0.95, 0.93, 0.90, 0.88]),
        (miller_madow_entropy, [3.16, 3.80, 4.39, 4.92, 5.38, 5.79]),
        (chao_shen_entropy, [5.17, 5.57, 5.58, 5.73, 5.94, 6.18]),
    ],
)
def test_entropies_of_counts_are_largely_length(
    zipf_texts: dict[int, np.ndarray],
    estimate: Callable[..., np.ndarray],
    expected: list[float],
) -> None:
    for length, value in zip(LENGTHS, expected, strict=True):
        scores = np.array([estimate(sizes_of(words)) for words in zipf_texts[length]])
        mean, error = mean_and_error(scores)
        # The table, from ten times as many texts and another seed, has two decimals.
        assert mean == pytest.approx(value, abs=0.005 + 4 * error), length
        assert mean < 7.45


def test_word_cross_entropy_is_flat_in_length_and_its_spread_is_not(
    zipf_texts: dict[int, np.ndarray],
) -> None:
    texts = [words for length in LENGTHS for words in zipf_texts[length]]
    pool = np.bincount(np.concatenate(texts))
    own = [np.bincount(words)[words] for words in texts]
    scores = word_cross_entropy(
        np.concatenate(own),
        pool[np.concatenate(texts)],
        [len(words) for words in texts],
        pool_words=int(pool.sum()),
        pool_vocabulary=np.count_nonzero(pool),
        alpha=0.1,
    ).reshape(len(LENGTHS), TEXTS_PER_LENGTH)
    spreads = scores.std(axis=1)
    overall = np.average(scores.mean(axis=1), weights=LENGTHS)
    for row in scores:
        mean, error = mean_and_error(row)
        assert mean == pytest.approx(overall, abs=4 * error)
    assert overall == pytest.approx(7.45, abs=0.1)  # the pool is finite: a little above
    # The standard deviation shrinks like 1/sqrt(L): extremes are mostly short texts.
    np.testing.assert_allclose(spreads * np.sqrt(LENGTHS), spreads[0] * 4, rtol=0.2)


@pytest.mark.parametrize(
    ("meanings", "discrete", "corrected"),
    [
        (np.full(5, 1 / 5), [1.12, 1.38, 1.50], [1.76, 1.61, 1.56]),
        (1 / np.arange(1, 21), [1.31, 1.73, 2.05], [2.39, 2.44, 2.48]),
    ],
    ids=["five equal meanings", "twenty meanings, Zipf"],
)
def test_few_samples_hide_meanings_and_chao_shen_corrects_it(
    meanings: np.ndarray, discrete: list[float], corrected: list[float]
) -> None:
    shares = meanings / meanings.sum()
    truth = float(entropy_from_probabilities(shares))
    rng = np.random.default_rng(0)
    for row, samples in enumerate([5, 10, 20]):
        counts = rng.multinomial(samples, shares, size=4_000)
        plain, plain_error = mean_and_error(plugin_entropy(counts))
        better, better_error = mean_and_error(chao_shen_entropy(counts))
        # The expected values, from 400,000 draws and another seed, have two decimals.
        assert plain == pytest.approx(discrete[row], abs=0.005 + 4 * plain_error)
        assert better == pytest.approx(corrected[row], abs=0.005 + 4 * better_error)
        assert abs(better - truth) < abs(plain - truth)
