"""One party's rows as boosting takes them, and what commits to them before a job is signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault, Foul


@dataclass(frozen=True)
class Rows:
    """``keys`` in the order all parties agreed on, and columns with a value a key; NaN or None: missing.

    Text columns are categories. ``personal`` must be said: rows about people are refused, unless ``authorised``
    says where the evidence of these people's authorisation is kept. ``monotone``: columns by which the prediction
    may only rise (1) or fall (-1).
    """

    party: str
    keys: Sequence[Any] | NDArray[Any]
    columns: Mapping[str, NDArray[Any]]
    personal: bool
    authorised: str = ""
    monotone: Mapping[str, int] = field(default_factory=dict)

    def keys_digest(self) -> bytes:
        """SHA-256 over the keys in order."""
        return hashlib.sha256("\x1f".join(map(str, self.keys)).encode()).digest()

    def sign_of(self, column: str) -> int:
        """The column's constraint: 1, -1 or 0."""
        return int(self.monotone.get(column, 0))


@dataclass(frozen=True)
class Pledge:
    """What a party committed to when the job was signed: its nonce, and everybody's commitments by party."""

    nonce: bytes
    commitments: Mapping[str, str]


def commitment(rows: Rows, nonce: bytes, **more: NDArray[Any]) -> str:
    """Hexadecimal SHA-256 over nonce, keys, and all columns with names, types and values (labels in ``more``).

    ``nonce``: 32 random bytes, told to nobody before an audit: without it a guess could be checked.
    """
    whole = hashlib.sha256(b"hanse-columns-v1|" + nonce + rows.keys_digest())
    for name, values in {**rows.columns, **{f"\x1f{k}": v for k, v in more.items()}}.items():
        raw = np.asarray(values)
        if raw.dtype.kind in "OUS":
            body = "\x1f".join(map(str, raw.tolist())).encode()
        else:
            body = np.ascontiguousarray(raw).tobytes()
        head = f"{len(name.encode())}|{name}|{raw.dtype.kind}|{raw.shape}|{rows.sign_of(name)}|"
        whole.update(head.encode() + hashlib.sha256(body).digest())
    return whole.hexdigest()


def require_pledged(party: str, said: str, pledge: Pledge | None) -> None:
    """`Foul` ``learn.swapped`` if what ``party`` trains on is not what it committed to."""
    if pledge is not None and pledge.commitments.get(party) != said:
        raise Foul(
            "learn.swapped",
            f"the columns of {party} are not those that it committed to before the job was signed",
            where=f"party {party}",
            remedy=f"{party} must check its table; nothing was learned, and the job can be asked again",
        )


def require_monotone(rows: Rows, *, classes: int, masked: bool = False) -> None:
    """`Fault` for constraints on columns that do not exist or that cannot have one."""
    for name, sign in rows.monotone.items():
        said = ""
        if name not in rows.columns:
            said = "there is no such column"
        elif sign not in (-1, 0, 1):
            said = "a constraint is 1 (rising), -1 (falling) or 0"
        elif sign and np.asarray(rows.columns[name]).dtype.kind in "OUS":
            said = "a column of categories has no order to rise or fall with"
        elif sign and masked:
            said = "with masks nobody sees the weights that a constraint would bind"
        elif sign and classes:
            said = "a multinomial model has no single prediction to rise or fall"
        if said:
            raise Fault("learn.monotone", said, where=f"{rows.party}.{name}",
                        remedy="correct the constraint or leave it out")  # fmt: skip
