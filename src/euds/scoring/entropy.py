"""The mathematics of the three entropies: one function per formula, arrays in, numbers out.

All entropies are in nats. A function with an ``axis``, or whose argument has leading dimensions
``...``, reduces the named axis and keeps the others; where nothing is left the result is a NumPy
scalar. A mistake of the caller (negative counts, probabilities that do not sum to one, nothing to
average) is a `ValueError`. A value that is not finite where it should be is a model's failure, not
the caller's: it makes the result of its own text NaN, and that of no other.

The formulas, their sources and their tests are tabulated in ``docs/method.md``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr, log_softmax, logsumexp

__all__ = [
    "calibrate",
    "chao_shen_entropy",
    "cluster_counts",
    "discrete_semantic_entropy",
    "entropy_from_log_probabilities",
    "entropy_from_logits",
    "entropy_from_probabilities",
    "high_entropy_sum",
    "label_entropy",
    "mean_nll",
    "mean_token_entropy",
    "miller_madow_entropy",
    "mutual_information",
    "normalised_entropy",
    "normalised_word_entropy",
    "plugin_entropy",
    "snne",
    "word_cross_entropy",
    "word_entropy",
]

Floats = NDArray[np.float64]

_SUM_TOLERANCE = 1e-4
_FIXED_POINT = 2.0**36
_MOST_WORDS = 100_000


# ---------------------------------------------------------------------------------------------
# From counts
# ---------------------------------------------------------------------------------------------


def plugin_entropy(counts: ArrayLike) -> Floats:
    """Return the plug-in (maximum likelihood) entropy of counts, in nats.

    ``H = -Σ_v p_v ln p_v`` with ``p_v = c_v / n``. It is biased downwards by about
    ``(m - 1) / 2n`` for ``m`` kinds that are all seen often, and by far more in a short text.

    Parameters
    ----------
    counts : array_like of int, shape (..., m)
        How often each kind was seen. Zeros are allowed and do not matter.

    Returns
    -------
    ndarray of float64, shape (...)
        Between 0 and ``ln m``.

    Raises
    ------
    ValueError
        If a count is negative or not whole, or nothing was counted.

    References
    ----------
    C. E. Shannon, "A mathematical theory of communication", 1948.

    Examples
    --------
    >>> round(float(plugin_entropy([2, 1, 1])), 4)  # 1.5 ln 2
    1.0397
    """
    seen = _checked_counts(counts)
    return _entropy(seen / _total(seen))


def normalised_entropy(counts: ArrayLike) -> Floats:
    """Return the plug-in entropy divided by its largest possible value, ``H / ln n``.

    ``ln n`` is the entropy of ``n`` things that all differ, so the result is 1 for a text without
    a repeated word, of any length.

    Parameters
    ----------
    counts : array_like of int, shape (..., m)
        How often each kind was seen; at least two things in all.

    Returns
    -------
    ndarray of float64, shape (...)
        Between 0 and 1; no unit.

    Raises
    ------
    ValueError
        If a count is negative or not whole, or fewer than two things were counted.

    Examples
    --------
    >>> float(normalised_entropy([1, 1])), float(normalised_entropy([3]))
    (1.0, 0.0)
    """
    seen = _checked_counts(counts)
    total = _total(seen)[..., 0]
    if np.any(total < 2):
        raise ValueError("normalised entropy needs at least two counted things: ln 1 = 0")
    ratio: Floats = np.minimum(plugin_entropy(seen) / np.log(total), 1.0)
    return ratio


def miller_madow_entropy(counts: ArrayLike) -> Floats:
    """Return the plug-in entropy with the Miller-Madow correction, in nats.

    ``H + (m - 1) / 2n``, where ``m`` is the number of kinds seen and ``n`` the number of things:
    the first term of the plug-in estimate's bias is given back.

    Parameters
    ----------
    counts : array_like of int, shape (..., m)
        How often each kind was seen. Zeros are kinds that were not seen.

    Returns
    -------
    ndarray of float64, shape (...)

    Raises
    ------
    ValueError
        If a count is negative or not whole, or nothing was counted.

    References
    ----------
    G. Miller, "Note on the bias of information estimates", 1955.

    Examples
    --------
    >>> round(float(miller_madow_entropy([2, 1, 1])), 4)  # 1.5 ln 2 + 2/8
    1.2897
    """
    seen = _checked_counts(counts)
    kinds = np.count_nonzero(seen, axis=-1)
    corrected: Floats = plugin_entropy(seen) + (kinds - 1) / (2 * _total(seen)[..., 0])
    return corrected


def chao_shen_entropy(counts: ArrayLike) -> Floats:
    """Return the coverage-adjusted entropy of Chao and Shen, in nats.

    With ``f1`` kinds seen once, the kinds seen cover about ``C = 1 - f1/n`` of the probability.
    Their shares are shrunk to ``q_v = C p_v``, and each term is divided by the probability that
    its kind is seen at all: ``-Σ_v q_v ln q_v / (1 - (1 - q_v)^n)``.

    If every kind was seen once the coverage would be 0 and the estimate undefined; ``f1 = n - 1``
    is used instead, as other implementations do. The estimate is then finite, large, and has
    little to say beyond "at least this much". A single thing has entropy 0.

    Parameters
    ----------
    counts : array_like of int, shape (..., m)
        How often each kind was seen.

    Returns
    -------
    ndarray of float64, shape (...)
        Not negative; may exceed ``ln m``, since it accounts for kinds that were not seen.

    Raises
    ------
    ValueError
        If a count is negative or not whole, or nothing was counted.

    References
    ----------
    A. Chao and T.-J. Shen, "Nonparametric estimation of Shannon's index of diversity when there
    are unseen species in sample", Environmental and Ecological Statistics 10, 2003.

    Examples
    --------
    >>> round(float(chao_shen_entropy([2, 2])), 4)  # C = 1: 2 (ln 2 / 2) / (1 - 1/16)
    0.7394
    """
    seen = _checked_counts(counts)
    total = _total(seen)
    singletons = np.count_nonzero(seen == 1, axis=-1, keepdims=True)
    singletons = np.where(singletons == total, total - 1, singletons)
    shares = (1 - singletons / total) * seen / total
    with np.errstate(divide="ignore"):  # a share of 1 has no chance to be missed: ln 0 = -inf
        seen_at_all = -np.expm1(total * np.log1p(-shares))
    terms = np.divide(entr(shares), seen_at_all, out=np.zeros_like(shares), where=shares > 0)
    entropy: Floats = np.sum(terms, axis=-1)
    return entropy


# ---------------------------------------------------------------------------------------------
# Words of many texts, laid end to end
# ---------------------------------------------------------------------------------------------


def word_entropy(own_counts: ArrayLike, lengths: ArrayLike) -> Floats:
    """Return the plug-in entropy of the words of each text, in nats.

    The plug-in formula, summed over the ``L`` words of a text instead of its distinct words:
    ``H = ln L - (1/L) Σ_t ln c(w_t)``. The result is the same to the last bit for every order of
    the words, so that texts with equal counts tie exactly.

    Parameters
    ----------
    own_counts : array_like of int, shape (words,)
        For each word of each text, the texts laid end to end: how often that word is in its text.
    lengths : array_like of int, shape (texts,)
        Number of words of each text, from 1 to 100,000.

    Returns
    -------
    ndarray of float64, shape (texts,)
        Between 0 and ``ln L``. Logarithms are rounded to 2⁻³⁶ nats.

    Raises
    ------
    ValueError
        If the lengths do not add up to the number of words, or one of them, or a count, is out of
        range.

    Examples
    --------
    "to be or not to be" and "one two":

    >>> word_entropy([2, 2, 1, 1, 2, 2, 1, 1], [6, 2]).round(4).tolist()
    [1.3297, 0.6931]
    """
    own, words = _checked_words(own_counts, lengths)
    return _word_entropy_fixed(own, words) / (words * _FIXED_POINT)


def normalised_word_entropy(own_counts: ArrayLike, lengths: ArrayLike) -> Floats:
    """Return `word_entropy` divided by ``ln L``, its largest value for a text of ``L`` words.

    Parameters
    ----------
    own_counts, lengths : array_like of int
        As for `word_entropy`; every length at least 2.

    Returns
    -------
    ndarray of float64, shape (texts,)
        Between 0 and 1, and exactly 1 for a text without a repeated word; no unit.

    Raises
    ------
    ValueError
        As for `word_entropy`, and if a length is less than 2.

    Examples
    --------
    >>> normalised_word_entropy([1, 1, 1, 2, 2], [3, 2]).tolist()
    [1.0, 0.0]
    """
    own, words = _checked_words(own_counts, lengths)
    if np.any(words < 2):
        raise ValueError("normalised entropy needs at least two words: ln 1 = 0")
    return _word_entropy_fixed(own, words) / (words * _fixed(np.log(words)))


def word_cross_entropy(
    own_counts: ArrayLike,
    pool_counts: ArrayLike,
    lengths: ArrayLike,
    *,
    pool_words: int,
    pool_vocabulary: int,
    alpha: float,
) -> Floats:
    """Return how rare the words of each text are in the rest of the pool, in nats per word.

    The cross-entropy ``-(1/L) Σ_t ln f(w_t)`` with an add-α unigram model of the pool that leaves
    the text itself out: ``f(w) = (n_w - c_w + α) / (n - L + αV)``. Leaving it out keeps a word
    that is only in this text from looking known. Unlike `word_entropy` its expectation does not
    depend on the length of the text.

    Parameters
    ----------
    own_counts : array_like of int, shape (words,)
        For each word of each text, the texts laid end to end: how often it is in its text, c_w.
    pool_counts : array_like of int, shape (words,)
        For each of these words: how often it is in the whole pool, n_w, this text included.
    lengths : array_like of int, shape (texts,)
        Number of words of each text, from 1 to 100,000.
    pool_words, pool_vocabulary : int
        Number of words in the pool, n, and of distinct words, V.
    alpha : float
        What is added to each count; positive.

    Returns
    -------
    ndarray of float64, shape (texts,)
        Positive. The same to the last bit for every order of the words; logarithms are rounded to
        2⁻³⁶ nats.

    Raises
    ------
    ValueError
        If the lengths do not add up, a word is rarer in the pool than in its text, a text is longer
        than the pool, or ``alpha`` is not positive.

    References
    ----------
    The average inverse word frequency of arXiv 2406.14124; smoothing and leaving out are ours.

    Examples
    --------
    A pool of two texts, "a a" and "a b": without the first, ``a`` has (1 + 1) / (2 + 2) = 1/2.

    >>> word_cross_entropy(
    ...     [2, 2, 1, 1], [3, 3, 3, 1], [2, 2], pool_words=4, pool_vocabulary=2, alpha=1.0
    ... ).round(4).tolist()
    [0.6931, 0.837]
    """
    own, words = _checked_words(own_counts, lengths)
    elsewhere = np.asarray(pool_counts).astype(np.int64) - own
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha must be positive, got {alpha}")
    if np.any(elsewhere < 0) or np.any(words > pool_words):
        raise ValueError("the pool's counts must include those of each text")
    total = np.log(pool_words - words + alpha * pool_vocabulary)
    known = _sum_by_text(_fixed(np.log(elsewhere + alpha)), words)
    return (words * _fixed(total) - known) / (words * _FIXED_POINT)


# ---------------------------------------------------------------------------------------------
# From distributions
# ---------------------------------------------------------------------------------------------


def entropy_from_probabilities(probabilities: ArrayLike, *, axis: int = -1) -> Floats:
    """Return ``-Σ p ln p``, in nats, with ``0 ln 0 = 0``.

    Parameters
    ----------
    probabilities : array_like of float
        Distributions along ``axis``.
    axis : int
        The axis to sum over.

    Returns
    -------
    ndarray of float64
        Between 0 and ``ln`` of the size of the axis; that axis is gone.

    Raises
    ------
    ValueError
        If a probability is negative, or a distribution misses 1 by more than 1e-4.

    Examples
    --------
    >>> entropy_from_probabilities([[0.5, 0.5], [1.0, 0.0]]).round(4).tolist()
    [0.6931, 0.0]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if np.any(p < 0) or np.any(np.abs(p.sum(axis=axis) - 1) > _SUM_TOLERANCE):
        raise ValueError("probabilities must not be negative and must sum to 1")
    return _entropy(p, axis=axis)


