"""A party's part of a sum on its way to the seats: two seeds and one vector, and how a seat reads what comes.

part = stream(seed 0) + stream(seed 1) + rest: seats 0 and 1 get a seed each, seat 2 the rest, so that a party
uploads its vector once. All three get the same *head*: what the sum is, and hashes of the three shares, by
which the party is bound to them before the seats draw how they check.
Reveals: to any two seats nothing (three shares of which two are uniform). Heads are public within the job.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.engine.masks import KEY_BYTES
from hanse.engine.shares import SEATS, octets
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.gate.sums import MOST_LENGTH, WIDTHS, Terms, Words, masks
from hanse.wire import Channel, Frame, canonical, parse_document

_U8 = np.dtype("u1")
_MOST_NAME = 80
SUM, SKIP, END = "sum", "skip", "end"


@dataclass(frozen=True)
class Head:
    """What a party wants of a numbered round: put a part in a sum, leave it out, or leave for good."""

    what: str
    terms: Terms | None = None
    held: tuple[str, str, str] = ("", "", "")  # SHA-256 of the three shares

    def octets(self) -> bytes:
        body: dict[str, Any] = {"what": self.what}
        if self.terms is not None:
            body |= {"terms": self.terms.body(), "held": list(self.held)}
        return canonical(body)


def send_head(channel: Channel, number: int, head: Head) -> None:
    """To all three seats."""
    body = np.frombuffer(head.octets(), np.uint8)
    for seat in range(SEATS):
        channel.send(seat, f"sum.{number}", body)


def send_part(channel: Channel, number: int, terms: Terms, part: Words, entropy: Entropy) -> None:
    """Share ``part`` [length], changed in place."""
    seeds = [entropy.take(KEY_BYTES) for _ in range(SEATS - 1)]
    for seed in seeds:
        for where, mask in masks(seed, terms):
            part[where] -= mask
    shares = [*(np.frombuffer(seed, np.uint8) for seed in seeds), part]
    held = [hashlib.sha256(octets(share)).hexdigest() for share in shares]
    send_head(channel, number, Head(SUM, terms, (held[0], held[1], held[2])))
    for seat, share in enumerate(shares):
        channel.send(seat, f"sum.{number}.share", share)


def head_of(frame: Frame) -> Head:
    """The head that a frame carries; `Foul` if it is none."""
    if not isinstance(frame.body, np.ndarray) or frame.body.dtype != _U8:
        raise Foul("learn.head", "a party sent something else than the head of a sum")
    body = parse_document(frame.body.tobytes())
    what = body.get("what")
    if what in (SKIP, END) and set(body) == {"what"}:
        return Head(str(what))
    try:
        fields, held = body["terms"], body["held"]
        terms = Terms(fields["name"], fields["length"], fields["width"], fields["limit"])
        numbers = (terms.length, terms.width, terms.limit)
        fine = (
            what == SUM and set(fields) == set(terms.body()) and isinstance(terms.name, str)
            and len(terms.name) <= _MOST_NAME and all(type(n) is int for n in numbers)
            and 1 <= terms.length <= MOST_LENGTH and terms.width in WIDTHS and terms.limit > 0
            and len(held) == SEATS and all(isinstance(h, str) and len(h) == 64 for h in held)
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise Foul("learn.head", "the head of a sum cannot be read") from error
    if not fine:
        raise Foul("learn.head", "the head of a sum is out of range")
    return Head(SUM, terms, (held[0], held[1], held[2]))


def share_of(frame: Frame, seat: int, head: Head) -> Words | bytes:
    """Seat 2's share is the rest [length], the others' is a seed; `Foul` if it is not what the head says."""
    terms, body = head.terms, frame.body
    if terms is None or not isinstance(body, np.ndarray):
        raise Foul("learn.share", "a share of nothing arrived")
    last = seat == SEATS - 1
    dtype, shape = (terms.dtype, (terms.length,)) if last else (_U8, (KEY_BYTES,))
    if body.dtype != dtype or body.shape != shape:
        raise Foul(
            "learn.share", f"a share is {body.dtype}{list(body.shape)}, not {dtype}{list(shape)}"
        )
    if hashlib.sha256(octets(body)).hexdigest() != head.held[seat]:
        raise Foul("learn.share", "a share is not the one that its head names")
    return body if last else body.tobytes()
