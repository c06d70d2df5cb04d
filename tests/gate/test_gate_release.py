"""The way out: noise, threshold on the noised value, locks of all providers, openings that are checked."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hanse.align import upload
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from hanse.engine.stage import agree, on_stage
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul, Refusal
from hanse.gate import Record, ReleasePlan, release
from hanse.gate.release import (
    FALSE_PUBLISH,
    Block,
    Sums,
    lock_counts,
    margin,
    noise_law,
    noise_sd,
    read_locked,
    send_locked,
)
from hanse.wire import Frame
from secret_stage import Dealer, Tape, flipped, opened, payload, play, results, uniform_p_value

ALPHA = 1e-6
SEATS, PROVIDERS, RECIPIENT = (0, 1, 2), (3, 4), 5
SUFFIX = np.triu(np.ones((3, 3), np.int64))  # a funnel of three stages: reached at least stage s


def plan_of(
    epsilon: float = 2.0, k: int = 20, combine: Any = SUFFIX, *, noise: bool = True
) -> ReleasePlan:
    return ReleasePlan(Sums.of(combine), epsilon, k, noise)


def released(
    counts: list[int],
    plan: ReleasePlan,
    *,
    tap: Any = None,
    told: tuple[int, ...] = PROVIDERS,
    seed: str = "r",
) -> list[Any]:
    """Outcomes of 3 seats (their records), 2 providers, and a recipient who was told ``told``'s locks."""
    shares = Dealer(1).ring(np.array(counts, np.int64))

    def seat(number: int) -> Any:
        def run(channel: Any) -> Record:
            s = agree(channel, number, SeededEntropy(f"{seed}{number}"), b"job")
            locks = [upload.receive_lock(s, p, f"p{p}", plan.outputs) for p in PROVIDERS]
            record = Record()
            locked = lock_counts(s, record, shares[number], plan, locks, ("media",))
            send_locked(channel, locked, [RECIPIENT])
            return record

        return run

    def provider(role: int) -> Any:
        def run(channel: Any) -> None:
            lock = upload.send_lock(
                channel, SEATS, f"p{role}", plan.outputs, SeededEntropy(f"{seed}{role}")
            )
            if role in told:
                channel.send(RECIPIENT, "lock", lock)

        return run

    def recipient(channel: Any) -> tuple[np.ndarray, np.ndarray]:
        locks = [channel.receive(p, "lock", np.dtype("<u8"), (plan.outputs,)) for p in told]
        return read_locked(channel, plan, locks)

    return play([seat(0), seat(1), seat(2), provider(3), provider(4), recipient], tap=tap)


def read(counts: list[int], plan: ReleasePlan, **settings_: Any) -> tuple[np.ndarray, np.ndarray]:
    return results(released(counts, plan, **settings_))[RECIPIENT]


@pytest.fixture
def known_noise(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Noise of the test's own choosing in every cell."""

    def use(noise: list[int]) -> None:
        monkeypatch.setattr(
            release, "geometric_difference",
            lambda s, _epsilon, cells, _step: s.public_ring(np.array(noise, np.int64).view(np.uint64)),
        )  # fmt: skip

    return use


# --- values, thresholds, suppression ------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=3, max_size=3), st.integers(20, 60))
def test_without_noise_outputs_are_the_twins_from_k_on(counts: list[int], k: int) -> None:
    """Rehearsals only. Published exactly from k on; a suppressed output is zero and says so."""
    values, published = read(counts, plan_of(k=k, noise=False))
    true = SUFFIX @ np.array(counts)
    assert (published == (true >= k)).all()
    assert (values == np.where(true >= k, true, 0)).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 300), min_size=3, max_size=3),
    st.lists(st.integers(-300, 300), min_size=3, max_size=3),
)
def test_the_threshold_is_on_the_noised_value(counts: list[int], noise: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            release, "geometric_difference",
            lambda s, _epsilon, cells, _step: s.public_ring(np.array(noise, np.int64).view(np.uint64)),
        )  # fmt: skip
        plan = plan_of(k=30)
        values, published = read(counts, plan)
    noised = SUFFIX @ (np.array(counts) + np.array(noise))
    least = plan.thresholds()
    assert (published == (noised >= least)).all()
    assert (values == np.where(noised >= least, noised, 0)).all()


def test_nobody_is_published_if_noise_says_enough_and_many_are_not_if_noise_says_few(
    known_noise: Any,
) -> None:
    """Spelled out: no people with noise 500 are published, 500 people with noise -500 are not."""
    one = plan_of(combine=np.eye(2))
    known_noise([500, -500])
    values, published = read([0, 500], one)
    assert (values.tolist(), published.tolist()) == ([500, 0], [True, False])