def entropy_from_log_probabilities(log_probabilities: ArrayLike, *, axis: int = -1) -> Floats:
    """Return ``-Σ e^l l`` of normalised log-probabilities, in nats.

    Parameters
    ----------
    log_probabilities : array_like of float
        Log-distributions along ``axis``; -inf is a probability of 0.
    axis : int
        The axis to sum over.

    Returns
    -------
    ndarray of float64
        Between 0 and ``ln`` of the size of the axis; that axis is gone.

    Raises
    ------
    ValueError
        If the sum of a distribution misses 1 by more than 1e-4.

    Examples
    --------
    >>> float(entropy_from_log_probabilities([0.0, -np.inf]))
    0.0
    """
    with np.errstate(over="ignore"):  # an absurdly large value is refused by its sum
        p = np.exp(np.asarray(log_probabilities, dtype=np.float64))
    return entropy_from_probabilities(p, axis=axis)


def entropy_from_logits(logits: ArrayLike, *, axis: int = -1) -> Floats:
    """Return the entropy of ``softmax(logits)``, in nats.

    With ``z`` shifted so that its largest value is 0, ``s = Σ e^z`` and ``t = Σ z e^z``, the
    entropy ``lse(z) - Σ p z`` is ``ln s - t/s``: two terms that are not negative, so nothing
    cancels however large the logits are.

    Parameters
    ----------
    logits : array_like of float
        Unnormalised log-probabilities along ``axis``; -inf is a probability of 0.
    axis : int
        The axis to sum over.

    Returns
    -------
    ndarray of float64
        Between 0 and ``ln`` of the size of the axis; that axis is gone. NaN where a logit is NaN or
        +inf, or all are -inf.

    Examples
    --------
    >>> float(entropy_from_logits([-90.0, -90.0]) / np.log(2))
    1.0
    """
    z = _shifted(np.asarray(logits, dtype=np.float64), axis=axis)
    weights = np.exp(z)
    moment = np.sum(np.multiply(weights, z, out=np.zeros_like(z), where=weights != 0), axis=axis)
    mass = weights.sum(axis=axis)
    entropy: Floats = np.log(mass) - moment / mass
    return entropy


