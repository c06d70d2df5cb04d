"""A channel whose roles are numbered as a protocol wants them: the label's party first, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hanse.wire import Array, Channel


class Renumbered:
    """Role ``i`` of the protocol is role ``roles[i]`` of the job."""

    def __init__(self, inner: Channel, roles: Sequence[int]) -> None:
        self._inner = inner
        self._roles = tuple(roles)
        self.role = self._roles.index(inner.role) if inner.role in self._roles else -1

    def send(self, to: int, step: str, array: Array) -> None:
        self._inner.send(self._roles[to], step, array)

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        return self._inner.receive(self._roles[source], step, dtype, shape)
