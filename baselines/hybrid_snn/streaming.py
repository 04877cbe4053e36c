"""The same networks in NumPy, one bin at a time; nothing is computed until a keypoint is due."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from baselines.hybrid_snn.shape import POOLED, Block, Shape
from baselines.parts import part
from baselines.spiking import LifUnits, Reset

Weights = Mapping[str, np.ndarray]
Rounding = Callable[[np.ndarray], np.ndarray]


class BlockBuffer:
    """One block: columns in, pooled columns out, as many as can be told.

    It keeps the last columns that later ones need: `kernel` - 1 of them, and one output that waits for its partner.
    """

    def __init__(self, weights: Weights, block: Block):
        # (n_out, n_in, kernel) -> (kernel * n_in, n_out): a window of columns is then one row of the product.
        kernel = weights["weight"]
        self._kernel = np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, kernel.shape[0]))
        self._bias, self._block = weights["bias"], block
        self._columns = np.zeros((block.left, kernel.shape[1]), kernel.dtype)
        self._unpooled = np.empty((0, kernel.shape[0]), kernel.dtype)
        if block.stride < POOLED:
            self._unpooled = np.full((1, kernel.shape[0]), -np.inf, kernel.dtype)

    def push(self, columns: np.ndarray) -> np.ndarray:
        """(n_new, n_in) -> (n_pooled, n_out); often none."""
        seen = np.concatenate([self._columns, columns])
        n_new = len(seen) - self._block.kernel + 1
        if n_new <= 0:
            self._columns = seen
            return self._unpooled[:0]
        self._columns = seen[n_new:]
        windows = np.stack([seen[i : i + self._block.kernel].reshape(-1) for i in range(n_new)])
        return self._pooled(np.concatenate([self._unpooled, windows @ self._kernel + self._bias]))

    def _pooled(self, outputs: np.ndarray) -> np.ndarray:
        """The larger of each two columns; what has no partner yet is kept."""
        if self._block.stride < POOLED:
            self._unpooled = outputs[-1:]
            return np.maximum(outputs[:-1], outputs[1:])
        n_pairs = len(outputs) // POOLED
        self._unpooled = outputs[POOLED * n_pairs :]
        return np.maximum(outputs[0 : POOLED * n_pairs : POOLED], outputs[1 : POOLED * n_pairs : POOLED])


class FrontBuffer:
    """All blocks: bins in, the keypoint out where one is due."""

    def __init__(self, weights: Weights, shape: Shape, on_grid: Rounding | None = None):
        self._shape, self._on_grid = shape, on_grid
        self._blocks = [BlockBuffer(part(weights, f"{i}."), b) for i, b in enumerate(shape.blocks)]
        self._waiting: list[np.ndarray] = []
        self.since_due = -1 - shape.last_bin
        """Bins since the last keypoint was due, negative before the first one."""

    def push(self, row: np.ndarray) -> np.ndarray | None:
        """Take in a bin (n_units,); return a keypoint (n_channels,), or None where none is due."""
        self._waiting.append(row)
        self.since_due += 1
        if self.since_due % self._shape.step_bins:
            return None
        self.since_due = min(self.since_due, 0)
        columns = np.stack(self._waiting)
        self._waiting = []
        for block in self._blocks:
            columns = block.push(columns)
            if self._on_grid:
                columns = self._on_grid(columns)
        return columns[-1] if len(columns) else None


class Units(abc.ABC):
    """The recurrence of one keypoint at a time; a fresh one has forgotten everything."""

    @abc.abstractmethod
    def advance(self, keypoint: np.ndarray) -> np.ndarray:
        """(n_channels,) -> (n_hidden,)."""


class LifStackUnits(Units):
    """`LifStack` for one keypoint at a time."""

    def __init__(self, weights: Weights, n_layers: int, *, reset: Reset, on_grid: Rounding | None = None):
        self._currents = [weights[f"currents.{i}.weight"] for i in range(n_layers)]
        self._layers = [
            LifUnits(part(weights, f"layers.{i}."), len(current), reset=reset, on_grid=on_grid)
            for i, current in enumerate(self._currents)
        ]

    def advance(self, keypoint: np.ndarray) -> np.ndarray:
        for current, layer in zip(self._currents, self._layers, strict=True):
            keypoint = layer.advance(current @ keypoint)
        return keypoint


class ReadoutSums:
    """`Readout` for one keypoint at a time."""

    def __init__(self, weights: Weights):
        self._linear, self._leak = weights["linear.weight"], weights.get("leak")
        self._sums = np.zeros(len(self._linear), self._linear.dtype)

    def advance(self, hidden: np.ndarray) -> np.ndarray:
        driven = self._linear @ hidden
        if self._leak is None:
            return driven
        self._sums = np.clip(self._leak, 0, 1) * self._sums + driven
        return self._sums


@dataclass
class Answers:
    """What is answered from keypoint to keypoint.

    Where `ahead`, the rows of the last keypoint; where `interpolated`, the line to it; else its only row.
    """

    step_bins: int
    n_outputs: int
    ahead: bool
    interpolated: bool

    def __post_init__(self) -> None:
        self._newest = np.zeros((self.step_bins if self.ahead else 1, self.n_outputs), np.float32)
        self._before = self._newest

    def take(self, keypoint: np.ndarray) -> None:
        """(n_rows,): a new keypoint."""
        self._before, self._newest = self._newest, keypoint.reshape(-1, self.n_outputs)

    def at(self, since_due: int) -> np.ndarray:
        """(n_outputs,), so many bins after the last keypoint was due; 0 before the first."""
        if since_due < 0:
            return self._before[0]
        if self.ahead:
            return self._newest[since_due]
        if not self.interpolated:
            return self._newest[0]
        share = (since_due + 1) / self.step_bins
        return self._before[0] + share * (self._newest[0] - self._before[0])


class Stream:
    """A whole network: one bin in, one answer out."""

    def __init__(self, front: FrontBuffer, units: Units, readout: ReadoutSums, answers: Answers):
        self._front, self._units, self._readout, self._answers = front, units, readout, answers

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(n_units,) -> (n_outputs,), standardised."""
        keypoint = self._front.push(row)
        if keypoint is not None:
            self._answers.take(self._readout.advance(self._units.advance(keypoint)))
        return self._answers.at(self._front.since_due)