# ---------------------------------------------------------------------------------------------
# From a language model's statistics of one text
# ---------------------------------------------------------------------------------------------


def mean_token_entropy(entropies: ArrayLike) -> float:
    """Return the mean of the model's predictive entropies along a text, in nats per token.

    ``ge_mte = (1/L) Σ_t H_t``: how open the text's continuations are in the model's eyes, whatever
    came next.

    Parameters
    ----------
    entropies : array_like of float, shape (tokens,)
        Entropy of the model's distribution before each token, in nats.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no token.

    Examples
    --------
    >>> mean_token_entropy([1.0, 2.0])
    1.5
    """
    return float(_checked_tokens(entropies).mean())


def mean_nll(nll: ArrayLike) -> float:
    """Return the mean negative log-likelihood of a text's tokens, in nats per token.

    ``ge_nll = -(1/L) Σ_t ln P_t(w_t)``, the logarithm of the perplexity. It is not an entropy: its
    expectation over the text's own source is the source's entropy plus the model's divergence from
    it.

    Parameters
    ----------
    nll : array_like of float, shape (tokens,)
        Negative log-likelihood of each token, in nats.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no token.

    Examples
    --------
    >>> mean_nll([0.5, 1.5])
    1.0
    """
    return float(_checked_tokens(nll).mean())


