"""What a rehearsal gives back: the result, what it disclosed and cost, what everybody saw, the plain truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hanse.catalog import RowsReport
from hanse.contracts import Library
from hanse.engine.session import Meter
from hanse.errors import Fault
from hanse.gate import Opening
from hanse.node.jobs.roles import Job
from hanse.rehearsal.agreement import Budget
from hanse.rehearsal.explanation import explain, uncut
from hanse.rehearsal.running import Message


class Result(Protocol):
    """What every computation's result can do."""

    def body(self) -> dict[str, Any]: ...
    def to_arrow(self) -> Any: ...


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Disclosures:
    """The gate's record of one answer: what was opened, to whom, at what price; the budgets around it."""

    openings: tuple[Opening, ...]
    before: tuple[Budget, ...]
    after: tuple[Budget, ...]

    def body(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "openings": [opening.body() for opening in self.openings],
            "budgets": [
                {"provider": b.provider, "towards": b.towards, "before": b.spent, "after": a.spent,
                 "allowed": a.allowed}
                for b, a in zip(self.before, self.after, strict=True)
            ],
        }  # fmt: skip

    def __str__(self) -> str:
        lines = ["Opened"]
        for o in self.openings:
            price = f"; epsilon {o.epsilon:g}" if o.epsilon else ""
            price += f", delta {o.delta:g}" if o.delta else ""
            lines.append(f"  to {', '.join(o.to)}: {o.what} ({o.values:,} values{price})")
            lines += [f"      {name}: {count:,}" for name, count in o.seen.items()]
        if not self.openings:
            lines.append("  nothing new: the recorded answer was given again")
        lines.append("Privacy budgets")
        lines += [
            f"  {a.provider}, towards {a.towards}: {b.spent:.3g} -> {a.spent:.3g} of {a.allowed:g}"
            for b, a in zip(self.before, self.after, strict=True)
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Answer(Generic[R]):
    """The answer to one question of a rehearsal.

    ``result`` is what the recipients read, ``values`` the opened outputs behind it [outputs], 0 where suppressed.
    ``messages`` are all messages of the job (sizes, not contents), ``meters`` what each seat counted itself,
    ``reports`` what became of every dataset's rows at home, ``recorded`` whether it is an earlier answer given
    again for free. ``job`` holds the request, the contract and the plan.
    """

    result: R
    values: NDArray[np.int64] = field(repr=False)
    job: Job = field(repr=False)
    disclosures: Disclosures = field(repr=False)
    messages: tuple[Message, ...] = field(repr=False)
    meters: Mapping[int, Meter] = field(repr=False)
    reports: Mapping[str, RowsReport] = field(repr=False)
    noise: bool
    seconds: float
    recorded: bool
    _exact: Callable[[], NDArray[np.int64]] = field(repr=False)
    _library: Library = field(default_factory=Library, repr=False)

    def to_arrow(self) -> Any:
        """The result as a pyarrow table."""
        return self.result.to_arrow()

    def to_pandas(self) -> Any:
        """The result as a pandas frame."""
        try:
            return self.to_arrow().to_pandas()
        except ImportError as error:
            raise Fault("rehearsal.pandas", "pandas is not installed",
                        remedy="pip install pandas, or use to_arrow()") from error  # fmt: skip

    def twin(self) -> R:
        """The same question over all tables in one place: exact, nothing suppressed.

        No federation can give this answer; a rehearsal can, because it holds everybody's tables.
        """
        job, values = self.job, self.exact()
        release = job.plan.release
        question = job.request.parameters
        plan = job.entry.planned(question, job.contract, release.epsilon, False, self._library)
        result: R = job.entry.read(plan, values, np.ones(values.shape, np.bool_))
        return result

    def exact(self) -> NDArray[np.int64]:
        """What ``values`` would be without noise and threshold, from all tables in one place."""
        return self._exact()

    def explain(self) -> str:
        """What every party saw, and what it could infer from that, in plain words."""
        return explain(self)

    @property
    def parameters(self) -> dict[str, Any]:
        """The question, as a job at a node would carry it."""
        return dict(self.job.request.parameters)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a provider's own log would say that bends the figures."""
        found = []
        whole = uncut(self.job.plan)
        for name, report in sorted(self.reports.items()):  # they come in by thread
            cut = max((n for of, n in report.cut_by_slots.items() if of not in whole), default=0)
            dataset = self.job.contract.dataset(name)
            if cut and dataset is not None:
                kept = getattr(self.job.plan, "slots_of", None)
                slots = dataset.slots if kept is None else kept(name)
                what = "events" if kept else "events for a stage"
                found.append(
                    f"{name}: {cut:,} people had more than {slots} {what}; "
                    f"{slots} spread over the period count"
                )
        return tuple(found)

    def __str__(self) -> str:
        return "\n".join([str(self.result), *(f"note: {note}" for note in self.notes)])
