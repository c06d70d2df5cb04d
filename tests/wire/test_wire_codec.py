"""Frames survive the wire unchanged; anything malformed is a Foul with a stable code, never another error."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanse.errors import Fault, Foul
from hanse.wire import Frame, Kind, canonical, digest, encode, parse_document
from hanse.wire.codec import HEAD_BYTES, MAX_DOCUMENT_BYTES, MAX_PAYLOAD_BYTES, Header
from hanse.wire.message import DTYPES, MAX_DIMENSIONS, MAX_STEP_BYTES

STREAM = bytes(range(16))
HEAD = struct.Struct("<4sBBBBHHQ16sQ")
shapes = arrays.array_shapes(min_dims=0, max_dims=MAX_DIMENSIONS, min_side=0, max_side=6)
dtypes = st.sampled_from(sorted(DTYPES.values(), key=str))
typed = st.tuples(dtypes, shapes).flatmap(lambda pair: arrays.arrays(*pair))
steps = st.text(max_size=40).filter(
    lambda text: len(text.encode("utf-8", "replace")) <= MAX_STEP_BYTES
)
plain_steps = steps.filter(lambda text: all(not 0xD800 <= ord(c) < 0xE000 for c in text))


def decoded(head: bytes, payload: bytes | memoryview) -> Frame:
    """What a reader makes of the bytes: header first, then the rest, then the payload."""
    header = Header(head[:HEAD_BYTES])
    return header.frame(head[HEAD_BYTES:], bytearray(payload))


# --- round trips --------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    typed, plain_steps, st.integers(0, 65535), st.integers(0, 65535), st.integers(0, (1 << 64) - 1)
)
def test_an_array_comes_back_as_it_was(
    array: np.ndarray, step: str, source: int, target: int, sequence: int
) -> None:
    head, payload = encode(Kind.ARRAY, STREAM, source, target, sequence, step, array)
    frame = decoded(head, payload)
    assert (frame.kind, frame.stream, frame.step) == (Kind.ARRAY, STREAM, step)
    assert (frame.source, frame.target, frame.sequence) == (source, target, sequence)
    assert isinstance(frame.body, np.ndarray)
    assert frame.body.dtype == array.dtype
    assert frame.body.shape == array.shape
    assert frame.body.tobytes() == array.tobytes()


@settings(max_examples=50, deadline=None)
@given(typed)
def test_an_array_that_is_not_contiguous_comes_back_too(array: np.ndarray) -> None:
    turned = array.T
    frame = decoded(*encode(Kind.ARRAY, STREAM, 0, 1, 0, "x", turned))
    assert isinstance(frame.body, np.ndarray)
    assert frame.body.shape == turned.shape
    assert (frame.body == turned).all()


@pytest.mark.parametrize("kind", [Kind.DOCUMENT, Kind.ABORT, Kind.PING])
@given(body=st.binary(max_size=200))
def test_a_document_comes_back_as_it_was(kind: Kind, body: bytes) -> None:
    frame = decoded(*encode(kind, STREAM, 3, 4, 5, "doc", body))
    assert (frame.kind, frame.body, frame.step) == (kind, body, "doc")


def test_the_payload_travels_without_a_copy() -> None:
    array = np.zeros(1000, np.uint64)
    _, payload = encode(Kind.ARRAY, STREAM, 0, 1, 0, "x", array)
    array[0] = 1
    assert payload[0] == 1


def test_the_layout_is_the_documented_one() -> None:
    """A frame written by hand, byte by byte: what another implementation would send."""
    head, payload = encode(Kind.ARRAY, STREAM, 2, 1, 7, "ab", np.array([[5], [6]], np.uint16))
    assert head == (
        b"HNS1" + b"\1\5\2\2" + b"\2\0\1\0" + b"\7" + bytes(7) + STREAM + b"\4" + bytes(7)
        + b"\2" + bytes(7) + b"\1" + bytes(7) + b"ab"
    )  # fmt: skip
    assert bytes(payload) == b"\5\0\6\0"
    assert HEAD_BYTES == 44


# --- what may not be sent -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        np.zeros(3, np.float64),
        np.zeros(3, bool),
        np.zeros(3, ">u8"),
        np.array([object()], object),
        np.zeros(3, "S4"),
        np.zeros((1, 1, 1, 1, 1), np.uint64),
        b"bytes",
    ],
    ids=["float", "bool", "big-endian", "object", "text", "five axes", "bytes"],
)
def test_arrays_of_other_kinds_are_not_sent(body: Any) -> None:
    with pytest.raises(Fault) as caught:
        encode(Kind.ARRAY, STREAM, 0, 1, 0, "x", body)
    assert caught.value.code == "wire.dtype"


def test_names_and_documents_out_of_bounds_are_not_sent() -> None:
    for kind, stream, step, body, code in [
        (Kind.DOCUMENT, STREAM, "s" * (MAX_STEP_BYTES + 1), b"", "wire.header"),
        (Kind.DOCUMENT, STREAM, "ü" * 101, b"", "wire.header"),
        (Kind.DOCUMENT, STREAM[:15], "s", b"", "wire.header"),
        (Kind.DOCUMENT, STREAM, "s", np.zeros(1, np.uint64), "wire.dtype"),
        (Kind.DOCUMENT, STREAM, "s", bytes(MAX_DOCUMENT_BYTES + 1), "wire.oversized"),
    ]:
        with pytest.raises(Fault) as caught:
            encode(kind, stream, 0, 1, 0, step, body)  # type: ignore[arg-type]
        assert caught.value.code == code


# --- malformed frames ---------------------------------------------------------------------------


def head_of(**changes: Any) -> bytes:
    """A good header of a 2 x 1 array of uint64 named "ab", with fields changed."""
    fields = {"magic": b"HNS1", "kind": 1, "dtype": 1, "dimensions": 2, "step": 2, "source": 0,
              "target": 1, "sequence": 0, "stream": STREAM, "payload": 16} | changes  # fmt: skip
    return HEAD.pack(*fields.values())


def rest_of(*shape: int, step: bytes = b"ab") -> bytes:
    return struct.pack(f"<{len(shape)}Q", *shape) + step


GOOD = head_of(), rest_of(2, 1), bytearray(16)
OVERSIZED_DOCUMENT = head_of(kind=2, dtype=0, dimensions=0, payload=MAX_DOCUMENT_BYTES + 1)
MALFORMED: dict[str, tuple[bytes, bytes, bytearray, str]] = {
    "bad magic": (head_of(magic=b"HTTP"), *GOOD[1:], "wire.magic"),
    "another version": (head_of(magic=b"HNS2"), *GOOD[1:], "wire.magic"),
    "kind 0": (head_of(kind=0), *GOOD[1:], "wire.kind"),
    "kind 5": (head_of(kind=5), *GOOD[1:], "wire.kind"),
    "kind 255": (head_of(kind=255), *GOOD[1:], "wire.kind"),
    "dtype 0": (head_of(dtype=0), *GOOD[1:], "wire.dtype"),
    "dtype 6": (head_of(dtype=6), *GOOD[1:], "wire.dtype"),
    "too many axes": (head_of(dimensions=5), *GOOD[1:], "wire.header"),
    "255 axes": (head_of(dimensions=255), *GOOD[1:], "wire.header"),
    "step too long": (head_of(step=MAX_STEP_BYTES + 1), *GOOD[1:], "wire.header"),
    "payload over the limit": (head_of(payload=MAX_PAYLOAD_BYTES + 1), *GOOD[1:], "wire.oversized"),
    "payload of 2**64 - 1": (head_of(payload=(1 << 64) - 1), *GOOD[1:], "wire.oversized"),
    "document with a type": (head_of(kind=2), *GOOD[1:], "wire.header"),
    "document with axes": (head_of(kind=3, dtype=0), *GOOD[1:], "wire.header"),
    "document over the limit": (OVERSIZED_DOCUMENT, b"ab", bytearray(), "wire.oversized"),
    "header cut": (GOOD[0][:-1], *GOOD[1:], "wire.truncated"),
    "header empty": (b"", *GOOD[1:], "wire.truncated"),
    "header too long": (GOOD[0] + b"x", *GOOD[1:], "wire.truncated"),
    "rest cut": (GOOD[0], GOOD[1][:-1], GOOD[2], "wire.truncated"),
    "payload cut": (*GOOD[:2], bytearray(15), "wire.truncated"),
    "payload too long": (*GOOD[:2], bytearray(17), "wire.truncated"),
    "shape too small": (GOOD[0], rest_of(1, 1), GOOD[2], "wire.shape"),
    "shape too large": (GOOD[0], rest_of(3, 1), GOOD[2], "wire.shape"),
    "shape that wraps": (GOOD[0], rest_of((1 << 63) + 1, 2), GOOD[2], "wire.shape"),
    "shape that wraps to 2": (GOOD[0], rest_of((1 << 61), 8), GOOD[2], "wire.shape"),
    "size no multiple": (head_of(payload=15), rest_of(2, 1), bytearray(15), "wire.shape"),
    "name not UTF-8": (GOOD[0], rest_of(2, 1, step=b"\xff\xfe"), GOOD[2], "wire.header"),
    "name half a letter": (GOOD[0], rest_of(2, 1, step=b"a\xc3"), GOOD[2], "wire.header"),
}  # fmt: skip


def test_the_frame_they_were_made_from_is_good() -> None:
    head, rest, payload = GOOD
    assert Header(head).frame(rest, payload).step == "ab"


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_is_a_foul(name: str) -> None:
    head, rest, payload, code = MALFORMED[name]
    with pytest.raises(Foul) as caught:
        Header(head).frame(rest, payload)
    assert caught.value.code == code
    assert caught.value.message


HOSTILE = [
    (2**63, 0),
    (2**64 - 1, 0),
    (0, 2**62, 2**62),
    (2**33, 2**31, 0),
    (1 << 62, 1 << 62, 0, 1),
]


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_huge_shape_of_an_empty_array_is_a_foul(shape: tuple[int, ...]) -> None:
    header = Header(head_of(dimensions=len(shape), payload=0))
    with pytest.raises(Foul):
        header.frame(rest_of(*shape), bytearray())


def test_limits_are_checked_before_memory_is_taken() -> None:
    """A header alone is refused: a reader never makes room for what it will not accept."""
    with pytest.raises(Foul, match="over the limit"):
        Header(head_of(payload=1 << 50))


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=HEAD_BYTES, max_size=HEAD_BYTES) | st.binary(max_size=60), st.booleans())
def test_any_bytes_are_a_header_or_a_foul(data: bytes, with_magic: bool) -> None:
    with_magic = with_magic and len(data) >= 6
    try:
        header = Header(b"HNS1\1\1" + data[6:] if with_magic else data)
    except Foul as foul:
        assert foul.code.startswith("wire.")  # noqa: PT017
    else:
        assert header.rest <= 8 * MAX_DIMENSIONS + MAX_STEP_BYTES
        assert header.payload <= MAX_PAYLOAD_BYTES


@settings(max_examples=200, deadline=None)
@given(typed, st.data())
def test_one_changed_byte_is_a_frame_or_a_foul(array: np.ndarray, data: Any) -> None:
    """Flip any byte of head, shape or name: the reader gets a frame or a Foul, nothing else."""
    head, payload = encode(Kind.ARRAY, STREAM, 0, 1, 0, "step", array)
    at = data.draw(st.integers(0, len(head) - 1))
    if array.size == 0 and HEAD_BYTES <= at < len(head) - 4:
        return  # shapes of empty arrays: the test of huge shapes
    changed = bytearray(head)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        frame = decoded(bytes(changed), payload)
    except Foul as foul:
        assert foul.code.startswith("wire.")  # noqa: PT017
    else:
        size = frame.body.nbytes if isinstance(frame.body, np.ndarray) else len(frame.body)
        assert size == len(payload)


# --- documents ----------------------------------------------------------------------------------

letters = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False, allow_infinity=False)
    | letters,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(letters, inner),
    max_leaves=12,
)  # fmt: skip
documents = st.dictionaries(letters, values, max_size=5)


@settings(max_examples=100, deadline=None)
@given(documents)
def test_documents_have_one_canonical_form(document: dict[str, Any]) -> None:
    data = canonical(document)
    assert parse_document(data) == document
    assert canonical(parse_document(data)) == data
    backwards = dict(reversed(list(document.items())))
    assert canonical(backwards) == data
    assert digest(backwards) == digest(document)


def test_the_canonical_form_is_fixed() -> None:
    """Hashes and signatures rest on these bytes: they may never change."""
    value = {"b": [1, True, None, "ü"], "a": {"y": 0.5, "x": -1}}
    assert canonical(value) == '{"a":{"x":-1,"y":0.5},"b":[1,true,null,"ü"]}'.encode()
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("nan")})


BAD_DOCUMENTS: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[1]",
    "a number": b"3",
    "text after it": b"{} x",
    "not UTF-8": b'{"a":"\xff"}',
    "too deep": b'{"a":' * 100_000,
    "a number of 5,000 digits": b'{"a":' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_document_is_a_foul(name: str) -> None:
    with pytest.raises(Foul) as caught:
        parse_document(BAD_DOCUMENTS[name])
    assert caught.value.code == "wire.document"


def test_a_document_over_the_limit_is_a_foul() -> None:
    with pytest.raises(Foul) as caught:
        parse_document(b" " * (MAX_DOCUMENT_BYTES + 1))
    assert caught.value.code == "wire.oversized"


@pytest.mark.parametrize("text", ['{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}', '{"a":"\\ud800"}'])
def test_what_was_parsed_can_be_hashed(text: str) -> None:
    """Else a peer's document breaks the reader later, with an error that is not a Foul."""
    try:
        document = parse_document(text.encode())
    except Foul:
        return
    canonical(document)


def test_a_document_never_executes_anything() -> None:
    """Pickled bytes are just a bad document."""
    with pytest.raises(Foul):
        parse_document(pickle.dumps({"a": 1}))
