"""Taps that do something to one frame of a job on its way out of a node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from hanse.node.transport.exchange import Sent
from hanse.wire.codec import encode
from hanse.wire.message import Frame, Kind

Change = Callable[[Frame], Sequence[Sent]]


class Meddler:
    """Changes the first array frame to ``party`` whose step fits the pattern, once; ``done`` says that it did."""

    def __init__(self, party: str, step: str, change: Change) -> None:
        self._party = party
        self._step = step
        self._change = change
        self._lock = threading.Lock()
        self.done = False

    def __call__(self, party: str, frame: Frame) -> Sequence[Sent]:
        fits = frame.kind is Kind.ARRAY and fnmatchcase(frame.step, self._step)
        if not (fits and party in (self._party or party)):
            return [frame]
        with self._lock:
            if self.done:
                return [frame]
            self.done = True
        return self._change(frame)


def replaced(frame: Frame, **fields: object) -> Frame:
    """The frame with other fields."""
    values = {name: getattr(frame, name) for name in Frame.__dataclass_fields__} | fields
    return Frame(**values)


def encoded(frame: Frame) -> bytes:
    """The frame as it crosses the wire."""
    head, payload = encode(
        frame.kind, frame.stream, frame.source, frame.target, frame.sequence, frame.step, frame.body
    )
    return head + bytes(payload)


def flipped(bit: int = 0, item: int = 0) -> Change:
    """One bit of one element flipped, in a copy: the array is still the sender's."""

    def change(frame: Frame) -> list[Sent]:
        body = np.array(frame.body)
        flat = body.reshape(-1)
        flat[item] ^= flat.dtype.type(1) << flat.dtype.type(bit)
        return [replaced(frame, body=body)]

    return change


def delayed(seconds: float) -> Change:
    def change(frame: Frame) -> list[Sent]:
        time.sleep(seconds)
        return [frame]

    return change
