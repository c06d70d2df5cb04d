"""Who may use the console: users with roles, passwords (argon2) and one-time codes, sessions, lock-outs.

A handle (what a browser holds) is random and kept as its hash; signing in always makes a new one. A name that is
not there is treated like one that is, in what is said and in how long it takes. Every change is in the ledger.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hanse.clock import Clock
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Refusal
from hanse.ledger import Ledger
from hanse.node.identity.keys import Identity
from hanse.node.storage.store import Store
from hanse.node.storage.users import ACTIVE, FRESH, OFF, StoredSession, User

ROLES = ("analyst", "data-owner", "legal", "risk", "operator", "manager", "auditor", "admin")
IDLE = timedelta(hours=1)
LONGEST = timedelta(hours=12)
FREE_TRIES = 5  # then every further one costs a wait, twice as long each time
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
_NAME = re.compile("[a-z][a-z0-9.-]{1,39}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_STEP_SECONDS = 30
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that is taken for another
_AT_ONCE = threading.BoundedSemaphore(
    2
)  # a hash takes 64 MiB: a flood of sign-ins must not take the machine


@dataclass(frozen=True, slots=True)
class Session:
    """An open session: what the browser holds (only when it is made), its user, what its forms carry."""

    handle: str
    user: User
    form: str
    key: str

    def __repr__(self) -> str:
        return f"Session({self.user.name!r})"


class UserDesk:
    """The users of one node. Thread-safe."""

    def __init__(
        self, store: Store, ledger: Ledger, identity: Identity, clock: Clock,
        entropy: Entropy | None = None, hasher: PasswordHasher | None = None,
    ) -> None:  # fmt: skip
        self._users = store.users
        self._ledger = ledger
        self._party = identity.party
        self._seal = _sealing_key(identity)
        self._clock = clock
        self._entropy = entropy or SystemEntropy()
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hash("nobody has this password")
        self._signing = (
            threading.Lock()
        )  # one after the other, or tries at once would not be counted

    # --- administration -------------------------------------------------------------------------

    def all(self) -> list[User]:
        """Everybody, by department."""
        return self._users.all()

    def user(self, name: str) -> User:
        """The user; `Refusal` ``user.unknown``."""
        found = self._users.get(name)
        if found is None:
            raise Refusal("user.unknown", f"there is no user {name[:64]!r}",
                          remedy="see 'hanse user list'")  # fmt: skip
        return found

    def open_sessions(self) -> dict[str, int]:
        """How many sessions each user has open."""
        return self._users.sessions_of(user.name for user in self.all())

    def add(
        self, name: str, shown: str, department: str, roles: Iterable[str], by: str
    ) -> tuple[User, str]:
        """A new user and the password to hand over, which must be changed at the first sign-in.

        Raises `Refusal` ``user.name``, ``user.text``, ``user.role``, ``user.exists``.
        """
        if not _NAME.fullmatch(name):
            raise Refusal("user.name", f"{name[:64]!r} cannot be a user's name",
                          remedy="use 2 to 40 small letters, digits, dots and hyphens, a letter first")  # fmt: skip
        if self._users.get(name) is not None:
            raise Refusal("user.exists", f"there is a user {name!r} already",
                          remedy="choose another name, or change that user")  # fmt: skip
        password = self._made_up()
        user = User(
            name, _text(shown, "name"), _text(department, "department"), _roles(roles), FRESH,
            self._hash(password), None, 0, self._clock.now(),
        )  # fmt: skip
        self._keep(user, "added", by)
        return user, password

    def change(
        self, name: str, *, by: str, roles: Iterable[str] | None = None, department: str | None = None,
        off: bool | None = None,
    ) -> User:  # fmt: skip
        """Other roles, another department, switched off or on again. The last admin stays one.

        Raises `Refusal` ``user.unknown``, ``user.role``, ``user.last-admin``.
        """
        user = before = self.user(name)
        if roles is not None:
            user = replace(user, roles=_roles(roles))
        if department is not None:
            user = replace(user, department=_text(department, "department"))
        if off is not None and off != (user.state == OFF):
            user = replace(user, state=OFF if off else ACTIVE)
        if (
            _rules(before)
            and not _rules(user)
            and not any(_rules(u) for u in self.all() if u.name != name)
        ):
            raise Refusal("user.last-admin", f"{name} is the only admin",
                          remedy="make somebody else an admin first")  # fmt: skip
        self._keep(user, "changed", by)
        if user.state == OFF:
            self._users.close_all(name)
        return user

    def reset(self, name: str, by: str) -> str:
        """A new password to hand over; one-time codes and lock-outs are taken off, sessions end."""
        user, password = self.user(name), self._made_up()
        state = OFF if user.state == OFF else FRESH
        self._keep(
            replace(user, state=state, password=self._hash(password), code=None), "reset", by
        )
        self._users.forgive(name)
        self._users.close_all(name)
        return password

    # --- signing in -----------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, code: str = "") -> Session:
        """A new session. Raises `Refusal` ``login.failed`` (whatever was wrong) or ``login.locked``."""
        with self._signing:
            return self._sign_in(name[:64], password, code)

    def _sign_in(self, name: str, password: str, code: str) -> Session:
        now = self._clock.now()
        failed, until = self._users.tries_of(name)
        if until is not None and now < until and failed >= FREE_TRIES:
            minutes = max(1, round((until - now).total_seconds() / 60))
            raise Refusal("login.locked", f"too many tries failed; the next one is looked at in {minutes} min",
                          remedy="wait, or ask your admin for 'hanse user reset'")  # fmt: skip
        user = self._users.get(name)
        right = self._verify(user.password if user is not None else self._nobody, password)
        if user is None or not right or user.state == OFF or not self._code_fits(user, code, now):
            self._failed(name, failed + 1, now)
            raise Refusal("login.failed", "name, password or code is wrong",
                          remedy="try again; after five tries there is a wait")  # fmt: skip
        if failed:
            self._users.forgive(name)
        self._users.sweep(now - LONGEST, now - IDLE)
        session = self._open(user, now)
        self._record("sign-in", name, {})
        return session

    def enter(self, name: str, vouched_by: str, roles: Iterable[str]) -> Session:
        """A new session for whom somebody else vouches, with these roles from now on.

        Raises `Refusal` ``login.off``, ``user.unknown`` or ``user.last-admin``.
        """
        with self._signing:
            user = self.user(name)
            if user.state == OFF:
                raise Refusal("login.off", "this user is switched off",
                              remedy="ask an admin of this console")  # fmt: skip
            if set(user.roles) != set(roles):
                user = self.change(name, by=vouched_by, roles=roles)
            if user.state == FRESH:  # a password that somebody else made, and now nobody needs
                user = replace(user, state=ACTIVE, password=self._hash(self._made_up()))
                self._keep(user, "password voided", vouched_by)
            now = self._clock.now()
            self._users.sweep(now - LONGEST, now - IDLE)
            session = self._open(user, now)
            self._record("sign-in", name, {"by": vouched_by})
            return session

    def session(self, handle: str) -> Session | None:
        """The open session that a browser's handle names, if it is one."""
        if not handle or len(handle) > 128:
            return None
        key = _key(handle)
        found = self._users.session(key)
        if found is None:
            return None
        stored, user = found
        now = self._clock.now()
        if now - stored.began > LONGEST or now - stored.seen > IDLE or user.state == OFF:
            self._users.close(key)
            return None
        if now - stored.seen > timedelta(minutes=1):  # not at every click: it is a write
            self._users.see(key, now)
        return Session("", user, stored.form, key)

    def sign_out(self, session: Session) -> None:
        """End the session."""
        self._users.close(session.key)

    def choose_password(self, session: Session, old: str, new: str) -> Session:
        """Change one's own password; all other sessions end and this one gets a new handle.

        Raises `Refusal` ``login.failed``, ``login.locked`` or ``user.password``.
        """
        user = self.user(session.user.name)
        self._check_own(user, old)
        _check_password(new, user.name, old)
        user = replace(user, password=self._hash(new), state=ACTIVE)
        self._keep(user, "password", user.name)
        self._users.close_all(user.name)
        return self._open(user, self._clock.now())

    # --- one-time codes -------------------------------------------------------------------------

    def new_code_secret(self) -> str:
        """A secret for an authenticator, in base 32. It holds once `start_codes` has seen a code of it."""
        import pyotp  # noqa: PLC0415 (only where codes are used)

        return pyotp.random_base32()

    def code_address(self, user: User, secret: str) -> str:
        """The secret as authenticators take it."""
        import pyotp  # noqa: PLC0415

        return pyotp.TOTP(secret).provisioning_uri(
            name=user.name, issuer_name=f"Hanse {self._party}"
        )

    def start_codes(self, session: Session, password: str, secret: str, code: str) -> None:
        """Ask for one-time codes from now on. Raises `Refusal` ``user.code`` unless ``code`` is of the secret."""
        user = self.user(session.user.name)
        self._check_own(user, password)
        step = _step_of(secret, code, self._clock.now(), after=0)
        if step is None:
            raise Refusal("user.code", "the code is not one of this secret",
                          remedy="check the clock of the authenticator's device, and give a new code")  # fmt: skip
        nonce = self._entropy.take(12)
        sealed = AESGCM(self._seal).encrypt(nonce, secret.encode(), user.name.encode())
        self._keep(
            replace(user, code=(nonce + sealed).hex(), code_step=step), "codes on", user.name
        )

    def stop_codes(self, session: Session, password: str) -> None:
        """Ask for no one-time codes any more."""
        user = self.user(session.user.name)
        self._check_own(user, password)
        self._keep(replace(user, code=None), "codes off", user.name)

    def _code_fits(self, user: User, code: str, now: datetime) -> bool:
        """Whether the user needs no code, or this is one of now that was not used before."""
        if user.code is None:
            return True
        sealed = bytes.fromhex(user.code)
        try:
            secret = (
                AESGCM(self._seal).decrypt(sealed[:12], sealed[12:], user.name.encode()).decode()
            )
        except InvalidTag:
            return False  # the node has other keys than when codes were started: an admin resets
        step = _step_of(secret, code, now, after=user.code_step)
        return step is not None and self._users.use_code(user.name, step)

    # --- inside ---------------------------------------------------------------------------------

    def _check_own(self, user: User, password: str) -> None:
        failed, until = self._users.tries_of(user.name)
        now = self._clock.now()
        locked = until is not None and now < until and failed >= FREE_TRIES
        if locked or not self._verify(user.password, password):
            if not locked:
                self._failed(user.name, failed + 1, now)
            raise Refusal("login.failed", "the present password is wrong",
                          remedy="give the password with which you signed in")  # fmt: skip

    def _failed(self, name: str, failed: int, now: datetime) -> None:
        wait = timedelta(0)
        if failed >= FREE_TRIES:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failed - FREE_TRIES, 10))
            # Not the name as it was typed: people type passwords into the wrong field.
            known = name if self._users.get(name) is not None else "unknown"
            self._record("sign-in locked", known, {"failed": failed})
        self._users.tried(name, failed, now + wait, now - timedelta(days=1))

    def _open(self, user: User, now: datetime) -> Session:
        handle, form = self._entropy.take(32).hex(), self._entropy.take(32).hex()
        self._users.open(StoredSession(_key(handle), user.name, form, now, now))
        return Session(handle, user, form, _key(handle))

    def _keep(self, user: User, event: str, by: str) -> None:
        self._users.put(user)
        self._record(
            f"user {event}", by,
            {"user": user.name, "roles": list(user.roles), "department": user.department, "state": user.state},
        )  # fmt: skip

    def _record(self, action: str, user: str, of: dict[str, object]) -> None:
        self._ledger.append(
            "console", {"action": action, "user": user, "of": of, "outcome": "done"}
        )

    def _made_up(self) -> str:
        """A password of 100 bits that can be read out."""
        drawn = [_LETTERS[b & 31] for b in self._entropy.take(20)]
        return "-".join("".join(drawn[at : at + 5]) for at in range(0, 20, 5))

    def _hash(self, password: str) -> str:
        with _AT_ONCE:
            return self._hasher.hash(password)

    def _verify(self, stored: str, password: str) -> bool:
        with _AT_ONCE:
            try:
                return self._hasher.verify(stored, password[:LONGEST_PASSWORD])
            except (Argon2Error, InvalidHashError):
                return False


