"""A run can be repeated from its manifest; what comes out otherwise is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import euds
from euds.cli.app import app
from euds.errors import InputError, StoreError
from euds.runs.replaying import replay as module
from euds.runs.replaying.comparing import compare_columns, compare_selections
from euds.scoring.scores import ScoreTable
from tests.runs.test_verifying import change_parquet, command, edit, of_row, reseal, write_films

TOY = ("--text", "review", "--label", "stars", "--model", "toy", "--task", "sentiment", "--quiet")


@pytest.fixture
def folder(tmp_path, empty_cache, monkeypatch):
    write_films(tmp_path / "films.jsonl")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that nothing has happened to yet, made once."""
    folder = tmp_path_factory.mktemp("made")
    write_films(folder / "films.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EUDS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        command("run", "films.jsonl", *TOY, "--rule", "igse", "--no-report", "--out", "run")
    return folder


@pytest.fixture
def ran(made, folder):
    """The folder of inputs, with that run."""
    shutil.copytree(made / "run", folder / "run")
    shutil.copytree(made / "cache", folder / "cache")
    return folder


def run_and_replay(*options, replaying=(), exit_code=0):
    command("run", "films.jsonl", *TOY, "--no-report", "--out", "run", *options)
    return again("run", *replaying, exit_code=exit_code)


def again(*arguments, exit_code=0):
    arguments = (*arguments, "--json", "--quiet", "--out", "replayed")
    told = json.loads(command("replay", *arguments, exit_code=exit_code))
    assert told == json.loads(Path("replayed/replay.json").read_text())
    assert told["replayed"] is (exit_code == 0)
    return told


def what_is_in(folder):
    return {one.name: (one.stat().st_mtime_ns, one.read_bytes()) for one in folder.iterdir()}


def write_others(path, rows=10):
    lines = Path("films.jsonl").read_text().splitlines()[:rows]
    path.write_text("".join(f"{line.upper().replace('REVIEW', 'review')}\n" for line in lines))


OPTIONS = {
    "automatic": [],
    "igse": ["--rule", "igse", "--keep", "0.2"],
    "interval": ["--interval", "0.2:0.7", "--keep", "30"],
    "raw interval": ["--interval", "ie_plugin=1.5:2.3"],
    "tokens": ["--rule", "length", "--keep-tokens", "300"],
    "soft": ["--soft", "--keep", "25", "--weights", "--seed", "3"],
    "random": ["--rule", "random", "--seed", "7"],
    "must stay": ["--rule", "ge", "--always-keep", "@ids.txt", "--no-guards"],
    "labels": ["--rule", "random-stratified", "--keep", "20"],
    "quota": ["--quota", "stars=equal", "--keep", "20"],
    "against": ["--against", "others.jsonl", "--keep", "20"],
    "target": ["--rule", "dsir", "--target", "others.jsonl", "--near-duplicates", "keep"],
    "own prompt": ["--prompt", "Is this good? {text}", "--options", "yes,no", "--max-tokens", "9"],
    "words only": ["--scores", "ie", "--rule", "ie"],
    "everything": ["--rule", "full"],
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_run_comes_out_as_it_was(folder, options):
    write_others(folder / "others.jsonl")
    ids = euds.read("films.jsonl", text="review", max_rejected=0.5).frame["id"].to_list()
    (folder / "ids.txt").write_text("\n".join(ids[:3]))
    told = run_and_replay(*options)
    assert told["problems"] == told["notes"] == []
    nothing = {"rows": 0, "kept": 0, "ids": []}
    assert told["selection"] == {"from_stored_scores": nothing, "from_scores_here": nothing}
    columns = told["scores"]["columns"]
    assert {"ie", "words", "ie_reason"} <= columns.keys()
    assert not any(one["rows"] or one["beyond"] for one in columns.values())
    assert told["scores"]["measured"] > 0 or options[:2] == ["--scores", "ie"]  # no model, no store


def test_the_store_counts_only_if_asked_for_and_the_run_is_not_touched(ran):
    before = what_is_in(ran / "run")
    store = sorted((ran / "cache").rglob("*.parquet"))
    assert again("run")["scores"]["measured"] > 0
    assert again("run", "--use-store")["scores"]["measured"] == 0
    assert again("run", "--no-store")["scores"]["measured"] > 0
    assert sorted((ran / "cache").rglob("*.parquet")) == store
    assert what_is_in(ran / "run") == before


def test_a_run_that_keeps_no_texts_is_repeated_from_its_input(folder):
    told = run_and_replay("--rule", "igse", "--keep", "0.2", "--no-texts")
    assert told["notes"] == ["the run keeps no texts: labels and records were not compared"]
    nothing = {"rows": 0, "kept": 0, "ids": []}
    assert told["selection"] == {"from_stored_scores": nothing, "from_scores_here": nothing}
    assert euds.verify("run").problems == ()
    lines = (folder / "films.jsonl").read_text().splitlines(keepends=True)
    (folder / "films.jsonl").write_text("".join(lines[1:]))
    assert "not what the run read" in again("run", exit_code=1)["problems"][0]


def test_of_a_cascade_the_selection_is_repeated_and_the_scores_are_not(folder):
    told = {"cascade": {"share": 0.25}}
    command("run", "films.jsonl", *TOY, "--no-report", "--rule", "igse", "--out", "run")
    table = ScoreTable.load(Path("run/scores.parquet"))
    table.provenance.update(told)
    table.save(Path("run/scores.parquet"))
    edit(Path("run"), lambda one: one["provenance"].update(told))
    reseal(Path("run"))
    found = again("run")
    assert found["selection"]["from_stored_scores"]["rows"] == 0
    assert found["scores"] is None
    assert "those of a cascade" in found["notes"][0]


def test_scores_alone_are_repeated(folder):
    command("score", "films.jsonl", *TOY, "--out", "run")
    told = again("run")
    assert told["selection"] is None
    assert told["scores"]["measured"] > 0
    shown = command("replay", "run", "--quiet", "--out", "replayed")
    assert "120 rows, the same" in shown
    assert "run: replayed" in shown


def test_what_was_selected_again_elsewhere_is_repeated(folder):
    write_others(folder / "others.jsonl")
    command("run", "films.jsonl", *TOY, "--no-report", "--out", "run")
    quietly = ("--no-report", "--quiet")
    command("select", "run", "--keep", 9, "--against", "others.jsonl", "--out", "deep/er", *quietly)
    assert again("deep/er")["selection"]["from_stored_scores"]["rows"] == 0
    # After a kill there is no manifest; scores and pool suffice to select, and to repeat it.
    (folder / "run" / "manifest.json").unlink()
    command("select", "run", "--rule", "ge", "--keep", 5, *quietly)
    assert again("run")["reading"]["rows"] == {"run": 120, "here": 120}


def test_a_run_moves_with_its_inputs(ran, monkeypatch):
    (ran / "moved").mkdir()
    for name in ("films.jsonl", "run"):
        (ran / name).rename(ran / "moved" / name)
    (ran / "elsewhere").mkdir()
    monkeypatch.chdir(ran / "elsewhere")
    again("../moved/run")


def test_an_input_that_was_moved_is_asked_for(ran):
    (ran / "films.jsonl").rename(ran / "renamed.jsonl")
    ran = CliRunner().invoke(app, ["replay", "run"])
    assert ran.exit_code == 2
    with pytest.raises(InputError, match="not where it was") as caught:
        euds.replay("run")
    assert "--pool FILE" in str(caught.value)
    assert again("run", "--pool", "renamed.jsonl")["problems"] == []
    rows = [json.loads(one) for one in Path("renamed.jsonl").read_text().splitlines()[:-1]]
    pl.DataFrame(rows).write_csv("films.csv")  # another format, the same samples
    assert again("run", "--pool", "films.csv")["problems"] == []


def test_a_pipe_is_gone(folder):
    lines = (folder / "films.jsonl").read_text()
    arguments = ["run", "-", *TOY, "--no-report", "--out", "run"]
    assert CliRunner().invoke(app, arguments, input=lines).exit_code == 0
    with pytest.raises(InputError, match="from a pipe"):
        euds.replay("run")
    again("run", "--pool", "films.jsonl")


def test_a_changed_input_is_told_and_nothing_is_scored(ran):
    lines = (ran / "films.jsonl").read_text().splitlines()
    (ran / "films.jsonl").write_text("\n".join(lines[1:]))
    told = again("run", exit_code=1)
    (problem,) = told["problems"]
    recorded = json.loads((ran / "run" / "manifest.json").read_text())["pool"]["fingerprint"]
    assert "films.jsonl: the input is not what the run read" in problem
    assert f"expected: 120 rows with {recorded}" in problem
    assert "got: 119 rows" in problem
    assert told["scores"] is told["selection"] is None


def test_changed_labels_or_columns_are_told_though_the_texts_are_the_same(ran):
    lines = (ran / "films.jsonl").read_text().splitlines()
    lines[0] = lines[0].replace('"n": 0', '"n": 9')
    turned = {"good": "bad", "bad": "good"}[json.loads(lines[1])["stars"]]
    lines[1] = json.dumps({**json.loads(lines[1]), "stars": turned})
    (ran / "films.jsonl").write_text("\n".join(lines))
    told = again("run", exit_code=1)
    assert told["reading"]["labels_differ"] == 1
    assert told["reading"]["records_differ"] == 2
    assert len(told["problems"]) == 2
    assert told["selection"]["from_scores_here"]["rows"] == 0


@pytest.mark.parametrize("option", ["--against", "--target"])
def test_a_changed_file_beside_the_pool_is_told(folder, option):
    write_others(folder / "others.jsonl")
    rule = ["--rule", "dsir"] if option == "--target" else []
    run_and_replay(option, "others.jsonl", *rule)
    write_others(folder / "others.jsonl", rows=9)
    told = again("run", exit_code=1)
    assert f"others.jsonl: {option} has changed since the run" in told["problems"][0]
    (folder / "others.jsonl").unlink()
    with pytest.raises(InputError, match=f"{option} of the run is not where it was"):
        euds.replay("run")


def test_a_damaged_score_file_is_nothing_to_compare_with(ran):
    path = ran / "run" / "scores.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged") as caught:
        euds.replay("run")
    assert "scores.parquet: the file is not the one" in str(caught.value)
    ran = CliRunner().invoke(app, ["replay", "run"])
    assert ran.exit_code == 1


def test_a_stranger_in_the_folder_does_not_stop_it(ran):
    (ran / "run" / "notes.txt").write_text("mine")
    again("run")


def test_a_score_that_was_tampered_with_is_found(ran):
    change_parquet(ran / "run" / "scores.parquet", of_row("ge", 1.25))
    reseal(ran / "run")
    told = again("run", exit_code=1)
    (problem,) = [one for one in told["problems"] if "column" in one]
    assert "column ge: the scores differ by more than they may; got: 1 rows" in problem
    assert told["scores"]["columns"]["ge"]["rows"] == 1
    assert told["scores"]["columns"]["ie"]["rows"] == 0
    assert told["scores"]["columns"]["ge"]["largest"] > 0.5


def test_a_selection_that_was_tampered_with_is_found(folder):
    run_and_replay("--rule", "igse", "--no-subset")
    path = folder / "run" / "selection.parquet"
    kept = pl.read_parquet(path)["kept"]
    out, into = kept.arg_true()[0], (~kept).arg_true()[0]
    change_parquet(path, of_row("kept", False, out))
    change_parquet(path, of_row("reason", "above igse", out))
    change_parquet(path, of_row("kept", True, into))
    change_parquet(path, of_row("reason", None, into))
    change_parquet(path, of_row("inclusion", 1.0, into))
    reasons = pl.read_parquet(path).filter(~pl.col("kept"))["reason"].value_counts()
    edit(
        folder / "run",
        lambda one: one["summary"]["rows"].update(dropped=dict(reasons.iter_rows())),
    )
    reseal(folder / "run")
    told = again("run", exit_code=1)
    assert "the same scores give another selection; got: 2 rows" in told["problems"][0]
    assert told["selection"]["from_stored_scores"]["kept"] == 2
    assert told["selection"]["from_scores_here"]["kept"] == 2


def test_another_seed_in_the_request_is_another_selection(folder):
    run_and_replay("--rule", "random")
    edit(folder / "run", lambda one: one["request"]["selecting"].update(seed=1), resealed=True)
    assert again("run", exit_code=1)["selection"]["from_stored_scores"]["kept"] > 0


def test_another_model_under_the_name_is_told_and_not_asked(ran, monkeypatch):
    toy = module.resolve("toy")
    monkeypatch.setattr(module, "resolve", lambda name: type(toy)(name, "toy", "f" * 32, None))
    found = euds.replay("run")
    assert "the model toy is another here" in found.problems[0]
    assert found.found["scores"] is None
    assert found.found["selection"]["from_stored_scores"]["rows"] == 0


def test_a_run_that_had_no_sentence_vectors_comes_again_where_there_is_an_encoder(
    folder, monkeypatch
):
    from euds.selection import select

    run_and_replay("--keep", "30")

    def there_is_one(*_, **__):
        raise AssertionError("the run had none")

    monkeypatch.setattr(select, "vectors_for", there_is_one)
    assert euds.replay("run").problems == ()


def test_other_versions_are_told_and_do_no_harm_by_themselves(ran):
    edit(ran / "run", lambda one: one["versions"].update(numpy="1.0", ray="2.9"), resealed=True)
    notes = again("run")["notes"]
    assert any(one.startswith("numpy: 1.0 made the run, ") for one in notes)
    assert "ray: 2.9 made the run, not installed is here" in notes


def test_a_request_of_a_newer_euds_is_not_half_repeated(ran):
    edit(ran / "run", lambda one: one["request"]["selecting"].update(mood=1), resealed=True)
    with pytest.raises(InputError, match="newer euds") as caught:
        euds.replay("run")
    assert "mood" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["selecting"].update(against=3),
        lambda one: one["selecting"].update(keep=[[]]),
        lambda one: one["selecting"].update(target={}),
        lambda one: one["selecting"].update(vectors="x"),
        lambda one: one["selecting"].update(seed="x"),
        lambda one: one.update({"from": 7}),
        lambda one: one.update(selecting=[]),
    ],
)
def test_a_request_that_makes_no_sense_is_no_traceback(ran, change):
    edit(ran / "run", lambda one: change(one["request"]), resealed=True)
    with pytest.raises(euds.EudsError):
        euds.replay("run")


