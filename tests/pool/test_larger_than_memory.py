"""Pools whose texts lie in files: every command gives what it gives where they are in memory."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import euds
from euds.files import damage
from euds.pool import records
from euds.pool.pool import Pool
from euds.pool.records import HeldRecords, ParquetRecords, StoredRecords
from euds.reading import jsonl, samples
from euds.reading.inputs import find_inputs
from euds.runs.folder import RunFolder
from euds.runs.replaying.comparing import other_records
from euds.runs.texts import with_texts
from euds.scoring.scorers import information
from tests.runs.test_verifying import command, reseal

WORDS = [
    "the",
    "a",
    "film",
    "was",
    "good",
    "bad",
    "dull",
    "long",
    "actor",
    "scene",
    "light",
    "again",
]


def rows(count: int) -> list[dict]:
    """Rows with repeats, contexts that share a text, labels, and a text too short to be scored."""
    rng = random.Random(0)
    made = [
        {
            "name": f"row {number}",
            "text": " ".join(rng.choices(WORDS, k=rng.randint(3, 30))),
            "context": None if number % 3 else f"question {number % 5}",
            "label": "ab"[number % 2],
        }
        for number in range(count)
    ]
    repeats = [{**row, "name": f"{row['name']} again"} for row in made[::7]]
    return [*made, *repeats, {**made[0], "name": "another", "context": "another question"}]


def write_jsonl(folder: Path) -> Path:
    path = folder / "pool.jsonl"
    lines = [json.dumps(row) for row in rows(200)]
    path.write_text("\n".join([*lines[:50], "no JSON", *lines[50:]]) + "\n")
    return path


def write_csv(folder: Path) -> Path:
    path = folder / "pool.csv"
    pl.DataFrame(rows(200)).write_csv(path)
    return path


def write_parquet(folder: Path) -> Path:
    path = folder / "pool.parquet"
    pl.DataFrame(rows(200)).with_columns(pl.col("label").cast(pl.Categorical)).write_parquet(
        path, row_group_size=30
    )
    return path


def write_folder(folder: Path) -> Path:
    for number, row in enumerate(rows(200)):
        path = folder / "pool" / row["label"] / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(row["text"])
    return folder / "pool"


INPUTS = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "folder": write_folder,
}


@pytest.fixture
def in_files(monkeypatch):
    """Return a function: from then on nothing stays in memory, and parts are short."""

    def put() -> None:
        for module in (records, information):
            monkeypatch.setattr(module, "MOST_IN_MEMORY", 1)
        monkeypatch.setattr(records, "_ROWS_PER_PART", 17)
        monkeypatch.setattr(damage, "_ROWS_TOGETHER", 0)
        monkeypatch.setattr(information, "_FEWEST_TEXTS", 5)
        monkeypatch.setattr(information, "_MOST_TEXTS", 5)

    return put


def files_of(run: Path) -> dict[str, object]:
    """Return what a run wrote: tables by their rows, other files by their bytes."""
    found: dict[str, object] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or name in ("manifest.json", "report.html"):
            continue
        is_table = path.suffix == ".parquet"
        found[name] = (
            pl.read_parquet(path).to_dict(as_series=False) if is_table else (path.read_bytes())
        )
    return found


@pytest.mark.parametrize("kind", INPUTS)
def test_a_run_writes_the_same_wherever_the_texts_are(kind, tmp_path, empty_cache, in_files):
    source = INPUTS[kind](tmp_path)
    asked = ("--scores", "ie", "--rule", "ie", "--keep", "0.3", "--max-rejected", "0.1")
    for name in ("memory", "files"):
        command("run", source, *asked, "--out", tmp_path / name)
        in_files()
    expected = files_of(tmp_path / "memory")
    assert len(expected["selection.parquet"]["id"]) > 200
    assert files_of(tmp_path / "files") == expected

    run = tmp_path / "files"
    assert isinstance(euds.read(source, max_rejected=0.1).wording, StoredRecords)
    assert isinstance(RunFolder(run).load_pool().wording, ParquetRecords)
    assert "sound" in command("verify", run)
    assert json.loads(command("replay", run, "--json"))["replayed"]
    for folder in (tmp_path / "memory", run):
        command("select", folder, "--rule", "ie", "--keep", "0.2", "--quota", "label=equal")
    assert files_of(run) == files_of(tmp_path / "memory")


def test_rows_are_shown_and_explained(tmp_path, empty_cache, in_files):
    source = write_jsonl(tmp_path)
    run = tmp_path / "run"
    command("run", source, "--scores", "ie", "--rule", "ie", "--keep", "0.3", "--out", run,
            "--max-rejected", "0.1")  # fmt: skip
    asked = (
        ("show", run, "--limit", 5, "--sort", "-ie", "--json"),
        ("show", run, "--limit", 5, "--sort", "text", "--json"),
        ("show", run, "--contains", "actor scene", "--limit", 3, "--json"),
        ("why", run, RunFolder(run).load_pool().rows["id"][150]),
    )
    in_memory = [command(*one) for one in asked]
    assert "actor scene" in in_memory[2]
    in_files()
    assert [command(*one) for one in asked] == in_memory


row_number = pl.int_range(pl.len())
GROUP_ROWS = 17


def change_texts(run: Path, texts: pl.Expr) -> None:
    """Change the texts of a run's pool, and make all checksums anew."""
    path = run / "pool.parquet"
    told = pl.read_parquet_metadata(path).items()
    metadata = {name: text for name, text in told if name.startswith("euds.")}
    changed = pl.read_parquet(path).with_columns(text=texts)
    changed.write_parquet(path, metadata=metadata, row_group_size=GROUP_ROWS)
    reseal(run)


