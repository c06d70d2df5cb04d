"""What a seat does for secure sums: collect parts until the deadline, agree on who is in, check bounds, add, open.

1. Each seat takes every party's head and share, up to the round's deadline; what is late, sent twice, of a
   wrong size
   or unlike its head is refused, and the party is left out of the round.
2. The seats tell each other what they hold and each a random number. A party is in if all three hold the same head
   from it. If parties want different sums, the one that most want is made.
3. They check on shares that every part is within the declared bound (`bounds`), and leave out those that are not.
4. If enough are left, the sum opens to all parties of the job, once (`gate.sums`); otherwise nobody learns
   anything.
Reveals: to seats who took part and whose part broke its bound. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hanse.clock import Clock
from hanse.engine.session import Session
from hanse.entropy import Entropy
from hanse.errors import Foul, HanseError
from hanse.gate.record import Record
from hanse.gate.sums import SumPolicy, SumsDoor, Terms, Words, masks, open_whether
from hanse.learn.horizontal.bounds import Rows, beyond
from hanse.learn.horizontal.numbers import fits
from hanse.learn.horizontal.parts import END, SUM, Head, head_of, share_of
from hanse.learn.horizontal.sums import outcome_of
from hanse.wire import Frame, PatientChannel

_U8 = np.dtype("u1")
_MISSED, _IN, _SKIPPED, _ENDED = 0, 1, 2, 3
_COIN = 32
_PORTION = 1 << 15


@dataclass(frozen=True)
class Patience:
    """Seconds: how long a round waits for parties, and for one that missed the round before."""

    deadline: float = 600.0
    grace: float = 1.0


@dataclass
class _Party:
    """A party as a seat knows it."""

    number: int
    name: str
    ended: bool = False
    missed: bool = False
    waiting: list[Frame] = field(default_factory=list)  # of rounds to come


@dataclass(frozen=True)
class _Held:
    """What a seat holds of a party in one round."""

    status: int = _MISSED
    head: Head | None = None
    share: Words | bytes = b""

    def digest(self) -> bytes:
        told = hashlib.sha256(self.head.octets()).digest() if self.head else bytes(32)
        return bytes([self.status]) + told


class SummingSeat:
    """A seat of the sums of one job. `serve` returns when all parties have ended."""

    def __init__(
        self, s: Session, channel: PatientChannel, policy: SumPolicy, record: Record,
        entropy: Entropy, clock: Clock, *, patience: Patience | None = None,
        commit: Callable[[Record], None] = lambda _: None,
        progress: Callable[[str, float], None] = lambda *_: None,
    ) -> None:  # fmt: skip
        self._s = s
        self._channel = channel
        self._policy = policy
        self._record = record
        self._entropy = entropy
        self._clock = clock
        self._patience = patience or Patience()
        self._progress = progress
        self._door = SumsDoor(channel, record, policy, entropy, commit)
        self._parties = [_Party(i, name) for i, name in enumerate(policy.parties)]
        self.rounds = 0
        self.notes: list[str] = []  # for this seat's operator: why parties were left out

    def serve(self) -> None:
        """Round after round."""
        while not all(party.ended for party in self._parties):
            self._round(self.rounds)
            self.rounds += 1

    def _round(self, number: int) -> None:
        until = self._clock.monotonic() + self._patience.deadline
        held = [self._collect(party, number, until) for party in self._parties]
        s = self._s.fork(f"sum{number}")
        both, coin = self._agree(s, held)
        for party, status in zip(self._parties, both, strict=True):
            party.ended |= status == _ENDED
            party.missed = status == _MISSED
        listeners = [self._policy.role(p.number) for p in self._parties if not p.ended]
        if not listeners:
            return
        terms, members, left_out = self._wanted(held, both)
        total: Words | None = None
        if terms is not None and len(members) >= self._policy.least_contributors:
            members, total = self._within(s, terms, members, held, coin, left_out)
        opened = total is not None and len(members) >= self._policy.least_contributors
        names = [self._parties[p].name for p in members]
        outcome = outcome_of(terms, names, left_out, opened=opened)
        for role in listeners:
            self._channel.send(role, f"sum.{number}.outcome", outcome)
        if terms is not None and total is not None and opened:
            self._door.open(s, number, terms, total, members, listeners)
            self._progress(terms.name, 1.0)

    # 1

    def _collect(self, party: _Party, number: int, until: float) -> _Held:
        """What ``party`` sends for this round; why it is left out, if so, is noted for this seat only."""
        if party.ended:
            return _Held(_ENDED)
        try:
            return self._submitted(party, number, until)
        except HanseError as error:
            if error.code not in ("peer.silent", "wire.missing", "peer.lost") and not isinstance(
                error, Foul
            ):
                raise
            self.notes.append(f"sum {number}, {party.name}: {error.message}")
            gone = error.code in ("wire.missing", "peer.lost")
            return _Held(_ENDED if gone else _MISSED)

    def _submitted(self, party: _Party, number: int, until: float) -> _Held:
        frame = self._frame(party, number, f"sum.{number}", until)
        if frame is None:
            return _Held()
        head = head_of(frame)
        if head.what != SUM:
            return _Held(_ENDED if head.what == END else _SKIPPED, head)
        frame = self._frame(party, number, f"sum.{number}.share", until)
        if frame is None:
            return _Held()
        share = share_of(frame, self._s.seat, head)
        if head.terms is None or not fits(self._policy, head.terms):
            raise Foul("learn.norm", "the declared bound leaves no room for a sum")
        return _Held(_IN, head, share)

    def _frame(self, party: _Party, number: int, step: str, until: float) -> Frame | None:
        """The party's next frame of this round; those of rounds that are over are thrown away.

        A party that missed the last round is waited for a moment only, but in full if it turns out to be alive.
        """
        moment = min(until, self._clock.monotonic() + self._patience.grace)
        ends = moment if party.missed else until
        while True:
            if party.waiting:
                frame = party.waiting.pop(0)
            else:
                left = max(0.0, ends - self._clock.monotonic())
                frame = self._channel.next_frame(self._policy.role(party.number), left)
            if frame.step == step:
                return frame
            of = _round_of(frame.step)
            if of > number:
                party.waiting.insert(0, frame)
                return None
            if of == number and step != f"sum.{number}":  # a second head instead of a share
                raise Foul("learn.twice", "it sent two parts in one round")
            ends = until

    # 2

    def _agree(self, s: Session, held: list[_Held]) -> tuple[list[int], bytes]:
        """(status of each party, a random number that no party could foresee), the same at all seats."""
        coin = self._entropy.take(_COIN)
        mine = np.frombuffer(b"".join(h.digest() for h in held) + coin, np.uint8)
        others = (s.left_seat, s.right_seat)
        for other in others:
            s.send(other, "held", mine)
        theirs = {other: s.receive(other, "held", mine.shape, _U8) for other in others}
        rows = [mine, *theirs.values()]
        table = np.stack([row[:-_COIN].reshape(len(held), 33) for row in rows])
        both = []
        for party in range(len(held)):
            statuses = set(table[:, party, 0].tolist())
            same = bool((table[:, party] == table[0, party]).all())
            gone = _ENDED in statuses
            both.append(_ENDED if gone else int(table[0, party, 0]) if same else _MISSED)
        ordered = sorted([(s.seat, mine), *theirs.items()], key=lambda pair: pair[0])
        coins = b"".join(row[-_COIN:].tobytes() for _, row in ordered)
        return both, hashlib.sha256(coins).digest()

    def _wanted(
        self, held: list[_Held], both: list[int]
    ) -> tuple[Terms | None, list[int], dict[str, str]]:
        """(what most want, who wants it, who is left out and why)."""
        wanted = {
            p: head.terms
            for p, (h, status) in enumerate(zip(held, both, strict=True))
            if status == _IN and (head := h.head) is not None and head.terms is not None
        }
        left_out = {}
        for party, status in zip(self._parties, both, strict=True):
            if status == _MISSED:
                left_out[party.name] = "its part was missing, late or not as declared"
            elif status in (_SKIPPED, _ENDED):
                left_out[party.name] = "it took no part"
        if not wanted:
            return None, [], left_out
        counts = Counter(wanted.values())
        terms = max(counts, key=lambda t: (counts[t], -min(p for p, w in wanted.items() if w == t)))
        for p, other in wanted.items():
            if other != terms:
                left_out[self._parties[p].name] = "it asked for another sum than most"
        return terms, [p for p, other in wanted.items() if other == terms], left_out

    # 3 and 4

    def _within(
        self, s: Session, terms: Terms, members: list[int], held: list[_Held], coin: bytes,
        left_out: dict[str, str],
    ) -> tuple[list[int], Words]:  # fmt: skip
        """(who stays, this seat's part of their sum)."""
        rows = Rows(terms, coin)
        for p in members:
            rows.add(_portions(terms, held[p]))
        broken = beyond(s, rows.sketches, terms)
        names = [self._parties[p].name for p in members]
        step = f"bound.{terms.name}.{self.rounds}"
        fine = open_whether(s, self._record, broken, names, terms, step)
        total = rows.total
        for p, within in zip(members, fine, strict=True):
            if not within:
                left_out[self._parties[p].name] = "its part was larger than the declared bound"
                for where, part in _portions(terms, held[p]):
                    total[where] -= part
        return [p for p, within in zip(members, fine, strict=True) if within], total


def _portions(terms: Terms, held: _Held) -> Iterator[tuple[slice, Words]]:
    """A party's part at this seat, portion by portion."""
    share = held.share
    if isinstance(share, bytes):
        yield from masks(share, terms)
        return
    for first in range(0, terms.length, _PORTION):
        where = slice(first, first + _PORTION)
        yield where, share[where]


def _round_of(step: str) -> int:
    """The number of the round that a frame belongs to; `Foul` if it belongs to none."""
    kind, _, rest = step.partition(".")
    number = rest.partition(".")[0]
    if kind != "sum" or not number.isdecimal() or len(number) > 9:
        raise Foul("wire.step", "it sent something that belongs to no sum")
    return int(number)
