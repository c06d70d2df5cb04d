"""Shares: what one seat holds of a secret. They do not print, compare or turn into truth values.

A secret is split into three components; seat ``i`` holds components ``i`` (``left``) and ``i + 1``
(``right``). `Ring` components add up modulo 2**64; `Bits` and `Words` components XOR together.
Linear operations are local and live here; everything that needs a message is a protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
SEATS = 3


def octets(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, without a copy if it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def words_for(rows: int) -> int:
    """64-bit words in a plane of ``rows`` bits."""
    return (rows + 63) // 64


class Silent:
    """What holds a part of a secret does not print, compare, turn into a truth value, or pickle."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, not shown>"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets are not compared in the clear; use engine.compare")

    def __bool__(self) -> NoReturn:
        raise TypeError("a secret has no truth value; use engine.select")

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


class Secret(Silent):
    """A seat's two components of a secret."""

    left: U64
    right: U64

    def __repr__(self) -> str:
        return f"<{type(self).__name__} share {list(self.left.shape)}, not shown>"


@dataclass(eq=False, repr=False, slots=True)
class Ring(Secret):
    """Integers modulo 2**64 (signed values in two's complement), any shape."""

    left: U64
    right: U64

    @property
    def shape(self) -> tuple[int, ...]:
        return self.left.shape

    @property
    def size(self) -> int:
        return int(self.left.size)

    def __add__(self, other: Ring) -> Ring:
        return Ring(self.left + other.left, self.right + other.right)

    def __sub__(self, other: Ring) -> Ring:
        return Ring(self.left - other.left, self.right - other.right)

    def __neg__(self) -> Ring:
        return Ring(np.uint64(0) - self.left, np.uint64(0) - self.right)

    def times(self, public: int | U64) -> Ring:
        """Product with a public integer or array (broadcast)."""
        factor = np.uint64(public % (1 << 64)) if isinstance(public, int) else public
        return Ring(self.left * factor, self.right * factor)

    def sum(self, axis: int | None = None) -> Ring:
        """Sum along ``axis`` (all axes if None)."""
        left = np.asarray(self.left.sum(axis=axis, dtype=np.uint64))
        right = np.asarray(self.right.sum(axis=axis, dtype=np.uint64))
        return Ring(left, right)

    def __getitem__(self, key: Any) -> Ring:
        return Ring(np.asarray(self.left[key]), np.asarray(self.right[key]))

    def reshape(self, *shape: int) -> Ring:
        return Ring(self.left.reshape(shape), self.right.reshape(shape))


@dataclass(eq=False, repr=False, slots=True)
class Bits(Secret):
    """XOR-shared bits in bit-sliced form, shape [..., words]; the leading axes count planes.

    ``rows`` is the number of valid bits along the last axis; bits past it are undefined.
    """

    left: U64
    right: U64
    rows: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.left.shape

    @property
    def planes(self) -> int:
        """Number of planes over all leading axes."""
        return int(self.left.size // max(1, self.left.shape[-1]))

    def __xor__(self, other: Bits) -> Bits:
        return Bits(self.left ^ other.left, self.right ^ other.right, self.rows)

    def __getitem__(self, key: Any) -> Bits:
        return Bits(self.left[key], self.right[key], self.rows)

    def reshape(self, *shape: int) -> Bits:
        return Bits(self.left.reshape(shape), self.right.reshape(shape), self.rows)


@dataclass(eq=False, repr=False, slots=True)
class Words(Secret):
    """XOR-shared rows of 64-bit words, shape [rows, width]: private tables before bit-slicing."""

    left: U64
    right: U64

    @property
    def rows(self) -> int:
        return int(self.left.shape[0])

    @property
    def width(self) -> int:
        return int(self.left.shape[1])

    def __getitem__(self, key: Any) -> Words:
        return Words(self.left[key], self.right[key])


def stack(parts: list[Bits]) -> Bits:
    """Planes of equal shape stacked along a new first axis."""
    return Bits(
        np.stack([p.left for p in parts]), np.stack([p.right for p in parts]), parts[0].rows
    )


def trimmed(x: Bits) -> Bits:
    """A copy whose undefined bits past ``rows`` are zero in all components."""
    left, right = x.left.copy(), x.right.copy()
    spare = -x.rows % 64
    if spare:
        keep = np.uint64((1 << (64 - spare)) - 1)
        left[..., -1] &= keep
        right[..., -1] &= keep
    return Bits(left, right, x.rows)


def join_planes(parts: list[Bits]) -> Bits:
    """Planes joined along the first axis."""
    return Bits(
        np.concatenate([p.left for p in parts]),
        np.concatenate([p.right for p in parts]),
        parts[0].rows,
    )


def join_elements(parts: list[Ring]) -> Ring:
    """Elements joined along the first axis."""
    return Ring(np.concatenate([p.left for p in parts]), np.concatenate([p.right for p in parts]))
