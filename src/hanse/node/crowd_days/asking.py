"""Asking for a day of a crowd: a model that is due is trained first, and a holder whose node is lost is left out.

Wraps a node's own way of asking, for the timetable and for people alike. Everything else passes through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hanse.clock import Clock
from hanse.contracts import Contract
from hanse.contracts.crowds import CROWD_DAY, CROWD_TRAIN, CrowdClause, crowd_called
from hanse.errors import HanseError
from hanse.node.jobs.asking import Outcome, Question, Watcher
from hanse.node.office import NodeOffice

_log = logging.getLogger("hanse.node.crowd_days.home")
_LOST = ("peer.unreachable", "peer.lost", "peer.silent", "wire.lost", "link.")
_RECENT_JOBS = 200
AskJob = Callable[[Question, Watcher], Outcome]


def _quiet(_step: str, _share: float) -> None:
    return None


class DayAsker:
    """``ask`` runs one question to its end, as it is."""

    def __init__(self, office: NodeOffice, clock: Clock, ask: AskJob) -> None:
        self._office = office
        self._clock = clock
        self._ask = ask

    def __call__(self, question: Question, watch: Watcher = _quiet) -> Outcome:
        """The outcome; of a day, with a training before it if one is due."""
        if question.computation not in (CROWD_DAY, CROWD_TRAIN):
            return self._ask(question, watch)
        contract = self._office.bundle(question.contract).contract
        clause = crowd_called(contract, str(question.parameters.get("crowd", "")))
        if question.computation == CROWD_DAY and self._due(contract, clause):
            try:
                self._telling(replace(question, computation=CROWD_TRAIN), contract, clause, watch)
            except (
                HanseError
            ) as error:  # the day is told with the model there is, or says that there is none
                _log.error("training %s failed: [%s] %s", clause.name, error.code, error.message)
        return self._telling(question, contract, clause, watch)

    def _telling(
        self, question: Question, contract: Contract, clause: CrowdClause, watch: Watcher
    ) -> Outcome:
        """Ask; if a holder's node cannot be reached, ask again without it."""
        holders = clause.helpers(contract)
        while True:
            try:
                return self._ask(question, watch)
            except HanseError as error:
                lost = error.where.split(":")[0].strip()
                without = list(question.parameters.get("without", ()))
                seat = lost in contract.seats
                if (
                    not error.code.startswith(_LOST)
                    or lost not in holders
                    or lost in without
                    or seat
                ):
                    raise
                _log.error("%s is told without %s: [%s]", clause.name, lost, error.code)
                parameters: dict[str, Any] = {**question.parameters, "without": [*without, lost]}
                question = replace(question, parameters=parameters)

    def _due(self, contract: Contract, clause: CrowdClause) -> bool:
        """Whether the newest training, kept or turned down by the guard, is older than agreed. Owners know."""
        if self._office.party not in clause.owner_parties(contract):
            return False
        made = [m.made for m in self._office.models.all()
                if m.name == clause.name and m.note["contract"] == contract.id]  # fmt: skip
        made += self._trained(contract, clause)
        if not made:
            return True
        return self._clock.now() - max(made) >= timedelta(days=clause.retrain_days)

    def _trained(self, contract: Contract, clause: CrowdClause) -> list[datetime]:
        found = []
        for job in self._office.store.jobs.all(limit=_RECENT_JOBS):
            request = job.request
            same = (
                request.get("contract_id") == contract.id
                and request.get("computation") == CROWD_TRAIN
            )
            if same and job.state == "done" and request["parameters"].get("crowd") == clause.name:
                found.append(datetime.fromisoformat(str(request["created"])))
        return found