def high_entropy_sum(entropies: ArrayLike, *, percent: float = 0.5) -> float:
    """Return the sum of the highest token entropies of a text, in nats.

    ``ge_hes``: the sum over the ``k = max(1, ⌈percent · L / 100⌉)`` tokens with the highest
    entropy. For a text of up to ``100 / percent`` tokens it is the highest entropy itself. A sum:
    it grows with the length.

    Parameters
    ----------
    entropies : array_like of float, shape (tokens,)
        Entropy of the model's distribution before each token, in nats.
    percent : float
        The share of the tokens to sum, in percent; above 0, at most 100.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no token, or ``percent`` is out of range.

    References
    ----------
    arXiv 2605.22389.

    Examples
    --------
    >>> high_entropy_sum([1.0, 3.0, 2.0]), high_entropy_sum([1.0, 3.0, 2.0], percent=50)
    (3.0, 5.0)
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent must be above 0 and at most 100, got {percent}")
    values = _checked_tokens(entropies)
    # Fraction, because 0.07 * 10_000 / 100 is a little more than 7 in floating point.
    kept = math.ceil(Fraction(str(percent)) * values.size / 100)
    return float(np.sort(values)[-kept:].sum())


# ---------------------------------------------------------------------------------------------
# Semantic entropies
# ---------------------------------------------------------------------------------------------


def cluster_counts(labels: Sequence[Hashable] | NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the sizes of the clusters that labels name, largest first.

    Parameters
    ----------
    labels : sequence of hashable, length K
        The cluster of each sample: numbers or names.

    Returns
    -------
    ndarray of int64, shape (clusters,)

    Raises
    ------
    ValueError
        If there is no label.

    Examples
    --------
    >>> cluster_counts(["yes", "no", "yes"]).tolist()
    [2, 1]
    """
    sizes: dict[Hashable, int] = {}
    for label in labels:
        sizes[label] = sizes.get(label, 0) + 1
    if not sizes:
        raise ValueError("no sample, no cluster")
    return np.array(sorted(sizes.values(), reverse=True), dtype=np.int64)


