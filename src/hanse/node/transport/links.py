"""The lasting link to each partner: who dials, what replaces what, and when a peer is lost.

One connection per pair of nodes. If both can be dialled, the party with the smaller name dials; the
other does so only after `Timing.fallback` seconds without a link (its partner may sit behind a
firewall). A node that does not listen dials everybody.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Protocol

from hanse.clock import Clock
from hanse.errors import Fault, Foul, HanseError, Refusal, from_public
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.connection import MAX_CONTROL_BYTES, NO_STREAM, Connection
from hanse.node.transport.greeting import Greeter, Hello, Met, reported
from hanse.node.transport.threads import place_of
from hanse.node.transport.timing import Timing
from hanse.wire.codec import Header, parse_document
from hanse.wire.message import Frame, Kind

_log = logging.getLogger("hanse.node.transport.links")
# Errors that another attempt will not mend: whoever waits for the link is told at once.
_FINAL = ("peer.certificate", "peer.version", "keys.")
BYE = "bye"
_STOPPING = "node.stopping"


class Receiver(Protocol):
    """Who takes what arrives. Called on reading threads: must not block, and not send."""

    def admit(self, party: str, header: Header) -> bool:
        """Whether to read the frame (else it is skipped). A `Foul` ends the link."""
        ...

    def deliver(self, party: str, frame: Frame) -> None:
        """Take an admitted frame. A `Foul` ends the link."""
        ...

    def lost(self, party: str, error: HanseError) -> None:
        """The link to ``party`` ended; called once for each link, before the next begins."""
        ...


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """What an operator sees of a link; bytes count frames, over all connections so far."""

    party: str
    connected: bool
    version: str
    bytes_sent: int
    bytes_received: int
    problem: HanseError | None


class Link:
    """The link to one partner. `keep` runs in its own thread for as long as the node does."""

    def __init__(
        self,
        party: str,
        own_party: str,
        *,
        listens: bool,
        directory: Directory,
        greeter: Greeter,
        receiver: Receiver,
        clock: Clock,
        timing: Timing,
    ) -> None:
        self.party = party
        self._own = own_party
        self._smaller = own_party < party
        self._listens = listens
        self._directory = directory
        self._greeter = greeter
        self._receiver = receiver
        self._clock = clock
        self._timing = timing
        self._changed = threading.Condition()
        self._installing = threading.Lock()
        self._connection: Connection | None = None
        self._hello: Hello | None = None
        self._problem: HanseError | None = None
        self._suspect: HanseError | None = None
        self._closing = False
        self._down_since = clock.monotonic()
        self._failures = 0
        self._next_dial = 0.0
        self._sent_before = 0
        self._received_before = 0

    # For senders

    def connection(self, patience: float) -> Connection:
        """The live connection; waits up to ``patience`` seconds for one.

        Raises why there is none: what a handshake ended with, else `Fault` ``peer.unreachable``.
        """
        until = self._clock.monotonic() + patience
        with self._changed:
            while self._connection is None:
                if self._closing:
                    raise stopping(self._own)
                problem = self._problem
                if problem is not None and problem.code.startswith(_FINAL):
                    raise problem
                left = until - self._clock.monotonic()
                if left <= 0:
                    raise self._unreachable()
                self._hurry()
                self._changed.wait(min(left, 0.5))
            return self._connection

    def down_for(self) -> float:
        """Seconds without a connection, 0 while there is one."""
        with self._changed:
            return 0.0 if self._connection else self._clock.monotonic() - self._down_since

    def unreachable(self) -> HanseError:
        """Why there is no connection, for those who waited long enough."""
        with self._changed:
            problem = self._problem
            final = problem is not None and problem.code.startswith(_FINAL)
            return problem if problem is not None and final else self._unreachable()

    def status(self) -> LinkStatus:
        """A snapshot for operators."""
        with self._changed:
            live = self._connection
            return LinkStatus(
                party=self.party,
                connected=live is not None,
                version=self._hello.hanse if self._hello is not None else "",
                bytes_sent=self._sent_before + (live.bytes_sent if live else 0),
                bytes_received=self._received_before + (live.bytes_received if live else 0),
                problem=None if live else self._problem,
            )

    def note(self, problem: HanseError) -> None:
        """Record why a connection could not be made, for whoever waits or asks."""
        with self._changed:
            self._problem = problem
            self._changed.notify_all()

    def suspect(self, refused: HanseError) -> None:
        """Record that somebody unknown was refused: it may have been this partner."""
        with self._changed:
            self._suspect = refused

    # Life

    def keep(self) -> None:
        """Dial when it is this node's turn, and read until the connection ends; again and again."""
        while True:
            partner = self._wait_for_turn()
            if partner is None:
                return
            try:
                met = self._greeter.dial(partner)
            except HanseError as error:
                self._failed(error)
                continue
            except Exception as error:
                self._failed(_defect(error, self.party))
                continue
            self.run(met)

    def admit(self, hello: Hello, *, dialled: bool) -> None:
        """Raise `Refusal` ``link.duplicate`` if this node and its peer are linked already.

        A peer that has restarted, or that dials for the second time, is admitted: it knows that
        the connection which this node still holds is gone.
        """
        with self._changed:
            old = self._connection
            if self._closing:
                raise stopping(self._own)
            if old is not None and old.dialled != dialled and self._same_peer(hello):
                raise self._duplicate()

    def run(self, met: Met) -> None:
        """Make ``met`` the link and read from it, on this thread, until it ends."""
        connection = met.connection
        try:
            self._install(connection, met.hello)
            self._read(connection)
        except HanseError as error:
            error.where = error.where or self.party
            connection.end(error)
        except Exception as error:
            connection.end(_defect(error, self.party), at_once=True)
        self._uninstall(connection)
        connection.close(self._timing.linger)

    def beat(self) -> None:
        """Called about once a second: a heartbeat if idle, and the verdict on a silent peer."""
        with self._changed:
            connection = self._connection
        if connection is None:
            return
        now = self._clock.monotonic()
        silent = now - connection.last_heard
        if silent > self._timing.lost_after and not connection.bytes_wait():
            error = Fault(
                "peer.lost",
                f"the node of {self.party!r} has been silent for {silent:.0f} s",
                remedy="check that its node is running and the network between, then rerun the job",
                where=self.party,
            )
            connection.end(error, at_once=True)
        elif now - connection.last_sent >= self._timing.heartbeat:
            try:
                connection.ping()
            except HanseError as error:
                connection.end(error)

    def renew_if_worn(self) -> None:
        """End a connection that carried as much as one TLS key should; it is dialled anew.

        For idle links: Python cannot ask TLS for new keys within a connection.
        """
        with self._changed:
            connection = self._connection
        if connection is None:
            return
        if max(connection.bytes_sent, connection.bytes_received) > self._timing.bytes_per_key:
            renewed = Fault("link.renewed", "the connection is being renewed", remedy="try again")
            _say_bye(connection, renewed)
            connection.end(renewed)

    def close(self, reason: HanseError) -> None:
        """Tell the peer that this node leaves (or why it wants no link), and end the link."""
        with self._changed:
            self._closing = True
            connection = self._connection
            self._changed.notify_all()
        if connection is not None:
            _say_bye(connection, reason)
            connection.end(reason)

    def _wait_for_turn(self) -> Partner | None:
        """Until this node should dial; the partner to dial, or ``None`` at the end."""
        with self._changed:
            while not self._closing:
                partner = self._directory.get(self.party)
                now = self._clock.monotonic()
                may = partner is not None and partner.address is not None
                if self._listens and not self._smaller:
                    may = may and now - self._down_since > self._timing.fallback
                if self._connection is None and may and now >= self._next_dial:
                    return partner
                self._changed.wait(0.2 if self._connection is None else 1.0)
            return None

    def _hurry(self) -> None:
        """Somebody wants to send: do not sit out a long pause."""
        soon = self._clock.monotonic() + self._timing.retry_first
        if self._next_dial > soon:
            self._next_dial = soon
            self._changed.notify_all()

    def _failed(self, error: HanseError) -> None:
        if error.code == "link.duplicate":
            error = Fault("peer.unreachable", "another connection is being made", where=self.party)
        with self._changed:
            known = self._problem
            if known is None or known.message != error.message:
                _log.warning("no link to %s: %s", self.party, error)
            self._problem = error
            pause = min(self._timing.retry_first * 2**self._failures, self._timing.retry_most)
            self._failures = min(self._failures + 1, 16)
            self._next_dial = self._clock.monotonic() + pause
            self._changed.notify_all()

    def _same_peer(self, hello: Hello) -> bool:
        """Whether the connection that we have is with the same start of the peer's node."""
        return self._hello is not None and self._hello.boot == hello.boot

    def _duplicate(self) -> Refusal:
        return Refusal(
            "link.duplicate", f"{self.party!r} and this node are linked already", where=self.party
        )

    def _install(self, connection: Connection, hello: Hello) -> None:
        with self._installing:
            with self._changed:
                old = self._connection
                crossed = old is not None and old.dialled != connection.dialled
                # Both sides dialled at the same moment and both greetings went through before
                # either noticed. Both keep the connection that the smaller name dialled.
                if crossed and self._same_peer(hello) and connection.dialled != self._smaller:
                    raise self._duplicate()
            if old is not None:
                replaced = Fault(
                    "peer.lost",
                    f"the node of {self.party!r} started a new connection",
                    remedy="rerun the job",
                    where=self.party,
                )
                old.end(replaced, at_once=True)
                self._uninstall(old)
            with self._changed:
                self._connection, self._hello = connection, hello
                self._problem, self._suspect, self._failures = None, None, 0
                if self._closing:
                    connection.end(stopping(self._own))
                self._changed.notify_all()
        _log.info("linked with %s (Hanse %s)", self.party, hello.hanse)

    def _uninstall(self, connection: Connection) -> None:
        """Take a connection out, once, and report it lost before another can take its place."""
        with self._changed:
            if self._connection is not connection:
                return
            reason = connection.reason or stopping(self._own)
            self._connection, self._problem = None, reason
            self._down_since = self._clock.monotonic()
            self._next_dial = self._down_since + self._timing.retry_first
            self._sent_before += connection.bytes_sent
            self._received_before += connection.bytes_received
            self._changed.notify_all()
        _log.info("link with %s ended: %s", self.party, reason)
        self._receiver.lost(self.party, reason)

    def _read(self, connection: Connection) -> None:
        """Take frames until the connection ends; raises why it did."""
        try:
            while (reason := self._read_frame(connection)) is None:
                pass
        except Foul as foul:
            reported(foul, self.party)
            _say_bye(connection, foul)
            raise
        raise reason

    def _read_frame(self, connection: Connection) -> HanseError | None:
        """Take one frame; if it is the peer's farewell, return the reason that it gives."""
        header = connection.receive_header()
        if header.kind is Kind.PING:
            if header.rest + header.payload or header.stream != NO_STREAM:
                raise Foul("wire.header", "a PING carries something")
            return None
        if not self._receiver.admit(self.party, header):
            connection.skip(header)
            return None
        frame = connection.receive_frame(header)
        if frame.kind is Kind.DOCUMENT and frame.step == BYE:
            return _farewell(frame, self.party)
        self._receiver.deliver(self.party, frame)
        return None

    def _unreachable(self) -> Fault:
        problem = self._problem
        why = problem.message if problem is not None else "it has not connected"
        if self._suspect is not None:
            why += f"; a node was refused lately because {self._suspect.message}"
        return Fault(
            "peer.unreachable",
            f"there is no link to {self.party!r}: {why}",
            remedy=problem.remedy if problem is not None and problem.remedy else "start that node",
            where=self.party,
        )


