"""The demo's story: four organisations, one contract, three questions, and a check of every answer."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hanse.cli.demo.federation import Federation

Document = dict[str, Any]


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="No animation; status 0 only if the check holds.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="An empty or new folder for the four nodes; it is kept.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
    daily: Annotated[
        bool, typer.Option("--daily", help="Instead: three owners of street counters, every day.")
    ] = False,
) -> None:
    """Four organisations on this machine measure a campaign together, on simulated shopping data."""
    from hanse.cli.demo.daily import DailyStory
    from hanse.cli.demo.data import reader
    from hanse.cli.demo.federation import ended_by_signals, undisturbed
    from hanse.cli.screen import console
    from hanse.errors import Refusal

    if not daily:
        reader()  # without data there is no need to begin
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal("demo.folder", "the demo needs an empty folder",
                      remedy="name a new one, or leave --folder out", where=str(folder))  # fmt: skip
    root = folder.absolute() if folder is not None else Path(tempfile.mkdtemp(prefix="hanse-demo-"))
    root.mkdir(parents=True, exist_ok=True)
    told = DailyStory if daily else Story
    story = told(console(), root, animated=not headless)
    kept = keep or folder is not None
    try:
        with ended_by_signals():
            story.tell(kept)
    except Exception:
        kept = True  # so that the logs can be read
        story.screen.print(f"The nodes' folders and logs are kept in {root}.")
        raise
    finally:
        with undisturbed():
            story.end()
            if not kept:
                shutil.rmtree(root, ignore_errors=True)


@dataclass
class Story:
    """What happens, in order, and how it is shown."""

    screen: Console
    folder: Path
    animated: bool
    federation: Federation | None = None
    begun: float = field(default_factory=time.monotonic)
    times: dict[str, float] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)

    def tell(self, kept: bool) -> None:
        """The whole demo. Raises `Fault` ``demo.check`` if the published values are not right."""
        self.introduce()
        with self.timed("four nodes and their data"):
            self.set_up()
        with self.timed("the contract"):
            self.agree()
        answers = []
        with self.timed("three questions"):
            answers = self.ask_all()
        with self.timed("the check"):
            self.check(answers)
        with self.timed("the console"):
            self.show_console(answers)
        self.conclude(kept)

    def end(self) -> None:
        """Stop every node. Never raises."""
        if self.federation is not None:
            self.federation.stop()

    # --- telling --------------------------------------------------------------------------------

    def chapter(self, title: str) -> None:
        self.screen.print()
        self.screen.rule(title, align="left", style="cyan")

    def command(self, line: str) -> None:
        """Show a command, the first of each kind; the other organisations do the same."""
        words = line.split()
        kind = " ".join(words[: 2 if words[1] == "init" else 3])
        if kind not in self.shown:
            self.shown.add(kind)
            line = line.replace(str(self.folder) + "/", "")
            self.screen.print(f"  $ {line}", style="bright_black", soft_wrap=True)

    def look_around(self, password: str, address: str, nodes: str) -> None:
        """At a terminal: where the console is and how to sign in; the ``nodes`` run until Ctrl-C."""
        from hanse.cli.demo import pages

        if not self.animated or not self.screen.is_terminal:
            return
        self.screen.print(f"  Look around: {address}", soft_wrap=True)
        self.screen.print(f"  Name: {pages.USER}   Password, to be changed at once: {password}")
        self.screen.print(f"  The {nodes} nodes run until you press Ctrl-C here.", style="bold")
        pages.wait_for_ctrl_c()

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.times[what] = time.monotonic() - begun

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """A spinner while something takes its time."""
        if not self.animated or not self.screen.is_terminal:
            self.screen.print(f"  {what}")
            yield
            return
        with self.screen.status(what):
            yield
        self.screen.print(f"  {what}")

    # --- the chapters ---------------------------------------------------------------------------

    def introduce(self) -> None:
        from hanse.cli.demo.data import LABEL
        from hanse.cli.demo.documents import ORGANISATIONS
        from hanse.cli.screen import table

        self.screen.print("Four organisations measure a campaign together. None shows its data to another.",
                          style="bold")  # fmt: skip
        self.screen.print(f"Data: {LABEL}.")
        self.screen.print(
            table(
                ("organisation", "node", "gives", "computes"),
                [
                    (o.organisation, o.name, o.gives, "" if o.seat is None else f"seat {o.seat}")
                    for o in ORGANISATIONS
                ],
            )
        )

    def set_up(self) -> None:
        from hanse.cli.demo.data import write_data
        from hanse.cli.demo.documents import DATASETS
        from hanse.cli.demo.federation import Federation
        from hanse.node.faces import facade

        self.chapter("1  Four nodes: own keys, own store, own data, one process each")
        federation = self.federation = Federation(self.folder, self.command)
        federation.found()
        # Once here, or the first time four nodes would compile the same kernels at once.
        with self.busy("The kernels are compiled, or loaded from an earlier time."):
            facade.warm_up()
        federation.start()
        with self.busy(
            "Each organisation's own file is written into its own data folder, as Parquet."
        ):
            rows = write_data({m.about.dataset: m.data for m in federation.all()})
        for member in federation.all():
            name = member.about.dataset
            (member.folder / f"{name}.toml").write_text(DATASETS[name])
            federation.do(member, "dataset", "add", str(member.folder / f"{name}.toml"))
        counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
        self.screen.print(f"  Registered at home, nowhere else: {counts}.")
        with self.busy(
            "The four processes link up in pairs, over mutual TLS with pinned certificates."
        ):
            federation.wait()

    def agree(self) -> None:
        from datetime import UTC, datetime

        from hanse.cli.demo.documents import (
            ASKING,
            BUDGET,
            CONTRACT,
            EPSILON,
            RECIPIENTS,
            K,
            contract,
        )

        federation = self.members()
        self.chapter("2  One contract, signed by all four")
        asking = federation.members[ASKING.name]
        draft = asking.folder / "contract.toml"
        draft.write_text(contract(datetime.now(UTC).date()))
        federation.do(asking, "contract", "draft", str(draft))
        federation.do(asking, "contract", "push", CONTRACT)
        for member in federation.all():
            federation.do(member, "contract", "sign", CONTRACT)
            federation.do(member, "contract", "push", CONTRACT)
        self.screen.print(
            f"  It allows one thing: funnels over these four datasets, results to {' and '.join(RECIPIENTS)}.\n"
            f"  No count below k = {K} is shown; every question costs epsilon {EPSILON:g} of the {BUDGET:g} "
            "that each provider's people have."
        )

    def ask_all(self) -> list[tuple[Document, Document]]:
        from hanse.cli.demo.documents import ASKING, QUESTIONS
        from hanse.cli.progress import JobWatch
        from hanse.cli.report import show_disclosure, show_result, work_line
        from hanse.cli.run_command import ask, read_question

        node = self.members().members[ASKING.name].folder
        answers = []
        for number, asked in enumerate(QUESTIONS, start=1):
            path = node / asked.file
            path.write_text(asked.toml)
            self.chapter(f"{number + 2}  Question {number}")
            self.screen.print(asked.words)
            self.screen.print(f"  $ hanse run {ASKING.name}/{asked.file}", style="bright_black")
            question = read_question(path)
            with JobWatch(self.screen, quiet=0.3 if self.animated else float("inf")) as watch:
                answer = ask(node, question, watch)
            show_result(self.screen, answer["result"])
            if asked.remark:
                self.screen.print(asked.remark)
            report = answer["disclosure"]
            if number == 1:
                self.screen.print()
                show_disclosure(self.screen, report)
            else:
                self.screen.print(
                    f"Disclosure: as in question 1, {len(answer['result']['rows'])} counts to "
                    f"{' and '.join(report['recipients'])}; in full: hanse job show {answer['job'][:12]}"
                )
            self.screen.print(work_line(answer["seconds"], report["work"]), style="green")
            answers.append((question, answer))
        return answers

    def check(self, answers: list[tuple[Document, Document]]) -> None:
        from hanse.cli.demo.check import Findings, compare, tables
        from hanse.cli.demo.documents import ASKING, CONTRACT
        from hanse.errors import Fault
        from hanse.node.faces import facade

        federation = self.members()
        self.chapter("6  The check")
        everything = tables(
            {m.about.dataset: m.data / f"{m.about.dataset}.parquet" for m in federation.all()}
        )
        with facade.office_of(federation.members[ASKING.name].folder) as office:
            contract = facade.bundle(office, CONTRACT).contract
        found = Findings()
        values = sum(len(answer["result"]["rows"]) for _, answer in answers)
        for question, answer in answers:
            compare(found, question, answer["result"]["rows"], contract, everything, values)
        self.screen.print(
            "Only this demo holds all four files, so only it can compute the plain truth (in SQL) and compare."
        )
        if not found.holds:
            raise Fault("demo.check", "published values are not what the plain truth allows: "
                        + "; ".join(found.wrong[:5]), remedy="report it as a defect, with the folder")  # fmt: skip
        self.screen.print(
            f"All {found.published} published values lie within their intervals around the truth (at 99.9 % for "
            f"all together, at most ± {found.widest} people; largest difference {found.largest}). "
            f"All {found.suppressed} suppressed ones were too small to be shown.",
            style="bold green",
        )
        for member in federation.all():
            federation.do(member, "ledger", "verify")
        self.screen.print(
            "  The ledgers of all four nodes hold: unbroken, each signed with its node's key."
        )

    def show_console(self, answers: list[tuple[Document, Document]]) -> None:
        """The first answer once more, in the asking organisation's console; a person may look around."""
        from hanse.cli.demo import pages
        from hanse.cli.demo.documents import ASKING

        node = self.members().members[ASKING.name].folder
        self.chapter("7  The same in the console")
        first = answers[0][1]
        figure = f"{first['result']['rows'][0]['people']:,}"
        with pages.shown(node) as shown:
            address = pages.check(node, shown.url, first["job"], figure)
            self.screen.print(
                f"The console of {ASKING.organisation} shows question 1, with the {figure} people it began with."
            )
            self.command(f"hanse console --node {node}")
            self.look_around(shown.password, address, "four")

    def conclude(self, kept: bool) -> None:
        from hanse.cli.demo.documents import ASKING, CONTRACT
        from hanse.cli.report import show_accounts
        from hanse.cli.screen import size
        from hanse.node.faces import facade

        federation = self.members()
        node = federation.members[ASKING.name].folder
        self.chapter("8  What it cost")
        with facade.office_of(node) as office:
            contract = facade.bundle(office, CONTRACT).contract
            show_accounts(self.screen, [a.body() for a in facade.accounts(office, contract)])
        total = time.monotonic() - self.begun
        parts = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in self.times.items())
        self.screen.print(
            f"{total:.1f} s in all: {parts}. The four nodes sent {size(federation.bytes_sent())}."
        )
        if not kept:
            self.screen.print(
                "The folder is removed now; 'hanse demo --keep' leaves it for you to look at."
            )
            return
        self.screen.print(
            f"\nEverything is kept in {self.folder}. The nodes stop now. Try:", style="bold"
        )
        for line in (
            f"export HANSE_NODE={node}",
            f"hanse contract show {CONTRACT}",
            "hanse job list",
            "hanse ledger list",
            f"for n in {self.folder}/*/; do hanse node start --background --node $n; done",
            f"hanse run --dry-run {node}/by-age.toml",
            f"for n in {self.folder}/*/; do hanse node stop --node $n; done",
        ):
            self.screen.print(f"  {line}", soft_wrap=True)

    def members(self) -> Federation:
        if self.federation is None:
            raise RuntimeError("the federation is not founded yet")
        return self.federation
