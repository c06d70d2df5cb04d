"""Jobs that are cancelled, stopped, forgotten, repeated or asked at once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fault_asked import Asked
from fault_federation import CHARGED, NAMES, Federation, until
from fault_people import is_right, parameters
from fault_taps import Meddler, delayed

from hanse.contracts import JobRequest
from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.ledger import Spend
from hanse.ledger.refusals import ONE_BY_ONE
from hanse.node.jobs import living as jobs
from hanse.node.jobs.runner import Question

WITHIN = 5.0


def held_up(federation: Federation, seconds: float = 1.0) -> None:
    """Let the next job take at least so long."""
    federation["birch"].running.exchange.tap = Meddler("", "tag/dune.0.7", delayed(seconds))


def charges(federation: Federation, contract: str) -> dict[str, int]:
    """How many jobs of the contract each node has reserved or committed."""
    counts = {}
    for member in federation.each():
        with member.office() as office:
            counts[member.name] = Spend(office.ledger).jobs_used(contract)
    return counts


# --- cancelled and stopped ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["elm", "ash", "dune"])
def test_a_job_cancelled_while_it_runs(linked: Federation, asked: Question, name: str) -> None:
    held_up(linked)
    asking = Asked(linked, asked)
    job = asking.job()
    linked[name].running.runner.cancel(job, "wrong period")
    error = asking.error(within=WITHIN)
    linked.wait_over(within=WITHIN)
    assert isinstance(error, Refusal)
    linked.check_story(error, job, "job.cancelled", name)
    assert {linked[n].jobs()[job].state for n in NAMES} == {"cancelled"}
    assert all(linked[n].budget_of(job) == "released" for n in CHARGED)
    with pytest.raises(Refusal) as refusal:  # it is over
        linked[name].running.runner.cancel(job, "again")
    assert refusal.value.code == "job.unknown"
    linked.check_records()
    assert is_right(linked.people(asked))


@pytest.mark.parametrize("name", ["cedar", "dune", "elm"])
def test_a_node_stopped_while_a_job_runs(linked: Federation, asked: Question, name: str) -> None:
    held_up(linked)
    asking = Asked(linked, asked)
    job = asking.job()
    linked[name].stop()
    error = asking.error(within=WITHIN)
    linked.wait_over(within=WITHIN)
    linked.check_story(error, job, "node.stopping", name)
    assert len(linked.stories(job)) == len(NAMES)  # the stopped node has written it down as well
    assert all(linked[n].budget_of(job) == "released" for n in CHARGED)
    linked.check_records()
    linked[name].start()
    linked.linked()
    assert is_right(linked.people(asked))


def test_a_question_to_a_node_that_is_stopping(linked: Federation, asked: Question) -> None:
    runner = linked["elm"].running.runner
    linked["elm"].stop()
    with pytest.raises(Fault) as fault:
        runner.ask(asked)
    assert fault.value.code == "node.stopping"
    assert fault.value.remedy


# --- twice, and at once -------------------------------------------------------------------------------


def test_the_same_question_twice_is_charged_once(linked: Federation) -> None:
    contract = linked.contract()
    question = linked.question(contract)
    first = linked.ask(question)
    before = charges(linked, contract)
    assert before == dict.fromkeys(CHARGED, 1) | {"elm": 0}
    for attempt in (1, 2):
        again = linked.ask(linked.question(contract, attempt=attempt))
        assert again.recorded
        assert (again.job, again.result) == (first.job, first.result)
    assert charges(linked, contract) == before
    other = linked.ask(linked.question(contract, recipients=("ash",)), "ash")
    assert not other.recorded  # another recipient's answer is another question
    again = linked.ask(linked.question(contract, recipients=("ash",), attempt=2), "elm")
    assert again.recorded, "elm is no recipient of it, but ash holds the answer"
    assert (again.job, again.result) == (other.job, None)
    linked.check_records()


def test_jobs_at_once(linked: Federation) -> None:
    """Of one contract and of two, of two asking nodes; the same question at once is charged twice."""
    contracts = [linked.contract(), linked.contract()]
    questions = [
        (linked.question(contracts[0], parameters=parameters("a")), "elm"),
        (linked.question(contracts[0], parameters=parameters("b")), "elm"),
        (linked.question(contracts[0], parameters=parameters("b")), "elm"),
        (linked.question(contracts[1], parameters=parameters("c"), recipients=("ash",)), "ash"),
    ]
    running = [Asked(linked, question, asking) for question, asking in questions]
    for one in running:
        assert is_right(one.people(within=20))
    linked.wait_over()
    assert charges(linked, contracts[0]) == dict.fromkeys(CHARGED, 3) | {"elm": 0}
    assert charges(linked, contracts[1]) == dict.fromkeys(CHARGED, 1) | {"elm": 0}
    linked.check_records()


def test_one_of_two_jobs_fails_and_the_other_goes_on(linked: Federation, contract: str) -> None:
    held_up(linked)
    first = Asked(linked, linked.question(contract, parameters=parameters("to be cancelled")))
    job = first.job()
    second = Asked(linked, linked.question(contract, parameters=parameters("to be answered")))
    linked["elm"].running.runner.cancel(job, "only this one")
    assert first.error(within=WITHIN).code == "job.cancelled"
    assert is_right(second.people(within=20))
    linked.wait_over()
    linked.check_records()


# --- an asking node that has no role, or does not do its part -----------------------------------------


def test_an_asking_node_without_a_role_hears_the_end(linked: Federation, asked: Question) -> None:
    question = linked.question(asked.contract, parameters=asked.parameters, recipients=("ash",))
    outcome = linked.ask(question)  # elm asks, ash reads
    assert (outcome.state, outcome.result) == ("done", None)
    assert (linked["ash"].jobs()[outcome.job].result or {})["result"]
    held_up(linked)
    question = linked.question(asked.contract, parameters=parameters("other"), recipients=("ash",))
    before = linked.known_jobs()
    asking = Asked(linked, question)
    while not (new := linked.known_jobs() - before):
        time.sleep(0.01)
    (job,) = new
    while not linked["dune"].running.office.book.progress(job):
        time.sleep(0.01)
    linked["dune"].running.runner.cancel(job, "a mistake")
    error = asking.error(within=WITHIN)
    linked.wait_over(within=WITHIN)
    linked.check_story(error, job, "job.cancelled", "dune")


def admitted(
    federation: Federation, question: Question, names: tuple[str, ...] = CHARGED
) -> tuple[JobRequest, list[Any]]:
    """A job that these nodes have admitted, by hand, and their permits."""
    asking = federation["elm"].running
    request, _ = asking.runner.draft(question, {})
    document = {"ask": "admit", "request": request.fields()}
    permits = [asking.exchange.request(name, document).get("permit") for name in names]
    return request, [permit for permit in permits if permit]


def test_a_job_that_is_never_started_gives_its_price_back(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "HOLD_SECONDS", 1.0)
    request, permits = admitted(linked, asked)
    job = request.job_hash
    assert {linked[name].budget_of(job) for name in CHARGED} == {"reserved"}
    linked.wait_over(within=WITHIN)
    assert {linked[name].budget_of(job) for name in CHARGED} == {"released"}
    stories = linked.stories(job)
    assert {story["code"] for story in stories.values()} == {"job.not-started"}
    assert all("elm" in story["message"] for story in stories.values())
    start = {"ask": "start", "job": job, "permits": permits}
    with pytest.raises(Fault) as fault:  # too late
        linked["elm"].running.exchange.request("birch", start)
    assert fault.value.code == "job.not-started"
    linked.check_records()


def test_a_job_that_some_nodes_are_never_told_to_start(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes that have started wait for the others, until one of those gives up for all."""
    monkeypatch.setattr(jobs, "HOLD_SECONDS", 1.0)
    request, permits = admitted(linked, asked)
    start = {"ask": "start", "job": request.job_hash, "permits": permits}
    for name in ("ash", "birch"):
        linked["elm"].running.exchange.request(name, start)
    linked.wait_over(within=WITHIN)
    codes = {story["code"] for story in linked.stories(request.job_hash).values()}
    assert codes == {"job.not-started"}
    linked.check_records()


