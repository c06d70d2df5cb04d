"""The exchange of one node: its port, its links, its streams and its requests.

    exchange = Exchange(identity, directory, listen=("0.0.0.0", 7470))
    exchange.on_request(answer)                     # answer(party, document) -> document
    exchange.start()
    ends = exchange.open_stream(stream_id, roles=[("seat 0", "media"), ...], my_roles=[0])
    ends.channel(0).send(1, "masks", array)
    exchange.request("retailer", {"ask": "permit"})
    exchange.close()

Errors are a `HanseError` each; those of a peer name it in ``where``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hanse.clock import Clock, SystemClock
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Fault, Foul, HanseError
from hanse.node.identity.keys import Identity
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.connection import NO_STREAM
from hanse.node.transport.greeting import Greeter, Hello, Met, NotMet
from hanse.node.transport.links import Link, LinkStatus, stopping
from hanse.node.transport.listener import Listener, Refused
from hanse.node.transport.requests import Document, Handler, Requests
from hanse.node.transport.streams import StreamEnds
from hanse.node.transport.switchboard import Switchboard
from hanse.node.transport.threads import Threads
from hanse.node.transport.timing import Timing
from hanse.wire.codec import Header, encode
from hanse.wire.message import Frame, Kind

# Fault injection, for tests: sees each outgoing frame with its target party, and returns what to
# send instead: nothing, one or many frames, or raw bytes. It may also raise.
Sent = Frame | bytes
Tap = Callable[[str, Frame], Sequence[Sent] | Sent | None]
DEFAULT_MEMORY_BYTES = 8 << 30
_WATCH_SECONDS = 0.5


class Exchange:
    """See the module. ``memory`` bounds the bytes that wait for this node's roles, in all."""

    def __init__(
        self,
        identity: Identity,
        directory: Directory,
        *,
        listen: tuple[str, int] | None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        timing: Timing | None = None,
        memory: int = DEFAULT_MEMORY_BYTES,
        tap: Tap | None = None,
    ) -> None:
        self.party = identity.party
        self.tap = tap
        self._lock = threading.Lock()
        self._threads = Threads()
        self._directory = directory
        self._clock = clock or SystemClock()
        self._timing = timing or Timing()
        self._greeter = Greeter(
            identity,
            directory,
            clock=self._clock,
            timing=self._timing,
            boot=(entropy or SystemEntropy()).take(16).hex(),
            admit=self._admit_link,
        )
        self._listener = (
            None
            if listen is None
            else Listener(
                listen, self._greeter, self._clock, greeted=self._greeted, refused=self._refused
            )
        )
        self._requests = Requests(self.party, self._post)
        self._switchboard = Switchboard(
            self.party, self._clock, memory, post=self._post, spawn=self._threads.spawn
        )
        self._links: dict[str, Link] = {}
        self._closing = threading.Event()

    # Life

    def start(self) -> None:
        """Listen, dial, and keep the links. Raises `Fault` ``node.port`` if the port is taken."""
        if self._listener is not None:
            self._listener.start()
        for partner in self._directory.all():
            self._add_link(partner.name)
        self._threads.spawn(self._watch, "watch")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port that the node listens on (the real port if 0 was asked for)."""
        return self._listener.address if self._listener is not None else None

    def meet(self, partner: Partner) -> None:
        """Add a partner, or replace what was known of it; its link follows."""
        old = self._directory.get(partner.name)
        self._directory.put(partner)
        if old is not None and old.fingerprint != partner.fingerprint:
            self._drop_link(partner.name)
        self._add_link(partner.name)

    def expect(self, partner: Partner) -> None:
        """From the next handshake on, ``partner`` has this certificate; the link that there is stays."""
        self._directory.put(partner)

    def leave(self, party: str) -> None:
        """Forget a partner and end its link."""
        self._directory.remove(party)
        self._drop_link(party)

    def close(self) -> None:
        """Fail the open streams here and at the peers, say farewell, stop. Idempotent."""
        if self._closing.is_set():
            return
        for stream, _ in self._switchboard.streams():
            stream.abort(stopping(self.party))
        self._threads.join(1.0, "tell")
        self._closing.set()
        if self._listener is not None:
            self._listener.close()
        with self._lock:
            links = list(self._links.values())
        for link in links:
            link.close(stopping(self.party))
        self._requests.close()
        patience = self._timing.linger + self._timing.connect + 1.0
        self._threads.join(patience)
        if self._listener is not None:
            self._listener.join(patience)

    def __enter__(self) -> Exchange:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self) -> list[LinkStatus]:
        """Every link, by party."""
        with self._lock:
            return [self._links[party].status() for party in sorted(self._links)]

    def refusals(self) -> list[Refused]:
        """The latest connections that were refused at this node's port, oldest first."""
        return self._listener.refusals() if self._listener is not None else []

    def wait_for(self, party: str, patience: float) -> None:
        """Return once ``party`` is linked; raises why it is not after ``patience`` seconds."""
        self._link(party).connection(patience)

    # Streams and requests

    def open_stream(
        self,
        stream_id: bytes,
        roles: Sequence[tuple[str, str]],
        my_roles: Sequence[int],
        *,
        memory: int | None = None,
    ) -> StreamEnds:
        """This node's ends of a stream. ``roles``: (role name, party) by role number.

        ``memory`` bounds what may wait for this stream, within the bound of the whole node.

        Raises `Refusal` ``stream.reused`` for an id that was used before; `Fault` for roles that
        are not this node's, an unknown party, or a stream that was refused for coming too early.
        """
        if self._closing.is_set():
            raise stopping(self.party)
        for party in {party for _, party in roles} - {self.party}:
            self._link(party)
        return self._switchboard.open(stream_id, roles, my_roles, memory)

    def request(self, party: str, document: Document, *, patience: float | None = None) -> Document:
        """Ask a party and wait for its answer; raises the error that it answers.

        ``patience`` (seconds) bounds the wait; without it only a lost link does.
        """
        return self._requests.ask(party, document, patience)

    def on_request(self, handler: Handler) -> None:
        """Let ``handler(party, document)`` answer requests; it runs in several threads."""
        self._requests.handler = handler

    # What links deliver (`links.Receiver`)

    def admit(self, party: str, header: Header) -> bool:
        """See `links.Receiver`."""
        if header.stream != NO_STREAM:
            return self._switchboard.admit(party, header)
        if header.kind is not Kind.DOCUMENT:
            raise Foul("wire.header", "a frame has the wrong stream for its kind")
        return True

    def deliver(self, party: str, frame: Frame) -> None:
        """See `links.Receiver`."""
        if frame.stream == NO_STREAM:
            self._requests.deliver(party, frame)
        else:
            self._switchboard.deliver(party, frame)

    def lost(self, party: str, error: HanseError) -> None:
        """See `links.Receiver`."""
        self._requests.lost(party, error)
        self._switchboard.lost(party, error)

    # Links

    def _post(self, party: str, frame: Frame) -> None:
        """Send a frame to a party, waiting up to ``Timing.connect`` for a link."""
        connection = self._link(party).connection(self._timing.connect)
        outgoing: Sequence[Sent] | Sent | None = frame
        if self.tap is not None:
            outgoing = self.tap(party, frame)
        if outgoing is None:
            return
        for one in (outgoing,) if isinstance(outgoing, Frame | bytes) else outgoing:
            if isinstance(one, bytes):
                connection.send_raw(one)
                continue
            head, payload = encode(
                one.kind, one.stream, one.source, one.target, one.sequence, one.step, one.body
            )
            connection.send(head, payload)

    def _link(self, party: str) -> Link:
        with self._lock:
            link = self._links.get(party)
        if link is None:
            raise Fault(
                "peer.unknown",
                f"{party!r} is not a partner of this node",
                remedy="add its identity card with 'hanse partner add'",
                where=party,
            )
        return link

    def _add_link(self, party: str) -> None:
        with self._lock:
            if party == self.party or party in self._links or self._closing.is_set():
                return
            link = self._links[party] = Link(
                party,
                self.party,
                listens=self._listener is not None,
                directory=self._directory,
                greeter=self._greeter,
                receiver=self,
                clock=self._clock,
                timing=self._timing,
            )
        self._threads.spawn(link.keep, f"link-{party}")

    def _drop_link(self, party: str) -> None:
        with self._lock:
            link = self._links.pop(party, None)
        if link is not None:
            link.close(
                Fault(
                    "peer.dropped",
                    f"the node of {self.party!r} ended its link with {party!r}",
                    remedy=f"ask {self.party!r} whether it has your current identity card",
                    where=self.party,
                )
            )

    def _admit_link(self, partner: Partner, hello: Hello, dialled: bool) -> None:
        self._link(partner.name).admit(hello, dialled=dialled)

    def _greeted(self, met: Met) -> None:
        try:
            link = self._link(met.partner.name)
        except Fault as error:  # dropped since its greeting
            met.connection.end(error)
            met.connection.close()
            return
        link.run(met)

    def _refused(self, refused: NotMet) -> None:
        """A dialling node was refused: tell those who wait for it, or might be waiting for it."""
        with self._lock:
            links = dict(self._links)
        link = links.get(refused.party)
        if link is not None:
            # Only who has proved its name can make waiting for that name fail at once.
            link.note(refused.error)
            return
        for link in links.values():
            link.suspect(refused.error)

    def _watch(self) -> None:
        """Heartbeats, silent peers, streams whose partner never came, frames that came early."""
        while not self._closing.wait(_WATCH_SECONDS):
            with self._lock:
                links = list(self._links.values())
            for link in links:
                link.beat()
            now = self._clock.monotonic()
            self._switchboard.expire_early(now - self._timing.early)
            streams = self._switchboard.streams()
            for link in links:
                shared = [one for one in streams if link.party in one[0].others]
                if not shared and not self._requests.busy(link.party):
                    link.renew_if_worn()
                if link.down_for() <= self._timing.connect:
                    continue
                for stream, opened in shared:
                    if now - opened > self._timing.connect:
                        stream.fail(link.unreachable(), tell=stream.others - {link.party})
