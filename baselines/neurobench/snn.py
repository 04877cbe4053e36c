"""NeuroBench's two spiking networks: one runs on from bin to bin, one answers each bin from seven sub-windows.

Yik et al. 2025, 10.1038/s41467-025-56739-4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.features import in_bins
from baselines.neurobench.ann import HIDDEN, N_SUB_WINDOWS
from baselines.neurobench.network import CountsDecoder, n_units
from baselines.neurobench.scan import Units, scan
from baselines.neurobench.weights import fit_to_inputs, on_grid
from baselines.neurobench.windows import LaggedSums, lagged, window_sums
from baselines.parts import part
from baselines.spiking import Lif, LifUnits, fast_sigmoid_spike
from harness import Bin, Decoder, Inputs, SessionInfo
from harness.torch_decoder import Schedule, Segment

PUBLISHED_BIN_S = 0.004


class LeakyNetwork(torch.nn.Module):
    """Linear -> leaky integrate-and-fire units -> linear -> leaky integrators, without biases."""

    def __init__(self, sizes: tuple[int, int, int], *, decay: float, dropout: float):
        super().__init__()
        n_inputs, n_hidden, n_outputs = sizes
        self.inward = torch.nn.Linear(n_inputs, n_hidden, bias=False)
        self.outward = torch.nn.Linear(n_hidden, n_outputs, bias=False)
        self.dropout, self.decay = torch.nn.Dropout(dropout), decay

    def decays(self, n: int) -> Any:
        """(2, n): a synapse that passes on at once, and the membrane's decay."""
        return torch.tensor([[0.0], [self.decay]]).expand(2, n)

    def forward(self, counts: Any) -> Any:
        """counts: (batch, time, n_units) -> (batch, time, n_outputs)."""
        drive = self.dropout(self.inward(counts))
        spikes, _ = scan(drive, self.decays(drive.shape[-1]), surrogate=lambda x: fast_sigmoid_spike(x, 20.0))
        current = self.outward(spikes)
        return scan(current, self.decays(current.shape[-1]), threshold=np.inf)[1]


@dataclass
class Snn2d(CountsDecoder):
    """50 spiking units and leaky integrators that read them out, all with one fixed leak.

    leak: Share of a membrane that is left after 4 ms; bins of other widths have that leak per time, 98 ms.
    dropout: Share of the units' drive hidden in training; published 0.3, which hundreds of updates do not need.
    """

    hidden: int = 50
    leak: float = 0.96
    dropout: float = 0.0

    def decay(self, bin_s: float) -> float:
        """Share of a membrane that is left after a bin."""
        return float(np.float32(self.leak ** (bin_s / PUBLISHED_BIN_S)))

    def warm_up_bins(self, bin_s: float) -> int:
        return in_bins(0.4, bin_s)

    def build(self, session: SessionInfo) -> LeakyNetwork:
        sizes = (n_units(session), self.hidden, len(session.outputs))
        return LeakyNetwork(sizes, decay=self.decay(session.bin_s), dropout=self.dropout)

    def begin(self, counts: Sequence[np.ndarray]) -> None:
        with torch.no_grad():
            fit_to_inputs(self.network.inward.weight, counts, self.network.decays(self.hidden).numpy())
            self.network.outward.weight.mul_(1 - self.network.decay)

    def learn(self, segments: list[Segment], validation: list[Segment], schedule: Schedule) -> None:
        super().learn(segments, validation, schedule)
        on_grid(self.network.inward.weight)

    def reset(self, session: SessionInfo) -> None:
        super().reset(session)
        weights, decay = self.weights(), np.float32(self.network.decay)
        self._inward, self._outward = weights["inward.weight"], weights["outward.weight"]
        self._units = Units(np.float32(0), decay, None, 1.0, shape=(len(self._inward),))
        self._integrators = Units(np.float32(0), decay, None, np.inf, shape=(len(self._outward),))

    def step(self, bin: Bin) -> np.ndarray:
        spikes = self._units.advance(self._inward @ bin[self.inputs[0]])
        self._integrators.advance(self._outward @ spikes)
        return self._integrators.membrane * self.sd_ + self.offset_


