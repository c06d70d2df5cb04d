"""The partner directory: whom this node knows, by name and by pinned certificate."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from hanse.errors import Refusal
from hanse.node.identity.cards import IdentityCard


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner's checked identity card and, if it listens, where: host name or address, port."""

    card: IdentityCard
    address: tuple[str, int] | None = None
    holds: tuple[str, ...] = ()  # kinds of data, as the partner says (`invitations.HOLDINGS`)
    confirmed: str = ""  # the spoken digits that people compared, "" if nobody has yet

    @property
    def name(self) -> str:
        return self.card.party

    @property
    def is_confirmed(self) -> bool:
        """Whether people have compared the digits of this very card."""
        return self.confirmed == self.card.spoken

    @property
    def fingerprint(self) -> str:
        return self.card.fingerprint


class Directory:
    """The known partners. Thread-safe; a change holds from the next handshake on."""

    def __init__(self, partners: Iterable[Partner] = ()) -> None:
        self._lock = threading.Lock()
        self._by_name: dict[str, Partner] = {}
        for partner in partners:
            self.put(partner)

    def put(self, partner: Partner) -> None:
        """Add a partner, or replace the one of that name.

        Raises `Refusal` ``partner.same-certificate`` if another partner has its certificate: then
        nobody could tell the two apart.
        """
        with self._lock:
            for other in self._by_name.values():
                if other.fingerprint == partner.fingerprint and other.name != partner.name:
                    raise Refusal(
                        "partner.same-certificate",
                        f"{partner.name!r} has the same certificate as {other.name!r}",
                        remedy="ask that partner for its own identity card",
                        where=partner.name,
                    )
            self._by_name[partner.name] = partner

    def remove(self, name: str) -> None:
        """Forget a partner; nothing happens if it was not known."""
        with self._lock:
            self._by_name.pop(name, None)

    def get(self, name: str) -> Partner | None:
        """The partner of that name, if known."""
        with self._lock:
            return self._by_name.get(name)

    def holder(self, fingerprint: str) -> Partner | None:
        """The partner whose certificate has this fingerprint, if any."""
        with self._lock:
            for partner in self._by_name.values():
                if partner.fingerprint == fingerprint:
                    return partner
            return None

    def all(self) -> tuple[Partner, ...]:
        """Every partner, by name."""
        with self._lock:
            return tuple(self._by_name[name] for name in sorted(self._by_name))