def discrete_semantic_entropy(labels: Sequence[Hashable] | NDArray[np.generic]) -> float:
    """Return the entropy of the meanings of K sampled answers, in nats.

    The plug-in entropy of the cluster sizes, ``p(c) = n_c / K``. It underestimates at the usual K
    (`chao_shen_entropy` of `cluster_counts` corrects that), and it takes few distinct values: 3, 7
    and 39 at K = 3, 5 and 10, so that many texts tie.

    Parameters
    ----------
    labels : sequence of hashable, length K
        The meaning that each sampled answer was put under; only which are equal matters.

    Returns
    -------
    float
        Between 0 and ``ln K``.

    Raises
    ------
    ValueError
        If there is no label.

    References
    ----------
    S. Farquhar et al., "Detecting hallucinations in large language models using semantic entropy",
    Nature 630, 2024: the discrete variant.

    Examples
    --------
    >>> round(discrete_semantic_entropy([0, 1, 0, 2]), 4)
    1.0397
    """
    return float(plugin_entropy(cluster_counts(labels)))


def snne(similarity: ArrayLike, *, tau: float = 1.0) -> Floats:
    """Return the semantic nearest-neighbour entropy of K sampled answers.

    ``-(1/K) Σ_i ln Σ_{j≠i} exp(sim_ij / τ)``: low where answers have close neighbours. Continuous,
    so it hardly ever ties. It is on the scale of nats, but no entropy of a distribution: it may be
    negative, and only its order carries meaning.

    Parameters
    ----------
    similarity : array_like of float, shape (..., K, K)
        Similarity of each pair of answers; the diagonal is ignored.
    tau : float
        Temperature; positive.

    Returns
    -------
    ndarray of float64, shape (...)
        Between ``-ln(K-1) - max sim / τ`` and ``-ln(K-1) - min sim / τ``.

    Raises
    ------
    ValueError
        If there are fewer than two answers (none has a neighbour), the matrix is not square, or
        ``tau`` is not positive.

    References
    ----------
    arXiv 2506.00245.

    Examples
    --------
    Two answers of similarity 0.8: each has the other for its only neighbour.

    >>> float(snne([[1.0, 0.8], [0.8, 1.0]]))
    -0.8
    """
    sim = np.asarray(similarity, dtype=np.float64)
    if sim.ndim < 2 or sim.shape[-1] != sim.shape[-2]:
        raise ValueError(f"similarity must be square, got shape {sim.shape}")
    if sim.shape[-1] < 2:
        raise ValueError("a single answer has no neighbour")
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau}")
    own = np.eye(sim.shape[-1], dtype=bool)
    closeness: Floats = logsumexp(np.where(own, -np.inf, sim / tau), axis=-1).mean(axis=-1)
    return -closeness


