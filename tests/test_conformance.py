"""One suite for every computation of the menu: a new entry is tested without a line more.

Equal to its plain twin, refused without a signed contract, suppressed under the threshold, charged to the budget,
answered from the record for free, unchanged by a tap that sees every message, silent about ids, stopped cleanly
wherever a message is lost.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hanse.contracts import permitting_parties
from hanse.errors import HanseError, Refusal
from hanse.ledger import Spend
from hanse.measure.examples import Example
from hanse.menu import MENU, entry
from hanse.rehearsal import Answer, Column, Federation, Message
from hanse.wire import Frame, Tap

pytestmark = pytest.mark.parametrize("name", sorted(MENU))
TOO_MANY = 1_000_000


def federation(name: str, thinned: int = 1, **options: Any) -> tuple[Federation, Example]:
    """The entry's example as a federation; ``thinned`` keeps every nth row, at the same capacity."""
    example = entry(name).example()
    options = {"k": example.k, "seed": f"conformance {name}", "join_epsilon": 1.0, **options}
    fed = Federation(**options)
    for listed, places in example.places.items():
        fed.places(listed, places)
    for t in example.tables:
        table = t.table.take(pa.array(range(0, t.table.num_rows, thinned)))
        columns = {
            name: Column(source, gazetteer=t.gazetteers.get(name))
            for name, source in t.columns.items()
        }
        fed.dataset(t.dataset, t.provider, table, id=t.id, time=t.time, columns=columns,
                    capacity=t.table.num_rows)  # fmt: skip
    return fed, example


def ask(fed: Federation, name: str, example: Example, **options: Any) -> Answer[Any]:
    return fed.ask(name, example.parameters, **{"epsilon": example.epsilon, **options})


@pytest.fixture
def rehearsed(name: str) -> tuple[Federation, Example]:
    return federation(name)


def balances(fed: Federation) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """What every party's own ledger has charged to itself."""
    found = {}
    for party in fed.parties:
        balance = Spend(fed.party(party).ledger).balance("rehearsal", "contract", party)
        found[party] = balance.recipients, balance.seats
    return found


def test_equals_its_twin(name: str, rehearsed: tuple[Federation, Example]) -> None:
    fed, example = rehearsed
    answer = ask(fed, name, example, noise=False)
    exact = answer.exact()
    shown = exact[answer.job.plan.release.guarded] >= example.k
    assert shown.any()
    assert np.array_equal(answer.values, np.where(shown, exact, 0))
    assert answer.twin().to_arrow().num_rows > 0


def test_over_a_roster_it_equals_its_twin_and_opens_nothing_on_the_way(
    name: str, rehearsed: tuple[Federation, Example]
) -> None:
    fed, example = rehearsed
    first, again = (ask(fed, name, example, noise=False, roster="kept") for _ in range(2))
    assert again.job.request.roster_job == first.job.request.job_hash
    assert again.job.request.epsilon_join == 0
    shown = again.exact()[again.job.plan.release.guarded] >= example.k
    assert np.array_equal(again.values, np.where(shown, again.exact(), 0))
    assert "tags" not in [o.step for o in again.disclosures.openings]


def test_noise_changes_figures_and_stays_small(
    name: str, rehearsed: tuple[Federation, Example]
) -> None:
    fed, example = rehearsed
    answer = ask(fed, name, example)
    release = answer.job.plan.release
    shown = answer.values != 0
    off = np.abs(answer.values - answer.exact())
    assert shown.any()
    assert off[shown].any(), "not one published figure of many was noised"
    spread = np.array([release.sd(i) for i in range(release.outputs)])
    assert (off < 40 * spread)[shown].all()


def test_refused_without_a_signed_contract(
    name: str, rehearsed: tuple[Federation, Example]
) -> None:
    fed, example = rehearsed
    fed.party(fed.parties[-1]).signs = False
    with pytest.raises(Refusal) as refusal:
        ask(fed, name, example)
    assert refusal.value.code == "contract.unsigned"
    assert set(balances(fed).values()) == {((), ())}
    fed.party(fed.parties[-1]).signs = True
    assert ask(fed, name, example).values.any()


