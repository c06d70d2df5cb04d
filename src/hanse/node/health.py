"""What `hanse doctor` and the console's first page look at: this node's health, one finding per thing looked at.

Every check looks and changes nothing. A finding that is not good says what it means and how to mend it.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from hanse import __version__
from hanse.clock import Clock
from hanse.errors import HanseError
from hanse.node.config import NodeConfig
from hanse.node.faces import facade
from hanse.node.identity.keys import KEY_FOLDER, SIGNING_KEY, TLS_KEY, load_identity
from hanse.node.office import ENDED, LIVE, PENDING, NodeOffice, bundle_of

State = Literal["good", "warning", "bad"]
SOON = timedelta(days=30)
_CLOCK_WARNING, _CLOCK_BAD = 5.0, 60.0  # seconds
_LEAST_FILES = 1024
_NEARLY_SPENT = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``remedy`` is empty where all is good."""

    topic: str
    state: State
    what: str
    remedy: str = ""


def examine(folder: Path, clock: Clock) -> list[Finding]:
    """Look at the node in ``folder``, running or not. Never raises a `HanseError`: errors are findings."""
    found: list[Finding] = []
    try:
        config = facade.configuration(folder)
    except HanseError as error:
        return [_bad("configuration", error)]
    found.append(Finding("configuration", "good", f"hanse.toml of {config.party} is read"))
    found += _tried("keys", lambda: _keys(folder, clock))
    found += _tried("disk", lambda: _disk(config))
    found += _tried("machine", lambda: _machine(config))
    running = None
    try:
        running = facade.status(folder)
    except HanseError as error:
        found.append(_bad("node", error))
    found += _tried("node", lambda: _process(config, running))
    if any(f.state == "bad" and f.topic == "keys" for f in found):
        return found
    try:
        with facade.office_of(folder, clock) as office:
            found += _tried("ledger", lambda: _ledger(office))
            found += _tried("partners", lambda: _partners(office, folder, running, clock))
            found += _tried("datasets", lambda: _datasets(office))
            found += _tried("contracts", lambda: _contracts(office, clock.now()))
    except HanseError as error:
        found.append(_bad("store", error))
    return found


