"""A small neural network in numpy, so that none other is needed; PyTorch modules where they are installed.

Dense layers with ReLU between them; no hidden layer is a (multinomial) linear model trained by gradients. Training:
Adam over mini-batches, its state new in every round. The first parameters come from a public seed: all parties
start from the same ones.
Source: Kingma and Ba 2015 (Adam); He et al. 2015 (first parameters); Li et al. 2020, "FedProx" (proximal term).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hanse.errors import Refusal
from hanse.learn.horizontal.home import Rows
from hanse.learn.horizontal.kinds import F64, Kind


class Network:
    """Layers of ``hidden`` sizes over so many columns; ``epochs`` passes a round in batches of ``batch`` rows."""

    def __init__(
        self, kind: Kind, columns: int, *, hidden: Sequence[int] = (32, 16), rate: float = 1e-3,
        epochs: int = 2, batch: int = 64, l2: float = 1e-5, seed: int = 0,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.hidden = tuple(hidden)
        sizes = [columns, *hidden, kind.outputs]
        random = np.random.default_rng(seed)
        self._weights = [
            random.normal(size=(a, b)) * np.sqrt(2 / max(1, a)) for a, b in pairwise(sizes)
        ]
        self._weights[-1] *= 0.1
        self._offsets = [np.zeros(b) for b in sizes[1:]]
        self._rate, self._epochs, self._batch, self._l2 = rate, epochs, batch, l2
        self._order = np.random.default_rng(seed + 1)

    def parameters(self) -> F64:
        return np.concatenate([part.reshape(-1) for part in (*self._weights, *self._offsets)])

    def load(self, vector: F64) -> None:
        done = 0
        for parts in (self._weights, self._offsets):
            for number, part in enumerate(parts):
                parts[number] = vector[done : done + part.size].reshape(part.shape).copy()
                done += part.size

    def predictor(self, x: F64) -> F64:
        out = self._forward(x)[-1]
        return out if self.kind.outputs > 1 else out[:, 0]

    def train(self, rows: Rows, *, proximal: float = 0.0) -> None:
        vector = self.parameters()
        anchor = vector.copy()
        first, second = np.zeros_like(vector), np.zeros_like(vector)
        step = 0
        for _ in range(self._epochs):
            order = self._order.permutation(rows.count)
            for at in range(0, rows.count, self._batch):
                chosen = order[at : at + self._batch]
                slope = self._gradient(rows.x[chosen], rows.y[chosen])
                slope += self._l2 * vector + proximal * (vector - anchor)
                step += 1
                first += 0.1 * (slope - first)
                second += 0.001 * (slope**2 - second)
                pace = self._rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                vector = vector - pace * first / (np.sqrt(second) + 1e-8)
                self.load(vector)

    def _forward(self, x: F64) -> list[F64]:
        """The input of each layer, and what comes out."""
        seen = [x]
        for number, (weights, offsets) in enumerate(zip(self._weights, self._offsets, strict=True)):
            out = seen[-1] @ weights + offsets
            seen.append(np.maximum(out, 0.0) if number < len(self._weights) - 1 else out)
        return seen

    def _gradient(self, x: F64, y: F64) -> F64:
        """Of the mean loss, by all parameters."""
        seen = self._forward(x)
        out = seen[-1] if self.kind.outputs > 1 else seen[-1][:, 0]
        back = self.kind.slopes(out, y)[0].reshape(y.size, -1) / y.size
        weights: list[F64] = []
        offsets: list[F64] = []
        for number in range(len(self._weights) - 1, -1, -1):
            weights.append(seen[number].T @ back)
            offsets.append(back.sum(axis=0))
            if number:
                back = (back @ self._weights[number].T) * (seen[number] > 0)
        return np.concatenate([part.reshape(-1) for part in (*weights[::-1], *offsets[::-1])])


class TorchModel:
    """A PyTorch module whose output is the predictor [rows, outputs]; PyTorch is imported when one is made.

    The loss is taken from the kind of label. A module with buffers (batch normalisation) is refused: they are not
    parameters and would not be averaged.
    """

    def __init__(
        self,
        kind: Kind,
        module: Any,
        *,
        rate: float = 1e-3,
        epochs: int = 2,
        batch: int = 64,
        seed: int = 0,
    ) -> None:
        try:
            self._torch: Any = importlib.import_module("torch")
        except ImportError as error:
            raise Refusal(
                "learn.torch",
                "PyTorch is not installed",
                remedy="install torch, or use the network that comes with this package",
            ) from error
        if next(iter(module.buffers()), None) is not None:
            raise Refusal("learn.torch", "the module has buffers, which averaging would leave out",
                          remedy="use group or layer normalisation instead of batch normalisation")  # fmt: skip
        self.kind = kind
        self._module = module
        self._rate, self._epochs, self._batch = rate, epochs, batch
        self._order = np.random.default_rng(seed)

    def parameters(self) -> F64:
        flat = self._torch.nn.utils.parameters_to_vector(self._module.parameters())
        return np.asarray(flat.detach().cpu().double().numpy(), np.float64)

    def load(self, vector: F64) -> None:
        torch = self._torch
        like = next(iter(self._module.parameters()))
        flat = torch.as_tensor(np.asarray(vector), dtype=like.dtype, device=like.device)
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(flat, self._module.parameters())

    def predictor(self, x: F64) -> F64:
        torch = self._torch
        like = next(iter(self._module.parameters()))
        with torch.no_grad():
            out = self._module(torch.as_tensor(x, dtype=like.dtype, device=like.device))
        found = np.asarray(out.detach().cpu().double().numpy(), np.float64).reshape(x.shape[0], -1)
        return found if self.kind.outputs > 1 else found[:, 0]

    def train(self, rows: Rows, *, proximal: float = 0.0) -> None:
        torch = self._torch
        parameters = list(self._module.parameters())
        anchor = [p.detach().clone() for p in parameters]
        optimiser = torch.optim.Adam(parameters, lr=self._rate)
        like = parameters[0]
        for _ in range(self._epochs):
            order = self._order.permutation(rows.count)
            for at in range(0, rows.count, self._batch):
                chosen = order[at : at + self._batch]
                out = self._module(
                    torch.as_tensor(rows.x[chosen], dtype=like.dtype, device=like.device)
                )
                # The loss's slope by the predictor is computed here and sent back through the module.
                eta = np.asarray(out.detach().cpu().double().numpy(), np.float64).reshape(
                    chosen.size, -1
                )
                seen = eta if self.kind.outputs > 1 else eta[:, 0]
                slope = self.kind.slopes(seen, rows.y[chosen])[0].reshape(out.shape) / chosen.size
                optimiser.zero_grad()
                out.backward(torch.as_tensor(slope, dtype=like.dtype, device=like.device))
                for parameter, start in zip(parameters, anchor, strict=True):
                    if proximal and parameter.grad is not None:
                        parameter.grad += proximal * (parameter.detach() - start)
                optimiser.step()
