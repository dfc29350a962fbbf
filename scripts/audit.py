"""Look the pinned packages up in a database of known vulnerabilities.

    python scripts/audit.py

It asks PyPI's database, or else that of OSV, through pip-audit, which is installed into a folder of
its own that is removed afterwards. It ends with 0 if every package was looked up and nothing is
known of any, with 1 if something is known, and with 2 if some could not be looked up: that is no
all-clear, whatever pip-audit itself says of packages that it skips.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
SERVICES = ("pypi", "osv")
CLEAR, VULNERABLE, UNCHECKED = 0, 1, 2
_SHOWN = 5


@dataclass
class Answer:
    """What a database says of the packages.

    Parameters
    ----------
    checked : list of str
        The packages that were looked up.
    known : list of str
        What is known of them, one line each.
    skipped : list of str
        The packages that were not looked up, and why.
    """

    checked: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def main() -> int:
    """Return the exit code."""
    with tempfile.TemporaryDirectory(prefix="euds-audit-") as folder:
        python = _install(Path(folder))
        if python is None:
            print("NOT CHECKED: pip-audit cannot be installed; a package index must be in reach")
            return UNCHECKED
        for service in SERVICES:
            answer, why = _ask(python, service)
            if answer is not None and answer.checked:
                return report(answer, service)
            print(f"{service}: {why or _first(answer.skipped if answer else [])}")
    print("NOT CHECKED: no database of vulnerabilities is in reach of this machine")
    return UNCHECKED


def parse(text: str) -> Answer:
    """Return what pip-audit wrote as JSON."""
    answer = Answer()
    for package in json.loads(text)["dependencies"]:
        name = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            answer.skipped.append(f"{name}: {package['skip_reason']}")
            continue
        answer.checked.append(name)
        answer.known += [_told(name, one) for one in package["vulns"]]
    return answer


def report(answer: Answer, service: str) -> int:
    """Print what is known, and return the exit code."""
    print(f"{len(answer.checked)} packages looked up in the database of {service}")
    for line in answer.known:
        print(f"  {line}")
    if answer.skipped:
        print(f"NOT CHECKED: {len(answer.skipped)} packages, first {_first(answer.skipped)}")
    if answer.known:
        return VULNERABLE
    if answer.skipped:
        return UNCHECKED
    print("nothing is known of any")
    return CLEAR


def _told(name: str, vulnerability: dict[str, Any]) -> str:
    mended = ", ".join(vulnerability.get("fix_versions", [])) or "no version yet"
    return f"{name}: {vulnerability['id']}, mended in {mended}"


def _first(lines: list[str]) -> str:
    return "; ".join(lines[:_SHOWN]) or "no answer"


def _install(folder: Path) -> Path | None:
    """Install pip-audit into a folder; return its Python, None if that is not to be had."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "pip-audit"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return python if done.returncode == 0 else None


def _ask(python: Path, service: str) -> tuple[Answer | None, str]:
    """Return the answer of a database, or why there is none."""
    command = [str(python), "-m", "pip_audit", "--requirement", str(CONSTRAINTS)]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    command += ["--vulnerability-service", service]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return parse(done.stdout), ""
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or ["no answer"]
        return None, lines[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
