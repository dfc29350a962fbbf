"""The script with Vega in it, and its place in the cache."""

import pytest

from euds.reporting import libraries


@pytest.fixture
def folder(empty_cache, monkeypatch):
    bundled = []

    def bundle():
        bundled.append("made")
        return "(() => {})();\n"

    monkeypatch.setattr(libraries, "_bundle", bundle)
    libraries.vega_script.cache_clear()
    yield empty_cache / "report", bundled
    libraries.vega_script.cache_clear()


def again():
    libraries.vega_script.cache_clear()
    return libraries.vega_script()


def test_it_is_made_once_and_then_read(folder):
    path, bundled = folder
    assert again() == again() == "(() => {})();\n"
    assert bundled == ["made"]
    assert len(list(path.iterdir())) == 1


def test_a_damaged_file_is_made_again(folder):
    path, bundled = folder
    again()
    (file,) = path.iterdir()
    for damage in (b"alert(1)", b"\xff\xfe"):
        file.write_bytes(damage)
        assert again() == "(() => {})();\n"
        assert file.read_bytes() == b"(() => {})();\n"
    assert len(bundled) == 3


def test_a_cache_that_cannot_be_written_does_not_matter(folder):
    path, _ = folder
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.write_text("a file where the cache should be")
    assert again() == "(() => {})();\n"
