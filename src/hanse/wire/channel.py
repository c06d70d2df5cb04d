"""What a protocol sees of the network: typed arrays to and from numbered roles, in order."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from hanse.wire.message import Array


class Channel(Protocol):
    """One role's end of one stream (a job's attempt).

    ``send`` never waits for the receiver to ask. ``receive`` waits on progress and raises `Fault`
    (peer lost, job aborted) or `Foul` (wrong step, type, shape, order or a replay).
    """

    role: int

    def send(self, to: int, step: str, array: Array) -> None:
        """Send ``array``, named ``step``, to role ``to``."""
        ...

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        """The next array from role ``source``, which must be the named step, type and shape."""
        ...
