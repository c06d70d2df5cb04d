"""Users of the console, for the console and for ``hanse user``."""

from pathlib import Path

from hanse.clock import Clock, SystemClock
from hanse.errors import Refusal
from hanse.node.config import load_config
from hanse.node.office import NodeOffice
from hanse.node.people.sign_on import Begun, SignOn, secret_of
from hanse.node.people.users import ROLES, Session, UserDesk
from hanse.node.storage.users import ACTIVE, FRESH, OFF, User

__all__ = [
    "ACTIVE",
    "FRESH",
    "OFF",
    "ROLES",
    "Begun",
    "NodeOffice",
    "Session",
    "SignOn",
    "User",
    "UserDesk",
    "link_user",
    "linked",
    "sign_on",
    "unlink_user",
    "user_desk",
]


def user_desk(office: NodeOffice, clock: Clock | None = None) -> UserDesk:
    """The users of the node of this office."""
    return UserDesk(office.store, office.ledger, office.identity, clock or SystemClock())


def sign_on(
    office: NodeOffice, folder: Path, users: UserDesk, clock: Clock | None = None
) -> SignOn | None:
    """Signing in at the provider of ``[console.oidc]``, or None without that. Raises `Fault` ``oidc.secret``."""
    settings = load_config(folder).console.oidc
    if settings is None:
        return None
    secret = secret_of(settings, folder)
    return SignOn(
        settings, secret, users, office.store.sign_ons, office.ledger, clock or SystemClock()
    )


def link_user(office: NodeOffice, folder: Path, name: str, subject: str, by: str) -> None:
    """Say that a subject of the provider is this user. `Refusal` ``oidc.none`` without a provider."""
    found = sign_on(office, folder, user_desk(office))
    if found is None:
        raise Refusal("oidc.none", "this node's console has no sign-on provider",
                      remedy="write [console.oidc] into hanse.toml first")  # fmt: skip
    found.link(name, subject, by)


def unlink_user(office: NodeOffice, name: str, by: str) -> None:
    """No subject is this user any more, and its sessions end. `Refusal` ``user.unknown``, ``oidc.unlinked``."""
    user = user_desk(office).user(name)
    if not office.store.sign_ons.remove(user.name):
        raise Refusal("oidc.unlinked", f"no account of a provider is the user {name!r}",
                      remedy="see 'hanse user list'")  # fmt: skip
    office.store.users.close_all(user.name)
    body = {"action": "user unlinked", "user": by, "of": {"user": name}, "outcome": "done"}
    office.ledger.append("console", body)


def linked(office: NodeOffice) -> frozenset[str]:
    """Names of users whom an account of a provider is."""
    return office.store.sign_ons.names()
