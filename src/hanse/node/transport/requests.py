"""Questions and answers between nodes: small JSON documents beside the streams.

A request is a document on stream zero with a number; its answer carries the same number. Requests
are handled in a few threads, so a slow one does not hold up the link. Waiting is on the peer: an
answer may take as long as it takes, but a lost peer ends the wait.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hanse.errors import Fault, Foul, HanseError, from_public
from hanse.node.transport.connection import NO_STREAM
from hanse.node.transport.greeting import reported
from hanse.node.transport.threads import place_of
from hanse.wire.codec import canonical, parse_document
from hanse.wire.message import Frame, Kind

_log = logging.getLogger("hanse.node.transport.requests")
Document = dict[str, Any]
Handler = Callable[[str, Document], Document]
_REQUEST = "request"
_ANSWER = "answer"
_WORKERS = 16
# What one party may have waiting here.
_MAX_WAITING = 64
_MAX_WAITING_BYTES = 64 << 20


class _Question:
    """A request whose answer is awaited."""

    def __init__(self, party: str) -> None:
        self.party = party
        self.answered = threading.Event()
        self.document: Document | None = None
        self.error: HanseError | None = None


class Requests:
    """The questions this node asks, and its handler for those it is asked."""

    def __init__(self, own_party: str, post: Callable[[str, Frame], None]) -> None:
        self.handler: Handler | None = None
        self._own = own_party
        self._post = post
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._order: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._asked: dict[int, _Question] = {}
        self._last_seen: dict[str, int] = {}
        self._waiting: Counter[str] = Counter()
        self._waiting_bytes: Counter[str] = Counter()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="hanse-request")

    def ask(self, party: str, document: Document, patience: float | None) -> Document:
        """The answer of ``party``; raises the error that it answers, or why it cannot be asked."""
        body = _encoded({"document": document})
        if party == self._own:
            return _document(self._handle(party, parse_document(body)))
        question = _Question(party)
        with self._lock:
            order = self._order[party]
        # Numbers must arrive rising: a number that does not is a replay.
        with order:
            number = next(self._numbers)
            with self._lock:
                self._asked[number] = question
            try:
                self._post(party, Frame(Kind.DOCUMENT, NO_STREAM, 0, 0, number, _REQUEST, body))
            except HanseError:
                self._forget(number)
                raise
        if not question.answered.wait(patience):
            self._forget(number)
            raise Fault(
                "peer.silent",
                f"{party!r} did not answer within {patience:g} s",
                remedy="check that its node is running, then ask again",
                where=party,
            )
        if question.error is not None:
            raise question.error
        return _document(question.document or {})

    def deliver(self, party: str, frame: Frame) -> None:
        """Take a document of stream zero from the link to ``party``; does not block."""
        body = frame.body if isinstance(frame.body, bytes) else b""
        if frame.step == _ANSWER:
            with self._lock:
                question = self._asked.get(frame.sequence)
                if question is None or question.party != party:
                    return  # nobody waits any more
                del self._asked[frame.sequence]
            self._answered(question, body)
        elif frame.step == _REQUEST:
            self._accept(party, frame.sequence, body)
        else:
            raise Foul("wire.step", f"an unknown control message {frame.step!r}", where=party)

    def lost(self, party: str, error: HanseError) -> None:
        """The link ended: fail what was asked of ``party``, and count its requests anew."""
        with self._lock:
            self._last_seen.pop(party, None)
            numbers = [number for number, one in self._asked.items() if one.party == party]
            questions = [self._asked.pop(number) for number in numbers]
        for question in questions:
            question.error = error
            question.answered.set()

    def close(self) -> None:
        """Take no more requests; those being handled may finish."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def busy(self, party: str) -> bool:
        """Whether questions to or from ``party`` are open."""
        with self._lock:
            return self._waiting[party] > 0 or any(
                question.party == party for question in self._asked.values()
            )

    def _forget(self, number: int) -> None:
        with self._lock:
            self._asked.pop(number, None)

    def _answered(self, question: _Question, body: bytes) -> None:
        try:
            answer = parse_document(body)
            fields = answer.get("error")
            if isinstance(fields, dict):
                question.error = reported(from_public(fields), question.party)
            else:
                question.document = answer
        except Foul as foul:
            foul.where = question.party
            question.error = foul
            raise
        finally:
            question.answered.set()

    def _accept(self, party: str, number: int, body: bytes) -> None:
        with self._lock:
            if number <= self._last_seen.get(party, 0):
                raise Foul("wire.order", f"a request from {party!r} is replayed", where=party)
            self._last_seen[party] = number
            size = len(body)
            full = (
                self._waiting[party] >= _MAX_WAITING
                or self._waiting_bytes[party] + size > _MAX_WAITING_BYTES
            )
            if full:
                body, size = b"", 0
            self._waiting[party] += 1
            self._waiting_bytes[party] += size
        try:
            self._workers.submit(self._work, party, number, body, full=full)
        except RuntimeError:  # this node is stopping
            self._done(party, size)

    def _work(self, party: str, number: int, body: bytes, *, full: bool) -> None:
        try:
            if full:
                raise Fault(
                    "node.busy",
                    f"the node of {self._own!r} has too many requests from {party!r} waiting",
                    remedy="wait for the answers, then ask again",
                )
            answer = _encoded(self._handle(party, parse_document(body)))
        except HanseError as error:
            answer = _encoded({"error": error.public()})
        try:
            self._post(party, Frame(Kind.DOCUMENT, NO_STREAM, 0, 0, number, _ANSWER, answer))
        except HanseError as error:
            _log.info("an answer did not reach %s: %s", party, error)
        finally:
            self._done(party, len(body))

    def _done(self, party: str, size: int) -> None:
        with self._lock:
            self._waiting[party] -= 1
            self._waiting_bytes[party] -= size

    def _handle(self, party: str, body: Document) -> Document:
        handler = self.handler
        if handler is None:
            raise Fault(
                "node.not-ready",
                f"the node of {self._own!r} does not take requests yet",
                remedy="try again in a moment",
            )
        try:
            return {"document": handler(party, _document(body))}
        except HanseError:
            raise
        except Exception as error:
            # Its text may hold private values: it goes nowhere.
            _log.error("a request of %s failed: %s", party, place_of(error))
            raise Fault(
                "node.internal",
                f"the node of {self._own!r} failed on this request",
                remedy=f"ask {self._own!r} to look into its node's log",
            ) from error


def _encoded(document: Document) -> bytes:
    try:
        return canonical(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault(
            "wire.document", "a document holds what JSON cannot say", detail=str(error)
        ) from error


def _document(body: Document) -> Document:
    document = body.get("document")
    if not isinstance(document, dict):
        raise Foul("wire.document", "a request or answer carries no document")
    return document
