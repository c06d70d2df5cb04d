"""Decryption of lattice sums. Only the room `gate` may import this module (`hanse.gate.histograms`).

Reveals: exactly the sums it is given, with the noise that `hanse.engine.lattice.noise_deviation` states.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import U32, Secret
from hanse.engine.lattice_kernels import subtract_products


def decrypt(secret: Secret, sums: U32, body: U32) -> NDArray[np.int32]:
    """Signed sums [m, outputs] of returned ``sums`` [m, n] and ``body`` [m, outputs]."""
    out = body.copy()
    subtract_products(
        np.ascontiguousarray(sums), secret.values.astype(np.int32).view(np.uint32), out
    )
    return out.view(np.int32)
