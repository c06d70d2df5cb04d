"""A federation per test module that runs in this process, and the proof that its records name nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_federation import Federation
from fault_people import parameters
from fault_privacy import traces_of_people

from hanse.cli.node_log import Lines
from hanse.node.jobs.runner import Question


@pytest.fixture(scope="module")
def node_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything that nodes in this process log during the module, to the last detail."""
    path = tmp_path_factory.mktemp("log") / "node.log"
    log, handler = logging.getLogger("hanse"), logging.FileHandler(path)
    handler.setFormatter(Lines())
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield path
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, node_log: Path) -> Iterator[Federation]:
    """Five running nodes. What they kept and logged of a module's faults must not name a person."""
    made = Federation.found(tmp_path_factory.mktemp("faults"))
    with made.run():
        yield made
    assert traces_of_people(made.root, node_log) == []


@pytest.fixture
def linked(federation: Federation) -> Iterator[Federation]:
    """The federation with all links up and no tap; taps are taken off again."""
    federation.start()
    yield federation
    for member in federation.each():
        if member.node is not None:
            member.node.exchange.tap = None


@pytest.fixture(scope="module")
def contract(federation: Federation) -> str:
    """A contract of the module's own."""
    return federation.contract()


@pytest.fixture
def asked(linked: Federation, contract: str, request: pytest.FixtureRequest) -> Question:
    """A question that only this test asks: no answer to it is recorded."""
    return linked.question(contract, parameters=parameters(request.node.name[-60:]))
