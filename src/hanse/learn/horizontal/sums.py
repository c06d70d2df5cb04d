"""Secure sums: the sum over parties of a vector of reals, through three seats, as often as a job needs.

A party calls `SummingParty.sum(name, vector, norm=...)`; all parties call it in the same order, with equal names,
lengths and norms. A party that is silent for a round is left out of it, may come back in the next, and reads the
round's sum as the others do. Cost: a party uploads its vector once and downloads the sum once; see `seats` for what
the seats do with it, docs/claims/horizontal.md for what it tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse.engine.shares import SEATS
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul, Refusal
from hanse.gate.record import Opening, Record
from hanse.gate.sums import SumPolicy, Terms, read_sum
from hanse.learn.horizontal.numbers import F64, Scale, clipped, norm_of, scale_of
from hanse.learn.horizontal.parts import END, SKIP, Head, send_head, send_part
from hanse.wire import PatientChannel, canonical, parse_document

_U8 = np.dtype("u1")
PATIENCE = 3600.0  # seconds that a party waits for the seats, which wait for other parties


def _nothing(_: Opening) -> None:
    return None


@dataclass(frozen=True)
class Summed:
    """A sum as every party reads it."""

    name: str
    values: F64  # [length]
    contributors: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)  # party: why
    included: bool = True  # whether this party's own part is in it


class Summing(Protocol):
    """What models need of a party's end of the sums: `SummingParty`, or `Alone` without others."""

    name: str
    policy: SumPolicy

    def sum(
        self, name: str, vector: NDArray[Any], *, norm: float, width: int = 64, clip: bool = False
    ) -> Summed:
        """See `SummingParty.sum`."""
        ...

    def skip(self, name: str, length: int, *, norm: float, width: int = 64) -> Summed:
        """See `SummingParty.skip`."""
        ...

    def privacy(self) -> tuple[float, float]:
        """See `SummingParty.privacy`."""
        ...


