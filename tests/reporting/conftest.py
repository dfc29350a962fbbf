"""A pool, scores, a selection and the results of a proof, as a report gets them."""

import numpy as np
import polars as pl
import pytest

from euds.reporting import write_report
from euds.runs.summary import summarise
from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from tests.conftest import make_pool

ROWS = 600
LABELS = ("business", "entertainment", "politics", "sport", "tech")
# arm, rule, keep, mean accuracy in points, seconds of (scoring, vectors, selecting, training)
ARMS = (
    ("full", "full", 1.0, 97.2, (0.0, 0.0, 0.0, 812.0)),
    ("random", "random", 0.16, 94.1, (0.0, 0.0, 0.01, 131.0)),
    ("length", "length", 0.16, 93.4, (0.6, 0.0, 0.02, 133.0)),
    ("igse", "igse", 0.16, 92.9, (214.0, 0.0, 0.03, 130.0)),
    ("ie", "ie", 0.16, 93.9, (0.6, 0.0, 0.02, 131.0)),
    ("ge", "ge", 0.16, 94.4, (121.0, 0.0, 0.02, 130.0)),
    ("se", "se", 0.16, 93.0, (93.0, 0.0, 0.02, 129.0)),
    ("el2n", "el2n", 0.16, 95.0, (0.0, 0.0, 38.0, 130.0)),
)
SEEDS = 5


def scored_pool(texts=None, labels=None):
    """Return a pool with random scores; the texts are numbered words of random number."""
    draw = np.random.default_rng(7)
    rows = len(texts) if texts else ROWS
    words = draw.integers(8, 160, rows)
    made = [f"text{index} " + "word " * int(words[index]) for index in range(rows)]
    pool = make_pool(
        texts or made, labels=labels or [LABELS[int(one)] for one in draw.integers(0, 5, rows)]
    )
    ie = draw.normal(6.4, 0.7, rows)
    frame = pl.DataFrame(
        {
            "id": pool.frame["id"],
            "ie": ie,
            "words": words,
            "ie_reason": pl.Series([None] * rows, dtype=pl.String),
            "ge": 0.4 * ie + draw.gamma(9, 0.08, rows),
            "ge_tokens": words * 2,
            "ge_reason": pl.Series([None] * rows, dtype=pl.String),
            "se": draw.beta(3, 2, rows) * np.log(5),
            "se_option": [LABELS[int(one)] for one in draw.integers(0, 5, rows)],
            "se_reason": pl.Series([None] * rows, dtype=pl.String),
        }
    ).with_columns(
        # A few texts have no semantic entropy.
        se=pl.when(pl.int_range(pl.len()) % 97 == 3).then(None).otherwise("se"),
        se_reason=pl.when(pl.int_range(pl.len()) % 97 == 3).then(pl.lit("too long")),
    )
    stages = [
        {
            "stage": "token-entropies",
            "recipe": {"name": "token-entropies", "version": 1, "parameters": {"model": "ab" * 16}},
            "texts": rows,
        }
    ]
    return pool, ScoreTable(frame, {"settings": {"model": "toy", "seed": 0}, "stages": stages})


@pytest.fixture(scope="session")
def scored():
    return scored_pool()


@pytest.fixture(scope="session")
def selected(scored):
    return select(*scored, rule="igse", keep=0.16)


