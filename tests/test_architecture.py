"""Imports point one way, and nothing heavy is loaded before it is needed."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import euds
from tests.conftest import loaded_script, make_pool

SOURCE = Path(euds.__file__).parent

# In the order of the work: a module may import from the lines above its own, and from its own
# package.
LAYERS = [
    "errors",
    "progress",
    "files",
    "pool",
    "reading",
    "writing",
    "models",
    "scoring",
    "selection",
    "proof",
    "runs",
    "reporting",
    "cli",
    "__main__",
]

HEAVY = {
    *("torch", "transformers", "sklearn", "scipy", "altair", "polars", "numpy", "py3langid"),
    *("ray", "fsspec"),
}


def modules():
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def imported_layers(path: Path) -> set[str]:
    """Return the parts of ``euds`` that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "euds":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("euds."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("euds.")
            }
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_up_the_list(path):
    layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    assert imported_layers(path) <= allowed


def test_the_list_is_complete():
    there = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in modules()}
    assert there == set(LAYERS)
    assert len(there | {"__init__", "py.typed"}) <= 18
    with loaded_script("scripts/tree_page.py") as script:
        page = script.order_of(script.PAGE.read_text(encoding="utf-8"))
    assert [name.removesuffix(".py").removesuffix("/") for name in page] == LAYERS


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """Return the modules of ``euds`` that a file imports, inside functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside | {node.module}) & known
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
    return found


def test_no_modules_import_each_other():
    names = {
        ".".join(("euds", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in modules()
    }
    graph = {name: imported_modules(path, set(names)) - {name} for name, path in names.items()}
    # A name in a package's own page is no step down: Python has begun with that page already.
    graph = {
        name: {to for to in found if not name.startswith(f"{to}.")} for name, found in graph.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # an error names the modules of a cycle


@pytest.mark.parametrize("start", ["import euds", "import euds.cli.app; euds.cli.app.app"])
def test_a_start_loads_nothing_heavy(start):
    script = f"{start}; import sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & set(ran.stdout.split())


def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom euds.cli.app import main\nsys.argv = ['euds', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "run" in ran.stdout
    assert not HEAVY & set(ran.stderr.split())


def test_the_public_names_are_there():
    for name in euds.__all__:
        assert getattr(euds, name) is not None
    assert dir(euds) == sorted(euds.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        euds.nothing  # noqa: B018


def test_a_scorer_cannot_see_a_label():
    from euds.pool.pool import Texts

    texts = make_pool(["one text"], labels=["secret-label"]).texts
    assert texts.frame.columns == ["key", "text", "context"]
    assert "secret-label" not in str(vars(texts))
    with pytest.raises(ValueError, match="columns must be"):
        Texts(texts.frame.with_columns(label=1))


def test_nothing_pickles_and_no_remote_code_is_trusted():
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert not names & {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}, path
        trusts = [
            word
            for word in ast.walk(tree)
            if isinstance(word, ast.keyword)
            and word.arg == "trust_remote_code"
            and getattr(word.value, "value", None) is not False
        ]
        assert not trusts, path
