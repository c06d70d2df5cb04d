"""Watching a job: nothing for the first two seconds, then every step and every seat's progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hanse.cli.options import HERE
from hanse.cli.screen import console, note, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

QUIET_SECONDS = 2.0
PHASES = ("asking", "asking the providers", "asking for permits", "running")


class JobWatch:
    """Give it to `facade.ask` as its watcher. ``job`` is the job's name once it is known."""

    def __init__(self, screen: Console | None = None, *, quiet: float = QUIET_SECONDS) -> None:
        self.job = ""
        self._screen = screen if screen is not None else console(error=True)
        self._quiet = quiet
        self._begun = time.monotonic()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, said: dict[str, Any]) -> None:
        """Take in what the node says of the job."""
        self.job = str(said.get("job") or self.job)
        if time.monotonic() - self._begun < self._quiet:
            return
        phase = plain(said.get("step", ""))
        if not self._screen.is_terminal:
            if phase != self._phase:
                self._screen.print(f"… {phase}")
                self._phase = phase
            return
        self._draw(phase, said.get("roles") or {})

    def _draw(self, phase: str, roles: dict[str, Any]) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if self._bars is None:
            self._bars = Progress(
                SpinnerColumn(), TextColumn("{task.fields[who]:<28}"), BarColumn(24),
                TextColumn("{task.description}"), TimeElapsedColumn(),
                console=self._screen, transient=True,
            )  # fmt: skip
            self._bars.start()
        number = PHASES.index(phase) if phase in PHASES else len(PHASES) - 1
        self._move("the job", phase, number / len(PHASES))
        for who, (step, share) in sorted(roles.items()):
            self._move(plain(who), plain(step), float(share))

    def _move(self, who: str, what: str, share: float) -> None:
        bars = self._bars
        if bars is None:
            return
        if who not in self._tasks:
            self._tasks[who] = bars.add_task(what, total=1.0, who=who)
        bars.update(self._tasks[who], description=what, completed=share)


@contextmanager
def watched(node: Path = HERE) -> Iterator[JobWatch]:
    """A watcher for as long as a command waits for a job; after Ctrl-C it says that the job goes on."""
    with JobWatch() as watch:
        try:
            yield watch
        except KeyboardInterrupt:
            _say_still_running(watch.job, node)
            raise


def _say_still_running(job: str, node: Path) -> None:
    """The job belongs to the nodes, not to the command that was interrupted."""
    there = "" if node == HERE else f" --node {quote(str(node))}"
    if job:
        note("The job is still running at the nodes, without this command.")
        note(f"  to look at it: hanse job show {job[:12]}{there}")
        note(f"  to stop it:    hanse job cancel {job[:12]}{there}")
    else:
        note("The nodes may still agree to the job, and it would then run without this command.")
        note(f"  to see it:     hanse job list{there}")
