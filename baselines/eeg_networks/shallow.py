"""ShallowConvNet: filters in time and space, and the logarithm of the power that comes through.

Schirrmeister et al. 2017, 10.1002/hbm.23730: the network that does what filter-bank CSP does, trained as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.eeg_networks.decoder import WindowNetwork
from baselines.eeg_networks.maps import MapsShape, MapsStream, shape_for
from baselines.eeg_networks.numeric import log_softmax
from baselines.parts import part
from harness import SessionInfo

FILTER_NORM, READOUT_NORM = 2.0, 0.5
SMALLEST_POWER = 1e-6


class ShallowConvNetStream:
    """`networks.ShallowConvNet` in NumPy for one run."""

    def __init__(self, weights: Mapping[str, np.ndarray], shape: MapsShape):
        self.maps = MapsStream(part(weights, "maps."), shape, np.square)
        self.readout, bias = np.asarray(weights["readout.weight"]), np.asarray(weights["readout.bias"])
        # The logarithm of a sum and of a mean differ by a constant.
        self.bias = bias - self.readout.sum(axis=1) * np.log(np.float32(shape.pool))
        self.smallest = np.float32(SMALLEST_POWER * shape.pool)

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """(n_new, n_channels) -> (n_classes,) logarithms of probabilities for the window that ends now."""
        logs = np.log(np.maximum(self.maps.advance(samples), self.smallest))
        return log_softmax(np.vecdot(self.readout, logs.reshape(-1)) + self.bias)


@dataclass
class ShallowConvNetDecoder(WindowNetwork):
    """ShallowConvNet on the last two seconds."""

    def shape(self, session: SessionInfo) -> MapsShape:
        return shape_for(self.sizes(session), len(session.outputs), biased=False)

    def build(self, session: SessionInfo) -> Any:
        from baselines.eeg_networks.networks import ShallowConvNet

        return ShallowConvNet(self.shape(session), self.dropout)

    def stream(self, session: SessionInfo) -> ShallowConvNetStream:
        return ShallowConvNetStream(self.weights(), self.shape(session))