def _key(handle: str) -> str:
    return hashlib.sha256(handle.encode()).hexdigest()


def _sealing_key(identity: Identity) -> bytes:
    """A key that follows from the node's own: a copy of the database alone gives no codes away."""
    raw = identity.signing_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return hmac.digest(raw, b"hanse-console-codes-v1", "sha256")


def _rules(user: User) -> bool:
    return "admin" in user.roles and user.state != OFF


def _roles(roles: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(roles))
    unknown = [role for role in found if role not in ROLES]
    if unknown or not found:
        what = f"there is no role {unknown[0][:64]!r}" if unknown else "a user needs a role"
        raise Refusal("user.role", what, remedy="use " + ", ".join(ROLES))
    return found


def _text(text: str, what: str) -> str:
    if not _TEXT.fullmatch(text.strip()):
        raise Refusal("user.text", f"the {what} is empty, too long or holds control characters",
                      remedy="give 1 to 64 characters")  # fmt: skip
    return text.strip()


def _check_password(new: str, name: str, old: str) -> None:
    why = ""
    if not SHORTEST_PASSWORD <= len(new) <= LONGEST_PASSWORD:
        why = f"does not have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
    elif len(set(new)) < 6:
        why = "has fewer than six different characters"
    elif name in new.lower():
        why = "holds your name"
    elif new == old:
        why = "is the old one"
    if why:
        raise Refusal("user.password", f"the new password {why}",
                      remedy="a few words that nobody would put together make a good one")  # fmt: skip


def _step_of(secret: str, code: str, now: datetime, after: int) -> int | None:
    """The 30-second step of which this is the code: now or a step around it, later than ``after``."""
    import pyotp  # noqa: PLC0415

    code = code.replace(" ", "")
    if not re.fullmatch("[0-9]{6}", code) or not re.fullmatch("[A-Z2-7]{16,64}", secret):
        return None
    present = int(now.timestamp()) // _STEP_SECONDS
    made = pyotp.TOTP(secret)
    fitting = [s for s in (present - 1, present, present + 1)
               if hmac.compare_digest(made.generate_otp(s), code)]  # fmt: skip
    return next((step for step in fitting if step > after), None)