def test_refused_by_any_single_party(name: str, rehearsed: tuple[Federation, Example]) -> None:
    fed, example = rehearsed
    for party in fed.parties:
        fed.party(party).suspended = True
        with pytest.raises(Refusal) as refusal:
            ask(fed, name, example)
        assert refusal.value.code == "contract.suspended"
        assert party in refusal.value.where
        fed.party(party).suspended = False
    assert set(balances(fed).values()) == {((), ())}


@pytest.mark.parametrize("noise", [True, False])
def test_suppressed_under_the_threshold(name: str, noise: bool) -> None:
    fed, example = federation(name, k=TOO_MANY)
    answer = ask(fed, name, example, noise=noise)
    assert not answer.values.any()
    text = str(answer.result.body())
    assert str(TOO_MANY) in text, "the result does not say which threshold it was"


def test_charges_every_provider_the_full_price(
    name: str, rehearsed: tuple[Federation, Example]
) -> None:
    fed, example = rehearsed
    answer = ask(fed, name, example)
    request = answer.job.request
    joined = (request.epsilon_join,) if request.epsilon_join else ()
    for party, (recipients, seats) in balances(fed).items():
        provides = party in answer.job.providers
        assert recipients == ((example.epsilon,) if provides else ())
        assert seats == (joined if provides else ())
    for before, after in zip(answer.disclosures.before, answer.disclosures.after, strict=True):
        assert before.spent == 0 < after.spent <= after.allowed
    for party in permitting_parties(fed.contract, request):
        kinds = [e.kind for e in fed.party(party).ledger.entries()]
        assert kinds.index("reserve") < kinds.index("permit") < kinds.index("commit")
        assert kinds.index("commit") < kinds.index("disclosure") < kinds.index("job")
        assert fed.party(party).ledger.verify(fed.party(party).signing_key).ok


def test_refused_when_the_budget_is_spent(name: str) -> None:
    example = entry(name).example()
    fed, _ = federation(
        name, epsilon_budget=1.5 * example.epsilon, epsilon_per_query=example.epsilon
    )
    ask(fed, name, example)
    spent = balances(fed)
    with pytest.raises(Refusal) as refusal:
        ask(fed, name, example, epsilon=0.9 * example.epsilon)
    assert refusal.value.code == "budget.spent"
    assert balances(fed) == spent
    assert ask(fed, name, example).recorded, "a recorded answer is free, whatever is left"


def test_an_identical_question_is_answered_from_the_record(
    name: str, rehearsed: tuple[Federation, Example]
) -> None:
    fed, example = rehearsed
    first = ask(fed, name, example)
    spent = balances(fed)
    again = ask(fed, name, example)
    assert again.recorded
    assert again.result == first.result
    assert not again.messages
    assert balances(fed) == spent
    other = ask(fed, name, example, epsilon=example.epsilon / 2)
    assert not other.recorded
    assert balances(fed) != spent


def test_an_answer_without_noise_is_never_given_again(
    name: str, rehearsed: tuple[Federation, Example]
) -> None:
    fed, example = rehearsed
    ask(fed, name, example, noise=False)
    noised = ask(fed, name, example)
    assert not noised.recorded
    assert (noised.values != noised.exact()).any()


def test_survives_the_tap_and_repeats_with_the_seed(name: str) -> None:
    frames: list[Frame] = []

    def watch(frame: Frame) -> Frame:
        frames.append(frame)
        return frame

    fed, example = federation(name, tap=watch)
    tapped = ask(fed, name, example)
    fed, example = federation(name)
    untapped = ask(fed, name, example)
    assert np.array_equal(tapped.values, untapped.values)
    assert len(frames) == len(tapped.messages) == len(untapped.messages)
    assert _by_pair(tapped.messages) == _by_pair(untapped.messages)
    assert {m.target for m in tapped.messages} == set(range(len(tapped.job.roles)))
    other = ask(federation(name, seed="another")[0], name, example)
    assert not np.array_equal(other.values, untapped.values)


def _by_pair(messages: tuple[Message, ...]) -> dict[tuple[int, int], list[Message]]:
    """Messages in order for each pair of roles; between pairs, threads may overtake each other."""
    found: dict[tuple[int, int], list[Message]] = {}
    for message in messages:
        found.setdefault((message.source, message.target), []).append(message)
    return found


