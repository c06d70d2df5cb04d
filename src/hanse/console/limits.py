"""How often somebody may try: token buckets by name, in memory, of a bounded number."""

from __future__ import annotations

import threading
from collections import OrderedDict

from hanse.clock import Clock
from hanse.errors import Refusal

_MOST_NAMES = 10_000


class Buckets:
    """``burst`` at once, then one every ``seconds``. The names longest not seen are forgotten."""

    def __init__(self, clock: Clock, burst: int, seconds: float) -> None:
        self._clock = clock
        self._burst = burst
        self._seconds = seconds
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Take one; `Refusal` ``request.often`` if there is none."""
        now = self._clock.monotonic()
        with self._lock:
            left, seen = self._left.pop(name, (float(self._burst), now))
            left = min(float(self._burst), left + (now - seen) / self._seconds)
            taken = left >= 1
            self._left[name] = (left - 1 if taken else left, now)
            if len(self._left) > _MOST_NAMES:
                self._left.popitem(last=False)
        if not taken:
            raise Refusal("request.often", "too many requests came from here",
                          remedy="wait a minute, then try again")  # fmt: skip
