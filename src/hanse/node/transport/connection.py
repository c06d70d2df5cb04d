"""Frames over one TLS connection.

An OpenSSL connection may be used by one thread at a time, yet a node reads and writes at once. So
the socket does not block: the reader and the one writer whose turn it is take the connection's lock
only while bytes move between it and the kernel, and wait for the kernel without it. To callers
both `send` and the ``receive`` functions block.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time

import numpy as np

from hanse.clock import Clock
from hanse.errors import Fault, Foul, HanseError
from hanse.node.transport.tls import tls_error
from hanse.wire.codec import HEAD_BYTES, Header, canonical, encode, parse_document
from hanse.wire.message import STREAM_BYTES, Frame, Kind

SOCKET_BUFFER_BYTES = 4 << 20
# One TLS record: below it, joining head and payload saves a record and a system call.
_JOIN_BYTES = 16 << 10
# Under the lock at most so much is written at a time, so that the reader gets its turns.
_WRITE_BYTES = 256 << 10
_SKIP_BYTES = 256 << 10
# While a large frame arrives the reader is woken once for so much. Small enough that even a slow
# line fills it before the peer counts as silent.
_WAKE_BYTES = 64 << 10
_RECORD_BYTES = (16 << 10) + 512
# Limits on documents that no handler asked for.
MAX_CONTROL_BYTES = 64 << 10
NO_STREAM = bytes(STREAM_BYTES)


def tune(plain: socket.socket) -> None:
    """Set buffer sizes and send small frames at once. Before connecting: it sets the TCP window."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def drain(connected: socket.socket, linger: float) -> None:
    """Wait up to ``linger`` seconds for the peer to close, throwing away what it still sends.

    Closing with unread bytes in the buffer makes the kernel send a reset, which can overtake the
    reason that was sent last. Reads below TLS: nothing of it is looked at.
    """
    until = time.monotonic() + linger
    scratch = bytearray(_SKIP_BYTES)
    # ValueError: the socket was closed meanwhile and has no descriptor.
    with contextlib.suppress(OSError, ValueError):
        readable = _poll(connected.fileno(), select.POLLIN)
        while (left := until - time.monotonic()) > 0:
            if readable.poll(left * 1000) and not socket.socket.recv_into(connected, scratch):
                break


