"""The in-memory hall: all roles of a stream in one process, for tests and rehearsals.

A *tap* sees every frame and may return another one, drop it (``None``) or raise: that is how tests
read transcripts and how faults are injected. Frames go through the real codec, so what a rehearsal
can send, a node can send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hanse.errors import HanseError
from hanse.wire.codec import HEAD_BYTES, Header, encode
from hanse.wire.inbox import Inbox
from hanse.wire.message import STREAM_BYTES, Array, Frame, Kind

Tap = Callable[[Frame], Frame | None]


class Hall:
    """``roles`` seats around one table. `channel(role)` is that role's `Channel`."""

    def __init__(
        self,
        roles: int,
        *,
        names: tuple[str, ...] = (),
        tap: Tap | None = None,
        patience: float | None = 60.0,
    ) -> None:
        self.roles = roles
        self.tap = tap
        self.patience = patience
        self.inboxes = [Inbox(roles, names) for _ in range(roles)]
        self._stream = bytes(STREAM_BYTES)

    def channel(self, role: int) -> HallChannel:
        """The end of the hall that belongs to ``role``."""
        return HallChannel(self, role)

    def fail(self, error: HanseError) -> None:
        """End every wait in the hall: one role's error reaches all."""
        for inbox in self.inboxes:
            inbox.fail(error)

    def deliver(self, frame: Frame) -> None:
        """Hand over a frame, through the tap."""
        if self.tap is not None:
            tapped = self.tap(frame)
            if tapped is None:
                return
            frame = tapped
        self.inboxes[frame.target].put(frame)


class HallChannel:
    """A `Channel` within a `Hall`."""

    def __init__(self, hall: Hall, role: int) -> None:
        self._hall = hall
        self._sequence = [0] * hall.roles
        self.role = role

    def send(self, to: int, step: str, array: Array) -> None:
        head, payload = encode(
            Kind.ARRAY,
            bytes(STREAM_BYTES),
            self.role,
            to,
            self._sequence[to],
            step,
            array,
        )
        self._sequence[to] += 1
        header = Header(head[:HEAD_BYTES])
        self._hall.deliver(header.frame(head[HEAD_BYTES:], bytearray(payload)))

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        inbox = self._hall.inboxes[self.role]
        return inbox.take_array(source, step, dtype, shape, self._hall.patience)

    def next_frame(self, source: int, patience: float) -> Frame:
        return self._hall.inboxes[self.role].take(source, patience)
