"""A file is there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from euds.errors import StoreError
from euds.files.atomic import atomic_write, write_bytes_atomically


def test_a_file_appears_only_at_the_end(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_synced_before_it_takes_its_place(tmp_path, monkeypatch):
    events = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), real_sync(fd)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (events.append("rename"), real_replace(self, to))
    )
    write_bytes_atomically(tmp_path / "a", b"x")
    assert events[:2] == ["sync", "rename"]


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "out"
    for name in ("one", "two"):
        with atomic_write(path) as temporary:
            (temporary / "sub").mkdir(parents=True)
            (temporary / "sub" / name).write_text(name)
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["two"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_bytes_atomically(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"x"


def test_a_full_disk_is_an_error_of_ours(tmp_path):
    def fill():
        with atomic_write(tmp_path / "a"):
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        fill()


def test_a_long_name_has_room_for_its_mark(tmp_path):
    path = tmp_path / ("x" * 250)
    write_bytes_atomically(path, b"x")
    assert path.read_bytes() == b"x"
