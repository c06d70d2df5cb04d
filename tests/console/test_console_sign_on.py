"""Signing in at an OpenID Connect provider: who gets in as whom, and everything that keeps somebody out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from console_stage import ADDRESS, WORD, Bench, Browser, bench, new_node
from httpx2 import Response
from oidc_provider import CLIENT, SECRET, Provider

from hanse.cli.main import app as commands
from hanse.clock import ManualClock, SystemClock
from hanse.errors import Fault
from hanse.node.config import CONFIG_FILE, parse_config
from hanse.node.faces import facade
from hanse.node.faces.users import link_user, unlink_user, user_desk
from hanse.node.storage import tables

BACK = f"{ADDRESS}/sign-in/oidc/back"
PERSON = {"preferred_username": "Ada.Long@house.example", "name": "Ada Long", "groups": ["people", "hanse-law"],
          "department": "Law"}  # fmt: skip
SECTION = """
[console.oidc]
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "oidc.secret"
address = "{address}"
title = "House account"
create_users = {create}
[console.oidc.roles]
hanse-law = ["legal", "risk"]
hanse-admin = ["admin"]
"""


@contextmanager
def house(folder: Path, create: str = "true") -> Iterator[tuple[Bench, Provider]]:
    """A console and its provider."""
    clock = ManualClock(SystemClock().now() + timedelta(days=1))
    provider = Provider(clock, BACK, dict(PERSON))
    section = SECTION.format(issuer=provider.issuer, client=CLIENT, address=ADDRESS, create=create)
    (folder / CONFIG_FILE).write_text((folder / CONFIG_FILE).read_text() + section)
    (folder / "oidc.secret").write_text(SECRET + "\n")
    (folder / "oidc.secret").chmod(0o600)
    try:
        with bench(folder, clock) as made:
            yield made, provider
    finally:
        provider.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_node(tmp_path_factory.mktemp("sign-on") / "node")


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    """The node, without whom the test before let in, and with its first configuration afterwards."""
    before = (home / CONFIG_FILE).read_text()
    with facade.office_of(home) as office, office.store.database.writing() as connection:
        connection.execute(tables.sign_ons.delete())
        connection.execute(tables.users.delete().where(tables.users.c.name.not_like("the-%")))
        laid = tables.users.update().where(tables.users.c.name == "the-analyst")
        connection.execute(laid.values(roles='["analyst"]'))
    yield home
    (home / CONFIG_FILE).write_text(before)
    (home / "oidc.secret").unlink(missing_ok=True)


@pytest.fixture
def at_home(folder: Path) -> Iterator[tuple[Bench, Provider]]:
    with house(folder) as made:
        yield made


def leave(browser: Browser) -> str:
    """To the provider and back: the address that the provider sends the browser to."""
    answer = browser.get("/sign-in/oidc")
    assert answer.status_code == 303, answer.text
    found = httpx2.get(answer.headers["location"])
    assert found.status_code == 302
    return str(found.headers["location"]).removeprefix(ADDRESS)


def sign_on(browser: Browser) -> Response:
    return browser.get(leave(browser))


def refused(answer: Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert f"[{code}]" in answer.text
    assert "hanse-media-house=" not in answer.headers.get("set-cookie", "")


def test_a_person_of_the_house_gets_in_with_the_roles_that_follow(
    at_home: tuple[Bench, Provider],
) -> None:
    stage, provider = at_home
    browser = stage.anybody()
    assert 'href="/sign-in/oidc"' in browser.get("/sign-in").text
    answer = sign_on(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.get("/contracts").status_code == 200
    assert browser.get("/users").status_code == 403
    user = stage.users.user("ada.long")
    assert (user.shown, user.department, user.roles, user.state) == (
        "Ada Long", "Law", ("legal", "risk"), "active",
    )  # fmt: skip
    assert "code_verifier" in provider.form
    entered = stage.ledger()[-1]
    assert (entered["action"], entered["user"], entered["of"]) == (
        "sign-in", "ada.long", {"by": "sign-on provider"},
    )  # fmt: skip
    assert any(
        e["action"] == "user added" and e["of"]["user"] == "ada.long" for e in stage.ledger()
    )
    # The same person again is the same user, whatever the name is by now.
    provider.person["preferred_username"] = "ada.short"
    assert sign_on(stage.anybody()).status_code == 303
    assert {u.name for u in stage.users.all() if u.name.startswith("ada")} == {"ada.long"}


def test_roles_follow_the_provider_at_every_sign_in(at_home: tuple[Bench, Provider]) -> None:
    stage, provider = at_home
    sign_on(stage.anybody())
    provider.person["groups"] = "hanse-admin"
    assert sign_on(stage.anybody()).status_code == 303
    assert stage.users.user("ada.long").roles == ("admin",)
    changed = [e for e in stage.ledger() if e["action"] == "user changed"]
    assert changed[-1]["user"] == "sign-on provider"
    provider.person["groups"] = ["people"]
    refused(sign_on(stage.anybody()), 403, "oidc.role")
    stage.users.change("ada.long", by="tests", off=True)
    provider.person["groups"] = ["hanse-law"]
    refused(sign_on(stage.anybody()), 403, "login.off")


@pytest.mark.parametrize("groups", [None, [], ["others"], {"hanse-law": 1}, [["hanse-law"]], 7])
def test_nobody_without_a_role_gets_in(at_home: tuple[Bench, Provider], groups: Any) -> None:
    stage, provider = at_home
    provider.claims = {"groups": groups}
    refused(sign_on(stage.anybody()), 403, "oidc.role")
    assert "ada.long" not in {u.name for u in stage.users.all()}
    assert stage.ledger()[-1]["outcome"] == "oidc.role"


def test_local_accounts_still_open_the_console(at_home: tuple[Bench, Provider]) -> None:
    stage, _ = at_home
    assert stage.browser("legal").get("/contracts").status_code == 200
    sign_on(stage.anybody())
    for word in ("", WORD, "ada.long"):  # a user of the provider has no password
        answer = stage.anybody().post("/sign-in", {"name": "ada.long", "password": word})
        assert answer.status_code == 401


def test_a_name_that_is_taken_is_not_taken_over(at_home: tuple[Bench, Provider]) -> None:
    stage, provider = at_home
    provider.person |= {"preferred_username": "the-admin", "groups": ["hanse-admin"]}
    refused(sign_on(stage.anybody()), 403, "oidc.account")
    provider.person["preferred_username"] = "<script>"
    assert sign_on(stage.anybody()).status_code == 303  # 'script' is a name like any other
    provider.person |= {"preferred_username": "7", "sub": "another"}
    refused(sign_on(stage.anybody()), 403, "oidc.account")


def test_without_making_users_only_those_whom_an_admin_linked_get_in(folder: Path) -> None:
    with house(folder, "false") as (stage, _):
        refused(sign_on(stage.anybody()), 403, "oidc.account")
        office = stage.console.desk.office
        link_user(office, folder, "the-analyst", "subject-1", "tests")
        browser = stage.anybody()
        assert sign_on(browser).status_code == 303
        assert stage.users.user("the-analyst").roles == ("legal", "risk")
        with pytest.raises(Exception, match="the-analyst"):
            link_user(office, folder, "the-legal", "subject-1", "tests")
        unlink_user(office, "the-analyst", "tests")
        assert browser.get("/").headers["location"] == "/sign-in"
        refused(sign_on(stage.anybody()), 403, "oidc.account")
        done = [e["action"] for e in stage.ledger()]
        assert {"user linked", "user unlinked"} <= set(done)


_WRONG: dict[str, Any] = {
    "another issuer": {"iss": "https://login.other.example"},
    "another audience": {"aud": "another-client"},
    "several audiences and no party": {"aud": [CLIENT, "another-client"]},
    "another party": {"azp": "another-client"},
    "another nonce": {"nonce": "0" * 64},
    "no nonce": {"nonce": None},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that nobody can write": {"sub": "one\ud800"},
    "a nonce that nobody can write": {"nonce": "\ud800"},
    "times that are none": {"exp": "tomorrow"},
}


@pytest.mark.parametrize("what", _WRONG)
def test_a_token_that_says_something_wrong_opens_nothing(
    at_home: tuple[Bench, Provider], what: str
) -> None:
    stage, provider = at_home
    provider.claims = _WRONG[what]
    refused(sign_on(stage.anybody()), 401, "oidc.token")
    last = stage.ledger()[-1]
    assert (last["action"], last["outcome"]) == ("sign-in", "oidc.token")
    assert "ada.long" not in {u.name for u in stage.users.all()}


@pytest.mark.parametrize(("seconds", "opens"), [(-30, True), (-90, False)])
def test_a_token_is_over_when_its_time_is(
    at_home: tuple[Bench, Provider], seconds: int, opens: bool
) -> None:
    stage, provider = at_home
    now = int(provider.clock.now().timestamp())
    provider.claims = {"exp": now + seconds}
    assert (sign_on(stage.anybody()).status_code == 303) is opens
    provider.claims = {"iat": now - seconds}  # made in the future
    assert (sign_on(stage.anybody()).status_code == 303) is opens
    provider.claims = {"nbf": now - seconds}
    assert (sign_on(stage.anybody()).status_code == 303) is opens


@pytest.mark.parametrize("way", ["stolen", "none", "HS256", "unknown key", "weak"])
def test_a_signature_that_is_not_the_provider_s_opens_nothing(
    at_home: tuple[Bench, Provider], way: str
) -> None:
    stage, provider = at_home
    assert sign_on(stage.anybody()).status_code == 303  # keys are known from now on
    if way == "stolen":
        provider.steal_key()
    elif way == "unknown key":
        provider.name_of_key = "not-there"
    elif way == "weak":
        provider.public = [{**provider.public[0], "n": provider.public[0]["n"][:120]}]
        provider.forged = "RS256"
        stage.console.desk.sign_on._provider._known.pop("keys")  # type: ignore[union-attr]
        refused(sign_on(stage.anybody()), 502, "oidc.provider")
        return
    else:
        provider.forged = way
    refused(sign_on(stage.anybody()), 401, "oidc.token")


def test_a_provider_s_new_key_is_looked_up_and_not_more_often_than_that(
    at_home: tuple[Bench, Provider],
) -> None:
    stage, provider = at_home
    clock = provider.clock
    assert isinstance(clock, ManualClock)
    assert sign_on(stage.anybody()).status_code == 303
    clock.advance(timedelta(minutes=5))
    provider.turn_key()
    assert (
        sign_on(stage.anybody()).status_code == 303
    )  # ES256, under a name that was not there before
    before = provider.asked.count("keys")
    provider.name_of_key = "never-there"
    for _ in range(3):
        refused(sign_on(stage.anybody()), 401, "oidc.token")
    assert provider.asked.count("keys") == before


def test_a_state_serves_once_and_in_the_browser_that_left_with_it(
    at_home: tuple[Bench, Provider],
) -> None:
    stage, provider = at_home
    browser = stage.anybody()
    back = leave(browser)
    refused(stage.anybody().get(back), 401, "oidc.state")  # sent to somebody else: it is used up
    refused(browser.get(back), 401, "oidc.state")
    held = browser.client.cookies.get("hanse-media-house-oidc")
    assert held is None
    browser = stage.anybody()
    back = leave(browser)
    held = browser.client.cookies["hanse-media-house-oidc"]
    assert browser.get(back).status_code == 303
    browser.client.cookies.set("hanse-media-house-oidc", held)
    refused(browser.get(back), 401, "oidc.state")
    browser = stage.anybody()
    code = parse_qs(urlsplit(leave(browser)).query)["code"][0]
    refused(browser.get(f"/sign-in/oidc/back?code={code}&state=made-up"), 401, "oidc.state")
    assert provider.asked.count("token") == 1


def test_a_sign_in_that_takes_too_long_is_over(at_home: tuple[Bench, Provider]) -> None:
    stage, provider = at_home
    browser = stage.anybody()
    back = leave(browser)
    assert isinstance(provider.clock, ManualClock)
    provider.clock.advance(timedelta(minutes=11))
    refused(browser.get(back), 401, "oidc.state")


def test_a_code_of_another_sign_in_does_not_fit(at_home: tuple[Bench, Provider]) -> None:
    stage, _ = at_home
    mine, yours = stage.anybody(), stage.anybody()
    stolen = parse_qs(urlsplit(leave(mine)).query)["code"][0]
    back = parse_qs(urlsplit(leave(yours)).query)["state"][0]
    answer = yours.get(f"/sign-in/oidc/back?code={stolen}&state={back}")
    refused(answer, 401, "oidc.denied")  # the provider compares the PKCE verifier


def test_who_the_provider_refuses_stays_out_and_its_words_are_not_shown(
    at_home: tuple[Bench, Provider],
) -> None:
    stage, provider = at_home
    provider.refuses = "access_denied<script>"
    before = len(stage.ledger())
    answer = sign_on(stage.anybody())
    refused(answer, 401, "oidc.denied")
    assert "access_denied" not in answer.text
    assert len(stage.ledger()) == before  # anybody can come so far
    provider.refuses = ""
    browser = stage.anybody()
    back = leave(browser).partition("&iss=")[0]
    refused(browser.get(f"{back}&iss=https://login.other.example"), 401, "oidc.denied")


def test_a_provider_that_is_down_is_said_and_passwords_open(folder: Path) -> None:
    with house(folder) as (stage, provider):
        browser = stage.anybody()
        back = leave(browser)
        provider.close()
        refused(browser.get(back), 503, "oidc.unreachable")
        assert isinstance(provider.clock, ManualClock)
        provider.clock.advance(timedelta(hours=2))
        refused(stage.anybody().get("/sign-in/oidc"), 503, "oidc.unreachable")
        assert stage.browser("legal").get("/contracts").status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://login.other.example"},
        {"authorization_endpoint": "http://login.other.example/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
    ],
)
def test_a_provider_that_describes_itself_wrongly_is_not_gone_to(
    at_home: tuple[Bench, Provider], wrong: dict[str, Any]
) -> None:
    stage, provider = at_home
    provider.discovery = wrong
    refused(stage.anybody().get("/sign-in/oidc"), 502, "oidc.provider")


def test_a_provider_elsewhere_sends_the_node_to_no_service_of_this_machine(folder: Path) -> None:
    """Its discovery document could name http://localhost/..., where other services listen without a key."""
    asked: list[str] = []
    with house(folder) as (stage, provider):
        found = stage.console.desk.sign_on._provider  # type: ignore[union-attr]
        found.issuer = "https://login.house.example"
        document = {
            "issuer": found.issuer, "authorization_endpoint": "https://login.house.example/go",
            "token_endpoint": f"{provider.issuer}/token", "jwks_uri": f"{provider.issuer}/keys",
        }  # fmt: skip

        def read(method: str, place: str, *_rest: Any) -> dict[str, Any]:
            asked.append(place)
            return document

        found._read = read  # type: ignore[method-assign]
        browser = stage.anybody()
        away = browser.get("/sign-in/oidc").headers["location"]
        state = parse_qs(urlsplit(away).query)["state"][0]
        refused(browser.get(f"/sign-in/oidc/back?state={state}&code=c"), 502, "oidc.provider")
    assert asked == ["https://login.house.example/.well-known/openid-configuration"]


