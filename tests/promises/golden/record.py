"""Write down anew what the golden runs give: ``python -m tests.promises.golden.record [NAME]...``.

Read the diff before you commit it: each line that changes is something that users notice.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.promises.golden.runs import EXPECTED, REAL, RUNS, golden, real_place, real_scores


def record(names: list[str]) -> None:
    """Write the expected files of these pools; ``real`` is the run with the real models."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            if name == "real":
                place = real_place(Path(folder))
                told = json.dumps(real_scores(place), indent=1) + "\n"
                path = EXPECTED / REAL
            else:
                told, path = golden(name, Path(folder)), EXPECTED / f"{name}.txt"
        path.write_text(told, encoding="utf-8", newline="\n")
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    record(sys.argv[1:] or [*RUNS, "real"])
