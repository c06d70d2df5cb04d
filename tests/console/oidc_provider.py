"""An OpenID Connect provider in a thread: it answers over HTTP and signs with keys of its own.

It lets everybody in as `person`, and checks what a provider checks: the client and its secret, the redirect
address, the code (once) and the PKCE verifier. What it does wrong is told to it, one thing at a time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hanse.clock import Clock

CLIENT, SECRET = "hanse console", "a secret: with / and % in it"
Document = dict[str, Any]


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


_RSA, _OTHER = rsa_key(), rsa_key()  # made once: they take a while


@dataclass
class Provider:
    """``person`` are the claims of who signs in; ``claims`` replace what the token would say (None takes out)."""

    clock: Clock
    back: str
    person: Document = field(default_factory=dict)
    claims: Document = field(default_factory=dict)
    discovery: Document = field(default_factory=dict)
    algorithm: str = "RS256"
    name_of_key: str | None = "one"
    key: Any = _RSA  # what it signs with
    forged: str = ""  # "none" or "HS256": a token that was not signed with a private key
    refuses: str = ""
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    form: Document = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._codes: dict[str, Document] = {}
        self.public: list[Document] = [self.jwk(_RSA, "one")]
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realms/house"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def jwk(key: Any, name: str) -> Document:
        algorithm = (
            jwt.algorithms.RSAAlgorithm
            if isinstance(key, rsa.RSAPrivateKey)
            else jwt.algorithms.ECAlgorithm
        )
        return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}

    def turn_key(self) -> None:
        """Sign with a key that it has not published before, and publish it."""
        self.key, self.name_of_key, self.algorithm = (
            ec.generate_private_key(ec.SECP256R1()),
            "two",
            "ES256",
        )
        self.public = [self.jwk(self.key, "two")]

    def steal_key(self) -> None:
        """Sign with a key that is not the one it published."""
        self.key = _OTHER

    # --- what it answers ------------------------------------------------------------------------

    def _document(self) -> Document:
        own = {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize?kept=1",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }  # fmt: skip
        return {**own, **self.discovery}

    def _authorize(self, asked: Document) -> str:
        assert asked["redirect_uri"] == self.back
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        if self.refuses:
            return f"{self.back}?{urlencode({'error': self.refuses, 'state': asked['state']})}"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return (
            f"{self.back}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"
        )

    def _token(self, form: Document, said: str) -> tuple[int, Document]:
        client, _, secret = base64.b64decode(said.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(client), unquote_plus(secret)) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(form["code_verifier"].encode()).digest()
        )
        if (
            asked is None
            or asked["code_challenge"] != challenge.rstrip(b"=").decode()
            or form["redirect_uri"] != self.back
        ):
            return 400, {"error": "invalid_grant"}
        self.tokens.append(self._sign(asked["nonce"]))
        return 200, {"id_token": self.tokens[-1], "access_token": "none", "token_type": "Bearer"}

    def _sign(self, nonce: str) -> str:
        now = int(self.clock.now().timestamp())
        said = {"iss": self.issuer, "sub": "subject-1", "aud": CLIENT, "iat": now, "exp": now + 300,
                "nonce": nonce, **self.person, **self.claims}  # fmt: skip
        body = {k: v for k, v in said.items() if v is not None}
        if self.forged:
            return _forged(self.forged, body, self.public[0])
        headers = {"kid": self.name_of_key} if self.name_of_key else {}
        return jwt.encode(body, self.key, algorithm=self.algorithm, headers=headers)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, status: int, body: Document, to: str = "") -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                if to:
                    self.send_header("Location", to)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                place = parts.path.removeprefix("/realms/house/")
                provider.asked.append(place)
                if place == ".well-known/openid-configuration":
                    self._answer(200, provider._document())
                elif place == "keys":
                    self._answer(200, {"keys": provider.public})
                elif place == "authorize":
                    asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
                    self._answer(302, {}, provider._authorize(asked))
                else:
                    self._answer(404, {})

            def do_POST(self) -> None:
                provider.asked.append("token")
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.form = {k: v[0] for k, v in parse_qs(text).items()}
                self._answer(*provider._token(provider.form, self.headers.get("Authorization", "")))

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _forged(way: str, body: Document, public: Document) -> str:
    """A token without a private key: unsigned, or keyed with what everybody can read."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"alg": way, "kid": "one", "typ": "JWT"}).encode())
    text = f"{head}.{part(json.dumps(body).encode())}"
    key = json.dumps(public).encode()
    return f"{text}.{'' if way == 'none' else part(hmac.digest(key, text.encode(), 'sha256'))}"
