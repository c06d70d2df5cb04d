"""Keys that parties show one another where rows are aligned in the open and no seat takes part.

Roles are the parties of the model, from 0. Reveals: to every party the hashed keys of every other one.
"""

from __future__ import annotations

import numpy as np

from hanse.errors import Foul
from hanse.learn.jobs.terms import U64
from hanse.wire import Channel

_U64 = np.dtype("<u8")
_MOST_KEYS = 1 << 31


def keys_in_common(channel: Channel, parties: int, ids: U64, part: str) -> U64:
    """The keys that all parties have, rising; ``ids`` [rows] rise."""
    others = [role for role in range(parties) if role != channel.role]
    for other in others:
        channel.send(other, f"keys.{part}.count", np.array([ids.size], np.uint64))
        channel.send(other, f"keys.{part}", ids)
    found = ids
    for other in others:
        count = int(channel.receive(other, f"keys.{part}.count", _U64, (1,))[0])
        if count > _MOST_KEYS:
            raise Foul("learn.keys", f"a party shows {count} keys", remedy="let it check its node")
        theirs = np.asarray(channel.receive(other, f"keys.{part}", _U64, (count,)))
        found = np.intersect1d(found, theirs)
    return found
