"""Opening the sums of lattice histograms: to the holder of the secret, after it was written down.

Without masks the holder reads sums over groups of rows it can name: for rows that are not people (places) only.
With masks it reads uniform words; three seats choose the splits on shares, and tell whose they are, and to each
owner which. About people only where the contract says that they authorised a model in the open, and where the
evidence is; then with masks, and with at least 100 rows on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import U32, Secret
from hanse.engine.lattice_opening import decrypt
from hanse.engine.reveal import open_ring, receive_ring, send_ring
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from hanse.errors import Refusal
from hanse.gate.record import Opening, Record
from hanse.wire import Channel

LEAST_ROWS_OF_PEOPLE = 100


def require_open(
    personal: bool, authorised: bool, masked: bool, minimum_rows: int, party: str
) -> None:
    """`Refusal` if the rows of ``party`` are about people who did not authorise it, without masks, or too few."""
    if personal and not authorised:
        raise Refusal(
            "learn.personal",
            f"the rows of {party} are about people; histograms would tell the label holder about single rows",
            where=f"party {party}",
            remedy="boost over places or other rows that are not people, and declare personal = false; for people "
            "use a model that is trained on shares, or a contract that states their authorisation",
        )
    if personal and not masked:
        raise Refusal(
            "learn.personal.masks",
            f"the rows of {party} are about people; open sums would tell the label holder about single rows",
            where=f"party {party}",
            remedy="set masked = true: sums carry masks, and three seats choose the splits",
        )
    if personal and minimum_rows < LEAST_ROWS_OF_PEOPLE:
        raise Refusal(
            "learn.personal.rows",
            f"the rows of {party} are about people; sums over {minimum_rows} rows are too small to be told",
            where=f"party {party}",
            remedy=f"set minimum_rows to {LEAST_ROWS_OF_PEOPLE} or more",
        )


def open_histogram(
    record: Record,
    secret: Secret,
    sums: U32,
    body: U32,
    *,
    personal: bool,
    holder: str,
    to: str,
    minimum_rows: int,
    step: str,
) -> NDArray[np.int32]:
    """Signed sums [m, outputs], to the label holder ``to``, of what the feature holder ``holder`` returned.

    Reveals: each sum, over at least ``minimum_rows`` rows of one node and one group of bins.
    """
    require_open(personal, False, False, minimum_rows, holder)
    record.write(
        Opening(
            step,
            f"sums of gradients per bin of unnamed columns of {holder}, over at least {minimum_rows} rows each",
            (to,),
            int(body.size),
        )
    )
    return decrypt(secret, sums, body)


def open_masked(
    record: Record, secret: Secret, sums: U32, body: U32, *, holder: str, to: str, step: str
) -> NDArray[np.int32]:
    """Sums [m, outputs] with the masks of ``holder`` on them: uniform words to the label holder ``to``."""
    what = f"sums of gradients under masks of {holder}: uniform words"
    record.write(Opening(step, what, (to,), int(body.size)))
    return decrypt(secret, sums, body)


def tell_splits(
    s: Session, record: Record, owner: Ring, places: Sequence[Ring], roles: Sequence[int], parties: Sequence[str],
    step: str,
) -> None:  # fmt: skip
    """Whose split each node gets (``owner`` [nodes]: 0 none, 1 the first of ``parties``, ...) to all parties and
    the seats, and to each owner but the first which of its candidates (``places`` [nodes] of the others)."""
    what = "whose columns split each node of a level, if any"
    record.write(Opening(f"{step}.owner", what, ("seats", *parties), owner.size))
    owners = open_ring(s, owner, f"{step}.owner")
    for role in roles:
        send_ring(s.channel, owner, role, f"{step}.owner")
    for number, (role, party) in enumerate(zip(roles[1:], parties[1:], strict=True)):
        mine = np.flatnonzero(owners == number + 2)
        if mine.size:
            named = f"which of its own candidates split {mine.size} nodes of a level"
            record.write(Opening(f"{step}.place", named, (party,), int(mine.size)))
            send_ring(s.channel, places[number][mine], role, f"{step}.place")


def read_splits(channel: Channel, count: int, step: str, what: str) -> NDArray[np.int64]:
    """A party's part of `tell_splits`: ``what`` is owner or place, [count], checked between the seats."""
    return receive_ring(channel, (count,), f"{step}.{what}").view(np.int64)