def test_the_run_folder_is_not_written_into(ran):
    refused = CliRunner().invoke(app, ["replay", "run", "--out", "run"])
    assert refused.exit_code == 2
    assert not (ran / "run" / "replay.json").exists()
    shown = command("replay", "run", "--quiet")
    written = Path(shown.splitlines()[-1].removeprefix("Written").strip())
    assert json.loads(written.read_text())["replayed"] is True
    shutil.rmtree(written.parent)


def test_differences_are_counted_by_id_and_held_against_the_tolerance():
    stored = ScoreTable(
        pl.DataFrame(
            {
                "id": ["a", "b", "c", "d"],
                "ge": [1.0, 2.0, None, 4.0],
                "ie": [1.0, 1.0, 1.0, 1.0],
                "se_option": ["x", "y", None, "x"],
                "ge_tokens": [3, 4, 5, 6],
                "se": [0.5] * 4,
            }
        ),
        {"se": {"mode": "label"}},
    )
    here = ScoreTable(
        pl.DataFrame(
            {
                "id": ["d", "c", "b", "a"],
                "ge": [4.0001, 1.0, 2.0, 1.0],
                "ie": [1.0, 1.0, 1.0, 1.0 + 1e-6],
                "se_option": ["x", None, "z", "x"],
                "ge_tokens": [6, 5, 4, 2],
            }
        )
    )
    found = compare_columns(stored, here, precision="float32")
    assert found["ge"].largest == pytest.approx(1e-4)
    assert (found["ge"].rows, found["ge"].beyond) == (2, 1)  # a missing score is beyond
    assert [one for one in found if not found[one].is_within] == [
        *("ge", "ie", "se_option", "ge_tokens", "se")
    ]
    assert (found["se_option"].rows, found["se"].rows) == (1, 4)

    columns = {"id": ["a", "b", "c"], "kept": [True, False, False], "reason": [None, "x", "y"]}
    one = pl.DataFrame(columns)
    two = pl.DataFrame({**columns, "kept": [False, True, False], "reason": ["x", None, "z"]})
    found = compare_selections(one, two.reverse())
    assert (found.rows, found.kept, found.ids) == (3, 2, ("a", "b", "c"))


