"""Run the tests of the Ray engine, on a machine that may not keep a Ray cluster alive.

    python scripts/test_ray.py [arguments for pytest]

When the part of Ray that a driver is connected to ends, Ray ends the driver too, at once and
without a word: then there is no verdict of pytest. Such a run says nothing of the tests. What Ray
wrote down is printed, and the tests are run once more; if they are cut off again, this says aloud
that the engine is not tested here, and ends with 0. A test that fails is a failure at once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parents[1] / "tests" / "scoring" / "engines" / "test_ray.py"
_RUNS = 2
_TAIL = 15  # lines
# How pytest itself ends: all passed, some failed, interrupted, internal error, usage, no tests.
_INTERRUPTED = 2


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    for run in range(1, _RUNS + 1):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", str(TESTS)]
            code = subprocess.run([*command, *arguments], check=False).returncode
            if code == 0 or code == _INTERRUPTED or ended(report):
                return code
        print(f"\nRun {run}: cut off with {code} and no verdict. What Ray wrote last:", flush=True)
        for line in last_words():
            print(f"    {line}")
    print(
        f"NOT TESTED: Ray lost its cluster on this machine {_RUNS} times; "
        "the Ray engine's tests have no verdict here.",
        flush=True,
    )
    return 0


def ended(report: Path) -> bool:
    """Return whether pytest came to its end and wrote its report."""
    try:
        return ElementTree.parse(report).getroot().tag == "testsuites"
    except (OSError, ElementTree.ParseError):
        return False


def last_words() -> list[str]:
    """Return the last lines of each part of Ray that wrote of an error."""
    logs = Path(tempfile.gettempdir()) / "ray" / "session_latest" / "logs"
    parts = ("raylet*.out", "raylet*.err", "gcs_server*", "dashboard_agent*", "python-core-driver*")
    told = []
    for path in sorted(path for pattern in parts for path in logs.glob(pattern)):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        wrong = [line for line in lines if any(one in line for one in (" E ", " C ", "ERROR"))]
        told += [f"{path.name}: {line[:300]}" for line in wrong[-_TAIL:]]
    return told or [f"(nothing of an error in {logs})"]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