@pytest.mark.parametrize("recipient", ["elm", "ash"])
def test_an_asking_node_that_is_lost_before_the_start(
    linked: Federation, asked: Question, recipient: str
) -> None:
    """Whether or not it has a role in the job's stream."""
    question = linked.question(asked.contract, parameters=asked.parameters, recipients=(recipient,))
    request, _ = admitted(linked, question)
    linked["elm"].stop()
    linked.wait_over(within=10.0)
    stories = linked.stories(request.job_hash)
    assert set(stories) == set(CHARGED)
    assert {story["code"] for story in stories.values()} == {"peer.lost"}
    assert all("elm" in story["message"] for story in stories.values())
    linked.check_records()


# --- said again, and said by others -------------------------------------------------------------------


def test_replayed_requests_change_nothing(linked: Federation, asked: Question) -> None:
    held_up(linked)
    asking = Asked(linked, asked)
    job = asking.job()
    fields = linked["birch"].jobs()[job].request
    exchange = linked["elm"].running.exchange
    start = {"ask": "start", "job": job, "permits": []}
    with pytest.raises(Foul) as foul:
        exchange.request("birch", start)
    assert foul.value.code == "job.replay"
    with pytest.raises(HanseError) as error:
        exchange.request("birch", {"ask": "admit", "request": fields})
    assert error.value.code == "budget.reserved"
    assert is_right(asking.people(within=20))
    linked.wait_over()
    assert all(linked[name].budget_of(job) == "committed" for name in CHARGED)
    with pytest.raises(HanseError):
        exchange.request("birch", start)
    with pytest.raises(HanseError) as error:
        exchange.request("birch", {"ask": "admit", "request": fields})
    assert (
        error.value.code == "budget.reserved"
    )  # a job's price is reserved once, whatever became of it
    exchange.request("birch", {"ask": "abandon", "job": job, "error": {}})
    assert linked["birch"].jobs()[job].state == "done"
    assert linked["birch"].budget_of(job) == "committed"
    linked.check_records()


