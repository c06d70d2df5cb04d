"""The demo's last chapter: the same result in the asking organisation's console."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from hanse.errors import Fault

USER, DEPARTMENT = "visitor", "Demo"
_PATIENCE = 20.0


@dataclass(frozen=True)
class Shown:
    """A console that serves: where, and with what a visitor signs in."""

    url: str
    password: str


@contextmanager
def shown(node: Path) -> Iterator[Shown]:
    """The console of the node in ``node``, beside its process, with one user who may ask and read everything."""
    from hanse.console import Settings, serving
    from hanse.node.faces import facade
    from hanse.node.faces.users import user_desk

    with facade.office_of(node) as office:
        _, password = user_desk(office).add(
            USER, "Visitor", DEPARTMENT, ["analyst", "auditor"], "the demo"
        )
    with serving(node, Settings(port=0)) as console:
        yield Shown(console.url, password)


def check(node: Path, url: str, job: str, figure: str) -> str:
    """Read the job's page as a person would; its address. `Fault` ``demo.console`` if ``figure`` is not on it."""
    return read(node, url, f"/jobs/{job}", figure)


def read(node: Path, url: str, path: str, figure: str) -> str:
    """Read a page as a person would; its address. `Fault` ``demo.console`` if ``figure`` is not on it."""
    with httpx2.Client(base_url=url, timeout=_PATIENCE, follow_redirects=True) as browser:
        browser.headers["Authorization"] = f"Bearer {_session(node, browser)}"
        page = browser.get(path)
    if page.status_code != 200 or figure not in page.text:
        raise Fault("demo.console", f"the console does not show the result (status {page.status_code})",
                    remedy="report it as a defect, with the folder", where=path)  # fmt: skip
    return url + path


def _session(node: Path, browser: httpx2.Client) -> str:
    """A session of a user made for this check, who has changed the password that was handed over."""
    from hanse.node.faces import facade
    from hanse.node.faces.users import user_desk

    with facade.office_of(node) as office:
        users = user_desk(office)
        _, first = users.add(
            "checker", "The check of the demo", DEPARTMENT, ["analyst"], "the demo"
        )
        chosen = first + first[::-1]
        users.choose_password(users.sign_in("checker", first), first, chosen)
    answer = browser.post("/api/v1/session", json={"name": "checker", "password": chosen})
    if answer.status_code != 201:
        raise Fault("demo.console", f"nobody can sign in to the console (status {answer.status_code})",
                    remedy="report it as a defect, with the folder")  # fmt: skip
    handle: str = answer.json()["handle"]
    return handle


def wait_for_ctrl_c() -> None:
    """Return when the reader has seen enough."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