@pytest.mark.parametrize("distance", [-2, -1, 0, 1])
def test_the_border_is_met_to_the_unit(known_noise: Any, distance: int) -> None:
    plan = plan_of(combine=[[1]])
    known_noise([0])
    count = int(plan.thresholds()[0]) + distance
    values, published = read([count], plan)
    assert published.tolist() == [distance >= 0]
    assert values.tolist() == [count if distance >= 0 else 0]


def test_a_value_far_below_zero_is_suppressed_not_wrapped(known_noise: Any) -> None:
    known_noise([-(1 << 39)])
    values, published = read([0], plan_of(combine=[[1]]))
    assert (values.tolist(), published.tolist()) == ([0], [False])


def test_released_values_carry_the_stated_noise() -> None:
    """1,500 cells of 500 people: value - 500 follows the discrete Laplace law of epsilon / 2, alpha 1e-6."""
    cells, epsilon = 1500, 2.0
    values, published = read([500] * cells, plan_of(epsilon, combine=np.eye(cells)))
    assert published.all()
    noise = values - 500
    a = math.exp(-epsilon / 2)
    inside = np.arange(-4, 5)
    expected = cells * (1 - a) / (1 + a) * a ** np.abs(inside)
    tail = (cells - expected.sum()) / 2
    seen = np.bincount(np.clip(noise, -5, 5) + 5, minlength=11)
    assert stats.chisquare(seen, [tail, *expected, tail]).pvalue > ALPHA
    assert noise.std() == pytest.approx(noise_sd(epsilon / 2, 1), rel=0.15)


def test_cells_under_the_threshold_are_all_suppressed() -> None:
    values, published = read([0] * 300, plan_of(combine=np.eye(300)))
    assert not published.any()
    assert not values.any()


# --- the margin ---------------------------------------------------------------------------------


def exact_tail(epsilon: float, draws: int, above: int) -> Decimal:
    """P(sum of ``draws`` discrete Laplace values > ``above``), 50 digits, by convolution."""
    with localcontext() as context:
        context.prec = 50
        a = (-Decimal(epsilon)).exp()
        reach = int(90 / epsilon)
        one = [(1 - a) / (1 + a) * a ** abs(x) for x in range(-reach, reach + 1)]
        law = [Decimal(1)]
        for _ in range(draws):
            longer = [Decimal(0)] * (len(law) + len(one) - 1)
            for i, p in enumerate(law):
                for j, q in enumerate(one):
                    longer[i + j] += p * q
            law = longer
        return sum(law[above + draws * reach + 1 :], Decimal(0))


@pytest.mark.parametrize(("epsilon", "draws"), [(1.0, 1), (0.5, 1), (2.0, 1), (2.0, 2), (2.0, 3)])
def test_a_count_of_k_minus_one_is_published_once_in_a_million(epsilon: float, draws: int) -> None:
    """The smallest margin with P(k - 1 + noise >= k + margin) <= 1e-6, by the exact law in 50 digits."""
    m = margin(epsilon, draws)
    assert exact_tail(epsilon, draws, m) <= Decimal(FALSE_PUBLISH)
    assert exact_tail(epsilon, draws, m - 1) > Decimal(FALSE_PUBLISH)


@pytest.mark.parametrize("epsilon", [0.01, 0.05, 0.25, 0.5, 1.0, 2.0])
def test_the_margin_of_one_cell_in_closed_form(epsilon: float) -> None:
    """P(noise > m) = a**(m+1) / (1 + a); the review's figure: epsilon 0.5 at the cell, m = 27."""
    a = math.exp(-epsilon)
    m = margin(epsilon, 1)
    assert a ** (m + 1) / (1 + a) <= FALSE_PUBLISH < a**m / (1 + a)
    assert abs(m - math.log(1 / (2 * FALSE_PUBLISH)) / epsilon) <= 1 + 1 / epsilon
    if epsilon == 0.5:
        assert m == 26  # ln(1 / 2e-6) / 0.5 = 26.2, and noise must exceed m


@pytest.mark.parametrize("draws", [1, 2, 3, 7, 12, 40])
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_the_law_of_a_sum_of_noises(epsilon: float, draws: int) -> None:
    """Mass one, symmetric, and the variance of so many independent draws."""
    offset, law = noise_law(epsilon, draws)
    x = np.arange(law.size) - offset
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert law == pytest.approx(law[::-1], abs=1e-15)
    assert math.sqrt((law * x**2).sum()) == pytest.approx(noise_sd(epsilon, draws), rel=1e-9)


