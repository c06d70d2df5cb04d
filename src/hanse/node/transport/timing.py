"""How long the transport waits, in one place. Protocols wait on progress, not on these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, where nothing else is said. The defaults suit the internet; tests shorten them."""

    heartbeat: float = 2.0  # a link that sent nothing for so long sends a PING
    lost_after: float = 8.0  # a peer from which no byte came for so long is lost
    connect: float = 4.0  # one attempt to connect, and what a message waits for a link
    retry_first: float = 0.2  # pause after the first failed attempt; doubles
    retry_most: float = 5.0
    fallback: float = 3.0  # after so long without a link, the side that need not dial does
    early: float = 30.0  # how long frames wait for their stream to be opened here
    linger: float = 1.0  # how long a closing side waits for the other to read the reason
    # AES-GCM in TLS 1.3 is good for 2^24.5 records of 16 KiB under one key (RFC 8446, 5.5).
    bytes_per_key: int = 256 << 30
