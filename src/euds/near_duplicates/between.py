"""Near-duplicates of some texts among others."""

from __future__ import annotations

import numpy as np
import polars as pl

from euds.near_duplicates.prefixes import proposed_between
from euds.near_duplicates.shingles import Shingles
from euds.near_duplicates.similarity import DEFAULT_THRESHOLD, check_threshold, verified
from euds.pool import Texts

__all__ = ["near_duplicates_of"]


def near_duplicates_of(
    texts: Texts, others: Texts, *, threshold: float = DEFAULT_THRESHOLD
) -> pl.DataFrame:
    """Find the texts that are nearly the same as one of the others.

    Parameters
    ----------
    texts, others : Texts
        What is compared with what; a text and its context are taken together. Pairs inside
        ``texts`` or inside ``others`` are not looked for.
    threshold : float
        The least Jaccard similarity, 0.5 to 1.

    Returns
    -------
    polars.DataFrame
        ``key`` (of ``texts``), ``other`` (of ``others``) and ``jaccard``; sorted by key, the most
        similar first.

    Raises
    ------
    OptionError
        If the threshold is out of range.

    Examples
    --------
    >>> pool = Texts.of(["The cat sat on the mat.", "Something else altogether."])
    >>> near_duplicates_of(pool, Texts.of(["the cat sat on the mat"]))["jaccard"].to_list()
    [1.0]
    """
    check_threshold(threshold)
    shingles = Shingles.of(texts.texts + others.texts, texts.contexts + others.contexts)
    set_of, other_set_of = np.split(shingles.set_of, [len(texts)])
    pairs = verified(
        shingles,
        proposed_between(shingles, np.unique(set_of), np.unique(other_set_of), threshold),
        threshold=threshold,
    )
    found = pairs.with_keys(
        pl.DataFrame({"key": texts.frame["key"], "set": set_of}),
        pl.DataFrame({"other": others.frame["key"], "other_set": other_set_of}),
    )
    return found.sort("key", "jaccard", "other", descending=[False, True, False])