def test_more_cells_and_less_epsilon_mean_more_margin() -> None:
    assert margin(1.0, 0) == 0
    assert [margin(1.0, n) for n in (1, 2, 5, 20)] == sorted(
        {margin(1.0, n) for n in (1, 2, 5, 20)}
    )
    assert margin(0.1, 1) > margin(0.2, 1) > margin(1.0, 1)
    plan = plan_of(epsilon=1.0, k=100)
    assert plan.thresholds().tolist() == [100 + margin(0.5, n) for n in (3, 2, 1)]
    assert plan_of(noise=False, k=33).thresholds().tolist() == [33] * 3


@pytest.mark.slow
def test_false_publication_is_as_rare_as_stated() -> None:
    """400,000 cells of k - 1 people at a tenth of the promise's rarity: none expected, at most a few."""
    cells, runs = 40_000, 10
    plan = plan_of(epsilon=4.0, combine=[[1]])
    threshold, found = int(plan.thresholds()[0]), 0
    for number in range(runs):
        noise = on_stage(
            lambda s: opened(s, release.geometric_difference(s, 2.0, cells)), seed=f"false {number}"
        )[0].view(np.int64)
        found += int((plan.k - 1 + noise >= threshold).sum())
    assert stats.binom.sf(found - 1, cells * runs, FALSE_PUBLISH) > ALPHA