def test_a_key_that_is_not_of_its_text_is_found_in_any_part(tmp_path, empty_cache, in_files):
    run = tmp_path / "run"
    in_files()
    command("run", write_csv(tmp_path), "--scores", "ie", "--rule", "ie", "--keep", "0.3",
            "--out", run)  # fmt: skip
    sample = RunFolder(run).load_pool().rows["id"][111]
    change_texts(run, pl.when(row_number == 111).then(pl.lit("other words")).otherwise("text"))
    output = command("verify", run, exit_code=1)
    assert "do not have the key of their text" in output
    assert f"1 rows, the first '{sample}'" in output


@pytest.mark.parametrize("first", [True, False])
def test_texts_that_only_some_parts_have_are_found(first, tmp_path, empty_cache, in_files):
    run = tmp_path / "run"
    in_files()
    command("run", write_csv(tmp_path), "--scores", "ie", "--rule", "ie", "--keep", "0.3",
            "--out", run)  # fmt: skip
    between = 6 * GROUP_ROWS  # no part has both
    change_texts(run, pl.when((row_number < between) ^ first).then("text"))
    assert "samples without a text" in command("verify", run, exit_code=1)


@pytest.mark.parametrize("by", ["label=equal", "language=equal", "name=sqrt"])
def test_quotas_are_the_same(by, tmp_path, empty_cache, in_files):
    in_memory = euds.read(write_csv(tmp_path))
    scores = euds.score(in_memory, ["ie"])
    expected = euds.select(in_memory, scores, rule="ie", keep=50, quota=by).ids
    in_files()
    aside = euds.read(tmp_path / "pool.csv")
    assert euds.select(aside, scores, rule="ie", keep=50, quota=by).ids == expected


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_ids_that_repeat_are_refused_alike(kind, tmp_path, in_files):
    source = INPUTS[kind](tmp_path)
    in_memory = euds.read(source, id="label", max_rejected=1.0)
    in_files()
    aside = euds.read(source, id="label", max_rejected=1.0)
    assert in_memory.frame["id"].to_list() == ["a", "b"]
    assert aside.frame.equals(in_memory.frame)
    assert aside.records.equals(in_memory.records)
    assert aside.rejected.equals(in_memory.rejected)
    assert "repeats the id 'a' of" in aside.rejected["reason"].str.join("; ").item()
    assert (aside.rejected["raw"].str.len_chars() > 5).all()


