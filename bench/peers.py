"""The systems Hanse is measured against: their environments, and runs of them by the clock.

    python bench/peers.py psi --rows 100000 --peer rr22 --json
    python bench/peers.py engine --rows 100000 --json
    python bench/peers.py ensure spu

A peer lives in `.peers/<name>` at the root of the repository, made on first use, because it needs
versions (of Python, numpy, JAX) that ours must not be held to. Each party of a peer is a process of
its own on loopback, without TLS. The clock is the one of our own runs: it starts with processes
started, libraries imported, links connected and files unread; it stops when the last party has
written its result. What the peers reveal: RR22 and ECDH tell party 0 which ids are shared.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hanse.errors import Fault, HanseError
from peer_processes import last_words, started, total

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers"
PYTHON_VERSION = (3, 11)
PYTHON_VERSIONS: Mapping[str, tuple[int, int]] = {"secretflow": (3, 10)}  # where it is another
REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    # JAX and numpy are the newest that this SPU takes; pinned so that figures stay comparable.
    "spu": ("spu==0.9.5", "jax==0.4.34", "jaxlib==0.4.34", "numpy==1.26.4"),
    "lightgbm": ("lightgbm==4.7.0", "numpy==2.4.6"),
    "secretflow": ("--pre", "secretflow-lite==1.13.0b0"),
    "flower": ("flwr[simulation]==1.42.0", "numpy==2.4.6"),
}
TRACE = r"Trace has been written to (/\S+/psi_[\w-]+\.trace)"  # left outside its temporary folder
OPERATIONS = ("multiply", "less_than", "funnel_sum", "matmul")


@dataclass(frozen=True)
class PsiRun:
    """One private set intersection of a peer. Sums are over all parties, peaks of the largest.

    `idle_rss_mib` is what a party holds before it reads its file (libraries); `bytes` is what all
    parties received over TCP, None where the system does not tell; `start_up_s` lies before the
    clock.
    """

    peer: str
    parties: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    idle_rss_mib: float
    bytes: int | None
    matches: int
    start_up_s: float


@dataclass(frozen=True)
class OperationRun:
    """One operation of a peer's engine: medians of the rounds; cpu and bytes over all parties."""

    wall_s: float
    cpu_s: float
    bytes: int | None


@dataclass(frozen=True)
class EngineRun:
    """The peer's engine over `rows` rows; `operations` has the keys of `OPERATIONS`.

    wall_s, cpu_s and bytes at this level cover the whole session: inputs shared, programs compiled,
    every round, results opened and checked. Compare single operations, not these.
    """

    peer: str
    rows: int
    operations: Mapping[str, OperationRun]
    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    idle_rss_mib: float
    bytes: int | None
    start_up_s: float


# --- environments ---------------------------------------------------------------------------------


def ensure(name: str) -> Path:
    """The Python of peer `name`, in an environment made on first use and left alone afterwards.

    Raises Fault `peer.unknown`, `peer.python` (no Python 3.11) or `peer.install` (venv or pip).
    """
    if name not in REQUIREMENTS:
        known = ", ".join(sorted(REQUIREMENTS))
        raise Fault("peer.unknown", f"no peer is called {name!r}", remedy=f"use one of: {known}")
    home = PEERS / name
    python, stamp = home / "bin" / "python", home / "installed.txt"
    wanted = "\n".join(REQUIREMENTS[name]) + "\n"
    PEERS.mkdir(exist_ok=True)
    with _locked(PEERS / f"{name}.lock"):
        # The stamp is written last: an interrupted installation has none and is made anew.
        if python.exists() and stamp.exists() and stamp.read_text() == wanted:
            return python
        interpreter = _interpreter(name)
        print(f"making the environment of {name} (once, about 1 GB)", file=sys.stderr)
        _install([interpreter, "-m", "venv", "--clear", str(home)], name)
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        _install([*pip, *REQUIREMENTS[name]], name)
        stamp.write_text(wanted)
    return python


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One installation at a time, also between processes."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _interpreter(name: str) -> str:
    """A Python of the version the peer needs: the one running, or the one on the path."""
    version = PYTHON_VERSIONS.get(name, PYTHON_VERSION)
    if sys.version_info[:2] == version:
        return sys.executable
    command = "python{}.{}".format(*version)
    found = shutil.which(command)
    if (
        found is None
        or subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode
    ):
        raise Fault(
            "peer.python",
            f"peer {name} runs on {command} only, and there is none on the path",
            remedy=f"install {command} with its venv module, or run this without the peer",
            where=name,
        )
    return found


