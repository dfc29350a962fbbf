"""Which engine a command takes, and what it says if that cannot be had. No Ray is needed."""

import sys

import pytest
from typer.testing import CliRunner

from euds.cli.app import app
from euds.errors import MissingExtraError, OptionError
from euds.scoring.engines.ray import RayEngine


@pytest.fixture
def refused(tmp_path):
    """Run ``euds score`` with options and return what it says as it refuses them."""
    (tmp_path / "rows.jsonl").write_text('{"text": "a film"}\n')

    def run(*options):
        arguments = ["score", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "out")]
        ran = CliRunner().invoke(app, [*arguments, *options])
        assert ran.exit_code == 2
        return ran.stderr

    return run


def test_an_engine_that_there_is_none_of_is_refused(refused):
    said = refused("--engine", "rya")
    assert "there is no engine 'rya'" in said
    assert "did you mean 'ray'?" in said


def test_an_option_of_ray_without_ray_is_refused(refused):
    assert "--ray-address: that option is for the engine ray" in refused("--ray-address", "auto")


def test_without_ray_the_command_says_how_to_get_it(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    said = refused("--engine", "ray")
    assert "measuring on a Ray cluster needs the package 'ray" in said
    assert 'pip install "euds[ray]"' in said
    with pytest.raises(MissingExtraError):
        RayEngine()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": "ray://head:10001"}, "no address of a Ray cluster"),
        ({"address": "head"}, "no address of a Ray cluster"),
        ({"workers": 0}, "workers is too small"),
        ({"threads_per_worker": 0}, "threads per worker is too small"),
        ({"gpus_per_worker": -1}, "gpus per worker is too small"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(OptionError, match=message):
        RayEngine(**settings)
