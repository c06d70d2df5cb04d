"""The node's timetable: questions that it asks by itself every day, each an ordinary job, admitted like any.

A slot is a day at a question's hour (UTC). Of slots that passed while the node was down only the last is run; a run
that failed is not repeated before the next slot, so that nothing is charged twice for one day. Days in the
parameters may be relative to the slot: "today", "yesterday", "-7d".
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol

from hanse import menu
from hanse.clock import Clock
from hanse.contracts import Bundle, Contract, Library
from hanse.errors import HanseError, Refusal
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.storage.standing import DONE, FAILED, RUNNING, Standing, StandingQueries
from hanse.node.transport.threads import place_of

_log = logging.getLogger("hanse.node.jobs.timetable")
Document = dict[str, Any]
LOOK_SECONDS = 5.0
_NAME = re.compile("[a-z0-9-]{3,40}")
_DAILY = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")
_AGO = re.compile("-([0-9]{1,4})d")
_DAY_KEYS = ("starts", "ends")
_MONTH = 31


class Office(Protocol):
    """What the timetable needs of its node."""

    def bundle(self, contract_id: str) -> Bundle: ...
    def library(self) -> Library: ...
    def end_rosters(self) -> list[str]: ...


class Timetable:
    """The standing queries of one node. ``ask`` runs a question to its end."""

    def __init__(
        self, queries: StandingQueries, office: Office, clock: Clock,
        ask: Callable[[Question], Outcome],
    ) -> None:  # fmt: skip
        self._queries = queries
        self._office = office
        self._clock = clock
        self._ask = ask
        self._running = threading.Lock()  # one look at a time, or a slot could be run twice

    # --- keeping --------------------------------------------------------------------------------

    def add(self, name: str, question: Document, daily: str, roster: str = "") -> Standing:
        """Keep a question; the first slot is the next one. It is planned once now, so that errors show at once.

        Raises `Refusal` ``standing.name``, ``standing.daily``, ``standing.exists``, ``roster.forbidden``, and what
        planning raises.
        """
        if not _NAME.fullmatch(name) or (roster and not _NAME.fullmatch(roster)):
            raise Refusal("standing.name", "a standing query or roster cannot have this name",
                          remedy="use 3 to 40 lower-case letters, digits and hyphens")  # fmt: skip
        if not _DAILY.fullmatch(daily):
            raise Refusal("standing.daily", f"{daily[:16]!r} is no time of day",
                          remedy="give hours and minutes in UTC, such as 06:30")  # fmt: skip
        if any(one.name == name for one in self._queries.all()):
            raise Refusal("standing.exists", f"there is a standing query {name!r} already",
                          remedy="remove it first, or choose another name")  # fmt: skip
        made = Standing(name, question, daily, self._clock.now(), roster)
        contract = self._office.bundle(question["contract"]).contract
        if roster and not contract.join.roster_days:
            raise Refusal("roster.forbidden", "the contract allows no rosters",
                          remedy="add the query without one, or agree on roster_days in the contract's [join]",
                          where=f"contract {contract.id}")  # fmt: skip
        asked = self.question(made, self._clock.now())
        menu.entry(asked.computation).planned(
            asked.parameters, contract, asked.epsilon, True, self._office.library()
        )
        self._queries.put(made)
        return made

    def all(self) -> list[Standing]:
        """Every standing query, by name, with how its last run went."""
        return self._queries.all()

    def remove(self, name: str) -> None:
        """Ask the question no more. A run under way ends; its rosters stay until they expire."""
        if not self._queries.remove(name):
            known = ", ".join(one.name for one in self._queries.all()) or "none"
            raise Refusal("standing.unknown", f"there is no standing query {name[:64]!r}",
                          remedy=f"use one of those there are ({known})")  # fmt: skip

    def question(self, one: Standing, slot: datetime) -> Question:
        """What is asked at ``slot``: days made absolute, the roster of its period named."""
        contract = self._office.bundle(one.question["contract"]).contract
        name = ""
        if one.roster:
            name = _base(one, contract, slot)
            if one.last.roster == name and one.last.remade:
                name = f"{name}-{one.last.remade + 1}"
        return Question(
            contract=contract.id,
            computation=one.question["computation"],
            parameters=resolved(one.question["parameters"], slot.date()),
            epsilon=float(one.question["epsilon"]),
            recipients=tuple(one.question.get("recipients", ())),
            roster=name,
        )

    # --- running --------------------------------------------------------------------------------

    def keep_time(
        self, stopping: threading.Event, every: float = LOOK_SECONDS,
        chore: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Look every few seconds until ``stopping``, and do the chore; nothing that either raises ends it."""
        while not stopping.wait(every):
            try:
                chore()
                self.run_due(stopping)
            except Exception as error:  # its text may be private: only its place is logged
                _log.error("the timetable failed: %s", place_of(error))

    def run_due(self, stopping: threading.Event | None = None) -> list[Standing]:
        """Run every query whose slot has come, one after the other; delete expired rosters. What was run."""
        with self._running:
            for name in self._office.end_rosters():
                _log.info("roster %s is over and deleted", name)
            ran = []
            for one in self._queries.all():
                slot = last_slot(one.daily, self._clock.now())
                if stopping is not None and stopping.is_set():
                    break
                if slot > (one.last.slot or one.added):
                    ran.append(self._run(one, slot))
            return ran

    def _run(self, one: Standing, slot: datetime) -> Standing:
        """Ask once. That it began is on the disk first: after a crash the slot is not run again."""
        one = one.after(slot=slot, state=RUNNING, job="", error="")
        self._queries.ran(one)
        try:
            outcome = self._ask(self.question(one, slot))
        except HanseError as error:
            _log.error("standing query %s failed: [%s] %s", one.name, error.code, error.message)
            one = self._failed(one, slot, error)
        else:
            _log.info("standing query %s is answered by job %s", one.name, outcome.job[:16])
            one = one.after(state=DONE, job=outcome.job)
        self._queries.ran(one)
        return one

    def _failed(self, one: Standing, slot: datetime, error: HanseError) -> Standing:
        said = f"[{error.code}] {error.message}"
        one = one.after(state=FAILED, error=said[:500])
        lost = error.code.startswith("roster.") and error.code != "roster.forbidden"
        if not one.roster or not lost:
            return one
        # Somebody cannot go on with this roster: the next slot makes another.
        name = _base(one, self._office.bundle(one.question["contract"]).contract, slot)
        again = one.last.remade + 1 if one.last.roster == name else 1
        return one.after(roster=name, remade=again)


