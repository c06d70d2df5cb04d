"""How a console is reached: where it listens, under which names, and who ends TLS."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from hanse.errors import Refusal

DEFAULT_PORT = 7480


@dataclass(frozen=True)
class Settings:
    """One frozen value. ``certificate`` and ``key`` are PEM files; ``names`` are host names of its address.

    ``behind_proxy`` says that a proxy in front ends TLS and names the client (X-Forwarded-For).
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise Refusal("console.tls", "a certificate and its key come together",
                          remedy="give both --certificate and --key")  # fmt: skip
        if not self.secure and not self.local:
            raise Refusal("console.plain", f"without TLS the console does not listen on {self.host}",
                          remedy="give --certificate and --key, or --behind-proxy, or listen at home")  # fmt: skip

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return self.certificate is not None or self.behind_proxy

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a request's Host may have: another one is a page that was lured here."""
        return frozenset({self.host, "localhost", "127.0.0.1", "::1", *self.names})
