"""Users of the console, for the console and for ``hanse user``."""

from hanse.clock import Clock, SystemClock
from hanse.node.office import NodeOffice
from hanse.node.people.users import ROLES, Session, UserDesk
from hanse.node.storage.users import ACTIVE, FRESH, OFF, User

__all__ = [
    "ACTIVE",
    "FRESH",
    "OFF",
    "ROLES",
    "NodeOffice",
    "Session",
    "User",
    "UserDesk",
    "user_desk",
]


def user_desk(office: NodeOffice, clock: Clock | None = None) -> UserDesk:
    """The users of the node of this office."""
    return UserDesk(office.store, office.ledger, office.identity, clock or SystemClock())