def last_slot(daily: str, now: datetime) -> datetime:
    """The latest moment of the daily time that is not after ``now``."""
    hours, minutes = daily.split(":")
    now = now.astimezone(UTC)
    slot = datetime.combine(now.date(), time(int(hours), int(minutes)), UTC)
    return slot if slot <= now else slot - timedelta(days=1)


def next_slot(one: Standing, now: datetime) -> datetime:
    """When the query is run next, if the node runs."""
    slot = last_slot(one.daily, now)
    return slot if slot > (one.last.slot or one.added) else slot + timedelta(days=1)


def resolved(parameters: Mapping[str, Any], day: date) -> Document:
    """The parameters with the relative days of every ``starts`` and ``ends`` made absolute."""

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            return {name: walk(part, name) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [walk(part) for part in value]
        if key in _DAY_KEYS and isinstance(value, str):
            return _day(value, day)
        return value

    found: Document = walk(parameters)
    return found


def _day(text: str, day: date) -> str:
    if text == "today":
        return day.isoformat()
    if text == "yesterday":
        return (day - timedelta(days=1)).isoformat()
    ago = _AGO.fullmatch(text)
    return text if ago is None else (day - timedelta(days=int(ago[1]))).isoformat()


def _base(one: Standing, contract: Contract, slot: datetime) -> str:
    """The roster's name in this period: a calendar month, or stretches of ``roster_days`` if these are fewer."""
    days = contract.join.roster_days
    if days >= _MONTH:
        return f"{one.roster}-{slot:%Y-%m}"
    if not days:
        return one.roster  # the contract changed: admission refuses, and says why
    past = (slot.date() - contract.starts).days
    starts = contract.starts + timedelta(days=past - past % days)
    return f"{one.roster}-{starts.isoformat()}"
