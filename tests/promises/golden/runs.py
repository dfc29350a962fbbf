"""The golden runs: the commands, and what we write down of each.

Written down are exit codes, what a person reads, the bytes of subsets and the fate of each row.
What differs from day to day or from machine to machine (times, versions) is left out.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import polars as pl

from tests.promises.commands import Place, Ran
from tests.promises.golden.pools import POOLS, SHORT_TEXTS

__all__ = ["EXPECTED", "REAL", "RUNS", "golden", "real_place", "real_scores"]

EXPECTED = Path(__file__).parent / "expected"
REAL = "real-model.json"

# ID in a command is the first kept row of the folder `run`, DROPPED the first dropped one.
RUNS: dict[str, tuple[str, ...]] = {
    "films": (
        # Before the toy model answers it looks at the end of a text alone, so the text comes last.
        "run films.jsonl --text review --label stars --model toy --task sentiment"
        " --prompt 'One of {options}. {text}' --no-report",
        "select films-euds --rule igse --keep 12 --no-report --out run",
        "show run --kept",
        "show run --dropped --sort -ge --limit 3 --json",
        "show run --reason 'above igse' --contains film --sort ie",
        "why run ID",
        "why run DROPPED",
        "why run ID --json",
        "why run nobody",
        "select run --soft --keep-tokens 400 --no-report --out soft",
        "select run --soft --keep 10 --weights --no-report --out soft",
        "select run --rule igse --keep-tokens 400 --no-report --out tokens",
        "select run --rule ge --quota stars=equal --keep 9 --no-report --out quota",
        "select run --rule random --seed 3 --keep 25% --no-report --out drawn",
        "select run --rule ie --interval 0.3:0.7 --no-report --out middle",
        "select run --rule igse-and --interval ie=3.0:3.4 --no-report --out nats",
        "select run --rule longest --keep 5 --no-report --json --quiet --out longest",
        "select run --rule random-stratified --keep 10 --no-report --out labelled",
        "select run --use-labels --keep 10 --no-report --out labelled",
        "stability run --seeds 2",
        "verify run",
        "verify soft",
        "replay run --quiet --out replayed",
        # Mistakes.
        "run films.jsonl --keeep 5",
        "run nosuch.jsonl --text review --out run",
        "run films.jsonl --text reveiw",
        "run films.jsonl --text review --rule igsee",
        "run films.jsonl --text review --keep 2.5",
        "run films.jsonl --text '{review} {stars}' --label stars",
        "select run --rule ge --keep 5 --quota starz=equal",
        "select nosuch",
        "show run --kept --dropped",
        "frobnicate",
    ),
    "questions": (
        "run questions.csv --text question --context passage --label answer --task yes-no"
        " --prompt '{context} {text}' --calibration none --model toy --rule igse --keep 25%"
        " --no-report --out run",
        "select run --rule ie --keep 3 --always-keep q7,q11 --no-report --quiet --out always",
        "select run --rule ifd --keep 8 --no-report --out ifd",
        "run questions.csv --text question --context passage --scores ie,ge,ge_ifd --model toy"
        " --rule ifd --keep 8 --no-report --out ifd",
        "why ifd ID",
        "run questions.csv --text '{passage} {question}' --id question --scores ie --rule ie"
        " --keep 5 --no-report --out joined",
    ),
    "damaged": (
        "run damaged.jsonl --model toy --keep 10 --out run",
        "run damaged.jsonl --id name --max-rejected 0.2 --model toy --keep 10 --no-report"
        " --out run",
        "show run --reason duplicate",
        "show run --reason near-duplicate",
        "why run row-50",
        "select run --rule full --near-duplicates keep --no-report --out all",
        "select run --rule igse-dist --keep 0.2 --no-report --quiet --out near",
    ),
    "chats": (
        "score chats.jsonl --scores ie,ge --model toy --out run",
        "show run --limit 2",
        "select run --rule perplexity --keep 10 --no-report",
        "run chats.jsonl --scores ie --rule ie --keep 10 --no-texts --no-report --out bare",
        "show bare --kept --limit 3",
        "why bare ID",
        "select bare --rule shortest --keep 4 --no-report",
        "select run --no-texts --rule ge --keep 6 --no-report --quiet",
    ),
    "news": (
        "run nouvelles.tsv.gz --model toy --rule igse --keep 0.25 --no-report --out run",
        "run nachrichten --model toy --rule ge --keep 6 --no-report --out blätter",
        "select blätter --rule random-stratified --keep 4 --no-report --quiet --out stratified",
        "run nachrichten nouvelles.tsv.gz --out mixed",
    ),
}


def golden(name: str, folder: Path) -> str:
    """Give the commands of a pool, and return all that is written down of them."""
    place = Place(folder)
    POOLS[name](folder)
    parts = [f"{one.name} {_digest(one)}" for one in sorted(folder.iterdir())]
    seen: list[list[str]] = []
    for line in RUNS[name]:
        ran = place.euds(*_words(line, place), check=None)
        parts += ["", f"$ euds {line}", f"exit code {ran.exit_code}", *_said(ran, folder)]
        for manifest in sorted(folder.glob("*/manifest.json")):
            run = manifest.parent
            for told in (
                ["-- scores", *_scores(run)],
                [f"-- {run.name}/", *_fates(run)],
            ):
                if told not in seen:  # only what this command made or changed
                    seen.append(told)
                    parts += told
    return "\n".join(parts) + "\n"


def _words(line: str, place: Place) -> list[str]:
    words = shlex.split(line)
    if not {"ID", "DROPPED"} & set(words):
        return words
    rows = place.selection(words[1])
    named = {
        "ID": rows.filter(pl.col("kept"))["id"][0],
        "DROPPED": rows.filter(~pl.col("kept"))["id"][0],
    }
    return [named.get(word, word) for word in words]


def _said(ran: Ran, folder: Path) -> Iterator[str]:
    for name, text in (("stdout", ran.stdout), ("stderr", ran.stderr)):
        lines = [one for one in _normalised(text, folder).split("\n") if one]
        if lines:
            yield f"-- {name}"
            yield from lines


def _normalised(text: str, folder: Path) -> str:
    text = text.replace(str(folder.resolve()), "FOLDER").replace(str(folder), "FOLDER")
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"(\d+ h )?(\d+ min ?)?(\b\d+(\.\d+)? s\b)", "N s", text)
    text = re.sub(r'"(\w*seconds\w*)": \{[^}]*\}', r'"\1": {}', text)
    text = re.sub(r"\d+(\.\d+)? texts/s", "N texts/s", text)
    text = re.sub(r"euds \d+\.\d+\.\d+\S*", "euds VERSION", text)
    # The last digits are those of one processor.
    text = re.sub(r"-?\d+\.\d{6,}(e-?\d+)?", lambda one: f"{float(one[0]):.5f}", text)
    lines = (re.sub(r"[─│╭╮╰╯]+", "", line).rstrip() for line in text.split("\n"))
    # Only a slow machine says how long it still has to go.
    return "\n".join(line for line in lines if not line.endswith(" to go"))


def _scores(run: Path) -> Iterator[str]:
    """Yield a line a row: its id and its scores."""
    rows = pl.read_parquet(run / "scores.parquet")
    names = [name for name in ("words", "ie", "ge", "ge_ifd", "se") if name in rows.columns]
    yield "  ".join(["id", *names])
    for row in rows.select("id", *names).iter_rows():
        yield "  ".join(map(_number, row))


def _fates(run: Path) -> Iterator[str]:
    """Yield the names of a run's files, and what became of each row and why."""
    yield ", ".join(sorted(one.name for one in run.iterdir()))
    for one in sorted(run.glob("subset*")):
        yield f"sha256 of {one.name}: {_digest(one)}"
    if (run / "rejected.jsonl").exists():
        for line in (run / "rejected.jsonl").read_text(encoding="utf-8").splitlines():
            yield f"rejected: {line}"
    if not (run / "selection.parquet").exists():
        return
    rows = pl.read_parquet(run / "selection.parquet")
    extra = [name for name in ("duplicate_of", "inclusion") if name in rows.columns]
    for row in rows.iter_rows(named=True):
        assert row["kept"] == (row["reason"] is None)
        beside = (f"{name} {_number(row[name])}" for name in extra if row[name] not in (None, 0, 1))
        yield "  ".join([row["id"], row["reason"] or "KEPT", *beside])


