"""Which stream a frame belongs to: the open streams of a node, and what came early or late."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hanse.clock import Clock
from hanse.errors import Fault, Foul, HanseError, Refusal, from_public
from hanse.node.transport.connection import MAX_CONTROL_BYTES, NO_STREAM
from hanse.node.transport.early import EarlyFrames
from hanse.node.transport.greeting import reported
from hanse.node.transport.streams import StreamEnds
from hanse.wire.codec import Header, canonical, parse_document
from hanse.wire.message import STREAM_BYTES, Frame, Kind

_log = logging.getLogger("hanse.node.transport.streams")
# Streams remembered after their end, so that late frames are ignored and an id is not used twice.
_REMEMBERED_STREAMS = 4096
_DONE = "stream.done"


class Switchboard:
    """The streams of the node of ``party``; is the `streams.Carrier` of each.

    ``post(party, frame)`` sends and may wait; ``spawn(function, name)`` runs a function in a thread
    of its own, for what must not wait. ``memory`` bounds the bytes that wait in all streams.
    """

    def __init__(
        self,
        party: str,
        clock: Clock,
        memory: int,
        *,
        post: Callable[[str, Frame], None],
        spawn: Callable[[Callable[[], None], str], None],
    ) -> None:
        self._party = party
        self._clock = clock
        self._post = post
        self._spawn = spawn
        self._lock = threading.Lock()
        self._streams: dict[bytes, StreamEnds] = {}
        self._opened: dict[bytes, float] = {}
        self._ended: OrderedDict[bytes, HanseError | None] = OrderedDict()
        self._early = EarlyFrames()
        self._admitted_early: dict[str, bytes] = {}
        self._memory_lock = threading.Lock()
        self._memory = memory

    def open(
        self,
        stream_id: bytes,
        roles: Sequence[tuple[str, str]],
        my_roles: Sequence[int],
        memory: int | None,
    ) -> StreamEnds:
        """See ``Exchange.open_stream``."""
        for role in my_roles:
            if not 0 <= role < len(roles) or roles[role][1] != self._party:
                raise Fault("stream.roles", f"role {role} of the stream is not this node's")
        if len(stream_id) != STREAM_BYTES or stream_id == NO_STREAM:
            raise Fault("stream.id", f"a stream id has {STREAM_BYTES} bytes that are not all zero")
        stream = StreamEnds(self, self._party, stream_id, roles, my_roles, memory=memory)
        with self._lock:
            if stream_id in self._streams or stream_id in self._ended:
                error = self._ended.get(stream_id)
                raise error or Refusal(
                    "stream.reused",
                    "a stream id is used for the second time",
                    remedy="start a new attempt of the job",
                )
            self._streams[stream_id] = stream
            self._opened[stream_id] = self._clock.monotonic()
            # Under the lock, so that what arrives now queues up behind what came early.
            for party, frame in self._early.take(stream_id):
                self._deliver_unreserved(stream, party, frame)
        return stream

    def streams(self) -> list[tuple[StreamEnds, float]]:
        """The open streams and since when (monotonic) each is open."""
        with self._lock:
            return [(stream, self._opened[name]) for name, stream in self._streams.items()]

    # What links deliver

    def admit(self, party: str, header: Header) -> bool:
        """Whether to read a frame of a stream (else skip it). A `Foul` ends the link."""
        if header.kind is Kind.DOCUMENT:
            raise Foul("wire.kind", "a document was sent within a stream")
        if header.kind is Kind.ABORT and header.payload > MAX_CONTROL_BYTES:
            raise Foul("wire.oversized", f"an abort of {header.payload} bytes is over the limit")
        with self._lock:
            stream = self._streams.get(header.stream)
            if stream is None:
                if header.stream in self._ended:
                    return False
                if self._early.has_room(party, header.payload):
                    self._admitted_early[party] = header.stream
                    return True
        if stream is None:
            self._refuse(header.stream, party)
            return False
        if header.kind is Kind.ABORT:
            return party in stream.others
        return stream.admit(party, header.source, header.target, header.payload)

    def deliver(self, party: str, frame: Frame) -> None:
        """Take an admitted frame of a stream."""
        with self._lock:
            early = self._admitted_early.pop(party, None) is not None
            stream = self._streams.get(frame.stream)
            if stream is None:
                if early and frame.stream not in self._ended:
                    self._early.hold(party, frame, self._clock.monotonic())
                return
        if early:  # opened between its admission and now
            self._deliver_unreserved(stream, party, frame)
        elif frame.kind is Kind.ABORT:
            _aborted(stream, party, frame)
        else:
            stream.deliver(party, frame)

    def lost(self, party: str, error: HanseError) -> None:
        """The link to ``party`` ended: so do all streams with it."""
        with self._lock:
            self._early.drop_party(party)
            self._admitted_early.pop(party, None)
        for stream, _ in self.streams():
            if party in stream.others:
                stream.fail(error, tell=stream.others - {party})

    def expire_early(self, before: float) -> None:
        """Refuse streams whose frames have waited since ``before`` (monotonic) for an opening."""
        with self._lock:
            old = self._early.older_than(before)
        for stream_id in old:
            self._refuse(stream_id)

    # What streams need (`streams.Carrier`)

    def post(self, party: str, frame: Frame) -> None:
        """See `streams.Carrier`."""
        self._post(party, frame)

    def reserve(self, count: int) -> bool:
        """See `streams.Carrier`."""
        with self._memory_lock:
            if count > self._memory:
                return False
            self._memory -= count
            return True

    def release(self, count: int) -> None:
        """See `streams.Carrier`."""
        with self._memory_lock:
            self._memory += count

    def stream_failed(self, stream: StreamEnds, error: HanseError, tell: Iterable[str]) -> None:
        """See `streams.Carrier`."""
        _log.info("a stream failed: %s", error)
        for party in tell:
            self._tell(party, stream.stream_id, error)

    def stream_closed(self, stream: StreamEnds, tell: Iterable[str]) -> None:
        """See `streams.Carrier`."""
        done = Fault(_DONE, "this party has done its part of the job")
        for party in tell:
            self._tell(party, stream.stream_id, done)
        with self._lock:
            self._streams.pop(stream.stream_id, None)
            self._opened.pop(stream.stream_id, None)
            self._remember(stream.stream_id, None)

    def _deliver_unreserved(self, stream: StreamEnds, party: str, frame: Frame) -> None:
        """Deliver a frame that was not admitted by the stream, because it was not open then."""
        if frame.kind is Kind.ABORT:
            if party in stream.others:
                _aborted(stream, party, frame)
            return
        size = frame.body.nbytes if isinstance(frame.body, np.ndarray) else 0
        if stream.admit(party, frame.source, frame.target, size):
            stream.deliver(party, frame)

    def _refuse(self, stream_id: bytes, *senders: str) -> None:
        """Never open this stream; tell those who sent to it."""
        late = Fault(
            "stream.late",
            f"data came for a job that the node of {self._party!r} has not started",
            remedy="check why that node is behind, then rerun the job",
            where=self._party,
        )
        with self._lock:
            if stream_id in self._streams or stream_id in self._ended:
                return
            tell = {sender for sender, _ in self._early.take(stream_id)} | set(senders)
            self._remember(stream_id, late)
        for party in tell:
            self._tell(party, stream_id, late)

    def _remember(self, stream_id: bytes, error: HanseError | None) -> None:
        self._ended[stream_id] = error
        while len(self._ended) > _REMEMBERED_STREAMS:
            self._ended.popitem(last=False)

    def _tell(self, party: str, stream_id: bytes, error: HanseError) -> None:
        body = canonical({"error": error.public()})
        frame = Frame(Kind.ABORT, stream_id, 0, 0, 0, "abort", body)

        def tell() -> None:
            try:
                self._post(party, frame)
            except HanseError as problem:
                _log.info("an abort did not reach %s: %s", party, problem)

        self._spawn(tell, f"tell-{party}")


def _aborted(stream: StreamEnds, party: str, frame: Frame) -> None:
    """A peer ended the stream: fail it here with the peer's error."""
    try:
        fields = parse_document(frame.body if isinstance(frame.body, bytes) else b"").get("error")
    except Foul:
        fields = None
    error = from_public(fields if isinstance(fields, dict) else {})
    if error.code == _DONE:
        # It was sent after the party's last array, on the same link.
        stream.finished(party)
    else:
        stream.fail(reported(error, party))