def proof_results():
    """Return a results document of schema 1; see docs/results.md."""
    draw = np.random.default_rng(3)
    arms, comparisons, ledger = [], [], []
    full_seconds = 820.0
    for name, rule, keep, mean, (scoring, vectors, selecting, training) in ARMS:
        seeds = mean + draw.normal(0, 0.5, SEEDS)
        evaluating = 8.0
        total = scoring + vectors + selecting + training + evaluating
        arms.append(
            {
                "name": name,
                "rule": rule,
                "keep": keep,
                "rows": round(keep * ROWS),
                "uses_labels": name == "el2n",
                "metrics": {
                    "accuracy": {
                        "mean_points": float(seeds.mean()),
                        "low_points": float(seeds.mean() - 1.1),
                        "high_points": float(seeds.mean() + 1.0),
                    }
                },
                "runs": [
                    {
                        "seed": seed,
                        "points": {"accuracy": float(seeds[seed])},
                        "steps": round(keep * ROWS / 16 * 3),
                        "training_seconds": training,
                        "evaluating_seconds": evaluating,
                        "reused": False,
                    }
                    for seed in range(SEEDS)
                ],
                "seconds": {
                    "scoring": scoring,
                    "vectors": vectors,
                    "selecting": selecting,
                    "training": training,
                    "evaluating": evaluating,
                    "total": total,
                },
                "classes": {
                    label: {
                        "pool": 0.2,
                        "kept": 0.2 if rule == "full" else 0.2 + len(rule) * 0.008 * (index - 2),
                    }
                    for index, label in enumerate(LABELS)
                },
                "words": {"pool": 83.0, "kept": 80.0},
                "warnings": ["no row of the class tech is left"] if name == "se" else [],
            }
        )
        ledger.append(
            {
                "arm": name,
                "selecting_seconds": scoring + vectors + selecting,
                "training_seconds": training + evaluating,
                "total_seconds": total,
                "share_of_full": total / full_seconds,
                "break_even_trainings": None
                if name == "full"
                else (scoring + vectors + selecting) / (full_seconds - training - evaluating),
            }
        )
    means = {arm["name"]: arm["metrics"]["accuracy"]["mean_points"] for arm in arms}
    decisions = {"igse": "worse", "ge": "cannot tell", "ie": "as good", "el2n": "better"}
    for name in ("igse", "ie", "ge", "se", "length", "el2n"):
        for against in ("full", "random"):
            difference = means[name] - means[against]
            decision = "worse" if against == "full" else decisions.get(name, "cannot tell")
            comparisons.append(
                {
                    "arm": name,
                    "against": against,
                    "difference_points": difference,
                    "low_points": difference - 0.7,
                    "high_points": difference + 0.8,
                    "smallest_detectable_points": 0.9,
                    "p_better": 0.9,
                    "p_worse": 0.01,
                    "p_as_good": 0.7,
                    "p_better_holm": 1.0,
                    "p_worse_holm": 0.04,
                    "p_as_good_holm": 1.0,
                    "decision": decision,
                    "needed": {"seeds": 14, "test_rows": None}
                    if decision == "cannot tell"
                    else None,
                    "mcnemar_p": 0.03,
                    "variance": {"seed": 0.01, "item": 0.2, "residual": 0.1},
                }
            )
    return {
        "schema_version": 1,
        "headline": [
            "igse is worse than random at 16 %: 1.1 points fewer (95 %: −1.8 to −0.3), 5 seeds.",
            "igse at 16 % does not keep the accuracy of everything: it loses at most 5.0 points "
            "(95 %) with 84 % less data.",
        ],
        "warnings": ["the test set has 445 rows: differences below 0.9 points cannot be seen"],
        "uses_labels": ["el2n"],
        "command": "euds prove bbc.jsonl --test test.jsonl --label label --task topic --keep 0.16",
        "task": {"name": "topic", "metric": "accuracy", "metrics": ["accuracy"]},
        "scope": "For minilm-l6, fine-tuned on 600 rows of bbc-news; larger models were not tried.",
        "settings": {
            "keep": [0.16],
            "seeds": SEEDS,
            "regime": "epochs",
            "margin_points": 0.5,
            "confidence": 0.95,
            "trainer": {"name": "fine-tune", "epochs": 3, "batch_rows": 16},
            "tuned": {"learning_rate": 5e-5},
            "encoder": "minilm-l6",
        },
        "pool": {
            "rows": ROWS,
            "fingerprint": "03f94be84ffddf3712576682079075ce",
            "taken_out": {"near-duplicate of a test row": 12, "no label": 0},
            "classes": dict.fromkeys(LABELS, 120),
        },
        "test": {
            "rows": 445,
            "fingerprint": "9a" * 16,
            "majority_points": 23.1,
            "classes": dict.fromkeys(LABELS, 89),
        },
        "arms": arms,
        "comparisons": comparisons,
        "verdicts": [
            {
                "rule": "igse",
                "keep": 0.16,
                "against": "random",
                "decision": "worse",
                "sentence": "igse is worse than random",
            }
        ],
        "curve": [
            {
                "rule": rule,
                "points": [
                    {
                        "keep": keep,
                        "rows": round(keep * ROWS),
                        "mean_points": top - 9 * (1 - keep) ** 3,
                        "low_points": top - 9 * (1 - keep) ** 3 - 1.2,
                        "high_points": top - 9 * (1 - keep) ** 3 + 1.0,
                    }
                    for keep in (0.02, 0.05, 0.1, 0.16, 0.3, 0.5, 1.0)
                ],
                "smallest_as_good": smallest,
            }
            for rule, top, smallest in (("random", 97.2, 0.5), ("igse", 96.8, None))
        ],
        "ledger": {
            "stages": {
                "reading": 0.2,
                "near-duplicates": 1.4,
                "scoring": 214.0,
                "selecting": 38.2,
                "preparing": 6.0,
                "tuning": 640.0,
                "training": 9105.0,
                "evaluating": 320.0,
            },
            "full_seconds": full_seconds,
            "arms": ledger,
            "target": {
                "train_cost": "bert-base",
                "seconds_a_row": 1.6,
                "expected": True,
                "arms": [
                    {
                        "arm": one["arm"],
                        "selecting_seconds": one["selecting_seconds"],
                        "training_seconds": one["training_seconds"] * 4,
                        "total_seconds": one["selecting_seconds"] + one["training_seconds"] * 4,
                        "share_of_full": (one["selecting_seconds"] + one["training_seconds"] * 4)
                        / (4 * full_seconds),
                        "break_even_trainings": one["break_even_trainings"],
                    }
                    for one in ledger
                ],
            },
            "peak_memory_mib": 1834.0,
        },
        "versions": {"python": "3.11.7", "euds": "0.1.0", "torch": "2.13.0"},
        "machine": {"system": "Linux", "processor": "x86_64", "cores": 2},
        "written": "2026-11-24T12:00:00Z",
    }


