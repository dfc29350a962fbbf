"""Fuzz every reader and every file of a run, the store and models, guided by coverage.

    python benchmarks/fuzz.py [--seconds 300] [--targets jsonl,csv]

Atheris puts inputs to each target in turn (https://github.com/google/atheris; libFuzzer changes
them, and keeps what reaches new code of euds). Whatever ends neither in a result nor in an error of
euds, or takes longer than half a minute or more than 8 GiB, is a finding. Each target has a process
of its own, which may crash.

The corpus, made small, is kept in ``benchmarks/corpus/``; the figures in
``benchmarks/results/fuzz.json``; findings stop at ``build/findings/``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
RESULTS = HERE / "results" / "fuzz.json"
FINDINGS = HERE.parent / "build" / "findings"
SLOWEST_SECONDS = 30
MOST_MEGABYTES = 8_192
KEPT_BYTES = 6_000  # of one target's corpus
TOKENS = (
    *(b'"', b"{}", b"[", b"]", b"null", b"\0", b"\n", b"\r", b"-1", b"1e999", b"9" * 20, b","),
    *(b"\\ud800", b"\xff\xff\xff\xff", b"true", b'""', b"\t", b"\xef\xbb\xbf", b"{text}", b"../"),
    *(b"\x00\x00\x00\x80", b"PAR1", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"[" * 60),
)


def main() -> None:
    """Fuzz the targets and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=300, help="for each target")
    parser.add_argument("--targets", help="names, comma separated; all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given, options = parser.parse_known_args()
    sys.path.insert(0, str(HERE.parent))
    if given.one:
        put_to(given.one, given.folder, options)
        return
    from tests.fuzz_targets import NAMES

    names = given.targets.split(",") if given.targets else list(NAMES)
    for name in names:
        found = campaign(name, given.seconds, given.seed)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = found
        RESULTS.write_text(
            json.dumps({one: results[one] for one in NAMES if one in results}, indent=1) + "\n"
        )
    print(table({name: json.loads(RESULTS.read_text())[name] for name in names}))


def campaign(name: str, seconds: int, seed: int) -> dict[str, Any]:
    """Fuzz one target, keep what is left of its corpus, and return the figures."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="euds-fuzz-") as place:
        folder = Path(place)
        (folder / "kept").mkdir()
        (folder / "tokens").write_text("\n".join(map(quoted, TOKENS)) + "\n", encoding="ascii")
        started = time.monotonic()
        log, code = child(
            name,
            folder,
            *(f"-max_total_time={seconds}", f"-seed={seed}", f"-dict={folder / 'tokens'}"),
            str(folder / "corpus"),
        )
        seconds_taken = time.monotonic() - started
        figures = json.loads((folder / "figures.json").read_text())
        if code != 0:
            return {"crash": code, "seconds": round(seconds_taken, 1), "log": log[-300:]}
        child(name, folder, "-set_cover_merge=1", str(folder / "kept"), str(folder / "corpus"))
        corpus = small(sorted((folder / "kept").iterdir(), key=lambda one: one.stat().st_size))
    CORPUS.mkdir(exist_ok=True)
    encoded = sorted(base64.b64encode(data).decode() for data in corpus)
    corpus_file(name).write_text(json.dumps(encoded, indent=0) + "\n")
    reached = re.search(r"DONE +cov: (\d+)", log)
    assert reached is not None, "libFuzzer says it when the time is up"
    return {
        **figures,
        "seconds": round(seconds_taken, 1),
        "coverage": int(reached[1]),
        "corpus": len(corpus),
    }


def child(name: str, folder: Path, *options: str) -> tuple[str, int]:
    """Let libFuzzer work on a target with its own options; return what it said and the status."""
    limits = (f"-timeout={SLOWEST_SECONDS}", f"-rss_limit_mb={MOST_MEGABYTES}")
    done = subprocess.run(
        [
            *command(name, folder),
            *(*limits, f"-artifact_prefix={FINDINGS}/", *options),
        ],
        env={**os.environ, "EUDS_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    return done.stderr.decode(errors="replace"), done.returncode


def command(name: str, folder: Path) -> list[str]:
    """Return how the process of a target is started."""
    own = [sys.executable, "-W", "ignore", str(Path(__file__).resolve())]
    return [*own, "--one", name, "--folder", str(folder)]


def corpus_file(name: str) -> Path:
    """Return where the corpus of a target is kept."""
    return CORPUS / f"{name.replace(' ', '-')}.json"


def quoted(token: bytes) -> str:
    """Return a token as an entry of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{one:02x}" for one in token) + '"'


def small(files: list[Path]) -> list[bytes]:
    """Return the contents of the first files, as far as they find room."""
    contents: list[bytes] = []
    for file in files:
        data = file.read_bytes()
        if sum(map(len, contents)) + len(data) <= KEPT_BYTES:
            contents.append(data)
    return contents


def table(results: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "| target | inputs tried | taken | places in the code reached | corpus | findings |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in results.items():
        if "crash" in one:
            lines.append(f"| {name} | | | | | the process ended with {one['crash']} |")
            continue
        lines.append(
            f"| {name} | {one['executions']:,} | {one['taken']:,} | {one['coverage']:,} | "
            f"{one['corpus']} | {one['findings']} |"
        )
    return "\n".join(lines)


# ---- in a process of its own ------------------------------------------------------------------


def put_to(name: str, folder: Path, options: list[str]) -> None:
    """Let libFuzzer put inputs to a target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["euds"]):
        from tests.fuzz_targets import target

        one = target(name)
        corpus = folder / "corpus"
        if not corpus.exists():
            corpus.mkdir()
            seeds = [one.unpack(packed) for packed in one.seeds]
            if corpus_file(name).exists():
                seeds += map(base64.b64decode, json.loads(corpus_file(name).read_text()))
            for number, data in enumerate(seeds):
                (corpus / f"seed-{number}").write_bytes(data)
        one(one.seeds[0])  # what is imported on the way is no part of the first input
        # To make a corpus small, libFuzzer starts what it takes for itself with other options.
        itself = folder / "itself"
        itself.write_text(f'#!/bin/sh\nexec {shlex.join(command(name, folder))} "$@"\n')
        itself.chmod(0o700)
        atheris.Setup([str(itself), *options], Watched(name, one, folder / "figures.json"))
        atheris.Fuzz()


class Watched:
    """A target whose inputs are counted, and what went wrong.

    The figures are written every second: libFuzzer ends the process when the time is up.
    """

    def __init__(self, name: str, target: Any, figures: Path) -> None:
        self._name, self._target, self._figures = name, target, figures
        self._findings: dict[str, bytes] = {}
        self._executions = self._taken = 0
        self._slowest = 0.0
        self._written = time.monotonic()
        self._write()

    def __call__(self, data: bytes) -> None:
        """Put an input to the target."""
        packed = self._target.pack(data)
        started = time.monotonic()
        try:
            self._taken += self._target(packed)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a panic of Rust is no Exception
            self._note(error, packed)
        ended = time.monotonic()
        self._executions += 1
        self._slowest = max(self._slowest, ended - started)
        if ended - self._written > 1:
            self._written = ended
            self._write()

    def _note(self, error: BaseException, packed: bytes) -> None:
        frames = [
            one for one in traceback.extract_tb(error.__traceback__) if "euds" in one.filename
        ]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        what = f"{type(error).__name__} at {place}: {str(error)[:80]}"
        if what not in self._findings:
            self._findings[what] = packed
            digest = hashlib.sha1(packed).hexdigest()[:12]
            (FINDINGS / f"{self._name.replace(' ', '-')}-{digest}").write_bytes(packed)

    def _write(self) -> None:
        figures = {
            "executions": self._executions,
            "taken": self._taken,
            "findings": len(self._findings),
            "what": sorted(self._findings)[:5],
            "slowest_seconds": round(self._slowest, 2),
        }
        self._figures.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
