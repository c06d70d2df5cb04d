"""Frames to bytes and back, and the canonical JSON that hashes and signatures are made over.

Layout of a frame (little endian): magic ``HNS1`` | kind u8 | dtype u8 | dimensions u8 | step length u8
| source u16 | target u16 | sequence u64 | stream 16 bytes | payload length u64, then ``dimensions`` x u64
shape, the step name (UTF-8), the payload. Nothing in it is executable: no pickle, no object dtypes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import Any

import numpy as np

from hanse.errors import Fault, Foul
from hanse.wire.message import (
    DTYPE_CODES,
    DTYPES,
    MAX_DIMENSIONS,
    MAX_STEP_BYTES,
    STREAM_BYTES,
    Array,
    Frame,
    Kind,
)

MAGIC = b"HNS1"
_HEAD = struct.Struct("<4sBBBBHHQ16sQ")
HEAD_BYTES = _HEAD.size
MAX_DOCUMENT_BYTES = 16 << 20
MAX_PAYLOAD_BYTES = 1 << 30


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, no NaN. Equal values give equal bytes.

    Floats are written as Python's shortest round-trip form; use integers or strings where two
    implementations must agree.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def parse_document(data: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The JSON object a peer sent; `Foul` if it is anything else."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise Foul("wire.oversized", f"a document of {len(data)} bytes is over the limit")
    try:
        value = json.loads(bytes(data))
        canonical(value)  # NaN, infinities and half characters cannot be hashed: refused here
    except (ValueError, RecursionError) as error:
        raise Foul("wire.document", "a document is not valid JSON") from error
    if not isinstance(value, dict):
        raise Foul("wire.document", "a document is not a JSON object")
    return value


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


class Header:
    """A checked frame header; `rest` more bytes (shape and step) come before the payload."""

    __slots__ = (
        "dimensions",
        "dtype",
        "kind",
        "payload",
        "sequence",
        "source",
        "step_length",
        "stream",
        "target",
    )

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) != HEAD_BYTES:
            raise Foul("wire.truncated", "a frame header is incomplete")
        magic, kind, dtype, dimensions, step, source, target, sequence, stream, payload = (
            _HEAD.unpack(data)
        )
        if magic != MAGIC:
            raise Foul(
                "wire.magic",
                "the peer does not speak this protocol",
                remedy="check the address and that both sides run a compatible Hanse version",
            )
        try:
            self.kind = Kind(kind)
        except ValueError as error:
            raise Foul("wire.kind", f"a frame has the unknown kind {kind}") from error
        if dimensions > MAX_DIMENSIONS or step > MAX_STEP_BYTES:
            raise Foul("wire.header", "a frame header is out of range")
        if self.kind is Kind.ARRAY:
            if dtype not in DTYPES:
                raise Foul("wire.dtype", f"a frame has the unknown element type {dtype}")
            limit = MAX_PAYLOAD_BYTES
        else:
            if dtype or dimensions:
                raise Foul("wire.header", "a document frame declares an array")
            limit = MAX_DOCUMENT_BYTES
        if payload > limit:
            raise Foul("wire.oversized", f"a frame of {payload} bytes is over the limit of {limit}")
        self.dtype = dtype
        self.dimensions = dimensions
        self.step_length = step
        self.source = source
        self.target = target
        self.sequence = sequence
        self.stream = stream
        self.payload = payload

    @property
    def rest(self) -> int:
        """Bytes of shape and step name between the header and the payload."""
        return int(8 * self.dimensions + self.step_length)

    def frame(self, rest: bytes | bytearray | memoryview, payload: bytearray | memoryview) -> Frame:
        """The frame, once its shape, step and payload have arrived (the payload is not copied)."""
        if len(rest) != self.rest or len(payload) != self.payload:
            raise Foul("wire.truncated", "a frame is incomplete")
        try:
            step = bytes(rest[8 * self.dimensions :]).decode()
        except UnicodeDecodeError as error:
            raise Foul("wire.header", "a step name is not UTF-8") from error
        body: Array | bytes
        if self.kind is Kind.ARRAY:
            shape = struct.unpack(f"<{self.dimensions}Q", rest[: 8 * self.dimensions])
            dtype = DTYPES[self.dtype]
            fits = math.prod(shape) * dtype.itemsize == self.payload
            if not fits or max(shape, default=0) > MAX_PAYLOAD_BYTES:
                raise Foul("wire.shape", "an array's shape does not fit its payload", where=step)
            body = np.frombuffer(payload, dtype=dtype).reshape(shape)
        else:
            body = bytes(payload)
        return Frame(self.kind, self.stream, self.source, self.target, self.sequence, step, body)


def encode(
    kind: Kind,
    stream: bytes,
    source: int,
    target: int,
    sequence: int,
    step: str,
    body: Array | bytes,
) -> tuple[bytes, memoryview]:
    """Head (header, shape, step) and payload of a frame, the payload without a copy.

    Raises `Fault` on a value that may not be sent (dtype, size, step name).
    """
    name = step.encode()
    if len(name) > MAX_STEP_BYTES or len(stream) != STREAM_BYTES:
        raise Fault("wire.header", f"step or stream name too long: {step!r}")
    if kind is Kind.ARRAY:
        if isinstance(body, bytes):
            raise Fault("wire.dtype", "an array frame needs an array", where=step)
        code = DTYPE_CODES.get(body.dtype)
        if code is None or body.ndim > MAX_DIMENSIONS:
            raise Fault("wire.dtype", f"cannot send {body.dtype} of {body.ndim} axes", where=step)
        if not body.flags.c_contiguous:
            body = np.ascontiguousarray(body)
        payload = body.reshape(-1).view(np.uint8).data
        shape = struct.pack(f"<{body.ndim}Q", *body.shape)
        dimensions, limit = body.ndim, MAX_PAYLOAD_BYTES
    else:
        if not isinstance(body, bytes):
            raise Fault("wire.dtype", "a document frame needs bytes", where=step)
        payload, shape, code, dimensions = memoryview(body), b"", 0, 0
        limit = MAX_DOCUMENT_BYTES
    if len(payload) > limit:
        raise Fault("wire.oversized", f"a frame of {len(payload)} bytes is too large", where=step)
    head = _HEAD.pack(
        MAGIC, kind, code, dimensions, len(name), source, target, sequence, stream, len(payload)
    )
    return head + shape + name, payload
