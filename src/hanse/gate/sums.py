"""The only place where a summed update opens: to the parties, if enough of them are in it, once.

Each seat holds an additive part of the sum (all three are needed). Seats 0 and 1 mask theirs with streams whose
seeds they tell the parties, seat 2 adds the masked parts to its own and sends the total on: a party downloads the
sum once, and a seat that is no party sees uniform words.
Reveals: to every party of the job the sum over the contributors, exact or noised, and who they are; to seats
whether each party's part is within its declared bound: one bit a party. A sum of fewer than three parties never
opens: two know each other's part from it.
Assumes: seats follow the protocol; a seat that alters its part of a sum is not found out by the sum.
Source: Bonawitz et al. 2017, "Practical Secure Aggregation" (the aim); additive sharing among three servers as in
Corrigan-Gibbs and Boneh 2017, "Prio".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.engine.masks import KEY_BYTES, Stream
from hanse.engine.reveal import open_bits
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Bits
from hanse.entropy import Entropy
from hanse.errors import Fault, Refusal
from hanse.gate.gaussian import discrete_gaussian, epsilon_of, zcdp_of
from hanse.gate.record import Opening, Record
from hanse.wire import Channel, canonical

LEAST_CONTRIBUTORS = 3
MOST_LENGTH = 1 << 26
WIDTHS: dict[int, np.dtype[Any]] = {32: np.dtype("<u4"), 64: np.dtype("<u8")}
Words = NDArray[Any]  # of 32 or 64 bits: integers modulo 2**width
_U8 = np.dtype("u1")
_PORTION = 1 << 15  # elements; an even number, so that portions of 32 bits are whole words


@dataclass(frozen=True)
class SumPolicy:
    """What holds for all sums of a job: its parties (roles 3, 4, ... in this order), the least contributors, noise.

    ``noise`` is the deviation of the noise of any two seats together, in units of a party's norm bound; 0: none.
    """

    parties: tuple[str, ...]
    least_contributors: int = LEAST_CONTRIBUTORS
    noise: float = 0.0
    delta: float = 1e-8

    def check(self) -> None:
        """`Refusal` where fewer than three could open a sum, `Fault` where the parties cannot be told apart."""
        if self.least_contributors < LEAST_CONTRIBUTORS:
            raise Refusal(
                "gate.contributors",
                f"a sum over {self.least_contributors} parties would tell each of them the other's part",
                remedy=f"ask for at least {LEAST_CONTRIBUTORS} contributors",
            )
        if len(self.parties) < self.least_contributors:
            raise Refusal(
                "gate.contributors",
                f"{len(self.parties)} parties cannot make up {self.least_contributors} contributors",
                remedy=f"find at least {self.least_contributors} parties",
            )
        if len(set(self.parties)) != len(self.parties):
            raise Fault("gate.parties", "two parties have one name", remedy="name them apart")
        if not (self.noise == 0 or 0.01 <= self.noise <= 1000):
            raise Refusal("gate.noise", "noise must be 0, or 0.01 to 1000 times the norm bound",
                          remedy="choose a multiplier in that range")  # fmt: skip

    def role(self, party: int) -> int:
        """The role of the party of this number."""
        return SEATS + party

    def price(self, sums: int) -> tuple[float, float]:
        """(epsilon, delta) of so many opened sums together, for one party's part; (0, 0) without noise."""
        if not self.noise:
            return 0.0, 0.0
        return epsilon_of(sums * zcdp_of(self.noise), self.delta), self.delta


@dataclass(frozen=True)
class Terms:
    """What a sum is: name, number of elements, their width in bits, largest norm of a part in their units."""

    name: str
    length: int
    width: int
    limit: int

    def body(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "length": self.length,
            "width": self.width,
            "limit": self.limit,
        }

    @property
    def dtype(self) -> np.dtype[Any]:
        return WIDTHS[self.width]


