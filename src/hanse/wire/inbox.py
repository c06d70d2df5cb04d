"""Where frames wait until a protocol asks for them; order, replay, type and size are checked here."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np

from hanse.errors import Fault, Foul, HanseError
from hanse.wire.message import Array, Frame, Kind

# What one role may have sent ahead of its reader. Protocols run in lock step, so only uploads come
# near it; a peer that goes over it is flooding.
MAX_WAITING_BYTES = 4 << 30


# What an empty frame takes in memory, about.
_FRAME_BYTES = 512


def _size(frame: Frame) -> int:
    body = frame.body
    return _FRAME_BYTES + (body.nbytes if isinstance(body, np.ndarray) else len(body))


class Inbox:
    """The frames of one stream for one role, by source. Thread-safe.

    `fail` ends every wait at once with the given error: that is how a lost peer, an abort or a
    cancel reaches a protocol that is waiting.
    """

    def __init__(self, roles: int, names: tuple[str, ...] = ()) -> None:
        self._names = names
        self._queues: list[deque[Frame]] = [deque() for _ in range(roles)]
        self._next = [0] * roles
        self._waiting = [0] * roles
        self._finished = [False] * roles
        self._ready = threading.Condition()
        self._error: HanseError | None = None

    def _name(self, source: int) -> str:
        return self._names[source] if source < len(self._names) else f"role {source}"

    def put(self, frame: Frame) -> None:
        """Accept a frame; `Foul` if it is out of order, a replay, or too much."""
        source = frame.source
        if not 0 <= source < len(self._queues):
            raise Foul("wire.role", f"a frame comes from the unknown role {source}")
        size = _size(frame)
        with self._ready:
            if frame.sequence != self._next[source]:
                what = "replayed" if frame.sequence < self._next[source] else "out of order"
                raise Foul(
                    "wire.order",
                    f"a frame from {self._name(source)} is {what}",
                    where=frame.step,
                    remedy="rerun the job; if it happens again, ask that party about its node",
                )
            if self._waiting[source] + size > MAX_WAITING_BYTES:
                raise Foul("wire.flood", f"{self._name(source)} sent more than may wait")
            self._next[source] += 1
            self._waiting[source] += size
            self._queues[source].append(frame)
            self._ready.notify_all()

    def fail(self, error: HanseError) -> None:
        """End all waits with ``error`` (the first one given stays)."""
        with self._ready:
            if self._error is None:
                self._error = error
            self._ready.notify_all()

    def finish(self, source: int) -> None:
        """``source`` sends no more: whoever waits for more of it gets a `Foul`."""
        with self._ready:
            self._finished[source] = True
            self._ready.notify_all()

    def take(self, source: int, patience: float | None = None) -> Frame:
        """The next frame from ``source``; waits for it, at most ``patience`` seconds if given."""
        with self._ready:
            ready = self._ready.wait_for(
                lambda: self._queues[source] or self._finished[source] or self._error is not None,
                patience,
            )
            # A frame that arrived before the failure is still refused: a failed job must not go on.
            if self._error is not None:
                raise self._error.again()  # many threads may raise it, each with its own trace
            if not ready:
                raise Fault(
                    "peer.silent",
                    f"{self._name(source)} sent nothing for {patience:g} s",
                    remedy="check that its node is running, then rerun the job",
                )
            if not self._queues[source]:
                raise Foul(
                    "wire.missing",
                    f"{self._name(source)} ended its part and left out what it was to send",
                    remedy="rerun the job; if it happens again, ask that party about its node",
                )
            frame = self._queues[source].popleft()
            self._waiting[source] -= _size(frame)
            return frame

    def take_array(
        self,
        source: int,
        step: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        patience: float | None = None,
    ) -> Array:
        """The next frame from ``source``, checked to be the array that the protocol expects."""
        frame = self.take(source, patience)
        if frame.kind is not Kind.ARRAY or not isinstance(frame.body, np.ndarray):
            raise Foul("wire.kind", f"{self._name(source)} sent no array", where=step)
        if frame.step != step:
            raise Foul(
                "wire.step",
                f"{self._name(source)} is at step {frame.step!r}, not {step!r}",
                where=step,
                remedy="check that both nodes run the same Hanse version",
            )
        if frame.body.dtype != dtype or frame.body.shape != shape:
            raise Foul(
                "wire.shape",
                f"{self._name(source)} sent {frame.body.dtype}{list(frame.body.shape)}, "
                f"expected {dtype}{list(shape)}",
                where=step,
            )
        return frame.body
