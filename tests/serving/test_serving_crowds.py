"""Figures over the API: each route, who may read, quotas, ETags, and that nothing is rewritten."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import httpx2
import pyarrow.parquet as pq
import pytest
from serving_stage import ABOUT, FIRST, Served, figures, served

from hanse.client import ApiError, Client
from hanse.clock import SystemClock
from hanse.errors import Refusal
from hanse.node.products.publications import Figure


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


def client_of(api: Served, key: str | None = None) -> Client:
    """The typed client, speaking to the application in this process."""
    made = Client("http://testserver", api.key if key is None else key)
    made._http = httpx2.Client(
        transport=api.client._transport, base_url="http://testserver",
        headers=api.headers(key),
    )  # fmt: skip
    return made


def test_a_place_s_days_with_intervals_and_abstentions(api: Served) -> None:
    answer = api.client.get("/v1/crowds/crowd/places/place-2", headers=api.headers())
    assert answer.status_code == 200
    body = answer.json()
    assert [f["date"] for f in body["figures"]] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert body["figures"][1] | {"published_at": ""} == {
        "place": "place-2", "date": "2026-11-02", "state": "published", "value": 201.0, "low": 180.0,
        "high": 310.0, "confidence": 0.93, "reason": "", "version": 1, "published_at": "", "number": 8,
    }  # fmt: skip
    last = api.client.get(
        "/v1/crowds/crowd/places/place-4?first=2026-11-03", headers=api.headers()
    ).json()
    (only,) = last["figures"]
    assert (only["state"], only["value"], only["reason"]) == (
        "abstained",
        None,
        "too few accurate days",
    )


def test_the_client_reads_what_was_published(api: Served) -> None:
    client = client_of(api)
    days = client.crowd("crowd", "place-1", first=FIRST + timedelta(days=1))
    assert [(f.date, f.value) for f in days] == [
        (date(2026, 11, 2), 101.0),
        (date(2026, 11, 3), 102.0),
    ]
    assert len(client.batch("crowd", ["place-0", "place-1", "place-0", "nowhere"])) == 6
    assert [f.place for f in client.day("crowd", FIRST)] == [f"place-{p}" for p in range(5)]
    assert len(list(client.changes("crowd"))) == 15
    with pytest.raises(ApiError) as error:
        client.crowd("crowd", "nowhere")
    assert (error.value.status, error.value.code) == (404, "api.unknown")
    with pytest.raises(ApiError) as error:
        client_of(api, "hanse_wrong").crowd("crowd", "place-1")
    assert (error.value.status, error.value.code) == (401, "api.key")


def test_revisions_are_versions_and_changes_tell_of_them(api: Served) -> None:
    changed = api.store.publications.publish("crowd", ABOUT, figures(more=7.0), SystemClock().now())
    assert changed == 12  # abstained ones are as they were
    assert (
        api.store.publications.publish("crowd", ABOUT, figures(more=7.0), SystemClock().now()) == 0
    )
    api.refresh()
    path = "/v1/crowds/crowd/places/place-1"
    assert [
        f["version"] for f in api.client.get(path, headers=api.headers()).json()["figures"]
    ] == [2, 2, 2]
    both = api.client.get(f"{path}/2026-11-01/versions", headers=api.headers()).json()["figures"]
    assert [(f["version"], f["value"]) for f in both] == [(1, 100.0), (2, 107.0)]
    page = api.client.get("/v1/crowds/crowd/changes?after=15&limit=5", headers=api.headers()).json()
    assert [f["number"] for f in page["figures"]] == [16, 17, 18, 19, 20]
    assert page["next"] == 20
    rest = api.client.get("/v1/crowds/crowd/changes?after=25&limit=5", headers=api.headers()).json()
    assert (len(rest["figures"]), rest["next"]) == (2, None)


def test_an_etag_saves_the_body_until_something_is_published(api: Served) -> None:
    path = "/v1/crowds/crowd/places/place-1"
    first = api.client.get(path, headers=api.headers())
    tag = first.headers["etag"]
    again = api.client.get(path, headers=api.headers(**{"If-None-Match": tag}))
    assert (again.status_code, again.content) == (304, b"")
    api.store.publications.publish("crowd", ABOUT, figures(more=1.0), SystemClock().now())
    api.refresh()
    assert api.client.get(path, headers=api.headers(**{"If-None-Match": tag})).status_code == 200


def test_a_day_as_parquet(api: Served) -> None:
    answer = api.client.get("/v1/crowds/crowd/days/2026-11-02?form=parquet", headers=api.headers())
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.num_rows == 5
    assert table.column("value").to_pylist() == [1.0, 101.0, 201.0, 301.0, None]


def test_keys_scopes_products_expiry_and_revocation(api: Served) -> None:
    def code(key: str, path: str = "/v1/crowds/crowd/places/place-1") -> tuple[int, str]:
        answer = api.client.get(path, headers=api.headers(key))
        return answer.status_code, "" if answer.is_success else answer.json()["code"]

    assert code("") == (401, "api.key")
    assert api.client.get("/v1/products").status_code == 401
    assert code(api.consumer("only-results", scopes=("results",))) == (403, "api.scope")
    assert code(api.consumer("other-product", products=("other",))) == (403, "api.scope")
    assert code(api.consumer("past", expires=date(2020, 1, 1))) == (401, "api.expired")
    key = api.consumer("leaving")
    assert code(key) == (200, "")
    api.store.consumers.revoke("leaving")
    api.refresh()
    assert code(key) == (401, "api.key")
    with pytest.raises(Refusal, match="scopes"):
        api.consumer("greedy", scopes=("everything",))
    with pytest.raises(Refusal, match="already"):
        api.consumer("leaving")


def test_quota_and_rate_are_kept_and_usage_is_written(api: Served) -> None:
    small = api.consumer("small", quota=7)
    path = "/v1/crowds/crowd/places/place-1"
    answers = [api.client.get(path, headers=api.headers(small)) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert answers[0].headers["x-quota-left"] == "4"
    assert answers[3].json()["code"] == "api.quota"
    slow = api.consumer("slow", rate=1.0)
    codes = [api.client.get(path, headers=api.headers(slow)).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    desk = api.client.app.state.desk  # type: ignore[attr-defined]
    desk.settle()
    today = SystemClock().now().date()
    used = {(u["consumer"], u["product"]): (u["requests"], u["values"])
            for u in api.store.consumers.usage(today, today)}  # fmt: skip
    assert used["small", "crowd"] == (3, 9)
    desk.refresh()
    desk.settle()
    assert api.client.get(path, headers=api.headers(small)).json()["code"] == "api.quota"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/crowds/nothing/places/place-1", "api.unknown"),
        ("/v1/crowds/crowd/places/place-1?first=yesterday", "api.value"),
        ("/v1/crowds/crowd/days/2026-13-01", "api.value"),
        ("/v1/crowds/crowd/changes?limit=0", "api.value"),
        ("/v1/crowds/crowd/changes?after=-1", "api.value"),
        ("/v1/crowds/crowd/changes?after=99999999999999999999999", "api.value"),
        ("/v1/crowds/crowd/places/..%2f..%2fetc", "api.unknown"),
        ("/v1/crowds/crowd/places/x'%20OR%201=1--", "api.unknown"),
        ("/v1/results/zz", "api.value"),
        ("/v1/nowhere", "api.unknown"),
    ],
)
def test_bad_requests_have_a_code_and_a_remedy(api: Served, path: str, code: str) -> None:
    answer = api.client.get(path, headers=api.headers())
    assert answer.status_code in (404, 422)
    body = answer.json()
    assert body["code"] == code
    assert body["remedy"]


def test_oversized_and_malformed_bodies_are_refused(api: Served) -> None:
    post = "/v1/crowds/crowd/batch"
    assert api.client.post(post, headers=api.headers(), content=b"x" * (2 << 20)).status_code in (
        413,
        422,
    )
    assert api.client.post(post, headers=api.headers(), content=b"{").status_code == 422
    many = {"places": [f"p{n}" for n in range(1001)]}
    assert api.client.post(post, headers=api.headers(), json=many).json()["code"] == "api.value"
    assert api.client.delete("/v1/products", headers=api.headers()).json()["code"] == "api.method"


def test_metrics_are_for_this_machine_only(api: Served) -> None:
    api.client.get("/v1/products", headers=api.headers())
    text = api.client.get("/metrics").text
    assert 'hanse_api_requests_total{route="/v1/products",status="200"} 1.0' in text
    assert api.key not in text


@pytest.mark.parametrize(
    "figure",
    [
        Figure("", FIRST, 1.0),
        Figure("x", FIRST, -1.0),
        Figure("x", FIRST, float("nan")),
        Figure("x", FIRST, None),
        Figure("x", FIRST, 5.0, 9.0, 3.0),
        Figure("x", FIRST, 5.0, 3.0, 9.0, 1.5),
        Figure("x\x00y", FIRST, 5.0),
    ],
)
def test_figures_that_make_no_sense_are_not_published(api: Served, figure: Figure) -> None:
    before = api.store.publications.versions()
    with pytest.raises(Refusal) as refusal:
        api.store.publications.publish(
            "crowd", ABOUT, [Figure("good", FIRST, 1.0), figure], SystemClock().now()
        )
    assert refusal.value.code == "product.figure"
    assert api.store.publications.versions() == before


def test_one_place_and_day_is_published_once(api: Served) -> None:
    with pytest.raises(Refusal, match="two figures"):
        api.store.publications.publish(
            "crowd", ABOUT, [Figure("x", FIRST, 1.0), Figure("x", FIRST, 2.0)], SystemClock().now()
        )