def open_whether(
    s: Session, record: Record, x: Bits, names: list[str], terms: Terms, step: str
) -> list[bool]:
    """Whether the lowest bit of each party's word [parties] is 0 (its part is within bounds), told to the seats.

    All other bits must be 0.
    """
    what = f"whether the parts of {', '.join(names)} in {terms.name!r} are within bounds"
    record.write(Opening(step, what, ("seats",), len(names)))
    return [not word for word in open_bits(s, x, "within").tolist()]


class SumsDoor:
    """A seat's way out for the sums of one job: each number opens once at most, for one set of contributors."""

    def __init__(
        self, channel: Channel, record: Record, policy: SumPolicy, entropy: Entropy,
        commit: Callable[[Record], None],
    ) -> None:  # fmt: skip
        policy.check()
        self._channel = channel
        self._record = record
        self._policy = policy
        self._entropy = entropy
        self._commit = commit
        self._opened: set[int] = set()

    def open(
        self, s: Session, number: int, terms: Terms, part: Words, contributors: list[int],
        listeners: list[int],
    ) -> None:  # fmt: skip
        """Send the sum ``number`` to the roles ``listeners``; ``part`` [length] is this seat's, changed in place.

        The record is written, agreed on and committed before anything leaves.
        """
        policy = self._policy
        if len(set(contributors)) < policy.least_contributors:
            raise Refusal("gate.contributors", f"only {len(set(contributors))} parties are in the sum",
                          where=terms.name, remedy="run it again when more parties take part")  # fmt: skip
        if number in self._opened:
            raise Fault("gate.sum", f"the sum {number} was opened before", where=terms.name)
        self._opened.add(number)
        if policy.noise:
            self._add_noise(part, terms)
        step = f"sum.{number}"
        names = tuple(policy.parties[p] for p in contributors)
        kind = "with noise" if policy.noise else "exact"
        entry = Opening(step, f"the sum of {terms.name!r} over {', '.join(names)}, {kind}",
                        policy.parties, terms.length, *policy.price(1))  # fmt: skip
        self._record.write(entry)
        s.check_equal("opening", canonical(entry.body()), "records of what is opened")
        self._commit(self._record)
        if s.seat == SEATS - 1:
            for other in range(SEATS - 1):
                part += s.receive(other, "masked", (terms.length,), terms.dtype)
            for role in listeners:
                self._channel.send(role, f"{step}.total", part)
            return
        seed = self._entropy.take(KEY_BYTES)
        for where, mask in masks(seed, terms):
            part[where] += mask
        s.send(SEATS - 1, "masked", part)
        for role in listeners:
            self._channel.send(role, f"{step}.mask", np.frombuffer(seed, np.uint8))

    def _add_noise(self, part: Words, terms: Terms) -> None:
        """Half the variance each: any two seats' draws alone make up what is promised."""
        sigma = self._policy.noise * terms.limit / math.sqrt(2)
        drawn = discrete_gaussian(Stream(self._entropy.take(KEY_BYTES)), sigma, terms.length)
        part += drawn.view(np.uint64).astype(terms.dtype)


def read_sum(channel: Channel, number: int, terms: Terms) -> Words:
    """A party's part of the opening: the sum [length] modulo 2**width."""
    step = f"sum.{number}"
    total = channel.receive(SEATS - 1, f"{step}.total", terms.dtype, (terms.length,)).copy()
    for seat in range(SEATS - 1):
        seed = channel.receive(seat, f"{step}.mask", _U8, (KEY_BYTES,)).tobytes()
        for where, mask in masks(seed, terms):
            total[where] -= mask
    return total


def masks(seed: bytes, terms: Terms) -> Iterator[tuple[slice, Words]]:
    """The uniform elements that a seed stands for, in portions that stay in the processor's cache."""
    stream = Stream(seed)
    for first in range(0, terms.length, _PORTION):
        count = min(_PORTION, terms.length - first)
        words = stream.take(-(-count * terms.width // 64))
        yield slice(first, first + count), words.view(terms.dtype)[:count]