@pytest.mark.parametrize("kind", INPUTS)
def test_long_records_are_set_aside_early(kind, tmp_path, monkeypatch):
    source = INPUTS[kind](tmp_path)
    expected = euds.read(source, max_rejected=0.1)
    added = []
    add = records.RecordsAside.add
    monkeypatch.setattr(
        records.RecordsAside, "add", lambda self, part: [added.append(part.height), add(self, part)]
    )
    # What is written back counts as well: by their texts alone all rows would be one part.
    texts = expected.text_bytes + sum(map(len, expected.frame["context"].drop_nulls()))
    monkeypatch.setattr(samples, "_CHUNK_BYTES", texts)
    pool = euds.read(source, max_rejected=0.1)
    assert pool.frame.equals(expected.frame)
    assert pool.records.equals(expected.records)
    assert len(added) > 2  # texts and records of one part


def test_the_first_rows_of_jsonl_are_not_held_if_they_are_long(tmp_path, monkeypatch):
    source = write_jsonl(tmp_path)
    expected = euds.read(source, max_rejected=0.1)
    monkeypatch.setattr(jsonl, "_HEAD_BYTES", 500)
    reader = jsonl.JsonlReader(find_inputs([source]), None)
    assert 1 < len(reader._head) < 10
    assert euds.read(source, max_rejected=0.1).records.equals(expected.records)


MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "euds", *sys.argv[1:]], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
def test_long_texts_take_no_memory(tmp_path, empty_cache):
    rng = random.Random(0)
    asked = ("--scores", "ie", "--rule", "ie", "--keep", "0.16", "--near-duplicates", "keep")
    peaks = {}
    for words in (20, 1_000):
        source = tmp_path / f"{words}.jsonl"
        with source.open("w") as stream:
            for _ in range(100_000):
                stream.write(json.dumps({"text": " ".join(rng.choices(WORDS, k=words))}) + "\n")
        arguments = ("run", source, *asked, "--out", tmp_path / f"run-{words}")
        ran = subprocess.run(
            [sys.executable, "-c", MEASURED, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[words] = int(ran.stdout) / 1e6
    megabytes = source.stat().st_size / 1e6
    assert megabytes > 400
    assert peaks[1_000] - peaks[20] < megabytes / 2


def test_what_is_small_is_in_memory(tmp_path):
    pool = euds.read(write_jsonl(tmp_path), max_rejected=0.1)
    assert isinstance(pool.wording, HeldRecords)
    assert isinstance(pool.raw, HeldRecords)


@pytest.mark.parametrize("aside", [False, True])
def test_a_run_without_texts_finds_them_in_another_order(aside, tmp_path, in_files):
    if aside:
        in_files()
    whole = euds.read(write_csv(tmp_path))
    order = list(range(len(whole)))
    random.Random(1).shuffle(order)
    for rows in (order[:90], sorted(order[:90])):
        asked = replace(
            whole,
            rows=whole.rows[rows],
            wording=HeldRecords(whole.wording.read()[rows]),
            raw=HeldRecords(whole.raw.read()[rows]),
        )
        found = with_texts(asked.without_texts(), [str(tmp_path / "pool.csv")], tmp_path)
        assert found.frame.equals(whole.frame[rows])
        assert found.records.equals(whole.records[rows])


@pytest.mark.parametrize("aside", [False, True])
def test_records_of_pools_in_another_order_are_compared_by_id(aside, tmp_path, in_files):
    if aside:
        in_files()
    pool = euds.read(write_csv(tmp_path))
    turned = Pool.of(pool.frame.reverse(), pool.records.reverse(), pool.source)
    assert other_records(pool, turned) == (0, 0)
    changed = turned.records.with_columns(
        record=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("x,y")).otherwise("record")
    )
    assert other_records(pool, Pool.of(turned.frame, changed, pool.source)) == (0, 3)
