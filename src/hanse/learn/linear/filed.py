"""Columns of shares in a file without a name, so that a model of many rows wants the memory of some of them.

The file is gone when the process ends, however it ends. What is in it is enciphered under a key that stays in
memory (AES-256 in counter mode, the place in the file being the counter; a place is written once).
"""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import Any, cast

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hanse.engine.shares import U64, Ring, octets
from hanse.entropy import SystemEntropy
from hanse.errors import Fault

KEY_BYTES = 32
_BLOCK = 2  # words of the cipher's block


class _Unnamed:
    """A file without a name, open for as long as somebody holds this."""

    def __init__(self) -> None:
        file = tempfile.TemporaryFile(prefix="hanse-")  # noqa: SIM115 - closed with its holder
        weakref.finalize(self, file.close)
        self.number = file.fileno()


class Side:
    """One component of columns [columns, rows] in a file: a column is written whole, rows of columns are read.

    It stands where an array stands: ``side[column] = values``, ``side[column]``, ``side[columns, first:last]``.
    """

    def __init__(
        self, columns: int, rows: int, file: _Unnamed | None = None, key: bytes = b""
    ) -> None:
        self.shape = (columns, rows)
        self.size = columns * rows
        self._key = key or SystemEntropy().take(KEY_BYTES)
        self._room = rows + rows % _BLOCK
        self._first = 0
        self._file = file or _Unnamed()

    def __repr__(self) -> str:
        return f"<Side {list(self.shape)}, not shown>"

    def below(self, first: int) -> Side:
        """The columns from ``first`` on."""
        found = Side(self.shape[0] - first, self.shape[1], self._file, self._key)
        found._first = self._first + first
        return found

    def __setitem__(self, column: int, values: U64) -> None:
        padded = np.zeros(self._room, np.uint64)
        padded[: self.shape[1]] = values
        hidden = self._ciphered(column, 0, padded)
        view, place = memoryview(hidden), 8 * (self._first + column) * self._room
        try:
            while view:
                done = os.pwrite(self._file.number, view, place)
                view, place = view[done:], place + done
        except OSError as error:
            raise Fault("learn.space", "there is no room on the disk for the rows of this model",
                        remedy="free room in the folder for temporary files, or leave the batches out",
                        detail=str(error)) from error  # fmt: skip

    def __getitem__(self, key: Any) -> U64:
        columns, rows = key if isinstance(key, tuple) else (key, slice(None))
        first, last, _ = rows.indices(self.shape[1])
        if isinstance(columns, (int, np.integer)):
            return self._read(int(columns), first, last)
        chosen = range(self.shape[0])[columns] if isinstance(columns, slice) else columns
        out = np.empty((len(chosen), max(0, last - first)), np.uint64)
        for place, column in enumerate(chosen):
            out[place] = self._read(column, first, last)
        return out

    def _read(self, column: int, first: int, last: int) -> U64:
        start = first - first % _BLOCK
        stop = last + (last - start) % _BLOCK
        place = 8 * ((self._first + column) * self._room + start)
        raw = os.pread(self._file.number, 8 * max(0, stop - start), place)
        if len(raw) != 8 * max(0, stop - start):
            raise Fault("learn.space", "rows of this model are gone from the disk")
        words = np.frombuffer(
            self._ciphered(column, start, np.frombuffer(raw, np.uint64)), np.uint64
        )
        return words[first - start : last - start]

    def _ciphered(self, column: int, start: int, words: U64) -> bytes:
        counter = ((self._first + column) * self._room + start) // _BLOCK
        cipher = Cipher(algorithms.AES(self._key), modes.CTR(counter.to_bytes(16, "big")))
        return cipher.encryptor().update(octets(words))


def filed(columns: int, rows: int) -> Ring:
    """Room for shares [columns, rows] in files; it reads as shares do."""
    return Ring(cast(U64, Side(columns, rows)), cast(U64, Side(columns, rows)))


def from_column(whole: Ring, first: int) -> Ring:
    """The columns from ``first`` on, in memory or filed."""
    if isinstance(whole.left, Side) and isinstance(whole.right, Side):
        return Ring(cast(U64, whole.left.below(first)), cast(U64, whole.right.below(first)))
    return whole[first:]
