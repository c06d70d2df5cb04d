"""The node's configuration: ``hanse.toml`` in the node folder, read once into one frozen value.

Unknown keys are errors that name the key's path and the known name it resembles. Nothing outside
the node folder is used unless its absolute path was written down.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hanse import problems
from hanse.errors import Fault
from hanse.node.identity.cards import PARTY_PATTERN

CONFIG_FILE = "hanse.toml"
DEFAULT_PORT = 7470


def _party(text: str) -> str:
    if PARTY_PATTERN.fullmatch(text) is None:
        raise ValueError("must be 3 to 64 lower-case letters, digits and hyphens")
    return text


def _database(text: str) -> str:
    if re.match(r"postgresql(\+[a-z0-9]+)?://.", text) is None:
        raise ValueError(
            "must be the address of a PostgreSQL database, such as postgresql+psycopg://user@host/database"
        )
    return text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Listen(_Section):
    """Where the node accepts its partners' connections (its one open port)."""

    host: str = Field(min_length=1)
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65535, strict=True)


class Limits(_Section):
    """What the node gives to its jobs; sizes are bytes, or text such as ``"8 GiB"``."""

    maximum_upload: ByteSize = Field(default=ByteSize(8 << 30), ge=1 << 20)
    memory: ByteSize = Field(default=ByteSize(8 << 30), ge=64 << 20)
    # Touched at the start and kept: a node for large jobs is then as fast on its first as on its next.
    warm_memory: ByteSize = Field(default=ByteSize(0), le=64 << 30)


class Store(_Section):
    """Where the node remembers: by default SQLite in the data folder, else a database by URL."""

    url: Annotated[str, AfterValidator(_database)] | None = Field(default=None, repr=False)


def web_address(text: str) -> str:
    """An https address (http on this machine only) without a name, query or part in it."""
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname or "", parts.port
        local = host == "localhost" or (host[:1].isdigit() and ip_address(host).is_loopback)
    except ValueError:
        raise ValueError("is not an address") from None
    bare = not (parts.username or parts.password or parts.query or parts.fragment)
    if not host or not bare or parts.scheme not in (("https", "http") if local else ("https",)):
        raise ValueError("must be https://... (http:// on this machine only), without ? and #")
    return text


WebAddress = Annotated[str, AfterValidator(web_address)]
Role = Literal["analyst", "data-owner", "legal", "risk", "operator", "manager", "auditor", "admin"]


class Oidc(_Section):
    """Signing in to the console at an OpenID Connect provider (`hanse.node.people.sign_on`)."""

    issuer: WebAddress
    client_id: str = Field(min_length=1, max_length=256)
    address: WebAddress  # the console's own; the provider must know ADDRESS/sign-in/oidc/back
    client_secret_file: Path | None = (
        None  # mode 0600; without it HANSE_OIDC_CLIENT_SECRET, or no secret
    )
    title: str = Field(default="OpenID", min_length=1, max_length=64)
    scopes: tuple[str, ...] = ("openid", "profile")
    roles_claim: str = Field(default="groups", min_length=1)
    roles: dict[str, tuple[Role, ...]] = Field(min_length=1)  # a value of the claim: roles here
    name_claim: str = Field(default="preferred_username", min_length=1)
    department_claim: str = Field(default="department", min_length=1)
    department: str = Field(default="not stated", min_length=1, max_length=64)  # without the claim
    create_users: bool = Field(default=False, strict=True)


class ConsoleSection(_Section):
    """The console of this node."""

    oidc: Oidc | None = None


class NodeConfig(_Section):
    """The whole of ``hanse.toml``; `load_config` fills ``folder`` in."""

    folder: Path = Field(exclude=True)
    party: Annotated[str, AfterValidator(_party)]
    organisation: str = Field(min_length=1, max_length=64)
    listen: Listen | Literal[False]
    data: Path = Path("data")
    heartbeat_seconds: float = Field(default=2.0, gt=0, le=60, strict=True)
    lost_after_seconds: float = Field(default=8.0, gt=0, le=600, strict=True)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # Departments that must have approved a contract before this node signs it (`hanse.node.people.reviews`).
    reviews: tuple[Literal["legal", "data-owner", "risk", "government-affairs"], ...] = ()
    limits: Limits = Limits()
    store: Store = Store()
    console: ConsoleSection = ConsoleSection()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lost_after_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lost_after_seconds must be at least twice heartbeat_seconds")
        if not self.data.is_absolute() and ".." in self.data.parts:
            raise ValueError(
                "data must lie in the node's folder; to use another place write its absolute path"
            )
        return self

    @property
    def data_folder(self) -> Path:
        """The folder for the store and data files, absolute."""
        return self.folder / self.data