def _number(value: float | str | None) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, unpacked; of a folder, of all names and bytes."""
    digest = hashlib.sha256()
    if path.is_dir():
        for one in sorted(path.rglob("*")):
            if one.is_file():
                digest.update(f"{one.relative_to(path).as_posix()}\0{_digest(one)}\n".encode())
    else:
        content = path.read_bytes()
        # Two versions of zlib pack the same bytes in two ways.
        digest.update(gzip.decompress(content) if path.suffix == ".gz" else content)
    return digest.hexdigest()


def real_place(folder: Path) -> Place:
    """Return a place whose cache has this machine's models and nothing else."""
    cache = Path(os.environ.get("EUDS_CACHE") or platformdirs.user_cache_dir("euds"))
    (folder / "cache").mkdir()
    for part in ("models", "packages"):
        (folder / "cache" / part).symlink_to(cache / part)
    return Place(folder)


def real_scores(place: Place) -> dict[str, list[dict[str, object]]]:
    """Score a few texts with the real models, and return every row's scores and fate."""
    rows = (json.dumps({"id": f"t{n:02d}", "text": text}) for n, text in enumerate(SHORT_TEXTS))
    (place / "texts.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    place.euds(
        *("run", "texts.jsonl", "--task", "sentiment", "--options", "bad,good"),
        *("--precision", "float32", "--rule", "igse", "--keep", "10", "--no-report", "--quiet"),
        *("--out", "run"),
    )
    names = ("words", "ie", "ge", "ge_nll", "ge_gap", "se", "se_option")
    scores = pl.read_parquet(place / "run" / "scores.parquet").select("id", *names)
    rows = scores.join(place.selection().select("id", "kept", "reason"), on="id", how="left")
    rounded = rows.with_columns(pl.col(pl.Float64, pl.Float32).cast(pl.Float64).round(4))
    return {"rows": rounded.to_dicts()}
