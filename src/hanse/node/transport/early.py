"""Frames of streams that are not open here yet: a peer may start a job's attempt a little sooner.

They wait within small bounds, by party; a stream over them is refused, and its peers are told.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from hanse.wire.message import Frame

MAX_EARLY_BYTES = 64 << 20
MAX_EARLY_FRAMES = 256
# What a waiting frame costs besides its payload.
_FRAME_BYTES = 1 << 10


class EarlyFrames:
    """The waiting frames. Not thread-safe: the exchange's lock guards it."""

    def __init__(self) -> None:
        self._streams: dict[bytes, list[tuple[str, Frame]]] = {}
        self._since: dict[bytes, float] = {}
        self._bytes: Counter[str] = Counter()
        self._frames: Counter[str] = Counter()

    def has_room(self, party: str, payload: int) -> bool:
        """Whether one more frame of ``party`` may wait."""
        return (
            self._frames[party] < MAX_EARLY_FRAMES
            and self._bytes[party] + payload + _FRAME_BYTES <= MAX_EARLY_BYTES
        )

    def hold(self, party: str, frame: Frame, now: float) -> None:
        """Keep a frame."""
        self._streams.setdefault(frame.stream, []).append((party, frame))
        self._since.setdefault(frame.stream, now)
        self._frames[party] += 1
        self._bytes[party] += _size(frame)

    def take(self, stream: bytes) -> list[tuple[str, Frame]]:
        """The waiting frames of ``stream`` in order of arrival; they wait no more."""
        self._since.pop(stream, None)
        frames = self._streams.pop(stream, [])
        for party, frame in frames:
            self._frames[party] -= 1
            self._bytes[party] -= _size(frame)
        return frames

    def drop_party(self, party: str) -> None:
        """Forget what ``party`` sent: its link ended, so the rest will not come."""
        for stream, since in list(self._since.items()):
            for sender, frame in self.take(stream):
                if sender != party:
                    self.hold(sender, frame, since)

    def older_than(self, moment: float) -> list[bytes]:
        """Streams whose first frame came before ``moment``."""
        return [stream for stream, since in self._since.items() if since < moment]


def _size(frame: Frame) -> int:
    body = frame.body
    return _FRAME_BYTES + (body.nbytes if isinstance(body, np.ndarray) else len(body))
