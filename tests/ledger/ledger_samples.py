"""A node's key, a clock that stands still, and ledgers with a few entries."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.clock import ManualClock
from hanse.entropy import Entropy, SeededEntropy
from hanse.ledger import Ledger, LedgerStore, MemoryStore

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw().hex()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
START = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


def new_ledger(
    store: LedgerStore | None = None,
    key: Ed25519PrivateKey = KEY,
    entropy: Entropy | None = None,
) -> Ledger:
    store = store if store is not None else MemoryStore()
    return Ledger(store, key, ManualClock(START), entropy)


def filled_ledger(store: LedgerStore | None = None, key: Ed25519PrivateKey = KEY) -> Ledger:
    ledger = new_ledger(store, key, SeededEntropy("salts"))
    ledger.append("contract", {"id": "spring-2026", "hash": "ab" * 32})
    ledger.append("job", {"job": "5a" * 32, "title": "Früh, spät"})
    ledger.append("reserve", {"epsilon": 0.1, "providers": ["media", "retailer"]})
    ledger.append("disclosure", {"cells": [120, None, 341], "noise": True})
    return ledger
