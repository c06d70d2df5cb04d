"""Keys that parties show one another where rows are aligned in the open and no seat takes part.

Roles are the parties of the model, from 0. Reveals: to every party the hashed keys of every other one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanse.learn.jobs.sealed import KeysSealed
from hanse.learn.jobs.terms import U64, Side
from hanse.learn.linear.keys import require_few, require_rising
from hanse.wire import Channel

_U64 = np.dtype("<u8")


def keys_in_common(
    channel: Channel, sides: Sequence[Side], ids: U64, part: str, sealed: KeysSealed | None = None
) -> U64:
    """The keys that all parties have, rising; ``ids`` [rows] rise, ``sides`` are the parties' by role.

    `Foul` ``learn.keys`` for more keys than a party's dataset may have rows, or keys that do not rise;
    ``model.swapped`` where one shows other keys than ``sealed`` binds it to.
    """
    others = [role for role in range(len(sides)) if role != channel.role]
    for other in others:
        channel.send(other, f"keys.{part}.count", np.array([ids.size], np.uint64))
        channel.send(other, f"keys.{part}", ids)
    found, shown = ids, {}
    for other in others:
        count = int(channel.receive(other, f"keys.{part}.count", _U64, (1,))[0])
        require_few(sides[other].party, count, sides[other].capacity)
        theirs = np.asarray(channel.receive(other, f"keys.{part}", _U64, (count,)))
        require_rising(sides[other].party, theirs)
        found = np.intersect1d(found, theirs)
        shown[sides[other].party] = theirs
    if sealed is not None:
        sealed.exchange(channel, {sides[role].party: role for role in others}, shown)
    return found
