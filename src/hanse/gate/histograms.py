"""Opening the sums of lattice histograms: to the holder of the secret, after it was written down.

With the unmasked form the holder reads sums over groups of rows it can name. That is allowed for rows that are not
people (places); for people the sums must carry masks, and splits are chosen on shares (not built yet: refused).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import U32, Secret
from hanse.engine.lattice_opening import decrypt
from hanse.errors import Refusal
from hanse.gate.record import Opening, Record


def require_not_personal(personal: bool, party: str) -> None:
    """`Refusal` if the rows of ``party`` are about people."""
    if personal:
        raise Refusal(
            "learn.personal",
            f"the rows of {party} are about people; histograms would tell the label holder about single rows",
            where=f"party {party}",
            remedy="boost over places or other rows that are not people, and declare personal = false; for people "
            "use a model that is trained on shares",
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
    require_not_personal(personal, holder)
    record.write(
        Opening(
            step,
            f"sums of gradients per bin of unnamed columns of {holder}, over at least {minimum_rows} rows each",
            (to,),
            int(body.size),
        )
    )
    return decrypt(secret, sums, body)
