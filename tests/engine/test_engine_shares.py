"""Secrets keep silent: they do not print, compare, turn into truth values or travel by pickle."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hanse.engine.prf import SecretKey, secret_key
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, Secret, Words, join_planes, stack
from hanse.engine.shuffle import Permutation, secret_permutation
from hanse.engine.stage import on_stage
from secret_stage import Dealer

VALUE = 0xC0FFEE123456789  # would be easy to find in a text
_values = np.full(3, VALUE, np.uint64)
SECRETS: list[Secret] = [
    Ring(_values, _values),
    Bits(_values.reshape(1, 3), _values.reshape(1, 3), 150),
    Words(_values.reshape(3, 1), _values.reshape(3, 1)),
]
ids = pytest.mark.parametrize("secret", SECRETS, ids=lambda s: type(s).__name__)


@ids
def test_secrets_do_not_print(secret: Secret) -> None:
    for text in [repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret]:  # noqa: UP031
        assert "not shown" in text
        for number in (str(VALUE), f"{VALUE:x}", str(VALUE % 1000)):
            assert number not in text


@ids
@pytest.mark.parametrize(
    "question",
    [
        lambda s: s == s,  # noqa: PLR0124
        lambda s: s != s,  # noqa: PLR0124
        lambda s: s == 3,
        lambda s: s in [1],
        bool,
        lambda s: s and 1,
        lambda s: 1 if s else 2,
        hash,
        lambda s: {s},
        lambda s: s < s,  # noqa: PLR0124
        int,
        float,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
    ],
)
def test_secrets_answer_no_questions(secret: Secret, question: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        question(secret)


def test_keys_permutations_and_sessions_do_not_print() -> None:
    def protocol(s: Session) -> list[tuple[str, list[int]]]:
        key, by = secret_key(s), secret_permutation(s, 5)
        assert isinstance(key, SecretKey)
        assert isinstance(by, Permutation)
        return [
            (f"{key!r} {key}", list(key.left)),
            (f"{by!r} {by}", by.left.tolist()),
            (repr(s), []),
        ]

    for seat in on_stage(protocol):
        for text, numbers in seat:
            assert "[" not in text
            assert all(str(n) not in text for n in numbers if n > 100)


@pytest.mark.parametrize("question", [lambda k: k == k, pickle.dumps])  # noqa: PLR0124
def test_keys_answer_no_questions(question: Callable[[Any], object]) -> None:
    key = SecretKey((1, 2), (3, 4))
    with pytest.raises(TypeError):
        question(key)


def test_shares_alone_say_nothing_and_two_seats_say_all() -> None:
    """Any two seats hold all three components, one seat misses one: that is the whole of the threat model."""
    shares = Dealer(9).ring(np.array([VALUE]))
    for i in range(3):
        seat, next_seat = shares[i], shares[(i + 1) % 3]
        assert (seat.right == next_seat.left).all()
        assert (seat.left + seat.right + next_seat.right)[0] == VALUE
        assert VALUE not in {
            int(seat.left[0]),
            int(seat.right[0]),
            int((seat.left + seat.right)[0]),
        }


def test_planes_are_stacked_and_joined_in_order() -> None:
    a, b = (Bits(np.full((2, 1), v, np.uint64), np.full((2, 1), v, np.uint64), 5) for v in (1, 2))
    assert stack([a, b]).shape == (2, 2, 1)
    assert stack([a, b]).left[1, 0, 0] == 2
    joined = join_planes([a, b])
    assert joined.left[:, 0].tolist() == [1, 1, 2, 2]
    assert joined.planes == 4
    assert joined.rows == 5
