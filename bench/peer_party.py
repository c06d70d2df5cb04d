"""A peer's side of a measured run: when it starts, and what it spent until the last one was done.

Runs inside a peer's environment (`bench/peers.py` makes it), so it needs the standard library only.
The talk with the process that started it, one line at a time:

    party -> starter   ready   imported, connected, input files unread
    starter -> party   go      the clock starts
    party -> starter   done    the result is written; the clock stops at the last party's
    starter -> party   stop    everybody is done
    party -> starter   spent   processor time, bytes and memory from go to stop

The answers go over a copy of the standard output, which is then pointed at the standard error:
a library that prints cannot break the talk.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BYTES_RECEIVED = 128  # where `tcpi_bytes_received` stands in Linux's `struct tcp_info`
_PROC = Path("/proc/self")


class Starter:
    """The process that started this party, as seen from here."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        os.dup2(2, 1)

    def say(self, state: str, **fields: object) -> None:
        """One JSON line: the state reached and what belongs to it."""
        self._answers.write(json.dumps({"state": state, **fields}) + "\n")

    def wait(self, word: str) -> None:
        """Block until the starter says `word`; a starter that is gone or says another ends us."""
        line = sys.stdin.readline().strip()
        if line != word:
            sys.exit(f"expected {word!r} from the starter, got {line!r}")


@dataclass(frozen=True)
class Meter:
    """What this process has used since it began: seconds of processor time, bytes received."""

    cpu_s: float
    bytes: int | None

    @classmethod
    def read(cls) -> Meter:
        """All threads count, also those that have ended, and so do programs run and waited for."""
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(sum(each.ru_utime + each.ru_stime for each in used), _bytes_received())

    def since(self, start: Meter) -> dict[str, float | int | None]:
        """The difference to an earlier reading, as fields for `Starter.say`."""
        both = self.bytes is not None and start.bytes is not None
        return {
            "cpu_s": self.cpu_s - start.cpu_s,
            "bytes": (self.bytes or 0) - (start.bytes or 0) if both else None,
        }


def peak_rss_mib() -> float:
    """Highest resident memory of this process, MiB.

    `ru_maxrss` survives exec on Linux: it begins at the size of the process that started us, so a
    large benchmark would be billed to the peer. VmHWM belongs to the memory map and starts anew.
    """
    try:
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _bytes_received() -> int | None:
    """Bytes that arrived over this process's open TCP connections; None where unknown.

    Received and not sent: summed over all parties, every byte on the wire counts once. A connection
    that closes takes its count along, which the peers' links do not do before the end.
    """
    if not sys.platform.startswith("linux"):
        return None
    total = 0
    for connection in _connections():
        with connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            if len(info) < _BYTES_RECEIVED + 8:
                return None
            total += int(struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0])
    return total


def _connections() -> Iterator[socket.socket]:
    """A copy of each TCP socket of this process, also of those that native code opened."""
    for entry in sorted(_PROC.joinpath("fd").iterdir()):
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            copy = socket.socket(fileno=os.dup(int(entry.name)))
        except OSError:
            continue
        if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
            yield copy
        else:
            copy.close()
