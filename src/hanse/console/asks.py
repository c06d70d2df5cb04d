"""Questions under way: each waits in a thread of its own for the node's answer, and tells how far it is."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from hanse.errors import Fault, HanseError, Refusal

Document = dict[str, Any]
Door = Callable[[Document, Callable[[Document], None]], Document]
MOST_OPEN = 16
_MOST_KEPT = 200
State = Literal["asking", "done", "failed"]


@dataclass
class Asked:
    """One question: who asked, where it is, how it ended."""

    id: str
    user: str
    question: Document
    state: State = "asking"
    step: str = "asking"
    job: str = ""
    roles: Document = field(default_factory=dict)
    recorded: bool = False
    error: dict[str, str] | None = None

    def body(self) -> Document:
        """Plain values; the question itself is not repeated."""
        return {
            "ask": self.id, "user": self.user, "state": self.state, "step": self.step, "job": self.job,
            "roles": self.roles, "recorded": self.recorded, "error": self.error,
            "contract": self.question["contract"], "computation": self.question["computation"],
        }  # fmt: skip


class Asks:
    """The questions that were asked through this console since it started."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, user: str, question: Document) -> Asked:
        """Ask; `Refusal` ``ask.busy`` if too many are under way."""
        made = Asked(secrets.token_hex(12), user, question)
        with self._lock:
            under_way = sum(a.state == "asking" for a in self._asked.values())
            if under_way >= MOST_OPEN:
                raise Refusal("ask.busy", f"{under_way} questions are under way",
                              remedy="wait until one of them is answered")  # fmt: skip
            self._asked[made.id] = made
            while len(self._asked) > _MOST_KEPT:
                oldest = next(a for a in self._asked.values() if a.state != "asking")
                del self._asked[oldest.id]
        threading.Thread(
            target=self._wait, args=(made,), name="hanse-console-ask", daemon=True
        ).start()
        return made

    def get(self, id: str) -> Asked:
        """One of them; `Refusal` ``ask.unknown``."""
        with self._lock:
            found = self._asked.get(id)
        if found is None:
            raise Refusal("ask.unknown", "this question was not asked here, or long ago",
                          remedy="look among the jobs")  # fmt: skip
        return found

    def under_way(self) -> list[Asked]:
        """Those that wait for their answer."""
        with self._lock:
            return [a for a in self._asked.values() if a.state == "asking"]

    def _wait(self, asked: Asked) -> None:
        def watch(said: Document) -> None:
            asked.step = str(said.get("step", ""))[:80]
            asked.job = str(said.get("job") or asked.job)
            asked.roles = dict(said.get("roles") or {})

        try:
            answer = self._door({"verb": "run", "question": asked.question}, watch)
        except HanseError as error:
            asked.error, asked.state = error.public(), "failed"
        except Exception:  # its text may be private
            failure = Fault("console.ask", "the console lost the node while it waited",
                            remedy="look among the jobs, and at the node's log")  # fmt: skip
            asked.error, asked.state = failure.public(), "failed"
        else:
            asked.job, asked.recorded = str(answer["job"]), bool(answer["recorded"])
            asked.state = "done"
