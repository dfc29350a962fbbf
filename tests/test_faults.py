"""A handful of the faults that `benchmarks/faults.py` tries many times."""

import random

import pytest

from tests.conftest import loaded_script


@pytest.fixture(scope="module")
def faults():
    with loaded_script("benchmarks/faults.py") as module:
        yield module


@pytest.fixture(scope="module")
def whole(faults, tmp_path_factory):
    return faults.undisturbed(tmp_path_factory.mktemp("faults") / "whole")


@pytest.mark.parametrize(
    ("name", "during"),
    [
        ("killed", {"killed", "right result"}),
        ("file size limited", {"message of euds", "right result"}),
        ("store file truncated", {"right result"}),
        ("bit of a store file flipped", {"right result"}),
        ("store file unreadable", {"message of euds"}),
        ("run file damaged", {"message of euds", "right result"}),
        ("two at once on a damaged store", {"right result"}),
    ],
)
def test_the_same_command_ends_right(faults, whole, tmp_path, name, during):
    *meanwhile, last = faults.attempt(name, whole, tmp_path / "try", random.Random(name))
    assert set(meanwhile) <= during
    assert last == faults.RIGHT


@pytest.mark.parametrize("name", ["scores.parquet", "pool.parquet", "selection.parquet"])
def test_a_run_file_that_was_changed_is_not_selected_from(faults, whole, tmp_path, name):
    scene = faults.Scene(tmp_path, whole.right)
    faults.shutil.copytree(whole.run, scene.run)
    content = bytearray((scene.run / name).read_bytes())
    content[len(content) // 3] ^= 1
    (scene.run / name).write_bytes(content)
    command = ["show", "run"] if name == "selection.parquet" else ["select", "run", "--keep", "9"]
    process = scene.start([*scene.command()[:3], *command])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"{name}: a file of the run is not what was written" in stderr