@pytest.fixture
def results():
    return proof_results()


@pytest.fixture(scope="session")
def proof_report(scored, selected, tmp_path_factory):
    """Write a whole report once; return its folder and the paths that were returned."""
    folder = tmp_path_factory.mktemp("report")
    pool, table = scored
    paths = write_report(
        folder,
        pool=pool,
        table=table,
        selection=selected,
        summary=summarise(pool, table, selected),
        results=proof_results(),
    )
    return folder, paths


HOSTILE = (
    "<script>window.broken = 1</script>",
    "</script><script>window.broken = 1</script>",
    "<!--<script>",
    "<img src=x onerror='window.broken = 1'>",
    "&lt;b&gt; &amp; &quot;",
    "\u202edesrever\u202c and \u2066isolated\u2069",
    "line\u2028separator\u2029paragraph\x00\x07\x1b[31mbell",
    "]]> ${window.broken = 1} {{ 7 * 7 }} {% raw %}",
    "l" + "o" * 3000 + "ng",
    "javascript:window.broken = 1 //",
)


@pytest.fixture(scope="session")
def hostile():
    """Return a pool whose texts and labels try to leave the page's data, scores and selection."""
    texts = [f"{text} {index}" for index in range(4) for text in HOSTILE]
    labels = [HOSTILE[index % 3] for index in range(len(texts))]
    pool, table = scored_pool(texts, labels)
    table = ScoreTable(
        table.frame.with_columns(se_option=pl.Series(labels, dtype=pl.String)), table.provenance
    )
    return pool, table, select(pool, table, rule="igse", keep=0.3)


@pytest.fixture(scope="session")
def hostile_report(hostile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    pool, table, selection = hostile
    results = proof_results()
    results["headline"].append(HOSTILE[1])
    results["warnings"] += HOSTILE
    results["command"] = f"euds prove '{HOSTILE[3]}' '{HOSTILE[5]}' '{HOSTILE[6]}'"
    results["scope"] = HOSTILE[0]
    for arm in results["arms"]:
        arm["classes"] = {text: {"pool": 0.1, "kept": 0.1} for text in HOSTILE}
    write_report(
        folder,
        pool=pool,
        table=table,
        selection=selection,
        summary=summarise(pool, table, selection),
        results=results,
    )
    return folder
