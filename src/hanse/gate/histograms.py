"""Opening the sums of lattice histograms: to the holder of the secret, after it was written down.

The holder reads sums over groups of rows it can name. That is allowed for rows that are not people (places), and
for people only where the contract says that they authorised a model in the open, and where the evidence is; then
groups have at least 100 rows. Sums that carry masks, with splits chosen on shares, are not built.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import U32, Secret
from hanse.engine.lattice_opening import decrypt
from hanse.errors import Refusal
from hanse.gate.record import Opening, Record

LEAST_ROWS_OF_PEOPLE = 100


def require_open(personal: bool, authorised: bool, minimum_rows: int, party: str) -> None:
    """`Refusal` if the rows of ``party`` are about people who did not authorise it, or in groups too small."""
    if personal and not authorised:
        raise Refusal(
            "learn.personal",
            f"the rows of {party} are about people; histograms would tell the label holder about single rows",
            where=f"party {party}",
            remedy="boost over places or other rows that are not people, and declare personal = false; for people "
            "use a model that is trained on shares, or a contract that states their authorisation",
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
    authorised: bool = False,
    holder: str,
    to: str,
    minimum_rows: int,
    step: str,
) -> NDArray[np.int32]:
    """Signed sums [m, outputs], to the label holder ``to``, of what the feature holder ``holder`` returned.

    Reveals: each sum, over at least ``minimum_rows`` rows of one node and one group of bins.
    """
    require_open(personal, authorised, minimum_rows, holder)
    record.write(
        Opening(
            step,
            f"sums of gradients per bin of unnamed columns of {holder}, over at least {minimum_rows} rows each",
            (to,),
            int(body.size),
        )
    )
    return decrypt(secret, sums, body)
