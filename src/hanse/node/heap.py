"""Letting the process keep freed memory: jobs use large arrays of the same sizes again and again.

By default glibc returns each freed large array to the kernel, which clears every page again for the next one:
an eighth of a seat's CPU time. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes

import numpy as np

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_BLOCK_WORDS = 1 << 21  # 16 MiB
_KEEP_BYTES = (1 << 31) - 1  # the largest that the interface can say


def keep_freed_memory() -> bool:
    """Tell glibc to keep up to 2 GiB of freed memory; whether it could be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # One arena: the others are limited to 64 MiB and send larger arrays to the kernel.
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _KEEP_BYTES),
        (_M_TOP_PAD, 64 << 20),
    )
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings)


def touch(size: int) -> None:
    """Have ``size`` bytes from the kernel now and keep them, so that the first job need not wait for them."""
    blocks = [np.ones(_BLOCK_WORDS, np.uint64) for _ in range(size // (8 * _BLOCK_WORDS))]
    del blocks