def test_no_message_carries_an_id(name: str) -> None:
    example = entry(name).example()
    ids = {str(i) for t in example.tables for i in t.table[t.id].to_pylist()}
    hashed = np.array(
        [int.from_bytes(hashlib.sha256(i.encode()).digest()[:8], "big") for i in ids], np.uint64
    )
    seen: list[str] = []

    def watch(frame: Frame) -> Frame:
        body = frame.body
        if isinstance(body, np.ndarray) and body.dtype == np.uint64:
            words = body.reshape(-1)
            if np.isin(words, hashed).any() or np.isin(words, hashed.byteswap()).any():
                seen.append(frame.step)
        return frame

    fed, _ = federation(name, tap=watch)
    ask(fed, name, example)
    assert seen == []


def test_messages_before_the_tags_have_shapes_that_data_do_not_change(name: str) -> None:
    shapes = []
    for thinned in (1, 3):
        fed, example = federation(name, thinned)
        messages = ask(fed, name, example).messages
        early = [m for m in messages if not m.step.startswith(("compute/", "release/", "re"))]
        shapes.append(_by_pair(tuple(early)))
    assert shapes[0] == shapes[1]


def test_costs_at_most_what_it_declares(name: str, rehearsed: tuple[Federation, Example]) -> None:
    declared = entry(name).cost
    if declared is None:
        pytest.skip(f"{name} declares no cost")
    fed, example = rehearsed
    answer = ask(fed, name, example)
    people = _kept(answer)
    for seat, meter in answer.meters.items():
        sent = sum(m.bytes for m in answer.messages if m.source == seat and m.target < 3)
        agreement = sum(
            m.bytes for m in answer.messages if m.source == seat and m.step.startswith("agree")
        )
        assert meter.bytes == sent - agreement, "a message was not counted"
        computing = sum(n for step, n in meter.by_step.items() if step.startswith("compute"))
        assert computing <= declared(answer.job.plan, people) <= 4 * computing


def _kept(answer: Answer[Any]) -> int:
    """Anonymous groups that went into the computation, dummies included."""
    providers = answer.job.providers
    total = 0
    for opening in answer.disclosures.openings:
        for pattern, groups in opening.seen.items():
            mask = sum(1 << providers.index(p) for p in pattern.split(" + "))
            total += groups if answer.job.plan.keep(mask) else 0
    return total


@cache
def _messages_of(name: str) -> int:
    fed, example = federation(name)
    return len(ask(fed, name, example).messages)


def _losing(lost: int) -> Tap:
    """A tap that drops the message with this number."""
    numbers = count(1)
    return lambda frame: None if next(numbers) == lost else frame


@pytest.mark.parametrize("part", [0.001, 0.05, 0.3, 0.6, 0.85, 0.97, 0.999])
def test_a_lost_message_ends_the_job_cleanly(name: str, part: float) -> None:
    tap = _losing(max(1, int(_messages_of(name) * part)))
    fed, example = federation(name, tap=tap, patience=1.0)
    with pytest.raises(HanseError) as error:
        ask(fed, name, example)
    assert error.value.code in {"peer.silent", "wire.order", "wire.step"}
    assert error.value.remedy
    _check_books(fed)
    fed.tap, fed.patience = None, 60.0
    assert ask(fed, name, example).values.any()


def _check_books(fed: Federation) -> None:
    """A stopped job is charged where it was committed and given back elsewhere; nothing stays reserved."""
    for party in fed.parties:
        ledger = fed.party(party).ledger
        spend = Spend(ledger)
        assert spend.open_jobs() == ()
        committed = bool(list(ledger.entries("commit")))
        charged = spend.balance("rehearsal", "contract", party).recipients
        assert bool(charged) == (committed and party in fed.contract.providers)
        assert ledger.verify(fed.party(party).signing_key).ok
        ended = [e.body for e in ledger.entries("job")]
        assert [e["state"] for e in ended] == ["failed"]
        assert ended[0]["spent"] == committed


def test_explains_itself_to_every_party(name: str, rehearsed: tuple[Federation, Example]) -> None:
    fed, example = rehearsed
    answer = ask(fed, name, example)
    text = answer.explain()
    for party in dict.fromkeys(p for _, p in answer.job.roles):
        assert f"\n{party}\n" in text
    assert entry(name).learns in text
    assert "messages of the protocol" not in text, "a step of this computation is not explained"
