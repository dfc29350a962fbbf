"""The ledger: where the seconds of a run went."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Ledger"]


@dataclass
class Ledger:
    """Seconds by stage, in the order in which the stages were first entered.

    >>> ledger = Ledger()
    >>> with ledger.stage("reading"):
    ...     pass
    >>> list(ledger.seconds)
    ['reading']
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent in the body to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to a stage."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
