"""The search for people in logs, stores and ledgers finds them in whatever form they are written.

The search itself runs at the end of every module of this suite, over all that its nodes kept and logged.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fault_people import person
from fault_privacy import EVERYBODY, hashed_people, traces_in, traces_of_people

ONE = min(hashed_people())
FORMS: dict[str, bytes] = {
    "the id": person(7).encode(),
    "its hash as a number": str(ONE).encode(),
    "its hash in hexadecimal": f"{ONE:016x}".encode(),
    "the whole SHA-256": hashlib.sha256(person(7).encode()).hexdigest().encode(),
    "eight bytes": ONE.to_bytes(8, "little"),
    "eight bytes, the other way round": ONE.to_bytes(8, "big"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_person_is_found(form: str) -> None:
    assert traces_in(b"abc" + FORMS[form] + b"\x00 and the rest")


def test_a_person_in_a_store_is_found_and_the_source_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "baskets.csv").write_text(person(3))
    assert traces_of_people(tmp_path) == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hanse.db").write_bytes(b"\x01" + ONE.to_bytes(8, "little"))
    assert traces_of_people(tmp_path)


def test_what_is_no_person_is_not_found() -> None:
    assert len(hashed_people()) == EVERYBODY
    nobody = hashlib.sha256(b"nobody").hexdigest()
    assert traces_in(f"{nobody} 12345678901234567 members: 300 peer.lost".encode()) == []
