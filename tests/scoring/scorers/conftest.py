"""Measuring through a store in a new folder, with the toy model."""

import pytest

from euds.models.sources import resolve
from euds.progress import SilentProgress
from euds.scoring.engines.local import LocalEngine
from euds.scoring.measuring import Measurer
from euds.scoring.store.disk import Store


@pytest.fixture
def measure(tmp_path):
    return Measurer(Store(tmp_path / "store"), LocalEngine(), SilentProgress())


@pytest.fixture(scope="session")
def toy():
    return resolve("toy")
