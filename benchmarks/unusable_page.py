"""Put the figures of unusable.py into docs/usable.md.

python benchmarks/unusable_page.py [--check]
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from pages import fill_pages
from unusable import HELD_OUT, KEEPS, RESULTS, RULES, SETS

Pool = dict[str, Any]
_LEARNT = 10  # points above the most frequent answer, with all rows: else no subset can be told
_MIDDLE = 0.16


def arm(pool: Pool, name: str, keep: float = _MIDDLE) -> Pool:
    """Return what one arm gave."""
    (found,) = [one for one in pool["arms"] if (one["arm"], one["keep"]) == (name, keep)]
    return dict(found)


def mean(pool: Pool, name: str, keep: float = _MIDDLE) -> float:
    """Return an arm's mean accuracy, in points."""
    return float(np.mean(arm(pool, name, keep)["points"]))


def difference(pool: Pool, first: str, second: str, keep: float) -> tuple[float, float]:
    """Return the difference of two arms, in points, and its standard error over draws."""
    parts = [np.array(arm(pool, name, keep)["points"]) for name in (first, second)]
    error = sum(one.var(ddof=1) / len(one) for one in parts if len(one) > 1)
    return float(parts[0].mean() - parts[1].mean()), float(np.sqrt(error))


def told(pool: Pool, first: str, second: str, keep: float) -> str:
    """Return a difference with its standard error."""
    gain, error = difference(pool, first, second, keep)
    return f"{gain:+.1f} ± {error:.1f}"


def is_learnt(found: dict[str, Any]) -> bool:
    """Return whether the probe learns the task from clean rows at all."""
    clean = next(pool for pool in found["pools"] if not pool["share"])
    points = arm(clean, "everything")["points"]
    return bool(points) and points[0] >= found["most_frequent_points"] + _LEARNT


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def page(results: list[dict[str, Any]]) -> str:
    """Return all figures."""
    learnt = [found for found in results if is_learnt(found)]
    is_held_out = [pool for found in results for pool in found["pools"] if held(pool)]
    draws = sorted({found["draws"] for found in results})
    assert len(is_held_out) == len(results)
    return "\n".join(
        [
            "Pools of 1,200 rows (`disfl-qa` 700) of which a share was replaced by unusable ones, "
            "in equal shares of\ntwelve kinds (`euds data NAME --spoil`), half of them as long as "
            "the rows that they replace. Scores of the first\n64 tokens by SmolLM2-135M; a ridge "
            "regression on MiniLM vectors, tested on clean rows; "
            f"{draws[0]} draws of `auto` and of\nrandom rows each. `corpora` are seven sources at "
            "once, whose names are the labels (`python benchmarks/unusable.py`).\n",
            f"**Kinds that were held out** of all design ({', '.join(HELD_OUT)}), 30 % of the "
            "pool: the share of each kind\nthat `auto` keeps when it keeps 16 % of all rows; a "
            "rule that sees nothing keeps 16 %.\n",
            by_kind([(found["set"], pool) for found in results for pool in found["pools"]
                     if held(pool)]),
            "**The twelve other kinds**, at 30 %:\n",
            by_kind([(found["set"], pool) for found in results for pool in found["pools"]
                     if not held(pool) and pool["share"] == 0.3 and pool["labels"] == "random"]),
            "**Unusable rows among those kept**, 16 % of all, and what the pool was said to "
            "be:\n",
            unusable_kept(results),
            "**Points** at 16 %, the labels of unusable rows drawn at random:\n",
            points(learnt, "random"),
            "The same where an unusable row has the label of the row that it replaces:\n",
            points(learnt, "replaced"),
            "**Clean pools**, `auto` against random rows, ± the standard error:\n",
            clean_pools(learnt),
            "**A part against everything**, `auto` against training on all rows of the same "
            "pool:\n",
            against_everything(learnt),
        ]
    )  # fmt: skip


def held(pool: Pool) -> bool:
    """Return whether a pool has the kinds that were held out."""
    return set(pool["kinds"]) == set(HELD_OUT)


def by_kind(named: list[tuple[str, Pool]]) -> str:
    """Return how much of each kind is kept."""
    kinds = list(named[0][1]["kinds"])
    return table(
        ["kind", *(name for name, _ in named)],
        [
            [kind, *(f"{arm(pool, 'auto')['kept_by_kind'][kind]:.0%}" for _, pool in named)]
            for kind in kinds
        ],
    )


def unusable_kept(results: list[dict[str, Any]]) -> str:
    """Return the share of unusable rows in what is kept."""
    return table(
        ["pool", "unusable", "said to be", "background", "`auto`", *(f"`{r}`" for r in RULES)],
        [
            [
                found["set"],
                f"{pool['share']:.0%}",
                "clean" if pool["usability"]["looks_clean"] else "dirty",
                f"{pool['usability']['background']:.1%}",
                *(f"{arm(pool, name)['unusable']:.1%}" for name in ("auto", *RULES)),
            ]
            for found in results
            for pool in found["pools"]
            if not held(pool) and pool["labels"] == "random"
        ],
    )


def points(results: list[dict[str, Any]], labels: str) -> str:
    """Return accuracies, and what is gained over random rows."""
    shown = ("random", "random usable", "auto", *RULES, "everything")
    return table(
        ["pool", "unusable", *shown, "`auto` - random", "`auto` - random usable"],
        [
            [
                found["set"],
                f"{pool['share']:.0%}",
                *(f"{mean(pool, name):.1f}" for name in shown),
                told(pool, "auto", "random", _MIDDLE),
                told(pool, "auto", "random usable", _MIDDLE),
            ]
            for found in results
            for pool in found["pools"]
            if not held(pool) and pool["labels"] == labels and pool["share"]
        ],
    )


def clean_pools(results: list[dict[str, Any]]) -> str:
    """Return what is lost where there is nothing to leave out, and the mean with its bound."""
    cells = {
        found["set"]: [
            difference(next(one for one in found["pools"] if not one["share"]), "auto", "random", k)
            for k in KEEPS
        ]
        for found in results
    }
    every = np.array([cell for row in cells.values() for cell in row])
    average = every[:, 0].mean()
    error = np.sqrt((every[:, 1] ** 2).sum()) / len(every)
    bound = average - 1.645 * error
    return (
        table(
            ["pool", *(f"{keep:.0%} kept" for keep in KEEPS)],
            [[name, *(f"{a:+.1f} ± {b:.1f}" for a, b in row)] for name, row in cells.items()],
        )
        + f"\nThe mean is {average:+.2f} points, above {bound:+.2f} with 95 % confidence over "
        + f"draws; a loss of {1.645 * error:.2f}\npoints on average would have been seen.\n"
    )


def against_everything(results: list[dict[str, Any]]) -> str:
    """Return the paper's claim for each budget: what a part is worth against all rows."""
    return table(
        ["pool", "unusable", *(f"{keep:.0%} kept" for keep in KEEPS)],
        [
            [
                found["set"],
                f"{pool['share']:.0%}",
                *(told(pool, "auto", "everything", keep) for keep in KEEPS),
            ]
            for found in results
            for pool in found["pools"]
            if not held(pool) and pool["labels"] == "random"
        ],
    )


def main() -> None:
    """Fill the page."""
    files = [RESULTS / f"{name}.json" for name in SETS]
    results = [json.loads(file.read_text("utf-8")) for file in files if file.exists()]
    fill_pages({"usable": page(results)}, mark="measured", what=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
