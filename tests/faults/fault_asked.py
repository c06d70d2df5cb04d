"""A question asked in the background, for tests that do something while its job runs."""

from __future__ import annotations

import threading
import time

from fault_federation import Federation, until

from hanse.errors import HanseError
from hanse.node.jobs.runner import Outcome, Question


class Asked:
    """The question, asked by a thread."""

    def __init__(self, federation: Federation, question: Question, asking: str = "elm") -> None:
        self._federation = federation
        self._before = federation.known_jobs()
        self._outcome: Outcome | None = None
        self._error: HanseError | None = None
        self._phase = ""

        def ask() -> None:
            try:
                runner = federation[asking].running.runner
                self._outcome = runner.ask(question, self._watch)
            except HanseError as error:
                self._error = error

        self._thread = threading.Thread(target=ask, daemon=True)
        self._thread.start()

    def _watch(self, step: str, _share: float) -> None:
        self._phase = step

    def job(self) -> str:
        """The job, once it runs."""
        until(lambda: self._phase == "running" or not self._thread.is_alive(), 5, "the job runs")
        (job,) = self._federation.known_jobs() - self._before
        return job

    def is_waiting(self, for_seconds: float) -> bool:
        """Whether there is no outcome for so long."""
        time.sleep(for_seconds)
        return self._thread.is_alive()

    def error(self, within: float) -> HanseError:
        """The error in which the question must end."""
        self._thread.join(within)
        assert not self._thread.is_alive(), f"still waiting after {within:g} s"
        assert self._error is not None, f"no error but {self._outcome}"
        return self._error

    def people(self, within: float) -> list[int | None]:
        """The counts that the question must be answered with."""
        self._thread.join(within)
        assert not self._thread.is_alive(), f"still waiting after {within:g} s"
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return [row["people"] for row in (self._outcome.result or {})["rows"]]
