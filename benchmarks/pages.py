"""Pages of docs/ with a part between two marks that a script makes from results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from euds.files.atomic import write_bytes_atomically

__all__ = ["DOCS", "fill_pages"]

DOCS = Path(__file__).parent.parent / "docs"


def fill_pages(texts: Mapping[str, str], *, mark: str, what: str) -> None:
    """Write each page's made part, or with ``--check`` fail if it is not what the results say.

    Parameters
    ----------
    texts : mapping of str to str
        The name of each page, and what is to stand between its two marks.
    mark : str
        The word of the marks.
    what : str
        One line for the help of the script.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--check", action="store_true", help="fail if a page is not up to date")
    given = parser.parse_args()
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    for name, text in texts.items():
        page = DOCS / f"{name}.md"
        old = page.read_text("utf-8")
        before, _, rest = old.partition(begin)
        _, _, after = rest.partition(end)
        new = f"{before}{begin}\n{text}\n{end}{after}"
        if not given.check:
            write_bytes_atomically(page, new.encode())
        elif old != new:
            sys.exit(f"{page} is not what the results say: run {Path(sys.argv[0]).name}")
