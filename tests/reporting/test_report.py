"""What is written, what is on the page, and what is not."""

import builtins
import itertools
import json
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import polars as pl
import pytest

from euds.errors import MissingExtraError, StoreError
from euds.reporting import write_report
from euds.reporting.markdown import markdown_table
from euds.reporting.opening import open_report
from euds.runs.summary import summarise
from euds.scoring.scores import ScoreTable
from euds.selection.select import select
from tests.conftest import make_pool
from tests.reporting.conftest import ARMS, HOSTILE, LABELS, proof_results, scored_pool
from tests.selection.pools import unit_vectors, vectors_for


class Page(HTMLParser):
    """The page as a browser would split it: text in order, elements, and scripts."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.words, self.elements, self.scripts, self._open = [], [], [], []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self._open:
            self.scripts[-1] += data
        elif "body" in self._open and "style" not in self._open and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self):
        return "\n".join(self.words)

    @property
    def data(self):
        return json.loads(self.scripts[0])

    @property
    def sections(self):
        return [
            attrs["id"].removeprefix("section-")
            for tag, attrs in self.elements
            if tag == "section" and "id" in attrs
        ]


def written(folder, pool, table, selection, **changes):
    summary = {"warnings": []} if table is None else summarise(pool, table, selection)
    settings = {"summary": summary, "results": None, **changes}
    write_report(folder, pool=pool, table=table, selection=selection, **settings)
    return Page(folder / "report.html")


@pytest.fixture(scope="module")
def page(proof_report):
    return Page(proof_report[0] / "report.html")


def test_the_files_are_those_returned(proof_report):
    folder, paths = proof_report
    there = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(paths) == sorted(there)
    assert {path.suffix for path in paths} == {".html", ".md", ".svg"}
    assert (folder / "report.html").stat().st_size < 2_500_000


def test_the_verdict_comes_first_then_labels_then_warnings(page):
    results = proof_results()
    text = page.text
    assert page.words[0] == results["headline"][0]
    places = [
        text.index(words)
        for words in (
            results["headline"][1],
            "Looked at labels of the pool to choose rows: el2n.",
            results["scope"],
            results["warnings"][0],
            "Accuracy by arm",
        )
    ]
    assert places == sorted(places)


def test_the_sections_come_in_order(page):
    assert page.sections == [
        *("arms", "differences", "cost", "curve", "distributions", "joint", "length"),
        *("classes", "options", "ledger", "origin"),
    ]


def test_nothing_is_loaded_and_nothing_can_be(page):
    for tag, attrs in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "href", "srcset", "action"} & set(attrs), (tag, attrs)
    style = re.search(r"<style>(.*?)</style>", page.source, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    own = page.scripts[0] + page.scripts[2] + style
    assert not re.findall(r"(?:https?|wss?):", own)
    (policy,) = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not any(attribute.startswith("on") for _, attrs in page.elements for attribute in attrs)


def test_every_figure_is_there_as_svg(proof_report, page):
    folder, _ = proof_report
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert names == set(page.data["charts"])
    assert names >= {"arms", "cost", "curve", "joint-ie-ge", "distribution-se", "length-ge"}
    for path in (folder / "figures").iterdir():
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert 400 < float(root.get("width")) < 900
        assert "NaN" not in path.read_text(encoding="utf-8")


def test_the_tables_have_the_numbers(page):
    results = proof_results()
    one = results["comparisons"][1]
    expected = f"{one['difference_points']:+.1f}".replace("-", "−")
    cells = page.text.split("Comparisons, in points")[1].split("Accuracy against")[0].split("\n")
    at = next(
        index
        for index, pair in enumerate(itertools.pairwise(cells))
        if pair == (one["arm"], one["against"])
    )
    assert cells[at + 2] == expected
    assert cells[at + 5] == "worse"
    ledger = page.text.split("What it cost")[1]
    assert "13 min 40 s" in ledger
    assert "Expected, not measured, for a training cost of bert-base" in ledger
    # 214.03 s of selecting, 138 s of training, of 820 s.
    assert "igse\n3 min 34 s\n2 min 18 s\n5 min 52 s\n43 %\n1 training" in ledger
    assert results["command"] in page.text
    assert results["test"]["fingerprint"] in page.text


def test_a_run_without_a_proof_says_so(tmp_path, scored, selected):
    pool, table = scored
    page = written(tmp_path, pool, table, selected, command="euds run pool.jsonl")
    assert page.words[0] == "96 of 600 rows were kept (16 %), by the rule igse."
    assert "takes a proof" in page.text
    assert "Selecting looked at no label." in page.text
    assert page.sections == ["distributions", "joint", "length", "classes", "options", "origin"]
    assert "euds run pool.jsonl" in page.text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_predicted_scores_are_said_to_be(scored, selected):
    pool, table = scored
    told = {"sentences": ["of 9 texts measured: GE of 4", "expected: <66%>"]}
    summary = {**summarise(pool, table, selected), "cascade": told}
    opening = open_report(pool, selected, summary=summary, results=None)
    assert opening.others[0] == (
        "Some scores here are predicted (--cascade): of 9 texts measured: GE of 4; expected: <66%>."
    )


def test_every_window_that_was_looked_at_is_shown(tmp_path, scored):
    pool, table = scored
    vectors = vectors_for(pool, unit_vectors(len(pool)))
    selected = select(pool, table, rule="auto-labels", keep=0.16, vectors=vectors)
    page = written(tmp_path, pool, table, selected)
    assert page.sections[0] == "search"
    search = selected.diagnosis["search"]
    assert search["sentence"][1:] in page.text
    scores = {one["score"] for one in search["profile"]}
    for score in scores:
        assert f"Windows of {score}" in page.text


def test_sections_without_data_are_left_out(tmp_path):
    pool = make_pool([f"text {index}" for index in range(40)])
    selection = select(pool, rule="random", keep=0.5, seed=3)
    assert written(tmp_path / "a", pool, None, selection).sections == ["origin"]

    results = proof_results()
    results |= {"curve": [], "comparisons": [], "warnings": [], "uses_labels": []}
    results["ledger"] |= {"target": None, "arms": [], "stages": {}, "peak_memory_mib": None}
    for arm in results["arms"]:
        arm |= {"classes": None, "warnings": [], "uses_labels": False}
        arm["seconds"]["total"] = None
        arm["metrics"]["accuracy"] |= {"low_points": None, "high_points": None}
    page = written(tmp_path / "b", pool, None, selection, results=results)
    assert page.sections == ["arms", "origin"]
    assert "No rule looked at labels of the pool" in page.text
    assert "Read before use" not in page.text


def test_one_score_is_set_against_length(tmp_path, scored):
    pool, table = scored
    only = ScoreTable(table.frame.select("id", "ie", "words", "ie_reason"))
    page = written(tmp_path, pool, only, None)
    assert page.words[0] == "600 rows were scored; nothing was selected yet."
    assert set(page.data["charts"]) == {"distribution-ie", "joint-words-ie", "length-ie"}
    assert {row["fate"] for row in page.data["sample"]["rows"]} == {"scored"}


def test_a_score_that_is_the_same_for_all_rows_does_no_harm(tmp_path, scored):
    pool, table = scored
    flat = ScoreTable(table.frame.with_columns(se=pl.lit(1.0986)))
    page = written(tmp_path, pool, flat, select(pool, flat, rule="igse", keep=0.2))
    (bars,) = [
        rows
        for rows in page.data["charts"]["distribution-se"]["datasets"].values()
        if "pool" in rows[0]
    ]
    assert sum(row["pool"] for row in bars) == 600
    assert not {"joint-ie-se", "joint-ge-se", "length-se"} & set(page.data["charts"])
    assert "joint-ie-ge" in page.data["charts"]


def test_without_texts_no_text_is_in_any_file(tmp_path):
    texts = [f"secret{index} words of a user" for index in range(80)]
    pool, table = scored_pool(texts, [f"answer{index} of its own" for index in range(80)])
    selection = select(pool, table, rule="igse", keep=0.3)
    arguments = {"pool": pool, "table": table, "selection": selection}
    summary = summarise(pool, table, selection)
    summary_shows_texts = "secret" in json.dumps(summary)
    for texts_wanted in (True, False):
        folder = tmp_path / str(texts_wanted)
        paths = write_report(
            folder,
            **arguments,
            summary=summary,
            results=None if texts_wanted else proof_results(),
            texts=texts_wanted,
        )
        found = any(b"secret" in path.read_bytes() for path in paths)
        assert found == texts_wanted
        # Labels that are no classes are texts too, and are never shown.
        assert not any(b"of its own" in path.read_bytes() for path in paths)
    assert summary_shows_texts
    page = Page(tmp_path / "False" / "report.html")
    assert "text" not in page.data["sample"]["rows"][0]
    assert not page.data["sample"]["hasText"]


def test_hostile_texts_stay_data(hostile_report):
    page = Page(hostile_report / "report.html")
    # Of all script elements one is data and two are ours, whatever the texts say.
    assert [attrs for tag, attrs in page.elements if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
        {},
    ]
    assert "img" not in {tag for tag, _ in page.elements}
    assert not set("<>&\u2028\u2029\u202e\x00") & set(page.scripts[0])
    assert page.scripts[0].isascii()
    shown = [row["text"] for row in page.data["sample"]["rows"]]
    assert any(HOSTILE[0] in text for text in shown)
    for text in shown:
        assert text.isprintable()
        assert len(text) <= 160
    for character in "\u202e\u2066\u2028\x00\x1b":
        assert character not in page.source
    # As text they are there: the headline, the warnings, the command.
    assert HOSTILE[1] in page.text
    assert HOSTILE[3] in page.text
    for path in (hostile_report / "figures").iterdir():
        ET.parse(path)
    markdown = (hostile_report / "table.md").read_text(encoding="utf-8")
    assert r"\<script\>" in markdown
    assert not re.search(r"(?<!\\)<", markdown)


def test_an_earlier_report_is_replaced(tmp_path, scored, selected):
    pool, table = scored
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "stale.svg").write_text("old")
    (tmp_path / "report.html").write_text("old")
    written(tmp_path, pool, table, selected, results=proof_results())
    assert not (tmp_path / "figures" / "stale.svg").exists()
    assert (tmp_path / "report.html").stat().st_size > 500_000
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")] == []


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path, scored, selected):
    pool, table = scored
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        written(tmp_path / "file" / "folder", pool, table, selected)


@pytest.mark.parametrize("package", ["altair", "jinja2", "vl_convert"])
def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch, scored, selected, package):
    for name in list(sys.modules):
        if name.startswith(("euds.reporting.", package)) and name != "euds.reporting.report":
            monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    pool, table = scored
    with pytest.raises(MissingExtraError, match=r"euds\[report\]"):
        written(tmp_path, pool, table, selected)
    assert list(tmp_path.iterdir()) == []


def test_the_markdown_table_has_a_row_for_each_arm(proof_report):
    folder, _ = proof_report
    lines = (folder / "table.md").read_text(encoding="utf-8").splitlines()
    results = proof_results()
    assert lines[0] == f"- {results['headline'][0]}"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(ARMS)
    assert len({row.count("|") for row in rows}) == 1
    igse = next(row for row in rows if row.startswith("| igse |"))
    cells = [cell.strip() for cell in igse.strip("|").split("|")]
    of_random = next(
        one for one in results["comparisons"] if (one["arm"], one["against"]) == ("igse", "random")
    )
    assert cells[:3] == ["igse", "96", "16 %"]
    assert f"{of_random['difference_points']:+.1f}".replace("-", "−") in cells[5]
    assert cells[6:] == ["worse", "worse", "5 min 52 s"]
    assert "| el2n (labels) |" in "\n".join(rows)


def test_markdown_is_escaped_and_holds_every_metric(tmp_path):
    results = proof_results()
    results["task"] = {"name": "answer", "metric": "f1", "metrics": ["f1", "exact match"]}
    for arm in results["arms"]:
        level = {"mean_points": 71.26, "low_points": 70.0, "high_points": 72.5}
        arm["metrics"] = {"f1": level, "exact match": {**level, "mean_points": None}}
    results["arms"][2]["name"] = "a|b<i>*c*"
    table = markdown_table(results)
    assert "| f1 (95 %) | exact match (95 %) |" in table
    assert "| 71.3 (70.0 to 72.5) | – |" in table
    assert r"a\|b\<i\>\*c\*" in table


def test_the_classes_of_a_pool_are_counted(tmp_path):
    labels = ["a"] * 30 + ["b"] * 10
    pool, table = scored_pool([f"text {index}" for index in range(40)], labels)
    selection = select(pool, table, rule="random", keep=8, always_keep=["00000", "00039"])
    page = written(tmp_path, pool, table, selection)
    bars, dots = sorted(
        page.data["charts"]["classes"]["datasets"].values(), key=lambda rows: "rule" in rows[0]
    )
    assert bars == [{"class": "a", "share": 0.75}, {"class": "b", "share": 0.25}]
    kept = [labels[int(name)] for name in selection.ids]
    assert {row["class"]: row["share"] for row in dots} == {
        "a": kept.count("a") / 8,
        "b": kept.count("b") / 8,
    }


def test_labels_of_arms_are_shown_as_the_proof_gave_them(page):
    charts = page.data["charts"]["classes"]["datasets"].values()
    dots = next(rows for rows in charts if "rule" in rows[0])
    assert {row["rule"] for row in dots} == {name for name, *_ in ARMS} - {"full"}
    assert {row["class"] for row in dots} == set(LABELS)
