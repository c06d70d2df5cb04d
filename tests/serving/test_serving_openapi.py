"""The OpenAPI document is what the API does: generated requests, good and bad, never end in a 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from serving_stage import Served, served


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("openapi")) as made:
        yield made


def test_generated_requests_get_the_answers_that_the_document_names(api: Served) -> None:
    schema = schemathesis.openapi.from_dict(api.client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    asked = [o for o in operations if o.path.startswith("/v1/") and not o.path.endswith("/stream")]
    assert len(asked) == 12
    statuses = set()
    for operation in asked:

        @settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate], database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            answer = api.client.request(
                case.method, case.formatted_path, params=case.query,
                headers={**dict(case.headers or {}), **api.headers()},
                content=case.body if isinstance(case.body, bytes) else None,
                json=case.body if isinstance(case.body, dict | list) else None,
            )  # fmt: skip
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (case.formatted_path, answer.text)
            assert str(answer.status_code) in case.operation.definition.raw["responses"]
            if answer.status_code >= 400:
                assert set(answer.json()) == {"code", "message", "remedy", "where"}

        ask()
    assert 404 in statuses


def test_the_document_names_every_route_and_its_key(api: Served) -> None:
    document = api.client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/healthz", "/metrics", "/v1/usage", "/v1/products", "/v1/crowds/{product}/places/{place}",
        "/v1/crowds/{product}/places/{place}/{day}/versions", "/v1/crowds/{product}/batch",
        "/v1/crowds/{product}/days/{day}", "/v1/crowds/{product}/changes", "/v1/crowds/{product}/stream",
        "/v1/results", "/v1/results/{job}", "/v1/scores", "/v1/scores/{job}", "/v1/models/{model}/score",
    }  # fmt: skip
    for path, item in document["paths"].items():
        for operation in item.values():
            assert bool(operation.get("security")) == path.startswith("/v1/"), path
