"""What every page of a console works with: the node's office, its users, its running process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hanse.clock import Clock, SystemClock
from hanse.console.asks import Asks
from hanse.console.limits import Buckets
from hanse.console.settings import Settings
from hanse.errors import HanseError, Refusal
from hanse.node.faces import facade
from hanse.node.faces.users import NodeOffice, UserDesk, sign_on

Document = dict[str, Any]


class Desk:
    """One console's desk. ``folder`` is the node's; without it nothing that needs the running node works."""

    def __init__(
        self, office: NodeOffice, folder: Path | None, settings: Settings, clock: Clock | None = None,
        users: UserDesk | None = None,
    ) -> None:  # fmt: skip
        self.office = office
        self.folder = folder
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.users = users or UserDesk(office.store, office.ledger, office.identity, self.clock)
        self.sign_on = None if folder is None else sign_on(office, folder, self.users, self.clock)
        self.asks = Asks(self.ask)
        self.sign_ins = Buckets(self.clock, burst=20, seconds=6)  # by address
        self.requests = Buckets(self.clock, burst=300, seconds=0.02)  # by session

    @property
    def party(self) -> str:
        return self.office.party

    @property
    def organisation(self) -> str:
        return self.office.identity.card.organisation

    @property
    def cookie(self) -> str:
        """The session's cookie. Cookies are shared by all ports of a host, so it carries the party's name."""
        name = f"hanse-{self.party}"
        return f"__Host-{name}" if self.settings.secure else name

    def ask(self, document: Document, watch: Any = lambda _document: None) -> Document:
        """Ask the running node; `Refusal` ``node.stopped`` if it does not run."""
        if self.folder is None:
            raise Refusal("node.stopped", "this console has no running node behind it",
                          remedy="start the console with the node's folder")  # fmt: skip
        return facade.ask(self.folder, document, watch)

    def status(self) -> Document | None:
        """The running node's status; None if it does not run."""
        try:
            return self.ask({"verb": "status"})
        except HanseError as error:
            if error.code == "node.stopped":
                return None
            raise

    def take_in_partners(self) -> bool:
        """Let the running node know of changed partners; False if it does not run."""
        return self.folder is not None and facade.take_in_partners(self.folder)

    def record(self, action: str, user: str, of: Document, outcome: str) -> None:
        """Write an action into the node's ledger."""
        body = {"action": action, "user": user, "of": of, "outcome": outcome}
        self.office.ledger.append("console", body)
