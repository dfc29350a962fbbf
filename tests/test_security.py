"""What SECURITY.md promises of the source, and of wheels, whose checksums hide their insides.

Its other promises are tested from the outside: ``tests/promises/test_security.py``.
"""

from __future__ import annotations

import ast
import re
import stat
import zipfile
from pathlib import Path

import pytest

import euds
from euds.errors import EudsError
from euds.files import packages
from euds.files.packages import Package

SOURCE = Path(euds.__file__).parent

# ---- no code from data -----------------------------------------------------------------------

UNPICKLING = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "jsonpickle", "shelve"),
    *("marshal", "yaml", "pty", "ctypes"),
}
RUNNING = {
    *("eval", "exec", "compile", "__import__", "breakpoint"),
    *(
        "os.system",
        "os.popen",
        "torch.load",
        "numpy.load",
        "np.load",
        "np.fromfile",
        "runpy.run_path",
    ),
    *("pandas.read_pickle", "torch.hub.load"),
}


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_bytes())


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of an expression that is so written, else the last part of it."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls():
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield f"{name}:{node.lineno}", dotted(node.func), node


def test_nothing_is_imported_that_unpickles():
    for name, tree in modules():
        for node in ast.walk(tree):
            imported = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            assert not {one.partition(".")[0] for one in imported} & UNPICKLING, name


def test_nothing_is_called_that_runs_what_it_reads():
    for place, function, call in calls():
        assert function not in RUNNING, place
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "allow_pickle" not in named, place
        assert "shell" not in named, place
        if function.endswith("import_module"):
            # By a constant name, or by a name out of the table of what `euds` itself has.
            argument = call.args[0]
            own = isinstance(argument, ast.Subscript) and dotted(argument.value) == "_HOMES"
            assert own or isinstance(argument, ast.Constant), place


def test_every_model_is_loaded_without_its_own_code_and_without_a_network():
    seen = 0
    for place, function, call in calls():
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        asked = {"trust_remote_code": False, "local_files_only": True}
        if not function.endswith(".from_pretrained"):
            asked = {"trust_remote_code": False} if "trust_remote_code" in named else {}
        for option, value in asked.items():
            given = named.get(option)
            assert isinstance(given, ast.Constant), place
            assert given.value is value, place
        seen += bool(asked)
    assert seen >= 8


def test_no_csv_is_written_by_us():
    for place, function, _ in calls():
        ends = (".write_csv", ".write_excel", "csv.writer", ".DictWriter")
        assert not function.endswith(ends), place


# ---- files stay where they belong --------------------------------------------------------------


def make_wheel(path: Path, entries: dict[str, bytes], link: str | None = None) -> Package:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            if name == link:
                info.create_system = 3
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return Package("demo", "1.0", packages.checksum(path))


@pytest.mark.parametrize(
    "name",
    [
        "demo/data/../../../out.txt",
        "demo/data//etc/out.txt",
        "demo/data/C:/out.txt",
        "demo/data/..\\o",
    ],
)
def test_members_of_a_wheel_cannot_climb_out(tmp_path, empty_cache, monkeypatch, name):
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    package = make_wheel(wheel, {"demo/data/a.txt": b"fine", name: b"not fine"})
    monkeypatch.setattr(packages, "_download", lambda *_: wheel)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(EudsError, match="no path inside a package"):
        packages.fetch(package, ["demo/data/"])
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_link_in_a_wheel_becomes_a_plain_file(tmp_path, empty_cache, monkeypatch):
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    package = make_wheel(wheel, {"demo/data/link": b"/etc/passwd"}, link="demo/data/link")
    monkeypatch.setattr(packages, "_download", lambda *_: wheel)
    folder = packages.fetch(package, ["demo/data/"])["demo/data/"]
    assert not (folder / "link").is_symlink()
    assert (folder / "link").read_bytes() == b"/etc/passwd"


def test_every_promise_names_a_test_that_there_is():
    tests = Path(__file__).parent
    page = (tests.parent / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`([\w/]*test_\w+\.py)?(?:::(test_\w+))?`", page)
    checked, place = 0, ""
    for file, function in named:
        if not (file or function):
            continue
        place = file or place  # where no file is named it is the one before
        source = (tests / place).read_text("utf-8")
        assert not function or f"def {function}(" in source, (place, function)
        checked += 1
    assert checked > 40
    for line in page.splitlines():
        if line.startswith("| ") and not line.startswith("| promise"):
            assert "test_" in line, line
