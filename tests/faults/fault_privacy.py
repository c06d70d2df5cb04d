"""Where the records of nodes name a person: ids and hashes of ids in logs, stores and ledgers."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from fault_people import person

from hanse.catalog.identifiers import Hasher

EVERYBODY = 1000  # no test has people beyond this number
_ID = re.compile(rb"member-\d{5}-[0-9a-f]{8}")
_DECIMAL = re.compile(rb"\d{15,20}")
_HEX = re.compile(rb"[0-9a-f]{16,}")


@lru_cache(maxsize=1)
def hashed_people() -> frozenset[int]:
    """The 64-bit hashes under which nodes join these people."""
    ids = pa.array([person(i) for i in range(EVERYBODY)], pa.string())
    hashed = Hasher("member", "plain", "sha256", None, "people").hash(ids)
    assert hashed.valid.all()
    return frozenset(int(value) for value in hashed.ids)


def traces_in(blob: bytes) -> list[str]:
    """What in these bytes is a person's id, or its hash as a number, in hexadecimal, or as eight bytes."""
    hashes = hashed_people()
    found = [text.decode() for text in _ID.findall(blob)]
    found += [text.decode() for text in _DECIMAL.findall(blob) if int(text) in hashes]
    texts = {f"{value:016x}".encode() for value in hashes}
    texts |= {value.to_bytes(8, "little").hex().encode() for value in hashes}
    for match in _HEX.finditer(blob):
        word = match.group()
        found += [
            word[i : i + 16].decode() for i in range(len(word) - 15) if word[i : i + 16] in texts
        ]
    values = np.array(sorted(hashes), np.uint64)
    wanted = np.concatenate([values, values.byteswap()])
    for offset in range(min(8, len(blob))):
        words = np.frombuffer(blob, np.uint64, (len(blob) - offset) // 8, offset)
        found += [f"eight bytes {word:016x}" for word in words[np.isin(words, wanted)].tolist()]
    return found


def traces_of_people(root: Path, *logs: Path) -> list[str]:
    """Traces in every log, store and ledger under ``root``, where the sources themselves are Parquet or CSV."""
    files = [p for p in root.rglob("*") if p.is_file() and p.suffix not in {".parquet", ".csv"}]
    return [
        f"{path.name}: {trace}"
        for path in (*files, *logs)
        for trace in traces_in(path.read_bytes())
    ]