def _say_bye(connection: Connection, reason: HanseError) -> None:
    """Best effort: the peer may be gone, or in the way."""
    try:
        connection.send_document(BYE, {"error": reason.public()}, patience=0.5)
    except HanseError as error:
        _log.debug("no farewell to %s: %s", connection.party, error)


def _farewell(frame: Frame, party: str) -> HanseError:
    """What a peer said when it closed the link."""
    body = frame.body if isinstance(frame.body, bytes) else b""
    if len(body) > MAX_CONTROL_BYTES:
        return Foul("wire.oversized", "a farewell is over the limit", where=party)
    fields = parse_document(body).get("error")
    error = from_public(fields if isinstance(fields, dict) else {})
    if error.code == _STOPPING:
        return Fault(
            "peer.lost",
            f"the node of {party!r} was stopped",
            remedy="start it again, then rerun the job",
            where=party,
        )
    return reported(error, party)


def _defect(error: Exception, party: str) -> Fault:
    """An error that this code did not expect: the link ends, the node goes on."""
    _log.error("the link with %s failed: %s", party, place_of(error))
    return Fault(
        "link.failed",
        f"the link with {party!r} failed on this side",
        remedy="look into this node's log, and report it as a defect",
        where=party,
    )


def stopping(party: str) -> Fault:
    """What the node of ``party`` tells its own callers and its peers when it is being stopped."""
    return Fault(
        _STOPPING, f"the node of {party!r} is stopping", remedy="start it again, then rerun the job"
    )
