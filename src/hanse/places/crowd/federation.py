"""What crosses between owners of counters: sums of short vectors, through one door.

Every owner runs the same program (`hanse.places.crowd.model`) over its own places and calls `Federation.sum` at
the same points with the same names. `Alone` is one owner by itself, and also the *central* variant, in which one
owner holds all places; `Plain` adds the vectors of several threads in the clear, in the fixed-point numbers of the
secure sum, for back-tests; `Secure` adds them on shares through three seats (`hanse.learn.horizontal`). An owner's
counts never cross otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

F64 = NDArray[np.float64]
T = TypeVar("T")
FRACTION = 2.0**24  # steps of one unit that a summed number can take


class Federation(Protocol):
    """An owner's end of the sums of a job."""

    number: int  # of this owner among `owners`
    owners: int

    def sum(self, name: str, vector: F64) -> F64:
        """The sum over owners of ``vector``, any shape, the same shape at all."""
        ...


class Alone:
    """One owner by itself: the sum is its own vector."""

    number = 0
    owners = 1

    def sum(self, name: str, vector: F64) -> F64:
        """The vector itself; `Fault` if it is not finite."""
        return _finite(name, vector)


class Meter:
    """How many sums opened, and how many numbers, by the first word of their name."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}
        self.numbers: dict[str, int] = {}

    def count(self, name: str, size: int) -> None:
        """Note a sum of ``size`` numbers."""
        word = name.split(".", 1)[0]
        self.sums[word] = self.sums.get(word, 0) + 1
        self.numbers[word] = self.numbers.get(word, 0) + size


class Plain:
    """Owners in threads of one process, added in the clear in fixed-point numbers. For back-tests."""

    def __init__(self, number: int, table: _Table) -> None:
        self.number = number
        self.owners = table.owners
        self._table = table

    def sum(self, name: str, vector: F64) -> F64:
        """The sum, as `Secure` would give it; `Fault` where owners ask for different sums."""
        return self._table.add(self.number, name, _finite(name, vector))


class _Table:
    """Where the threads of `Plain` meet."""

    def __init__(self, owners: int, meter: Meter) -> None:
        self.owners = owners
        self._meter = meter
        self._barrier = threading.Barrier(owners)
        self._parts: list[tuple[str, F64] | None] = [None] * owners
        self._total: F64 = np.zeros(0)
        self._fault: Fault | None = None

    def add(self, number: int, name: str, vector: F64) -> F64:
        self._parts[number] = (name, vector)
        try:
            if self._barrier.wait() == 0:
                self._add_up()
            self._barrier.wait()
        except threading.BrokenBarrierError as error:
            raise Fault(
                "crowd.lost", "another owner stopped before the sum was complete", where=name
            ) from error
        if self._fault is not None:
            raise self._fault.again()
        return self._total.copy()

    def stop(self) -> None:
        self._barrier.abort()

    def _add_up(self) -> None:
        parts = [part for part in self._parts if part is not None]
        kinds = {(name, vector.shape) for name, vector in parts}
        if len(kinds) != 1:
            asked = ", ".join(sorted(f"{name} {shape}" for name, shape in kinds))
            self._fault = Fault("crowd.sum", f"owners ask for different sums: {asked}",
                                remedy="run one version over the same public tables at all owners")  # fmt: skip
            return
        name, vector = parts[0]
        self._meter.count(name, vector.size)
        whole = np.zeros(vector.shape, np.int64)
        for _, part in parts:
            whole += np.rint(part * FRACTION).astype(np.int64)
        self._total = whole / FRACTION


class Secure:
    """The sum on shares, through three seats: nobody sees a part, everybody reads the sum.

    ``end`` is this owner's `hanse.learn.horizontal` summing party; ``norm`` bounds any part's Euclidean norm.
    """

    def __init__(self, end: Any, number: int, owners: int, norm: float = 2.0**20) -> None:
        self.number = number
        self.owners = owners
        self._end = end
        self._norm = norm

    def sum(self, name: str, vector: F64) -> F64:
        """The sum; all of the owners must have taken part, or it is a `Fault`: half a city is another city."""
        checked = _finite(name, vector)
        if checked.size == 0:
            return checked
        out = self._end.sum(name[:80], checked.reshape(-1), norm=self._norm)
        if len(out.contributors) < self.owners:
            missing = ", ".join(f"{party} ({why})" for party, why in sorted(out.left_out.items()))
            raise Fault("crowd.lost", f"a sum lacks owners: {missing}", where=name,
                        remedy="run it again when all owners are there, or agree on fewer")  # fmt: skip
        values: F64 = np.asarray(out.values, np.float64)
        return values.reshape(vector.shape)


def _finite(name: str, vector: F64) -> F64:
    if not np.isfinite(vector).all():
        raise Fault("crowd.finite", "a part of a sum is not finite", where=name,
                    remedy="check the feed for absurd values")  # fmt: skip
    return vector


def gather(work: Sequence[Callable[[Federation], T]], meter: Meter | None = None) -> list[T]:
    """Run ``work[i]`` as owner i, a thread each, over `Plain` sums; results in order. The first error is raised."""
    if len(work) == 1:
        return [work[0](Alone())]
    table = _Table(len(work), meter or Meter())
    results: list[Any] = [None] * len(work)
    errors: list[BaseException] = []

    def live(number: int) -> None:
        try:
            results[number] = work[number](Plain(number, table))
        except BaseException as error:  # raised below
            errors.append(error)
            table.stop()

    threads = [threading.Thread(target=live, args=(i,), daemon=True) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if getattr(e, "code", "") != "crowd.lost"), errors[0])
    return results
