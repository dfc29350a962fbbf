"""Public commands give today what they gave when the golden files were written.

A line that differs is something that a user notices. If it is meant, write the files anew with
``python -m tests.promises.golden.record`` and let the diff be read.
"""

from __future__ import annotations

import json

import pytest

from tests.promises.golden.runs import EXPECTED, REAL, RUNS, golden, real_place, real_scores

# Nats. Processors round otherwise: without AVX512 the same model differs by up to 1e-5.
TOLERANCE = 1e-3


@pytest.mark.parametrize("name", RUNS)
def test_commands_with_the_toy_model_give_what_they_gave(name, tmp_path):
    expected = (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")
    assert golden(name, tmp_path).splitlines() == expected.splitlines()


@pytest.mark.models
def test_the_real_models_give_the_scores_and_the_rows_that_they_gave(tmp_path):
    expected = json.loads((EXPECTED / REAL).read_text(encoding="utf-8"))["rows"]
    found = real_scores(real_place(tmp_path))["rows"]
    for one, other in zip(found, expected, strict=True):
        near = {
            name: pytest.approx(value, abs=TOLERANCE) if isinstance(value, float) else value
            for name, value in other.items()
        }
        assert one == near
