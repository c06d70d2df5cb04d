"""A console over a node's folder, with users of every role, and clients that are signed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from httpx2 import Response

from hanse.clock import ManualClock
from hanse.console import Console, Settings
from hanse.console.matrix import ROLES
from hanse.node.faces import facade
from hanse.node.faces.users import UserDesk

WORD = "a heron reads the ledger"  # everybody's password here
_KEY = re.compile(r'name="form_key" value="([0-9a-f]+)"')
ADDRESS = "http://127.0.0.1"


@dataclass
class Browser:
    """A browser: it keeps cookies, and sends the key of the forms that it was shown."""

    client: TestClient
    key: str = ""
    role: str = ""
    seen: list[str] = field(default_factory=list)

    def get(self, path: str, **more: Any) -> Response:
        answer = self.client.get(path, **more)
        found = _KEY.search(answer.text)
        if found:
            self.key = found[1]
        return answer

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Response:
        return self.client.post(path, data={"form_key": self.key, **(data or {})}, **more)

    def api(self, method: str, path: str, **more: Any) -> Response:
        """A call of the API from a page of the console."""
        headers = {"x-hanse-form": self.key, **more.pop("headers", {})}
        return self.client.request(method, f"/api/v1{path}", headers=headers, **more)


@dataclass
class Bench:
    """A console in this process, and its people."""

    console: Console
    folder: Path
    _held: ExitStack

    def anybody(self) -> Browser:
        """A browser that nobody signed in with."""
        client = TestClient(
            self.console.app,
            base_url=ADDRESS,
            follow_redirects=False,
            raise_server_exceptions=False,
        )
        self._held.callback(client.close)
        return Browser(client)

    def browser(self, role: str) -> Browser:
        """A browser in which somebody with this role is signed in."""
        made = self.anybody()
        answer = made.post("/sign-in", {"name": f"the-{role}", "password": WORD})
        assert answer.status_code == 303, answer.text
        made.role = role
        assert made.get("/account").status_code == 200
        return made

    @property
    def users(self) -> UserDesk:
        return self.console.desk.users

    def ledger(self, kind: str = "console") -> list[dict[str, Any]]:
        """What the ledger says, oldest first."""
        return [dict(e.body) for e in self.console.desk.office.ledger.entries(kind=kind)]


@contextmanager
def bench(
    folder: Path, clock: ManualClock | None = None, settings: Settings | None = None
) -> Iterator[Bench]:
    """The console of the node in ``folder``."""
    # Cheap hashes: what is tested here is what is done with them.
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with ExitStack() as held:
        office = held.enter_context(facade.office_of(folder, clock))
        used = clock or facade.SystemClock()
        users = UserDesk(office.store, office.ledger, office.identity, used, hasher=hasher)
        for role in ROLES:
            if office.store.users.get(f"the-{role}") is None:
                _, password = users.add(f"the-{role}", f"The {role}", "House", [role], "tests")
                session = users.sign_in(f"the-{role}", password)
                users.choose_password(session, password, WORD)
        console = Console(office, folder, settings, used, users)
        yield Bench(console, folder, held)


def new_node(
    folder: Path, party: str = "media-house", organisation: str = "A <b>bold</b> & media company"
) -> Path:
    """A node with no partners and no contracts."""
    facade.create_node(folder, party, organisation, ("127.0.0.1", 0))
    return folder