class Alone:
    """Sums over one party's own vectors: for a model of its own, and for twins with all rows in one place."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.policy = SumPolicy((name,))  # of no use to seats

    def sum(
        self, name: str, vector: NDArray[Any], *, norm: float, width: int = 64, clip: bool = False
    ) -> Summed:
        del width
        values = _checked(vector, self.name)
        return Summed(name, clipped(values, norm) if clip else values, (self.name,))

    def skip(self, name: str, length: int, *, norm: float, width: int = 64) -> Summed:
        del length, norm, width
        raise Refusal("gate.contributors", "there is nobody else", where=name)

    def privacy(self) -> tuple[float, float]:
        return 0.0, 0.0


class SummingParty:
    """One party's end of the sums of a job; ``number`` is its place among ``policy.parties``.

    ``commit`` is called before a part leaves, with what may open: the party's own ledger debits there.
    """

    def __init__(
        self, channel: PatientChannel, policy: SumPolicy, number: int, entropy: Entropy, *,
        commit: Callable[[Opening], None] = _nothing, patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        policy.check()
        self.policy = policy
        self.name = policy.parties[number]
        self.record = Record()
        self.rounds = 0  # opened or not
        self.sums = 0  # opened
        self._channel = channel
        self._entropy = entropy
        self._commit = commit
        self._patience = patience

    def sum(
        self, name: str, vector: NDArray[Any], *, norm: float, width: int = 64, clip: bool = False
    ) -> Summed:
        """The sum of all contributors' vectors [length].

        ``norm`` bounds the Euclidean norm of every party's vector, the same at all; a longer one is a `Fault`,
        or is shortened if ``clip``. `Refusal` ``gate.contributors`` if too few took part: the round is over for
        all.
        """
        scale = self._scale(name, np.asarray(vector), norm, width)
        values = _checked(vector, self.name)
        if clip:
            values = clipped(values, norm)
        elif norm_of(values) > norm * (1 + 1e-9):
            raise Fault("learn.norm", f"the vector of {self.name} is longer than was declared", where=name,
                        remedy="declare a larger norm at all parties, or let it be clipped")  # fmt: skip
        self._note(scale.terms)
        send_part(self._channel, self.rounds, scale.terms, scale.encode(values), self._entropy)
        return self._outcome(scale)

    def skip(self, name: str, length: int, *, norm: float, width: int = 64) -> Summed:
        """Read the sum of the others without a part of one's own, and without making them wait."""
        scale = self._scale(name, np.zeros(length), norm, width)
        send_head(self._channel, self.rounds, Head(SKIP))
        return self._outcome(scale)

    def end(self) -> None:
        """Leave for good: no round waits for this party any more."""
        send_head(self._channel, self.rounds, Head(END))

    def privacy(self) -> tuple[float, float]:
        """(epsilon, delta) of all sums so far together; (0, 0) where there is no noise."""
        return self.policy.price(self.sums) if self.sums else (0.0, 0.0)

    def _scale(self, name: str, vector: NDArray[Any], norm: float, width: int) -> Scale:
        if vector.ndim != 1:
            raise Fault("learn.sum", f"a sum is over vectors, not arrays of {vector.ndim} axes", where=name,
                        remedy="flatten it")  # fmt: skip
        return scale_of(self.policy, name, vector.size, norm, width)

    def _note(self, terms: Terms) -> None:
        kind = "with noise" if self.policy.noise else "exact"
        least = self.policy.least_contributors
        opening = Opening(f"sum.{self.rounds}", f"the sum of {terms.name!r} over at least {least} parties, {kind}",
                          self.policy.parties, terms.length, *self.policy.price(1))  # fmt: skip
        self.record.write(opening)
        self._commit(opening)

    def _outcome(self, scale: Scale) -> Summed:
        number = self.rounds
        self.rounds += 1
        told = self._told(number)
        wanted = scale.terms.body()
        contributors = tuple(str(name) for name in told["contributors"])
        left_out = {str(name): str(why) for name, why in told["left_out"].items()}
        if not told["opened"]:
            raise Refusal(
                "gate.contributors",
                f"only {len(contributors)} parties took part in {scale.terms.name!r}, "
                f"and {self.policy.least_contributors} must",
                where="; ".join(f"{name}: {why}" for name, why in left_out.items()),
                remedy="run the job again when more parties are there",
            )
        if told["terms"] != wanted:
            raise Foul("learn.sum", f"the others summed up something else than {scale.terms.name!r}",
                       remedy="let all parties run the same job with the same version")  # fmt: skip
        if len(set(contributors)) < self.policy.least_contributors:
            raise Foul("gate.contributors", "the seats opened a sum over too few parties")
        self.sums += 1
        values = scale.decode(read_sum(self._channel, number, scale.terms))
        return Summed(scale.terms.name, values, contributors, left_out, self.name in contributors)

    def _told(self, number: int) -> dict[str, Any]:
        """What became of a round: the same from all three seats."""
        texts = []
        for seat in range(SEATS):
            frame = self._channel.next_frame(seat, self._patience)
            body = frame.body
            if (
                frame.step != f"sum.{number}.outcome"
                or not isinstance(body, np.ndarray)
                or body.dtype != _U8
            ):
                raise Foul(
                    "wire.step",
                    f"seat {seat} is at step {frame.step!r}, not at the end of sum {number}",
                )
            texts.append(body.tobytes())
        if len(set(texts)) != 1:
            raise Foul("learn.outcome", "the seats do not agree about who took part",
                       remedy="compare the seats' ledgers before a rerun")  # fmt: skip
        return parse_document(texts[0])


def outcome_of(
    terms: Terms | None, contributors: list[str], left_out: dict[str, str], *, opened: bool
) -> NDArray[np.uint8]:
    """What seats tell the parties of a round, as they read it above."""
    body = {"terms": terms.body() if terms else None, "contributors": contributors,
            "left_out": left_out, "opened": opened}  # fmt: skip
    return np.frombuffer(canonical(body), np.uint8)


def _checked(vector: NDArray[Any], party: str) -> F64:
    try:
        values = np.asarray(vector, np.float64)
    except (TypeError, ValueError) as error:
        raise Fault("learn.sum", f"the vector of {party} is not numeric") from error
    if not np.isfinite(norm_of(values)) and not np.isfinite(values).all():
        raise Fault("learn.finite", f"the vector of {party} has missing or infinite values",
                    remedy="find out why the local model diverged; a smaller learning rate may help")  # fmt: skip
    return values