def _install(command: Sequence[str], name: str) -> None:
    """Run one step of an installation; a failure shows the end of what the step said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        step = "pip install" if "install" in command else "venv"
        raise Fault(
            "peer.install",
            f"{step} failed for peer {name}: {last_words(done.stderr or done.stdout)}",
            remedy="see that this machine has the venv module, reaches a package index that has "
            "the peer's wheels for its system, and has 2 GB of disk left; then run again",
            where=name,
        )


# --- runs -----------------------------------------------------------------------------------------


def run_rr22(file_a: Path, file_b: Path, key: str) -> PsiRun:
    """SecretFlow RR22 over two CSV files with a column `key` of unique ids."""
    return _run_psi("rr22", (file_a, file_b), key)


def run_ecdh3(files: Sequence[Path], key: str) -> PsiRun:
    """SecretFlow ECDH (Curve25519) of three parties over CSV files with a column `key`."""
    if len(files) != 3:
        raise Fault("peer.parties", f"ECDH of three parties got {len(files)} files")
    return _run_psi("ecdh3", files, key)


def run_engine(rows: int, repeats: int = 3) -> EngineRun:
    """SPU's ABY3 over Z_2^64, three parties: `OPERATIONS` over `rows` secret 64-bit integers.

    funnel_sum is sum(a*b*((second-first) < window)); matmul is (min(rows, 100,000), 100) by (100,).
    Raises Fault `peer.wrong` when a result differs from the plain one.
    """
    if rows < 1 or repeats < 1:
        raise Fault("peer.rows", f"rows and repeats start at 1, not {rows} and {repeats}")
    shared = ("--rows", str(rows), "--repeats", str(repeats))
    with started(ensure("spu"), HERE / "peer_spu_engine.py", [shared] * 3) as parties:
        clocked = parties.run()
    by_party = [answer["operations"] for answer in clocked.answers]
    for name in OPERATIONS:
        if by_party[0][name]["exact"] is not True:
            raise Fault("peer.wrong", f"the peer's {name} differs from the plain result")
    return EngineRun(
        peer="spu",
        rows=rows,
        operations={
            name: _median_round([each[name]["rounds"] for each in by_party]) for name in OPERATIONS
        },
        **clocked.spent(),
    )


def _run_psi(peer: str, files: Sequence[Path], key: str) -> PsiRun:
    for path in files:
        _check_column(path, key)
    with tempfile.TemporaryDirectory(prefix="hanse-peer-") as folder:
        outputs = [Path(folder) / f"shared{rank}.csv" for rank in range(len(files))]
        asked = ("--protocol", peer, "--key", key)
        options = [
            (*asked, "--input", str(source.resolve()), "--output", str(output))
            for source, output in zip(files, outputs, strict=True)
        ]
        with started(ensure("spu"), HERE / "peer_spu_psi.py", options) as parties:
            try:
                clocked = parties.run()
            finally:
                for trace in parties.said(TRACE):
                    Path(trace).unlink(missing_ok=True)
        written = _data_lines(outputs[0])
    matches = int(clocked.answers[0]["matches"])
    if written != matches:
        raise Fault("peer.wrong", f"{peer} reports {matches} shared ids and wrote {written}")
    return PsiRun(peer=peer, parties=len(files), matches=matches, **clocked.spent())


def _check_column(path: Path, key: str) -> None:
    """Before anything is started; reads the header only, so the data stay out of the cache."""
    try:
        with path.open(encoding="utf-8") as lines:
            columns = [name.strip().strip('"') for name in lines.readline().split(",")]
    except OSError as error:
        raise Fault("peer.input", f"cannot read {path}: {error.strerror}") from error
    if key not in columns:
        raise Fault("peer.input", f"{path} has no column {key!r}", remedy="name one it has")


def _data_lines(path: Path) -> int:
    """Rows of a CSV file without its header."""
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip()) - 1


def _median_round(by_party: Sequence[Sequence[Mapping[str, Any]]]) -> OperationRun:
    """Party 0's clock, which covers the others too; processor time and bytes summed over all."""
    rounds = list(zip(*by_party, strict=True))
    received = [total(each["bytes"] for each in parties) for parties in rounds]
    known = [count for count in received if count is not None]
    return OperationRun(
        wall_s=statistics.median(float(parties[0]["wall_s"]) for parties in rounds),
        cpu_s=statistics.median(sum(float(each["cpu_s"]) for each in p) for p in rounds),
        bytes=int(statistics.median(known)) if len(known) == len(rounds) else None,
    )