# --- rules no contract may loosen ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "rehearsal", "code"),
    [
        (plan_of(k=19), False, "gate.k"),
        (plan_of(k=0), True, "gate.k"),
        (plan_of(k=-5), True, "gate.k"),
        (plan_of(noise=False), False, "gate.noise"),
        (plan_of(epsilon=4.01), False, "gate.epsilon"),
        (plan_of(epsilon=0.0), False, "gate.epsilon"),
        (plan_of(epsilon=-1.0), True, "gate.epsilon"),
        (plan_of(epsilon=math.inf), True, "gate.epsilon"),
        (plan_of(epsilon=math.nan), True, "gate.epsilon"),
    ],
)
def test_plans_that_break_a_rule_are_refused(plan: ReleasePlan, rehearsal: bool, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        plan.checked(rehearsal=rehearsal)
    assert caught.value.code == code
    assert caught.value.remedy


def test_an_epsilon_that_no_law_can_be_computed_for_is_refused() -> None:
    with pytest.raises(Refusal):
        plan_of(epsilon=1e-7).checked(rehearsal=False)


def test_plans_at_the_border_of_the_rules_pass() -> None:
    for plan, rehearsal in [(plan_of(4.0, 20), False), (plan_of(noise=False), True)]:
        assert plan.checked(rehearsal=rehearsal) is plan


# --- locks --------------------------------------------------------------------------------------

MANY = plan_of(combine=np.eye(40))
COUNTS = [200 + 5 * i for i in range(40)]


@pytest.mark.parametrize("told", [(), (3,), (4,)])
def test_without_every_providers_lock_a_recipient_reads_nothing(told: tuple[int, ...]) -> None:
    outcome = released(COUNTS, MANY, told=told)[RECIPIENT]
    assert isinstance(outcome, Foul)
    assert outcome.code == "gate.lock"


def test_what_is_read_without_one_lock_is_uniform() -> None:
    """Chi-square over bytes of 1,000 locked zeros, alpha 1e-6: no figure shows through."""
    outputs = 1000
    plan = plan_of(combine=np.eye(outputs))
    tape = Tape()
    released([0] * outputs, plan, told=(3,), tap=tape)
    parts = [payload(f) for f in tape.received(RECIPIENT) if f.step == "result"]
    lock = next(payload(f) for f in tape.received(RECIPIENT) if f.source == 3)
    total = sum(p.view(np.uint64) for p in parts) - lock.view(np.uint64)
    assert uniform_p_value(np.asarray(total, np.uint64).view(np.uint8)) > ALPHA


def test_a_wrong_lock_is_a_foul() -> None:
    def tap(frame: Frame) -> Frame:
        return flipped(frame, -1) if frame.step == "lock" and frame.source == 4 else frame

    outcome = released(COUNTS, MANY, tap=tap)[RECIPIENT]
    assert isinstance(outcome, Foul)
    assert outcome.code == "gate.lock"


def test_seats_never_see_an_output() -> None:
    """Results go to the recipient alone; between seats no step of the release opens anything."""
    tape = Tape()
    released(COUNTS, MANY, tap=tape)
    assert {f.target for f in tape.frames if f.step.startswith("result")} == {RECIPIENT}
    between = [f for f in tape.frames if f.target in SEATS and f.step.startswith("release/")]
    octets = np.concatenate([payload(f) for f in between])
    assert uniform_p_value(octets) > ALPHA
    assert not [f for f in between if f.step.endswith(".hash")]


@pytest.mark.parametrize("cheat", SEATS)
@pytest.mark.parametrize("part", ["result", "result.hash"])
def test_a_seat_that_flips_its_part_of_the_result_is_caught(cheat: int, part: str) -> None:
    def tap(frame: Frame) -> Frame:
        return flipped(frame) if frame.source == cheat and frame.step == part else frame

    outcome = released(COUNTS, MANY, tap=tap)[RECIPIENT]
    assert isinstance(outcome, Foul)
    assert outcome.code == "engine.opening"
    assert str(cheat) in outcome.message


# --- the record ---------------------------------------------------------------------------------


def test_seats_write_the_same_record_before_anything_leaves() -> None:
    records = [o for o in released(COUNTS, MANY)[:3] if isinstance(o, Record)]
    assert len(records) == 3
    assert len({r.digest() for r in records}) == 1
    (opening,) = records[0].openings
    assert opening.to == ("media",)
    assert (opening.values, opening.epsilon) == (40, MANY.epsilon)
    assert str(MANY.k) in opening.what


@pytest.mark.parametrize("change", [{"epsilon": 1.0}, {"k": 21}, {"combine": np.eye(39, 40)}])
def test_another_price_or_size_is_another_record(change: dict[str, Any]) -> None:
    def digest(plan: ReleasePlan) -> str:
        shares = Dealer(1).ring(np.array(COUNTS))

        def protocol(s: Session) -> str:
            record = Record()
            locked = lock_counts(s, record, shares[s.seat], plan, [], ("media",))
            assert isinstance(locked, Ring)
            return record.digest()

        return on_stage(protocol)[0]

    assert digest(MANY) != digest(plan_of(**({"combine": np.eye(40)} | change)))


def test_a_record_only_grows() -> None:
    record = Record()
    before = record.digest()
    openings = record.openings
    assert isinstance(openings, tuple)
    shares = Dealer(1).ring(np.array([5]))
    on_stage(lambda s: lock_counts(s, record if s.seat == 0 else Record(), shares[s.seat],
                                   plan_of(combine=[[1]]), [], ("media",)))  # fmt: skip
    assert record.digest() != before
    assert record.body()[0]["what"] == record.openings[0].what


# --- sums of values, guarded by the people behind them ------------------------------------------


def valued(epsilon: float = 1.0, *, noise: bool = True) -> ReleasePlan:
    """Two groups: people, and a sum of values of up to 1,000 each."""
    return ReleasePlan(
        Sums.stacked([Sums.each(2), Sums.each(2)]), epsilon, 20, noise,
        (Block(2, 0.5), Block(2, 0.5, 2000)), np.array([0, 1, 0, 1]),
    )  # fmt: skip


def test_a_sum_of_values_is_shown_with_its_people_only() -> None:
    values, published = read([400, 3, 123_456, 987_654], valued(noise=False))
    assert published.tolist() == [True, False, True, False]
    assert values.tolist() == [400, 0, 123_456, 0]


def test_a_sum_of_values_may_be_below_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(s: Session, epsilon: float, cells: int, _step: str) -> Ring:
        value = -30_000 if epsilon < 0.01 else 0
        return s.public_ring(np.full(cells, value, np.int64).view(np.uint64))

    monkeypatch.setattr(release, "geometric_difference", noise)
    values, published = read([400, 400, 10, 20], valued())
    assert published.all()
    assert values.tolist() == [400, 400, -29_990, -29_980]


def test_each_block_has_its_own_noise() -> None:
    plan = valued(2.0)
    assert plan.spread(0) == (0.5, 1)
    assert plan.spread(2) == (1 / 2000, 1)
    assert plan.sd(2) > 1000 * plan.sd(0)
    assert plan.thresholds().tolist() == [20 + margin(0.5, 1)] * 4
    assert "20" in plan.why_suppressed(2)


@pytest.mark.parametrize(
    ("blocks", "guards"),
    [
        ((Block(3), Block(1)), None),  # an output over two blocks
        ((Block(2, 0.5), Block(2, 0.4)), None),
        ((Block(2),), None),
        ((Block(2, 0.5), Block(2, 0.5, 0)), None),
        ((Block(2, 0.5), Block(2, 0.5)), [1, 0]),  # guards that guard each other
        ((Block(2, 0.5), Block(2, 0.5)), [0]),
    ],
)
def test_a_plan_that_does_not_add_up_is_a_fault(blocks: Any, guards: Any) -> None:
    sums = Sums.lists([[0, 1], [2, 3]], 4)
    with pytest.raises(Fault):
        ReleasePlan(sums, 1.0, 20, True, blocks, None if guards is None else np.array(guards))