@pytest.fixture
def labelled(tmp_path, empty_cache, monkeypatch):
    from tests.cli.test_prove import write_rows

    write_rows(tmp_path / "films.jsonl", 700, seed=1)
    write_rows(tmp_path / "others.jsonl", 100, seed=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_sound_and_comes_again(run):
    assert euds.verify(run).problems == ()
    told = again(run)
    assert told["selection"]["from_stored_scores"]["rows"] == 0
    assert told["selection"]["from_scores_here"]["rows"] == 0
    return told


@pytest.mark.parametrize("margin", [60, 0.01], ids=["certified", "random rows instead"])
def test_a_certified_run_comes_again_with_the_rows_that_were_set_aside(labelled, encoder, margin):
    options = ("--scores", "ie", "--train-encoder", encoder, "--seeds", 2, "--keep", 100)
    aside = ("--certify", "--validation", 0.4, "--margin", margin, "--no-report", "--out", "run")
    command("run", "films.jsonl", *TOY, "--precision", "float32", *options, *aside)
    told = is_sound_and_comes_again("run")
    assert told["reading"]["rows"]["here"] == 700
    request = json.loads((labelled / "run" / "manifest.json").read_text())["request"]
    assert request["held_out"]["part"] == 0.4
    assert request["selecting"]["rule"] == ("random-stratified" if margin < 1 else None)

    # Other labels in the input set other rows aside.
    lines = (labelled / "films.jsonl").read_text().splitlines()
    rows = [json.loads(one) for one in lines]
    del rows[0]["stars"], rows[1]["stars"]
    (labelled / "films.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert "other rows were set apart" in again("run", exit_code=1)["problems"][0]


@pytest.mark.parametrize(
    ("test", "sample"), [("others.jsonl", ()), ("0.3", ("--sample", 200))], ids=["file", "share"]
)
def test_the_subset_of_a_proof_comes_again(labelled, encoder, test, sample):
    mine = Path(shutil.copytree(encoder, labelled / "encoder"))
    proving = ("--train-encoder", mine, "--trainer", "probe", "--seeds", 2, "--keep", "50")
    rules = ("--rules", "auto,length", "--precision", "float32", "--out", "proof")
    lines = (labelled / "films.jsonl").read_text().splitlines(keepends=True)
    (labelled / "films.jsonl").write_text("".join(lines[:240]))
    command("prove", "films.jsonl", "--test", test, *TOY, *proving, *rules, "--no-report", *sample)
    told = is_sound_and_comes_again("proof")
    assert told["models"]["vectors"]["is_same"]
    if test == "0.3":
        return
    # Another encoder: the scores come again, and no selection is held against it.
    config = mine / "config.json"
    config.write_text(config.read_text().replace("{", '{"another": 1,', 1))
    told = again("proof", exit_code=1)
    assert "the vectors" in told["problems"][0]
    assert "is another here" in told["problems"][0]
    assert (told["selection"], len(told["problems"])) == (None, 1)
    assert told["scores"]["columns"]["ge"]["rows"] == 0
