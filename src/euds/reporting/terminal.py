"""What a person sees of a run: its summary, on stdout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from euds.progress import format_seconds, verbatim
from euds.selection.stability import SOURCES

__all__ = ["show_pilot", "show_proof", "show_stability", "show_summary"]


def show_summary(summary: dict[str, Any], console: Console) -> None:
    """Print a run's summary for a newcomer."""
    if certificate := summary.get("certificate"):
        colour = "green" if certificate["certified"] else "yellow"
        console.print(f"[bold {colour}]{verbatim(certificate['sentence'])}[/]", highlight=False)
        console.print(verbatim(certificate["scope"]), highlight=False)
    for asked in ("smallest_keep", "training_time", "pilot"):
        if found := summary.get(asked):
            console.print(verbatim(found["sentence"]), highlight=False)
    _show_rows(summary, console)
    _show_cascade(summary, console)
    _show_usability(summary.get("usability"), summary.get("unusable_examples", {}), console)
    if search := summary.get("search"):
        console.print(f"Window    {verbatim(search['sentence'])}", highlight=False)
    if summary.get("scores"):
        _show_scores(summary, console)
    for part, what in (("options", "the model's own answers"), ("languages", "languages")):
        if summary.get(part):
            _show_shares(summary[part], what, console)
    _show_scoring(summary, console)
    if summary.get("examples"):
        _show_examples(summary, console)
    for warning in summary["warnings"]:
        console.print(f"[yellow]warning:[/] {verbatim(warning)}", highlight=False)
    _show_costs(summary, console)


def _show_cascade(summary: dict[str, Any], console: Console) -> None:
    cascade = summary.get("cascade")
    if not cascade:
        return
    for number, line in enumerate([*cascade["sentences"], *cascade.get("costs", [])]):
        head = "          " if number else "[bold]Cascade[/]   "
        console.print(f"{head}{verbatim(line)}", highlight=False)


