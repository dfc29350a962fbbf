"""What a person reads during a long stage: above all, how long it will still take."""

import json
from itertools import accumulate
from pathlib import Path

import pytest

from euds.progress import TerminalProgress, TimeLeft, format_seconds

RECORDED = Path(__file__).parents[1] / "benchmarks" / "results" / "time_left.json"


def recorded_stages():
    found = json.loads(RECORDED.read_text(encoding="utf-8"))
    return [
        pytest.param(stage, id=f"{name} on {cores}")
        for cores, one in found.items()
        for name, stage in one["stages"].items()
    ]


@pytest.mark.parametrize("stage", recorded_stages())
def test_the_time_left_of_real_stages_is_within_a_factor_of_one_and_a_half(stage):
    left = TimeLeft(stage["work"])
    ends = list(accumulate(seconds for _, seconds, _ in stage["shards"]))
    done = list(accumulate(work for work, _, _ in stage["shards"]))
    told = [left.after(work, seconds=took, begun=begun) for work, took, begun in stage["shards"]]
    assert all(one is None for one, work in zip(told, done, strict=True) if work < 0.05 * done[-1])
    # It comes in the first third, and stays true; a user hears nothing of less than 20 s.
    heard = [(one, ends[-1] - end) for one, end in zip(told, ends, strict=True) if (one or 0) > 20]
    assert next(work for one, work in zip(told, done, strict=True) if one) < done[-1] / 3
    assert heard or ends[-1] < 20
    for announced, truth in heard:
        assert truth / 1.5 <= announced <= truth * 1.5


def test_texts_of_unlike_length_and_workers_in_step_mislead_nobody():
    # Two workers, a token a second each: shards of 100 and of 300 tokens end in pairs.
    left = TimeLeft(1600)
    told = [
        left.after(work, seconds=seconds, begun=begun)
        for work, seconds, begun in [
            *((100, 100, 900), (100, 0, 800), (300, 300, 600), (300, 0, 400)),
            *((100, 100, 400), (100, 0, 300)),
        ]
    ]
    assert told[:2] == [None, None]  # at the first pair anything would be a guess
    assert told[3] == pytest.approx(400, rel=0.3)
    assert told[5] == pytest.approx(300, rel=0.3)


def test_a_cluster_that_is_handed_everything_at_once_is_waited_for_a_while():
    left = TimeLeft(1000)
    assert [left.after(100, seconds=10, begun=1000 - done) for done in (100, 200, 300)] == [
        None,
        80.0,
        70.0,
    ]


def test_the_time_left_is_announced_once_and_then_told_every_minute(capsys):
    progress = TerminalProgress()
    progress.begin("stage", rows=1100, held=100)
    progress.advance("stage", rows=50, seconds=9.0)
    assert "to go" not in capsys.readouterr().err
    progress.advance("stage", rows=50, seconds=5.0, left=90.0)
    assert "about 1 min 30 s to go; cheaper: a smaller --max-tokens" in capsys.readouterr().err
    progress.advance("stage", rows=50, seconds=50.0, left=80.0)
    assert "to go" not in capsys.readouterr().err
    progress.advance("stage", rows=50, seconds=50.0, left=70.0)
    assert "200 done, about 1 min 10 s to go" in capsys.readouterr().err
    progress.end("stage")
    assert "200 texts in 1 min 54 s" in capsys.readouterr().err


def test_a_short_stage_needs_no_estimate(capsys):
    progress = TerminalProgress()
    progress.begin("stage", rows=100, held=0)
    progress.advance("stage", rows=50, seconds=0.1, left=0.1)
    assert "to go" not in capsys.readouterr().err


def test_durations_are_for_people():
    assert [format_seconds(one) for one in (0.25, 59.6, 61, 7322)] == [
        "0.2 s", "1 min 0 s", "1 min 1 s", "2 h 2 min",
    ]  # fmt: skip
