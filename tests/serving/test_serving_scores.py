"""Scores over the API: pages, Parquet, one row; who may read them, how much, and until when."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from score_stage import DAYS, ROWS, agreed, keep_contract, keep_job, keep_scores
from serving_stage import Served

from hanse.client import ApiError, Client
from hanse.clock import ManualClock
from hanse.errors import Fault, Refusal
from hanse.node.products.scores import ScoreFile, ScoreFiles
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.store import Store
from hanse.serving.app import create_app
from hanse.serving.scores import MOST_AT_ONCE, MOST_ROWS


@dataclass
class Node:
    """What the API asks for one row."""

    asked: list[tuple[str, str]]
    answer: Any

    def score_one(self, model: str, row: str) -> dict[str, Any]:
        self.asked.append((model, row))
        if isinstance(self.answer, Exception):
            raise self.answer
        found: dict[str, Any] = self.answer
        return found


@dataclass
class Stage(Served):
    folder: Path
    clock: ManualClock
    node: Node
    job: str

    def code(self, path: str, key: str | None = None, **more: Any) -> tuple[int, str]:
        answer = self.client.request(
            more.pop("method", "GET"), path, headers=self.headers(key), **more
        )
        return answer.status_code, "" if answer.is_success else answer.json()["code"]

    def used(self, consumer: str) -> dict[str, tuple[int, int]]:
        self.client.app.state.desk.settle()  # type: ignore[attr-defined]
        day = self.clock.now().date()
        return {u["product"]: (u["requests"], u["values"]) for u in self.store.consumers.usage(day, day)
                if u["consumer"] == consumer}  # fmt: skip

    def typed(self, key: str | None = None) -> Client:
        made = Client("http://testserver", key or self.key)
        made._http = httpx2.Client(
            transport=self.client._transport,
            base_url="http://testserver",
            headers=self.headers(key),
        )
        return made


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Stage]:
    clock = ManualClock(datetime.now(UTC))
    store, folder = Store(open_sqlite(tmp_path)), tmp_path / "scores"
    contract = agreed()
    keep_contract(store, contract, clock.now())
    job = keep_scores(store, folder, contract, clock.now())
    node = Node([], {"score": 0.25, "scores": None})
    app = create_app(store, clock, webhooks=False, scores=folder, score_one=node.score_one)
    with TestClient(app, client=("127.0.0.1", 5000)) as client:
        stage = Stage(store, client, "", folder, clock, node, job)
        stage.key = stage.consumer("scorer", scopes=("scores",), rate=10_000.0)
        yield stage
    store.close()


def test_pages_hold_every_row_once_and_what_has_no_score_says_so(api: Stage) -> None:
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = api.client.get(
            f"/v1/scores/{api.job}?after={after}&limit=999", headers=api.headers()
        ).json()
        assert page["model"] == "churn"
        rows, after = rows + page["rows"], page["next"]
    assert [r["id"] for r in rows] == [f"member-{n:04d}" for n in range(ROWS)]
    assert rows[3]["score"] is None
    assert rows[9]["score"] == pytest.approx(10 / (ROWS + 1))
    assert all(r["scores"] is None for r in rows)
    beyond = api.client.get(f"/v1/scores/{api.job}?after={ROWS}", headers=api.headers()).json()
    assert (beyond["rows"], beyond["next"]) == ([], None)


def test_rows_over_several_groups_of_a_file_come_in_its_order(
    api: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hanse.node.models.scoring._ROWS_AT_ONCE", 100)
    job = keep_scores(api.store, api.folder, agreed(), api.clock.now(), number=2, rows=350)
    assert pq.ParquetFile(api.folder / f"{job}.parquet").num_row_groups == 4
    page = api.client.get(f"/v1/scores/{job}?after=95&limit=120", headers=api.headers()).json()
    assert [r["id"] for r in page["rows"]] == [f"member-{n:04d}" for n in range(95, 215)]
    assert page["next"] == 215


def test_scores_by_class(api: Stage) -> None:
    job = keep_scores(
        api.store, api.folder, agreed(), api.clock.now(), number=2, classes=3, rows=10
    )
    rows = api.client.get(f"/v1/scores/{job}", headers=api.headers()).json()["rows"]
    assert set(rows[0]["scores"]) == {"buys", "looks", "leaves"}
    assert rows[0]["score"] is None
    assert (rows[3]["score"], rows[3]["scores"]) == (None, None)


def test_the_list_says_what_there_is_and_until_when(api: Stage) -> None:
    (only,) = api.client.get("/v1/scores", headers=api.headers()).json()["scores"]
    assert (only["job"], only["model"], only["contract"], only["rows"]) == (
        api.job,
        "churn",
        "spring",
        ROWS,
    )
    assert only["scored"] == sum(n % 7 != 3 for n in range(ROWS))
    made, until = datetime.fromisoformat(only["made"]), datetime.fromisoformat(only["until"])
    assert until - made == timedelta(days=DAYS)


def test_parquet_is_the_file_itself(api: Stage) -> None:
    answer = api.client.get(f"/v1/scores/{api.job}?form=parquet", headers=api.headers())
    assert answer.content == (api.folder / f"{api.job}.parquet").read_bytes()
    assert pq.read_table(io.BytesIO(answer.content)).num_rows == ROWS
    tag = answer.headers["etag"]
    again = api.client.get(
        f"/v1/scores/{api.job}?form=parquet", headers=api.headers(**{"If-None-Match": tag})
    )
    assert (again.status_code, again.content) == (304, b"")
    assert api.used("scorer") == {"scores:churn": (2, ROWS)}


def test_an_etag_saves_a_page(api: Stage) -> None:
    path = f"/v1/scores/{api.job}?limit=5"
    tag = api.client.get(path, headers=api.headers()).headers["etag"]
    assert api.client.get(path, headers=api.headers(**{"If-None-Match": tag})).status_code == 304
    other = api.client.get(f"{path}&after=5", headers=api.headers(**{"If-None-Match": tag}))
    assert other.status_code == 200
    assert api.used("scorer") == {"scores:churn": (3, 10)}
    listed = api.client.get("/v1/scores", headers=api.headers()).headers["etag"]
    keep_scores(api.store, api.folder, agreed(), api.clock.now(), number=2, rows=3)
    assert (
        api.client.get("/v1/scores", headers=api.headers(**{"If-None-Match": listed})).status_code
        == 200
    )


# --- who may ----------------------------------------------------------------------------------------

_READS = ("/v1/scores", "/v1/scores/{job}", "/v1/scores/{job}?form=parquet", "/v1/models/churn/score",
          "/v1/results", "/v1/results/{job}", "/v1/products", "/v1/usage")  # fmt: skip
_MAY: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[int, ...]] = {
    # scopes, products: the status of each of the above
    (("scores",), ()): (200, 200, 200, 200, 403, 403, 403, 200),
    (("scores",), ("churn",)): (200, 200, 200, 200, 403, 403, 403, 200),
    (("scores",), ("other",)): (200, 404, 404, 403, 403, 403, 403, 200),
    (("results",), ()): (403, 403, 403, 403, 200, 404, 403, 200),
    (("results", "scores"), ()): (200, 200, 200, 200, 200, 200, 403, 200),
    (("results", "scores"), ("spring",)): (200, 404, 404, 403, 200, 404, 403, 200),
    (("results", "scores"), ("spring", "churn")): (200, 200, 200, 200, 200, 200, 403, 200),
    (("crowds",), ()): (403, 403, 403, 403, 403, 403, 200, 200),
}


@pytest.mark.parametrize(("scopes", "products"), _MAY)
def test_every_scope_opens_what_it_says_and_nothing_else(
    api: Stage, scopes: tuple[str, ...], products: tuple[str, ...]
) -> None:
    key = api.consumer("other", scopes=scopes, products=products)
    found = []
    for path in _READS:
        more = {"method": "POST", "json": {"id": "x"}} if path.endswith("/score") else {}
        found.append(api.code(path.format(job=api.job), key, **more)[0])
    assert tuple(found) == _MAY[scopes, products]
    if "churn" not in products and products:
        heads = api.client.get("/v1/scores", headers=api.headers(key))
        assert heads.status_code == 403 or heads.json()["scores"] == []


def test_without_a_key_nothing_is_read(api: Stage) -> None:
    for path in ("/v1/scores", f"/v1/scores/{api.job}"):
        assert api.code(path, "") == (401, "api.key")
    assert api.code("/v1/models/churn/score", "", method="POST", json={"id": "x"}) == (
        401,
        "api.key",
    )
    assert api.node.asked == []


def test_a_score_in_a_result_needs_the_scope_of_scores(api: Stage) -> None:
    at = api.clock.now()
    job = keep_job(
        api.store, agreed(), 7, at, "score-one", {"model": "churn", "score": 0.5}, model="churn"
    )
    key = api.consumer("reader", scopes=("results",))
    assert api.client.get("/v1/results", headers=api.headers(key)).json()["results"] == []
    assert api.code(f"/v1/results/{job}", key) == (404, "api.unknown")


# --- how much, and until when -----------------------------------------------------------------------


def test_quota_holds_for_pages_files_and_single_rows(api: Stage) -> None:
    key = api.consumer("small", scopes=("scores",), quota=100)
    assert api.code(f"/v1/scores/{api.job}?form=parquet", key) == (429, "api.quota")
    assert api.code(f"/v1/scores/{api.job}?limit=99", key) == (200, "")
    post = {"method": "POST", "json": {"id": "member-0001"}}
    assert api.code("/v1/models/churn/score", key, **post) == (200, "")
    assert api.code("/v1/models/churn/score", key, **post) == (429, "api.quota")
    assert len(api.node.asked) == 1
    assert api.code(f"/v1/scores/{api.job}?limit=1", key) == (429, "api.quota")


def test_a_page_holds_no_more_rows_than_are_left_of_the_quota(api: Stage) -> None:
    key = api.consumer("small", scopes=("scores",), quota=100)
    answer = api.client.get(f"/v1/scores/{api.job}?limit=10000", headers=api.headers(key))
    page = answer.json()
    assert (len(page["rows"]), page["next"], answer.headers["x-quota-left"]) == (100, 100, "0")
    assert api.code(f"/v1/scores/{api.job}?after=100", key) == (429, "api.quota")
    assert api.used("small") == {"scores:churn": (1, 100)}


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_requests_at_once_share_one_quota(
    api: Stage, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    key = api.consumer("twice", scopes=("scores",), quota=ROWS)
    desk = api.client.app.state.desk  # type: ignore[attr-defined]
    real = ScoreFiles.open

    def open_(files: ScoreFiles, file: ScoreFile) -> Any:
        """While this request reads the file, another one of the same consumer is answered."""
        desk.count(api.store.consumers.get("twice"), "scores:churn", ROWS - 10)
        return real(files, file)

    monkeypatch.setattr(ScoreFiles, "open", open_)
    answer = api.client.get(
        f"/v1/scores/{api.job}?form={form}&limit={ROWS}", headers=api.headers(key)
    )
    if form == "parquet":
        assert (answer.status_code, answer.json()["code"]) == (429, "api.quota")
    else:
        assert (len(answer.json()["rows"]), answer.json()["next"]) == (10, 10)
    assert api.used("twice")["scores:churn"][1] <= ROWS


def test_scores_end_with_their_time_with_the_contract_and_when_they_are_collected(
    api: Stage,
) -> None:
    path = f"/v1/scores/{api.job}"
    keep_contract(api.store, agreed(), api.clock.now(), "suspended")
    assert api.code(path) == (404, "api.unknown")
    keep_contract(api.store, agreed(), api.clock.now())
    assert api.code(path) == (200, "")
    api.clock.advance(timedelta(days=DAYS, minutes=1))
    assert api.code(path) == (404, "api.unknown")
    assert api.client.get("/v1/scores", headers=api.headers()).json()["scores"] == []
    moment = api.clock.now().timestamp()
    os.utime(api.folder / f"{api.job}.parquet", (moment, moment))
    assert api.code(path) == (200, "")
    (api.folder / f"{api.job}.parquet").unlink()
    assert api.code(path) == (404, "api.unknown")
    assert api.code(f"{path}?form=parquet") == (404, "api.unknown")


def test_a_file_of_no_job_and_one_that_is_damaged(api: Stage) -> None:
    stray = "ab" * 32
    (api.folder / f"{stray}.parquet").write_bytes(b"x")
    assert api.code(f"/v1/scores/{stray}") == (404, "api.unknown")
    assert len(api.client.get("/v1/scores", headers=api.headers()).json()["scores"]) == 1
    (api.folder / f"{api.job}.parquet").write_bytes(b"PAR1 but not really PAR1")
    assert api.code(f"/v1/scores/{api.job}") == (503, "model.damaged")


@pytest.mark.parametrize(
    "path",
    ["/v1/scores/xyz", "/v1/scores/{job}?after=-1", "/v1/scores/{job}?limit=0", "/v1/scores/{job}?form=csv",
     f"/v1/scores/{{job}}?limit={MOST_ROWS + 1}", "/v1/scores/{job}?after=99999999999999999999"],
)  # fmt: skip
def test_what_cannot_be_asked(api: Stage, path: str) -> None:
    assert api.code(path.format(job=api.job)) == (422, "api.value")


# --- one row ----------------------------------------------------------------------------------------


def test_one_row_has_its_score_or_an_error_and_is_counted_either_way(api: Stage) -> None:
    post = {"headers": api.headers(), "json": {"id": "member-0001"}}
    answer = api.client.post("/v1/models/churn/score", **post)
    assert answer.json() == {"model": "churn", "score": 0.25, "scores": None}
    assert answer.headers["cache-control"] == "no-store"
    assert api.node.asked == [("churn", "member-0001")]
    for error, status in (
        (Refusal("model.no-row", "not all have it", remedy="-"), 404),
        (Refusal("model.online", "the contract does not allow it", remedy="-"), 403),
        (Refusal("contract.suspended", "it is suspended", remedy="-"), 403),
        (Refusal("node.stopped", "it does not run", remedy="-"), 503),
        (Fault("peer.lost", "media is gone", remedy="-"), 503),
    ):
        api.node.answer = error
        answer = api.client.post("/v1/models/churn/score", **post)
        assert (answer.status_code, answer.json()["code"]) == (status, error.code)
        assert "score" not in answer.json()
    assert api.used("scorer") == {"scores:churn": (6, 6)}
    for body in ({"id": ""}, {"id": "x" * 201}, {}, {"id": "x", "receiver": "media"}, {"id": 7}):
        assert api.code("/v1/models/churn/score", method="POST", json=body) == (422, "api.value")
    assert len(api.node.asked) == 6


def test_rows_are_asked_a_few_at_a_time(api: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    inner: list[tuple[int, str]] = []

    def nested(model: str, row: str) -> dict[str, Any]:
        if len(inner) < MOST_AT_ONCE:  # a row asked while the ones before are under way
            inner.append((0, ""))
            at = len(inner)
            inner[at - 1] = api.code("/v1/models/churn/score", method="POST", json={"id": "x"})
        return {"score": 0.5, "scores": None}

    monkeypatch.setattr(api.node, "score_one", nested)
    app = create_app(api.store, api.clock, webhooks=False, scores=api.folder, score_one=nested)
    with TestClient(app, client=("127.0.0.1", 5000)) as client:
        api.client = client
        assert api.code("/v1/models/churn/score", method="POST", json={"id": "x"}) == (200, "")
        assert inner[-1] == (429, "api.busy")
        assert {status for status, _ in inner[:-1]} == {200}
        assert api.code("/v1/models/churn/score", method="POST", json={"id": "x"}) == (200, "")


# --- the typed client -------------------------------------------------------------------------------


def test_the_client_reads_scores(api: Stage, tmp_path: Path) -> None:
    client = api.typed()
    (job,) = client.scored()
    assert (job.job, job.rows) == (api.job, ROWS)
    found = list(client.scores(api.job, limit=1000))
    assert len(found) == ROWS
    assert (found[3].id, found[3].score) == ("member-0003", None)
    assert [s.id for s in client.scores(api.job, after=ROWS - 1)] == [f"member-{ROWS - 1:04d}"]
    to = client.score_file(api.job, tmp_path / "mine.parquet")
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    assert pq.read_table(to).num_rows == ROWS
    with pytest.raises(FileExistsError):
        client.score_file(api.job, to)
    assert client.score("churn", "member-0001").score == 0.25
    api.node.answer = Refusal("model.no-row", "not all have it", remedy="-")
    with pytest.raises(ApiError) as error:
        client.score("churn", "member-0003")
    assert error.value.code == "model.no-row"
    with pytest.raises(ApiError) as error:
        client.score_file("ab" * 32, tmp_path / "other.parquet")
    assert error.value.status == 404
    assert not (tmp_path / "other.parquet").exists()
