"""Flower's plain rounds, in an environment of its own, for `bench/learn_horizontal.py`; prints a line of JSON.

Three clients that hand back the arrays they were sent, one 32-bit number a parameter, averaged by FedAvg: no
training, no evaluation, no encryption. A round's time is from one call of the server's evaluation hook to the next.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import time
from itertools import pairwise

os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation


def train(message: Message, _: Context) -> Message:
    """A client's round: the arrays, touched once."""
    arrays = message.content["arrays"]
    values = [array.astype(np.float32) + np.float32(1e-6) for array in arrays.to_numpy_ndarrays()]
    metrics = MetricRecord({"num-examples": 100})
    content = RecordDict({"arrays": ArrayRecord(values), "metrics": metrics})
    return Message(content=content, reply_to=message)


def main() -> None:
    parameters, clients, rounds = (int(argument) for argument in sys.argv[1:4])
    logging.getLogger("flwr").setLevel(logging.ERROR)
    marks: list[float] = []
    client, server = ClientApp(), ServerApp()

    def seen(number: int, _: ArrayRecord) -> MetricRecord:
        marks.append(time.perf_counter())
        return MetricRecord({"round": number})

    def serve(grid: Grid, _: Context) -> None:
        strategy = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients
        )
        first = ArrayRecord([np.zeros(parameters, np.float32)])
        strategy.start(grid, first, num_rounds=rounds, evaluate_fn=seen)

    client.train()(train)
    server.main()(serve)
    begun = time.perf_counter()
    run_simulation(server, client, num_supernodes=clients)
    whole = time.perf_counter() - begun
    each = [after - before for before, after in pairwise(marks)]
    told = {
        "round_s": statistics.median(each[1:]),  # the first round starts the workers
        "rounds": each,
        "whole_s": whole,
        "bytes": 2 * 4 * parameters * clients,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
