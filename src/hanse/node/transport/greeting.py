"""How two nodes meet: connect, TLS 1.3, certificates, then who they are and what they speak.

    the node that was dialled          the node that dialled
    HELLO or REJECT        ->
                           <-          HELLO or REJECT
    READY or REJECT        ->

The dialled side speaks first: if TLS refuses the dialler's certificate, the alert is the first
thing the dialler reads, and no unread bytes turn it into a connection reset. A REJECT carries the
public error, so both sides know why.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import hanse
from hanse.clock import Clock
from hanse.errors import Fault, Foul, HanseError, from_public
from hanse.node.identity.keys import Identity
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.connection import Connection, drain, tune
from hanse.node.transport.timing import Timing
from hanse.node.transport.tls import (
    check_dates,
    proven_peer,
    tls_context,
    tls_error,
    wrong_certificate,
)

WIRE_VERSION = 1
_NAME_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Hello:
    """What a node says of itself. ``boot`` is new each time a node starts."""

    party: str
    hanse: str
    wire: int
    boot: str

    def document(self) -> dict[str, object]:
        """The hello as it crosses the wire."""
        return {"party": self.party, "hanse": self.hanse, "wire": self.wire, "boot": self.boot}


@dataclass(frozen=True, slots=True)
class Met:
    """A greeted connection and who is at its other end."""

    connection: Connection
    partner: Partner
    hello: Hello


@dataclass(frozen=True, slots=True)
class NotMet:
    """Why a node that connected was not met; ``party`` is who it proved to be, "" if nobody."""

    party: str
    error: HanseError


# Decides whether a greeted peer may be linked now; raises a `HanseError` if not.
Admit = Callable[[Partner, Hello, bool], None]


def reported(error: HanseError, party: str) -> HanseError:
    """``error``, which came from ``party``, with ``where`` saying so."""
    error.where = f"{party}: {error.where}" if error.where and error.where != party else party
    return error


class Greeter:
    """Speaks for one node. `dial` and `answer` may run in many threads at once.

    ``admit(partner, hello, dialled)`` has the last word before READY.
    """

    def __init__(
        self,
        identity: Identity,
        directory: Directory,
        *,
        clock: Clock,
        timing: Timing,
        boot: str,
        admit: Admit,
    ) -> None:
        self._identity = identity
        self._directory = directory
        self._clock = clock
        self._timing = timing
        self._admit = admit
        self._hello = Hello(identity.party, hanse.__version__, WIRE_VERSION, boot)

    def dial(self, partner: Partner) -> Met:
        """Connect to ``partner`` and greet it; a `HanseError` says why it did not work."""
        deadline = time.monotonic() + self._timing.connect
        plain = _connect(partner, self._timing.connect)
        connection = self._secure(plain, deadline, partner.name)
        with self._rejecting(connection):
            proven = proven_peer(connection.tls, self._directory, partner.name)
            check_dates(proven, self._clock.now())
            hello = self._receive_hello(connection, partner)
            self._admit(partner, hello, True)
            connection.send_document("hello", self._hello.document())
            self._receive(connection, "ready")
        connection.deadline = None
        return Met(connection, partner, hello)

    def answer(self, plain: socket.socket) -> Met | NotMet:
        """Greet the node that connected through ``plain``, which now belongs to this function."""
        deadline = time.monotonic() + self._timing.connect
        party = ""
        try:
            connection = self._secure(plain, deadline, None)
            with self._rejecting(connection):
                partner = proven_peer(connection.tls, self._directory, None)
                connection.party = party = partner.name
                check_dates(partner, self._clock.now())
                connection.send_document("hello", self._hello.document())
                hello = self._receive_hello(connection, partner)
                self._admit(partner, hello, False)
                connection.send_document("ready", {})
        except HanseError as error:
            return NotMet(party, error)
        connection.deadline = None
        return Met(connection, partner, hello)

    def _receive_hello(self, connection: Connection, partner: Partner) -> Hello:
        document = self._receive(connection, "hello")
        party, code = document.get("party"), document.get("hanse")
        wire, boot = document.get("wire"), document.get("boot")
        if (
            not isinstance(party, str)
            or not isinstance(code, str)
            or not isinstance(boot, str)
            or not isinstance(wire, int)
            or max(len(party), len(code), len(boot)) > _NAME_LIMIT
        ):
            raise Foul("wire.greeting", "the other node's greeting is malformed")
        if party != partner.name:
            raise wrong_certificate(party, partner.name)
        if wire != WIRE_VERSION:
            raise Fault(
                "peer.version",
                f"the node of {party!r} (Hanse {code}) speaks wire version {wire}, the node of "
                f"{self._identity.party!r} (Hanse {hanse.__version__}) speaks {WIRE_VERSION}",
                remedy="upgrade the node with the lower wire version",
                where=party,
            )
        return Hello(party, code, wire, boot)

    def _receive(self, connection: Connection, step: str) -> dict[str, object]:
        """The document ``step``; a REJECT in its place is raised as what the peer says."""
        got, document = connection.receive_document((step, "reject"))
        if got != "reject":
            return document
        fields = document.get("error")
        error = from_public(fields if isinstance(fields, dict) else {})
        connection.end(error)
        raise reported(error, connection.party)

    @contextlib.contextmanager
    def _rejecting(self, connection: Connection) -> Iterator[None]:
        """On an error, tell the peer (unless it was the peer who told us) and hang up."""
        try:
            yield
        except HanseError as error:
            with contextlib.suppress(HanseError):
                connection.send_document("reject", {"error": error.public()}, patience=0.5)
            connection.end(error)
            connection.close(self._timing.linger)
            raise

    def _secure(self, plain: socket.socket, deadline: float, expected: str | None) -> Connection:
        """The TLS handshake on a connected socket, which is closed if it fails."""
        ours: socket.socket = plain
        try:
            context = tls_context(self._identity, self._directory, dialling=expected is not None)
            plain.settimeout(max(0.01, deadline - time.monotonic()))
            tls = context.wrap_socket(
                plain, server_side=expected is None, do_handshake_on_connect=False
            )
            ours = tls
            tls.do_handshake()
        except (OSError, HanseError) as error:
            # The alert that says why is on its way; let the peer read it before we close.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(ours, socket.SHUT_WR)
            drain(ours, self._timing.linger)
            ours.close()
            if isinstance(error, HanseError):
                raise
            raise self._handshake_error(error, expected) from error
        connection = Connection(tls, self._clock, dialled=expected is not None)
        connection.party = expected or ""
        connection.deadline = deadline
        return connection

    def _handshake_error(self, error: OSError, expected: str | None) -> HanseError:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return tls_error(error, expected, self._directory)
        what = "did not answer in time" if isinstance(error, TimeoutError) else "hung up"
        who = "a node that connected" if expected is None else f"the node of {expected!r}"
        return Fault(
            "peer.unreachable",
            f"{who} {what} during the TLS handshake",
            remedy="check that address and port are those of a Hanse node",
            where=expected or "",
        )


def _connect(partner: Partner, patience: float) -> socket.socket:
    if partner.address is None:
        raise Fault(
            "peer.unreachable",
            f"the node of {partner.name!r} has not dialled this node, and its address is not known",
            remedy="start that node; if it listens, add its address to the partner here",
            where=partner.name,
        )
    host, port = partner.address
    problem: Exception | None = None
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            plain = socket.socket(family, kind, protocol)
            try:
                tune(plain)
                plain.settimeout(patience)
                plain.connect(address)
                return plain
            except OSError as error:
                plain.close()
                problem = error
    except (OSError, UnicodeError) as error:  # a host name can be malformed
        problem = error
    why = "no answer" if isinstance(problem, TimeoutError) else getattr(problem, "strerror", None)
    raise Fault(
        "peer.unreachable",
        f"the node of {partner.name!r} cannot be reached at {host}:{port}: {why or problem}",
        remedy="check that it is running, that the address is right and that no firewall is "
        "between the two nodes",
        where=partner.name,
    ) from problem