def test_another_party_can_neither_start_nor_end_a_job(linked: Federation, asked: Question) -> None:
    request, permits = admitted(linked, asked)
    job = request.job_hash
    stranger = linked["dune"].running.exchange
    with pytest.raises(Refusal) as refusal:
        stranger.request("birch", {"ask": "start", "job": job, "permits": permits})
    assert refusal.value.code == "job.unknown"
    stranger.request("birch", {"ask": "abandon", "job": job, "error": {"code": "no"}})
    assert linked["birch"].budget_of(job) == "reserved"
    assert stranger.request("birch", {"ask": "state", "job": "f" * 64}) == {}
    linked["elm"].running.exchange.request("birch", {"ask": "abandon", "job": job, "error": {}})
    linked.wait_over(within=WITHIN)
    linked.check_records()


# --- afterwards ---------------------------------------------------------------------------------------


def test_a_job_that_is_over_is_kept_in_the_store_only(linked: Federation, asked: Question) -> None:
    """Done, failed or refused: nothing of it stays in memory, and who took part still learns how it ended."""
    done = linked.ask(asked).job
    error, failed = _cancelled(linked, asked)
    linked.wait_over(within=WITHIN)
    runners = [linked[name].running.runner for name in NAMES]
    until(lambda: not any(r._under_way.all() for r in runners), WITHIN, "let go of the jobs")
    assert not any(linked[name].running.office.book.progress(done) for name in NAMES)
    exchange = linked["elm"].running.exchange
    assert exchange.request("birch", {"ask": "state", "job": done}) == {"state": "done"}
    said = exchange.request("birch", {"ask": "state", "job": failed})
    assert (said["state"], said["error"]["code"]) == ("cancelled", "job.cancelled")
    assert error.code == "job.cancelled"
    for job, code in ((done, "job.over"), (failed, "job.cancelled")):
        with pytest.raises(HanseError) as late:
            exchange.request("birch", {"ask": "start", "job": job, "permits": []})
        assert late.value.code == code
    assert {linked[n].jobs()[done].state for n in NAMES} == {"done"}
    assert (linked["elm"].jobs()[done].result or {})["result"]
    assert linked["birch"].running.office.book.state_for("stranger", done) == {}


def _cancelled(federation: Federation, question: Question) -> tuple[HanseError, str]:
    again = federation.question(question.contract, parameters=parameters("another group"))
    held_up(federation)
    asking = Asked(federation, again)
    job = asking.job()
    federation["dune"].running.runner.cancel(job, "enough")
    error = asking.error(within=WITHIN)
    federation["birch"].running.exchange.tap = None
    return error, job


def test_a_partner_cannot_fill_the_ledger_with_refused_requests(
    linked: Federation, contract: str
) -> None:
    asking = linked["elm"].running
    fields = asking.runner.draft(linked.question(contract), {})[0].fields()
    fields["epsilon"] = 5.0
    with linked["cedar"].office() as office:
        before = len(list(office.ledger.entries()))
        for _ in range(3 * ONE_BY_ONE):
            with pytest.raises(HanseError) as refused:
                asking.exchange.request("cedar", {"ask": "admit", "request": fields})
            assert refused.value.code == "gate.epsilon"
        assert len(list(office.ledger.entries())) <= before + ONE_BY_ONE
        office.refusals.settle(everything=True)  # what a node does that stops
        last = list(office.ledger.entries("refusal"))[-1].body
        assert (last["analyst"], last["code"]) == ("elm", "gate.epsilon")
        assert last["count"] >= 2 * ONE_BY_ONE
    linked.check_records()
