"""What the averaged update does to the common model: plain averaging, or an optimiser that takes it for a gradient.

Every party computes the step itself from the same opened numbers, so that all have the same model and no server is
needed. Source: McMahan et al. 2017 (FedAvg); Hsu, Qi, Brown 2019 (FedAvgM); Reddi et al. 2021, "Adaptive Federated
Optimization", algorithm 2 (FedAdam, FedYogi).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hanse.errors import Refusal
from hanse.learn.horizontal.kinds import F64

ServerName = Literal["fedavg", "fedavgm", "fedadam", "fedyogi"]
RATES = {"fedavg": 1.0, "fedavgm": 0.3, "fedadam": 0.03, "fedyogi": 0.03}


@dataclass
class Server:
    """The optimiser's state. ``rate`` 0 takes the usual one of `RATES`."""

    name: ServerName = "fedavg"
    rate: float = 0.0
    momentum: float = 0.9
    second: float = 0.99
    floor: float = 1e-3
    _mean: F64 = field(default_factory=lambda: np.zeros(0))
    _square: F64 = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if self.name not in RATES:
            raise Refusal(
                "learn.server",
                f"there is no server optimiser {self.name!r}",
                remedy=f"use one of {', '.join(RATES)}",
            )
        self.rate = self.rate or RATES[self.name]

    def step(self, parameters: F64, update: F64) -> F64:
        """The next common parameters [n] from the averaged update [n]."""
        if self._mean.size != update.size:
            self._mean, self._square = np.zeros_like(update), np.full_like(update, self.floor**2)
        if self.name == "fedavg":
            return parameters + self.rate * update
        if self.name == "fedavgm":
            self._mean = self.momentum * self._mean + update
            return parameters + self.rate * self._mean
        self._mean = self.momentum * self._mean + (1 - self.momentum) * update
        squared = update**2
        if self.name == "fedadam":
            self._square = self.second * self._square + (1 - self.second) * squared
        else:
            self._square = self._square - (1 - self.second) * squared * np.sign(
                self._square - squared
            )
        return parameters + self.rate * self._mean / (np.sqrt(self._square) + self.floor)
