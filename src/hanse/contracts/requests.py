"""What an analyst asks for: one job, in a form that every node can check and sign.

The job's hash binds the contract, the question, the data (by commitments), the code, the outputs,
the price and the attempt. Masks, permits and ledger entries all hang on it, so a rerun is a new
attempt with another hash: equal masks on different data would show the difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from hanse.contracts.fields import (
    ColumnNameOrEmpty,
    Document,
    Hash,
    HashOrEmpty,
    Label,
    Name,
    Nonce,
    Slug,
    SlugOrEmpty,
)
from hanse.contracts.terms import Contract
from hanse.errors import Refusal
from hanse.problems import ProblemsError, refusal
from hanse.wire.codec import canonical, digest

Purpose = Literal["filter", "segment", "order", "value", "place", "membership", "feature", "target"]

MAX_PARAMETERS_BYTES = 1 << 16
MAX_REQUEST_CHARACTERS = 1 << 18


def _utc(moment: datetime) -> datetime:
    # One instant has one spelling, or equal requests would have different hashes.
    return moment.astimezone(UTC)


def _small_json(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        size = len(canonical(value))
    except (ValueError, RecursionError) as error:
        raise ValueError("must be plain JSON without infinities") from error
    if size > MAX_PARAMETERS_BYTES:
        raise ValueError(f"must be at most {MAX_PARAMETERS_BYTES} bytes of JSON")
    return value


class Use(Document):
    """One way in which a job touches a dataset: a column for a purpose, or bare membership."""

    dataset: Name
    column: ColumnNameOrEmpty = ""
    purpose: Purpose

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.purpose == "membership") != (self.column == ""):
            raise ProblemsError(
                [("column", "must be given, except for the purpose membership, which has none")]
            )
        return self


class Output(Document):
    """One array that the job opens, with its shape, which is public."""

    name: Name
    shape: tuple[Annotated[int, Field(ge=1, le=10_000_000)], ...]


class JobRequest(Document):
    """One job. Times are fields, never read from a clock here.

    ``epsilon`` is what all outputs together cost towards recipients, ``epsilon_join`` what a fresh
    alignment costs towards the seats (0 if there is none). ``roster`` names a roster (`rosters`): one to be made,
    or, with the job that made it in ``roster_job``, one to be used. ``noise=False`` is for data that is not
    about people, and then both are 0. ``commitments`` has one entry per dataset used: the hash of
    the shares the seats hold, or "" while there are none yet.
    """

    contract_id: Slug
    contract_hash: Hash
    computation: Name
    parameters: Annotated[dict[str, JsonValue], AfterValidator(_small_json)] = Field(
        default_factory=dict
    )
    analyst: Slug
    uses: Annotated[tuple[Use, ...], Field(min_length=1, max_length=1000)]
    noise: bool = True
    epsilon: float
    epsilon_join: float
    recipients: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=64)]
    attempt: Annotated[int, Field(ge=1)]
    created: Annotated[AwareDatetime, AfterValidator(_utc)]
    nonce: Nonce
    commitments: dict[Name, HashOrEmpty] = Field(default_factory=dict)
    code_version: Label
    outputs: Annotated[tuple[Output, ...], Field(min_length=1, max_length=1000)]
    roster: SlugOrEmpty = ""
    roster_job: HashOrEmpty = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = []
        if len(set(self.recipients)) < len(self.recipients):
            found.append(("recipients", "names a party twice; name it once"))
        if len({output.name for output in self.outputs}) < len(self.outputs):
            found.append(("outputs", "two outputs share one name; each needs its own"))
        if not set(self.commitments) <= set(self.datasets):
            found.append(("commitments", "names a dataset that the job does not use; remove it"))
        if self.roster_job and not self.roster:
            found.append(("roster", "is missing; a job over a roster names it"))
        if found:
            raise ProblemsError(found)
        return self

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The request made of plain values. Raises `Refusal` ``request.malformed``."""
        try:
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            raise refusal(
                "request.malformed", "the job request", error, fields, _KNOWN_KEYS
            ) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise _unreadable("it holds a value that no request has") from error

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read the JSON form. Raises `Refusal` ``request.malformed``."""
        if len(data) > MAX_REQUEST_CHARACTERS:
            raise _unreadable(f"it is longer than {MAX_REQUEST_CHARACTERS} characters")
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _unreadable("it is not valid JSON") from error
        if not isinstance(fields, dict):
            raise _unreadable("it is not a JSON object")
        return cls.from_fields(fields)

    def fields(self) -> dict[str, Any]:
        """The JSON form: plain values only."""
        fields = self.model_dump(mode="json")
        for later in ("roster", "roster_job"):
            if not fields[later]:  # requests from before there were any keep their hash
                del fields[later]
        return fields

    def canonical(self) -> bytes:
        """Canonical JSON: what the hash is made over."""
        return canonical(self.fields())

    @property
    def job_hash(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal: the job's name everywhere."""
        return digest(self.fields())

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets that the job uses, sorted."""
        return tuple(sorted({use.dataset for use in self.uses}))

    def question(self) -> dict[str, Any]:
        """What is asked, without who asks, when, and for the how-manieth time.

        Two jobs with equal questions over equal commitments get the recorded answer.
        """
        fields = self.fields()
        uses = {canonical(use): use for use in fields["uses"]}
        return {
            "contract": self.contract_hash,
            "computation": self.computation,
            "parameters": fields["parameters"],
            "uses": [uses[key] for key in sorted(uses)],
            "noise": self.noise,
            "epsilon": self.epsilon,
            "recipients": sorted(self.recipients),
            "outputs": fields["outputs"],
        }


def providers_of(contract: Contract, request: JobRequest) -> tuple[str, ...]:
    """Parties whose rows can change the job's outputs, sorted: each debits the full cost."""
    used = [contract.dataset(name) for name in request.datasets]
    return tuple(sorted({dataset.provider for dataset in used if dataset is not None}))


def permitting_parties(contract: Contract, request: JobRequest) -> tuple[str, ...]:
    """Parties that must sign a permit before any share moves: seats and providers, sorted."""
    return tuple(sorted({*contract.seats, *providers_of(contract, request)}))


_KNOWN_KEYS = frozenset(key for model in (JobRequest, Use, Output) for key in model.model_fields)


def _unreadable(why: str) -> Refusal:
    return Refusal(
        "request.malformed",
        f"the job request cannot be read: {why}",
        remedy="correct the request and send it again",
        where="the job request",
    )