def label_entropy(log_probs: ArrayLike) -> Floats:
    """Return the entropy over a closed set of options, in nats.

    ``-Σ_y p_y ln p_y`` with ``p = softmax(log_probs)``: the log-probabilities of the options are
    renormalised over the options. The meanings are the options themselves, so nothing is sampled;
    this is the predictive entropy of a zero-shot classifier.

    Parameters
    ----------
    log_probs : array_like of float, shape (..., options)
        Log-probability of each option, in nats; need not be normalised.

    Returns
    -------
    ndarray of float64, shape (...)
        Between 0 and ``ln options``; NaN where a value is NaN or +inf, or all of a row are -inf.

    Examples
    --------
    >>> label_entropy(np.log([[0.2, 0.2], [0.3, 0.1]])).round(4).tolist()
    [0.6931, 0.5623]
    """
    return entropy_from_logits(log_probs)


def mutual_information(log_probs: ArrayLike) -> Floats:
    """Return how much the members of an ensemble disagree, in nats.

    ``I = H(mean_i p_i) - mean_i H(p_i)``: total minus expected entropy. It is 0 if all members say
    the same, however uncertain they are; members may be models, prompts or paraphrases.

    Parameters
    ----------
    log_probs : array_like of float, shape (..., members, options)
        Log-probability of each option for each member, in nats; renormalised over the options.

    Returns
    -------
    ndarray of float64, shape (...)
        Between 0 and ``ln min(members, options)``.

    Raises
    ------
    ValueError
        If there is no member.

    References
    ----------
    N. Houlsby et al., "Bayesian active learning for classification and preference learning",
    arXiv 1112.5745.

    Examples
    --------
    >>> certain_but_opposed = np.log([[0.999, 0.001], [0.001, 0.999]])
    >>> float(mutual_information(certain_but_opposed).round(2))
    0.69
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    if scores.ndim < 2 or scores.shape[-2] == 0:
        raise ValueError(f"expected shape (..., members, options), got {scores.shape}")
    expected = entropy_from_logits(scores).mean(axis=-1)
    weights = np.exp(_shifted(scores, axis=-1))
    total = _entropy((weights / weights.sum(axis=-1, keepdims=True)).mean(axis=-2))
    information: Floats = np.maximum(total - expected, 0.0)  # rounding may leave -1e-17
    return information


def calibrate(
    log_probs: ArrayLike, method: Literal["mean", "none"] | NDArray[np.floating] = "mean"
) -> Floats:
    """Take a model's general liking for some options out of their log-probabilities.

    A baseline is subtracted from each option's log-probability, and each row is renormalised:

    - ``"mean"``: the mean of that option's log-probability over the rows. No extra model call; but
      it depends on the pool, and presses a truly unbalanced pool towards balance.
    - an array: the log-probabilities of the options after a content-free prompt.
    - ``"none"``: nothing is subtracted.

    Parameters
    ----------
    log_probs : array_like of float, shape (texts, options)
        Log-probability of each option, in nats; need not be normalised.
    method : {"mean", "none"} or ndarray of float, shape (options,)
        The baseline.

    Returns
    -------
    ndarray of float64, shape (texts, options)
        Log-probabilities whose exponentials sum to 1 in each row. A row with a value that is not
        finite becomes NaN, and does not count in the mean.

    Raises
    ------
    ValueError
        If a shape is wrong, the method is unknown, or a given baseline is not finite.

    References
    ----------
    The content-free baseline: contextual calibration, arXiv 2102.09690. The mean over the pool, in
    the spirit of batch calibration (arXiv 2309.17249), is our choice of formula.

    Examples
    --------
    A model that doubles the odds of the first option whatever the text:

    >>> np.exp(calibrate(np.log([[0.8, 0.2], [0.5, 0.5]]))).round(4).tolist()
    [[0.6667, 0.3333], [0.3333, 0.6667]]
    """
    scores = np.asarray(log_probs, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[-1] == 0:
        raise ValueError(f"expected shape (texts, options), got {scores.shape}")
    finite = np.isfinite(scores).all(axis=-1)
    calibrated = np.full_like(scores, np.nan)
    calibrated[finite] = log_softmax(scores[finite] - _baseline(scores[finite], method), axis=-1)
    return calibrated


# ---------------------------------------------------------------------------------------------
# What the functions above share
# ---------------------------------------------------------------------------------------------


def _entropy(probabilities: Floats, *, axis: int = -1) -> Floats:
    entropy: Floats = entr(probabilities).sum(axis=axis)
    return entropy


def _shifted(logits: Floats, *, axis: int) -> Floats:
    """Return the logits less their largest; NaN throughout where that is not a finite number."""
    largest = logits.max(axis=axis, keepdims=True)
    return logits - np.where(np.isfinite(largest), largest, np.nan)


def _checked_counts(counts: ArrayLike) -> Floats:
    """Return the counts as floats, largest first, so that their order cannot change a sum."""
    seen = np.asarray(counts, dtype=np.float64)
    if seen.ndim == 0 or not np.all(seen >= 0) or np.any(seen != np.floor(seen)):
        raise ValueError("counts must be an array of whole numbers that are not negative")
    if np.any(np.isinf(seen)) or np.any(seen.sum(axis=-1) == 0):
        raise ValueError("nothing was counted, or without end")
    return -np.sort(-seen, axis=-1)


def _total(seen: Floats) -> Floats:
    return np.asarray(seen.sum(axis=-1, keepdims=True))


def _checked_words(
    own_counts: ArrayLike, lengths: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    own = np.asarray(own_counts).astype(np.int64)
    words = np.asarray(lengths).astype(np.int64)
    if np.any(words < 1) or words.sum() != own.size:
        raise ValueError("lengths must be positive and add up to the number of words")
    if np.any(words > _MOST_WORDS):
        raise ValueError(f"a text may have at most {_MOST_WORDS} words")
    if own.size and not 1 <= own.min() <= own.max() <= words.max():
        raise ValueError("a word is in its text at least once, and no more often than words are")
    return own, words


def _fixed(values: Floats) -> NDArray[np.int64]:
    """Round to whole multiples of 2⁻³⁶.

    Integers, unlike floats, have the same sum in every order: that of the words in a text, of the
    chunks, of the threads. With `_MOST_WORDS` words even logarithms of 10⁻³⁰⁰ fit into 64 bits.
    """
    return np.rint(values * _FIXED_POINT).astype(np.int64)


def _sum_by_text(values: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.int64]:
    if words.size == 0:
        return np.zeros(0, dtype=np.int64)
    return np.add.reduceat(values, np.cumsum(words) - words)


def _word_entropy_fixed(own: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``L ln L - Σ_t ln c(w_t)`` of each text, in multiples of 2⁻³⁶ nats."""
    # Counts are small whole numbers: to look their logarithms up is faster than to compute them.
    logarithms = _fixed(np.log(np.arange(1, own.max(initial=1) + 1)))
    return words * _fixed(np.log(words)) - _sum_by_text(logarithms[own - 1], words)


def _checked_tokens(values: ArrayLike) -> Floats:
    tokens = np.asarray(values, dtype=np.float64)
    if tokens.ndim != 1 or tokens.size == 0:
        raise ValueError(f"expected at least one token, got shape {tokens.shape}")
    return tokens


def _baseline(scores: Floats, method: Literal["mean", "none"] | NDArray[np.floating]) -> Floats:
    options = scores.shape[-1]
    if isinstance(method, str):
        if method == "none" or (method == "mean" and len(scores) == 0):
            return np.zeros(options)
        if method == "mean":
            return np.asarray(scores.mean(axis=0))
        raise ValueError(f"method must be 'mean', 'none' or an array, got {method!r}")
    baseline = np.asarray(method, dtype=np.float64)
    if baseline.shape != (options,):
        raise ValueError(f"expected a baseline of shape ({options},), got {baseline.shape}")
    if not np.all(np.isfinite(baseline)):
        raise ValueError("a baseline must be finite")
    return baseline
