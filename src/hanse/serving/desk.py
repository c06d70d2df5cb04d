"""What the API knows: who may read, what it counted, and answers that are ready.

Reading a figure must take well under a millisecond, so consumers, product versions and the latest answers are kept
in memory and looked up again every `REFRESH` seconds: a revoked key works at most so much longer, a new figure is
seen at most so much later. Usage is added up in memory and written every `REFRESH` seconds and at the end; a crash
loses at most that much of the count.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from hanse.clock import Clock
from hanse.errors import HanseError, Refusal
from hanse.node.products.consumers import Consumer, key_hash
from hanse.node.storage.store import Store

_log = logging.getLogger("hanse.serving")
REFRESH = 1.0
MOST_ANSWERS = 100_000
_BURST = 2.0  # seconds of a consumer's rate that may come at once


@dataclass(frozen=True, slots=True)
class Answer:
    """A body that is ready, its ETag, and how many values it holds (what is metered)."""

    body: bytes
    tag: str
    values: int


@dataclass(slots=True)
class _Tab:
    """One consumer's day so far."""

    allowance: float
    seen: float
    used: int = 0


@dataclass(slots=True)
class _Kept:
    version: int = -1
    answers: OrderedDict[str, Answer] = field(default_factory=OrderedDict)


class Desk:
    """The API's memory over a node's store. Thread-safe."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._consumers: dict[str, Consumer] = {}
        self._hashes: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._kept: dict[str, _Kept] = {}
        self._tabs: dict[str, _Tab] = {}
        self._used: dict[tuple[str, str], list[int]] = {}
        self._day = clock.now().date()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.refresh()

    def start(self) -> None:
        """Look things up again from now on."""
        self._thread = threading.Thread(target=self._keep_up, name="hanse-serving", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what was counted, and stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        self.settle()

    def _keep_up(self) -> None:
        while not self._stop.wait(REFRESH):
            try:
                self.settle()
                self.refresh()
            except HanseError as error:
                _log.error("the API could not reach its store: %s", error)

    def refresh(self) -> None:
        """Look up consumers, versions and, on a new day, usage."""
        today = self._clock.now().date()
        consumers = self.store.consumers.all()
        versions = self.store.publications.versions()
        used: dict[str, int] = {}
        for row in self.store.consumers.usage(today, today):
            used[row["consumer"]] = used.get(row["consumer"], 0) + int(row["values"])
        with self._lock:
            self._consumers = consumers
            self._versions = versions
            if today != self._day:
                self._day, self._tabs = today, {}
            waiting = {
                c: sum(v for (who, _), (_, v) in self._used.items() if who == c) for c in used
            }
            for name, values in used.items():
                tab = self._tab(name)
                tab.used = max(tab.used, values + waiting.get(name, 0))

    def settle(self) -> None:
        """Write the usage counted since the last time."""
        with self._lock:
            day, used, self._used = self._day, self._used, {}
        if not used:
            return
        try:
            self.store.consumers.count(day, {k: (v[0], v[1]) for k, v in used.items()})
        except HanseError:
            with self._lock:  # it is written with the next
                for key, (requests, values) in used.items():
                    have = self._used.setdefault(key, [0, 0])
                    have[0] += requests
                    have[1] += values
            raise

    # --- who may read ---------------------------------------------------------------------------

    def admit(self, key: str, scope: str, product: str = "") -> Consumer:
        """The consumer that holds ``key``, if it may read ``product`` now; any scope will do for "".

        Raises `Refusal` ``api.key``, ``api.expired``, ``api.scope``, ``api.rate`` or ``api.quota``.
        """
        hashed = self._hashes.get(key)
        if hashed is None:
            hashed = key_hash(key)
            if hashed in self._consumers:  # only keys that exist are remembered
                self._hashes[key] = hashed
        consumer = self._consumers.get(hashed)
        if consumer is None or consumer.state != "live":
            raise Refusal("api.key", "the request has no key that is known here",
                          remedy="send 'Authorization: Bearer KEY' with the key of this consumer")  # fmt: skip
        if consumer.expires is not None and self._day >= consumer.expires:
            raise Refusal("api.expired", f"the key of {consumer.name} ended on {consumer.expires}",
                          remedy="ask the operator of this node for a new one")  # fmt: skip
        if scope and not consumer.may(scope, product):
            what = f"{scope} of {product[:64]}" if product else scope
            raise Refusal("api.scope", f"{consumer.name} may not read {what}",
                          remedy="ask the operator of this node for the scope")  # fmt: skip
        self._take_turn(consumer)
        return consumer

    def _take_turn(self, consumer: Consumer) -> None:
        now = self._clock.monotonic()
        with self._lock:
            tab = self._tab(consumer.name)
            most = max(1.0, _BURST * consumer.rate)
            tab.allowance = min(most, tab.allowance + (now - tab.seen) * consumer.rate)
            tab.seen = now
            if tab.used >= consumer.quota:
                raise Refusal("api.quota", f"{consumer.name} has read its {consumer.quota:,} values of today",
                              remedy="wait until tomorrow (UTC), or ask for a larger quota")  # fmt: skip
            if tab.allowance < 1.0:
                raise Refusal("api.rate", f"{consumer.name} asks more than {consumer.rate:g} times a second",
                              remedy="ask more slowly, or in batches")  # fmt: skip
            tab.allowance -= 1.0

    def _tab(self, name: str) -> _Tab:
        tab = self._tabs.get(name)
        if tab is None:
            tab = self._tabs[name] = _Tab(float("inf"), self._clock.monotonic())
        return tab

    def left(self, consumer: Consumer) -> int:
        """Values of today's quota that are left."""
        with self._lock:
            return max(0, consumer.quota - self._tab(consumer.name).used)

    def count(self, consumer: Consumer, product: str, values: int) -> None:
        """Meter one request."""
        with self._lock:
            have = self._used.setdefault((consumer.name, product), [0, 0])
            have[0] += 1
            have[1] += values
            self._tab(consumer.name).used += values

    # --- answers --------------------------------------------------------------------------------

    def version(self, product: str) -> int:
        """How often the product was published; `Refusal` ``api.unknown`` if there is none of that name."""
        version = self._versions.get(product)
        if version is None:
            raise Refusal("api.unknown", f"there is no product {product[:64]!r} here",
                          remedy="see GET /v1/products")  # fmt: skip
        return version

    def answer(self, product: str, name: str, make: Callable[[], Answer]) -> Answer:
        """The answer ``name`` for the product's version of now, made if it is not ready."""
        version = self.version(product)
        with self._lock:
            kept = self._kept.setdefault(product, _Kept())
            if kept.version != version:
                kept.version, kept.answers = version, OrderedDict()
            ready = kept.answers.get(name)
            if ready is not None:
                kept.answers.move_to_end(name)
                return ready
        made = make()
        with self._lock:
            if kept.version == version:
                kept.answers[name] = made
                if len(kept.answers) > MOST_ANSWERS:
                    kept.answers.popitem(last=False)
        return made

    @property
    def today(self) -> date:
        return self._day