class WindowedSpikes(torch.nn.Module):
    """Three layers of leaky units that start from rest in every bin and run over its sub-windows, oldest first."""

    def __init__(self, n_inputs: int, n_outputs: int, *, sub_bins: int, dropout: float):
        super().__init__()
        first, second = HIDDEN
        self.norm = torch.nn.LayerNorm((N_SUB_WINDOWS, n_inputs))
        self.layers = torch.nn.ModuleList([torch.nn.Linear(n_inputs, first), torch.nn.Linear(first, second)])
        self.units = torch.nn.ModuleList([Lif(n, 0.5, 0.5) for n in HIDDEN])
        self.readout, self.gain = torch.nn.Linear(second, n_outputs), torch.nn.Parameter(torch.ones(n_outputs))
        self.dropout, self.sub_bins = torch.nn.Dropout(dropout), sub_bins

    def forward(self, counts: Any) -> Any:
        """counts: (batch, time, n_units) -> (batch, time, n_outputs)."""
        sums = window_sums(counts, self.sub_bins)
        windows = lagged(sums, N_SUB_WINDOWS, self.sub_bins).flip(2).flatten(0, 1)
        spikes = self.units[0](self.dropout(self.layers[0](self.norm(windows))))
        spikes = self.units[1](self.layers[1](spikes))
        answers = left(self.readout(spikes).transpose(1, 2)) * self.gain
        return answers.unflatten(0, counts.shape[:2])


def left(currents: Any, beta: float = 0.5) -> Any:
    """What leaky integrators hold after (..., N_SUB_WINDOWS) currents."""
    weights = beta ** np.arange(N_SUB_WINDOWS)[::-1].astype(np.float32)
    return (currents * (weights if isinstance(currents, np.ndarray) else torch.from_numpy(weights))).sum(-1)


@dataclass
class Snn3d(CountsDecoder):
    """Spiking layers of 32 and 48 units on seven sub-windows, as in `Ann3d`, normalised together.

    dropout: Share of the first layer's drive hidden in training; published 0.5.
    """

    window_s: float = 0.2
    dropout: float = 0.3
    batch_size: int = 8
    updates: int = 800
    learning_rate: float = 0.01

    def sub_bins(self, bin_s: float) -> int:
        """Bins of a sub-window: 7 of 4 ms, 1 of 20 ms or of 50 ms."""
        return max(1, in_bins(self.window_s, bin_s) // N_SUB_WINDOWS)

    def warm_up_bins(self, bin_s: float) -> int:
        return N_SUB_WINDOWS * self.sub_bins(bin_s) - 1

    def build(self, session: SessionInfo) -> WindowedSpikes:
        return WindowedSpikes(
            n_units(session), len(session.outputs), sub_bins=self.sub_bins(session.bin_s), dropout=self.dropout
        )

    def reset(self, session: SessionInfo) -> None:
        super().reset(session)
        weights = self.weights()
        self._norm = weights["norm.weight"], weights["norm.bias"]
        self._layers = [
            (weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"], part(weights, f"units.{i}."))
            for i in range(len(HIDDEN))
        ]
        self._readout = weights["readout.weight"], weights["readout.bias"], weights["gain"]
        self._windows = LaggedSums(N_SUB_WINDOWS, self.sub_bins(session.bin_s), n_units(session))

    def step(self, bin: Bin) -> np.ndarray:
        x = self._windows.push(bin[self.inputs[0]])[::-1]
        gain, shift = self._norm
        centred = x - x.mean()
        x = centred / np.sqrt((centred * centred).mean() + np.float32(1e-5)) * gain + shift
        for weight, bias, unit in self._layers:
            units = LifUnits(unit, len(weight))
            x = np.stack([units.advance(row) for row in x @ weight.T + bias])
        weight, bias, gains = self._readout
        return left((x @ weight.T + bias).T) * gains * self.sd_ + self.offset_

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        # Rounding differs between one bin and many, and a spike on the edge of its threshold follows it.
        return Decoder.predict(self, inputs, session)
