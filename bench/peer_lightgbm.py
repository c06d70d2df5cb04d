"""LightGBM on columns in one place, run in its own environment by `bench/learn.py`; prints one line of JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time

import lightgbm
import numpy as np


def main() -> None:
    file, asked = sys.argv[1], json.loads(sys.argv[2])
    rows = np.load(file)
    x, y = rows["x"], rows["y"]
    trees, repeats = asked.pop("num_iterations"), asked.pop("repeats", 1)
    parameters = asked | {"objective": "binary", "verbose": -1, "num_threads": 2}
    lightgbm.train(
        parameters, lightgbm.Dataset(x[:2_000], y[:2_000]), 1
    )  # threads started, libraries loaded
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        model = lightgbm.train(parameters, lightgbm.Dataset(x, y), trees)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    print(
        json.dumps({"wall_s": wall, "cpu_s": cpu, "scores": np.asarray(model.predict(x)).tolist()})
    )


if __name__ == "__main__":
    main()
