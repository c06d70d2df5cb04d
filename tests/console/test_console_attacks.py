"""What the web usually does to consoles: forged requests, planted scripts, wandering paths, floods."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_stage import WORD, Bench, Browser, bench, new_node

from hanse.clock import SystemClock
from hanse.console import Settings
from hanse.console.hardening import LARGER, POLICY, USUAL_BYTES, policy_of
from hanse.console.pages import within
from hanse.errors import Refusal
from hanse.node.faces import facade
from hanse.node.identity.keys import load_identity
from hanse.node.identity.partners import Partner

PLANTED = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("attacks")
    with bench(new_node(folder / "node")) as made:
        other = folder / "other"
        facade.create_node(other, "evil-house", PLANTED[:64], ("127.0.0.1", 0))
        card = load_identity(other, clock=SystemClock()).card
        made.console.desk.office.add_partner(Partner(card, ("host.example", 7470)))
        yield made


@pytest.fixture(scope="module")
def operator(stage: Bench) -> Browser:
    return stage.browser("operator")


# --- forged requests --------------------------------------------------------------------------------


def forged(browser: Browser, **headers: str) -> int:
    return browser.client.post("/partners/evil-house/remove", headers=headers).status_code


def test_a_request_without_the_session_s_form_key_changes_nothing(
    stage: Bench, operator: Browser
) -> None:
    assert forged(operator) == 403
    assert forged(operator, **{"x-hanse-form": "0" * 64}) == 403
    other = stage.browser("operator")
    assert forged(operator, **{"x-hanse-form": other.key}) == 403  # another session's
    assert (
        operator.api("DELETE", "/partners/evil-house", headers={"x-hanse-form": ""}).status_code
        == 403
    )
    assert len(stage.console.desk.office.directory().all()) == 1


def test_another_site_is_refused_whatever_it_carries(stage: Bench, operator: Browser) -> None:
    key = {"x-hanse-form": operator.key}
    assert forged(operator, **key, origin="https://evil.example") == 403
    assert forged(operator, **key, origin="null") == 403
    assert forged(operator, **key, **{"sec-fetch-site": "cross-site"}) == 403
    assert forged(operator, **key, **{"sec-fetch-site": "same-site"}) == 403
    sign_in = stage.anybody().client.post(
        "/sign-in",
        data={"name": "the-risk", "password": WORD},
        headers={"sec-fetch-site": "cross-site"},
    )
    assert sign_in.status_code == 403
    assert not sign_in.cookies
    assert len(stage.console.desk.office.directory().all()) == 1


def test_looking_at_a_page_changes_nothing(stage: Bench, operator: Browser) -> None:
    before = stage.console.desk.office.ledger.verify(
        stage.console.desk.office.identity.card.signing_key
    ).count
    for path in (
        "/",
        "/partners",
        "/data",
        "/contracts",
        "/jobs",
        "/ledger",
        "/standing",
        "/budget",
    ):
        assert operator.get(path).status_code == 200
    after = stage.console.desk.office.ledger.verify(
        stage.console.desk.office.identity.card.signing_key
    ).count
    assert after == before


# --- planted scripts --------------------------------------------------------------------------------


def test_a_partner_s_name_is_text_on_every_page(operator: Browser) -> None:
    for path in ("/", "/partners"):
        page = operator.get(path).text
        assert "evil-house" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_what_is_typed_comes_back_as_text(stage: Bench) -> None:
    analyst, legal = stage.browser("analyst"), stage.browser("legal")
    pages = [
        analyst.get("/contracts", params={"search": PLANTED}),
        analyst.get("/jobs", params={"contract": PLANTED}),
        analyst.get("/power", params={"treated": PLANTED, "control": "1", "share": "1"}),
        analyst.get("/contracts/" + PLANTED.replace("/", "")),
        stage.anybody().post("/sign-in", {"name": PLANTED, "password": "x"}),
    ]
    legal.get("/contracts/new")
    pages.append(legal.post("/contracts/new", {"text": f"title = '{PLANTED}"}))
    analyst.get("/ask/text")
    pages.append(analyst.post("/ask/text", {"text": PLANTED}))
    for page in pages:
        assert "<script>alert" not in page.text, page.url
        assert "<img src=x" not in page.text, page.url
        assert "alert(1)" in page.text, page.url


def test_no_page_has_scripts_or_styles_of_its_own(operator: Browser) -> None:
    for path in (
        "/",
        "/partners",
        "/data",
        "/contracts",
        "/jobs",
        "/ledger",
        "/account",
        "/nowhere",
    ):
        page = operator.get(path).text
        for script in re.findall(r"<script[^>]*>", page):
            assert "src=" in script or "application/json" in script, script
        assert not re.search(r"<[^>]*\son[a-z]+=", page), path
        assert not re.search(r"<[^>]*\sstyle=", page), path
        assert "<style" not in page


def test_a_picture_s_policy_lets_in_only_its_own_styles() -> None:
    policy = policy_of("<svg><style>a{}</style><script>1</script></svg>")
    assert "script-src" not in policy
    assert policy.startswith("default-src 'none'")
    assert policy.count("sha256-") == 1
    assert "unsafe" not in policy


# --- paths and names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/static/../console.py", "/static/%2e%2e/console.py", "/static/..%2fconsole.py", "/static//etc/passwd",
     "/static/%2fetc%2fpasswd", "/static/vendor/../../matrix.py", "/static/console.py", "/static/",
     "/static/vendor", "/static/..\\console.py", "/static/console.css%00.py"],
)  # fmt: skip
def test_no_path_leaves_the_folder_of_static_files(stage: Bench, path: str) -> None:
    answer = stage.anybody().get(path)
    assert answer.status_code in (404, 421), answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "'; DROP TABLE users; --", "%00", "a" * 5000, "🦀"]
)
def test_names_that_are_paths_or_sql_are_only_names(stage: Bench, name: str) -> None:
    legal = stage.browser("legal")
    answer = legal.api("GET", "/contracts", params={"search": name, "state": name})
    assert answer.status_code in (200, 422)
    assert legal.get(f"/contracts/{name.replace('/', '%2F')}").status_code in (404, 414, 400)
    assert stage.console.desk.users.all()


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\tx",
        "",
    ],
)
def test_nobody_is_sent_to_another_site(stage: Bench, back: str) -> None:
    assert stage.anybody().get("/look", params={"back": back}).headers["location"] == "/"
    assert within("/jobs?state=done") == "/jobs?state=done"


def test_a_partner_s_address_and_a_dataset_s_path_are_checked(
    stage: Bench, operator: Browser
) -> None:
    card = json.loads(operator.get("/partners/card.json").text)
    for address in ("host", "host:0", "host:99999", "a b:1", ":1", "x:1x"):
        refused = operator.api("POST", "/partners", json={"card": card, "address": address})
        assert refused.json()["code"] == "partner.address"
    owner = stage.browser("data-owner")
    dataset = {"name": "x", "source": {"path": "../../etc/passwd"}}
    assert owner.api("POST", "/datasets", json=dataset).json()["code"] == "dataset.path"


def test_what_is_wrong_with_a_dataset_or_a_request_is_said_by_its_field(stage: Bench) -> None:
    owner = stage.browser("data-owner")
    dataset = {"name": "x", "source": {"path": "/nowhere.csv"}, "classification": "secret",
               "ids": [{"column": "id", "type": "Phone!"}], "descripton": "x"}  # fmt: skip
    answer = owner.api("POST", "/datasets", json=dataset)
    assert (answer.status_code, answer.json()["code"]) == (422, "catalog.dataset")
    said = answer.json()["message"]
    for words in ("'x' has 5 problems", "ids[1].type: must be 1 to 63 small letters", "legal_basis: is missing",
                  "classification: must be 'personal'", "did you mean 'description'"):  # fmt: skip
        assert words in said, said
    assert (answer.json()["where"], bool(answer.json()["remedy"])) == ("ids[1].type", True)
    answer = owner.api("POST", "/datasets", json=["no", "table"])
    assert (answer.status_code, answer.json()["code"]) == (422, "request.malformed")
    assert (
        answer.json()["message"]
        == "the request has one problem: body: must be a table of keys and values"
    )
    answer = owner.api("GET", "/ledger", params={"limit": "many", "kind": "A b"})
    assert answer.status_code == 422
    said = answer.json()["message"]
    assert "limit: must be a whole number" in said
    assert "kind: must" in said


# --- floods and hosts -------------------------------------------------------------------------------


def test_long_bodies_are_refused_by_what_is_said_and_by_what_comes(
    stage: Bench, operator: Browser
) -> None:
    long = "x" * (USUAL_BYTES + 1)
    assert operator.post("/partners", {"text": long}).status_code == 413

    def dripping() -> Iterator[bytes]:  # says nothing of its length
        for _ in range(20):
            yield b"x" * (USUAL_BYTES // 10)

    client = operator.client
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/partners", content=dripping(), headers=kind).status_code == 413
    json_kind = {"content-type": "application/json", "x-hanse-form": operator.key}
    assert client.post("/api/v1/partners", content=dripping(), headers=json_kind).status_code == 413
    assert stage.anybody().client.post("/api/v1/session", content=dripping()).status_code == 413
    assert dict(LARGER)["/places"] > USUAL_BYTES


def test_only_its_own_names_reach_the_console(stage: Bench) -> None:
    client = stage.anybody().client
    for host in ("evil.example", "127.0.0.1.evil.example", "", "127.0.0.1@evil.example"):
        assert client.get("/sign-in", headers={"host": host}).status_code == 421, host
    for host in ("127.0.0.1:7480", "localhost", "[::1]:7480"):
        assert client.get("/sign-in", headers={"host": host}).status_code == 200, host


def test_every_answer_carries_the_strict_headers(stage: Bench, operator: Browser) -> None:
    answers = [operator.get(p) for p in ("/", "/nowhere", "/api/v1/partners", "/api/v1/nowhere", "/openapi.json",
               "/static/console.css")] + [stage.anybody().get("/sign-in"), stage.anybody().get("/")]  # fmt: skip
    for answer in answers:
        h = answer.headers
        assert h["content-security-policy"] == POLICY
        assert h["x-content-type-options"] == "nosniff"
        assert h["x-frame-options"] == "DENY"
        assert h["referrer-policy"] == "same-origin"
        assert h["cross-origin-opener-policy"] == "same-origin"
        assert "server" not in h
        if "/static/" not in str(answer.url):
            assert h["cache-control"] == "no-store"
    assert "unsafe" not in POLICY
    assert "script-src 'self'" in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_cookies_are_the_server_s_alone_and_over_tls_secure(stage: Bench, tmp_path: Path) -> None:
    def cookie(made: Bench) -> str:
        data = {"name": "the-legal", "password": WORD}
        return str(
            made.anybody()
            .client.post("/sign-in", data=data, headers={"host": "localhost"})
            .headers["set-cookie"]
        )

    plain = cookie(stage)
    assert plain.startswith("hanse-media-house=")
    assert "HttpOnly" in plain
    assert "SameSite=lax" in plain
    with bench(new_node(tmp_path / "node"), settings=Settings(behind_proxy=True)) as behind:
        secure = cookie(behind)
        assert secure.startswith("__Host-hanse-media-house=")
        assert "Secure" in secure
        assert "Path=/" in secure
        assert "strict-transport-security" in behind.anybody().get("/sign-in").headers


def test_without_tls_the_console_listens_at_home_only() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "console.example"):  # noqa: S104
        with pytest.raises(Refusal) as refused:
            Settings(host=host)
        assert refused.value.code == "console.plain"
        Settings(host=host, behind_proxy=True)
    for host in ("127.0.0.1", "localhost", "::1"):
        Settings(host=host)
    with pytest.raises(Refusal):
        Settings(certificate=Path("x.pem"))


def test_a_session_cannot_ask_without_end(stage: Bench) -> None:
    browser = stage.browser("auditor")
    statuses = [browser.client.get("/api/v1/session").status_code for _ in range(700)]
    assert statuses[0] == 200
    assert 429 in statuses


def test_an_unexpected_error_tells_nothing_of_its_text(
    stage: Bench,
    operator: Browser,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("member-0001 is in it")

    monkeypatch.setattr("hanse.node.faces.records.partners", fail)
    for path in ("/partners", "/api/v1/partners"):
        answer = operator.get(path)
        assert answer.status_code == 500
        assert "member-0001" not in answer.text
    assert "member-0001" not in caplog.text
