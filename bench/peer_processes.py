"""The processes of one peer's run: started, waited for, started together, clocked, ended.

The other end of the talk is `peer_party.py`. Parties are told apart by rank, 0 first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanse.errors import Fault

PATIENCE_S = 7_200.0  # a peer tells nothing between go and done; 10M rows take minutes
LEAVING_S = 20.0


@dataclass(frozen=True)
class Clocked:
    """What the parties answered, by rank, and what one run took."""

    ready: list[dict[str, Any]]
    answers: list[dict[str, Any]]
    used: list[dict[str, Any]]
    start_up_s: float
    wall_s: float

    def spent(self) -> dict[str, Any]:
        """The figures every run has: sums over all parties, peaks of the largest party."""
        return {
            "wall_s": self.wall_s,
            "cpu_s": sum(float(each["cpu_s"]) for each in self.used),
            "peak_rss_mib": max(float(each["peak_rss_mib"]) for each in self.used),
            "idle_rss_mib": max(float(each["idle_rss_mib"]) for each in self.ready),
            "bytes": total(each["bytes"] for each in self.used),
            "start_up_s": self.start_up_s,
        }


@contextlib.contextmanager
def started(python: Path, script: Path, options: Sequence[Sequence[str]]) -> Iterator[Parties]:
    """One process of `script` per entry of `options`; all of them have ended on leaving.

    Each is also given its --rank and the --addresses of all.
    """
    with tempfile.TemporaryDirectory(prefix="hanse-peer-") as folder:
        # The peer leaves files in its temporary and its working folder.
        surroundings = {**os.environ, "TMPDIR": folder, "JAX_ENABLE_X64": "1"}
        addresses = ",".join(_free_addresses(len(options)))
        parties = Parties(Path(folder))
        try:
            for rank, own in enumerate(options):
                command = [str(python), "-E", "-s", str(script)]
                parties.start(
                    [*command, "--rank", str(rank), "--addresses", addresses, *own], surroundings
                )
            yield parties
            parties.leave(LEAVING_S)
        finally:
            parties.leave(0.0)


class Parties:
    """The started processes of a run, by rank."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        self._begun = time.perf_counter()

    def start(self, command: Sequence[str], surroundings: dict[str, str]) -> None:
        """Start the process of the next rank, its log in the folder of the run."""
        with self._log(len(self._processes)).open("w") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=surroundings,
                cwd=self._folder,
            )
        self._processes.append(process)

    def run(self) -> Clocked:
        """Wait until all are ready, let them go together, clock until the last one is done.

        Raises Fault `peer.ended` (with the last words of its log), `peer.silent`, `peer.state`.
        """
        ready = self._gather("ready")
        go = time.perf_counter()
        self._tell("go")
        answers = self._gather("done")
        done = time.perf_counter()
        self._tell("stop")
        return Clocked(ready, answers, self._gather("spent"), go - self._begun, done - go)

    def said(self, pattern: str) -> list[str]:
        """What the group of `pattern` matched, wherever it did in the logs of the parties."""
        logs = [self._log(rank) for rank in range(len(self._processes))]
        return [text for log in logs for text in re.findall(pattern, _read(log))]

    def leave(self, patience_s: float) -> None:
        """Give the processes `patience_s` in all to end by themselves, then kill them."""
        deadline = time.monotonic() + patience_s
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, rank: int) -> Path:
        return self._folder / f"party{rank}.log"

    def _tell(self, word: str) -> None:
        for process in self._processes:
            if process.stdin is not None:
                # A party that is gone is found by the next `_gather`, with its last words.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(word + "\n")
                    process.stdin.flush()

    def _gather(self, state: str) -> list[dict[str, Any]]:
        """The next line of every party, whoever is first, so that a dead one is noticed at once."""
        answers: dict[int, dict[str, Any]] = {}
        deadline = time.monotonic() + PATIENCE_S
        with selectors.DefaultSelector() as selector:
            for rank, process in enumerate(self._processes):
                if process.stdout is not None:
                    selector.register(process.stdout, selectors.EVENT_READ, rank)
            while len(answers) < len(self._processes):
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise Fault("peer.silent", f"the peer was not {state} after {PATIENCE_S} s")
                for event, _ in events:
                    rank = int(event.data)
                    answers[rank] = self._answer(rank, state)
                    selector.unregister(event.fileobj)
        return [answers[rank] for rank in range(len(self._processes))]

    def _answer(self, rank: int, state: str) -> dict[str, Any]:
        stdout = self._processes[rank].stdout
        line = stdout.readline() if stdout is not None else ""
        if not line:
            status = self._processes[rank].wait()
            log = _read(self._log(rank))
            raise Fault(
                "peer.ended",
                f"party {rank} of the peer ended (status {status}) before it was {state}: "
                f"{last_words(log)}",
                remedy="mend what the message names; if the peer's environment is damaged, remove "
                "its folder under .peers and run again",
            )
        answer: dict[str, Any] = json.loads(line)
        if answer.get("state") != state:
            raise Fault("peer.state", f"party {rank} says {answer.get('state')!r}, not {state!r}")
        return answer


def total(counts: Iterable[int | None]) -> int | None:
    """The sum, or None as soon as one is not known."""
    known = list(counts)
    summed = [count for count in known if count is not None]
    return sum(summed) if len(summed) == len(known) else None


def last_words(log: str) -> str:
    """What a log ends with, on one line: its last complaints if it has any, else its last lines."""
    lines = [line.strip()[:400] for line in log.splitlines()]
    complaints = [line for line in lines if re.search(r"(?i)error|exception|enforce|fail", line)]
    # The addresses of a native stack trace bury what was said before it.
    spoken = complaints or [line for line in lines if line and not re.match(r"#\d+ ", line)]
    return " | ".join(spoken[-3:]) or "(silent)"


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _free_addresses(count: int) -> list[str]:
    """Loopback addresses nobody listens on; held together until all are known, so they differ."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
    return [f"127.0.0.1:{port}" for port in ports]
