"""What `rows.py` compares with: the plain loop for information entropy, and DSIR.

    python benchmarks/rows_peers.py POOL.jsonl TARGET.jsonl FOLDER KEEP

run by hand or by `rows.py`, selects KEEP rows of POOL with DSIR (the package ``data-selection``,
from build/peers), writes them into FOLDER and prints the seconds that took as JSON.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

PEERS = Path(__file__).parent.parent / "build" / "peers"
GET_DSIR = "pip install --no-deps --target build/peers data-selection==1.0.3 nltk regex joblib tqdm"

PLAIN_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def plain_words(texts: Sequence[str], *, max_words: int) -> list[list[str]]:
    """Return the words of each text as one simple regular expression finds them."""
    return [PLAIN_WORD.findall(text.lower())[:max_words] for text in texts]


def plain_information_entropy(
    texts: Sequence[str], *, max_words: int = 128, alpha: float = 0.1
) -> tuple[list[float], list[float]]:
    """Return ``ie`` and ``ie_plugin`` of distinct texts, in plain Python; NaN below 4 words."""
    split = plain_words(texts, max_words=max_words)
    in_pool = Counter(chain.from_iterable(split))
    log, total = math.log, in_pool.total() + alpha * len(in_pool)
    ie, ie_plugin = [], []
    for words in split:
        length = len(words)
        if length < 4:
            ie.append(math.nan)
            ie_plugin.append(math.nan)
            continue
        counts = Counter(words).items()
        known = sum([own * log(in_pool[word] - own + alpha) for word, own in counts])
        ie.append(log(total - length) - known / length)
        repeated = sum([own * log(own) for _, own in counts if own > 1])
        ie_plugin.append(log(length) - repeated / length)
    return ie, ie_plugin


def dsir_is_there() -> bool:
    """Return whether the package is in build/peers."""
    return (PEERS / "data_selection").is_dir() and (PEERS / "nltk").is_dir()


def select_with_dsir(pool: Path, target: Path, folder: Path, keep: int) -> float:
    """Select rows of a file that are like those of another; return the seconds, without imports."""
    from data_selection import HashedNgramDSIR

    started = time.perf_counter()
    dsir = HashedNgramDSIR(
        [str(pool)],
        [str(target)],
        cache_dir=str(folder / "cache"),
        num_proc=os.cpu_count(),
        min_example_length=1,  # tweets have fewer than the 100 words of its default
    )
    dsir.fit_importance_estimator()
    dsir.compute_importance_weights()
    dsir.resample(out_dir=str(folder / "chosen"), num_to_sample=keep)
    return time.perf_counter() - started


def main() -> None:
    """Select with DSIR and print the seconds; its progress goes to stderr."""
    pool, target, folder, keep = sys.argv[1:]
    # Nothing else may be on stdout.
    with contextlib.redirect_stdout(sys.stderr):
        seconds = select_with_dsir(Path(pool), Path(target), Path(folder), int(keep))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
