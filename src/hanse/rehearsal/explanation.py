"""What every party saw in a job, and what it could infer from it, in plain words.

Written from the tap (which messages arrived, how large), from the gate's record (what was opened) and from the
contract; the words about a step are those of the protocol's own *Reveals*.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from hanse.contracts import TRUST
from hanse.measure.fields import CountField, CrowdField
from hanse.rehearsal.running import Message

if TYPE_CHECKING:
    from hanse.catalog import RowsReport
    from hanse.rehearsal.answer import Answer

_MASKED = "random numbers to it: nothing"
# step, what it is, what its receiver learns from it; the first that fits. {} is the step's party.
_STEPS: tuple[tuple[str, str, str], ...] = (
    (r"agree(?:\.job|\.key)?", "keys, nonces and a hash of the job", "nothing about people"),
    (r"(?:upload|lock)\..+\.held", "hashes, to compare who was sent what", "nothing"),
    (r"upload\.(.+)\.(?:seed\d|rows)", "shares of the rows of {}",
     "random numbers while one of three parts is missing: nothing"),
    (r"lock\.(.+)", "shares of the output lock of {}", _MASKED),
    (r"program\.(.+)\.[^.]+\.(?:sort|read)\.(?:seed\d|rows)", "parts of the orders in which {} sums by place",
     "random orders while one of three parts is missing: nothing"),
    (r"program\.(.+)\.[^.]+\.rising/open.*", "whether the places of {} are kept apart",
     "one yes or no; yes for an unmodified node"),
    (r"program\..+\.held", "hashes, to compare who was sent what", "nothing"),
    (r"program\.(.+)\.[^.]+\.(?:ends|rising)/.*", "masked values of that check for {}", _MASKED),
    (r"check\.(.+)/open.*", "whether the ids of {} are sorted and unique",
     "one yes or no; yes for an unmodified node"),
    (r"check\.(.+)/.*", "masked values of that check for {}", _MASKED),
    (r"shuffle/.*", "masked rows on their way into an order that nobody knows", _MASKED),
    (r"tag/.*", "masked values of the tags", _MASKED),
    (r"tags/open\.(.+?)(?:\.hash)?", "the tags of {}",
     "anonymous numbers under a key that nobody holds; equal ones show the pattern counts"),
    (r"compute/.*", "masked values of the computation", _MASKED),
    (r"release/.*", "masked values of noise and threshold", _MASKED),
    (r"record", "a hash of the record of what was opened", "nothing"),
    (r"record\..*", "the record of what was opened", "what kind of thing was opened to whom, and at what price"),
    (r"unlock\.(.+)", "the output lock of {}", "random numbers; together with all others they open the result"),
    (r"result(?:\.hash)?", "the locked result", "nothing before all locks are there, then the result"),
    (r".*", "messages of the protocol", _MASKED),
)  # fmt: skip


def explain(answer: Answer[Any]) -> str:
    """The explanation of one answer, a paragraph per party."""
    job = answer.job
    lines = list(_heading(answer))
    if not answer.recorded:
        for party in dict.fromkeys(party for _, party in job.roles):
            lines += ["", party, *(f"  {line}" for line in _party(answer, party))]
    lines += ["", "Whom this trusts", f"  {TRUST}"]
    return "\n".join(lines)


def _heading(answer: Answer[Any]) -> Iterator[str]:
    request, contract = answer.job.request, answer.job.contract
    if answer.recorded:
        yield (
            "The recorded answer to the same question over the same data was given again: nobody received "
            "anything new, and no budget was touched."
        )
        return
    total = sum(m.bytes for m in answer.messages)
    yield (
        f"{answer.job.entry.title}: {len(answer.messages):,} messages, {_size(total)}, "
        f"{answer.seconds:.1f} s. Who learns what: {answer.job.entry.learns}."
    )
    if answer.noise:
        yield (
            f"Towards the recipients people are protected with epsilon {request.epsilon:g} and a threshold of "
            f"{contract.privacy.k}; towards the seats with epsilon {request.epsilon_join:g}, "
            f"delta {contract.join.delta:g}."
        )
    else:
        yield "The noise was off. No node would answer like this: these figures can give people away."


def _party(answer: Answer[Any], party: str) -> Iterator[str]:
    job = answer.job
    numbers = [n for n, (_, p) in enumerate(job.roles) if p == party]
    for name in job.request.datasets:
        dataset = job.contract.dataset(name)
        if dataset is not None and dataset.provider == party and name in answer.reports:
            yield f"at home, {name}: {_report(answer.reports[name], uncut(job.plan))}"
    for number in numbers:
        yield from _role(answer, number)
    yield "could infer:"
    yield from (f"  - {text}" for text in _inferences(answer, {job.roles[n][0] for n in numbers}))


def _role(answer: Answer[Any], number: int) -> Iterator[str]:
    received = [m for m in answer.messages if m.target == number]
    role = answer.job.roles[number][0]
    yield f"as {role}: received {len(received):,} messages, {_size(sum(m.bytes for m in received))}"
    found: dict[tuple[str, str], list[Message]] = {}
    parties: dict[tuple[str, str], list[str]] = {}
    for message in received:
        what, learns, of = _meaning(message.step)
        found.setdefault((what, learns), []).append(message)
        if of and of not in parties.setdefault((what, learns), []):
            parties[what, learns].append(of)
    for (what, learns), messages in found.items():
        named = what.format(", ".join(parties.get((what, learns), [])))
        size = _size(sum(m.bytes for m in messages))
        yield f"  {named} ({len(messages):,} messages, {size}): {learns}"


def _meaning(step: str) -> tuple[str, str, str]:
    """What the step is, what is learnt from it, and whose it is."""
    for pattern, what, learns in _STEPS:
        match = re.fullmatch(pattern, step)
        if match is not None:
            of = match.group(1) if match.re.groups and "{}" in what else ""
            return what, learns, of or ""
    return "messages of the protocol", _MASKED, ""


def _inferences(answer: Answer[Any], roles: set[str]) -> Iterator[str]:
    job = answer.job
    is_seat = any(role.startswith("seat") for role in roles)
    sizes = ", ".join(f"{p} {job.plan.capacities[p]:,}" for p in job.providers)
    yield f"the question itself, and the declared capacities ({sizes}): they are public to all of them"
    counts = [(name, n) for o in answer.disclosures.openings for name, n in o.seen.items()]
    shared = ", ".join(f"{name} {n:,}" for name, n in counts if " + " in name)
    if shared and is_seat:
        yield (
            "the pattern counts, from equal tags: how many anonymous groups these have in common, an "
            f"unknown number of dummies included ({shared})"
        )
    if "recipient" not in roles:
        yield "of the result: nothing"
    else:
        yield "the result: " + _result(answer)
        if is_seat and answer.noise:
            both = job.request.epsilon + job.request.epsilon_join
            yield f"being seat and recipient it sees both: together they cost a person epsilon {both:g}"
    beyond = "these noised figures" if answer.noise else "these figures"
    yield f"of any person outside its own tables: nothing beyond {beyond}"


def _result(answer: Answer[Any]) -> str:
    outputs = answer.job.plan.release.outputs
    hidden = sum(1 for row in answer.result.body().get("rows", []) if row.get("suppressed"))
    noised = "noised figures" if answer.noise else "exact figures (noise off)"
    rest = f", and that {hidden} more are suppressed" if hidden else ""
    return f"{outputs - hidden} {noised}{rest}"


def _report(report: RowsReport, whole: Collection[str]) -> str:
    """In words; ``whole`` are `uncut`."""
    parts = [f"{report.source_rows:,} rows read", f"{report.people:,} people shared"]
    dropped = {
        "ids empty": report.ids.empty,
        "ids invalid": sum(report.ids.invalid.values()),
        "people withdrawn": report.withdrawn,
        "people without a matching event": report.without_events,
    }
    parts += [f"{count:,} {what}" for what, count in dropped.items() if count]
    cut = max((n for of, n in report.cut_by_slots.items() if of not in whole), default=0)
    if cut:
        parts.append(
            f"{cut:,} people had more events than slots, of which some, spread over the period, count"
        )
    parts += [f"{n:,} rows with an unlisted {label}" for label, n in report.unlisted.items() if n]
    return ", ".join(parts)


def uncut(plan: Any) -> set[str]:
    """Fields that no event is missing from: crowds and counts need no more events than they keep.

    Nor is a place of visit beyond the slots missing: the question says how many count.
    """
    fields = getattr(plan, "fields", ())
    whole = {known.name for known in fields if isinstance(known, CrowdField | CountField)}
    return whole | {w.name for w in getattr(plan, "whereabouts", ())}


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
