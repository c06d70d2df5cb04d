"""One message on the wire: a typed array or a small document, addressed within a stream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STREAM_BYTES = 16
MAX_STEP_BYTES = 200
MAX_DIMENSIONS = 4


class Kind(IntEnum):
    """What a frame carries."""

    ARRAY = 1  # a typed array, part of a protocol step
    DOCUMENT = 2  # canonical JSON: control messages between nodes
    ABORT = 3  # canonical JSON of a public error; ends the stream
    PING = 4  # keeps idle connections and NAT entries alive; no stream


DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u8"),
    2: np.dtype("<u4"),
    3: np.dtype("u1"),
    4: np.dtype("<i8"),
    5: np.dtype("<u2"),
}
DTYPE_CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame. ``source`` and ``target`` are role numbers within the stream."""

    kind: Kind
    stream: bytes
    source: int
    target: int
    sequence: int
    step: str
    body: Array | bytes
