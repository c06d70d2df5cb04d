"""What everybody saw, in words: complete, true to the tap, and free of jargon that nobody defined."""

from __future__ import annotations

import re

import pytest
from crowds import ENDS, STAGES, STARTS, federation

from hanse.contracts import TRUST
from hanse.rehearsal import Answer, Federation
from hanse.rehearsal.explanation import _meaning


@pytest.fixture(scope="module")
def fed() -> Federation:
    return federation(seats=("media", "neutral-1", "neutral-2"), join_epsilon=0.5)


@pytest.fixture(scope="module")
def answer(fed: Federation) -> Answer:
    return fed.funnel(STAGES, STARTS, ENDS, by="people.age", recipients=("shop",))


def _of(text: str, party: str) -> str:
    """The paragraph about one party."""
    return text.split(f"\n{party}\n")[1].split("\n\n", maxsplit=1)[0]


def test_every_message_of_every_role_is_accounted_for(answer: Answer) -> None:
    text = answer.explain()
    for number, (role, party) in enumerate(answer.job.roles):
        received = [m for m in answer.messages if m.target == number]
        found = re.search(rf"as {role}: received ([\d,]+) messages(.*?)(?=\n  (?:as|could))",
                          _of(text, party), re.DOTALL)  # fmt: skip
        assert found is not None
        assert int(found[1].replace(",", "")) == len(received)
        detailed = [int(n.replace(",", "")) for n in re.findall(r"\(([\d,]+) messages,", found[2])]
        assert sum(detailed) == len(received)


def test_a_seat_infers_pattern_counts_and_nothing_of_the_result(answer: Answer) -> None:
    text = _of(answer.explain(), "neutral-1")
    counts = next(o.seen for o in answer.disclosures.openings if o.seen)
    assert f"data + media + shop {counts['data + media + shop']:,}" in text
    assert "from equal tags" in text
    assert "of the result: nothing" in text
    assert "at home" not in text
    assert "as provider" not in text


def test_a_provider_without_a_seat_sees_the_record_only(answer: Answer) -> None:
    text = _of(answer.explain(), "data")
    assert "received 5 messages" in text
    assert "pattern counts" not in text
    assert "of the result: nothing" in text
    assert "at home, people: 120 rows read, 120 people shared" in text


def test_a_recipient_infers_the_result(answer: Answer) -> None:
    shown = sum(row.people is not None for row in answer.result.rows)
    text = _of(answer.explain(), "shop")
    assert f"the result: {shown} noised figures" in text
    hidden = len(answer.result.rows) - shown
    assert (f"{hidden} more are suppressed" in text) == bool(hidden)


def test_seat_and_recipient_in_one_house_are_added_up(fed: Federation) -> None:
    text = fed.funnel(STAGES, STARTS, ENDS, epsilon=0.75, recipients=("media",)).explain()
    assert "epsilon 1.25" in _of(text, "media")
    assert "being seat and recipient" not in _of(text, "neutral-1")


def test_sizes_prices_and_trust_are_stated(answer: Answer) -> None:
    text = answer.explain()
    assert "data 120, media 120, shop 80" in text
    assert "epsilon 1 and a threshold of 20" in text
    assert "epsilon 0.5, delta 1e-08" in text
    assert TRUST in text
    assert "person" in text
    assert not re.search(r"\bp\d+\b", text), "an id is in the explanation"


def test_noise_off_is_said_first(fed: Federation) -> None:
    text = fed.funnel(STAGES, STARTS, ENDS, noise=False).explain()
    assert "The noise was off" in text.splitlines()[1]
    assert "exact figures" in text


def test_an_answer_from_the_record_showed_nobody_anything(fed: Federation, answer: Answer) -> None:
    again = fed.funnel(STAGES, STARTS, ENDS, by="people.age", recipients=("shop",), analyst="media")
    assert again.recorded  # media, who asks, is no recipient: shop, who is, holds the answer
    other = fed.funnel(STAGES, STARTS, ENDS, by="people.age", recipients=("data",), analyst="media")
    assert not other.recorded  # another recipient's answer is another question
    repeated = fed.funnel(
        STAGES, STARTS, ENDS, by="people.age", recipients=("shop",), analyst="shop"
    )
    assert repeated.recorded
    assert "nobody received anything new" in repeated.explain()
    assert "as seat" not in repeated.explain()
    assert "nothing new" in str(repeated.disclosures)


def test_people_cut_by_slots_are_told_at_home() -> None:
    fed = federation(slots=1)
    table = {"who": ["p1", "p1", "p2"] * 3, "at": ["2026-03-02", "2026-03-05", "2026-03-06"] * 3}
    fed.dataset("visits", "shop", table, id="who", time="at", capacity=100)
    answer = fed.funnel([("seen", "exposures"), ("came", "visits")], STARTS, ENDS, noise=False)
    assert "2 people had more events than slots" in _of(answer.explain(), "shop")
    assert "visits: 2 people had more than 1 events" in str(answer)


@pytest.mark.parametrize(
    ("step", "words", "of"),
    [
        ("agree.key", "keys, nonces", ""),
        ("upload.media.rows", "shares of the rows of {}", "media"),
        ("upload.media.held", "hashes", ""),
        ("lock.my-shop", "output lock", "my-shop"),
        ("lock.my-shop.held", "hashes", ""),
        ("check.shop/open.hash", "sorted and unique", "shop"),
        ("check.shop/ripple.3", "that check", "shop"),
        ("tags/open.shop.hash", "tags of", "shop"),
        ("tag/round.3", "masked values of the tags", ""),
        ("unlock.shop", "the output lock of {}", "shop"),
        ("something/else", "messages of the protocol", ""),
    ],
)
def test_every_step_has_a_meaning(step: str, words: str, of: str) -> None:
    what, learns, party = _meaning(step)
    assert words in what
    assert learns
    assert party == of


def test_disclosures_as_plain_values(answer: Answer) -> None:
    body = answer.disclosures.body()
    assert body["openings"][-1]["to"] == ["shop"]
    towards = {(b["provider"], b["towards"]): b for b in body["budgets"]}
    assert towards["media", "recipients"]["before"] == 0.0
    assert towards["media", "recipients"]["after"] == 1.0
    assert towards["media", "seats"]["after"] == 0.5
    assert "to shop: counts of people" in str(answer.disclosures)
