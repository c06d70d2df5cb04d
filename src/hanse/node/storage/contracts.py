"""Stored contracts: the states that one can be in at a node, and the bundle that it is."""

from __future__ import annotations

import json

from hanse.contracts import Bundle
from hanse.node.storage.store import StoredContract

LIVE, PENDING, SUSPENDED, ENDED = "live", "pending", "suspended", "ended"


def bundle_of(stored: StoredContract) -> Bundle:
    """The bundle of a stored contract."""
    return Bundle.from_json(json.dumps(stored.bundle))
