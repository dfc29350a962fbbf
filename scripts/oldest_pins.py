"""Print the oldest version that pyproject.toml allows of each package, as pins for pip.

    python scripts/oldest_pins.py > pins.txt

``make test-oldest`` installs them and runs the tests of reading and of models.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS = ("lm", "train", "report", "remote")
# Of torch the oldest that was tried: older builds for a CPU alone are not on the package index.
TRIED = {"torch": "2.13.0"}
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9.]+)")


def oldest(project: dict[str, object]) -> dict[str, str]:
    """Return the lower bound of each package of the base and the extras."""
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(one for name in EXTRAS for one in extras[name])]  # type: ignore[index,misc]
    bounds = {found[1]: found[2] for one in listed if (found := _BOUND.match(one))}
    return {**bounds, **TRIED}


def main() -> None:
    """Print them."""
    page = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for name, version in sorted(oldest(tomllib.loads(page)["project"]).items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
