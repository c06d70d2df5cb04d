"""Links between nodes: who dials, what is carried, what happens when a link or a node goes away."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transport_stage import (
    QUICK,
    ROLES,
    Federation,
    Proxy,
    Waiting,
    federation,
    new_stream,
    open_all,
    three,
)

from hanse.errors import Fault
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.exchange import Exchange

U64 = np.dtype("<u8")
U8 = np.dtype("u1")


def test_three_nodes_exchange_arrays_of_every_type(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        for dtype in ("<u8", "<u4", "u1", "<i8", "<u2"):
            for shape in ((0,), (5,), (3, 7), (2, 1, 2, 3)):
                sent = np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
                for role in range(3):
                    ends[role].channel(role).send((role + 1) % 3, "ring", sent)
                for role in range(3):
                    left = (role - 1) % 3
                    got = ends[role].channel(role).receive(left, "ring", sent.dtype, shape)
                    np.testing.assert_array_equal(got, sent)


def test_counters_count_what_crosses_the_network(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        roles = (("seat 0", "ant"), ("seat 1", "bee"), ("provider", "ant"))
        stream = new_stream()
        here, there = ant.open_stream(stream, roles, [0, 2]), bee.open_stream(stream, roles, [1])
        array = np.arange(1000, dtype=U64)
        here.channel(0).send(1, "out", array)
        here.channel(2).send(0, "home", array)
        there.channel(1).receive(0, "out", U64, (1000,))
        got = here.channel(0).receive(2, "home", U64, (1000,))
        array[0] = 99  # what stays at home is a copy, as what is sent away
        assert got[0] == 0
        assert (here.channel(0).bytes_sent, here.channel(0).messages_sent) == (8000, 1)
        assert (here.channel(2).bytes_sent, here.channel(2).messages_sent) == (0, 0)
        assert there.channel(1).bytes_received == 8000
        assert here.channel(0).bytes_received == 0
        sent = {one.party: one.bytes_sent for one in ant.status()}
        assert 8000 < sent["bee"] < 9500
        assert sent["cat"] < 1500


def test_a_node_that_cannot_be_dialled_dials_everyone(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        # By name "ant" would have to dial "zoe", but nobody can dial "zoe".
        ant = nodes.add("ant", knows=("zoe", "bee"))
        bee = nodes.add("bee", knows=("zoe", "ant"))
        zoe = nodes.add("zoe", knows=("ant", "bee"), listens=False)
        started = time.monotonic()
        zoe.wait_for("ant", 3)
        zoe.wait_for("bee", 3)
        ant.wait_for("zoe", 3)
        assert time.monotonic() - started < QUICK.fallback
        roles = (("seat 0", "ant"), ("seat 1", "bee"), ("seat 2", "zoe"))
        stream = new_stream()
        ends = [one.open_stream(stream, roles, [i]) for i, one in enumerate((ant, bee, zoe))]
        ends[0].channel(0).send(2, "x", np.ones(3, U64))
        ends[2].channel(2).receive(0, "x", U64, (3,))


def test_the_larger_name_dials_if_the_smaller_cannot_get_through(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        # "ant" has a wrong address of "bee"; after the fallback pause "bee" dials.
        ant = nodes.add("ant", knows=("bee",), addresses={"bee": ("127.0.0.1", 1)})
        bee = nodes.add("bee", knows=("ant",))
        bee.wait_for("ant", QUICK.fallback + 2)
        ant.wait_for("bee", 1)


def test_both_may_start_in_any_order_and_end_with_one_connection(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",), addresses={"ant": None})
        ant = nodes.add("ant", knows=("bee",))
        bee.meet(Partner(nodes.identity("ant").card, ant.address))
        ant.wait_for("bee", 3)
        time.sleep(QUICK.fallback + 0.5)
        ends = [ex.open_stream(b"s" * 16, ROLES[:2], [i]) for i, ex in enumerate((ant, bee))]
        time.sleep(0.5)  # a second connection would fail the streams of the first
        ends[0].channel(0).send(1, "x", np.ones(3, U64))
        ends[1].channel(1).receive(0, "x", U64, (3,))


def test_large_frames_both_ways_at_once_do_not_deadlock(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        big = np.arange(4 << 20, dtype=U64)  # 32 MiB: more than all socket buffers together

        def send(role: int) -> None:
            for other in (1, 2):
                ends[role].channel(role).send((role + other) % 3, "big", big)

        senders = [threading.Thread(target=send, args=(role,)) for role in range(3)]
        for sender in senders:
            sender.start()
        # Nobody reads before all have sent: sending must not wait for the receiver to ask.
        for sender in senders:
            sender.join(20)
            assert not sender.is_alive()
        for role in range(3):
            for other in (1, 2):
                source = (role + other) % 3
                got = ends[role].channel(role).receive(source, "big", U64, big.shape)
                assert got[-1] == big[-1]


def test_many_threads_on_one_link_do_not_mix_their_frames(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        streams = [new_stream() for _ in range(6)]
        sides = [
            (ant.open_stream(one, ROLES, [0]), bee.open_stream(one, ROLES, [1])) for one in streams
        ]

        def talk(number: int) -> None:
            here, there = (0, 1) if number % 2 else (1, 0)
            for size in range(0, 60_000, 1717):
                sides[number][here].channel(here).send(there, "x", np.full(size, number, U8))

        def listen(number: int) -> int:
            here = 1 if number % 2 else 0
            channel = sides[number][here].channel(here)
            return sum(
                int((channel.receive(1 - here, "x", U8, (size,)) == number).all())
                for size in range(0, 60_000, 1717)
            )

        talkers = [threading.Thread(target=talk, args=(n,)) for n in range(6)]
        for talker in talkers:
            talker.start()
        expected = len(range(0, 60_000, 1717))
        assert [listen(number) for number in range(6)] == [expected] * 6
        for talker in talkers:
            talker.join()


def test_an_idle_link_stays_alive_by_heartbeats(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        before = {one.party: one.bytes_sent for one in nodes.exchanges["ant"].status()}
        time.sleep(QUICK.lost_after + 0.7)
        assert [one.error for one in ends] == [None, None, None]
        after = {one.party: one.bytes_sent for one in nodes.exchanges["ant"].status()}
        assert after["bee"] > before["bee"]


def test_a_silent_network_is_a_lost_peer_on_both_sides(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        proxy = Proxy(bee.address)
        ant = nodes.add("ant", knows=("bee",), addresses={"bee": proxy.address})
        ant.wait_for("bee", 3)
        ends = [ex.open_stream(b"s" * 16, ROLES[:2], [i]) for i, ex in enumerate((ant, bee))]
        waits = [
            Waiting(lambda: ends[0].channel(0).receive(1, "x", U8, (1,))),
            Waiting(lambda: ends[1].channel(1).receive(0, "x", U8, (1,))),
        ]
        proxy.held = True
        for wait, peer in zip(waits, ("bee", "ant"), strict=True):
            error = wait.ended(within=QUICK.lost_after + 2)
            assert error.code == "peer.lost"
            assert f"'{peer}'" in error.message
            assert "silent" in error.message
        proxy.held = False
        proxy.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_frozen_node_is_lost_to_all_others(tmp_path: Path, how: signal.Signals) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant", "cat"))
        ant = nodes.add("ant", knows=("bee", "cat"))
        child = start_process(nodes, "cat", {"ant": ant, "bee": bee})
        try:
            ant.wait_for("cat", 10)
            bee.wait_for("cat", 10)
            ant.wait_for("bee", 5)
            stream = bytes(15) + b"k"
            ends = [one.open_stream(stream, ROLES, [i]) for i, one in enumerate((ant, bee))]
            # One waits for the one that dies, the other for a third that waits for it.
            waits = [
                Waiting(lambda: ends[0].channel(0).receive(2, "x", U8, (1,))),
                Waiting(lambda: ends[1].channel(1).receive(0, "x", U8, (1,))),
            ]
            ends[0].channel(0).send(2, "x", np.ones(1, U8))
            child.send_signal(how)
            for wait in waits:
                error = wait.ended(within=10)
                assert error.code == "peer.lost"
                assert "'cat'" in error.message
                assert error.remedy
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def start_process(
    nodes: Federation, party: str, known: dict[str, Exchange]
) -> subprocess.Popen[bytes]:
    """A node in a process of its own, which dials the given nodes."""
    folder = nodes.identity(party).tls_key_file.parent.parent
    plan = {
        "folder": str(folder),
        "partners": [
            {"card": nodes.identity(name).card.document(), "address": exchange.address}
            for name, exchange in known.items()
        ],
        "stream": (bytes(15) + b"k").hex(),
        "roles": ROLES,
        "mine": [name for _, name in ROLES].index(party),
    }
    script = Path(__file__).with_name("transport_process.py")
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, str(script), json.dumps(plan)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"linked\n"
    return child


def test_a_node_that_came_back_is_linked_again(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, cat = three(nodes)
        address = cat.address
        ends = open_all(ant, bee, cat)
        cat.close()
        error = Waiting(lambda: ends[0].channel(0).receive(2, "x", U8, (1,))).ended(within=3)
        assert error.where.startswith("cat")
        assert ant.status()[1].connected is False
        directory_of_cat = [Partner(nodes.identity(n).card) for n in ("ant", "bee")]
        again = Exchange(
            nodes.identity("cat"), Directory(directory_of_cat), listen=address, timing=QUICK
        )
        nodes.exchanges["cat"] = again
        again.start()
        ant.wait_for("cat", 4)
        bee.wait_for("cat", 4)
        ends = open_all(ant, bee, again)
        ends[2].channel(2).send(0, "x", np.ones(1, U8))
        ends[0].channel(0).receive(2, "x", U8, (1,))


def test_a_new_start_of_a_peer_replaces_its_dead_connection(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        proxy = Proxy(bee.address)
        old = nodes.add("ant", knows=("bee",), addresses={"bee": proxy.address})
        old.wait_for("bee", 3)
        ends = bee.open_stream(b"s" * 16, ROLES[:2], [1])
        wait = Waiting(lambda: ends.channel(1).receive(0, "x", U8, (1,)))
        # The old node's machine vanishes (its connection hangs); it starts again elsewhere.
        proxy.held = True
        started = time.monotonic()
        again = nodes.add("ant", knows=("bee",))
        again.wait_for("bee", 2)
        error = wait.ended(within=1.5)
        assert time.monotonic() - started < QUICK.lost_after
        assert error.code == "peer.lost"
        assert "new connection" in error.message
        proxy.held = False
        proxy.close()
        old.close()


def test_an_unreachable_party_is_named_with_its_address(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant = nodes.add("ant", knows=("bee",), addresses={"bee": ("127.0.0.1", 1)})
        ends = ant.open_stream(new_stream(), ROLES[:2], [0])
        waiting = Waiting(lambda: ends.channel(0).receive(1, "x", U8, (1,)))
        sending = Waiting(lambda: ends.channel(0).send(1, "x", np.ones(1, U8)))
        for wait in (sending, waiting):
            error = wait.ended(within=5)
            assert error.code == "peer.unreachable"
            assert "127.0.0.1:1" in error.message
            assert "refused" in error.message


def test_a_party_that_never_dialled_is_named(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant = nodes.add("ant", knows=("bee",))
        error = Waiting(lambda: ant.request("bee", {})).ended(within=5)
        assert error.code == "peer.unreachable"
        assert "has not connected" in error.message


def test_a_party_that_is_no_partner_is_refused(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant = nodes.add("ant", knows=())
        with pytest.raises(Fault) as fault:
            ant.open_stream(new_stream(), ROLES[:2], [0])
        assert fault.value.code == "peer.unknown"


def test_a_dropped_partner_is_told(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        ends = bee.open_stream(new_stream(), ROLES, [1])
        wait = Waiting(lambda: ends.channel(1).receive(0, "x", U8, (1,)))
        ant.leave("bee")
        error = wait.ended(within=3)
        assert error.code == "peer.dropped"
        assert error.where.startswith("ant")


def test_a_worn_connection_is_renewed_while_idle(tmp_path: Path) -> None:
    with federation(tmp_path, replace(QUICK, bytes_per_key=100_000)) as nodes:
        ant, bee, cat = three(nodes)
        ends = open_all(ant, bee, cat)
        ends[0].channel(0).send(1, "x", np.ones(200_000, U8))
        ends[1].channel(1).receive(0, "x", U8, (200_000,))
        time.sleep(1.2)  # the stream is open: nothing is renewed under it
        ends[0].channel(0).send(1, "y", np.ones(1, U8))
        ends[1].channel(1).receive(0, "y", U8, (1,))
        for one in ends:
            one.close()
        time.sleep(1.5)
        ant.wait_for("bee", 3)
        again = open_all(ant, bee, cat)
        again[0].channel(0).send(1, "x", np.ones(1, U8))
        again[1].channel(1).receive(0, "x", U8, (1,))
        assert next(o.bytes_sent for o in ant.status() if o.party == "bee") > 200_000


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant = nodes.add("ant", knows=())
        taken = Exchange(nodes.identity("bee"), ant._directory, listen=ant.address)
        with pytest.raises(Fault) as fault:
            taken.start()
        assert fault.value.code == "node.port"


def test_closing_ends_streams_on_all_sides_at_once(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, cat = three(nodes)
        ends = open_all(ant, bee, cat)
        waits = [
            Waiting(lambda: ends[0].channel(0).receive(1, "x", U8, (1,))),
            Waiting(lambda: ends[1].channel(1).receive(2, "x", U8, (1,))),
            Waiting(lambda: ends[2].channel(2).receive(0, "x", U8, (1,))),
        ]
        started = time.monotonic()
        cat.close()
        assert time.monotonic() - started < 3
        for wait in waits:
            error = wait.ended(within=2)
            assert error.code in ("node.stopping", "peer.lost")
            assert "'cat'" in error.message
        running = [t.name for t in threading.enumerate() if t.name.startswith("hanse-")]
        ant.close()
        bee.close()
        left = [t.name for t in threading.enumerate() if t.name.startswith("hanse-")]
        assert running
        assert [name for name in left if not name.startswith("hanse-request")] == []