# --- made-up ids and the command line -------------------------------------------------------------


def write_ids(folder: Path, rows: int, parties: int) -> list[Path]:
    """One CSV file per party, column `id`: `rows` 11-digit numbers, shuffled, half shared by all.

    rows // 2 ids are in every file; the other ids of a file are in no other one.
    """
    draw = np.random.default_rng(2017)
    shared = np.arange(rows // 2, dtype=np.int64)
    own = rows - len(shared)
    paths = []
    for party in range(parties):
        ids = np.concatenate([shared, len(shared) + own * party + np.arange(own, dtype=np.int64)])
        draw.shuffle(ids)
        path = folder / f"ids{party}.csv"
        path.write_text("id\n" + "".join(f"{number}\n" for number in 13_000_000_000 + ids))
        paths.append(path)
    return paths


def _psi_command(peer: str, rows: int) -> PsiRun:
    with tempfile.TemporaryDirectory(prefix="hanse-peer-") as folder:
        paths = write_ids(Path(folder), rows, parties=2 if peer == "rr22" else 3)
        result = run_rr22(paths[0], paths[1], "id") if peer == "rr22" else run_ecdh3(paths, "id")
    if result.matches != rows // 2:
        raise Fault("peer.wrong", f"{peer} found {result.matches} shared ids of {rows // 2}")
    return result


def _print(result: PsiRun | EngineRun, as_json: bool) -> None:
    fields = asdict(result)
    if as_json:
        print(json.dumps(fields))
        return
    for name, value in fields.items():
        nested = value.items() if isinstance(value, Mapping) else [("", value)]
        for inner, shown in nested:
            print(f"{name} {inner}".ljust(24), shown)


def main() -> int:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(description="runs of the systems Hanse is measured against")
    commands = parser.add_subparsers(dest="command", required=True)
    psi = commands.add_parser("psi", help="private set intersection of made-up ids, half shared")
    psi.add_argument("--peer", choices=("rr22", "ecdh3"), required=True)
    engine = commands.add_parser("engine", help="basic operations on secret shares (SPU, ABY3)")
    engine.add_argument("--repeats", type=int, default=3)
    for command in (psi, engine):
        command.add_argument("--rows", type=int, default=100_000)
        command.add_argument("--json", action="store_true", help="one JSON object as the last line")
    environment = commands.add_parser("ensure", help="make a peer's environment, print its Python")
    environment.add_argument("name", choices=sorted(REQUIREMENTS))
    asked = parser.parse_args()
    try:
        if asked.command == "ensure":
            print(ensure(asked.name))
        elif asked.command == "psi":
            _print(_psi_command(asked.peer, asked.rows), asked.json)
        else:
            _print(run_engine(asked.rows, asked.repeats), asked.json)
    except HanseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