class Connection:
    """One end. One thread may receive while any number send; frames do not interleave.

    ``party`` is who is at the other end ("" until known). `end` is the only way to stop it; the
    first reason given stays in ``reason`` and every later call raises it.
    """

    def __init__(self, tls: ssl.SSLSocket, clock: Clock, *, dialled: bool) -> None:
        tls.setblocking(False)
        self.party = ""
        self.dialled = dialled
        self.reason: HanseError | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self.deadline: float | None = None
        self.tls = tls
        self._clock = clock
        self._descriptor = tls.fileno()
        self._use = threading.Lock()  # whoever holds it may call OpenSSL
        self._turn = threading.Lock()  # whoever holds it may send one frame
        self._ended = threading.Event()
        self._closed = False
        self._mark = 1
        self._readable = _poll(self._descriptor, select.POLLIN)
        self._writable = _poll(self._descriptor, select.POLLOUT)
        self._head = memoryview(bytearray(HEAD_BYTES))
        self.last_heard = self.last_sent = clock.monotonic()

    # Sending

    def send(self, head: bytes, payload: memoryview) -> None:
        """Send one encoded frame; returns when the kernel has it. Raises the connection's end."""
        with self._turn:
            self._send(head, payload)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be a frame (fault injection)."""
        self.send(data, memoryview(b""))

    def send_document(
        self, step: str, document: dict[str, object], *, patience: float | None = None
    ) -> None:
        """Send a control document; with ``patience``, or give up silently after so long."""
        head, payload = encode(Kind.DOCUMENT, NO_STREAM, 0, 0, 0, step, canonical(document))
        if not self._turn.acquire(timeout=-1 if patience is None else patience):
            return
        try:
            if patience is None or self._writable.poll(patience * 1000):
                self._send(head, payload)
        finally:
            self._turn.release()

    def ping(self) -> None:
        """Send a PING if nothing else is being sent and there is room: never blocks for long."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            if self._writable.poll(0):
                head, payload = encode(Kind.PING, NO_STREAM, 0, 0, 0, "", b"")
                self._send(head, payload)
        finally:
            self._turn.release()

    def _send(self, head: bytes, payload: memoryview) -> None:
        size = len(head) + len(payload)
        if size <= _JOIN_BYTES:
            self._write(memoryview(head + payload))
        else:
            self._write(memoryview(head))
            for start in range(0, len(payload), _WRITE_BYTES):
                self._write(payload[start : start + _WRITE_BYTES])
        self.bytes_sent += size
        self.last_sent = self._clock.monotonic()

    def _write(self, data: memoryview) -> None:
        while data:
            try:
                with self._use:
                    self._check()
                    # OpenSSL wants an interrupted write repeated as it was: `data` stays the same.
                    data = data[self.tls.send(data) :]
                continue
            except ssl.SSLWantWriteError:
                waiting = self._writable
            except ssl.SSLWantReadError:
                # Not in TLS 1.3 as we use it; the reader's own poll object may be in use.
                waiting = _poll(self._descriptor, select.POLLIN)
            except OSError as error:
                # The peer may have said why before it closed, and the reader is reading that.
                self._ended.wait(1.0)
                raise self._failure(error) from error
            self._wait(waiting)

    # Receiving

    def receive_header(self) -> Header:
        """The next frame's checked header; `receive_frame` or `skip` must follow."""
        self._read(self._head)
        return Header(self._head)

    def receive_frame(self, header: Header) -> Frame:
        """The frame that ``header`` announced, in a buffer of exactly its size."""
        rest = memoryview(bytearray(header.rest))
        self._read(rest)
        # Not a bytearray: that would write zeros over the whole buffer first.
        payload = np.empty(header.payload, dtype=np.uint8).data
        self._read(payload)
        return header.frame(rest, payload)

    def skip(self, header: Header) -> None:
        """Read the frame that ``header`` announced and throw it away."""
        left = header.rest + header.payload
        scratch = memoryview(bytearray(min(left, _SKIP_BYTES)))
        while left:
            part = scratch[: min(left, len(scratch))]
            self._read(part)
            left -= len(part)

    def receive_document(self, steps: tuple[str, ...]) -> tuple[str, dict[str, object]]:
        """The next frame, which must be a small control document named one of ``steps``."""
        header = self.receive_header()
        if header.kind is not Kind.DOCUMENT or header.payload > MAX_CONTROL_BYTES:
            raise Foul("wire.greeting", "the other node sent something else than a greeting")
        frame = self.receive_frame(header)
        if frame.step not in steps or not isinstance(frame.body, bytes):
            raise Foul("wire.greeting", "the other node sent something else than a greeting")
        return frame.step, parse_document(frame.body)

    def _read(self, into: memoryview) -> None:
        done, heard, size = 0, 0, len(into)
        receive = self.tls.recv_into
        while done < size:
            try:
                with self._use:
                    self._check()
                    # At most one TLS record a call. Staying in the lock until the kernel has no
                    # more is a matter of microseconds; the sender's own turn takes longer.
                    while done < size:
                        count = receive(into[done:])
                        if not count:
                            raise self._lost("closed the connection without a word")
                        done += count
                        self.bytes_received += count
                break
            except ssl.SSLWantReadError:
                waiting = self._readable
            except ssl.SSLWantWriteError:
                waiting = _poll(self._descriptor, select.POLLOUT)
            except OSError as error:
                raise self._failure(error) from error
            if done > heard:
                heard = done
                self.last_heard = self._clock.monotonic()
            self._wake_at(size - done)
            if not self._wait(waiting):
                self._wake_at(0)
        self.last_heard = self._clock.monotonic()

    def _wake_at(self, left: int) -> None:
        """Let the kernel wake the reader once for many records while a large frame arrives.

        Of ``left`` bytes at most one record can be in OpenSSL already; all others are still to come
        through the socket, so a mark below that is reached.
        """
        mark = _WAKE_BYTES if left > _WAKE_BYTES + _RECORD_BYTES else 1
        if mark != self._mark:
            self._mark = mark
            with contextlib.suppress(OSError):
                self.tls.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)

    def bytes_wait(self) -> bool:
        """Whether bytes have arrived that the reader has not taken yet (so the peer is alive)."""
        return not self._closed and bool(_poll(self._descriptor, select.POLLIN).poll(0))

    # Ending

    def end(self, reason: HanseError, *, at_once: bool = False) -> None:
        """Stop: all senders, and the reader within a second, raise ``reason``. Idempotent.

        ``at_once`` also stops receiving, for a peer from which nothing more is expected.
        """
        if self.reason is None:
            self.reason = reason
        self._ended.set()
        with contextlib.suppress(OSError):
            # `SSLSocket.shutdown` would drop TLS and let later calls speak in the clear.
            how = socket.SHUT_RDWR if at_once else socket.SHUT_WR
            socket.socket.shutdown(self.tls, how)

    def close(self, linger: float = 0.0) -> None:
        """Free the socket, after lingering as in `drain`. Only the reading thread calls this."""
        self.end(self._lost("was disconnected"))
        drain(self.tls, linger)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.tls, socket.SHUT_RDWR)
        with self._turn, self._use:
            self._closed = True
            self.tls.close()

    def _check(self) -> None:
        if self.reason is not None:
            raise self.reason

    def _wait(self, waiting: select.poll) -> bool:
        # A second at a time: `end` cannot wake a poll on every system.
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise Fault(
                "peer.unreachable",
                f"{self._who()} accepted the connection but did not finish the greeting",
                remedy="check that its node is running and not overloaded",
                where=self.party,
            )
        ready = bool(waiting.poll(1000 if self.deadline is None else 100))
        self._check()
        return ready

    def _failure(self, error: OSError) -> HanseError:
        """What an error of the socket or of TLS means; the connection's own end comes first."""
        if self.reason is not None:
            return self.reason
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return tls_error(error, self.party or None, None)
        return self._lost("broke off the connection")

    def _who(self) -> str:
        return f"the node of {self.party!r}" if self.party else "the other node"

    def _lost(self, what: str) -> Fault:
        return Fault(
            "peer.lost",
            f"{self._who()} {what}",
            remedy="check that its node is running and reachable, then rerun the job",
            where=self.party,
        )


def _poll(descriptor: int, events: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, events)
    return poll
