"""When two questions are so alike that their difference is about a few people, or one.

Ask how many people of 18 to 65 came, and how many of 19 to 65, and subtract. What bounds the loss is the privacy
budget: each answer is noised and charged. But whoever asks twenty such questions is spending the budget on people,
not on crowds, so a contract says how many near-identical questions a period may see, and the refusal says why.

A question is kept as a *sketch*: one short hash per leaf of its parameters, without names and without order, so
that renaming or reordering is no difference. Alike are questions of one computation whose sketches differ in a
bound, in a value of a list, or in a condition or crowd more or less, over periods that overlap; and equal ones
over changed data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hanse.contracts.requests import JobRequest
from hanse.contracts.terms import Contract
from hanse.errors import Refusal
from hanse.wire.codec import digest

MOST_LEAVES = 4000  # of a sketch; a longer question is compared by its first leaves
MOST_CHANGED = 3  # leaves that may differ: one bound is two, one condition more is two or three
_HASH_DIGITS = 12
# Words that a user chooses freely; keys of these tables are names, too.
_NAMES = frozenset({"name", "title", "campaign", "top", "compare", "universe", "population"})
_NAMED_TABLES = frozenset({"targets", "merge", "weights", "shares", "prices", "people"})
_SUBJECTS = frozenset({"dataset", "column", "compare_with"})


@dataclass(frozen=True)
class Sketch:
    """A question without names: its computation, period, data and leaves (each "s" or "v" and a hash)."""

    computation: str
    starts: str
    ends: str
    data: str
    leaves: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Plain values for the ledger."""
        return {
            "computation": self.computation,
            "starts": self.starts,
            "ends": self.ends,
            "data": self.data,
            "leaves": " ".join(self.leaves),
        }

    @staticmethod
    def of(body: Mapping[str, Any]) -> Sketch:
        """From the ledger."""
        return Sketch(
            str(body["computation"]), str(body["starts"]), str(body["ends"]), str(body["data"]),
            tuple(str(body["leaves"]).split()),
        )  # fmt: skip


def sketch_of(request: JobRequest) -> Sketch:
    """The sketch of a job's question."""
    parameters = request.parameters
    return Sketch(
        request.computation,
        str(parameters.get("starts", "")),
        str(parameters.get("ends", "")),
        digest(request.commitments)[:32],
        tuple(sorted(_hashed(path, value) for path, value in _leaves(parameters)))[:MOST_LEAVES],
    )


def difference(request: JobRequest, earlier: Sketch) -> str | None:
    """How the question differs from the earlier one, in words; None if they are not alike."""
    return similar(request, {"": earlier}).get("")


def similar(request: JobRequest, asked: Mapping[str, Sketch]) -> dict[str, str]:
    """The earlier jobs that asked almost the same, and how they differ."""
    ours, names = sketch_of(request), {_hashed(p, v): p for p, v in _leaves(request.parameters)}
    leaves = Counter(ours.leaves)
    found = {job: _difference(ours, leaves, names, sketch) for job, sketch in asked.items()}
    return {job: how for job, how in found.items() if how is not None}


def _difference(
    ours: Sketch, leaves: Counter[str], names: Mapping[str, str], earlier: Sketch
) -> str | None:
    """The words, or None; ``leaves`` are ours, counted, and ``names`` their paths."""
    if ours.computation != earlier.computation or not _overlap(ours, earlier):
        return None
    if abs(len(ours.leaves) - len(earlier.leaves)) > MOST_CHANGED:
        return None
    others = Counter(earlier.leaves)
    added, removed = leaves - others, others - leaves
    if added.total() + removed.total() > MOST_CHANGED:
        return None
    # Another dataset or column in another's place is another question, not a shade of the same.
    if any(x.startswith("s") for x in added) and any(x.startswith("s") for x in removed):
        return None
    changed = sorted({names[x] for x in added if x in names})
    if changed:
        return "only in " + " and ".join(changed)
    if removed:
        return "only in a condition, value or crowd that it leaves out"
    if (ours.starts, ours.ends) != (earlier.starts, earlier.ends):
        return "only in its period, which overlaps"
    return "not at all" if ours.data == earlier.data else "not at all, but the data have changed"


def check_similar(contract: Contract, request: JobRequest, asked: Mapping[str, Sketch]) -> None:
    """`Refusal` ``guard.similar`` if the period has seen enough questions like this one.

    ``asked`` are the sketches of the period's charged jobs, by job.
    """
    most = contract.privacy.similar_questions
    alike = similar(request, asked) if len(asked) >= most else {}
    if len(alike) < most:
        return
    shown = ", ".join(job[:12] for job in list(alike)[-5:])
    how = list(alike.values())[-1]
    raise Refusal(
        "guard.similar",
        f"{len(alike)} questions of this {contract.privacy.period} period are almost the same as this one "
        f"({shown}{' and others' if len(alike) > 5 else ''}); from the last of them it differs {how}. "
        "Subtracting such answers tells about the few people who are in one and not in the other",
        remedy="ask for both at once, as segments or crowds of one question; use the recorded answer; wait for the "
        "next period; or agree on a higher privacy.similar_questions",
        where=f"contract {contract.id}",
    )


def _overlap(one: Sketch, other: Sketch) -> bool:
    """Whether the periods share a day; a question without a period is about all of them."""
    if not (one.starts and one.ends and other.starts and other.ends):
        return True
    return one.starts < other.ends and other.starts < one.ends  # ISO dates sort as text


def _leaves(value: Any, path: str = "", key: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything that is said, without names; places in lists do not count."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name in _NAMES or (not path and name in ("starts", "ends")):
                continue
            at = "[]" if key in _NAMED_TABLES else f".{name}" if path else name
            yield from _leaves(part, path + at, "" if key in _NAMED_TABLES else name)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, f"{path}[]")
    elif value is not None:
        yield path, value


def _hashed(path: str, value: Any) -> str:
    kind = "s" if path.rsplit(".", 1)[-1].removesuffix("[]") in _SUBJECTS else "v"
    plain = str(value) if not isinstance(value, bool | int | float | str) else value
    return kind + digest([path, plain])[:_HASH_DIGITS]
