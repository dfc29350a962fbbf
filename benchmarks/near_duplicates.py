"""How many near-duplicates are found, and how long it takes.

    python benchmarks/near_duplicates.py

1. boolq contains the rows of boolq-dev with slightly different passages: how many are found.
2. The pairs of boolq and boolq-dev against all pairs compared in plain Python, which takes minutes.
3. Copies of articles and tweets with some words left out, doubled or swapped.
4. Groups of whole data sets.
5. Rows a second of what selecting does beside ranks: leaving out near-duplicates, of tweets and of
   made-up rows as long as tweets, and telling the language of tweets. In seconds of the processor.

Writes results/near_duplicates.json. Nothing here uses more than one core, but for Polars.
"""

from __future__ import annotations

import json
import platform
import random
import re
import time
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from pools import edited

from euds.pool.pool import Texts
from euds.reading import datasets
from euds.selection.languages import languages_of
from euds.selection.near_duplicates import (
    DEFAULT_THRESHOLD,
    near_duplicate_groups,
    near_duplicates_of,
    stand_ins,
)

RESULTS = Path(__file__).parent / "results" / "near_duplicates.json"
THRESHOLDS = (0.9, 0.8, 0.7, 0.6, 0.5)
SEED = 0
MANY_ROWS = 500_000


def texts_of(name: str) -> Texts:
    """Return the distinct texts of a data set, those without a label too."""
    rows = list(datasets.DATASETS[name].convert(datasets.fetch(name)))
    return Texts.of([row["text"] for row in rows], [row.get("context") for row in rows])


def contained(pool: Texts, test: Texts) -> list[dict[str, float]]:
    """Return how much of the test set is found in the pool, by threshold."""
    results = []
    for threshold in THRESHOLDS:
        started = time.perf_counter()
        pairs = near_duplicates_of(pool, test, threshold=threshold)
        seconds = time.perf_counter() - started
        results.append(
            {
                "threshold": threshold,
                "test_found_share": round(pairs["other"].n_unique() / len(test), 4),
                "pool_rows": pairs["key"].n_unique(),
                "pairs": pairs.height,
                "seconds": round(seconds, 1),
            }
        )
    return results


def against_all_pairs(pool: Texts, test: Texts) -> dict[str, float]:
    """Return how the pairs found compare with those of comparing everything, in plain Python."""
    started = time.perf_counter()
    pool_sets, test_sets = shingle_sets(pool), shingle_sets(test)
    having = defaultdict(list)
    for place, shingles in enumerate(pool_sets):
        for shingle in shingles:
            having[shingle].append(place)
    true = set()
    for key, shingles in zip(test.keys, test_sets, strict=True):
        shared = Counter(place for shingle in shingles for place in having.get(shingle, ()))
        for place, count in shared.items():
            union = len(shingles) + len(pool_sets[place]) - count
            if count / union >= DEFAULT_THRESHOLD:
                true.add((pool.keys[place], key))
    seconds = time.perf_counter() - started
    pairs = near_duplicates_of(pool, test)
    found = set(zip(pairs["key"], pairs["other"], strict=True))
    return {
        "threshold": DEFAULT_THRESHOLD,
        "true_pairs": len(true),
        "missed_pairs": len(true - found),
        "wrong_pairs": len(found - true),
        "seconds_of_all_pairs": round(seconds, 1),
    }


def shingle_sets(texts: Texts) -> list[set[tuple[str, ...]]]:
    """Return the word 3-shingles of each text and its context."""
    sets = []
    for text, context in zip(texts.texts, texts.contexts, strict=True):
        together = unicodedata.normalize("NFKC", f"{text}\n{context or ''}").lower()
        words = re.findall(r"\w+", together)
        sets.append({tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))})
    return sets


def injected(name: str, *, share: float) -> dict[str, Any]:
    """Return how many edited copies of 1,000 rows are found at each threshold."""
    texts = texts_of(name)
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(texts))[:1_000].tolist()
    originals = [texts.texts[place] for place in chosen]
    copies = Texts.of([edited(text, share=share, rng=rng) for text in originals])
    found = {
        f"{threshold:g}": round(
            near_duplicates_of(copies, texts, threshold=threshold)["key"].n_unique() / len(copies),
            3,
        )
        for threshold in THRESHOLDS
    }
    words = float(np.median([len(text.split()) for text in originals]))
    return {
        "data": name,
        "median_words": words,
        "edited_word_share": share,
        "copies": len(copies),
        "found_share": found,
    }


def grouped(name: str, *, by_context: bool) -> dict[str, Any]:
    """Return what groups a data set falls into."""
    texts = texts_of(name)
    started = time.perf_counter()
    groups = near_duplicate_groups(texts, by_context=by_context)
    seconds = time.perf_counter() - started
    return {
        "data": name,
        "by_context": by_context,
        "texts": len(texts),
        "groups": groups.count,
        "largest": groups.largest,
        "cap": groups.cap,
        "pairs": groups.pairs,
        "refused_pairs": groups.refused.height,
        "seconds": round(seconds, 1),
    }


def rates() -> list[dict[str, Any]]:
    """Return the rows per processor second of leaving out near-duplicates and of languages."""
    tweets = texts_of("tweets").texts
    words = [word for text in tweets for word in text.split()]
    rng = random.Random(SEED)
    made_up = [
        " ".join(rng.choices(words, k=len(rng.choice(tweets).split()))) for _ in range(MANY_ROWS)
    ]
    languages_of(tweets[:10])  # loads the model
    results = []
    for name, texts, work in (
        ("near-duplicates of tweets", tweets, lambda texts: stand_ins(texts, [None] * len(texts))),
        (
            "near-duplicates of made-up rows",
            made_up,
            lambda texts: stand_ins(texts, [None] * len(texts)),
        ),
        ("languages of tweets", tweets[:10_000], languages_of),
    ):
        started = time.process_time()
        work(texts)
        seconds = time.process_time() - started
        results.append(
            {
                "what": name,
                "rows": len(texts),
                "megabytes": round(sum(len(text.encode()) for text in texts) / 1e6, 1),
                "processor_seconds": round(seconds, 2),
                "rows_per_second": round(len(texts) / seconds),
            }
        )
    return results


def main() -> None:
    """Measure, print and keep."""
    pool, test = texts_of("boolq"), texts_of("boolq-dev")
    result = {
        "python": platform.python_version(),
        "boolq-dev in boolq": {
            "pool": len(pool),
            "test": len(test),
            "thresholds": contained(pool, test),
        },
        "against all pairs": against_all_pairs(pool, test),
        "edited copies": [
            injected(name, share=share)
            for name, share in (
                ("bbc-news", 0.01),
                ("bbc-news", 0.02),
                ("bbc-news", 0.05),
                ("tweets", 0.02),
                ("tweets", 0.1),
            )
        ],
        "groups": [
            grouped(name, by_context=by_context)
            for name, by_context in (
                ("tweets", False),
                ("bbc-news", False),
                ("boolq", True),
                ("privacy-qa", True),
                ("disfl-qa", True),
            )
        ],
        "rates": rates(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
