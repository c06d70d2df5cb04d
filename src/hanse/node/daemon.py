"""A running node: its exchange with partners, its runner of jobs, its control socket."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from dataclasses import fields
from pathlib import Path
from typing import Any

from hanse import __version__
from hanse.clock import Clock, SystemClock
from hanse.contracts import Bundle
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import HanseError, Refusal
from hanse.node.config import NodeConfig, load_config
from hanse.node.control import ControlServer, Tell, socket_path
from hanse.node.crowd_days.asking import DayAsker
from hanse.node.faces.models import end_scores
from hanse.node.faces.preview import preview_of
from hanse.node.heap import keep_freed_memory, touch
from hanse.node.identity.cards import read_card
from hanse.node.identity.keys import load_identity
from hanse.node.jobs.rosters import node_rosters
from hanse.node.jobs.runner import Outcome, Question, Runner
from hanse.node.jobs.timetable import Timetable
from hanse.node.models.scoring import FOLDER as SCORES
from hanse.node.office import NodeOffice, bundle_of
from hanse.node.places import FOLDER as PLACES
from hanse.node.places import PlaceShelf
from hanse.node.storage.store import open_store
from hanse.node.transport.exchange import Exchange, Tap
from hanse.node.transport.timing import Timing
from hanse.wire.codec import canonical

_log = logging.getLogger("hanse.node")
Document = dict[str, Any]
_TELL_SECONDS = 0.25  # how often a waiting client hears how far its job is
_PROGRESS_PATIENCE = 2.0
_PUSH_PATIENCE = 10.0


class Node:
    """One organisation's node, from `start` to `stop`."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.config: NodeConfig = load_config(folder)
        clock = self._clock = clock or SystemClock()
        entropy = entropy or SystemEntropy()
        identity = load_identity(folder, clock=clock)
        if identity.party != self.config.party:
            raise Refusal("config.party", "hanse.toml names another party than the node's keys",
                          remedy="correct `party` in hanse.toml", where=str(folder))  # fmt: skip
        self.config.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = open_store(self.config)
        shelf = PlaceShelf(self.config.data_folder / PLACES)
        rosters = node_rosters(self.config.data_folder, identity)
        self.office = NodeOffice(
            identity, self.store, clock, shelf, rosters, self.config.reviews,
            self.config.data_folder / SCORES,
        )  # fmt: skip
        listen = self.config.listen
        self.exchange = Exchange(
            identity,
            self.office.directory(),
            listen=(listen.host, listen.port) if listen else None,
            clock=clock,
            entropy=entropy,
            timing=Timing(
                heartbeat=self.config.heartbeat_seconds, lost_after=self.config.lost_after_seconds
            ),
            memory=int(self.config.limits.memory),
            tap=tap,
        )
        self.runner = Runner(self.office, self.exchange, clock, entropy)
        self.ask = DayAsker(self.office, clock, self.runner.ask)
        self.timetable = Timetable(self.store.standing, self.office, clock, self.ask)
        self._times = threading.Thread(
            target=lambda: self.timetable.keep_time(
                self._stopping, chore=self.office.refusals.settle
            ),
            name="hanse-timetable",
            daemon=True,
        )
        self.exchange.on_request(self._answer)
        self._control = ControlServer(socket_path(self.config.data_folder), self._command)
        self._askers = ThreadPoolExecutor(16, thread_name_prefix="hanse-run")
        self._watchers = ThreadPoolExecutor(8, thread_name_prefix="hanse-watch")
        self._stopping = threading.Event()
        self._leave = threading.Event()

    def start(self) -> None:
        """Recover from a crash, open the doors. Raises `Fault` if a port or the folder is taken."""
        # Threads that read the network must not wait 5 ms for a busy one to hand over the interpreter.
        sys.setswitchinterval(0.0005)
        if keep_freed_memory():
            touch(int(self.config.limits.warm_memory))
        self._control.start()
        try:
            self.office.end_rosters()
            end_scores(self.office, self._clock.now())
            released = self.office.book.recover()
            if released:
                _log.warning("%d jobs were under way when the node stopped", len(released))
            self.exchange.start()
        except BaseException:
            self._control.close()
            raise
        self._times.start()
        _log.info("node %s started, version %s", self.office.party, __version__)

    def stop(self) -> None:
        """End jobs with a clear error on all sides, close the links and the store. Idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.runner.close()
        self._control.close()
        self.exchange.close()
        if self._times.is_alive():
            self._times.join(_PUSH_PATIENCE)
        for pool in (self._askers, self._watchers):
            pool.shutdown(wait=False, cancel_futures=True)
        try:
            self.office.refusals.settle(everything=True)
        except HanseError as problem:
            _log.error("refusals could not be written down: %s", problem)
        self.store.close()
        _log.info("node %s stopped", self.office.party)

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Start, call ``started``, and stay until SIGTERM, SIGINT, `leave` or the command to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave.set())
        self.start()
        try:
            started()
            while not self._leave.wait(0.5):
                pass
        finally:
            self.stop()

    def leave(self) -> None:
        """Make `run` return soon."""
        self._leave.set()

    # --- partners -------------------------------------------------------------------------------

    def _answer(self, party: str, document: Document) -> Document:
        ask = document.get("ask")
        if ask == "contract":
            return self._contract_from(party, document)
        if ask == "card":
            return self._card_from(party, document)
        if ask == "hello":
            now = self._clock.now().timestamp()
            return {"party": self.office.party, "version": __version__, "time": now}
        if ask == "progress":
            return self.office.book.progress_for(party, str(document.get("job", "")))
        return self.runner.answer(party, document)

    def _card_from(self, party: str, document: Document) -> Document:
        """A partner renewed its certificate: its signing key vouches for the new one."""
        fields = document.get("card")
        card = read_card(fields if isinstance(fields, dict) else {})
        partner = self.office.renew_partner(party, card)
        self.exchange.expect(partner)
        return {"fingerprint": card.fingerprint}

    def _contract_from(self, party: str, document: Document) -> Document:
        """A partner sends a bundle: kept as pending until this party signs; signatures are merged."""
        bundle = Bundle.from_json(json.dumps(document.get("bundle")))
        if bundle.contract.party(party) is None:
            raise Refusal("contract.party", f"{party} is not a party to the contract it sent")
        stored = self.office.import_bundle(bundle)
        return {"state": stored.state, "bundle": stored.bundle}

    # --- the command line -----------------------------------------------------------------------

    def _command(self, document: Document, tell: Tell) -> Document:
        verbs = {
            "status": self._status,
            "greet": self._greet,
            "announce": self._announce,
            "run": self._run,
            "preview": self._preview,
            "cancel": self._cancel,
            "progress": self._progress,
            "facts": self._facts,
            "push": self._push,
            "reload": self._reload,
            "stop": self._stop,
        }
        verb = verbs.get(str(document.get("verb")))
        if verb is None:
            raise Refusal("control.verb", "the node does not know this command",
                          remedy="use the command line of the same version")  # fmt: skip
        return verb(document, tell)

    def _status(self, _document: Document, _tell: Tell) -> Document:
        address = self.exchange.address
        return {
            "party": self.office.party,
            "version": __version__,
            "process": os.getpid(),
            "address": list(address) if address else None,
            "links": [
                {
                    "party": s.party,
                    "connected": s.connected,
                    "version": s.version,
                    "bytes_sent": s.bytes_sent,
                    "bytes_received": s.bytes_received,
                    "problem": str(s.problem or ""),
                }
                for s in self.exchange.status()
            ],
        }

    def _greet(self, document: Document, _tell: Tell) -> Document:
        """A partner's version, and how far its clock is ahead of ours (half the way there allowed for)."""
        before = self._clock.now().timestamp()
        said = self.exchange.request(
            str(document.get("party", "")), {"ask": "hello"}, patience=_PROGRESS_PATIENCE
        )
        middle = (before + self._clock.now().timestamp()) / 2
        time = said.get("time")
        ahead = float(time) - middle if isinstance(time, int | float) else 0.0
        return {"version": str(said.get("version", "")), "seconds_ahead": ahead}

    def _announce(self, _document: Document, _tell: Tell) -> Document:
        """Send the card on the disk, with a renewed certificate, to all linked partners."""
        card = load_identity(self.config.folder, clock=self._clock).card
        answers: Document = {}
        for status in self.exchange.status():
            try:
                said = self.exchange.request(
                    status.party, {"ask": "card", "card": card.document()}, patience=_PUSH_PATIENCE
                )
                known = said.get("fingerprint") == card.fingerprint
                answers[status.party] = "knows it" if known else "answered something else"
            except HanseError as error:
                answers[status.party] = error.message
        return {"parties": answers}

    def _question(self, document: Document) -> Question:
        asked = document.get("question")
        asked = dict(asked) if isinstance(asked, dict) else {}
        known = {f.name for f in fields(Question)}
        unknown = sorted(set(asked) - known)
        missing = sorted({"contract", "computation", "parameters", "epsilon"} - set(asked))
        if unknown or missing:
            what = f"has no {missing[0]}" if missing else f"has the unknown field {unknown[0]!r}"
            raise Refusal("question.malformed", f"the question {what}",
                          remedy="give contract, computation, epsilon and parameters")  # fmt: skip
        try:
            # Tables lose their order on the wire; here too, so that all nodes plan the same thing.
            parameters = json.loads(canonical(asked["parameters"]))
            asked |= {"parameters": parameters, "recipients": tuple(asked.get("recipients", ()))}
        except (TypeError, ValueError) as error:
            raise Refusal("question.malformed", "the question holds a value that no question has",
                          remedy="use text, numbers, dates, lists and tables") from error  # fmt: skip
        return Question(**asked)

    def _run(self, document: Document, tell: Tell) -> Document:
        """Ask for a job; the client hears of its steps and of every seat's progress."""
        question = self._question(document)
        phase = ["asking", ""]  # what the runner last said, and the job once it is known

        def watch(step: str, _share: float) -> None:
            phase[0] = step

        before = self.office.book.newest()
        asked = self._askers.submit(self.ask, question, watch)
        while True:
            outcome = _result_within(asked, _TELL_SECONDS)
            if outcome is not None:
                return {"job": outcome.job, "state": outcome.state, "result": outcome.result,
                        "recorded": outcome.recorded}  # fmt: skip
            if not phase[1] and phase[0] == "running":
                phase[1] = self.office.book.newest(question.contract, after=before)
            roles = self._progress_everywhere(phase[1]) if phase[1] else {}
            tell({"progress": {"step": phase[0], "job": phase[1], "roles": roles}})

    def _progress_everywhere(self, job: str) -> Document:
        """(step, share done) by "role (party)": of this node's roles, and of the other seats' as they say."""
        own = self.office.party
        waiting = {
            party: self._watchers.submit(
                self.exchange.request, party, {"ask": "progress", "job": job},
                patience=_PROGRESS_PATIENCE,
            )
            for party in self.office.book.seats_of(job)
            if party != own
        }  # fmt: skip
        said: dict[str, Document] = {own: self.office.book.progress_for(own, job)}
        for party, answer in waiting.items():
            error = answer.exception()
            said[party] = {} if error is not None else answer.result()
        return {
            f"{role} ({party})": where
            for party, roles in said.items()
            for role, where in sorted(roles.items())
        }

    def _preview(self, document: Document, _tell: Tell) -> Document:
        question = self._question(document)
        request, plan = self.runner.draft(question, {})
        bundle = self.office.bundle(question.contract)
        gate = self.office.gate(bundle)
        grant = gate.preview(request, plan)
        return preview_of(bundle.contract, grant, plan.release, gate.similar(request))

    def _cancel(self, document: Document, _tell: Tell) -> Document:
        job = self.office.job(str(document.get("job", ""))).job
        self.runner.cancel(job, str(document.get("reason", ""))[:200])
        return {"job": job}

    def _progress(self, document: Document, _tell: Tell) -> Document:
        job = self.office.job(str(document.get("job", ""))).job
        return {
            role: [step, share] for role, (step, share) in self.office.book.progress(job).items()
        }

    def _facts(self, document: Document, _tell: Tell) -> Document:
        """What this node measured of a finished job: rounds, bytes by step, openings."""
        stored = self.office.job(str(document.get("job", "")))
        return dict((stored.result or {}).get("facts") or {})

    def _push(self, document: Document, _tell: Tell) -> Document:
        """Send a contract and its signatures to all other parties; take the signatures they have."""
        contract_id = str(document.get("contract", ""))
        bundle = bundle_of(self.office.contract(contract_id))
        answers: Document = {}
        for party in bundle.contract.parties:
            if party.name == self.office.party:
                continue
            try:
                answer = self.exchange.request(
                    party.name,
                    {"ask": "contract", "bundle": json.loads(bundle.to_json())},
                    patience=_PUSH_PATIENCE,
                )
                self.office.import_bundle(Bundle.from_json(json.dumps(answer.get("bundle"))))
                answers[party.name] = str(answer.get("state", ""))
            except HanseError as error:
                answers[party.name] = str(error)
        return {"parties": answers, "state": self.office.contract(contract_id).state}

    def _reload(self, _document: Document, _tell: Tell) -> Document:
        """Take in partners that the command line has added."""
        known = {p.name for p in self.store.partners.all()}
        for partner in self.store.partners.all():
            self.exchange.meet(partner)
        for status in self.exchange.status():
            if status.party not in known:
                self.exchange.leave(status.party)
        return {}

    def _stop(self, _document: Document, _tell: Tell) -> Document:
        self.leave()
        return {}


def _result_within(asked: Future[Outcome], seconds: float) -> Outcome | None:
    """The outcome, if there is one in time; raises the job's own error."""
    done, _ = futures_wait([asked], timeout=seconds)
    return asked.result() if done else None
