"""Signing in to the console at an OpenID Connect provider: from a provider's proof to a user and a session.

Who comes is known by (issuer, subject), never by a name, which can change hands. Roles follow from a claim by the
node's configuration, at every sign-in anew; somebody of whom no role follows stays outside. A user is made at the
first sign-in only if the configuration says so; else an admin says which user a subject is (`link`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hanse.clock import Clock
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.ledger import Ledger
from hanse.node.config import Oidc
from hanse.node.people.provider import Provider
from hanse.node.people.users import Session, UserDesk
from hanse.node.storage.sign_ons import SignOns

SECRET_IN_ENVIRONMENT = "HANSE_OIDC_CLIENT_SECRET"  # noqa: S105 - a variable's name
PATIENCE = timedelta(minutes=10)  # from leaving for the provider to coming back
_MOST_PENDING = 2000
_MOST_GROUPS = 1000
_BY = "sign-on provider"
# What fails before the provider has said of anybody that it knows who that is.
_OUTSIDE = ("oidc.denied", "oidc.unreachable", "oidc.provider")
_NOT_IN_NAMES = re.compile("[^a-z0-9.-]+")
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that left for the provider: where the browser goes, and what it holds meanwhile."""

    address: str
    held: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Pending:
    held: bytes
    nonce: str
    verifier: str
    began: float

    def __repr__(self) -> str:
        return "_Pending()"