def show_stability(found: dict[str, Any], path: Path, console: Console) -> None:
    """Print how much of a selection stays."""
    console.print(
        f"Of the {found['texts']:,} texts that {verbatim(found['rule'])} kept, this much stays:",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("what is changed")
    for name in ("times", "Jaccard", "lowest", "beyond chance", "lowest"):
        table.add_column(name, justify="right")
    for source, told in found["by_source"].items():
        table.add_row(
            SOURCES[source],
            str(told["selections"]),
            *(
                f"{told[name]:.2f}"
                for name in (
                    *("jaccard_median", "jaccard_lowest"),
                    *("corrected_median", "corrected_lowest"),
                )
            ),
        )
    console.print(table)
    console.print(
        "Medians; beyond chance: 0 is what two draws of these sizes share, 1 the same selection.",
        highlight=False,
    )
    for warning in found["warnings"]:
        console.print(f"[yellow]warning:[/] {verbatim(warning)}", highlight=False)
    console.print(f"Written to {verbatim(str(path))}", highlight=False)


def show_pilot(found: dict[str, Any], console: Console) -> None:
    """Print whether selecting can help, the curve that says so, and what to do next."""
    console.print(f"[bold]{verbatim(found['sentence'])}[/]", highlight=False)
    console.print(_curve_table(found))
    asked = f"{found['rows_asked']:,} rows asked in {found['draws']} draws"
    console.print(
        f"[bold]Labels[/]    those of the pool were used, and for nothing but this; {asked}"
        if found["uses_labels"]
        else f"[bold]Labels[/]    none; the language model's answers stand for them; {asked}",
        highlight=False,
    )
    spent = ", ".join(
        f"{stage} {format_seconds(taken)}" for stage, taken in found["seconds"].items()
    )
    probes = f"{found['trainings']:,} probes trained, no language model asked"
    console.print(f"[bold]Time[/]      {spent}; {probes}", highlight=False)
    console.print(f"[bold]Next[/]      {verbatim(found['advice'])}:", highlight=False)
    # Never wrapped: it is there to be copied.
    console.print(f"          {verbatim(found['command'])}", highlight=False, soft_wrap=True)


def _curve_table(found: dict[str, Any]) -> Table:
    table = Table(
        title="A probe trained on random rows, asked about others; accuracy in points",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("rows", "accuracy", "gain"):
        table.add_column(name, justify="right")
    table.add_column("")
    before = found["majority_points"]
    table.add_row("none", f"{before:.1f}", "", "always the most frequent label")
    budget = found["budget_rows"]
    for rows, reached in zip(found["rows"], found["accuracy_points"], strict=True):
        notes = ["the budget"] if rows == budget else []
        if rows == found["rows"][-1]:
            low, high = found["gain_low_points"], found["gain_high_points"]
            notes.append(f"{low:+.1f} to {high:+.1f} with {100 * found['confidence']:g} %")
            if rows < 2 * budget:
                notes.append(f"twice the budget would be {2 * budget:,}")
        table.add_row(f"{rows:,}", f"{reached:.1f}", f"{reached - before:+.1f}", "; ".join(notes))
        before = reached
    return table


def _show_rows(summary: dict[str, Any], console: Console) -> None:
    rows = summary["rows"]
    unscored = ", ".join(
        f"{count:,} by {name}" for name, count in rows["unscored"].items() if count
    )
    parts = [
        f"{rows['read']:,} read",
        f"{rows['rejected']:,} rejected",
        f"unscored {unscored}" if unscored else "0 unscored",
    ]
    console.print(f"[bold]Rows[/]      {', '.join(parts)}", highlight=False)
    cut = summary["cut"]
    if cut["max_tokens"]:
        which = ", ".join(f"{count:,} by {name}" for name, count in cut["rows"].items())
        console.print(
            f"          cut after {cut['max_tokens']} tokens: {which or 'none'} "
            f"(ie counts words, ge the model's tokens)",
            highlight=False,
        )
    if "kept" in rows:
        share = rows["kept"] / rows["read"]
        console.print(
            f"[bold]Kept[/]      [green]{rows['kept']:,}[/] ({share:.1%}) by rule "
            f"{summary['settings']['rule']}",
            highlight=False,
        )
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in rows["dropped"].items())
        console.print(f"          dropped: {verbatim(dropped) or 'none'}", highlight=False)


def _show_usability(
    found: dict[str, Any] | None, examples: dict[str, str], console: Console
) -> None:
    if found is None:
        return
    scores = ", ".join(found["scores"])
    if found["looks_clean"] and not found["unusable"]:
        console.print(
            f"[bold]Usable[/]    all rows: none lies outside the bulk of {scores}", highlight=False
        )
        return
    share = found["unusable"] / found["judged"]
    clean = "; the pool looks clean" if found["looks_clean"] else ""
    console.print(
        f"[bold]Usable[/]    {found['unusable']:,} rows ({share:.1%}) look unusable, of which "
        f"{found['kept']:,} were kept{clean}",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("", no_wrap=True, min_width=8)
    for sort in found["sorts"]:
        said = f"{sort['rows']:,} {sort['reason']}, {sort['kept']:,} kept"
        table.add_row("", said, verbatim(examples.get(sort["example"], sort["example"])))
    table.columns[-1].no_wrap, table.columns[-1].overflow = True, "ellipsis"
    console.print(table)


def _show_scores(summary: dict[str, Any], console: Console) -> None:
    table = Table(title="Entropies (nats)", title_justify="left", box=None, pad_edge=False)
    for name in (
        "",
        "min",
        "25 %",
        "median",
        "75 %",
        "max",
        "kept from",
        "to",
        "tied",
        "corr. length",
        "of ranks",
    ):
        table.add_column(name, justify="right" if name else "left")
    for name, one in summary["scores"].items():
        if not one["texts"]:
            table.add_row(name, *["-"] * 10)
            continue
        numbers = [
            one[key]
            for key in (
                "min",
                "first_quartile",
                "median",
                "third_quartile",
                "max",
                "kept_min",
                "kept_max",
            )
        ]
        table.add_row(
            name,
            *("-" if number is None else f"{number:.2f}" for number in numbers),
            f"{one['tied_share']:.0%}",
            *_correlations(one["length_spearman_raw"], one["length_spearman_rank"]),
        )
    console.print(table)
    pairs = [
        f"{pair.replace('~', '-')} {_correlations(rho)[0]}"
        for pair, rho in summary["spearman"].items()
    ]
    if pairs:
        console.print(f"  Spearman correlations: {', '.join(pairs)}", highlight=False)


def _correlations(*values: float | None) -> list[str]:
    return ["-" if value is None else f"{value:+.2f}" for value in values]


def _show_shares(shares: dict[str, dict[str, float]], what: str, console: Console) -> None:
    told = ", ".join(
        f"{value} {share['pool']:.0%} -> {share['kept']:.0%}" for value, share in shares.items()
    )
    console.print(f"  {what}, pool -> kept: {verbatim(told)}", highlight=False)


def _show_scoring(summary: dict[str, Any], console: Console) -> None:
    semantic = summary["scoring"].get("se")
    if not semantic:
        return
    prompts = semantic.get("prompt_information_nats", [])
    for prompt in prompts:
        chosen = prompt["pattern"] == semantic["prompt"]["pattern"]
        kind = "chat " if prompt["chat"] else ""
        line = f"{prompt['nats']:.3f} nats  {kind}{prompt['pattern']!r}"
        console.print(f"  {'*' if chosen else ' '} {verbatim(line)}", highlight=False)
    if prompts:
        console.print(
            "    (* the prompt used: its answers depend most on the text; mutual "
            "information, no labels used)",
            highlight=False,
        )


def _show_examples(summary: dict[str, Any], console: Console) -> None:
    table = Table(
        title="A few rows", title_justify="left", box=None, pad_edge=False, show_header=False
    )
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for row in summary["examples"]:
        fate = "[green]kept[/]" if row["kept"] else f"[red]{verbatim(row['reason'])}[/]"
        table.add_row(verbatim(row["id"]), fate, verbatim(row.get("text", "")))
    console.print(table)


def _show_costs(summary: dict[str, Any], console: Console) -> None:
    spent = ", ".join(
        f"{stage} {format_seconds(taken)}" for stage, taken in summary["seconds"].items()
    )
    console.print(f"[bold]Time[/]      {spent}", highlight=False)
    asked = summary["measured"]
    told = f"{asked:,} texts put to a model" if asked else "no language model was asked"
    console.print(
        f"          {told}; what was measured before came from the store", highlight=False
    )
    for name, path in summary.get("files", {}).items():
        console.print(f"[bold]{name.capitalize():10}[/]{verbatim(path)}", highlight=False)


def show_proof(results: dict[str, Any], folder: Path, console: Console) -> None:
    """Print what a proof found: the verdicts first, then the arms, the costs and the files."""
    for index, sentence in enumerate(results["headline"]):
        console.print(f"[bold]{verbatim(sentence)}[/]" if not index else verbatim(sentence))
    if results["uses_labels"]:
        console.print(f"Looked at labels: {', '.join(results['uses_labels'])}", highlight=False)
    for warning in results["warnings"]:
        console.print(f"[yellow]warning:[/] {verbatim(warning)}", highlight=False)
    console.print(_arms_table(results))
    for curve in results["curve"]:
        smallest = curve["smallest_as_good"]
        told = "none of these budgets" if smallest is None else f"{smallest:.3g} of the rows"
        console.print(f"  smallest share as good as full, {curve['rule']}: {told}", highlight=False)
    if results["ledger"]["target"]:
        line = f"  expected {_target_line(results['ledger']['target'])}"
        console.print(verbatim(line), highlight=False)
    console.print(verbatim(results["scope"]), highlight=False)
    ledger = results["ledger"]
    stages = ", ".join(
        f"{stage} {format_seconds(taken)}"
        for stage, taken in ledger["stages"].items()
        if taken > 0.05
    )
    console.print(f"[bold]Time[/]      {stages}", highlight=False)
    if results.get("subset"):
        subset = results["subset"]
        file = "subset.*" if any(folder.glob("subset*")) else "selection.parquet"
        console.print(
            f"[bold]Subset[/]    {subset['rows']:,} rows by rule {verbatim(subset['rule'])} at "
            f"{subset['keep'] * 100:.3g} %, in {verbatim(str(folder))}/{file}",
            highlight=False,
        )
    for name, file in (("Report", "report.html"), ("Results", "results.json"), ("Folder", "")):
        if (folder / file).exists():
            console.print(f"[bold]{name:10}[/]{verbatim(str(folder / file))}", highlight=False)


def _arms_table(results: dict[str, Any]) -> Table:
    metric = results["task"]["metric"]
    margin = results["settings"]["margin_points"]
    table = Table(
        title=f"{metric}, points (95 %); cost in seconds, choosing included; margin {margin:g}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in (
        "arm",
        "rows",
        metric,
        "against random",
        "",
        "against full",
        "",
        "cost",
        "of full",
        "pays after",
    ):
        table.add_column(name, justify="left" if name in ("arm", "") else "right")
    found = {(one["arm"], one["against"].partition("@")[0]): one for one in results["comparisons"]}
    costs = {one["arm"]: one for one in results["ledger"]["arms"]}
    for arm in results["arms"]:
        reached = arm["metrics"][metric]
        interval = f"[{reached['low_points']:.1f}, {reached['high_points']:.1f}]"
        cells = []
        for against in ("random", "full"):
            one = found.get((arm["name"], against))
            if one is None:
                cells += ["", ""]
                continue
            low, high = one["low_points"], one["high_points"]
            cells += [
                f"{one['difference_points']:+.1f} [{low:+.1f}, {high:+.1f}]",
                _DECISION_STYLES[one["decision"]],
            ]
        cost = costs[arm["name"]]
        share = cost["share_of_full"]
        table.add_row(
            verbatim(arm["name"] + (" (labels)" if arm["uses_labels"] else "")),
            f"{arm['rows']:,}",
            f"{reached['mean_points']:.1f} {interval}",
            *cells,
            "?" if cost["total_seconds"] is None else f"{cost['total_seconds']:.1f}",
            "?" if share is None else f"{share:.0%}",
            _break_even(cost, arm),
        )
    return table


def _break_even(cost: dict[str, Any], arm: dict[str, Any]) -> str:
    if arm["rule"] == "full" or cost["total_seconds"] is None:
        return ""
    trainings = cost["break_even_trainings"]
    if trainings is None:
        return "never"
    number = max(math.ceil(trainings), 1)
    return f"{number:,} training{'s' if number > 1 else ''}"


def _target_line(target: dict[str, Any]) -> str:
    """Return what choosing would be worth for the model that the user will train."""
    parts = [
        f"{one['arm']} {one['share_of_full']:.0%}"
        for one in target["arms"]
        if one["arm"] != "full" and one["share_of_full"] is not None
    ]
    return f"cost of full, choosing included, for {target['train_cost']}: {', '.join(parts)}"


_DECISION_STYLES = {
    "better": "[green]better[/]",
    "as good": "[green]as good[/]",
    "worse": "[red]worse[/]",
    "cannot tell": "[yellow]cannot tell[/]",
}
