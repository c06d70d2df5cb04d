"""What a protocol sees of the network: typed arrays to and from numbered roles, in order."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from hanse.wire.message import Array, Frame


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


class PatientChannel(Channel, Protocol):
    """A `Channel` on which a role may also wait for a while only, for whatever a peer sends next.

    For protocols that go on without a peer that is silent or gone; nothing but order and replay is checked.
    """

    def next_frame(self, source: int, patience: float) -> Frame:
        """The next frame from role ``source``.

        `Fault` ``peer.silent`` if none comes for ``patience`` seconds (the stream goes on), `Foul` ``wire.missing``
        if ``source`` has ended its part.
        """
        ...
