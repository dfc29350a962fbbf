import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from euds.selection.diagnosis import diagnose


def test_dependence_on_length_is_told_of_scores_ranks_and_distances_from_the_middle():
    rng = np.random.default_rng(0)
    words = rng.integers(4, 60, 300)
    score = words + rng.normal(0, 20, 300)
    rank = np.clip(0.5 + (words - 30) ** 2 / 4000 + rng.normal(0, 0.05, 300), 0, 1)
    lacking = rng.random(300) < 0.1
    rows = pl.DataFrame(
        {
            "words": words,
            "ge": np.where(lacking, np.nan, score),
            "rank_ge": np.where(lacking, np.nan, rank),
        }
    ).fill_nan(None)
    told = diagnose(rows, kept=~lacking, names=["ge"], left_out={})["scores"]["ge"]
    there = ~lacking
    for name, column in {
        "length_spearman_raw": score,
        "length_spearman_rank": rank,
        "length_spearman_distance": np.abs(rank - 0.5),
    }.items():
        expected = spearmanr(column[there], words[there]).statistic
        assert told[name] == pytest.approx(expected, abs=1e-12), name
