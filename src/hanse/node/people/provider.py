"""An OpenID Connect provider as this node uses it: discovery, code flow with PKCE, and the proof of who signs in.

OpenID Connect Core 1.0 (sections 3.1 and 3.1.3.7), Discovery 1.0, RFC 7636 (S256) and RFC 9207. What is taken for
granted: TLS to the provider, whose name is in the configuration. The ID token's signature is checked all the same,
against the keys that the provider publishes; only RS256 and ES256 are taken, whatever the token says of itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from hanse.clock import Clock
from hanse.errors import Fault, Refusal
from hanse.node.config import Oidc, web_address

BACK = "/sign-in/oidc/back"
ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
LEEWAY = timedelta(seconds=60)  # what the two clocks may differ by
_KEPT = timedelta(hours=1)  # how long discovery and keys are believed
_AGAIN = timedelta(seconds=30)  # keys are not asked for more often, whatever key a token names
_PATIENCE = 5.0
_MOST_BYTES = 1 << 20
_LEAST_RSA_BITS = 2048
Document = dict[str, Any]


class Provider:
    """One provider. ``secret`` is the client's, or None for a client without. Thread-safe."""

    def __init__(self, settings: Oidc, secret: str | None, clock: Clock) -> None:
        self.issuer = settings.issuer
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Document]] = {}

    def __repr__(self) -> str:
        return f"Provider({self.issuer!r})"

    def address(self, state: str, nonce: str, verifier: str) -> str:
        """Where a browser goes to sign in. Raises `Fault` ``oidc.unreachable`` or ``oidc.provider``."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": self._back,
            "scope": " ".join(dict.fromkeys(("openid", *self._settings.scopes))), "state": state, "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(), "code_challenge_method": "S256",
        }  # fmt: skip
        place = self._place("authorization_endpoint")
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}"

    def claims(self, code: str, verifier: str, nonce: str) -> Document:
        """What the provider says of who signed in, for the code that it gave to the browser.

        Raises `Fault` ``oidc.unreachable`` or ``oidc.provider``, `Refusal` ``oidc.denied`` or ``oidc.token``.
        """
        return self._checked(self._token(code, verifier), nonce)

    @property
    def _back(self) -> str:
        return self._settings.address.rstrip("/") + BACK

    # --- the proof ------------------------------------------------------------------------------

    def _checked(self, token: str, nonce: str) -> Document:
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header)
            claims: Document = jwt.decode(
                token, key, algorithms=[header["alg"]], audience=self._settings.client_id, issuer=self.issuer,
                options={"require": ["iss", "sub", "aud", "exp", "iat", "nonce"],
                         # Times are held against the node's clock, below.
                         "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )  # fmt: skip
        except jwt.InvalidAudienceError as error:
            raise _untrue("it was made for another client") from error
        except jwt.InvalidIssuerError as error:
            raise _untrue("another provider made it") from error
        except jwt.InvalidSignatureError as error:
            raise _untrue("its signature is wrong") from error
        except jwt.MissingRequiredClaimError as error:
            raise _untrue(f"it lacks {error.claim!r}") from error
        except (jwt.PyJWTError, UnicodeError) as error:
            raise _untrue("it cannot be read") from error
        self._check_claims(claims, nonce)
        return claims

    def _check_claims(self, claims: Mapping[str, Any], nonce: str) -> None:
        now, leeway = self._clock.now().timestamp(), LEEWAY.total_seconds()
        times = {name: claims.get(name) for name in ("exp", "iat", "nbf") if name in claims}
        if not all(isinstance(t, int | float) and not isinstance(t, bool) for t in times.values()):
            raise _untrue("its times are no numbers")
        if claims["exp"] <= now - leeway:
            raise _untrue("it is over")
        if max(claims["iat"], claims.get("nbf", 0)) > now + leeway:
            raise _untrue("it is not valid yet; compare the clocks")
        given = claims["nonce"]
        if (
            not isinstance(given, str)
            or not given.isascii()
            or not hmac.compare_digest(given.encode(), nonce.encode())
        ):
            raise _untrue("it answers another sign-in")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        party = claims.get("azp", None if several else self._settings.client_id)
        if party != self._settings.client_id:
            raise _untrue("it was made for another client")
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= 255 and subject.isprintable()):
            raise _untrue("it does not say who signed in")

    def _key(self, header: Mapping[str, Any]) -> Any:
        """The provider's key that a token names; its kind must be the one of the token's algorithm."""
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise _untrue("it is signed in a way that is not taken (RS256 and ES256 are)")
        for fresh in (False, True):
            found = self._find(self._keys(fresh), header.get("kid"), ALGORITHMS[algorithm])
            if len(found) == 1:
                return _public(found[0], algorithm)
        raise _untrue("it names no key of the provider")

    @staticmethod
    def _find(keys: Document, name: object, kind: str) -> list[Document]:
        listed = keys.get("keys")
        found = [
            k for k in (listed if isinstance(listed, list) else [])
            if isinstance(k, dict) and k.get("kty") == kind and k.get("use", "sig") == "sig"
        ]  # fmt: skip
        return found if name is None else [k for k in found if k.get("kid") == name]

    # --- what the provider publishes ------------------------------------------------------------

    def _place(self, name: str) -> str:
        """An address of the discovery document."""
        place = self._discovery().get(name)
        try:
            found = _address(place)
        except ValueError as error:
            raise _wrong(f"its {name} is no https address") from error
        if self.issuer.startswith("https:") and not found.startswith("https:"):
            # http is for a provider on this machine: one elsewhere sends nobody to this machine's other services
            raise _wrong(f"its {name} is no https address")
        return found

    def _discovery(self) -> Document:
        def ask() -> Document:
            place = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = self._read("GET", place)
            if found.get("issuer") != self.issuer:
                raise _wrong("it calls itself otherwise than console.oidc.issuer")
            return found

        return self._kept("discovery", _KEPT, ask)

    def _keys(self, fresh: bool) -> Document:
        place = self._place("jwks_uri")
        return self._kept("keys", _AGAIN if fresh else _KEPT, lambda: self._read("GET", place))

    def _kept(self, name: str, age: timedelta, ask: Callable[[], Document]) -> Document:
        with self._lock:
            read = self._known.get(name)
        if read is not None and self._clock.monotonic() - read[0] < age.total_seconds():
            return read[1]
        found = ask()
        with self._lock:
            self._known[name] = (self._clock.monotonic(), found)
        return found

    # --- asking it ------------------------------------------------------------------------------

    def _token(self, code: str, verifier: str) -> str:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back,
                "code_verifier": verifier}  # fmt: skip
        client, headers = self._settings.client_id, {}
        ways = self._discovery().get("token_endpoint_auth_methods_supported")
        if self._secret is None:
            form["client_id"] = client
        elif isinstance(ways, list) and "client_secret_basic" not in ways:
            form |= {"client_id": client, "client_secret": self._secret}
        else:  # RFC 6749, 2.3.1: both are encoded as in forms
            pair = f"{quote_plus(client)}:{quote_plus(self._secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        found = self._read("POST", self._place("token_endpoint"), form, headers)
        token = found.get("id_token")
        if not isinstance(token, str):
            raise _wrong("its answer has no ID token")
        return token

    def _read(
        self, method: str, place: str, form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Document:  # fmt: skip
        """A JSON object from the provider; no redirect is followed, no long answer read."""
        said = {"Accept": "application/json", **(headers or {})}
        try:
            with (
                httpx2.Client(timeout=_PATIENCE, follow_redirects=False) as client,
                client.stream(method, place, data=form, headers=said) as answer,
            ):
                data = b""
                for part in answer.iter_bytes():
                    data += part
                    if len(data) > _MOST_BYTES:
                        raise _wrong("its answer is too long")
                status = answer.status_code
        except httpx2.HTTPError as error:
            raise Fault("oidc.unreachable", "the sign-on provider cannot be reached",
                        remedy="try again later, or sign in with a password of this console",
                        detail=type(error).__name__) from error  # fmt: skip
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _wrong(f"it answered {status}, and not in JSON") from error
        if not isinstance(found, dict):
            raise _wrong("its answer is no JSON object")
        if method == "POST" and status == 400 and found.get("error") == "invalid_grant":
            raise Refusal("oidc.denied", "the provider does not know this sign-in, or it was used before",
                          remedy="sign in again")  # fmt: skip
        if status != 200:
            raise _wrong(f"it answered {status}")
        return found


def _address(place: object) -> str:
    if not isinstance(place, str):
        raise ValueError("is not an address")
    bare, _, _ = place.partition("?")
    web_address(bare)
    return place


def _public(key: Document, algorithm: str) -> Any:
    try:
        found = jwt.PyJWK(key, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise _wrong("its key cannot be read") from error
    strong = (isinstance(found, RSAPublicKey) and found.key_size >= _LEAST_RSA_BITS) or (
        isinstance(found, EllipticCurvePublicKey) and isinstance(found.curve, SECP256R1)
    )
    if not strong:
        raise _wrong(f"its key is too weak, or not one of {algorithm}")
    return found


def _untrue(why: str) -> Refusal:
    return Refusal("oidc.token", f"the provider's proof of who signs in does not hold: {why}",
                   remedy="sign in again; if it stays so, tell the operator of this console")  # fmt: skip


def _wrong(why: str) -> Fault:
    return Fault("oidc.provider", f"the sign-on provider does not do as agreed: {why}",
                 remedy="compare [console.oidc] in hanse.toml with the provider's settings")  # fmt: skip
