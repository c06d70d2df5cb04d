"""One of three parties of SecretFlow's SPU (ABY3 over Z_2^64): what the basic operations cost.

Started by `bench/peers.py` inside the peer's environment. All operands are secret 64-bit integers,
so nothing is truncated; the window of the funnel is public. A round of the clock begins and ends
with a barrier of the three parties, so it covers the slowest. Sharing the inputs, compiling and
one warm-up run lie outside. Every result is opened once and compared with numpy, also outside.

The starter must set JAX_ENABLE_X64=1, without which JAX narrows the operands to 32 bits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import spu
from spu import libspu
from spu.utils import frontend

from peer_party import Meter, Starter, peak_rss_mib
from peer_spu_psi import connect

PARTIES = 3
MATRIX_ROWS, MATRIX_COLUMNS = 100_000, 100
WINDOW = 7 * 86_400  # seconds


@dataclass(frozen=True)
class Operation:
    """A function of named operands; it runs on plain arrays and on SPU's tracers alike."""

    name: str
    operands: tuple[str, ...]
    function: Callable[..., Any]


OPERATIONS = (
    Operation("multiply", ("a", "b"), lambda a, b: a * b),
    Operation("less_than", ("first", "second"), lambda first, second: first < second),
    Operation(
        "funnel_sum",
        ("a", "b", "first", "second"),
        lambda a, b, first, second: (a * b * ((second - first) < WINDOW)).sum(),
    ),
    Operation("matmul", ("matrix", "vector"), lambda matrix, vector: matrix @ vector),
)


def operands(rows: int) -> dict[str, np.ndarray[Any, Any]]:
    """Made-up inputs, int64: amounts, times within about a month, and a matrix with its vector.

    Shapes: four of (rows,), one of (min(rows, 100,000), 100), one of (100,).
    """
    draw = np.random.default_rng(2017)

    def below(limit: int, *shape: int) -> np.ndarray[Any, Any]:
        return draw.integers(0, limit, shape, dtype=np.int64)

    return {
        "a": below(1_000, rows),
        "b": below(1_000, rows),
        "first": below(1 << 21, rows),
        "second": below(1 << 21, rows),
        "matrix": below(1_000, min(rows, MATRIX_ROWS), MATRIX_COLUMNS),
        "vector": below(1_000, MATRIX_COLUMNS),
    }


class Party:
    """This party's part of the SPU and its link to the two others."""

    def __init__(self, addresses: list[str], rank: int) -> None:
        self.rank = rank
        config = libspu.RuntimeConfig(
            protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64
        )
        self.link = connect(addresses, rank)
        self.runtime = spu.Runtime(self.link.spawn(), config)
        self.io = spu.Io(PARTIES, config)

    def share(self, name: str, plain: np.ndarray[Any, Any]) -> None:
        """Party 0 splits `plain` and hands out the shares; each party keeps its own under `name`.

        The others know `plain` too (it is made up) but not the randomness of the split.
        """
        if self.rank == 0:
            shares = self.io.make_shares(plain, libspu.Visibility.VIS_SECRET)
            for other in range(1, PARTIES):
                self._send(other, shares[other])
            mine = shares[0]
        else:
            mine = self._receive(0)
        self.runtime.set_var(name, mine)

    def open(self, name: str) -> np.ndarray[Any, Any] | None:
        """The value behind `name` at party 0; None at the others, which only send their share."""
        share = self.runtime.get_var(name)
        if self.rank != 0:
            self._send(0, share)
            return None
        shares = [share, *(self._receive(other) for other in range(1, PARTIES))]
        return np.asarray(self.io.reconstruct(shares))

    def _send(self, other: int, share: libspu.Share) -> None:
        chunks = list(share.share_chunks)
        self.link.send(other, share.meta)
        self.link.send(other, str(len(chunks)))
        for chunk in chunks:
            self.link.send(other, chunk)

    def _receive(self, other: int) -> libspu.Share:
        share = libspu.Share()
        share.meta = self.link.recv(other)
        share.share_chunks = [self.link.recv(other) for _ in range(int(self.link.recv(other)))]
        return share

    def measure(
        self, operation: Operation, plain: dict[str, np.ndarray[Any, Any]], repeats: int
    ) -> dict[str, object]:
        """Run once to warm up and `repeats` times by the clock; wall, processor time and bytes."""
        result = f"{operation.name}_result"
        values = [plain[name] for name in operation.operands]
        program, _ = frontend.compile(
            frontend.Kind.JAX,
            operation.function,
            values,
            {},
            list(operation.operands),
            [libspu.Visibility.VIS_SECRET] * len(values),
            lambda outputs: [result for _ in outputs],
        )
        self.runtime.run(program)
        rounds: list[dict[str, float | int | None]] = []
        for _ in range(repeats):
            before = Meter.read()
            self.link.barrier()
            start = time.perf_counter()
            self.runtime.run(program)
            self.link.barrier()
            wall_s = time.perf_counter() - start
            rounds.append({"wall_s": wall_s, **Meter.read().since(before)})
        opened = self.open(result)
        expected = operation.function(*values)
        return {
            "rounds": rounds,
            "exact": None if opened is None else bool(np.array_equal(opened, expected)),
        }


def main() -> None:
    """Connect, say ready, measure every operation on the word go, and account for the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--addresses", required=True, help="host:port of each party, with commas")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    asked = parser.parse_args()

    starter = Starter()
    party = Party(asked.addresses.split(","), asked.rank)
    starter.say("ready", idle_rss_mib=peak_rss_mib())

    starter.wait("go")
    before = Meter.read()
    plain = operands(asked.rows)
    for name, values in plain.items():
        party.share(name, values)
    measured = {each.name: party.measure(each, plain, asked.repeats) for each in OPERATIONS}
    starter.say("done", operations=measured)

    starter.wait("stop")
    starter.say("spent", peak_rss_mib=peak_rss_mib(), **Meter.read().since(before))
    party.link.stop_link()


if __name__ == "__main__":
    main()
