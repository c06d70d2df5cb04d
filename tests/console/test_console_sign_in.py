"""Signing in: what opens, what does not, what is locked, what ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from console_stage import WORD, Bench, bench, new_node
from sqlalchemy import text

from hanse.clock import ManualClock, SystemClock
from hanse.errors import Refusal
from hanse.node.people.users import FREE_TRIES, IDLE, LONGEST

OTHER = "seven lamps in the harbour"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_node(tmp_path_factory.mktemp("sign-in") / "node")


@pytest.fixture
def clock() -> ManualClock:
    # The node's certificate was made now; every test begins a day later than anything in the store.
    return ManualClock(SystemClock().now() + timedelta(days=1))


@pytest.fixture
def stage(folder: Path, clock: ManualClock) -> Iterator[Bench]:
    with bench(folder, clock) as made:
        made.console.desk.office.store.users.forgive("the-analyst")
        yield made


def try_in(stage: Bench, name: str, password: str, code: str = "") -> int:
    return (
        stage.anybody()
        .post("/sign-in", {"name": name, "password": password, "code": code})
        .status_code
    )


def test_a_session_opens_pages_and_its_end_closes_them(stage: Bench) -> None:
    browser = stage.browser("analyst")
    assert browser.get("/").status_code == 200
    handle = browser.client.cookies["hanse-media-house"]
    assert browser.post("/sign-out").status_code == 303
    browser.client.cookies.set("hanse-media-house", handle)
    assert browser.get("/").headers["location"] == "/sign-in"


def test_a_handle_brought_along_is_never_the_session_s(stage: Bench) -> None:
    browser = stage.anybody()
    browser.client.cookies.set("hanse-media-house", "0" * 64)
    browser.post("/sign-in", {"name": "the-analyst", "password": WORD})
    first = browser.client.cookies.jar
    handles = {c.value for c in first if c.name == "hanse-media-house"} - {"0" * 64}
    assert len(handles) == 1
    # Signing in again makes another, and the one before opens nothing any more.
    again = stage.anybody()
    again.client.cookies.set("hanse-media-house", handles.pop())
    old = again.client.cookies["hanse-media-house"]
    assert again.get("/").status_code == 200
    again.post("/sign-in", {"name": "the-analyst", "password": WORD})
    assert stage.users.session(old) is None


def test_the_store_holds_neither_handles_nor_passwords(stage: Bench) -> None:
    browser = stage.browser("analyst")
    handle = browser.client.cookies["hanse-media-house"]
    with stage.console.desk.office.store.database.reading() as connection:
        rows = [
            tuple(r)
            for t in ("users", "sessions")
            for r in connection.execute(text(f"SELECT * FROM {t}"))
        ]
    held = repr(rows)
    assert handle not in held
    assert WORD not in held
    assert hashlib.sha256(handle.encode()).hexdigest() in held
    assert "$argon2id$" in held


def test_an_idle_session_and_a_long_one_end(stage: Bench, clock: ManualClock) -> None:
    browser = stage.browser("analyst")
    clock.advance(IDLE + timedelta(seconds=1))
    assert browser.get("/").status_code == 303
    browser = stage.browser("analyst")
    for _ in range(int(LONGEST / (IDLE / 2))):
        assert browser.get("/").status_code == 200
        clock.advance(IDLE / 2)
    clock.advance(timedelta(seconds=1))
    assert browser.get("/").status_code == 303


def test_brute_force_is_stopped_and_the_right_password_waits_too(
    stage: Bench, clock: ManualClock
) -> None:
    for _ in range(FREE_TRIES):
        assert try_in(stage, "the-analyst", "wrong") == 401
    assert try_in(stage, "the-analyst", "wrong") == 429
    assert try_in(stage, "the-analyst", WORD) == 429
    assert stage.ledger()[-1]["action"] == "sign-in locked"
    clock.advance(timedelta(seconds=61))
    assert try_in(stage, "the-analyst", "wrong") == 401  # and now it is locked for two minutes
    clock.advance(timedelta(seconds=61))
    assert try_in(stage, "the-analyst", WORD) == 429
    clock.advance(timedelta(seconds=61))
    assert try_in(stage, "the-analyst", WORD) == 303
    assert try_in(stage, "the-analyst", "wrong") == 401  # it is forgiven


def test_a_name_that_is_not_there_is_treated_like_one_that_is(stage: Bench) -> None:
    def said(name: str) -> list[tuple[int, str]]:
        answers = [
            stage.anybody().post("/sign-in", {"name": name, "password": "wrong"}) for _ in range(7)
        ]
        return [(a.status_code, a.text.replace(name, "").split("alert")[1][:200]) for a in answers]

    assert said("the-analyst") == said("nobody-here")


def test_one_address_cannot_try_many_names(stage: Bench) -> None:
    found = [try_in(stage, f"guess-{n}", "wrong") for n in range(25)]
    assert found[0] == 401
    assert found[-1] == 429


def test_codes_are_asked_for_and_serve_once(stage: Bench, clock: ManualClock) -> None:
    browser = stage.browser("risk")
    secret = stage.users.new_code_secret()
    made = pyotp.TOTP(secret)
    wrong = {"password": WORD, "secret": secret, "code": "000000"}
    assert browser.post("/account/codes", wrong).status_code == 409
    code = made.at(clock.now())
    assert browser.post("/account/codes", {**wrong, "code": code}).status_code == 303
    assert try_in(stage, "the-risk", WORD) == 401
    assert try_in(stage, "the-risk", WORD, code) == 401  # it was used when codes were started
    clock.advance(timedelta(seconds=30))
    code = made.at(clock.now())
    assert try_in(stage, "the-risk", WORD, code) == 303
    assert try_in(stage, "the-risk", WORD, code) == 401
    with stage.console.desk.office.store.database.reading() as connection:
        held = repr(connection.execute(text("SELECT * FROM users")).all())
    assert secret not in held
    stage.users.reset("the-risk", "tests")


def test_who_has_a_made_up_password_must_choose_one_before_anything_else(stage: Bench) -> None:
    _, password = stage.users.add("new-colleague", "New", "Law", ["legal"], "tests")
    browser = stage.anybody()
    assert (
        browser.post("/sign-in", {"name": "new-colleague", "password": password}).status_code == 303
    )
    assert browser.get("/contracts").headers["location"] == "/account"
    assert browser.get("/api/v1/contracts").status_code == 403
    assert browser.get("/account").status_code == 200
    short = {"old": password, "new": "short", "again": "short"}
    assert browser.post("/account/password", short).status_code == 409
    good = {"old": password, "new": OTHER, "again": OTHER}
    assert browser.post("/account/password", {**good, "again": "other"}).status_code == 409
    assert browser.post("/account/password", good).status_code == 303
    assert browser.get("/contracts").status_code == 200


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("tooshort", "characters"),
        ("a" * 40, "different"),
        ("my the-legal word 1", "your name"),
        (WORD, "old one"),
    ],
)
def test_poor_passwords_are_refused(stage: Bench, new: str, why: str) -> None:
    session = stage.users.sign_in("the-legal", WORD)
    with pytest.raises(Refusal) as refused:
        stage.users.choose_password(session, WORD, new)
    assert refused.value.code == "user.password"
    assert why in refused.value.message


def test_a_changed_password_ends_all_other_sessions(stage: Bench) -> None:
    here, there = stage.browser("operator"), stage.browser("operator")
    there.post("/account/password", {"old": WORD, "new": OTHER, "again": OTHER})
    assert there.get("/").status_code == 200
    assert here.get("/").status_code == 303
    there.get("/account")
    there.post("/account/password", {"old": OTHER, "new": WORD, "again": WORD})


def test_roles_change_at_once_and_who_is_off_is_out(stage: Bench) -> None:
    admin, browser = stage.browser("admin"), stage.browser("data-owner")
    assert browser.get("/data").status_code == 200
    admin.get("/users")
    form = {"roles": "admin", "department": "House"}
    assert admin.post("/users/the-data-owner/change", form).status_code == 303
    assert browser.get("/data").status_code == 403
    assert (
        admin.post(
            "/users/the-data-owner/change", {**form, "roles": "data-owner", "off": "1"}
        ).status_code
        == 303
    )
    assert browser.get("/").status_code == 303
    assert try_in(stage, "the-data-owner", WORD) == 401
    assert (
        admin.post("/users/the-data-owner/change", {**form, "roles": "data-owner"}).status_code
        == 303
    )


def test_the_last_admin_stays_one(stage: Bench) -> None:
    admin = stage.browser("admin")
    admin.get("/users")
    answer = admin.post("/users/the-admin/change", {"roles": "legal", "department": "House"})
    assert answer.status_code == 409
    assert "user.last-admin" in answer.text
    assert (
        admin.post(
            "/users/the-admin/change", {"roles": "admin", "off": "1", "department": "x"}
        ).status_code
        == 409
    )


def test_a_program_signs_in_with_a_handle_of_its_own(stage: Bench) -> None:
    client = stage.anybody().client
    made = client.post("/api/v1/session", json={"name": "the-legal", "password": WORD})
    assert made.status_code == 201
    assert made.json()["user"]["roles"] == ["legal"]
    headers = {"Authorization": f"Bearer {made.json()['handle']}"}
    assert client.get("/api/v1/session", headers=headers).json()["user"]["name"] == "the-legal"
    assert client.delete("/api/v1/session", headers=headers).status_code == 204
    refused = client.get("/api/v1/session", headers=headers)
    assert refused.status_code == 401
    assert refused.json()["code"] == "login.needed"


def test_what_happens_to_users_is_in_the_ledger_with_who_did_it(stage: Bench) -> None:
    admin = stage.browser("admin")
    admin.get("/users")
    form = {"name": "an-auditor", "shown": "An Auditor", "department": "Audit", "roles": "auditor"}
    assert admin.post("/users", form).status_code == 200
    last = stage.ledger()[-1]
    assert (last["action"], last["user"]) == ("user added", "the-admin")
    assert last["of"]["user"] == "an-auditor"
    assert last["of"]["roles"] == ["auditor"]