def load_config(folder: Path) -> NodeConfig:
    """Read ``hanse.toml`` in the node folder ``folder``.

    Raises `Fault`: ``config.missing``, ``config.syntax`` (with the line), ``config.unknown-key``
    or ``config.value``; ``where`` is the path of the key, such as ``limits.memory``.
    """
    path = folder / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Fault(
            "config.missing",
            f"there is no {CONFIG_FILE} here",
            remedy="name the node's folder, or make a node with 'hanse init'",
            where=str(path),
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Fault(
            "config.unreadable",
            f"{CONFIG_FILE} cannot be read: {why}",
            remedy="check the file's owner and permissions; it must be UTF-8 text",
            where=str(path),
        ) from error
    return parse_config(text, folder)


def parse_config(text: str, folder: Path) -> NodeConfig:
    """The configuration that the TOML document ``text`` gives to the node in ``folder``."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Fault(
            "config.syntax",
            f"{CONFIG_FILE} is not valid TOML: {error}",
            remedy="mend the line that the message names",
            where=str(folder / CONFIG_FILE),
        ) from error
    known = [name for name in NodeConfig.model_fields if name != "folder"]
    if "folder" in document:
        raise _unknown(["folder"], known)
    try:
        return NodeConfig.model_validate({**document, "folder": folder.absolute()})
    except ValidationError as error:
        raise _config_fault(error, document) from error


def config_text(party: str, organisation: str, listen: Listen | None) -> str:
    """A commented ``hanse.toml`` for a new node; `parse_config` reads it back."""
    if listen is None:
        where = "listen = false            # this node only dials out; partners must listen\n"
    else:
        where = f"listen = {{ host = {_quoted(listen.host)}, port = {listen.port} }}\n"
    return (
        "# The configuration of one Hanse node. Unknown keys are errors.\n"
        f"party = {_quoted(party)}\n"
        f"organisation = {_quoted(organisation)}\n"
        f"{where}"
        'data = "data"             # inside this folder, or an absolute path\n'
        "heartbeat_seconds = 2\n"
        "lost_after_seconds = 8    # a partner that is silent for so long is lost\n"
        'log_level = "info"        # debug | info | warning | error\n'
        '# reviews = ["legal", "risk"]   # who must approve a contract before it is signed here\n'
        "\n"
        "[limits]\n"
        'maximum_upload = "8 GiB"  # the largest data set one job may hand over\n'
        'memory = "8 GiB"          # what may wait in memory for running jobs\n'
        '# warm_memory = "1 GiB"   # touched at the start, for a node with large jobs\n'
    )


def _quoted(text: str) -> str:
    """``text`` as a TOML basic string."""
    escaped = "".join(
        f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else {'"': '\\"', "\\": "\\\\"}.get(c, c)
        for c in text
    )
    return f'"{escaped}"'


def _config_fault(error: ValidationError, document: dict[str, Any]) -> Fault:
    """The first problem of the document; unknown keys come before values."""
    for item in error.errors(include_url=False, include_input=False):
        if item["type"] == "extra_forbidden":
            path = [str(part) for part in item["loc"] if part not in _UNION_TAGS]
            return _unknown(path, _names_at(path[:-1]))
    where, what = problems.of(error, document)[0]
    if where == "listen":
        what = 'must be false, or { host = "...", port = ... }'
    return Fault(
        "config.value",
        f"{where or CONFIG_FILE}: {what}",
        remedy=f"mend {where or 'the named keys'} in {CONFIG_FILE}",
        where=where,
    )


# The validator adds the name of the tried alternative to a union's path: `listen.Listen.port`.
_UNION_TAGS = ("Listen", "literal[False]")


def _unknown(path: Sequence[str], names: Iterable[str]) -> Fault:
    where = ".".join(path)
    names = sorted(names)
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(names)}"
    return Fault(
        "config.unknown-key",
        f"{CONFIG_FILE} has the unknown key {where!r}",
        remedy=f"remove or correct it; {hint}",
        where=where,
    )


def _names_at(path: Sequence[str]) -> list[str]:
    """The known keys of the section at ``path``."""
    model: type[BaseModel] = NodeConfig
    for part in path:
        model = next(iter(_models_in(model.model_fields[part].annotation)), NodeConfig)
    return [name for name in model.model_fields if name != "folder"]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
