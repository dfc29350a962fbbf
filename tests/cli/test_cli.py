"""The command line from the outside: its output, its exit code, its files."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.promises.commands import Place

WORDS = [
    "the",
    "a",
    "film",
    "was",
    "good",
    "bad",
    "very",
    "plot",
    "actor",
    "dull",
    "moving",
    "cold",
]


def euds(*arguments, cwd, stdin=None, check=0):
    """Give a command in a folder and check its exit code; as a process only if it reads stdin."""
    place = Place(cwd)
    if stdin is not None:
        return place.process(*arguments, stdin=stdin.encode(), check=check)
    return place.euds(*arguments, check=check)


@pytest.fixture
def folder(tmp_path, empty_cache):
    rng = random.Random(0)
    with (tmp_path / "films.jsonl").open("w") as stream:
        for index in range(300):
            words = rng.choices(WORDS, k=rng.randint(5, 40))
            row = {"n": index, "review": " ".join(words), "stars": rng.choice(["good", "bad"])}
            stream.write(json.dumps(row) + "\n")
    return tmp_path


def toy_run(folder, *more, check=0, page=False):
    """Run with the toy model; the page, which takes longest, only where it is looked at."""
    return euds(
        "run",
        "films.jsonl",
        "--text",
        "review",
        "--label",
        "stars",
        "--model",
        "toy",
        "--task",
        "sentiment",
        "--out",
        "run",
        *([] if page else ["--no-report"]),
        *more,
        cwd=folder,
        check=check,
    )


def test_stability_is_shown_and_kept_with_the_run(folder):
    euds("stability", "films-euds", cwd=folder, check=2)
    toy_run(folder, "--rule", "igse", "--keep", "0.16", "--out", "run")
    ran = euds("stability", "run", "--seeds", 2, cwd=folder)
    assert "another seed" in ran.stdout
    told = json.loads((folder / "run" / "stability.json").read_text())
    assert told["by_source"]["seed"]["jaccard_lowest"] == 1
    again = euds("stability", "run", "run", "--seeds", 2, "--json", cwd=folder)
    (same,) = [one for one in json.loads(again.stdout)["overlaps"] if one["source"] == "scores"]
    assert same["jaccard"] == 1
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    assert "stability.json" in manifest["checksums"]
    euds("select", "run", "--keep", "30", cwd=folder)
    assert not (folder / "run" / "stability.json").exists()  # it was of another selection


def test_an_interrupt_that_a_compiled_module_makes_another_error_of_is_still_one(monkeypatch):
    from typer.testing import CliRunner

    from euds.cli import app
    from euds.reading import datasets

    def interrupted(*_):
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(datasets, "fetch", interrupted)
    ran = CliRunner().invoke(app.app, ["data", "--fetch"])
    assert ran.exit_code == 130
    assert "interrupted; the same command goes on" in ran.stderr


def test_the_main_job_ends_with_a_subset_a_reason_for_every_row_and_a_manifest(folder):
    ran = toy_run(folder, "--keep", "0.16", "--json", page=True)
    summary = json.loads(ran.stdout)
    assert summary["rows"]["kept"] == 48
    assert sum(summary["rows"]["dropped"].values()) == 300 - 48
    run = folder / "run"
    assert {path.name for path in run.iterdir()} == {
        "pool.parquet",
        "scores.parquet",
        "selection.parquet",
        "subset.jsonl",
        "rejected.jsonl",
        "report.html",
        "manifest.json",
    }
    lines = (folder / "films.jsonl").read_text().splitlines()
    subset = (run / "subset.jsonl").read_text().splitlines()
    assert len(subset) == 48
    assert subset == [line for line in lines if line in set(subset)]  # as they were, in order
    selection = pl.read_parquet(run / "selection.parquet")
    assert selection.columns[:3] == ["id", "kept", "reason"]
    assert (selection["kept"] == selection["reason"].is_null()).all()
    scores = pl.read_parquet(run / "scores.parquet")
    named = {"ie", "ie_plugin", "ie_norm", "ge", "ge_nll", "ge_gap", "ge_hes", "ge_tokens", "se"}
    assert named <= set(scores.columns)


def test_a_second_run_asks_no_model_and_changes_no_byte(folder):
    toy_run(folder)
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    summary = json.loads(toy_run(folder, "--json").stdout)
    assert summary["measured"] == 0
    for path in (folder / "run").iterdir():
        if path.name not in ("manifest.json", "report.html"):  # they hold times
            assert path.read_bytes() == before[path.name], path.name


def test_selecting_again_needs_neither_model_nor_input(folder):
    toy_run(folder)
    (folder / "films.jsonl").unlink()
    ran = euds("select", "run", "--rule", "ge", "--keep", "10", "--json", cwd=folder)
    assert json.loads(ran.stdout)["rows"]["kept"] == 10
    assert len((folder / "run" / "subset.jsonl").read_text().splitlines()) == 10
    euds("select", "run", "--keep", "7", "--out", "other", cwd=folder)
    assert len((folder / "other" / "subset.jsonl").read_text().splitlines()) == 7
    assert len((folder / "run" / "subset.jsonl").read_text().splitlines()) == 10


def test_coverage_options_reach_the_subset_and_the_manifest(folder):
    toy_run(folder)
    rows = pl.read_ndjson(folder / "films.jsonl").head(20)
    rows.with_columns(pl.col("review").str.to_uppercase()).write_ndjson(folder / "test.jsonl")
    options = ["--against", "test.jsonl", "--soft", "--weights", "--quota", "stars=equal"]
    euds("select", "run", "--keep", "40", *options, "--quiet", cwd=folder)
    kept = pl.read_ndjson(folder / "run" / "subset.jsonl")
    assert kept["euds_weight"].sum() == pytest.approx(40, rel=1e-4)
    assert (kept["stars"] == "good").sum() == 20
    assert kept["n"].min() >= 20
    settings = json.loads((folder / "run" / "manifest.json").read_text())["summary"]["settings"]
    asked = {
        "against": ["test.jsonl"],
        "near_duplicates": "auto",
        "quota": "stars=equal",
        "guards": True,
        "soft": True,
        "weights": True,
        "uses_labels": True,
    }
    assert asked.items() <= settings.items()
    shown = euds("show", "run", "--reason", "near-duplicate of test.jsonl", "--json", cwd=folder)
    one = json.loads(shown.stdout.splitlines()[0])
    why = euds("why", "run", one["id"], cwd=folder)
    assert "because it is a near-duplicate of test.jsonl" in why.stdout


def test_stdout_is_the_result_and_stderr_the_progress(folder):
    ran = toy_run(folder)
    assert "texts" in ran.stderr
    assert "Kept" in ran.stdout
    assert toy_run(folder, "--quiet").stderr == ""


def test_show_and_why_tell_about_rows(folder):
    toy_run(folder, "--rule", "igse")
    rows = [
        json.loads(line)
        for line in euds(
            "show", "run", "--dropped", "--sort", "-ge", "--limit", "3", "--json", cwd=folder
        ).stdout.splitlines()
    ]
    assert len(rows) == 3
    assert rows[0]["ge"] >= rows[1]["ge"] >= rows[2]["ge"]
    assert not any(row["kept"] for row in rows)
    story = euds("why", "run", rows[0]["id"][:12], cwd=folder).stdout
    assert rows[0]["id"] in story
    assert f"line {rows[0]['line']}" in story
    assert "was dropped, because its combined entropy lies" in story
    kept = json.loads(euds("show", "run", "--kept", "--limit", "1", "--json", cwd=folder).stdout)
    assert "was kept" in euds("why", "run", kept["id"], cwd=folder).stdout


def test_a_pipe_may_bring_the_input(folder):
    lines = (folder / "films.jsonl").read_text()
    euds("run", "-", "--text", "review", "--scores", "ie", "--keep", "5", cwd=folder, stdin=lines)
    assert len((folder / "stdin-euds" / "subset.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--text", "reveiw"], "did you mean 'review'"),
        (["--text", "review", "--task", "sentimnet"], "did you mean 'sentiment'"),
        (["--text", "review", "--rule", "igsee"], "did you mean"),
        (["--text", "review", "--keep", "2.5"], "a share such as 0.16"),
        (["--text", "review", "--scores", "ie,xx"], "some of ie, ge, se"),
        (["--text", "review", "--model", "nowhere"], "there is no model"),
        (["--text", "review", "--interval", "0.9:0.1"], "interval cannot be read"),
        (["--text", "{review} {stars}", "--label", "stars"], "label"),
        (["--text", "review", "--task", "topic", "--model", "toy"], "closed set"),
        (
            ["--text", "review", "--label", "stars", "--task", "topic", "--prompt", "no field"],
            "prompt template",
        ),
        (["--text", "review", "--always-keep", "nobody"], "not in the pool"),
        (["--text", "review", "--max-tokens", "0"], "max-tokens"),
        (["--text", "review", "--near-duplicates", "remove"], "auto, drop, keep, embedding"),
        (["--text", "review", "--against", "nowhere.jsonl"], "--against nowhere.jsonl"),
        (["--text", "review", "--quota", "starz=equal"], "did you mean 'stars'"),
        (["--text", "review", "--quota", "stars"], "quota cannot be read"),
        (["--text", "review", "--soft", "--rule", "random"], "no order that a soft"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(folder, arguments, told):
    extra = [] if "--scores" in arguments or "--model" in arguments else ["--model", "toy"]
    ran = euds("run", "films.jsonl", *arguments, *extra, cwd=folder, check=2)
    assert told in ran.stderr
    assert ran.stdout == ""


def test_a_missing_model_is_one_sentence_with_its_command(folder):
    ran = euds("run", "films.jsonl", "--text", "review", cwd=folder, check=2)
    assert "euds models get smollm2-135m" in ran.stderr
    assert "MB" in ran.stderr


def test_a_folder_with_other_files_is_not_taken_over(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.tex").write_text("precious")
    ran = euds(
        "run",
        "films.jsonl",
        "--text",
        "review",
        "--scores",
        "ie",
        "--out",
        "mine",
        cwd=folder,
        check=2,
    )
    assert "thesis.tex" in ran.stderr
    assert (folder / "mine" / "thesis.tex").read_text() == "precious"


def test_an_unfinished_run_says_how_to_finish_it(folder):
    toy_run(folder)
    (folder / "run" / "manifest.json").unlink()
    ran = euds("show", "run", cwd=folder, check=2)
    assert "run the same" in ran.stderr


@pytest.mark.parametrize("damage", ["{", "[]", '{"manifest_version": 99}'])
def test_a_damaged_manifest_is_replaced_with_its_run(folder, damage):
    toy_run(folder)
    (folder / "run" / "manifest.json").write_text(damage)
    toy_run(folder)
    assert json.loads((folder / "run" / "manifest.json").read_text())["manifest_version"] == 1


@pytest.mark.parametrize("name", ["pool.parquet", "scores.parquet", "selection.parquet"])
def test_a_damaged_run_file_is_an_error_and_no_traceback(folder, name):
    toy_run(folder)
    path = folder / "run" / name
    path.write_bytes(path.read_bytes()[:100])
    ran = euds("show", "run", cwd=folder, check=1)
    assert name in ran.stderr


def test_the_order_of_the_input_changes_no_row(folder):
    toy_run(folder)
    first = set((folder / "run" / "subset.jsonl").read_text().splitlines())
    lines = (folder / "films.jsonl").read_text().splitlines()
    random.Random(1).shuffle(lines)
    (folder / "films.jsonl").write_text("\n".join(lines) + "\n")
    toy_run(folder)
    assert set((folder / "run" / "subset.jsonl").read_text().splitlines()) == first


@pytest.mark.parametrize("how", ["removed", "permuted"])
def test_labels_change_no_row(folder, how):
    def kept(out):
        euds(
            "run",
            "films.jsonl",
            "--text",
            "review",
            "--model",
            "toy",
            "--task",
            "sentiment",
            "--options",
            "good,bad",
            "--out",
            out,
            *label,
            cwd=folder,
        )
        subset = (folder / out / "subset.jsonl").read_text().splitlines()
        return {json.loads(line)["n"] for line in subset}

    label = ["--label", "stars"]
    before = kept("before")
    rows = [json.loads(line) for line in (folder / "films.jsonl").read_text().splitlines()]
    stars = [row.pop("stars") for row in rows]
    if how == "permuted":
        random.Random(2).shuffle(stars)
        rows = [{**row, "stars": star} for row, star in zip(rows, stars, strict=True)]
    else:
        label = []
    (folder / "films.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert kept("after") == before


def test_models_and_data_are_listed_without_a_network(folder):
    assert "smollm2-135m" in euds("models", cwd=folder).stdout
    assert "bbc-news" in euds("data", cwd=folder).stdout
    listed = json.loads(euds("models", "--json", cwd=folder).stdout)
    assert {"toy", "smollm2-135m", "minilm-l6"} <= {one["name"] for one in listed}
    assert "did you mean" in euds("data", "bbc-new", cwd=folder, check=2).stderr
    euds("models", "frobnicate", cwd=folder, check=2)
    euds("models", "get", cwd=folder, check=2)


def test_csv_in_is_csv_out(tmp_path, empty_cache):
    path = Path(tmp_path / "pool.csv")
    path.write_text(
        "id,text\n"
        + "".join(f'{index},"row {index}, ""quoted"" and long enough"\n' for index in range(20))
    )
    euds("run", path.name, "--scores", "ie", "--keep", "5", "--out", "run", cwd=tmp_path)
    lines = (tmp_path / "run" / "subset.csv").read_text().splitlines()
    assert lines[0] == "id,text"
    assert len(lines) == 6
    assert set(lines[1:]) <= set(path.read_text().splitlines())


def test_a_mistyped_input_or_rule_leaves_an_earlier_run_as_it_was(folder):
    toy_run(folder)
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    euds("run", "nosuch.jsonl", "--out", "run", cwd=folder, check=2)
    toy_run(folder, "--rule", "typo", check=2)
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == before


def test_the_input_s_own_folder_and_files_like_a_subset_are_safe(folder):
    lines = (folder / "films.jsonl").read_text()
    (folder / "subset.jsonl").write_text(lines)
    (folder / "films.jsonl").unlink()
    ran = euds(
        "run",
        "subset.jsonl",
        "--text",
        "review",
        "--scores",
        "ie",
        "--out",
        ".",
        cwd=folder,
        check=2,
    )
    assert "own input" in ran.stderr
    assert (folder / "subset.jsonl").read_text() == lines
    (folder / "mine").mkdir()
    (folder / "mine" / "subset-notes.md").write_text("precious")
    euds(
        "run",
        "subset.jsonl",
        "--text",
        "review",
        "--scores",
        "ie",
        "--out",
        "mine",
        cwd=folder,
        check=2,
    )
    assert (folder / "mine" / "subset-notes.md").read_text() == "precious"


def test_a_run_of_other_inputs_is_not_replaced(folder):
    toy_run(folder)
    (folder / "other.jsonl").write_text((folder / "films.jsonl").read_text())
    ran = euds(
        "run",
        "other.jsonl",
        "--text",
        "review",
        "--scores",
        "ie",
        "--out",
        "run",
        cwd=folder,
        check=2,
    )
    assert "other inputs" in ran.stderr


def test_selecting_goes_on_after_it_was_killed_and_remembers_rejected_rows(folder):
    with (folder / "films.jsonl").open("a") as stream:
        stream.write("not json\n")
    toy_run(folder)
    (folder / "run" / "manifest.json").unlink()
    ran = euds("select", "run", "--keep", "5", "--out", "second", "--json", cwd=folder)
    assert json.loads(ran.stdout)["rows"]["rejected"] == 1
    assert "not json" in (folder / "second" / "rejected.jsonl").read_text()
    manifest = json.loads((folder / "second" / "manifest.json").read_text())
    assert manifest["provenance"]["stages"][0]["recipe"]["name"] == "token-entropies"


def test_ctrl_c_says_how_to_go_on(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "euds", "run", "-", "--scores", "ie"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # More than a pipe holds: when all of it is written, the command is reading.
    process.stdin.write(json.dumps({"text": "some words"}) + "\n")
    process.stdin.write("\n" * 200_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on where it was" in told


def test_selecting_leaves_a_users_own_subset_alone(folder):
    toy_run(folder)
    (folder / "run" / "subset-500.jsonl").write_text("mine")
    euds("select", "run", "--keep", "5", cwd=folder)
    assert (folder / "run" / "subset-500.jsonl").read_text() == "mine"


def test_no_subset_leaves_out_the_subset_and_nothing_else(folder):
    first = json.loads(toy_run(folder, "--keep", "9", "--json", page=True).stdout)
    run = folder / "run"
    with_subset = {path.name: path.read_bytes() for path in run.iterdir()}
    ran = euds("select", "run", "--keep", "9", "--no-subset", "--json", cwd=folder)
    second = json.loads(ran.stdout)
    # The subset of the first selection would pass for that of the second.
    assert {path.name for path in run.iterdir()} == set(with_subset) - {"subset.jsonl"}
    for name in ("pool.parquet", "scores.parquet", "selection.parquet", "rejected.jsonl"):
        assert (run / name).read_bytes() == with_subset[name]
    assert second["rows"] == first["rows"]
    assert set(first["files"]) - set(second["files"]) == {"subset"}
    manifest = json.loads((run / "manifest.json").read_text())
    assert "subset.jsonl" not in manifest["checksums"]
    euds("select", "run", "--keep", "9", cwd=folder)
    assert (run / "subset.jsonl").read_bytes() == with_subset["subset.jsonl"]


def test_a_run_without_a_subset_names_none(folder):
    ran = toy_run(folder, "--keep", "9", "--no-subset")
    assert "subset" not in ran.stdout.lower()
    assert not list((folder / "run").glob("subset*"))
    assert pl.read_parquet(folder / "run" / "selection.parquet")["kept"].sum() == 9


def test_a_target_is_read_from_the_columns_of_the_pool_and_its_labels_are_not(folder):
    rows = [{"review": "a moving plot", "stars": "good"}, {"review": "the very good actor"}]
    target = folder / "target.jsonl"
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--rule", "dsir", "--target", "target.jsonl", "--scores", "ie")
    first = json.loads(toy_run(folder, *options, "--json").stdout)
    assert first["rows"]["dropped"] == {"unlike the target": 252}
    assert first["settings"]["target"]["texts"] == 2
    kept = (folder / "run" / "subset.jsonl").read_bytes()
    # The same texts with other labels, read by another command.
    target.write_text("".join(json.dumps({"review": row["review"]}) + "\n" for row in rows))
    euds("select", "run", "--keep", "0.16", *options[:4], cwd=folder)
    assert (folder / "run" / "subset.jsonl").read_bytes() == kept

    ran = euds("select", "run", "--rule", "dsir", cwd=folder, check=2)
    assert "--target FILE" in ran.stderr
    ran = euds("select", "run", "--target", "target.jsonl", cwd=folder, check=2)
    assert "no rule that looks at it" in ran.stderr
    target.write_text('{"text": "of another column"}\n')
    ran = euds("select", "run", *options[:4], cwd=folder, check=2)
    assert "--target target.jsonl" in ran.stderr


def test_the_rule_ifd_has_its_score_made_and_needs_contexts(folder):
    ran = toy_run(folder, "--rule", "ifd", check=2)
    assert "--context" in ran.stderr
    with (folder / "asked.jsonl").open("w") as stream:
        for index in range(40):
            row = {"text": f"the film was {'very ' * (index % 5)}good", "context": f"a cat {index}"}
            stream.write(json.dumps(row) + "\n")
    ran = euds(
        *("run", "asked.jsonl", "--model", "toy", "--rule", "ifd", "--keep", "10", "--json"),
        cwd=folder,
    )
    assert json.loads(ran.stdout)["rows"]["kept"] == 10
    assert "ge_ifd" in pl.read_parquet(folder / "asked-euds" / "scores.parquet").columns