def test_what_is_not_seen_in_a_name_is_left_out(at_home: tuple[Bench, Provider]) -> None:
    stage, provider = at_home
    provider.person["name"] = "Ada \u202egnoL\u200b\ud800"
    assert sign_on(stage.anybody()).status_code == 303
    assert stage.users.user("ada.long").shown == "Ada gnoL"


def test_nothing_secret_is_in_logs_pages_or_the_ledger(
    at_home: tuple[Bench, Provider], caplog: pytest.LogCaptureFixture
) -> None:
    stage, provider = at_home
    with caplog.at_level(logging.DEBUG):
        browser = stage.anybody()
        assert sign_on(browser).status_code == 303
    said = (
        caplog.text
        + repr(stage.ledger())
        + browser.get("/account").text
        + repr(stage.console.desk.sign_on)
    )
    for hidden in (
        SECRET,
        provider.tokens[0],
        browser.client.cookies["hanse-media-house"],
        "subject-1",
    ):
        assert hidden not in said


def test_signing_in_goes_nowhere_else_and_ends_the_session_before(
    at_home: tuple[Bench, Provider],
) -> None:
    stage, _ = at_home
    browser = stage.browser("legal")
    old = browser.client.cookies["hanse-media-house"]
    answer = browser.get(
        leave(browser) + "&back=https://elsewhere.example&next=//elsewhere.example"
    )
    assert answer.headers["location"] == "/"
    assert stage.users.session(old) is None


