"""Signed fixed-point numbers as fields of declared width: packed at home, ring elements at the seats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine.functions import ring_numbers
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, stack


def signed_values(values: NDArray[np.float64], fraction: int, bits: int) -> NDArray[np.uint64]:
    """Two's complement of ``bits`` bits of values with ``fraction`` of them; what is too large is cut."""
    most = (1 << (bits - 1)) - 1
    scaled = np.clip(np.rint(values * (1 << fraction)), -most, most).astype(np.int64)
    return np.asarray(scaled.view(np.uint64) & np.uint64((1 << bits) - 1))


def signed_numbers(s: Session, fields: list[Bits], step: str) -> Ring:
    """Fields [bits, words] of equal width as elements [fields, rows]: half the range is added and taken off."""
    planes = stack(fields)  # [fields, bits, words]
    bits = planes.shape[1]
    turned = Bits(
        np.ascontiguousarray(planes.left.swapaxes(0, 1)), np.ascontiguousarray(planes.right.swapaxes(0, 1)),
        planes.rows,
    )  # fmt: skip
    flipped = s.invert(turned[bits - 1])
    turned.left[bits - 1], turned.right[bits - 1] = flipped.left, flipped.right
    raised = ring_numbers(s, turned, step)
    half = s.public_ring(1 << (bits - 1))
    return Ring(raised.left - half.left, raised.right - half.right)
