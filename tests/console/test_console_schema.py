"""The API against its own form: whatever is sent, nothing breaks, and answers are what the form says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from console_stage import WORD, Bench, bench, new_node
from hypothesis import HealthCheck, Phase, given, settings

from hanse.console.app import routes_of
from hanse.console.limits import Buckets
from hanse.console.matrix import ROLES

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(new_node(tmp_path_factory.mktemp("schema") / "node")) as made:
        made.console.desk.requests = Buckets(made.console.desk.clock, 10**9, 1e-9)
        made.console.desk.sign_ins = Buckets(made.console.desk.clock, 10**9, 1e-9)
        _, password = made.users.add("everything", "Everything", "House", ROLES, "tests")
        made.users.choose_password(made.users.sign_in("everything", password), password, WORD)
        yield made


@pytest.fixture(scope="module")
def handle(stage: Bench) -> str:
    return stage.users.sign_in("everything", WORD).handle


def test_whatever_is_sent_nothing_breaks(stage: Bench, handle: str) -> None:
    client = stage.anybody().client
    client.headers["authorization"] = f"Bearer {handle}"
    schema = schemathesis.openapi.from_dict(stage.console.routes.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 60
    statuses: dict[int, int] = {}
    for operation in operations:
        if (operation.method.upper(), operation.path) == ("DELETE", "/api/v1/session"):
            continue  # it would end the session of all others

        @settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate], database=None,
                  derandomize=True, suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            answer = client.request(
                case.method, case.formatted_path, params=case.query,
                content=case.body if isinstance(case.body, bytes) else None,
                json=case.body if isinstance(case.body, dict | list) else None,
            )  # fmt: skip
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            # 502 and 503: the node does not run here.
            assert answer.status_code < 500 or answer.status_code in (502, 503), (
                case.method, case.formatted_path, answer.text[:400],
            )  # fmt: skip
            assert answer.status_code != 401 or case.formatted_path == "/api/v1/session"
            if answer.status_code >= 400:
                assert set(answer.json()) == {"kind", "code", "message", "remedy", "where"}

        send()
    assert {200, 404, 422} <= set(statuses), statuses


def test_the_form_names_every_route_of_the_api_with_its_action_and_its_errors(stage: Bench) -> None:
    paths = stage.console.routes.openapi()["paths"]
    for route in routes_of(stage.console.routes):
        if route.path.startswith("/api/"):
            (method,) = route.methods
            told = paths[route.path][method.lower()]
            assert told["x-hanse-action"]
            assert told["summary"]
            assert {"401", "403", "422", "500"} <= set(told["responses"])
