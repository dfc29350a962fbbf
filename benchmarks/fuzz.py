"""Fuzz every reader and every file of a run, the store and models, guided by coverage.

    python benchmarks/fuzz.py [--seconds 300] [--targets jsonl,csv]

For each target in turn, inputs are changed at random, and those that reach new lines of euds are
kept and changed further. Whatever ends neither in a result nor in an error of euds, or takes
longer than half a minute or more than 8 GiB, is a finding. Each target runs in a process of its
own, in which one input after another is tried and the lines are watched that it reaches.

The corpus, made small, is kept in ``benchmarks/corpus/``; the figures in
``benchmarks/results/fuzz.json``; findings stop at ``build/findings/``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
RESULTS = HERE / "results" / "fuzz.json"
FINDINGS = HERE.parent / "build" / "findings"
SLOWEST_SECONDS = 30
MOST_BYTES = 8 << 30
LONGEST = 4_096  # bytes of one input
KEPT_BYTES = 6_000  # of one target's corpus
TOKENS = (
    *(b'"', b"{}", b"[", b"]", b"null", b"\0", b"\n", b"\r", b"-1", b"1e999", b"9" * 20, b","),
    *(b"\\ud800", b"\xff\xff\xff\xff", b"true", b'""', b"\t", b"\xef\xbb\xbf", b"{text}", b"../"),
    *(b"\x00\x00\x00\x80", b"PAR1", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"[" * 600),
)


class Slow(BaseException):
    """An input took too long."""


def main() -> None:
    """Fuzz the targets and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="for each target")
    parser.add_argument("--targets", help="names, comma separated; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    os.environ["HF_HUB_OFFLINE"] = "1"
    if given.one:
        print(json.dumps(fuzz(given.one, given.seconds, given.seed)))
        return
    from tests.fuzz_targets import NAMES

    names = given.targets.split(",") if given.targets else list(NAMES)
    for name in names:
        found = in_a_process(name, given.seconds, given.seed)
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = found
        RESULTS.write_text(
            json.dumps({one: results[one] for one in NAMES if one in results}, indent=1) + "\n"
        )
    print(table({name: json.loads(RESULTS.read_text())[name] for name in names}))


def in_a_process(name: str, seconds: float, seed: int) -> dict[str, Any]:
    """Fuzz a target in a process of its own, which may crash."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", name]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    with tempfile.TemporaryDirectory(prefix="euds-fuzz-cache-") as cache:
        done = subprocess.run(
            command,
            env={**os.environ, "EUDS_CACHE": cache, "EUDS_FUZZ_LAST": f"{cache}/last"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what Rust says of its panics
            text=True,
        )
        lines = done.stdout.splitlines()
        if done.returncode == 0 and lines:
            result: dict[str, Any] = json.loads(lines[-1])
            return result
        last = Path(cache) / "last"
        data = last.read_bytes() if last.exists() else b""
        keep_finding(name, data)
        return {"crash": done.returncode, "input": base64.b64encode(data[:300]).decode()}


def keep_finding(name: str, data: bytes) -> None:
    """Put an input aside for whoever mends what it broke."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    (FINDINGS / f"{name.replace(' ', '-')}-{hashlib.sha1(data).hexdigest()[:12]}").write_bytes(data)


# ---- one target ------------------------------------------------------------------------------


def fuzz(name: str, seconds: float, seed: int) -> dict[str, Any]:
    """Change inputs of a target for some seconds; return the figures."""
    from tests.fuzz_targets import target

    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    one = target(name)
    one(one.seeds[0])  # what is imported on the way would take long while lines are watched
    campaign = Campaign(name, one.pack, one)
    seeds = [one.unpack(packed) for packed in one.seeds]
    place = CORPUS / f"{name.replace(' ', '-')}.json"
    if place.exists():
        seeds += [base64.b64decode(text) for text in json.loads(place.read_text())]
    for data in seeds:
        campaign.put(data)
    campaign.start(seconds)
    campaign.loop(seed)
    corpus = smallest(campaign.kept, campaign.put_quietly)
    CORPUS.mkdir(exist_ok=True)
    encoded = sorted(base64.b64encode(data).decode() for data in corpus)
    place.write_text(json.dumps(encoded, indent=0) + "\n")
    return {
        "executions": campaign.executions,
        "taken": campaign.taken,
        "seconds": round(campaign.seconds, 1),
        "lines": len(campaign.seen),
        "corpus": len(corpus),
        "findings": len(campaign.findings),
        "what": sorted(campaign.findings)[:5],
        "slowest_seconds": round(campaign.slowest, 2),
    }


class Campaign:
    """Inputs put to one target, the lines of euds that they reach, and what went wrong."""

    def __init__(
        self, name: str, pack: Callable[[bytes], bytes], run: Callable[[bytes], bool]
    ) -> None:
        self._name, self._pack, self._run = name, pack, run
        self._source = str(HERE.parent / "src" / "euds")
        self._last = Path(os.environ["EUDS_FUZZ_LAST"])
        self._end = time.monotonic()
        self.seen: set[tuple[str, int]] = set()
        self.kept: dict[bytes, set[tuple[str, int]]] = {}
        self.findings: dict[str, bytes] = {}
        self.executions = self.taken = 0
        self.slowest = self.seconds = 0.0

    def start(self, seconds: float) -> None:
        """Count from now on."""
        self._started = time.monotonic()
        self._end = self._started + seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    def put(self, data: bytes) -> bool:
        """Put an input to the target; return whether it reached lines that no other had."""
        self.executions += 1
        packed = self._pack(data)
        self._last.write_bytes(packed)
        started = time.monotonic()
        reached = self._traced(packed)
        self.slowest = max(self.slowest, time.monotonic() - started)
        new = reached - self.seen
        if new:
            self.seen |= new
            self.kept[data] = reached
        return bool(new)

    def put_quietly(self, data: bytes) -> set[tuple[str, int]]:
        """Return the lines that an input reaches, and count nothing."""
        return self._traced(self._pack(data), count=False)

    def _traced(self, packed: bytes, *, count: bool = True) -> set[tuple[str, int]]:
        reached: set[tuple[str, int]] = set()

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            if not frame.f_code.co_filename.startswith(self._source):
                return None
            if event == "line":
                reached.add((frame.f_code.co_filename[len(self._source) :], frame.f_lineno))
            return trace

        def late(*_: Any) -> None:
            raise Slow

        signal.signal(signal.SIGALRM, late)
        signal.alarm(SLOWEST_SECONDS)
        sys.settrace(trace)
        try:
            taken = self._run(packed)
            self.taken += taken and count
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a panic of Rust is no Exception
            sys.settrace(None)
            if count:
                self._note(error, packed)
        finally:
            sys.settrace(None)
            signal.alarm(0)
        return reached

    def _note(self, error: BaseException, packed: bytes) -> None:
        frames = [
            one for one in traceback.extract_tb(error.__traceback__) if "euds" in one.filename
        ]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        what = f"{type(error).__name__} at {place}: {str(error)[:80]}"
        if what not in self.findings:
            self.findings[what] = packed
            keep_finding(self._name, packed)

    def loop(self, seed: int) -> None:
        """Change the inputs kept until the time is up, the latest of them most often."""
        rng = random.Random(seed)
        while not self.over:
            kept = list(self.kept)
            near = kept[-8:] if rng.random() < 0.5 else kept
            self.put(changed(rng.choice(near), rng, kept))
        self.seconds = time.monotonic() - self._started


def changed(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Return an input with one to eight changes."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(data) + 1)
        what = rng.randrange(7)
        if what == 0:
            data = data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + 1 :]
        elif what == 1 and data:
            at %= len(data)
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif what == 2:
            data = data[:at] + data[at + rng.randint(1, 30) :]
        elif what == 3:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif what == 4:
            start = rng.randrange(len(data) + 1)
            data = data[:at] + data[start : start + rng.randint(1, 40)] + data[at:]
        elif what == 5:
            other = rng.choice(others)
            data = data[:at] + other[rng.randrange(len(other) + 1) :]
        elif rng.random() < 0.3:
            data = data[:at]
    return data[:LONGEST]


def smallest(
    kept: dict[bytes, set[tuple[str, int]]], reach: Callable[[bytes], set[tuple[str, int]]]
) -> list[bytes]:
    """Return few short inputs that together reach all lines, as far as they find room."""
    left = set().union(*kept.values()) if kept else set()
    chosen: list[bytes] = []
    for data in sorted(kept, key=len):
        gain = kept[data] & left
        if gain and sum(map(len, chosen)) + len(data) <= KEPT_BYTES:
            shorter = next((one for one in _halves(data) if gain <= reach(one)), data)
            chosen.append(shorter)
            left -= gain
    return chosen


def _halves(data: bytes) -> Iterator[bytes]:
    middle = len(data) // 2
    yield data[:middle]
    yield data[: middle + middle // 2]


def table(results: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "| target | inputs tried | taken | lines reached | corpus | findings |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in results.items():
        if "crash" in one:
            lines.append(f"| {name} | | | | | the process ended with {one['crash']} |")
            continue
        lines.append(
            f"| {name} | {one['executions']:,} | {one['taken']:,} | {one['lines']:,} | "
            f"{one['corpus']} | {one['findings']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
