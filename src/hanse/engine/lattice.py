"""Sums of encrypted rows: additively homomorphic LWE whose public vectors are windows of ring polynomials.

One holder of numbers (two per row, say) encrypts them under a secret of its own; another adds ciphertexts of rows
of its choice and returns sums; the first decrypts the sums (`hanse.gate.histograms`, the only door).

    public     a_k uniform in Z_q[X]/(X^n + 1), one for each n rows, from AES-CTR under HKDF(job)
    secret     s_o per output o, discrete Gaussian; new for every tree and output
    row        body_o = (a_k s_o)_j + e + round(S_o x), row j of block k; all outputs share the public vector
    sum        of public vectors (n words) and of bodies (a word an output)
    returned   plus a fresh encryption of zero under the public key (a*, a* s_o + e): one ring encryption a sum

with q = 2^32, n = 1024 and deviation 12.8 of secrets and errors.

Reveals: to who adds, nothing (RLWE, normal form, 2^130.5 by the lattice estimator; docs/decisions/0012). To who
decrypts, the sum with noise of deviation `noise_deviation`; without the encryption of zero it would reveal
*which rows* were added, since every public vector is known. Assumes: both follow the protocol; the
decrypting side does not forge rows. Source: Lyubashevsky, Peikert, Regev 2010 (RLWE); Applebaum et al. 2009
(secret drawn like the error); Peikert, Regev, Stephens-Davidowitz 2017 (any modulus).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hanse.engine import lattice_kernels as kernels
from hanse.engine.masks import KEY_BYTES, Stream, derive
from hanse.entropy import Entropy
from hanse.errors import Fault

N = kernels.DIMENSION
SIGMA = Decimal("12.8")
ROOM = 1.05  # the largest possible sum takes 1/1.05 of the modulus: noise fits in the rest
SUM_BYTES = 4 * N  # of a returned sum's public part; 4 more for each output
_BATCH = 64  # ring products at a time: they stay in the second cache
_TWIST = np.exp(1j * np.pi * np.arange(N // 2) / N)

U32 = NDArray[np.uint32]
I8 = NDArray[np.int8]
C128 = NDArray[np.complex128]


@lru_cache(maxsize=1)
def gaussian_table() -> tuple[NDArray[np.uint64], I8]:
    """Walker's alias table of P(x) ~ exp(-x^2 / (2 sigma^2)), x = -127 .. 127, in units of 2**-56 a slot.

    A draw is 8 bits of slot and 56 bits against the slot's bound: probabilities are multiples of 2**-64.
    What is cut off past 127 (9.9 sigma) weighs less than 2**-70.
    """
    size = kernels.SAMPLER_SIZE
    with localcontext(Context(prec=60)):
        weights = [
            Decimal(0) if x == -128 else (-Decimal(x * x) / (2 * SIGMA**2)).exp()
            for x in range(-128, 128)
        ]
        scale = Decimal(1 << 64) / sum(weights, Decimal(0))
        masses = [int((w * scale).to_integral_value()) for w in weights]
    masses[128] += (1 << 64) - sum(masses)  # rounding goes to the likeliest value
    full = (1 << 64) // size
    bounds, other = [full] * size, list(range(-128, 128))
    small = [i for i in range(size) if masses[i] < full]
    large = [i for i in range(size) if masses[i] >= full]
    while small:
        low, high = small.pop(), large[-1]
        bounds[low], other[low] = masses[low], high - 128
        masses[high] -= full - masses[low]
        if masses[high] < full:
            small.append(large.pop())
    return np.array(bounds, np.uint64), np.array(other, np.int8)


class Gaussian:
    """Discrete Gaussian draws, deviation 12.8, from a cipher keyed by ``entropy`` (a node's: the operating
    system's)."""

    def __init__(self, entropy: Entropy) -> None:
        self._stream = Stream(entropy.take(KEY_BYTES))

    def draw(self, *shape: int) -> I8:
        """Independent draws of the given shape."""
        out = np.empty(shape, np.int8)
        bounds, other = gaussian_table()
        kernels.gaussian(self._stream.take(out.size), bounds, other, out.reshape(-1))
        return out


def transform(values: U32 | I8) -> C128:
    """Evaluations [rows, n/2] of ring elements [rows, n], taken as signed."""
    signed = values.view(np.int32) if values.dtype == np.uint32 else values
    out = np.empty((values.shape[0], N // 2), np.complex128)
    kernels.fold(np.ascontiguousarray(signed), _TWIST, out)
    return np.asarray(np.fft.fft(out, axis=1, out=out))


def products(public: C128, small: C128) -> U32:
    """Ring products [rows, n] modulo 2**32, from `transform`s, one factor with entries of Gaussian size.

    Exact: entries of the product have deviation 2^31/sqrt(3) * 12.8 * 32 < 2^39, double rounding errors
    about 2^-12.
    """
    values = np.multiply(public, small)
    np.fft.ifft(values, axis=1, out=values)
    out = np.empty((values.shape[0], N), np.uint32)
    kernels.unfold(values, _TWIST, out)
    return out


class Public:
    """The uniform part of a job that all its parties derive alike: ring samples for ``rows`` rows, and a*."""

    def __init__(self, job: bytes, rows: int) -> None:
        if rows < 1:
            raise Fault("lattice.rows", "there are no rows to encrypt")
        self.rows = rows
        self.blocks = -(-rows // N)
        key = derive(job, "hanse-lattice-v1|public")
        words = Stream(key).take((self.blocks + 1) * N // 2).view(np.uint32)
        ring = words.reshape(self.blocks + 1, N)
        self.rings = transform(ring)  # of the blocks, and last of a*
        reverse = ring[:-1, ::-1]
        self.windows: U32 = np.concatenate([reverse, -reverse], axis=1).reshape(-1)


@dataclass(frozen=True, repr=False, eq=False)
class Secret:
    """What decrypts: one ring element of Gaussian entries per output. Never printed, compared or sent."""

    values: I8 = field(repr=False)  # [outputs, n]

    def __repr__(self) -> str:
        return f"<secret of {self.values.shape[0]} outputs>"


@dataclass(frozen=True, eq=False)
class Encrypted:
    """Rows under one secret: ``body`` [outputs, rows], and the public ``key`` [outputs, n] over a*."""

    body: U32
    key: U32


def scales(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """S = floor(2^31 / (1.05 sum |x|)) for each output, from sum |x| [outputs]: no sum of rows can wrap.

    Not rounded down where it is below 1 (numbers in the billions), which would leave nothing.
    """
    exact = 2.0**31 / (ROOM * np.where(magnitudes > 0, magnitudes, 1.0))
    return np.asarray(np.where(exact >= 1, np.floor(exact), exact))


def encrypt(
    public: Public, numbers: NDArray[np.int64], entropy: Entropy
) -> tuple[Secret, Encrypted]:
    """Encrypt integers [outputs, rows] under a fresh secret, which must decrypt sums of these rows only.

    A secret never serves twice: the same public vector and secret for two numbers would give their difference away.
    """
    outputs = numbers.shape[0]
    draws = Gaussian(entropy)
    secret = draws.draw(outputs, N)
    factor = transform(secret)
    masks = np.empty((outputs, (public.blocks + 1) * N), np.uint32)
    for k in range(outputs):
        for first in range(0, public.blocks + 1, _BATCH):
            part = products(public.rings[first : first + _BATCH], factor[k])
            masks[k, first * N : first * N + part.size] = part.reshape(-1)
    masks += draws.draw(*masks.shape).astype(np.int32).view(np.uint32)
    body = masks[:, : public.rows] + (numbers & 0xFFFFFFFF).astype(np.uint32)
    return Secret(secret), Encrypted(body, masks[:, public.blocks * N :].copy())


class Randomisers:
    """Encryptions of zero, made ahead, each handed out once. They depend on a* alone, not on data, secret or
    tree."""

    def __init__(self, public: Public, entropy: Entropy) -> None:
        self._star = public.rings[-1]
        self._draws = Gaussian(entropy)

    def apply(self, sums: U32, body: U32, key: U32) -> None:
        """Add a fresh encryption of zero to each sum in place: ``sums`` [m, n], ``body`` [m, outputs].

        ``key`` [outputs, n] is the public key of the secret the rows are under. About 10 microseconds a sum.
        """
        for first in range(0, sums.shape[0], _BATCH):
            part = sums[first : first + _BATCH]
            small = self._draws.draw(part.shape[0], N)
            errors = self._draws.draw(part.shape[0], N)
            kernels.add_first_window(products(self._star, transform(small)), errors, part)
            words = body[first : first + _BATCH]
            kernels.first_coefficients(key, small, words)
            words += self._draws.draw(*words.shape).astype(np.int32).view(np.uint32)


def mask(body: U32, entropy: Entropy) -> U32:
    """Add a uniform mask modulo 2**32 to returned bodies in place; the mask, to be taken off elsewhere.

    With it the decrypting side learns nothing from a sum: mask and decrypted value are additive shares of it.
    """
    words = Stream(entropy.take(KEY_BYTES)).take(-(-body.size // 2)).view(np.uint32)
    out = words[: body.size].reshape(body.shape).copy()
    body += out
    return out


def noise_deviation(rows: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Standard deviation of a decrypted sum of ``rows`` rows, in units of the scale: errors and re-randomiser."""
    sigma = float(SIGMA)
    return np.asarray(np.sqrt(sigma**2 * (np.asarray(rows) + 1) + 2 * N * sigma**4))
