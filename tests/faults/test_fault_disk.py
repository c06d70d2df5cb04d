"""A full disk at the worst moments: a clear error on all sides, books in order once there is room, and a rerun."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_federation import CHARGED, Federation, until
from fault_people import is_right

from hanse.errors import HanseError
from hanse.ledger import Entry
from hanse.node.jobs.runner import Question

WITHIN = 5.0
_NO_LIMIT = 1_073_741_823


class FullDisk:
    """From the first ledger entry of a kind on, no write of the node's store finds room, until `free`."""

    def __init__(self, federation: Federation, name: str, kind: str) -> None:
        self.full = False
        store = federation[name].running.store
        append, writing = store.ledger.append, store.database.writing

        def appending(entry: Entry, expected_previous: str) -> None:
            self.full = self.full or (self._armed and entry.kind == kind)
            append(entry, expected_previous)

        @contextlib.contextmanager
        def limited() -> Iterator[Any]:
            with writing() as connection:
                if self.full:
                    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
                    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
                    try:
                        connection.exec_driver_sql(
                            "CREATE TABLE filler AS SELECT zeroblob(1 << 20)"
                        )
                    finally:
                        connection.exec_driver_sql(f"PRAGMA max_page_count = {_NO_LIMIT}")
                yield connection

        self._armed = True
        store.ledger.append = appending  # type: ignore[method-assign]
        store.database.writing = limited  # type: ignore[method-assign]

    def free(self) -> None:
        self._armed = self.full = False


def ask(federation: Federation, question: Question) -> tuple[HanseError, str]:
    """The error, and the job, without waiting for books that cannot be closed yet."""
    before = federation.known_jobs()
    with pytest.raises(HanseError) as raised:
        federation.ask(question)
    jobs = federation.known_jobs() - before
    assert len(jobs) <= 1
    return raised.value, next(iter(jobs), "")


@pytest.mark.parametrize(
    ("name", "kind", "budget"),
    [
        ("birch", "commit", "released"),
        ("dune", "commit", "released"),
        ("ash", "commit", "released"),  # a seat and a provider at one node
        ("birch", "disclosure", "committed"),
        ("birch", "reserve", ""),
        ("cedar", "permit", "released"),
    ],
)
def test_a_disk_that_is_full(
    linked: Federation, asked: Question, name: str, kind: str, budget: str
) -> None:
    disk = FullDisk(linked, name, kind)
    error, job = ask(linked, asked)
    assert error.code == "disk.full", str(error)
    assert name in error.message
    others = [other for other in (*CHARGED, "elm") if other != name]
    linked.wait_over(others, within=WITHIN)
    assert disk.full
    if budget:
        expected = "committed" if kind == "disclosure" else "reserved"
        assert linked[name].budget_of(job) == expected  # nothing can be written down yet
    disk.free()
    linked.wait_over(within=WITHIN)
    assert linked[name].budget_of(job) == budget
    linked.check_story(error, job, "disk.full", name)
    assert str(linked.root) not in str([error.public(), *linked.stories(job).values()])
    linked.check_result_was_paid(job)
    linked.check_records()
    assert is_right(linked.people(asked))


def test_a_recipient_that_cannot_keep_the_answer(linked: Federation, asked: Question) -> None:
    disk = FullDisk(linked, "elm", "answer")
    error, job = ask(linked, asked)
    assert error.code == "disk.full"
    assert "elm" in error.message
    disk.free()
    linked.wait_over(within=WITHIN)
    assert linked.stories(job).keys() == {"elm"}  # the others had done all of their part
    assert not (linked["elm"].jobs()[job].result or {}).get("result")
    assert all(linked[name].budget_of(job) == "committed" for name in CHARGED)
    linked.check_records()
    assert is_right(linked.people(asked))


def test_an_end_that_cannot_be_written_down(linked: Federation, asked: Question) -> None:
    """The answer is in the ledger already: it is given, and the end is written down when there is room."""
    disk = FullDisk(linked, "elm", "job")
    assert is_right(linked.people(asked))
    assert disk.full
    disk.free()
    linked.wait_over(within=WITHIN)
    linked.check_records()


def test_a_restart_after_a_full_disk(linked: Federation, asked: Question) -> None:
    disk = FullDisk(linked, "birch", "commit")
    _, job = ask(linked, asked)
    linked["birch"].stop()
    disk.free()
    assert linked["birch"].budget_of(job) == "reserved"
    linked["birch"].start()
    linked.linked()
    assert linked["birch"].budget_of(job) == "released"
    assert linked["birch"].jobs()[job].state == "failed"
    linked.check_records()
    assert is_right(linked.people(asked))


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """The folder's files on a disk of their own; skips the test where that is not allowed."""
    aside = folder.with_name("aside")
    shutil.copytree(folder, aside)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("this process may not mount a small disk")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
        (folder / "filler").unlink(missing_ok=True)
        shutil.copytree(folder, aside, dirs_exist_ok=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607
        shutil.copytree(aside, folder, dirs_exist_ok=True)


def fill(folder: Path) -> None:
    """Leave no room at all."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_disk_that_really_is_full(linked: Federation, asked: Question) -> None:
    birch = linked["birch"]
    birch.stop()
    with small_disk(birch.data, megabytes=8):
        birch.start()
        linked.linked()

        def tap(_party: str, frame: Any) -> Any:
            if frame.step == "record.digest" and not (birch.data / "filler").exists():
                fill(birch.data)
            return frame

        birch.running.exchange.tap = tap
        error, job = ask(linked, asked)
        birch.running.exchange.tap = None
        assert error.code == "disk.full", str(error)
        assert "birch" in error.message
        (birch.data / "filler").unlink()
        linked.wait_over(within=WITHIN)
        assert birch.budget_of(job) == "released"
        linked.check_story(error, job, "disk.full", "birch")
        linked.check_records()
        assert is_right(linked.people(asked))
        birch.stop()
    birch.start()
    until(lambda: not birch.open_jobs(), WITHIN, "recovered")
    linked.check_records()
