"""One party of a SecretFlow private set intersection (`spu.psi`): RR22 (two) or ECDH (three).

Started by `bench/peers.py` inside the peer's environment, one process per party. Settings are the
peer's fast ones: ids are declared unique, the result goes to party 0 alone, unsorted.
"""

from __future__ import annotations

import argparse

from spu import libspu, psi

from peer_party import Meter, Starter, peak_rss_mib

PROTOCOLS = {
    "rr22": psi.PsiProtocol.PROTOCOL_RR22,
    "ecdh3": psi.PsiProtocol.PROTOCOL_ECDH_3PC,
}
_HOUR_MS = 3_600_000


def connect(addresses: list[str], rank: int) -> libspu.link.Context:
    """The mesh of all parties; returns once every pair is connected."""
    plan = libspu.link.Desc()
    plan.recv_timeout_ms = _HOUR_MS
    plan.connect_retry_times = 600
    plan.connect_retry_interval_ms = 100
    for number, address in enumerate(addresses):
        plan.add_party(f"party{number}", address)
    return libspu.link.create_brpc(plan, rank)


def settings(protocol: str, key: str, source: str, result: str) -> psi.PsiExecuteConfig:
    """The peer's own configuration of one intersection over CSV files."""
    return psi.PsiExecuteConfig(
        protocol_conf=psi.PsiProtocolConfig(
            protocol=PROTOCOLS[protocol],
            receiver_rank=0,
            broadcast_result=False,
            ecdh_params=psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519),
        ),
        input_params=psi.InputParams(
            type=psi.SourceType.SOURCE_TYPE_FILE_CSV,
            path=source,
            selected_keys=[key],
            keys_unique=True,
        ),
        output_params=psi.OutputParams(
            type=psi.SourceType.SOURCE_TYPE_FILE_CSV,
            path=result,
            disable_alignment=True,
        ),
    )


def main() -> None:
    """Connect, say ready, intersect on the word go, and account for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--addresses", required=True, help="host:port of each party, with commas")
    parser.add_argument("--key", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    asked = parser.parse_args()

    starter = Starter()
    log = libspu.logging.LogOptions()
    log.log_level = libspu.logging.LogLevel.WARN
    libspu.logging.setup_logging(log)
    link = connect(asked.addresses.split(","), asked.rank)
    config = settings(asked.protocol, asked.key, asked.input, asked.output)
    starter.say("ready", idle_rss_mib=peak_rss_mib())

    starter.wait("go")
    before = Meter.read()
    report = psi.psi_execute(config, link)
    starter.say("done", matches=int(report.intersection_count))

    starter.wait("stop")
    starter.say("spent", peak_rss_mib=peak_rss_mib(), **Meter.read().since(before))
    link.stop_link()


if __name__ == "__main__":
    main()
