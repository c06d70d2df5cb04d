"""Every error Hanse raises on purpose.

    HanseError
    ├── Refusal    a policy said no: contract, threshold, budget, role      (nothing is broken)
    ├── Fault      something of ours or of the world broke: peer lost, disk full, bad input
    └── Foul       a peer broke the protocol: wrong size, order, type, signature, replay

An error has a stable ``code`` (``"contract.unsigned"``), a ``message`` that may cross the wire, a
``remedy`` that says how to mend it, and ``where`` (party, dataset, column, step). ``detail`` is
for the local log of the organisation that raised it and is never sent.
"""

from __future__ import annotations

from collections.abc import Mapping


class HanseError(Exception):
    """Base of all deliberate errors; see the module for the tree."""

    kind = "error"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        remedy: str = "",
        where: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.where = where
        self.detail = detail

    def public(self) -> dict[str, str]:
        """What may be told to other parties: no ``detail``."""
        return {
            "kind": self.kind,
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "where": self.where,
        }

    def again(self) -> HanseError:
        """A fresh copy to raise in another thread, with a trace of its own."""
        return type(self)(
            self.code,
            self.message,
            remedy=self.remedy,
            where=self.where,
            detail=self.detail,
        )

    def __str__(self) -> str:
        text = f"[{self.code}] {self.message}"
        if self.where:
            text += f" (at {self.where})"
        if self.remedy:
            text += f". To mend it: {self.remedy}"
        return text


class Refusal(HanseError):
    """A policy said no. Nothing is broken; ask for something the contract allows."""

    kind = "refusal"


class Fault(HanseError):
    """Something broke: a lost peer, a full disk, a missing column."""

    kind = "fault"


class Foul(HanseError):
    """A peer broke the protocol. The job stops; the peer is named."""

    kind = "foul"


_KINDS: dict[str, type[HanseError]] = {c.kind: c for c in (Refusal, Fault, Foul)}


def from_public(fields: Mapping[str, object]) -> HanseError:
    """Rebuild an error that a peer reported; unknown kinds become a `Fault`."""

    def text(name: str, limit: int) -> str:
        value = fields.get(name, "")
        return value[:limit] if isinstance(value, str) else ""

    cls = _KINDS.get(text("kind", 16), Fault)
    return cls(
        text("code", 80) or "peer.error",
        text("message", 2000) or "a peer reported an error without a message",
        remedy=text("remedy", 2000),
        where=text("where", 400),
    )
