"""Put the figures of fuzz.py into docs/reading.md.

python benchmarks/fuzz_page.py [--check]
"""

from __future__ import annotations

import json

from fuzz import RESULTS, table
from pages import fill_pages


def main() -> None:
    """Write or check the page."""
    results = json.loads(RESULTS.read_text())
    counted = [one for one in results.values() if "crash" not in one]
    inputs = sum(one["executions"] for one in counted)
    minutes = sum(one["seconds"] for one in counted) / 60
    findings = sum(one["findings"] for one in counted) + len(results) - len(counted)
    slowest = max(one["slowest_seconds"] for one in counted)
    text = (
        f"The last campaign put {inputs:,} inputs to {len(results)} targets in {minutes:.0f} "
        f"minutes; {findings or 'none'} ended in anything but a result or an error of ours. The\n"
        f"slowest took {slowest:.1f} seconds.\n\n{table(results)}"
    )
    fill_pages({"reading": text}, mark="fuzzing", what="Put the figures of fuzz.py into the page.")


if __name__ == "__main__":
    main()
