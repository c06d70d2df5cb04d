"""Person identifiers, brought to one form and hashed to 64 bits at home.

Normal forms (what is hashed, UTF-8)::

    phone    E.164 ("+8613800138000"), valid in its country's numbering plan; `region` is the country
             that numbers without a country code are dialled in
    email    trimmed, lower-case; a domain beyond ASCII in its IDNA form. Dots and +tags are kept: only
             the mailbox's own provider knows whether they matter
    imei     15 digits with a valid Luhn check digit; 14 digits get theirs appended
    idfa     8-4-4-4-12 hexadecimal digits, UPPER case (as the system hands it out)
    gaid     8-4-4-4-12 hexadecimal digits, lower case
    oaid     the same, lower case; makers' forms of 16 and 64 hexadecimal digits stay undashed
    mac      12 hexadecimal digits, UPPER case, no separators
    any other name is opaque: the exact text, trimmed

Hash chains (a contract names one): ``sha256`` is SHA-256(normal form); ``md5+sha256`` is SHA-256(lower-case
hexadecimal MD5 of the normal form), for contracts in which somebody holds only MD5 forms. The id is
the first 8 bytes, big-endian. The id type is *not* mixed in: a pre-hashed column would not match
otherwise. One contract joins on one id type, so texts of different types never meet. Hashing is
not protection (anyone can hash every phone number there is): the secret shares are.

A column may hold hashes already; they must be over exactly the normal form above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanse.catalog import digests, normalise, phones
from hanse.catalog.crowd import Crowd, gather
from hanse.catalog.datasets import HashChain, IdFormat
from hanse.catalog.forms import Answer, email_text, long_oaid_text, opaque_text
from hanse.catalog.normalise import ASK, EMPTY, OK, OPTED_OUT, PLACEHOLDER, REASONS
from hanse.catalog.numbering import NumberingPlan, numbering_plan
from hanse.errors import Fault

Longs = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

DEVICE_TYPES = ("imei", "oaid", "idfa", "gaid", "mac")
KNOWN_TYPES = ("phone", "email", *DEVICE_TYPES)

_SERVES: dict[str, tuple[str, ...]] = {
    "plain": ("sha256", "md5+sha256"),
    "md5": ("md5+sha256",),
    "sha256": ("sha256",),
    "md5+sha256": ("md5+sha256",),
}
_CHUNK = 16_384  # rows at a time: their hash blocks (1 MiB) stay in the second-level cache
_MANY = 512  # rows of a foreign country from which its own numbering plan is worth a kernel run
_KNOWN_LIMIT = 1_000_000

_ABSENT = ("", "null", "NULL", "Null", "none", "None", "NONE", "nan", "NaN", "undefined", "\\N")
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_NO_DEVICE: dict[str, tuple[str, ...]] = {
    "imei": ("000000000000000", "00000000000000"),
    "mac": (
        "000000000000",
        "00:00:00:00:00:00",
        "020000000000",
        "02:00:00:00:00:00",
        "FFFFFFFFFFFF",
    ),
    "oaid": (_NO_UUID, _NO_UUID.replace("-", "")),
    "gaid": (_NO_UUID, _NO_UUID.replace("-", "")),
    "idfa": (_NO_UUID, _NO_UUID.replace("-", "")),
}


@dataclass(frozen=True)
class IdReport:
    """What became of a column of identifiers; nothing is dropped without being counted here.

    ``rows == empty + sum(invalid.values()) + duplicates + colliding + distinct``, where `colliding`
    rows belong to different ids with the same 64-bit hash (expected once in 10^9 people or more).
    """

    rows: int
    empty: int
    invalid: dict[str, int]
    duplicates: int
    colliding: int
    distinct: int


@dataclass(frozen=True)
class HashedRows:
    """One id per row: `ids` and `checks` (the hash's next 8 bytes) ``uint64[n]``, `status` ``uint8[n]``.

    `status` is 0 where the row has an id, else a key of `normalise.REASONS`; ids are then 0.
    """

    ids: Longs = field(repr=False)
    checks: Longs = field(repr=False)
    status: Bytes = field(repr=False)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """``bool[n]``: which rows have an id."""
        return np.equal(self.status, OK)

    def people(self) -> Crowd:
        """The rows with an id, grouped by person."""
        valid = self.valid
        return gather(self.ids[valid], self.checks[valid])

    def report(self) -> IdReport:
        """Counts by reason, duplicates and collisions."""
        return report_of(count_reasons(self.status), self.people())


def count_reasons(status: Bytes) -> NDArray[np.int64]:
    """``int64[256]``: rows by status; add them up over batches."""
    return np.bincount(status, minlength=256).astype(np.int64)


def report_of(counts: NDArray[np.int64], crowd: Crowd) -> IdReport:
    """The report for rows counted by status and their people."""
    return IdReport(
        rows=int(counts.sum()),
        empty=int(counts[EMPTY]),
        invalid={name: int(counts[k]) for k, name in REASONS.items() if k != EMPTY and counts[k]},
        duplicates=crowd.rows - crowd.colliding - len(crowd.ids),
        colliding=crowd.colliding,
        distinct=len(crowd.ids),
    )


def serves(format: str, chain: str) -> bool:
    """Whether a column of this format can be brought to this hash chain."""
    return chain in _SERVES.get(format, ())


def check_chain(format: str, chain: str, where: str = "") -> None:
    """`Fault` ``catalog.chain`` where a pre-hashed form cannot serve the contract's chain."""
    if serves(format, chain):
        return
    if chain not in {"sha256", "md5+sha256"} or format not in _SERVES:
        raise Fault(
            "catalog.chain", f"unknown hash chain or format: {chain!r}, {format!r}", where=where
        )
    remedy = (
        'agree on hash = "md5+sha256" in the contract, or register a column with plain or SHA-256 ids'
        if chain == "sha256"
        else 'register a column with plain, MD5 or MD5+SHA-256 ids, or agree on hash = "sha256"'
    )
    raise Fault(
        "catalog.chain",
        f"ids in the format {format!r} cannot serve the hash chain {chain!r}: a hash cannot be undone",
        remedy=remedy,
        where=where,
    )


class Hasher:
    """Hashes batches of one column: the same text always gives the same id, whatever the batch.

    `region` is the default country of a phone column (None: numbers must start with +). Raises
    `Fault` ``catalog.chain`` and ``catalog.region``. Not to be shared between threads.
    """

    def __init__(
        self,
        id_type: str,
        format: IdFormat = "plain",
        chain: HashChain = "sha256",
        region: str | None = None,
        where: str = "",
    ) -> None:
        check_chain(format, chain, where)
        if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
            raise Fault(
                "catalog.region",
                f"{region!r} is not a country that telephone numbers are known for",
                remedy='give an ISO 3166 code in capitals, such as "CN"',
                where=where,
            )
        self._type = id_type
        self._format = format
        self._chain = chain
        self._region = region
        self._where = where
        self._plan = numbering_plan(region) if id_type == "phone" and region else None
        self._known: dict[str, tuple[int, int, int]] = {}
        self._placeholders = {self._hash_one(t)[0]: s for t, s in _placeholders(id_type)}
        self._suspicious = np.zeros(1 << 16, np.bool_)  # by the id's first 16 bits: a cheap sieve
        self._suspicious[[placeholder >> 48 for placeholder in self._placeholders]] = True

    def hash(self, values: Any) -> HashedRows:
        """Ids of `values`: a pyarrow array (chunked or not) or a numpy array of texts or integers."""
        array = as_texts(values, self._where)
        n = len(array)
        rows = _no_rows(n)
        if n == 0:
            return rows
        data, offsets = _layout(array)
        if self._format in {"sha256", "md5+sha256"}:
            normalise.sha256_form(data, offsets, rows.ids, rows.checks, rows.status)
        else:
            self._run(data, offsets, self._plan, rows)
        if array.null_count:
            rows.status[pc.is_null(array).to_numpy(zero_copy_only=False)] = EMPTY
        self._ask(array, rows)
        suspects = np.flatnonzero(self._suspicious[rows.ids >> np.uint64(48)])
        for placeholder, status in self._placeholders.items():
            found = suspects[rows.ids[suspects] == np.uint64(placeholder)]
            rows.status[found[rows.status[found] == OK]] = status
        broken = rows.status != OK
        rows.ids[broken] = 0
        rows.checks[broken] = 0
        return rows

    def _run(
        self, data: Bytes, offsets: NDArray[np.int64], plan: NumberingPlan | None, rows: HashedRows
    ) -> None:
        n = len(rows.status)
        size = min(n, _CHUNK)
        blocks = np.zeros((size, digests.BLOCK_BYTES), np.uint8)
        lengths = np.zeros(size, np.uint8)
        hexadecimal = np.zeros_like(blocks) if self._doubles else blocks
        for start in range(0, n, _CHUNK):
            stop = min(start + _CHUNK, n)
            count = stop - start
            blocks[:] = 0
            lengths[:] = 0
            self._normalise(
                data, offsets[start : stop + 1], blocks[:count], lengths[:count],
                rows.status[start:stop], plan,
            )  # fmt: skip
            if self._doubles:
                digests.md5_hex(
                    blocks[:count].view(np.uint32), lengths[:count], hexadecimal[:count]
                )
                lengths[:] = 32
            digests.sha256(
                hexadecimal[:count].view(np.uint32), lengths[:count],
                rows.ids[start:stop], rows.checks[start:stop],
            )  # fmt: skip

    @property
    def _doubles(self) -> bool:
        return self._format == "plain" and self._chain == "md5+sha256"

    def _normalise(
        self,
        data: Bytes,
        offsets: NDArray[np.int64],
        blocks: Bytes,
        lengths: Bytes,
        status: Bytes,
        plan: NumberingPlan | None,
    ) -> None:
        if self._format == "md5":
            normalise.md5_form(data, offsets, blocks, lengths, status)
        elif self._type == "phone":
            if plan is None:
                status[:] = ASK
            else:
                phones.normalise_phones(plan, data, offsets, blocks, lengths, status)
        elif self._type in {"oaid", "gaid", "idfa"}:
            upper, makers = self._type == "idfa", self._type == "oaid"
            normalise.uuid(data, offsets, blocks, lengths, status, upper, makers)
        else:
            kernel = _KERNELS.get(self._type, normalise.opaque)
            kernel(data, offsets, blocks, lengths, status)

    def _ask(self, array: Any, rows: HashedRows) -> None:
        """Decide the rows that the kernels left open, once per distinct text."""
        asked = np.flatnonzero(rows.status == ASK)
        if self._type == "phone" and len(asked) > _MANY:
            self._foreign(array, asked, rows)
            asked = asked[rows.status[asked] == ASK]
        if len(asked) == 0:
            return
        answers = [self._answer(text) for text in array.take(pa.array(asked)).to_pylist()]
        status, ids, checks = zip(*answers, strict=True)
        rows.status[asked] = status
        rows.ids[asked] = ids
        rows.checks[asked] = checks

    def _answer(self, text: str) -> tuple[int, int, int]:
        answer = self._known.get(text)
        if answer is None:
            normal, status = self._slow(text)
            answer = (status, 0, 0) if normal is None else (OK, *self._hash_one(normal))
            if len(self._known) >= _KNOWN_LIMIT:
                self._known.clear()
            self._known[text] = answer
        return answer

    def _slow(self, text: str) -> Answer:
        if self._type == "phone":
            return phones.e164(text.strip(), self._region) if text.strip() else (None, EMPTY)
        return _SLOW.get(self._type, opaque_text)(text)

    def _hash_one(self, normal: str) -> tuple[int, int]:
        message = normal.encode()
        if self._chain == "md5+sha256":
            message = digests.md5_hex_of_one(message)
        return digests.sha256_of_one(message)

    def _foreign(self, array: Any, asked: NDArray[np.int64], rows: HashedRows) -> None:
        """Run the kernel again for countries, other than the default, that many +numbers belong to."""
        heads = pc.utf8_slice_codeunits(array.take(pa.array(asked)), 0, 4).to_numpy(
            zero_copy_only=False
        )
        spellings, member = np.unique(heads.astype(str), return_inverse=True)
        regions = np.array([_region_of(head) for head in spellings])[member]
        for region in np.unique(regions):
            these = asked[regions == region]
            plan = numbering_plan(str(region)) if len(these) > _MANY and region else None
            if plan is None or plan is self._plan:
                continue
            part = array.take(pa.array(these))
            found = _no_rows(len(these))
            self._run(*_layout(part), plan, found)
            rows.ids[these], rows.checks[these] = found.ids, found.checks
            rows.status[these] = found.status


def hash_identifiers(
    values: Any,
    id_type: str,
    *,
    format: IdFormat = "plain",
    chain: HashChain = "sha256",
    region: str | None = None,
) -> tuple[Longs, IdReport]:
    """Sorted distinct 64-bit ids of a column, ``uint64[people]``, and what became of every row."""
    hashed = Hasher(id_type, format, chain, region).hash(values)
    crowd = hashed.people()
    return crowd.ids, report_of(count_reasons(hashed.status), crowd)


def as_texts(values: Any, where: str = "") -> Any:
    """`values` as one pyarrow string array; `Fault` ``catalog.id-values`` for floats and the like."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else pa.concat_arrays(array.chunks)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return array
    if pa.types.is_integer(array.type) or pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.string())
    raise Fault(
        "catalog.id-values",
        f"identifiers must be text or integers, not {array.type}",
        remedy="store them as text; numbers with a fraction have usually lost digits already",
        where=where,
    )


def _no_rows(n: int) -> HashedRows:
    return HashedRows(np.zeros(n, np.uint64), np.zeros(n, np.uint64), np.zeros(n, np.uint8))


def _layout(array: Any) -> tuple[Bytes, NDArray[np.int64]]:
    """Arrow's bytes and absolute offsets of a string array, without copying the bytes."""
    _, offsets, data = array.buffers()
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    ends = np.frombuffer(offsets, width)[array.offset : array.offset + len(array) + 1]
    text = (
        np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    )
    return text, ends.astype(np.int64)


def _region_of(head: str) -> str:
    """The first region of the country code that `head` ("+861") starts with, "" without one."""
    if head.startswith("+"):
        for end in range(2, len(head) + 1):
            code = head[1:end]
            if code.isdigit() and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
                return str(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)][0])
    return ""


def _placeholders(id_type: str) -> list[tuple[str, int]]:
    """Texts that stand for "no id", also where only their hash arrives."""
    device = OPTED_OUT if id_type in {"oaid", "gaid", "idfa"} else PLACEHOLDER
    absent = [(text, PLACEHOLDER) for text in _ABSENT]
    return absent + [(text, device) for text in _NO_DEVICE.get(id_type, ())]


_Kernel = Callable[[Bytes, NDArray[np.int64], Bytes, Bytes, Bytes], None]
_KERNELS: dict[str, _Kernel] = {
    "email": normalise.email,
    "imei": normalise.imei,
    "mac": normalise.mac,
}
_SLOW: dict[str, Callable[[str], Answer]] = {"email": email_text, "oaid": long_oaid_text}
