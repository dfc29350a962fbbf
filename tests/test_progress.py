"""What a person is told during a long stage."""

from euds.progress import TerminalProgress, format_seconds


def test_the_second_shard_tells_how_long_the_rest_takes(capsys):
    progress = TerminalProgress()
    progress.begin("stage", rows=1100, held=100)
    progress.advance("stage", rows=50, seconds=60.0)  # loading the model is in it
    assert "to go" not in capsys.readouterr().err
    progress.advance("stage", rows=50, seconds=5.0)
    told = capsys.readouterr().err
    # 900 texts are left, at 10 texts a second.
    assert "about 1 min 30 s to go at 10.0 texts/s" in told
    progress.end("stage")
    assert "100 texts in 1 min 5 s" in capsys.readouterr().err


def test_a_short_stage_needs_no_estimate(capsys):
    progress = TerminalProgress()
    progress.begin("stage", rows=100, held=0)
    for _ in range(2):
        progress.advance("stage", rows=50, seconds=0.1)
    assert "to go" not in capsys.readouterr().err


def test_durations_are_for_people():
    assert [format_seconds(one) for one in (0.25, 59.6, 61, 7322)] == [
        "0.2 s", "1 min 0 s", "1 min 1 s", "2 h 2 min",
    ]  # fmt: skip
