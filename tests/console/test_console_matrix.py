"""Who may do what: every route names an action, every action is used, every role gets what the matrix says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from console_stage import Bench, Browser, bench, new_node
from fastapi import FastAPI
from fastapi.routing import APIRoute

from hanse.console.app import check_matrix, routes_of
from hanse.console.area import Area, GuardedRoute, action_of
from hanse.console.matrix import MATRIX, PUBLIC, REVIEW_ROLES, ROLES
from hanse.errors import Fault
from hanse.node.faces.contracts import REVIEWERS
from hanse.node.faces.users import ROLES as ROLES_OF_THE_NODE

# What a path is filled in with: names of the right form that are not there.
_FILL = {"job": "a" * 64, "ask_id": "b" * 24, "contract_id": "no-contract", "form": "csv", "name": "nobody",
         "party": "no-party", "product": "no-product", "crowd": "no-crowd", "day": "2026-01-01"}  # fmt: skip


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(new_node(tmp_path_factory.mktemp("matrix") / "node")) as made:
        yield made


def guarded(stage: Bench) -> list[APIRoute]:
    return [r for r in routes_of(stage.console.routes) if action_of(r) not in PUBLIC]


def called(browser: Browser, route: APIRoute) -> int:
    """The status that a role gets from a route, with nothing in the body."""
    path = re.sub(r"\{(\w+)(:path)?\}", lambda m: _FILL[m[1]], route.path)
    (method,) = route.methods
    if path in ("/sign-out", "/api/v1/session") and method in ("POST", "DELETE"):
        return 200  # or the browser would be out; sign-out has tests of its own
    headers = {"x-hanse-form": browser.key}
    return browser.client.request(method, path, headers=headers).status_code


def test_every_route_is_guarded_by_an_action_that_the_matrix_knows(stage: Bench) -> None:
    routes = list(routes_of(stage.console.routes))
    assert len(routes) > 100
    for route in routes:
        assert isinstance(route, GuardedRoute), route.path
        assert action_of(route) in {*MATRIX, *PUBLIC}, route.path


def test_every_action_of_the_matrix_is_some_route_s(stage: Bench) -> None:
    used = {action_of(route) for route in routes_of(stage.console.routes)}
    assert used == {*MATRIX, *PUBLIC}


def test_a_route_without_an_action_keeps_the_console_from_starting() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    area = Area()
    area.get("/fine", "home.read")(lambda: "")
    app.router.routes.extend(area.routes)
    check_matrix(app)
    app.get("/open")(lambda: "")
    with pytest.raises(Fault) as refused:
        check_matrix(app)
    assert refused.value.code == "console.matrix"
    other = Area()
    with pytest.raises(KeyError):  # as soon as it is made
        other.get("/typing-error", "home.raed")(lambda: "")


def test_roles_are_those_of_the_node_and_every_department_has_one() -> None:
    assert ROLES == ROLES_OF_THE_NODE
    assert set(REVIEW_ROLES) == set(REVIEWERS)
    assert all(MATRIX[a] <= set(ROLES) for a in MATRIX)


def test_an_auditor_changes_nothing_but_itself() -> None:
    changing = {
        "change",
        "sign",
        "draft",
        "push",
        "move",
        "ask",
        "cancel",
        "stop",
        "review",
        "check",
        "preview",
    }
    may = {a for a, roles in MATRIX.items() if "auditor" in roles}
    assert {a for a in may if a.partition(".")[2] in changing} == {"account.change"}


def test_signing_asking_and_making_users_are_three_people_s() -> None:
    for action in ("contract.sign", "job.ask", "user.change", "partner.change"):
        assert len(MATRIX[action]) == 1, action
    assert (
        len(
            {
                next(iter(MATRIX[a]))
                for a in ("contract.sign", "job.ask", "user.change", "partner.change")
            }
        )
        == 4
    )


@pytest.mark.parametrize("role", ROLES)
def test_every_route_answers_a_role_as_the_matrix_says(stage: Bench, role: str) -> None:
    browser = stage.browser(role)
    for route in guarded(stage):
        status = called(browser, route)
        allowed = role in MATRIX[action_of(route)]
        assert (status == 403) == (not allowed), (route.methods, route.path, role, status)
        assert status < 500 or status in (502, 503), (route.path, status)


def test_who_is_not_signed_in_gets_in_nowhere(stage: Bench) -> None:
    nobody = stage.anybody()
    for route in guarded(stage):
        status = called(nobody, route)
        if route.path.startswith("/api/"):
            assert status in (401, 200), (route.path, status)  # 200: the two that were not called
        elif route.path != "/sign-out":
            assert status == 303, (route.path, status)


def test_a_refusal_for_want_of_a_role_is_in_the_ledger_if_it_would_have_changed_something(
    stage: Bench,
) -> None:
    before = len(stage.ledger())
    browser = stage.browser("auditor")
    assert browser.get("/users").status_code == 200
    assert (
        browser.post("/contracts/any-contract/sign", {"hash": "0", "read": "1"}).status_code == 403
    )
    last = stage.ledger()[-1]
    assert len(stage.ledger()) == before + 2  # the sign-in, and this
    assert last == {"action": "contract.sign", "user": "the-auditor", "of": {"contract_id": "any-contract"},
                    "outcome": "role.missing"}  # fmt: skip
