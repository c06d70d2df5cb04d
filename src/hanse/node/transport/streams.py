"""A node's ends of one stream (a job's attempt): a `Channel` for each role that it plays.

Frames to roles of other parties go over their links; frames between roles of this node stay in
memory. A stream fails once and for all: by its own `StreamEnds.abort`, by a peer's ABORT, by a lost
peer or by a peer that breaks the protocol; then every wait in it ends with that error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from hanse.errors import Fault, Foul, HanseError
from hanse.wire.codec import encode
from hanse.wire.inbox import Inbox
from hanse.wire.message import Array, Frame, Kind


class Carrier(Protocol):
    """What a stream needs of its exchange."""

    def post(self, party: str, frame: Frame) -> None:
        """Send a frame to a party."""
        ...

    def reserve(self, count: int) -> bool:
        """Take ``count`` bytes of the memory for waiting frames; false if there are not so many."""
        ...

    def release(self, count: int) -> None:
        """Give reserved bytes back."""
        ...

    def stream_failed(self, stream: StreamEnds, error: HanseError, tell: Iterable[str]) -> None:
        """A stream failed: send the error to the parties named by ``tell``, without waiting."""
        ...

    def stream_closed(self, stream: StreamEnds, tell: Iterable[str]) -> None:
        """A stream is finished here; forget it, and say so to the parties named by ``tell``."""
        ...


class StreamEnds:
    """This node's part of a stream; made by ``Exchange.open_stream``.

    ``roles`` is the role table of the job: (role name, party) by role number. ``memory`` bounds
    the bytes that wait here for this stream.
    """

    def __init__(
        self,
        carrier: Carrier,
        own_party: str,
        stream_id: bytes,
        roles: Sequence[tuple[str, str]],
        my_roles: Sequence[int],
        *,
        memory: int | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.roles = tuple(roles)
        self.parties = frozenset(party for _, party in roles)
        self.others = frozenset(self.parties - {own_party})
        self.error: HanseError | None = None
        names = tuple(f"{name} ({party})" for name, party in roles)
        self._carrier = carrier
        self._lock = threading.Lock()
        self._memory = memory
        self._reserved = 0
        self._closed = False
        self._inboxes = {role: Inbox(len(roles), names) for role in my_roles}
        self.channels = {role: NodeChannel(self, carrier, role) for role in my_roles}

    def channel(self, role: int) -> NodeChannel:
        """The channel of one of this node's roles."""
        return self.channels[role]

    def abort(self, error: HanseError) -> None:
        """Fail the stream here and tell all its other parties (public fields only). Idempotent."""
        self.fail(error, tell=self.others)

    def close(self) -> None:
        """This node's part is done, and the other parties hear it. Frames that still arrive are ignored.

        Idempotent.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            rest, self._reserved = self._reserved, 0
        self._carrier.release(rest)
        self._carrier.stream_closed(self, self.others if self.error is None else ())
        ended = Fault("stream.closed", "this job's stream is closed on this node")
        for inbox in self._inboxes.values():
            inbox.fail(ended)

    def fail(self, error: HanseError, *, tell: Iterable[str] = ()) -> None:
        """Fail the stream here; the first error stays."""
        with self._lock:
            if self.error is not None or self._closed:
                return
            self.error = error
        for inbox in self._inboxes.values():
            inbox.fail(error)
        self._carrier.stream_failed(self, error, tell)

    def finished(self, party: str) -> None:
        """``party`` has done its part: nothing more comes from its roles."""
        for role, (_, holder) in enumerate(self.roles):
            if holder == party:
                for inbox in self._inboxes.values():
                    inbox.finish(role)

    def check(self) -> None:
        """Raise the stream's error if it has failed or is closed."""
        if self.error is not None:
            raise self.error
        if self._closed:
            raise Fault("stream.closed", "this job's stream is closed on this node")

    # What arrives

    def admit(self, party: str, source: int, target: int, size: int) -> bool:
        """Whether to take a frame that ``party`` sends; a wrong one fails the stream."""
        if self.error is not None or self._closed:
            return False
        try:
            self._check_roles(party, source, target)
            self._reserve(size)
        except HanseError as error:
            self.fail(error, tell=self.others)
            return False
        return True

    def deliver(self, party: str, frame: Frame) -> None:
        """Put an admitted frame where its role will ask for it; a wrong one fails the stream."""
        try:
            inbox = self._inboxes.get(frame.target)
            if inbox is not None:
                inbox.put(frame)
        except HanseError as error:
            error.where = error.where or party
            self.fail(error, tell=self.others)

    def take(
        self, role: int, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        """The next array for ``role`` from ``source``; see `Channel.receive`."""
        self.check()
        array = self._inboxes[role].take_array(source, step, dtype, shape)
        self._give_back(array.nbytes)
        return array

    def take_frame(self, role: int, source: int, patience: float) -> Frame:
        """The next frame for ``role`` from ``source``, whatever it is; see `PatientChannel.next_frame`."""
        self.check()
        frame = self._inboxes[role].take(source, patience)
        self._give_back(frame.body.nbytes if isinstance(frame.body, np.ndarray) else 0)
        return frame

    def _give_back(self, count: int) -> None:
        with self._lock:
            given_back = min(count, self._reserved)
            self._reserved -= given_back
        self._carrier.release(given_back)

    def loop_back(self, frame: Frame) -> None:
        """Deliver a frame between two roles of this node."""
        self._reserve(frame.body.nbytes if isinstance(frame.body, np.ndarray) else 0)
        self._inboxes[frame.target].put(frame)

    def _reserve(self, count: int) -> None:
        with self._lock:
            over = self._memory is not None and self._reserved + count > self._memory
            if over or not self._carrier.reserve(count):
                raise Fault(
                    "node.memory",
                    "more data is waiting for this job than the node's memory limit allows",
                    remedy="raise limits.memory in hanse.toml, or run fewer or smaller jobs at a "
                    "time",
                )
            if not self._closed:
                self._reserved += count
                return
        self._carrier.release(count)

    def _check_roles(self, party: str, source: int, target: int) -> None:
        if source >= len(self.roles) or self.roles[source][1] != party:
            raise Foul(
                "wire.role",
                f"{party!r} sent a frame in the name of a role that it does not hold",
                remedy="ask that party about its node",
                where=party,
            )
        if target not in self._inboxes:
            raise Foul(
                "wire.role",
                f"{party!r} sent a frame for a role that this node does not hold",
                remedy="check that both nodes have the same version and the same contract",
                where=party,
            )


class NodeChannel:
    """A `Channel` between nodes. One protocol thread uses it at a time, or one per peer role.

    The counters count arrays that crossed the network: ``bytes_*`` their payload (a frame adds
    about 80 bytes, TLS 0.1 %), ``messages_*`` their number; what stays on this node is not counted.
    """

    def __init__(self, stream: StreamEnds, carrier: Carrier, role: int) -> None:
        self.role = role
        self.bytes_sent = 0
        self.bytes_received = 0
        self.messages_sent = 0
        self.messages_received = 0
        self._stream = stream
        self._carrier = carrier
        self._own = stream.roles[role][1]
        self._sequence = [0] * len(stream.roles)
        self._order = [threading.Lock() for _ in stream.roles]
        self._counting = threading.Lock()

    def send(self, to: int, step: str, array: Array) -> None:
        """Send ``array`` to role ``to``; it may be changed as soon as this returns."""
        stream = self._stream
        stream.check()
        party = stream.roles[to][1]
        with self._order[to]:
            sequence = self._sequence[to]
            if party == self._own:
                # Through the encoder for its checks; the copy is what a network would make.
                encode(Kind.ARRAY, stream.stream_id, self.role, to, sequence, step, array)
                body = np.ascontiguousarray(array).copy()
                stream.loop_back(self._frame(to, sequence, step, body))
                self._sequence[to] += 1
                return
            try:
                self._carrier.post(party, self._frame(to, sequence, step, array))
            except HanseError as error:
                # The connection's own end may have failed the stream with more to say.
                stream.fail(error, tell=stream.others)
                stream.check()
                raise
            self._sequence[to] += 1
        with self._counting:
            self.bytes_sent += array.nbytes
            self.messages_sent += 1

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        """The next array from role ``source``, which must be the named step, type and shape."""
        array = self._stream.take(self.role, source, step, dtype, shape)
        if self._stream.roles[source][1] != self._own:
            with self._counting:
                self.bytes_received += array.nbytes
                self.messages_received += 1
        return array

    def next_frame(self, source: int, patience: float) -> Frame:
        """The next frame from role ``source``, or `Fault` ``peer.silent``; see `PatientChannel`."""
        frame = self._stream.take_frame(self.role, source, patience)
        if self._stream.roles[source][1] != self._own and isinstance(frame.body, np.ndarray):
            with self._counting:
                self.bytes_received += frame.body.nbytes
                self.messages_received += 1
        return frame

    def _frame(self, to: int, sequence: int, step: str, body: Array) -> Frame:
        return Frame(Kind.ARRAY, self._stream.stream_id, self.role, to, sequence, step, body)
