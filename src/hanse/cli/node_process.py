"""The node as a process: served in the foreground, started in the background, stopped.

A node in the background tells how its start went through a pipe (one JSON line), so that whoever starts it
hears the very error, not a time-out.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hanse.errors import Fault, HanseError, from_public

START_SECONDS = 90.0  # the first start compiles kernels
STOP_SECONDS = 20.0
_SLOW_SECONDS = 2.0
Document = dict[str, Any]


# --- serving ----------------------------------------------------------------------------------------


def serve(
    folder: Path, *, report_to: int | None = None, until_input_ends: bool = False, console: int | None = None
) -> None:  # fmt: skip
    """Run the node of ``folder`` in this process until it is told to stop; ``console`` is its console's port.

    ``report_to`` is a file descriptor for one line about the start; ``until_input_ends`` stops the node when
    standard input ends, so that it never outlives the process that holds the other end.
    """
    report = _Report(report_to)
    try:
        _serve(folder, report, until_input_ends, console)
    except HanseError as error:
        report.send({"error": error.public()})
        raise


def _serve(folder: Path, report: _Report, until_input_ends: bool, port: int | None) -> None:
    from hanse.cli.node_log import start_log
    from hanse.node.faces import facade

    log = start_log(facade.configuration(folder).log_level)

    if facade.status(folder) is not None:  # said before anything is loaded
        raise Fault("node.running", "this node is running already",
                    remedy="stop it with 'hanse node stop' first", where=str(folder))  # fmt: skip
    from hanse.node.daemon import Node
    from hanse.node.heap import keep_freed_memory

    keep_freed_memory()
    node = Node(folder)
    begun = time.monotonic()
    with _if_slow(lambda: log.info("compiling kernels; only the first start on a machine does")):
        facade.warm_up()
    log.info("kernels are ready after %.1f s", time.monotonic() - begun)
    if until_input_ends:
        threading.Thread(target=_leave_with_input, args=(node,), daemon=True).start()

    console = _console(node, folder, port) if port is not None else None

    def started() -> None:
        if console is not None:
            console.start()
        address = node.exchange.address
        log.info("listening on %s:%d" if address else "dialling out only", *(address or ()))
        report.send({"party": node.office.party, "process": os.getpid(), "address": address})

    try:
        node.run(started)
    finally:
        if console is not None:
            console.stop()


def _console(node: Any, folder: Path, port: int) -> Any:
    """The console inside the node's process, for this machine's browsers."""
    from hanse.console import Console, Settings

    return Console(node.office, folder, Settings(port=port))


def _leave_with_input(node: Any) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    node.leave()


@contextlib.contextmanager
def _if_slow(tell: Any) -> Iterator[None]:
    timer = threading.Timer(_SLOW_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Report:
    """One line to whoever started this process; a descriptor's number is used once, then it is another's."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def send(self, document: Document) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(descriptor, json.dumps(document).encode() + b"\n")
                os.close(descriptor)


# --- starting ---------------------------------------------------------------------------------------


@dataclass
class Starting:
    """A node process that has been started; `wait` until it listens."""

    process: subprocess.Popen[bytes]
    log: Path
    report: IO[bytes]

    def wait(self) -> Document:
        """``party``, ``process``, ``address`` and ``log`` of the running node; raises why it did not start."""
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(self.report.readline()), daemon=True)
        reader.start()
        reader.join(START_SECONDS)
        if not lines:
            self.process.kill()
            raise Fault("node.start", f"the node did not start within {START_SECONDS:.0f} s",
                        remedy="see its log", where=str(self.log))  # fmt: skip
        self.report.close()
        try:
            said = json.loads(lines[0])
        except ValueError as error:
            raise Fault("node.start", "the node ended while it was starting",
                        remedy="see its log", where=str(self.log)) from error  # fmt: skip
        if "error" in said:
            self.process.wait(STOP_SECONDS)
            raise from_public(said["error"])
        return {**said, "log": str(self.log)}

    def end(self, patience: float) -> None:
        """Stop the process, by force after ``patience`` seconds. Never raises."""
        self.process.terminate()
        try:
            self.process.wait(max(0.1, patience))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.report.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


def launch(folder: Path, *, lifeline: bool = False, console: int | None = None) -> Starting:
    """Start the node of ``folder`` as a process of its own session, with its console if a port is given.

    With ``lifeline`` it stops when this process ends, however it ends.
    """
    from hanse.node.faces import facade

    data = facade.configuration(folder).data_folder
    log = data / "node.log"
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "hanse.cli", "node", "start", "--node", str(folder)]
    command += ["--report-to", str(writing)] + (["--until-input-ends"] if lifeline else [])
    command += ["--console", str(console)] if console is not None else []
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                command,
                stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=(writing,),
                start_new_session=True,
            )
    except OSError as error:
        os.close(reading)
        raise Fault("node.start", f"the node's process cannot be started: {error.strerror}",
                    remedy="check the node's data folder and the disk", where=str(data)) from error  # fmt: skip
    finally:
        os.close(writing)
    return Starting(process, log, os.fdopen(reading, "rb"))


def start(folder: Path, console: int | None = None) -> Document:
    """Start the node in the background and return when it is listening."""
    return launch(folder, console=console).wait()


def stop(folder: Path) -> str:
    """Stop the running node and wait until its process is gone; the party's name."""
    from hanse.node.faces import facade

    running = facade.ask(folder, {"verb": "status"})
    facade.ask(folder, {"verb": "stop"})
    deadline = time.monotonic() + STOP_SECONDS
    while lives(int(running["process"])):
        if time.monotonic() > deadline:
            raise Fault("node.stop", f"the node has not stopped after {STOP_SECONDS:.0f} s",
                        remedy=f"see its log; its process is {running['process']}",
                        where=str(folder))  # fmt: skip
        time.sleep(0.05)
    return str(running["party"])


def lives(process: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process}/stat").read_text()
        return status.rpartition(")")[2].split()[0] != "Z"
    return True
