"""``hanse init`` and ``hanse node``: folders, and real processes."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_stage import Hanse, MakeNode, refused

from hanse.cli.node_process import launch, lives
from hanse.node.faces import facade

LINE = re.compile(
    r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(debug|info|warning|error) part=[a-z.]+ message=".*"'
)


def command(*words: object) -> subprocess.CompletedProcess[str]:
    """``hanse`` in a process of its own."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "hanse.cli", *map(str, words)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_init_makes_a_node_with_private_keys_and_says_what_is_next(
    hanse: Hanse, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "media"
    ran = hanse("init", folder, "--party", "media-house", "--organisation", "A media company",
                "--listen", "127.0.0.1:7470")  # fmt: skip
    assert ran.status == 0, ran.err
    assert facade.configuration(folder).party == "media-house"
    with facade.office_of(folder) as office:
        assert office.identity.card.spoken in ran.out
    for key in (folder / "keys").iterdir():
        assert stat.S_IMODE(key.stat().st_mode) & 0o077 == 0
    assert "partner add" in ran.out


def test_a_node_that_only_dials(hanse: Hanse, tmp_path: Path) -> None:
    ran = hanse(
        "init", tmp_path / "x", "--party", "media-house", "--organisation", "A", "--no-listen"
    )
    assert ran.status == 0
    assert facade.configuration(tmp_path / "x").listen is False


def test_init_refuses_to_touch_an_existing_node(hanse: Hanse, make_node: MakeNode) -> None:
    folder = make_node("media-house")
    before = (folder / "identity.json").read_bytes()
    refused(hanse("init", folder, "--party", "media-house", "--organisation", "A"), "node.exists")
    (folder / "hanse.toml").unlink()
    refused(hanse("init", folder, "--party", "media-house", "--organisation", "A"), "keys.exist")
    assert (folder / "identity.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["--party", "Media House", "--organisation", "A"], "config.value", 1),
        (["--party", "media-house", "--organisation", "x" * 65], "config.value", 1),
        (["--party", "media-house", "--organisation", ""], "config.value", 1),
        (["--party", "media-house", "--organisation", "A", "--listen", "here"], "usage", 2),
        (["--party", "media-house", "--organisation", "A", "--listen", "a:1", "--no-listen"], "usage", 2),
    ],
)  # fmt: skip
def test_init_with_bad_words_makes_nothing(
    hanse: Hanse, tmp_path: Path, words: list[str], code: str, status: int
) -> None:
    refused(hanse("init", tmp_path / "node", *words), code, status=status)
    assert not (tmp_path / "node").exists()


def test_commands_to_a_stopped_node_say_so(hanse: Hanse, make_node: MakeNode) -> None:
    folder = make_node("media-house")
    for words in (
        ["node", "status"],
        ["node", "stop"],
        ["contract", "push", "x"],
        ["job", "cancel", "x"],
    ):
        refused(hanse(*words, "--node", folder), "node.stopped", "hanse node start")


def test_a_node_in_the_background_lives_until_it_is_stopped(
    hanse: Hanse, make_node: MakeNode
) -> None:
    folder = make_node("media-house")
    started = command("node", "start", "--background", "--node", folder)
    assert started.returncode == 0, started.stderr
    try:
        found = hanse("node", "status", "--json", "--node", folder).json
        assert found["party"] == "media-house"
        host, port = found["address"]
        assert f"{host}:{port}" in started.stdout
        assert str(found["process"]) in started.stdout
        socket.create_connection((host, port), 5).close()
        assert "listening on" in hanse("node", "status", "--node", folder).out
        again = command("node", "start", "--background", "--node", folder)
        assert again.returncode == 1
        assert "error [node.running]" in again.stderr
    finally:
        stopped = hanse("node", "stop", "--node", folder)
    assert stopped.status == 0, stopped.err
    assert not lives(found["process"])
    lines = (folder / "data" / "node.log").read_text().splitlines()
    # The second start failed: its one error is there too, and nothing else that is not a log line.
    odd = [line for line in lines if not LINE.fullmatch(line)]
    assert [line[:20] for line in odd if not line.startswith("  ")] == ["error [node.running]"]
    assert any("listening on" in line for line in lines)
    assert any("stopped" in line for line in lines)


def test_a_taken_port_is_told_by_the_command_that_starts(hanse: Hanse, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        folder = tmp_path / "node"
        hanse(
            "init",
            folder,
            "--party",
            "media-house",
            "--organisation",
            "A",
            "--listen",
            f"127.0.0.1:{port}",
        )
        ran = hanse("node", "start", "--background", "--node", folder)
    refused(ran, "node.port", str(port))


def test_a_node_with_a_lifeline_ends_with_the_process_that_holds_it(make_node: MakeNode) -> None:
    folder = make_node("media-house")
    starting = launch(folder, lifeline=True)
    try:
        assert starting.wait()["party"] == "media-house"
        begun = time.monotonic()
        assert starting.process.stdin is not None
        starting.process.stdin.close()
        assert starting.process.wait(20) == 0
        assert time.monotonic() - begun < 15
        assert facade.status(folder) is None
    finally:
        starting.end(1.0)
