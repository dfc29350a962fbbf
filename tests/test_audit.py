"""The audit of the pinned packages never takes an answer that was not given for an all-clear."""

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import loaded_script

SAFE = {"name": "a", "version": "1", "vulns": []}
KNOWN = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture(scope="module")
def audit():
    with loaded_script("scripts/audit.py") as module:
        yield module


@pytest.mark.parametrize(
    ("packages", "code", "told"),
    [
        ([SAFE], 0, "nothing is known"),
        ([SAFE, KNOWN], 1, "b 2: CVE-1, mended in 3"),
        ([SAFE, SKIPPED], 2, "NOT CHECKED: 1 packages, first c: Dependency not found"),
        ([KNOWN, SKIPPED], 1, "NOT CHECKED"),
    ],
)
def test_only_an_answer_for_every_package_is_an_all_clear(audit, capsys, packages, code, told):
    answer = audit.parse(json.dumps({"dependencies": packages}))
    assert audit.report(answer, "pypi") == code
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("answers", [[], [SKIPPED]])
def test_no_database_in_reach_is_no_all_clear(audit, capsys, monkeypatch, answers):
    monkeypatch.setattr(audit, "_install", lambda folder: Path(sys.executable))
    answer = audit.parse(json.dumps({"dependencies": answers}))
    monkeypatch.setattr(audit, "_ask", lambda python, service: (answer, ""))
    assert audit.main() == 2
    assert "NOT CHECKED: no database" in capsys.readouterr().out
    monkeypatch.setattr(audit, "_install", lambda folder: None)
    assert audit.main() == 2
