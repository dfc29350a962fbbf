"""The Ray engine's tests are run again, or said to have no verdict, if Ray ends their process."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import loaded_script


@pytest.fixture
def runs(monkeypatch):
    """Let pytest end as told, one run after the other, with its report or without."""
    with loaded_script("scripts/test_ray.py") as script:

        def run(command, check):
            code, has_report = script.ends.pop(0)
            report = next(one for one in command if one.startswith("--junit-xml="))
            if has_report:
                Path(report.partition("=")[2]).write_text("<testsuites></testsuites>")
            return SimpleNamespace(returncode=code)

        monkeypatch.setattr(script.subprocess, "run", run)
        monkeypatch.setattr(script, "last_words", lambda: ["raylet.out: E lost"])
        yield script


@pytest.mark.parametrize(
    ("ends", "code", "told"),
    [
        ([(0, True)], 0, ""),
        ([(1, True)], 1, ""),
        ([(1, False), (0, True)], 0, "raylet.out: E lost"),
        ([(1, False), (1, True)], 1, "cut off with 1"),
        ([(-9, False), (1, False)], 0, "NOT TESTED"),
        ([(2, False)], 2, ""),
    ],
)
def test_only_a_run_without_a_verdict_is_run_again(runs, capsys, ends, code, told):
    runs.ends = list(ends)
    assert runs.main(["-q"]) == code
    assert runs.ends == []
    said = capsys.readouterr().out
    assert told in said
    assert ("NOT TESTED" in said) == (told == "NOT TESTED")
