"""Nodes with real sockets on this machine, for the transport's tests."""

from __future__ import annotations

import contextlib
import itertools
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from hanse.clock import Clock, SystemClock
from hanse.entropy import SystemEntropy
from hanse.node.exchange import Exchange, Tap
from hanse.node.keys import Identity, create_identity
from hanse.node.partners import Directory, Partner
from hanse.node.timing import Timing

QUICK = Timing(
    heartbeat=0.3,
    lost_after=2.0,
    connect=2.0,
    retry_first=0.05,
    retry_most=0.5,
    fallback=0.6,
    early=2.0,
    linger=0.5,
)
_numbers = itertools.count()


def make_identity(
    folder: Path, party: str, *, clock: Clock | None = None, days: float = 30.0
) -> Identity:
    """Fresh keys for ``party`` in a folder of their own."""
    return create_identity(
        folder / f"{party}-{next(_numbers)}",
        party,
        f"{party} (test)",
        clock=clock or SystemClock(),
        entropy=SystemEntropy(),
        validity=timedelta(days=days),
    )


class Federation:
    """Exchanges that know each other; a node is started when it is added."""

    def __init__(self, folder: Path, timing: Timing = QUICK) -> None:
        self.folder = folder
        self.timing = timing
        self.identities: dict[str, Identity] = {}
        self.exchanges: dict[str, Exchange] = {}

    def identity(self, party: str) -> Identity:
        if party not in self.identities:
            self.identities[party] = make_identity(self.folder, party)
        return self.identities[party]

    def add(
        self,
        party: str,
        *,
        knows: tuple[str, ...],
        listens: bool = True,
        tap: Tap | None = None,
        clock: Clock | None = None,
        addresses: dict[str, tuple[str, int] | None] | None = None,
        memory: int = 1 << 30,
    ) -> Exchange:
        """Start a node that knows the named parties; listening ones must have been added before."""
        directory = Directory()
        for name in knows:
            known = self.exchanges.get(name)
            address = known.address if known is not None else None
            if addresses is not None and name in addresses:
                address = addresses[name]
            directory.put(Partner(self.identity(name).card, address))
        exchange = Exchange(
            self.identity(party),
            directory,
            listen=("127.0.0.1", 0) if listens else None,
            timing=self.timing,
            clock=clock,
            tap=tap,
            memory=memory,
        )
        self.exchanges[party] = exchange
        exchange.start()
        return exchange

    def close(self) -> None:
        for exchange in self.exchanges.values():
            exchange.close()


@contextlib.contextmanager
def federation(folder: Path, timing: Timing = QUICK) -> Iterator[Federation]:
    """A `Federation` that is closed at the end."""
    made = Federation(folder, timing)
    try:
        yield made
    finally:
        made.close()


def new_stream() -> bytes:
    """A stream id that no test used before."""
    return secrets.token_bytes(16)
