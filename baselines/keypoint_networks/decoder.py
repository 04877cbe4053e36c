"""`gru-t1`, `gru-t2`, `sgru-t1`, `sgru-t2`, `lif-t1`, `lif-t2`.

Vasilache, Krausse, Knobloch and Becker 2024 (arXiv 2409.04428). What departs from it:

- Published on windows of 1024 bins of 4 ms, each answered as a whole. These stream: a keypoint is answered when its
  last bin has been seen, and the memory reaches back to the segment's start, not to that of a window.
- One read-out without biases stands for two linear heads, one for each output.
- Layer normalisation, which the published script of `gru-t2` has, is in `gru-t1` and `sgru-*` too; `lif-*` have none.
- Training is that of `baselines.hybrid_snn`: some hundreds of batches of 16 windows of 100 keypoints, and a learning
  rate that rises to 6e-3, where the published one has up to 300 epochs, batches of 2048 and 3e-3.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from baselines.hybrid_snn.decoder import KeypointDecoder
from baselines.hybrid_snn.network import LifStack
from baselines.hybrid_snn.shape import Block, Shape
from baselines.hybrid_snn.streaming import LifStackUnits, Units
from baselines.keypoint_networks.recurrence import NormalisedGru, NormalisedGruUnits, SpikingGru, SpikingGruUnits


@dataclass
class KeypointNetworkT1(KeypointDecoder):
    """Three blocks of 32 channels and 64 recurrent units, for bins of 4 ms.

    kernels, pads: Columns that the convolutions see, and zeros in front of the first column, block after block.
    n_hidden: Recurrent units.
    interpolated: Whether answers lie on lines between keypoints; else each is held until the next, and `delay` is
        the look-ahead alone: 28 bins, in place of 35.
    """

    ahead = False
    interpolated: bool = True
    n_channels: int = 32
    kernels: list[int] = field(default_factory=lambda: [3, 6, 12])
    pads: list[int] = field(default_factory=lambda: [5, 3, 6])
    n_hidden: int = 64

    def shape(self, bin_s: float) -> Shape:
        return Shape(tuple(Block(kernel, pad) for kernel, pad in zip(self.kernels, self.pads, strict=True)))


@dataclass
class GruT1(KeypointNetworkT1):
    """Gated recurrent units at keypoints."""

    def recurrence(self, keypoint_s: float) -> Any:
        return NormalisedGru(self.n_channels, self.n_hidden, self.dropout)

    def units(self, weights: Mapping[str, np.ndarray]) -> Units:
        return NormalisedGruUnits(weights)


@dataclass
class SpikingGruT1(KeypointNetworkT1):
    """Gated recurrent units of spikes at keypoints."""

    def recurrence(self, keypoint_s: float) -> Any:
        return SpikingGru(self.n_channels, self.n_hidden, self.dropout)

    def units(self, weights: Mapping[str, np.ndarray]) -> Units:
        return SpikingGruUnits(weights)


@dataclass
class LifT1(KeypointNetworkT1):
    """One layer of recurrent spiking units at keypoints.

    leak_s: Time constant of the membranes before training.
    """

    leak_s: float = 0.15

    def recurrence(self, keypoint_s: float) -> Any:
        beta = math.exp(-keypoint_s / self.leak_s)
        return LifStack([self.n_channels, self.n_hidden], beta=beta, reset="subtract", dropout=self.dropout)

    def units(self, weights: Mapping[str, np.ndarray]) -> Units:
        return LifStackUnits(weights, 1, reset="subtract")


@dataclass
class _Small:
    """Two blocks of 10 channels, 20 recurrent units."""

    n_channels: int = 10
    kernels: list[int] = field(default_factory=lambda: [3, 3])
    pads: list[int] = field(default_factory=lambda: [3, 1])
    n_hidden: int = 20


@dataclass
class GruT2(_Small, GruT1):
    """Two blocks of 10 channels and 20 gated recurrent units."""


@dataclass
class SpikingGruT2(_Small, SpikingGruT1):
    """Two blocks of 10 channels and 20 gated recurrent units of spikes."""


@dataclass
class LifT2(_Small, LifT1):
    """Two blocks of 10 channels and 20 recurrent spiking units."""
