"""Attribution questions for the tests: a small contract, plans over it, people as slots, and shares of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.contracts import Contract, Library
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring
from hanse.engine.stage import on_stage
from hanse.measure.attribution import protocol as attribution
from hanse.measure.attribution.plan import AttributionPlan
from hanse.measure.attribution.question import AttributionQuestion
from hanse.measure.attribution.twin import Converted, Touched, credited
from secret_stage import SEATS, Dealer, opened

MODELS = ("last", "first", "linear", "time_decay", "position")
PARTIES = ("media", "search", "shop")


def contract(slots: int = 8, k: int = 20) -> Contract:
    """Advertisements and searches, purchases; all of people."""

    def dataset(name: str, provider: str, *columns: dict[str, Any]) -> dict[str, Any]:
        at = {"name": "at", "kind": "time", "uses": ["order"]}
        return {"name": name, "provider": provider, "capacity": 200, "slots": slots, "personal": True,
                "legal_basis": "consent", "evidence": "a test", "columns": [at, *columns]}  # fmt: skip

    kind = {"name": "kind", "kind": "category", "uses": ["segment", "filter"],
            "values": ["video", "banner", "mail"]}  # fmt: skip
    amount = {"name": "amount", "kind": "amount", "uses": ["value", "filter"], "maximum": 1000}
    return Contract.from_fields(
        {
            "format": 1, "id": "attribution-test", "version": 1, "title": "A test", "purpose": "To test",
            "starts": "2026-01-01", "expires": "2030-01-01", "maximum_jobs": 10, "seats": list(PARTIES),
            "independence": "A test.", "retention_days": 1,
            "join": {"id_type": "person", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 3.0},
            "privacy": {"k": k, "epsilon_per_query": 4.0, "epsilon_budget": 40.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [
                {"name": n, "organisation": n, "signing_key": hashlib.sha256(n.encode()).hexdigest(),
                 "certificate": hashlib.sha256((n + "c").encode()).hexdigest()}
                for n in PARTIES
            ],
            "datasets": [
                dataset("ads", "media", kind), dataset("searches", "search", kind),
                dataset("purchases", "shop", amount, kind),
            ],
            "computations": [
                {"name": "attribution", "recipients": ["media"],
                 "datasets": ["ads", "searches", "purchases"]}
            ],
        }
    )  # fmt: skip


def plan_of(epsilon: float = 1.0, noise: bool = False, **question: Any) -> AttributionPlan:
    """A plan over the contract, for a campaign of twelve days with a window of two."""
    asked = {
        "touches": [{"dataset": "ads", "credit": "kind", "slots": 3}, {"dataset": "searches", "name": "search"}],
        "conversions": {"dataset": "purchases", "slots": 2}, "starts": "2026-03-03", "ends": "2026-03-15",
        "window_days": 2, "time_unit": "hour", **question,
    }  # fmt: skip
    read = AttributionQuestion.read(asked)
    return attribution.plan(read, contract(), Library(), epsilon=epsilon, noise=noise)


@dataclass(frozen=True)
class Slots:
    """Everybody's fields by (provider, name), [people]: what a row holds, whether or not it makes sense."""

    fields: dict[tuple[str, str], np.ndarray]
    people: int


def random_slots(
    p: AttributionPlan,
    people: int,
    random: np.random.Generator,
    *,
    honest: bool = True,
    few: int = 0,
) -> Slots:
    """Random people: their slots filled in order of time, or (not ``honest``) anything that fits the fields.

    ``few`` different times only, so that many fall together.
    """
    fields = {}
    for provider, layout in p.layouts.items():
        for field in layout.fields:
            top = 1 << min(field.bits, 63)
            fields[provider, field.name] = random.integers(0, top, people).astype(np.uint64)
    if not honest:
        return Slots(fields, people)
    for t in p.touches:
        for k in range(t.slots if t.code_bits else 0):
            codes = random.integers(1, len(t.channels) + 1, people)
            fields[t.provider, f"{t.field}.c{k}"] = codes.astype(np.uint64)
    sources: list[tuple[str, str, int, int]] = [
        (t.provider, t.field, t.slots, 0) for t in p.touches
    ]
    sources.append((p.conversions.provider, "converted", p.conversions.slots, p.window))
    for provider, name, slots, start in sources:
        end = min(p.span, start + few) if few else p.span
        times = np.sort(random.integers(start, end, (people, slots)), axis=1).astype(np.uint64)
        filled = random.integers(0, slots + 1, people)
        valid = np.arange(slots) < filled[:, None]
        powers = np.uint64(1) << np.arange(slots, dtype=np.uint64)
        fields[provider, f"{name}.on"] = (valid * powers).sum(axis=1, dtype=np.uint64)
        for k in range(slots):
            for part in "tcv":
                key = provider, f"{name}.{part}{k}"
                if key in fields:
                    values = times[:, k] if part == "t" else fields[key]
                    fields[key] = np.where(valid[:, k], values, 0).astype(np.uint64)
    return Slots(fields, people)


def plain_cells(p: AttributionPlan, slots: Slots) -> np.ndarray:
    """The cells [cells] by the twin's words, for people whose codes are known channels."""
    cells = np.zeros((3, len(p.channels) + 2), np.int64)
    for person in range(slots.people):
        touches, conversions = people_of(p, slots, person)
        if conversions:
            own = credited(p, sorted(touches), conversions)
            cells[0] += [*(own[0, :-2] > 0), own[0, -2] > 0, True]
            cells[1:] += own
    return cells.reshape(-1)[: p.release.cells]


def people_of(
    p: AttributionPlan, slots: Slots, person: int
) -> tuple[list[Touched], list[Converted]]:
    """One person's touches (those with a channel) and conversions."""

    def get(provider: str, name: str) -> int:
        return int(slots.fields[provider, name][person])

    touches = []
    for t in p.touches:
        on = get(t.provider, f"{t.field}.on")
        for k in range(t.slots):
            code = get(t.provider, f"{t.field}.c{k}") if t.code_bits else 1
            if on >> k & 1 and 1 <= code <= len(t.channels):
                time = get(t.provider, f"{t.field}.t{k}")
                touches.append(Touched(time, t.number, k, t.channels[code - 1]))
    c = p.conversions
    on = get(c.provider, "converted.on")
    return touches, [
        Converted(
            get(c.provider, f"converted.t{k}"),
            get(c.provider, f"converted.v{k}") if c.value_bits else 0,
        )
        for k in range(c.slots)
        if on >> k & 1
    ]


def secret_cells(p: AttributionPlan, slots: Slots, seed: int = 1) -> np.ndarray:
    """The cells that the seats compute, opened by the test."""
    return computed(p, slots, seed)[0]


def computed(p: AttributionPlan, slots: Slots, seed: int = 1) -> tuple[np.ndarray, int]:
    """The cells, and the bytes that the busiest seat sent for them."""
    dealer = Dealer(seed)
    shares = {
        (provider, name): dealer.bits(values, p.layouts[provider].field(name).bits)
        for (provider, name), values in slots.fields.items()
    }

    class People:
        people = slots.people

        def __init__(self, seat: int) -> None:
            self._seat = seat

        def field(self, provider: str, name: str) -> Bits:
            return shares[provider, name][self._seat]

    def protocol(s: Session) -> tuple[np.ndarray, int]:
        found: Ring = attribution.compute(s, People(s.seat), p)  # type: ignore[arg-type]
        sent = s.meter.bytes
        return opened(s, found), sent

    results = on_stage(protocol)
    assert len(results) == SEATS
    return results[0][0].view(np.int64), max(sent for _, sent in results)
