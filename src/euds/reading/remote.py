"""Files and folders that do not lie on this machine's disks, as ``fsspec`` finds and reads them.

Whatever goes wrong there is of one kind: an `InputError` while something is looked for, an
``OSError`` while it is read, as with a disk.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any, Literal

from euds.errors import HIDDEN, InputError
from euds.files.addresses import on_record, schemes
from euds.files.file_systems import as_input_error, as_os_error, file_system_of

__all__ = ["RemotePath", "find_remote"]

_BUFFER_BYTES = 1 << 20


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
        with as_os_error():
            stream = self.filesystem.open(self.path, mode)
        return io.BufferedReader(_RemoteStream(stream), _BUFFER_BYTES)

    def below(self) -> list[str]:
        """Return the relative paths of all files in this folder and its sub-folders.

        Raises
        ------
        OSError
            If the folder cannot be read.
        """
        with as_os_error():
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
    filesystem, path = file_system_of(address, purpose="reading")
    before, after = _around(address, path)
    with as_input_error(address):
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
        with as_os_error():
            data = self._stream.read(len(view))
        self._read += len(data)
        if not data and len(view) and isinstance(self._size, int) and self._read < self._size:
            raise OSError(f"the file ends after {self._read:,} of {self._size:,} bytes")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            with as_os_error():
                self._stream.close()
        super().close()
