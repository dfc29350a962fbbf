"""Files and folders that do not lie on this machine's disks, as ``fsspec`` finds and reads them.

Whatever goes wrong there is of one kind: an `InputError` while something is looked for, an
``OSError`` while it is read, as with a disk.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from euds.addresses import on_record, schemes
from euds.damage import first_line
from euds.errors import HIDDEN, InputError, MissingExtraError, did_you_mean

__all__ = ["RemotePath", "find_remote"]

_BUFFER_BYTES = 1 << 20
# Its files say where bytes are taken from, and may hold templates: they could lead anywhere.
_REFUSED = ("reference",)


@dataclass(frozen=True)
class RemotePath:
    """A file or a folder of a file system that is not this machine's.

    Parameters
    ----------
    filesystem : fsspec.AbstractFileSystem
        The file system.
    path : str
        Where it is there, as the file system writes it.
    name : str
        Its address as it is told and recorded, without secrets.
    kind : {"file", "folder", "other"}
        What it is.
    after : str
        What follows the path in its address: where the file system itself is, for an archive.
    """

    filesystem: Any
    path: str
    name: str
    kind: Literal["file", "folder", "other"] = "file"
    after: str = ""

    @property
    def file_name(self) -> str:
        """Its own name, whose end tells the format: without folders, query and archive."""
        own = self.name.removesuffix(self.after) if self.after else self.name
        return own.removesuffix(f"?{HIDDEN}").rstrip("/").rpartition("/")[2]

    def open(self, mode: Literal["rb"] = "rb") -> io.BufferedReader:
        """Open the file for reading.

        Raises
        ------
        OSError
            If it cannot be opened; likewise, while it is read, if it breaks off.
        """
        with _as_os_error():
            stream = self.filesystem.open(self.path, mode)
        return io.BufferedReader(_RemoteStream(stream), _BUFFER_BYTES)

    def below(self) -> list[str]:
        """Return the relative paths of all files in this folder and its sub-folders.

        Raises
        ------
        OSError
            If the folder cannot be read.
        """
        with _as_os_error():
            found = self.filesystem.find(self.path, detail=True)
        root = self.path.rstrip("/")
        return [
            path.removeprefix(root).lstrip("/")
            for path, told in found.items()
            if told["type"] == "file"
        ]

    def inside(self, relative: str) -> RemotePath:
        """Return a file of this folder."""
        own = self.name.removesuffix(self.after) if self.after else self.name
        path = f"{self.path.rstrip('/')}/{relative}" if self.path else relative
        joined = f"{own if own.endswith('://') else own.rstrip('/') + '/'}{relative}"
        return RemotePath(self.filesystem, path, joined + self.after, after=self.after)


def find_remote(address: str) -> list[RemotePath]:
    """Return what an address leads to: one file or folder, or all that match its pattern, sorted.

    Raises
    ------
    MissingExtraError
        If fsspec is not installed.
    InputError
        If the scheme is unknown, its package is not installed, or nothing is there.
    """
    told = on_record(address)
    filesystem, path = _file_system(address, told)
    before, after = _around(address, path)
    with _as_input_error(told, address):
        is_pattern = _is_pattern(path, address) and not filesystem.exists(path)
        if not is_pattern:
            return [RemotePath(filesystem, path, told, _kind(filesystem.info(path)), after)]
        found = filesystem.glob(path, detail=True)
    if not found:
        raise InputError(
            "no file matches the pattern",
            where=told,
            next_step="check the address and the pattern; quote it so that the shell leaves it",
        )
    return [
        RemotePath(filesystem, one, on_record(before + one + after), _kind(found[one]), after)
        for one in sorted(found)
    ]


def _fsspec(told: str) -> Any:
    try:
        return importlib.import_module("fsspec")
    except ImportError as error:
        raise MissingExtraError(
            error.name or "fsspec", extra="remote", purpose=f"reading {told}"
        ) from error


def _file_system(address: str, told: str) -> tuple[Any, str]:
    """Return the file system that an address names, and the path there."""
    fsspec = _fsspec(told)
    known = {*fsspec.available_protocols(), *fsspec.registry} - {*_REFUSED}
    for scheme in schemes(address):
        if scheme not in known:
            raise InputError(
                "there is no kind of address that begins so, or it is not read here",
                where=told,
                got=f"{scheme}://",
                expected=f"one that fsspec knows: {', '.join(sorted(known))}",
                next_step=did_you_mean(scheme, known)
                or f"if it is a folder of this name: ./{scheme}:/",
            )
    try:
        with _as_input_error(told, address):
            filesystem, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise InputError(
            "a package that is needed for this kind of address is not installed",
            where=told,
            got=first_line(error),
            next_step=_how_to_install(schemes(address)),
        ) from error
    return filesystem, str(path)


def _how_to_install(of: list[str]) -> str:
    """Return how to get the package of a scheme: fsspec has most of them as extras."""
    extras = importlib.metadata.metadata("fsspec").get_all("Provides-Extra") or []
    named = {"https": "http", "gcs": "gs", "s3a": "s3", "ssh": "sftp", "az": "abfs"}
    found = [named.get(scheme, scheme) for scheme in of]
    wanted = [extra for extra in found if extra in extras]
    if wanted:
        return f'pip install "fsspec[{",".join(wanted)}]"'
    return "install the package that it names"


def _around(address: str, path: str) -> tuple[str, str]:
    """Return what stands before and after a path in its address, so that others can be named.

    A chain of addresses names the path in its first part that has one.
    """
    parts = address.split("::")
    at = next(number for number, part in enumerate(parts) if "://" in part)
    own = parts[at].rstrip("/") if path else parts[at]
    start = own.removesuffix(path) if own.endswith(path) else own.partition("://")[0] + "://"
    after = "".join(f"::{part}" for part in parts[at + 1 :])
    return "::".join([*parts[:at], start]), on_record(after[2:]) and f"::{on_record(after[2:])}"


def _is_pattern(path: str, address: str) -> bool:
    # The question mark of an address on the web begins a query.
    is_web = "http" in "".join(schemes(address)[:1])
    return re.search(r"[*\[]" if is_web else r"[*?\[]", path) is not None


def _kind(told: dict[str, Any]) -> Literal["file", "folder", "other"]:
    kinds: dict[str, Literal["file", "folder"]] = {"file": "file", "directory": "folder"}
    return kinds.get(told["type"], "other")


@contextlib.contextmanager
def _as_input_error(told: str, address: str) -> Iterator[None]:
    """Let nothing but an `InputError` come out of looking for something."""
    try:
        with _as_os_error():
            yield
    except FileNotFoundError as error:
        raise InputError(
            "there is no such file or folder",
            where=told,
            got=_reason(error, told),
            next_step="check the address; a folder of an object store is there if files are in it",
        ) from error
    except OSError as error:
        raise InputError(
            "it cannot be found out what is at this address",
            where=told,
            got=_reason(error, told),
            next_step="check the address, the connection, and that you may read there; what "
            f"{'::'.join(schemes(address))} takes as credentials is told by its own package",
        ) from error


def _reason(error: OSError, told: str) -> str | None:
    reason = first_line(error)
    return None if reason.strip("/'\"") in told else reason


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Let nothing but an ``OSError`` come out of a file system, apart from a package's absence.

    Each of them raises the exceptions of what it is made of.
    """
    try:
        yield
    except (OSError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {first_line(error)}") from error


class _RemoteStream(io.RawIOBase):
    """The bytes of a remote file, one after the other; one that ends too soon is an error."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._size = getattr(stream, "size", None)
        self._read = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as many bytes as there is room for; 0 at the end."""
        view = memoryview(buffer)
        with _as_os_error():
            data = self._stream.read(len(view))
        self._read += len(data)
        if not data and len(view) and isinstance(self._size, int) and self._read < self._size:
            raise OSError(f"the file ends after {self._read:,} of {self._size:,} bytes")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            with _as_os_error():
                self._stream.close()
        super().close()