def _tried(topic: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found = []
    try:
        for finding in check():
            found.append(finding)  # noqa: PERF402 - what was found before an error is kept
    except HanseError as error:
        found.append(_bad(topic, error))
    except OSError as error:
        found.append(
            Finding(
                topic,
                "bad",
                f"cannot be looked at: {error.strerror}",
                "check owner and permissions",
            )
        )
    return found


def _bad(topic: str, error: HanseError) -> Finding:
    return Finding(topic, "bad", f"[{error.code}] {error.message}", error.remedy)


def _keys(folder: Path, clock: Clock) -> Iterator[Finding]:
    identity = load_identity(folder, clock=clock)
    for name in (SIGNING_KEY, TLS_KEY):
        mode = stat.S_IMODE((folder / KEY_FOLDER / name).stat().st_mode)
        if mode & 0o077:
            yield Finding(
                "keys", "bad", f"{name} can be read by others ({mode:o})", f"chmod 600 {name}"
            )
    ends = identity.card.x509().not_valid_after_utc
    left = ends - clock.now()
    if left < SOON:
        yield Finding("keys", "warning", f"the certificate ends on {ends:%Y-%m-%d}, in {left.days} days",
                      "hanse node renew, and send partners the new card")  # fmt: skip
    else:
        yield Finding(
            "keys", "good", f"keys are private; the certificate holds until {ends:%Y-%m-%d}"
        )


def _disk(config: NodeConfig) -> Iterator[Finding]:
    folder = config.data_folder if config.data_folder.exists() else config.folder
    free = shutil.disk_usage(folder).free
    need = int(config.limits.maximum_upload)
    said = f"{free / 2**30:.1f} GiB free where the data are"
    if not os.access(folder, os.W_OK):
        yield Finding(
            "disk", "bad", "the data folder cannot be written", "check owner and permissions"
        )
    elif free < 1 << 28:
        yield Finding(
            "disk", "bad", said, "free space, or move `data` in hanse.toml to a larger disk"
        )
    elif free < need:
        yield Finding("disk", "warning", f"{said}; limits.maximum_upload promises {need / 2**30:.1f} GiB",
                      "free space, or lower limits.maximum_upload")  # fmt: skip
    else:
        yield Finding("disk", "good", said)


def _machine(config: NodeConfig) -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = int(config.limits.memory)
    if limit > memory:
        yield Finding("machine", "warning",
                      f"limits.memory is {limit / 2**30:.1f} GiB, the machine has {memory / 2**30:.1f}",
                      "lower limits.memory in hanse.toml")  # fmt: skip
    else:
        yield Finding(
            "machine", "good", f"{memory / 2**30:.1f} GiB of memory, {os.cpu_count()} cores"
        )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < _LEAST_FILES:
        yield Finding(
            "machine", "warning", f"at most {files} open files", "ulimit -n 4096 (LimitNOFILE=4096)"
        )


def _process(config: NodeConfig, running: facade.Document | None) -> Iterator[Finding]:
    if running is not None:
        if running["version"] != __version__:
            yield Finding("node", "bad", f"the running node is version {running['version']}, this is {__version__}",
                          "restart the node")  # fmt: skip
        else:
            yield Finding(
                "node", "good", f"runs in process {running['process']}, version {__version__}"
            )
        return
    yield Finding("node", "warning", "the node does not run", "hanse node start")
    if config.listen:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((config.listen.host, config.listen.port))
            except OSError as error:
                yield Finding("node", "bad", f"port {config.listen.port} cannot be opened: {error.strerror}",
                              "stop what uses it, or change `listen` in hanse.toml and tell partners")  # fmt: skip


def _ledger(office: NodeOffice) -> Iterator[Finding]:
    verdict = facade.verify_ledger(office)
    if verdict.ok:
        yield Finding("ledger", "good", f"{verdict.count:,} entries in an unbroken chain")
    else:
        yield Finding("ledger", "bad", f"broken at entry {verdict.first_bad}: {verdict.reason}",
                      "stop the node, keep the store as evidence, compare with a backup and partners")  # fmt: skip


def _partners(
    office: NodeOffice, folder: Path, running: facade.Document | None, clock: Clock
) -> Iterator[Finding]:
    for partner in office.directory().all():
        if not partner.is_confirmed:
            yield Finding(f"partner {partner.name}", "warning", "nobody has compared the digits of its card",
                          f"by telephone, then: hanse partner confirm {partner.name} --digits '...'")  # fmt: skip
        ends = partner.card.x509().not_valid_after_utc
        if ends - clock.now() < SOON:
            yield Finding(f"partner {partner.name}", "warning", f"its certificate ends on {ends:%Y-%m-%d}",
                          "ask for its new card, and compare its digits by telephone")  # fmt: skip
    if running is None:
        return
    for link in running["links"]:
        topic = f"partner {link['party']}"
        if not link["connected"]:
            yield Finding(topic, "bad", link["problem"] or "is not linked",
                          "check that its node runs and that addresses and firewalls are right")  # fmt: skip
            continue
        said = facade.ask(folder, {"verb": "greet", "party": link["party"]})
        off = abs(float(said["seconds_ahead"]))
        if said["version"] != __version__:
            yield Finding(topic, "bad", f"runs version {said['version']}, this node {__version__}",
                          "bring all nodes of a contract to one version")  # fmt: skip
        elif off > _CLOCK_WARNING:
            state: State = "bad" if off > _CLOCK_BAD else "warning"
            yield Finding(topic, state, f"its clock and this one are {off:.0f} s apart",
                          "let both machines take their time from a time server")  # fmt: skip
        else:
            yield Finding(topic, "good", f"linked, same version, clocks {off:.1f} s apart")


def _datasets(office: NodeOffice) -> Iterator[Finding]:
    for stored in office.store.datasets.all():
        try:
            _, problems = facade.check_dataset(office, stored.name)
        except HanseError as error:
            problems = [error]
        topic = f"dataset {stored.name}"
        yield from (_bad(topic, problem) for problem in problems)
        if not problems:
            yield Finding(topic, "good", "can be read, and fits the contracts that name it")


def _contracts(office: NodeOffice, now: datetime) -> Iterator[Finding]:
    for stored in office.store.contracts.all():
        bundle = bundle_of(stored)
        contract, topic = bundle.contract, f"contract {stored.id}"
        if stored.state == ENDED or contract.expires <= now.date():
            continue
        if stored.state == PENDING:
            yield Finding(topic, "warning", f"waits for the signature of {', '.join(bundle.missing())}",
                          f"hanse contract show {stored.id}; sign, push, or remind the others")  # fmt: skip
        elif stored.state != LIVE:
            yield Finding(
                topic, "warning", f"is {stored.state}", f"hanse contract resume {stored.id}"
            )
        elif contract.expires - now.date() < SOON:
            yield Finding(topic, "warning", f"ends on {contract.expires}", "draft its next version")
        if stored.state == LIVE:
            for account in facade.accounts(office, contract):
                if account.spent > _NEARLY_SPENT * account.budget:
                    yield Finding(topic, "warning", f"the privacy budget of {account.provider} is nearly spent "
                                  f"({account.spent:.2f} of {account.budget:g})",
                                  "plan the questions that are left, or agree on a new period")  # fmt: skip
