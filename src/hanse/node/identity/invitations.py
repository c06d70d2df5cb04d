"""Inviting a partner: one signed file or link with identity card, address and what kind of data the party holds.

An invitation proves that whoever made it holds the card's signing key, not who that is: both sides compare the
card's digits by another way (`confirm`). The ledger notes when they did, and until then says that nobody has.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hanse.errors import Foul, Refusal
from hanse.node.identity.cards import IdentityCard, read_card
from hanse.node.identity.keys import Identity
from hanse.wire.codec import canonical

FORMAT = "hanse-invitation-1"
LINK = "hanse:invite:"
_PREFIX = b"hanse-invitation-v1|"
VALID = timedelta(days=14)
_MOST_CHARACTERS = 1 << 16

Holding = Literal[
    "operator", "map", "sdk", "media", "shop", "retail", "payments", "agency", "other"
]
HOLDINGS = get_args(Holding)


class Invitation(BaseModel):
    """A read invitation. ``address`` is where the party's node listens, if it does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["hanse-invitation-1"]
    card: dict[str, Any]
    address: (
        tuple[
            Annotated[str, Field(min_length=1, max_length=255)],
            Annotated[int, Field(ge=1, le=65535)],
        ]
        | None
    )
    holds: Annotated[tuple[Holding, ...], Field(max_length=len(HOLDINGS))]
    note: Annotated[str, Field(max_length=500)]
    made: datetime
    expires: datetime
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]

    def identity(self) -> IdentityCard:
        """The checked card."""
        return read_card(self.card)


def invite(
    identity: Identity,
    address: tuple[str, int] | None,
    holds: Iterable[str],
    note: str,
    now: datetime,
) -> bytes:
    """A signed invitation to send to a partner: JSON. Raises `Refusal` ``invitation.holds`` or ``.note``."""
    kinds = list(dict.fromkeys(holds))
    unknown = [k for k in kinds if k not in HOLDINGS]
    if unknown:
        raise Refusal("invitation.holds", f"{unknown[0][:40]!r} is not a kind of data",
                      remedy="use " + ", ".join(HOLDINGS))  # fmt: skip
    if len(note) > 500:
        raise Refusal(
            "invitation.note", "the note is longer than 500 characters", remedy="shorten it"
        )
    fields: dict[str, Any] = {
        "format": FORMAT,
        "card": identity.card.document(),
        "address": list(address) if address else None,
        "holds": kinds,
        "note": note,
        "made": now.isoformat(timespec="seconds"),
        "expires": (now + VALID).isoformat(timespec="seconds"),
    }
    signature = identity.signing_key.sign(_PREFIX + canonical(fields)).hex()
    return canonical({**fields, "signature": signature})


def as_link(data: bytes) -> str:
    """The invitation as text that survives a chat or an e-mail."""
    return LINK + base64.urlsafe_b64encode(data).decode().rstrip("=")


def read_invitation(text: str, now: datetime) -> Invitation:
    """A received invitation, file content or link, checked in itself.

    Raises `Foul` ``invitation.malformed`` or ``invitation.tampered``, `Refusal` ``invitation.expired``.
    """
    text = text.strip()
    if len(text) > _MOST_CHARACTERS:
        raise _malformed("it is too long")
    try:
        if text.startswith(LINK):
            body = text.removeprefix(LINK)
            text = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
        fields = json.loads(text)
        invitation = Invitation.model_validate_json(text)
        signature = bytes.fromhex(fields.pop("signature"))
        message = _PREFIX + canonical(fields)
    except (ValidationError, ValueError, binascii.Error, RecursionError, AttributeError) as error:
        raise _malformed("its form is wrong, or a part of it was lost on the way") from error
    card = invitation.identity()
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(card.signing_key)).verify(
            signature, message
        )
    except InvalidSignature as error:
        raise Foul("invitation.tampered", f"the invitation of {card.party} was changed after it was signed",
                   remedy="ask the partner for it again, by another way") from error  # fmt: skip
    if invitation.expires.tzinfo is None or now > invitation.expires:
        raise Refusal("invitation.expired",
                      f"the invitation of {card.party} ended on {invitation.expires:%Y-%m-%d}",
                      remedy="ask the partner for a new one")  # fmt: skip
    return invitation


def same_digits(card: IdentityCard, digits: str) -> bool:
    """Whether digits that were read out are those of the card, however they were spaced."""
    return "".join(digits.split()).replace("-", "").lower() == card.spoken.replace(" ", "")


def _malformed(why: str) -> Foul:
    return Foul("invitation.malformed", f"this is not an invitation that Hanse can read: {why}",
                remedy="give the file or the whole link that 'hanse partner invite' made")  # fmt: skip
