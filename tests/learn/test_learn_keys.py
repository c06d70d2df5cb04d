"""Keys that parties show one another in the open: nobody makes another one keep more than the contract says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hanse.errors import Foul
from hanse.learn.jobs.keys import keys_in_common
from hanse.learn.jobs.sealed import KeysSealed, keys_hash
from hanse.learn.jobs.terms import Side
from hanse.learn.linear.whole import Places, places_of_all, show_keys
from hanse.wire import Array

SIDES = (Side("shop", "customers", (), 100), Side("media", "audience", (), 4))
KEYS = np.array([3, 5, 8, 13], np.uint64)


class Scripted:
    """The other party's messages; what is asked for must be as large as it was announced."""

    def __init__(self, role: int, *answers: Array) -> None:
        self.role = role
        self.sent: list[tuple[int, str]] = []
        self._answers = list(answers)

    def send(self, to: int, step: str, array: Array) -> None:
        self.sent.append((to, step))

    def receive(self, source: int, step: str, dtype: Any, shape: tuple[int, ...]) -> Array:
        del source, dtype
        found = self._answers.pop(0)
        assert found.shape == shape, step
        return found


def count(number: int) -> Array:
    return np.array([number], np.uint64)


def of_trees(channel: Scripted) -> Any:
    return keys_in_common(channel, SIDES, np.array([1, 5, 13], np.uint64), "training")


def of_linear(channel: Scripted) -> Any:
    most = [(side.party, side.capacity) for side in SIDES]
    return show_keys(channel, 0, most, "training", np.array([1, 5, 13], np.uint64))


@pytest.mark.parametrize("play", [of_trees, of_linear])
@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([count(5)], "more keys than the 4 rows"),
        ([count(1 << 63)], "more keys than the 4 rows"),
        ([count(4), KEYS[::-1].copy()], "out of order"),
        ([count(2), np.array([5, 5], np.uint64)], "twice"),
    ],
)
def test_a_party_with_keys_that_it_cannot_have_is_named(
    play: Callable[[Scripted], Any], answers: list[Array], said: str
) -> None:
    with pytest.raises(Foul) as foul:
        play(Scripted(0, *answers))
    assert foul.value.code == "learn.keys"
    assert foul.value.message.startswith(
        "media shows keys" if len(answers) > 1 else "media shows more"
    )
    assert said in foul.value.message
    assert foul.value.where == "provider media"


def test_keys_in_common() -> None:
    assert of_trees(Scripted(0, count(4), KEYS)).tolist() == [5, 13]
    channel = Scripted(0, count(4), KEYS)
    assert [keys.tolist() for keys in of_linear(channel)] == [[1, 5, 13], KEYS.tolist()]
    assert {to for to, step in channel.sent if step == "keys.training.places"} == {0, 1, 2}


def test_keys_are_those_that_were_committed_to() -> None:
    nonce, own = b"\x05" * 32, b"\x06" * 32
    hashes = {"media": keys_hash(nonce, KEYS)}
    mine = np.array([1, 5], np.uint64)
    told = np.frombuffer(nonce, np.uint8)
    sealed = KeysSealed(own, hashes)
    found = keys_in_common(Scripted(0, count(4), KEYS, told), SIDES, mine, "training", sealed)
    assert found.tolist() == [5]
    with pytest.raises(Foul) as foul:
        keys_in_common(Scripted(0, count(3), KEYS[1:], told), SIDES, mine, "training", sealed)
    assert foul.value.code == "model.swapped"


def test_places_bind_size_and_rows() -> None:
    some = Places(4, np.array([1, 3], np.uint64))
    assert some.digest() == Places(4, np.array([1, 3], np.uint64)).digest()
    for other in (Places(5, some.places), Places(4, some.places[:1]), Places(4, some.places + 1)):
        assert other.digest() != some.digest()


class Seat:
    """A seat's end of the keys' part, without other seats."""

    def __init__(self, *answers: Array) -> None:
        self.channel = Scripted(0, *answers)

    def check_equal(self, *_what: Any) -> None:
        """Other seats hold the same."""


def told(places: list[Places], number: int, **other: Places) -> list[Array]:
    """What party ``number`` of these tells a seat; ``other``: what it says of party N as ``pN``."""
    said = [other.get(f"p{n}", one).digest() for n, one in enumerate(places)]
    return [
        count(places[number].size), places[number].places, np.frombuffer(b"".join(said), np.uint8),
    ]  # fmt: skip


def test_seats_blame_nobody_on_the_word_of_one_other_party() -> None:
    """Either of the two may be the liar: shop that slanders, or media that shows one thing and tells another."""
    places = [Places(3, np.array([0, 2], np.uint64)), Places(4, np.array([1, 3], np.uint64))]
    wrong = Places(4, np.array([0, 3], np.uint64))
    seat: Any = Seat(*told(places, 0), *told(places, 1))
    found = places_of_all(seat, ["shop", "media"], "training", 2, [9, 9])
    assert [one.digest() for one in found] == [one.digest() for one in places]
    seat = Seat(*told(places, 0, p1=wrong), *told(places, 1))
    with pytest.raises(Foul) as foul:
        places_of_all(seat, ["shop", "media"], "training", 2, [9, 9])
    assert foul.value.where == "providers media and shop"
    seat = Seat(*told(places, 0), *told(places, 1, p1=wrong))
    with pytest.raises(Foul, match="media tells the seats places of its own rows") as foul:
        places_of_all(seat, ["shop", "media"], "training", 2, [9, 9])
    assert foul.value.where == "provider media"