class SignOn:
    """Sign-ins at one provider. Thread-safe."""

    def __init__(
        self, settings: Oidc, secret: str | None, users: UserDesk, accounts: SignOns, ledger: Ledger, clock: Clock,
        entropy: Entropy | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self._provider = Provider(settings, secret, clock)
        self._users = users
        self._accounts = accounts
        self._ledger = ledger
        self._clock = clock
        self._entropy = entropy or SystemEntropy()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._lock = threading.Lock()

    # --- out and back ---------------------------------------------------------------------------

    def begin(self) -> Begun:
        """A new sign-in. Raises `Fault` ``oidc.unreachable`` or ``oidc.provider``."""
        state, nonce, verifier, held = (self._entropy.take(32).hex() for _ in range(4))
        address = self._provider.address(state, nonce, verifier)
        with self._lock:
            self._pending[_hash(state)] = _Pending(
                hashlib.sha256(held.encode()).digest(), nonce, verifier, self._clock.monotonic()
            )
            while len(self._pending) > _MOST_PENDING:
                self._pending.popitem(last=False)
        return Begun(address, held)

    def end(self, held: str, state: str, code: str, error: str = "", issuer: str = "") -> Session:
        """The session of who came back with ``code``; a state serves once, and only the browser that left with it.

        Raises `Refusal` ``oidc.state``, ``oidc.denied``, ``oidc.token``, ``oidc.role`` or ``oidc.account``, and
        `Fault` ``oidc.unreachable`` or ``oidc.provider``. Whom the provider let in and this refuses is noted.
        """
        pending = self._take(state, held)
        try:
            if (
                issuer and issuer != self._provider.issuer
            ):  # RFC 9207: another provider sent the browser
                raise Refusal("oidc.denied", "another provider sent the answer",
                              remedy="sign in again")  # fmt: skip
            if error or not code:
                raise Refusal("oidc.denied", "the provider let nobody in",
                              remedy="sign in again, or ask who looks after the accounts there")  # fmt: skip
            claims = self._provider.claims(code[:4096], pending.verifier, pending.nonce)
            return self._admit(claims)
        except HanseError as refused:
            if refused.code not in _OUTSIDE:  # or anybody could fill the ledger
                self._note("sign-in", _BY, {"by": _BY}, refused.code)
            raise

    def _take(self, state: str, held: str) -> _Pending:
        with self._lock:
            pending = self._pending.pop(_hash(state), None)
        proof = hashlib.sha256(held.encode()).digest()
        late = (
            pending is not None
            and self._clock.monotonic() - pending.began > PATIENCE.total_seconds()
        )
        if pending is None or late or not hmac.compare_digest(pending.held, proof):
            raise Refusal("oidc.state", "this sign-in began in another browser, took too long, or was used before",
                          remedy="sign in again, and do not go back to pages of the provider")  # fmt: skip
        return pending

    # --- users ----------------------------------------------------------------------------------

    def link(self, name: str, subject: str, by: str) -> None:
        """``subject`` of the provider is the user ``name`` now. `Refusal` ``user.unknown`` or ``oidc.taken``."""
        user = self._users.user(name)
        if not 0 < len(subject) <= 255 or not subject.isprintable():
            raise Refusal("oidc.subject", "the subject is empty, too long or not printable",
                          remedy="give the claim 'sub' of the provider's ID token")  # fmt: skip
        known = self._accounts.user(self._provider.issuer, subject)
        if known is not None and known != name:
            raise Refusal("oidc.taken", f"the subject is the user {known!r} already",
                          remedy=f"take it off first: hanse user unlink {known}")  # fmt: skip
        self._accounts.put(self._provider.issuer, subject, user.name, self._clock.now())
        self._note("user linked", by, {"user": name, "issuer": self._provider.issuer})

    def _admit(self, claims: Document) -> Session:
        roles = self._roles(claims)
        name = self._accounts.user(self._provider.issuer, str(claims["sub"]))
        if name is None:
            name = self._made(claims, roles)
        return self._users.enter(name, _BY, roles)

    def _roles(self, claims: Document) -> tuple[str, ...]:
        found = _claim(claims, self.settings.roles_claim)
        values = [found] if isinstance(found, str) else found
        given = values[:_MOST_GROUPS] if isinstance(values, list) else []
        roles = [r for v in given if isinstance(v, str) for r in self.settings.roles.get(v, ())]
        if not roles:
            raise Refusal("oidc.role", "the provider knows you, but gives you no role of this console",
                          remedy="ask who looks after the accounts there for a group of this console")  # fmt: skip
        return tuple(dict.fromkeys(roles))

    def _made(self, claims: Document, roles: tuple[str, ...]) -> str:
        """A new user for a subject that is none yet."""
        if not self.settings.create_users:
            raise Refusal("oidc.account", "the provider knows you, but you are no user of this console",
                          remedy="ask an admin of this console: hanse user link NAME SUBJECT")  # fmt: skip
        said = _claim(claims, self.settings.name_claim)
        name = (
            _NOT_IN_NAMES.sub("-", said.lower().partition("@")[0]).strip("-.")
            if isinstance(said, str)
            else ""
        )
        shown = _told(claims.get("name")) or name
        department = (
            _told(_claim(claims, self.settings.department_claim)) or self.settings.department
        )
        try:
            # Its password is thrown away: nobody knows one until an admin resets it.
            user, _ = self._users.add(name, shown, department, roles, _BY)
        except Refusal as error:
            # Also if the name is there: whoever has it is somebody else until an admin says otherwise.
            raise Refusal("oidc.account", "no user of this console can be made of the name that the provider gives",
                          remedy="ask an admin of this console: hanse user link NAME SUBJECT",
                          detail=error.code) from error  # fmt: skip
        self._accounts.put(self._provider.issuer, str(claims["sub"]), user.name, self._clock.now())
        return user.name

    def _note(self, action: str, user: str, of: dict[str, object], outcome: str = "done") -> None:
        self._ledger.append(
            "console", {"action": action, "user": user, "of": of, "outcome": outcome}
        )


def secret_of(settings: Oidc, folder: Path) -> str | None:
    """The client's secret: from its file (in the node's folder, for its owner alone), else the environment.

    Raises `Fault` ``oidc.secret``; never with the secret in it.
    """
    if settings.client_secret_file is None:
        return os.environ.get(SECRET_IN_ENVIRONMENT) or None
    path = folder / settings.client_secret_file
    try:
        with path.open(encoding="utf-8") as file:
            shared = os.fstat(file.fileno()).st_mode & 0o077
            secret = file.read(4097).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _secret("cannot be read", "check console.oidc.client_secret_file", path) from error
    if shared:
        raise _secret("can be read by others", "chmod 600 it, and change the secret", path)
    if not 0 < len(secret) <= 4096 or "\n" in secret:
        raise _secret("does not hold one line", "write the secret alone into it", path)
    return secret


def _secret(what: str, remedy: str, path: Path) -> Fault:
    return Fault("oidc.secret", f"the file with the sign-on provider's client secret {what}",
                 remedy=remedy, where=str(path))  # fmt: skip


def _claim(claims: Document, name: str) -> object:
    """A claim by its whole name, else by its path (``realm_access.roles``); None without one."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _told(value: object) -> str:
    """A claim that people read, without what is not seen, such as marks that turn the direction of writing."""
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value if letter.isprintable()).strip()[:64]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
