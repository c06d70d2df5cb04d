"""Lattice sums against integers: ring products, Gaussian law, noise as stated, masks, nothing printed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hanse.engine import lattice
from hanse.engine import lattice_kernels as kernels
from hanse.engine.lattice import N, Public, Randomisers, encrypt
from hanse.engine.lattice_opening import decrypt
from hanse.entropy import SeededEntropy

Q = 1 << 32
JOB = b"a job of the tests"


def ring_product(a: NDArray[np.uint32], b: NDArray[np.int8]) -> NDArray[np.uint32]:
    """a * b in Z[X]/(X^n + 1) modulo 2^32 by Python's integers: coefficients packed 16 bytes apart."""

    def packed(values: list[int]) -> int:
        return int.from_bytes(b"".join(v.to_bytes(16, "little") for v in values), "little")

    whole = packed(a.tolist()) * packed([int(v) % Q for v in b])
    octets = whole.to_bytes(2 * N * 16, "little")
    words = np.frombuffer(octets, np.uint32)[::4]  # each coefficient modulo 2^32
    return words[:N] - words[N:]


def hold(rows: int, codes: NDArray[np.uint8], numbers: NDArray[np.int64], seed: str, zeros: bool):
    """Sums of rows by code, as returned and as decrypted."""
    public = Public(JOB, rows)
    secret, encrypted = encrypt(public, numbers, SeededEntropy(seed))
    size = int(codes.max()) + 1
    groups = np.arange(size, dtype=np.int64).reshape(1, -1)
    sums, body = np.zeros((size, N), np.uint32), np.zeros((size, numbers.shape[0]), np.uint32)
    kernels.add_windows(
        public.windows,
        encrypted.body,
        np.arange(rows),
        codes.reshape(1, -1),
        groups,
        1000,
        sums,
        body,
    )
    if zeros:
        Randomisers(public, SeededEntropy(seed + "|zeros")).apply(sums, body, encrypted.key)
    return secret, sums, body


def test_ring_products_are_exact() -> None:
    random = np.random.default_rng(1)
    a = random.integers(0, Q, (3, N), np.uint32)
    b = lattice.Gaussian(SeededEntropy("ring")).draw(3, N)
    b[1] = 127  # the largest factor there can be, and all of one sign
    a[2], b[2] = Q // 2, random.choice([-127, 127], N)  # the most negative word everywhere
    found = lattice.products(lattice.transform(a), lattice.transform(b))
    for row in range(3):
        assert np.array_equal(found[row], ring_product(a[row], b[row])), row


def test_gaussian_draws_follow_the_law() -> None:
    draws = lattice.Gaussian(SeededEntropy("law")).draw(400_000).astype(np.int64)
    values = np.arange(-127, 128)
    law = np.exp(-(values**2) / (2 * 12.8**2))
    law /= law.sum()
    inner = np.abs(values) <= 45  # expected at least 30 a cell
    seen = np.array([(draws == v).sum() for v in values])
    observed = np.append(seen[inner], seen[~inner].sum())
    expected = np.append(law[inner], law[~inner].sum()) * draws.size
    assert stats.chisquare(observed, expected).pvalue > 1e-4  # one test, seeded: not flaky
    narrow = np.exp(-(values**2) / (2 * 12.6**2))
    narrow *= draws.size / narrow.sum()
    wrong = np.append(narrow[inner], narrow[~inner].sum())
    assert stats.chisquare(observed, wrong).pvalue < 1e-4  # a law 1.6 % too narrow is noticed


def test_the_alias_table_is_the_law_to_sixty_bits() -> None:
    bounds, other = lattice.gaussian_table()
    full = 1 << 56
    mass = dict.fromkeys(range(-128, 128), 0)
    for slot, (bound, alternative) in enumerate(zip(bounds.tolist(), other.tolist(), strict=True)):
        mass[slot - 128] += bound
        mass[alternative] += full - bound
    weights = {
        v: np.exp(-np.longdouble(v * v) / (2 * np.longdouble("12.8") ** 2))
        for v in range(-127, 128)
    }
    total = sum(weights.values())
    assert sum(mass.values()) == 1 << 64
    assert mass[-128] == 0
    for v, weight in weights.items():
        assert abs(mass[v] / 2.0**64 - float(weight / total)) < 2.0**-50, v


