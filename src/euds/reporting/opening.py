"""The first lines of a report: the verdict, what used labels, what to know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from euds.pool.pool import Pool
from euds.reporting.wording import count, one_line, points, share
from euds.selection.selection import Selection

__all__ = ["Opening", "open_report"]


@dataclass(frozen=True)
class Opening:
    """What a reader sees first.

    Parameters
    ----------
    headline : str
        The most important sentence; where entropy lost, that it did.
    others : tuple of str
        The other verdicts.
    labels : str
        What looked at labels.
    scope : str
        What the verdicts do and do not speak of.
    warnings : tuple of str
        What should be read before anything here is used.
    """

    headline: str
    others: tuple[str, ...]
    labels: str
    scope: str
    warnings: tuple[str, ...]


def open_report(
    pool: Pool,
    selection: Selection | None,
    *,
    summary: Mapping[str, Any],
    results: Mapping[str, Any] | None,
) -> Opening:
    """Return the first lines of a report, with or without a proof."""
    warnings = list(summary.get("warnings", []))
    if results is None:
        headline, others = _of_run(pool, selection)
        certificate = summary.get("certificate")
        for asked in ("smallest_keep", "training_time", "pilot"):
            if asked in summary:
                others = (one_line(summary[asked]["sentence"]), *others)
        if cascade := summary.get("cascade"):
            told = "; ".join(cascade["sentences"])
            others = (one_line(f"Some scores here are predicted (--cascade): {told}."), *others)
        if certificate is not None:
            headline, others = one_line(certificate["sentence"]), (headline, *others[:-1])
        return Opening(
            headline=headline,
            others=others,
            labels=_labels_of_run(selection, summary),
            scope=one_line(certificate["scope"]) if certificate is not None else "",
            warnings=tuple(dict.fromkeys(map(one_line, warnings))),
        )
    headline, *rest = results["headline"] or ["The proof came to no verdict."]
    return Opening(
        headline=one_line(headline),
        others=tuple(map(one_line, rest)),
        labels=_labels(results),
        scope=" ".join(
            part for part in (one_line(results["scope"] or ""), _terms(results)) if part
        ),
        warnings=tuple(dict.fromkeys(map(one_line, [*results["warnings"], *warnings]))),
    )


def _of_run(pool: Pool, selection: Selection | None) -> tuple[str, tuple[str, ...]]:
    if selection is None:
        return f"{count(len(pool))} rows were scored; nothing was selected yet.", ()
    kept = len(selection)
    headline = (
        f"{count(kept)} of {count(len(pool))} rows were kept ({share(kept / max(len(pool), 1))}), "
        f"by the rule {one_line(selection.settings['rule'])}."
    )
    return headline, (
        "This page does not say whether training on them is as good as training on everything: "
        "that takes a proof (euds prove).",
    )


def _labels_of_run(selection: Selection | None, summary: Mapping[str, Any]) -> str:
    if selection is None:
        return ""
    if "certificate" in summary:
        tested = one_line(summary["certificate"]["tested"]["rule"])
        return (
            f"Labels were used to test what the rule {tested} chose, and decided whether it or "
            f"random rows were written."
        )
    told = []
    if selection.settings.get("uses_labels"):
        told.append(
            f"The rule {one_line(selection.settings['rule'])} looked at labels of the pool."
        )
    elif "smallest_keep" in summary:
        told.append(
            "Labels decided how many rows are kept; which ones, the rule chose without them."
        )
    pilot = summary.get("pilot")
    if pilot is not None and pilot["source"] is not None:
        told.append(
            "Labels decided that random rows are kept, which were drawn without them."
            if pilot["delivered"] == "random"
            else "Labels were asked whether selecting can help at all."
        )
    return " ".join(told) or "Selecting looked at no label."


def _labels(results: Mapping[str, Any]) -> str:
    named = ", ".join(map(one_line, results["uses_labels"]))
    if not named:
        return "No rule looked at labels of the pool; labels were used to train and to test only."
    return f"Looked at labels of the pool to choose rows: {named}. No other arm did."


def _terms(results: Mapping[str, Any]) -> str:
    """Return the terms of the proof as one sentence: seeds, test rows, margin."""
    settings, test = results["settings"], results["test"]
    terms = []
    seeds = settings.get("seeds")
    if seeds is not None:
        number = seeds if isinstance(seeds, int) else len(seeds)
        terms.append(f"{number} seeds an arm")
    if test.get("rows") is not None:
        terms.append(f"{count(test['rows'])} test rows")
    if test.get("majority_points") is not None:
        terms.append(
            f"always answering the most frequent label gives {points(test['majority_points'])}"
        )
    if settings.get("margin_points") is not None:
        terms.append(
            f"as good means losing at most {settings['margin_points']:g} of 100 points, with "
            f"{share(settings.get('confidence', 0.95))} confidence"
        )
    return f"{'; '.join(terms)}." if terms else ""