def test_without_a_provider_there_is_no_such_door(folder: Path) -> None:
    with bench(folder) as stage:
        assert "oidc" not in stage.anybody().get("/sign-in").text
        for path in ("/sign-in/oidc", "/sign-in/oidc/back?code=1&state=2"):
            assert stage.anybody().get(path).status_code == 404


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [
        (SECRET, 0o640, "others"),
        ("", 0o600, "one line"),
        ("a\nb", 0o600, "one line"),
        (None, 0o600, "read"),
    ],
)
def test_a_secret_that_others_can_read_keeps_the_console_from_starting(
    folder: Path, content: str | None, mode: int, what: str
) -> None:
    section = SECTION.format(
        issuer="https://login.example", client=CLIENT, address=ADDRESS, create="true"
    )
    (folder / CONFIG_FILE).write_text((folder / CONFIG_FILE).read_text() + section)
    if content is not None:
        (folder / "oidc.secret").write_text(content)
        (folder / "oidc.secret").chmod(mode)
    with pytest.raises(Fault, match=what) as fault, bench(folder):
        pass
    assert fault.value.code == "oidc.secret"
    assert SECRET not in str(fault.value)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"https://login.example"', '"http://login.example"', "console.oidc.issuer"),
        ('"https://login.example"', '"https://a@login.example"', "console.oidc.issuer"),
        ("hanse-admin = ", 'hanse-x = ["root"]\nhanse-admin = ', "console.oidc.roles.hanse-x[1]"),
        ("create_users", "make_users", "console.oidc.make_users"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_with_its_place(
    folder: Path, old: str, new: str, where: str
) -> None:
    section = SECTION.format(
        issuer="https://login.example", client=CLIENT, address=ADDRESS, create="true"
    )
    text = (folder / CONFIG_FILE).read_text() + section
    assert parse_config(text, folder).console.oidc is not None
    with pytest.raises(Fault) as fault:
        parse_config(text.replace(old, new), folder)
    assert fault.value.where == where


def test_an_admin_links_users_on_the_page_and_by_the_api(folder: Path) -> None:
    with house(folder, "false") as (stage, _):
        admin = stage.browser("admin")
        assert "House account" in admin.get("/users").text
        assert admin.post("/users/the-risk/account", {"subject": "subject-1"}).status_code == 303
        assert sign_on(stage.anybody()).status_code == 303
        rows = {u["name"]: u["provider"] for u in admin.api("GET", "/users").json()["rows"]}
        assert (rows["the-risk"], rows["the-legal"]) == (True, False)
        assert admin.post("/users/the-risk/account", {"off": "1"}).status_code == 303
        refused(sign_on(stage.anybody()), 403, "oidc.account")
        made = admin.api("POST", "/users/the-legal/account", json={"subject": "subject-1"})
        assert made.json() == {"name": "the-legal", "provider": True}
        assert admin.api("POST", "/users/nobody/account", json={"subject": "2"}).status_code == 404
        assert admin.api("DELETE", "/users/the-legal/account").status_code == 200
        assert admin.api("DELETE", "/users/the-legal/account").json()["code"] == "oidc.unlinked"
        other = stage.browser("operator")
        assert (
            other.api("POST", "/users/the-legal/account", json={"subject": "1"}).status_code == 403
        )
        stage.users.change("the-risk", by="tests", roles=["risk"])


def test_the_command_line_links_and_lists(folder: Path) -> None:
    from typer.testing import CliRunner

    run = CliRunner()
    with facade.office_of(folder) as office:
        user_desk(office).add("ada", "Ada", "Law", ["legal"], "tests")
    missing = run.invoke(commands, ["user", "link", "ada", "subject-9", "--node", str(folder)])
    assert getattr(missing.exception, "code", "") == "oidc.none"
    section = SECTION.format(
        issuer="https://login.example", client=CLIENT, address=ADDRESS, create="true"
    )
    (folder / CONFIG_FILE).write_text((folder / CONFIG_FILE).read_text() + section)
    (folder / "oidc.secret").write_text(SECRET)
    (folder / "oidc.secret").chmod(0o600)
    done = run.invoke(commands, ["user", "link", "ada", "subject-9", "--node", str(folder)])
    assert done.exit_code == 0, done.output
    listed = run.invoke(commands, ["user", "list", "--json", "--node", str(folder)])
    assert '"provider": true' in listed.output
    assert run.invoke(commands, ["user", "unlink", "ada", "--node", str(folder)]).exit_code == 0
