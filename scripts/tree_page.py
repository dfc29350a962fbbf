"""Write the tree at the top of docs/architecture.md from the first lines of the docstrings.

    python scripts/tree_page.py [--check]

The page decides the order of the packages, which is the order of the work; the files decide the
rest. With ``--check`` nothing is written, and the exit code is 1 if the page is not up to date.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
SOURCE = ROOT / "src" / "euds"
_TREE = re.compile(r"(?<=```\nsrc/euds/\n).*?(?=```)", re.DOTALL)


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0]


def order_of(page: str) -> list[str]:
    """Return the entries directly in ``src/euds``, in the page's order."""
    return re.findall(r"^  ([a-z_]+(?:/|\.py))", _TREE.findall(page)[0], re.MULTILINE)


def lines_of(entry: Path, indent: str) -> list[str]:
    """Return the line of a file; of a package also those of everything in it."""
    if entry.is_file():
        return [f"{indent}{entry.name:<{32 - len(indent)}} {first_line(entry)}"]
    name = f"{entry.name}/"
    lines = [f"{indent}{name:<{32 - len(indent)}} {first_line(entry / '__init__.py')}"]
    inside = filter(is_module, entry.iterdir())
    for path in sorted(inside, key=lambda path: (path.is_dir(), path.name)):
        lines += lines_of(path, indent + "  ")
    return lines


def is_module(path: Path) -> bool:
    """Return whether a path is a module or package with a line of its own."""
    is_package = (path / "__init__.py").exists()
    return is_package or (path.suffix == ".py" and path.name != "__init__.py")


def main() -> int:
    """Write the page, or check it."""
    page = PAGE.read_text(encoding="utf-8")
    there = {path.name for path in SOURCE.glob("*.py") if is_module(path)}
    there |= {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}
    order = order_of(page)
    if set(order) != there:
        print(f"docs/architecture.md lists other packages: {sorted(set(order) ^ there)}")
        return 1
    tree = "\n".join(line for name in order for line in lines_of(SOURCE / name, "  "))
    written = _TREE.sub(lambda _: tree + "\n", page, count=1)
    if "--check" not in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    elif written != page:
        print("docs/architecture.md is not up to date: run 'make docs'")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