@pytest.mark.parametrize("zeros", [False, True])
def test_sums_are_right_up_to_the_stated_noise(zeros: bool) -> None:
    random = np.random.default_rng(2)
    rows, outputs = 5_000, 3
    codes = random.integers(0, 40, rows).astype(np.uint8)
    numbers = random.integers(-200_000, 200_000, (outputs, rows))
    secret, sums, body = hold(rows, codes, numbers, "noise", zeros)
    truth = np.array([numbers[:, codes == c].sum(axis=1) for c in range(40)])
    error = decrypt(secret, sums, body) - truth
    stated = lattice.noise_deviation(rows // 40) if zeros else 12.8 * np.sqrt(rows / 40)
    ratio = error.var() / float(stated) ** 2
    low, high = stats.chi2.ppf([1e-5, 1 - 1e-5], error.size) / error.size
    assert low < ratio < high
    assert abs(error.mean()) < 5 * stated / np.sqrt(error.size)


def test_no_sum_of_rows_can_wrap() -> None:
    rows = 3_000
    numbers = np.random.default_rng(3).standard_normal((2, rows))
    numbers[1] = np.abs(numbers[1])
    scale = lattice.scales(np.abs(numbers).sum(axis=1))
    whole = np.rint(numbers * scale[:, None]).astype(np.int64)
    secret, sums, body = hold(rows, np.zeros(rows, np.uint8), whole, "wrap", True)
    assert whole[1].sum() > 0.95 * 2**31 / lattice.ROOM  # as near to the edge as it may get
    back = decrypt(secret, sums, body)[0] / scale
    assert back == pytest.approx(numbers.sum(axis=1), abs=6 * 7_500 / scale.min())


def test_a_mask_hides_a_sum_and_comes_off_exactly() -> None:
    random = np.random.default_rng(4)
    codes = random.integers(0, 8, 2_000).astype(np.uint8)
    numbers = random.integers(-1000, 1000, (2, 2_000))
    secret, sums, body = hold(2_000, codes, numbers, "mask", True)
    clear = decrypt(secret, sums, body).view(np.uint32)
    hidden = body.copy()
    taken = lattice.mask(hidden, SeededEntropy("mask|own"))
    read = decrypt(secret, sums, hidden).view(np.uint32)
    assert np.array_equal(read - taken, clear)
    many = np.zeros((5_000, 2), np.uint32)
    lattice.mask(many, SeededEntropy("mask|many"))
    assert stats.kstest(many.ravel() / Q, "uniform").pvalue > 1e-4
    assert stats.kstest((many.ravel() & 0xFFFF) / 65536, "uniform").pvalue > 1e-4


def test_secrets_are_fresh_and_do_not_print() -> None:
    public, entropy = Public(JOB, 10), SeededEntropy("fresh")
    numbers = np.zeros((2, 10), np.int64)
    (one, first), (two, second) = (encrypt(public, numbers, entropy) for _ in range(2))
    assert not np.array_equal(one.values, two.values)
    assert not np.array_equal(one.values[0], one.values[1])
    assert (first.body != second.body).all()
    assert repr(one) == "<secret of 2 outputs>"


def test_public_vectors_depend_on_the_job_alone() -> None:
    one, same, other = Public(JOB, 2_000), Public(JOB, 2_000), Public(JOB + b"2", 2_000)
    assert np.array_equal(one.windows, same.windows)
    assert (one.windows != other.windows).mean() > 0.999
    longer = Public(JOB, 5_000)
    assert np.array_equal(longer.windows[: one.windows.size], one.windows)
